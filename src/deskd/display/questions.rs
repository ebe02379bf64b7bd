//! What others than the driver ask the display thread, which answers when it comes to it. Asking
//! does not keep the thread alive.

use std::sync::Weak;

use tokio::sync::oneshot;

use super::request::{Request, RequestSender};
use deskd_core::named_check::ManagerSeen;

/// Cheap to clone.
#[derive(Debug, Clone)]
pub struct DisplayQuestions(pub(super) Weak<RequestSender>);

impl DisplayQuestions {
    /// Whether a window manager runs, proved by both ends of its mark.
    pub async fn window_manager(&self) -> ManagerSeen {
        let seen = self.ask(|done| Request::Manager { done: Box::new(done) }).await;
        seen.unwrap_or(ManagerSeen::NoDisplay)
    }

    /// Milliseconds since the last input of the display's devices; nothing where the server is away
    /// or has no MIT-SCREEN-SAVER.
    pub async fn input_idle_ms(&self) -> Option<u64> {
        self.ask(|done| Request::Idle { done: Box::new(done) }).await.flatten()
    }

    /// Nothing when the thread is gone, or drops the question.
    async fn ask<T: Send + 'static>(
        &self,
        request: impl FnOnce(Box<dyn FnOnce(T) + Send>) -> Request,
    ) -> Option<T> {
        let (reply, answer) = oneshot::channel();
        // Whoever asked may have stopped waiting.
        let done = Box::new(move |value| drop(reply.send(value)));
        self.0.upgrade()?.send(request(done));
        answer.await.ok()
    }
}
