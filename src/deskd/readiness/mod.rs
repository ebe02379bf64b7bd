//! Makes the readiness checks that an operator named, and reports what changes.
//!
//! ```text
//!  [check.NAME] --> one task each: look (with a deadline) --> verdict, if it is new --> driver
//!                          ^ pause: interval, short while it fails      |
//!                          +--------------------------------------------+--> freshness
//! ```
//!
//! Deliberately not here: what a verdict says (`deskd_core::named_check`), and readiness.

mod freshness;
mod look;
mod rfb;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use crate::display::DisplayQuestions;
use deskd_core::health::Check;
use deskd_core::named_check::{Found, NamedCheck, Wanted};
pub use freshness::Freshness;
pub use rfb::OWN_ADDRESS as RFB_ADDRESS;

/// Longest pause while a check fails: a desktop that comes up is waited for.
const FAILING_PAUSE_MS: u64 = 1_000;

/// What a check looks with.
#[derive(Debug, Clone)]
struct Tools {
    display: DisplayQuestions,
    /// deskd's own directory.
    state_dir: PathBuf,
}

/// Starts one task for each check. `report` is told the verdict of the check with this index whenever
/// it is another one.
pub fn start<F, R>(
    checks: Vec<NamedCheck>,
    display: DisplayQuestions,
    state_dir: PathBuf,
    report: F,
) -> Arc<Freshness>
where
    F: Fn(usize, Check) -> R + Clone + Send + 'static,
    R: Future<Output = bool> + Send + 'static,
{
    let freshness = Arc::new(Freshness::new(&checks));
    let tools = Tools { display, state_dir };
    for (index, check) in checks.into_iter().enumerate() {
        tokio::spawn(follow(index, check, tools.clone(), freshness.clone(), report.clone()));
    }
    freshness
}

async fn follow<F, R>(
    index: usize,
    check: NamedCheck,
    tools: Tools,
    freshness: Arc<Freshness>,
    report: F,
) where
    F: Fn(usize, Check) -> R + Send,
    R: Future<Output = bool> + Send,
{
    let mut shown = None;
    let mut looking = Looking::default();
    loop {
        let found = looking.look(&check, &tools).await;
        let verdict = check.verdict(&found);
        freshness.renew(index);
        if shown.as_ref() != Some(&verdict) {
            // Nobody listens when the daemon is ending.
            if !report(index, verdict.clone()).await {
                return;
            }
            shown = Some(verdict);
        }
        let pause = match found.is_present() {
            true => check.interval,
            false => check.interval.min(Duration::from_millis(FAILING_PAUSE_MS)),
        };
        sleep(pause).await;
    }
}

/// At most one look of a check is on its way: one that hangs (a network file system that is gone) is
/// waited for, and not joined by others.
#[derive(Debug, Default)]
struct Looking(Option<JoinHandle<Found>>);

impl Looking {
    async fn look(&mut self, check: &NamedCheck, tools: &Tools) -> Found {
        let running = self.0.get_or_insert_with(|| begin(check, tools));
        match timeout(check.timeout, running).await {
            Ok(found) => {
                self.0 = None;
                found.unwrap_or_else(|error| Found::Wrong(error.to_string()))
            }
            Err(_) => Found::Silent(check.timeout.as_millis()),
        }
    }
}

fn begin(check: &NamedCheck, tools: &Tools) -> JoinHandle<Found> {
    let tools = tools.clone();
    match check.what.clone() {
        Wanted::Process(name) => tokio::task::spawn_blocking(move || look::process(&name)),
        Wanted::Port(port) => tokio::task::spawn_blocking(move || look::port(port)),
        Wanted::File(path) => tokio::task::spawn_blocking(move || look::file(&path)),
        Wanted::WindowManager => {
            tokio::spawn(async move { tools.display.window_manager().await.into() })
        }
        // A server that never greets would keep its connection for ever.
        Wanted::RfbPort(port) => {
            let limit = check.timeout;
            tokio::spawn(async move { limited(limit, rfb::port(port)).await })
        }
        Wanted::RfbSocket(path) => {
            let (limit, own) = (check.timeout, tools.state_dir.join(format!("rfb-{}", check.name)));
            tokio::spawn(async move { limited(limit, rfb::socket(&path, &own)).await })
        }
    }
}

async fn limited(limit: Duration, look: impl Future<Output = Found>) -> Found {
    timeout(limit, look).await.unwrap_or(Found::Silent(limit.as_millis()))
}
