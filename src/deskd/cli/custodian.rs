//! The daemon's thread that holds what a killed keeper leaves.

use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use deskd_keeper::custody::{Estate, inherited_socket};

/// From the end of the connection to the keeper until its process is gone.
const DEATH_MS_MAX: u64 = 1_000;

/// The thread; it ends with the keeper.
#[derive(Debug)]
pub struct Custodian(Receiver<Estate>);

impl Custodian {
    /// Begins to hold what the keeper sends; nothing if it is one of an earlier release. To be called before
    /// anything else is opened.
    #[must_use]
    pub fn begin() -> Option<Self> {
        let socket = inherited_socket().ok()?;
        let (left, estate) = channel();
        let thread = std::thread::Builder::new().name("custody".into()).spawn(move || {
            if let Ok(collected) = Estate::collect(&socket) {
                // Nobody takes it when the daemon ends for another reason.
                let _ = left.send(collected);
            }
        });
        thread.ok().map(|_| Self(estate))
    }

    /// What the keeper left, if it is dead and left anything.
    #[must_use]
    pub fn estate(self) -> Option<Estate> {
        let estate = self.0.recv_timeout(Duration::from_millis(DEATH_MS_MAX)).ok()?;
        (!estate.is_empty()).then_some(estate)
    }
}
