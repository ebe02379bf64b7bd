//! Brings the supervisor to life: journal, display thread, keeper connection, driver.

use std::path::Path;
use std::sync::Arc;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::apps::Apps;
use super::busy::Busy;
use super::driver::{Driver, Parts};
use super::follow::Follows;
use super::handle::{Handle, Looks};
use super::input::{INPUTS_MAX, Input};
use super::journal::Journal;
use super::lookup::config;
use super::settings::Settings;
use super::windows::Lookup;
use crate::clock::now_ms;
use crate::display::{DisplayHandle, DisplayThread};
use crate::engine::keeper::{self, LinkError, LocalEngine};
use crate::engine::kubernetes;
use crate::engine::port::Port;
use crate::engine::stream::Stream;
use crate::readiness;
use deskd_core::run::Runs;

/// The display thread cannot be started.
#[derive(Debug, thiserror::Error)]
#[error("cannot start the display thread")]
pub struct StartError(#[source] std::io::Error);

/// A running supervisor.
#[derive(Debug)]
pub struct Supervisor {
    /// The door to it.
    pub handle: Handle,
    /// Who is to hear of logs that grew.
    pub follows: Arc<Follows>,
    /// To be started once the API answers, which does not need it.
    pub display: DisplayThread,
    /// Ends, with the reason, when the connection to the keeper does.
    pub link: JoinHandle<LinkError>,
}

/// Starts everything but the look at the display; `link` is the connection to the keeper ([`keeper::inherited`]).
/// Returns at once: what exists is re-adopted while the API answers already. Must be called within a tokio
/// runtime.
pub fn start(settings: Settings, link: Stream) -> Result<Supervisor, StartError> {
    let (inputs, queue) = mpsc::channel(INPUTS_MAX);
    let (engine, container_logs, to_keeper) = LocalEngine::new(link);
    let (journal, mut remembered) = Journal::open(&settings.state_dir);
    let from_display = inputs.clone();
    let lookup = Lookup::default();
    let (display_thread, display) = DisplayHandle::new(settings.display.clone(), move |event| {
        // The driver is gone when nobody listens; the thread ends with its handle.
        let _ = from_display.blocking_send(lookup.input(event));
    })
    .map_err(StartError)?;
    let busy = Arc::new(Busy::new());
    let follows = Arc::new(Follows::default());
    let pulse = display_thread.pulse();
    let questions = display_thread.questions();
    let to_driver = inputs.clone();
    let freshness = readiness::start(
        settings.checks.clone(),
        questions.clone(),
        settings.state_dir.clone(),
        move |index, verdict| {
            let to_driver = to_driver.clone();
            async move { to_driver.send(Input::Checked(index, verdict)).await.is_ok() }
        },
    );
    let logs_dir: Arc<Path> = settings.state_dir.join("logs").into();
    // Ends with the driver, which has the only sender.
    let cluster = settings.kubernetes.clone();
    let (commands, _) = kubernetes::start(cluster, container_logs, inputs.clone());
    let calls = commands.calls().clone();
    let apps = Apps::new(&settings.apps, std::mem::take(&mut remembered.apps));
    let runs = Runs::new(config(&settings), settings.unknown_display(), remembered, seed());
    let (driver, snapshots) = Driver::new(Parts {
        port: Port::new(engine, commands, settings.state_dir.clone()),
        runs,
        apps,
        settings,
        display_thread,
        own_inputs: inputs.clone(),
        journal,
        follows: follows.clone(),
        busy: busy.clone(),
        epoch: u64::try_from(now_ms()).unwrap_or(0),
    });
    tokio::spawn(driver.run(queue));
    let looks = Looks { pulse, questions, checks: freshness };
    let handle = Handle::new(snapshots, inputs.clone(), busy, logs_dir, calls, looks);
    let link = tokio::spawn(async move {
        let error = keeper::run(to_keeper, inputs.clone()).await;
        // Nobody to tell when the driver has ended already.
        let _ = inputs.send(Input::KeeperLost).await;
        error
    });
    Ok(Supervisor { handle, follows, display, link })
}

/// For ids and jitter.
fn seed() -> u64 {
    // Without the kernel's random numbers the clock has to do: both only need to differ, and a clash of
    // ids is checked for.
    getrandom::u64().unwrap_or_else(|_| now_ms().unsigned_abs())
}
