//! The simulator: `core::run` in a world of simulated keepers, cluster, X server, disk, clock and users,
//! all from one seed, with everything going wrong that can. After every step the invariants are
//! checked against what really happened.
//!
//! ```text
//! sim [--mutants]                      fixed seeds; the mutants
//! sim --seconds S | --minutes M        fresh seeds too, for as long; the fixed ones always run whole
//! sim --worlds N                       so many more seeds, however long that takes
//! sim ... --all                        does not end with the first failure: all of them, by kind
//! sim ... --from N                     these seeds instead of fresh ones
//! sim --seed N [--trace]               one world again, shrunk if it fails
//! ```

#![expect(clippy::unwrap_used, reason = "a tool for tests fails by panicking")]
#![expect(clippy::disallowed_methods, reason = "how long it runs, and which seeds are fresh")]

mod check;
mod cluster;
mod daemon;
mod disk;
mod engine;
mod keeper;
mod mutants;
mod oracle;
mod places;
mod rng;
mod setting;
mod shrink;
mod world;

use std::time::{Duration, Instant};

use mutants::Mutant;
use rng::Rng;
use world::World;

/// Steps of a world before it settles.
pub const STEPS: u64 = 1500;
/// Worlds that are tried every time.
const FIXED_SEEDS: u64 = 30;
/// They always run whole; a bound for hangs.
const FIXED_TIME_MAX: Duration = Duration::from_secs(600);
/// A bound for a number of worlds: for hangs.
const TIME_MAX: Duration = Duration::from_hours(24);
/// Plays one world.
const AGAIN: &str = "cargo test --profile sim -p deskd-core --features samples --test sim --";
/// Worlds in which a mutant has to be found.
const MUTANT_SEEDS: u64 = 1000;

/// What is wrong in the world of `seed` when only `steps` are done; nothing: none.
pub fn play(seed: u64, steps: &[u64], mutant: Option<Mutant>, trace: bool) -> Option<String> {
    let mut world = World::new(seed, mutant);
    world.trace = trace;
    for step in steps {
        world.step(&mut Rng::new(seed, *step));
        if world.oracle.violation.is_some() {
            return world.oracle.violation;
        }
    }
    world.settle(&mut Rng::new(seed, u64::MAX));
    world.oracle.violation
}

fn all_steps() -> Vec<u64> {
    (0..STEPS).collect()
}

/// What goes wrong in which worlds, by kind: with `--all` the search goes on.
#[derive(Default)]
struct Found {
    all: bool,
    kinds: std::collections::BTreeMap<String, Vec<(u64, String)>>,
}

/// Tries seeds until the time is over; how many.
fn try_seeds(seeds: impl Iterator<Item = u64>, until: Instant, found: &mut Found) -> u64 {
    let (steps, mut tried) = (all_steps(), 0);
    for seed in seeds {
        if let Some(what) = play(seed, &steps, None, false) {
            if !found.all {
                fail(seed, &what);
            }
            found.kinds.entry(shrink::kind(&what)).or_default().push((seed, what));
        }
        tried += 1;
        if Instant::now() >= until {
            break;
        }
    }
    tried
}

fn fail(seed: u64, what: &str) -> ! {
    println!("seed {seed}: {what}");
    let shrunk = shrink::shrink(seed, what);
    let again = play(seed, &shrunk, None, true).unwrap_or_default();
    println!("shrunk to {} of {STEPS} steps: {again}", shrunk.len());
    println!("again: {AGAIN} --seed {seed}");
    panic!("seed {seed}: {what}");
}

fn mutants() {
    let steps = all_steps();
    let mut alive = Vec::new();
    for (mutant, what) in Mutant::ALL {
        let mut seeds = 0..MUTANT_SEEDS;
        let found = seeds.find_map(|seed| Some((seed, play(seed, &steps, Some(mutant), false)?)));
        match found {
            Some((seed, how)) => println!("{mutant:?} ({what}): killed by seed {seed}: {how}"),
            None => alive.push(what),
        }
    }
    assert!(alive.is_empty(), "nothing is wrong when {}", alive.join(", or when "));
}

/// Fixed seeds, then others if they are asked for: as many as the time allows, or that number.
fn search(args: &Args) {
    let begin = Instant::now();
    let time = args.number("--minutes").map(|minutes| minutes * 60).or(args.number("--seconds"));
    let number = args.number("--worlds");
    let mut found = Found { all: args.has("--all"), ..Found::default() };
    let mut worlds = try_seeds(0..FIXED_SEEDS, begin + FIXED_TIME_MAX, &mut found);
    if time.is_some() || number.is_some() {
        let first = args.number("--from").unwrap_or_else(|| {
            let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
            u64::try_from(since.unwrap().as_micros()).unwrap()
        });
        println!("fixed seeds below {FIXED_SEEDS}, then those from {first} on");
        let time = time.map_or(TIME_MAX, Duration::from_secs);
        let seeds = first..number.map_or(u64::MAX, |number| first + number);
        worlds += try_seeds(seeds, begin + time, &mut found);
    }
    let took = begin.elapsed().as_secs_f64();
    let speed = (worlds * STEPS) as f64 / took;
    println!("{worlds} worlds of {STEPS} steps in {took:.1} s: {speed:.0} steps per second");
    for (kind, worlds) in &found.kinds {
        println!("{:5} x {kind}", worlds.len());
        worlds.iter().take(5).for_each(|(seed, what)| println!("        seed {seed}: {what}"));
    }
    assert!(found.kinds.is_empty(), "something is wrong");
}

/// The words of the command line.
struct Args(Vec<String>);

impl Args {
    fn has(&self, name: &str) -> bool {
        self.0.iter().any(|arg| arg == name)
    }

    fn number(&self, name: &str) -> Option<u64> {
        let at = self.0.iter().position(|arg| arg == name)?;
        self.0.get(at + 1)?.parse().ok()
    }
}

fn main() {
    let args = Args(std::env::args().skip(1).collect());
    if let Some(seed) = args.number("--seed") {
        match play(seed, &all_steps(), None, args.has("--trace")) {
            Some(what) => fail(seed, &what),
            None => return println!("seed {seed}: nothing is wrong"),
        }
    }
    search(&args);
    if args.has("--mutants") {
        mutants();
    }
}
