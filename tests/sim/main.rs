//! The simulator: `core::run` in a world of simulated keepers, cluster, X server, disk, clock and users,
//! all from one seed, with everything going wrong that can. After every step the invariants are
//! checked against what really happened.
//!
//! ```text
//! sim [--mutants]                      fixed seeds; the mutants
//! sim --seconds S | --minutes M        fresh seeds too
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
/// Worlds in which a mutant has to be found.
const MUTANT_SEEDS: u64 = 40;

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

/// Tries seeds until the time is over; how many.
fn try_seeds(seeds: impl Iterator<Item = u64>, until: Instant) -> u64 {
    let (steps, mut tried) = (all_steps(), 0);
    for seed in seeds {
        if let Some(what) = play(seed, &steps, None, false) {
            fail(seed, &what);
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
    println!("shrunk to {} of {STEPS} steps: {:?}", shrunk.len(), shrunk);
    play(seed, &shrunk, None, true);
    panic!("seed {seed}: {what} (again with `--seed {seed}`)");
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

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let number = |name: &str| {
        let at = args.iter().position(|arg| arg == name)?;
        args.get(at + 1)?.parse::<u64>().ok()
    };
    let has = |name: &str| args.iter().any(|arg| arg == name);
    if let Some(seed) = number("--seed") {
        match play(seed, &all_steps(), None, has("--trace")) {
            Some(what) => fail(seed, &what),
            None => return println!("seed {seed}: nothing is wrong"),
        }
    }
    let seconds = number("--minutes").map(|minutes| minutes * 60).or(number("--seconds"));
    let begin = Instant::now();
    let until = begin + Duration::from_secs(seconds.unwrap_or(10));
    let fixed = try_seeds(0..FIXED_SEEDS, until + Duration::from_secs(600));
    // Fresh ones: the time is as good as any number.
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let first = u64::try_from(since.as_nanos() & u128::from(u64::MAX >> 8)).unwrap();
    let fresh = if seconds.is_some() { try_seeds(first.., until) } else { 0 };
    let (worlds, took) = (fixed + fresh, begin.elapsed().as_secs_f64());
    println!(
        "{worlds} worlds of {STEPS} steps in {took:.1} s: {:.0} steps per second",
        (worlds * STEPS) as f64 / took
    );
    if has("--mutants") {
        mutants();
    }
}
