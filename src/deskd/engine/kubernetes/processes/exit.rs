//! How a process of a container ends: [`procfs::wait_status`] tells, once its parent has waited for it.

use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::io::Errno;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use deskd_core::task::Exit;
use deskd_keeper::procfs;

/// The kernel knows the status once the parent has waited for the process: how long that may take.
const REAPED_WITHIN: Duration = Duration::from_secs(1);
/// First pause between two looks; each is twice the one before.
const REAPED_PAUSE_FIRST: Duration = Duration::from_micros(200);

/// A process whose end is waited for.
#[derive(Debug)]
pub struct ExitWatch(AsyncFd<OwnedFd>);

impl ExitWatch {
    /// Of a process that exists; nothing when it does not any more.
    #[must_use]
    pub fn open(pid: u32) -> Option<Self> {
        procfs::pidfd(pid).and_then(Self::of)
    }

    /// Of the process that a pidfd is for.
    #[must_use]
    #[expect(
        deprecated,
        reason = "unsound only for descriptors that are closed or replaced while registered: this \
                  one is owned by the AsyncFd"
    )]
    pub fn of(pidfd: OwnedFd) -> Option<Self> {
        AsyncFd::with_interest(pidfd, Interest::READABLE).ok().map(Self)
    }

    /// Waits for its end. How it ended is unknown to kernels before 6.15.
    pub async fn ended(&self) -> Option<Exit> {
        // Readable once the process has ended (pidfd_open(2)).
        drop(self.0.readable().await.ok()?);
        let mut pause = REAPED_PAUSE_FIRST;
        while pause < REAPED_WITHIN {
            match procfs::wait_status(self.0.get_ref()) {
                Ok(Some(status)) => return Some(procfs::exit_of(status)),
                Ok(None) | Err(Errno::SRCH) => tokio::time::sleep(pause).await,
                Err(_) => return None,
            }
            pause *= 2;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_process_that_is_gone_cannot_be_watched() {
        assert!(ExitWatch::open(u32::MAX).is_none());
    }
}
