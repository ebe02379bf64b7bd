//! What the thread can be asked, and the channel that wakes it from `poll`.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, TryRecvError};

use rustix::event::{EventfdFlags, eventfd};

use deskd_core::display::DisplayStatus;
use deskd_core::named_check::ManagerSeen;
use deskd_core::window::{CloseOutcome, WindowId};

type CloseDone = Box<dyn FnOnce(Vec<(WindowId, CloseOutcome)>) + Send>;
type IdleDone = Box<dyn FnOnce(Option<u64>) + Send>;
type ManagerDone = Box<dyn FnOnce(ManagerSeen) + Send>;
type LookDone = Box<dyn FnOnce(DisplayStatus) + Send>;

/// What the thread can be asked.
pub(super) enum Request {
    Close { windows: Vec<WindowId>, done: CloseDone },
    Look { done: LookDone },
    Manager { done: ManagerDone },
    Idle { done: IdleDone },
}

/// The asking side; dropping it ends the thread.
#[derive(Debug)]
pub(super) struct RequestSender {
    /// Nothing only while it is being dropped: the channel must close before the wake-up.
    requests: Option<Sender<Request>>,
    wake: Arc<OwnedFd>,
}

/// The thread's side.
pub(super) struct RequestReceiver {
    requests: Receiver<Request>,
    wake: Arc<OwnedFd>,
}

/// Both sides.
pub(super) fn channel() -> std::io::Result<(RequestSender, RequestReceiver)> {
    let (sender, requests) = std::sync::mpsc::channel();
    let wake = Arc::new(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?);
    let sender = RequestSender { requests: Some(sender), wake: Arc::clone(&wake) };
    Ok((sender, RequestReceiver { requests, wake }))
}

impl RequestSender {
    pub(super) fn send(&self, request: Request) {
        if let Some(requests) = &self.requests {
            // It fails only when the thread is gone, and then `done` is dropped uncalled.
            let _ = requests.send(request);
        }
        self.wake();
    }

    fn wake(&self) {
        // It fails only when the counter is full, and then the thread is awake anyway.
        let _ = rustix::io::write(&*self.wake, &1_u64.to_ne_bytes());
    }
}

impl Drop for RequestSender {
    fn drop(&mut self) {
        self.requests = None;
        self.wake();
    }
}

impl RequestReceiver {
    /// The next request without waiting; `Err` when the asking side is gone.
    pub(super) fn next(&self) -> Result<Option<Request>, Gone> {
        match self.requests.try_recv() {
            Ok(request) => Ok(Some(request)),
            Err(TryRecvError::Empty) => Ok(None),
            Err(TryRecvError::Disconnected) => Err(Gone),
        }
    }

    /// Resets the wake-up; to be called before [`Self::next`].
    pub(super) fn awake(&self) {
        // It fails only when there was no wake-up.
        let _ = rustix::io::read(&*self.wake, &mut [0_u8; 8]);
    }
}

impl AsFd for RequestReceiver {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.wake.as_fd()
    }
}

/// The asking side was dropped.
#[derive(Debug)]
pub(super) struct Gone;
