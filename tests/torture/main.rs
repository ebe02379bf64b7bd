//! The torture: a real deskd with real programs and a real Xvnc, to which everything happens that can, at
//! random, from a seed. After each round what was broken is mended, and then everything must be as if
//! nothing had happened: no program lost or started twice, every line stored once and in order or its
//! absence on record, every exit code right, nothing left of what was stopped.
//!
//! ```text
//! torture [--seconds S | --minutes M] [--seed N]
//! ```

#![expect(clippy::unwrap_used, reason = "a tool for tests fails by panicking")]
#![expect(clippy::disallowed_methods, reason = "how long it runs, and which seeds are fresh")]

mod check;
mod desktop;
mod fault;
mod program;
mod report;
#[path = "../sim/rng.rs"]
mod rng;
#[expect(dead_code, reason = "the integration tests use the rest")]
#[path = "../it/support/mod.rs"]
mod support;
mod user;

use std::time::{Duration, Instant};

use desktop::Desktop;
use fault::Fault;
use report::Report;
use rng::Rng;
use user::User;

/// How long `make test` tortures, seconds.
const SECONDS: u64 = 120;
/// Faults at the same time.
const FAULTS_AT_ONCE_MAX: usize = 3;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if let [role, token, pause_us] = &args[..]
        && role == program::WRITE
    {
        return program::write(token, pause_us.parse().unwrap());
    }
    let number = |name: &str| {
        let at = args.iter().position(|word| word == name)?;
        Some(args[at + 1].parse::<u64>().unwrap())
    };
    if !support::xvnc::available() {
        return;
    }
    let seconds = number("--minutes").map(|it| it * 60).or(number("--seconds")).unwrap_or(SECONDS);
    let seed = number("--seed").unwrap_or_else(|| {
        let since = std::time::UNIX_EPOCH.elapsed().unwrap();
        u64::try_from(since.as_micros()).unwrap()
    });
    println!("torture: {seconds} s, seed {seed}");
    let report = torture(seed, Duration::from_secs(seconds));
    println!("{report}");
    println!("torture: ok");
}

/// Rounds until the time is over; panics at the first thing that is wrong.
fn torture(seed: u64, time: Duration) -> Report {
    let begun = Instant::now();
    let mut report = Report::default();
    let mut desktop = Desktop::start();
    let mut user = User::default();
    for round in 0.. {
        let mut rng = Rng::new(seed, round);
        let mut faults = Vec::new();
        for _ in 0..=rng.below(FAULTS_AT_ONCE_MAX) {
            let fault = Fault::any(&mut rng);
            if !faults.contains(&fault) {
                faults.push(fault);
            }
        }
        println!("{:5} s, round {round}: {faults:?}", begun.elapsed().as_secs());
        let broken: Vec<_> = faults
            .iter()
            .filter_map(|fault| {
                let broken = desktop.suffer(fault, &user, &mut rng)?;
                report.suffered(*fault);
                Some(broken)
            })
            .collect();
        user.act(&desktop, &mut rng);
        support::wait::pause(Duration::from_millis(rng.below(600) as u64));
        for broken in broken {
            desktop.mend(broken);
        }
        desktop.until_whole();
        user.settle(&desktop);
        check::everything(&desktop, &mut user, &mut report);
        report.rounds += 1;
        if begun.elapsed() > time {
            break;
        }
    }
    user.stop_all(&desktop);
    check::everything(&desktop, &mut user, &mut report);
    check::nothing_is_left(&user);
    report.seconds = begun.elapsed().as_secs();
    report
}
