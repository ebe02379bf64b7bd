//! Launches of ephemeral containers, several in one PATCH.
//!
//! kubelet looks at the pod once a second: of two patches one after the other the second waits for
//! its next look, while containers of one patch start together (measured: five in one patch are up
//! in 0.6 s, in five patches in 1.8 s). So what arrives within a moment, or while a patch is under
//! way, goes together.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::Value;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::Refused;
use super::api::{Api, ApiError, Ask};
use super::backoff::Pauses;
use super::calls::Verb;
use super::engine::Input;
use super::identity::Own;
use super::manifest::ephemeral_patch;
use super::pods::{stopped, waiting};
use super::refusal::{Verdict, verdict};
use deskd_core::room::{NoRoom, Room};
use deskd_core::why::reason::{Delay, RefusalReason, Request};
use deskd_core::wire::RunId;

/// Launches that wait for their patch.
pub const LAUNCHES_WAITING_MAX: usize = 1024;
/// Time in which launches gather.
const GATHER: Duration = Duration::from_millis(2);
/// Launches in one patch.
const PATCH_LAUNCHES_MAX: usize = 32;
/// A launch on its way.
#[derive(Debug)]
pub struct Launch {
    /// Which run.
    pub run: RunId,
    /// Its entry.
    pub container: Value,
    /// It was stopped.
    pub cancel: CancellationToken,
    /// A request for it was sent and not answered.
    pub may_exist: bool,
}

/// How full the own pod is; kept by the engine from what the watch says.
pub type Fullness = Mutex<Room>;

/// Sends patches.
#[derive(Debug)]
pub struct Patches {
    /// The way.
    pub api: Arc<Api>,
    /// The pod.
    pub own: Own,
    /// How full it is.
    pub fullness: Arc<Fullness>,
    /// Launches.
    pub queue: mpsc::Receiver<Launch>,
    /// Who is told.
    pub told: mpsc::Sender<Input>,
}

impl Patches {
    /// Runs until the engine ends.
    pub async fn run(mut self) {
        while let Some(first) = self.queue.recv().await {
            tokio::time::sleep(GATHER).await;
            self.launch(vec![first]).await;
        }
    }

    /// Sends `batch` and whatever arrives meanwhile, until each is answered.
    async fn launch(&mut self, mut batch: Vec<Launch>) {
        let mut pauses = Pauses::default();
        loop {
            while batch.len() < PATCH_LAUNCHES_MAX
                && let Ok(launch) = self.queue.try_recv()
            {
                batch.push(launch);
            }
            batch = self.those_that_fit(self.those_not_given_up(batch).await).await;
            if batch.is_empty() {
                return;
            }
            let why = match self.patch(&batch).await {
                Ok(()) => {
                    // Until the watch tells.
                    self.count(&batch);
                    return self.answer(batch, &Ok(())).await;
                }
                Err(ApiError::Answer(status)) => match verdict(&status, &self.request()) {
                    Verdict::Refused(refusal) => return self.refused(batch, refusal).await,
                    Verdict::Later(delay, words) => (delay, words),
                    Verdict::Exists => (Delay::Conflict, status.message.clone()),
                },
                Err(error) => {
                    let lost = matches!(error, ApiError::Lost(_));
                    batch.iter_mut().for_each(|launch| launch.may_exist |= lost);
                    (Delay::NoAnswer, error.to_string())
                }
            };
            self.wait(&batch, why, &mut pauses).await;
        }
    }

    /// What may be there already cannot be given up: it is stopped once it is seen.
    async fn those_not_given_up(&self, batch: Vec<Launch>) -> Vec<Launch> {
        let given_up = |launch: &Launch| launch.cancel.is_cancelled() && !launch.may_exist;
        let (given_up, rest) = batch.into_iter().partition(given_up);
        self.answer(given_up, &Err(stopped())).await;
        rest
    }

    fn count(&self, batch: &[Launch]) {
        let mut room = self.fullness.lock().unwrap_or_else(PoisonError::into_inner);
        *room = batch.iter().fold(*room, |room, launch| with(room, launch).unwrap_or(room));
    }

    fn request(&self) -> Request {
        let (namespace, pod) = (self.own.namespace.clone(), self.own.name.clone());
        Request::AddContainer { namespace, pod }
    }

    async fn patch(&self, batch: &[Launch]) -> Result<(), ApiError> {
        let containers: Vec<_> = batch.iter().map(|launch| launch.container.clone()).collect();
        let Own { name, namespace, .. } = &self.own;
        let ask = Ask {
            verb: Verb::Patch,
            resource: "pods/ephemeralcontainers",
            path: format!("/api/v1/namespaces/{namespace}/pods/{name}/ephemeralcontainers"),
            body: Some(ephemeral_patch(&containers)),
        };
        self.api.text(ask).await.map(drop)
    }

    /// One of several is refused: each is asked for alone, so that only the guilty one fails.
    async fn refused(&mut self, batch: Vec<Launch>, refusal: Refused) {
        if batch.len() == 1 {
            return self.answer(batch, &Err(refusal)).await;
        }
        for launch in batch {
            let alone = self.patch(std::slice::from_ref(&launch)).await;
            match alone {
                Ok(()) => self.answer(vec![launch], &Ok(())).await,
                Err(ApiError::Answer(status)) => match verdict(&status, &self.request()) {
                    Verdict::Refused(refusal) => self.answer(vec![launch], &Err(refusal)).await,
                    _ => Box::pin(self.launch(vec![launch])).await,
                },
                Err(_) => Box::pin(self.launch(vec![launch])).await,
            }
        }
    }

    async fn wait(&self, batch: &[Launch], why: (Delay, String), pauses: &mut Pauses) {
        let why = waiting(&self.request(), why);
        for launch in batch {
            // The engine is gone when nobody listens.
            let _ = self.told.send(Input::Waits(launch.run.clone(), why.clone())).await;
        }
        let stops = batch.iter().filter(|launch| !launch.may_exist);
        let mut stops: Vec<_> = stops.map(|launch| Box::pin(launch.cancel.cancelled())).collect();
        tokio::select! {
            () = pauses.pause() => {}
            () = async {
                match stops.is_empty() {
                    true => std::future::pending().await,
                    false => drop(futures_util::future::select_all(stops.drain(..)).await),
                }
            } => {}
        }
    }

    async fn answer(&self, batch: Vec<Launch>, answer: &Result<(), Refused>) {
        for launch in batch {
            let input = Input::Launched(launch.run, answer.clone());
            // The engine is gone when nobody listens.
            let _ = self.told.send(input).await;
        }
    }

    /// Refuses what would make the pod too large.
    async fn those_that_fit(&self, batch: Vec<Launch>) -> Vec<Launch> {
        let mut room = *self.fullness.lock().unwrap_or_else(PoisonError::into_inner);
        let mut fit = Vec::new();
        for launch in batch {
            // What may be there is among those counted; sending it again adds nothing.
            if launch.may_exist {
                fit.push(launch);
                continue;
            }
            match with(room, &launch) {
                Ok(more) => {
                    room = more;
                    fit.push(launch);
                }
                Err(why) => self.answer(vec![launch], &Err(full(&self.own.name, why))).await,
            }
        }
        fit
    }
}

fn with(room: Room, launch: &Launch) -> Result<Room, NoRoom> {
    room.with(launch.container.to_string().len() as u64)
}

fn full(pod: &str, why: NoRoom) -> Refused {
    RefusalReason::PodFull { pod: pod.to_owned(), why }.into()
}
