//! What is known about the cluster, told whenever it changed; and the engine that is off.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::sync::mpsc;

use super::{Engine, Input};
use crate::engine::kubernetes::backoff::Pauses;
use crate::engine::kubernetes::identity::Off;
use crate::engine::kubernetes::{Command, Event, Refused, rights};
use deskd_core::plan::facts::{ApiState, KubernetesFacts, OwnPod, PlaceFacts, Quota, Right, Way};
use deskd_core::why::reason::RefusalReason;

/// Rights are asked for again after so long: somebody may have granted one.
const RIGHTS_INTERVAL: Duration = Duration::from_secs(300);
/// The same while one is missing: an API server that has just started grants nothing yet.
const RIGHTS_MISSING_INTERVAL: Duration = Duration::from_secs(30);
/// And not more often than this, whatever is forbidden.
const RIGHTS_INTERVAL_MIN: Duration = Duration::from_secs(5);
/// Images that are remembered.
const IMAGES_MAX: usize = 256;

/// The facts and whether they are told.
#[derive(Debug, Default)]
pub(super) struct Known {
    facts: KubernetesFacts,
    changed: bool,
}

impl Known {
    pub(super) fn news(&mut self) -> Option<KubernetesFacts> {
        std::mem::take(&mut self.changed).then(|| self.facts.clone())
    }

    pub(super) fn set_api(&mut self, api: ApiState) {
        if self.facts.api == api {
            return;
        }
        match &api {
            // Its words differ from attempt to attempt.
            ApiState::Away(why) if !matches!(self.facts.api, ApiState::Away(_)) => {
                tracing::warn!("{why}");
            }
            ApiState::Answers => tracing::info!("the Kubernetes API server answers"),
            _ => {}
        }
        self.changed = true;
        self.facts.api = api;
    }

    /// Whether deskd is known not to see pods of a namespace.
    pub(super) fn is_denied(&self, namespace: &str) -> bool {
        self.facts.rights.iter().any(|right| {
            !right.allowed
                && right.namespace == namespace
                && right.resource == "pods"
                && matches!(right.verb.as_str(), "list" | "watch")
        })
    }

    pub(super) fn set_rights(&mut self, rights: Vec<Right>, quotas: Vec<Quota>) {
        for right in rights.iter().filter(|right| !right.allowed && right.engine.is_some()) {
            if !self.facts.rights.contains(right) {
                tracing::warn!("{}", right.sentence);
            }
        }
        self.changed |= self.facts.rights != rights || self.facts.quotas != quotas;
        (self.facts.rights, self.facts.quotas) = (rights, quotas);
    }

    pub(super) fn set_own_pod(&mut self, own_pod: OwnPod) {
        let own_pod = Some(own_pod);
        self.changed |= self.facts.own_pod != own_pod;
        self.facts.own_pod = own_pod;
    }

    /// Whether keepers in application pods reach deskd.
    pub(super) fn set_way(&mut self, way: Way) {
        self.changed |= self.facts.way != way;
        self.facts.way = way;
    }

    /// The places that there are.
    pub(super) fn set_places(&mut self, places: Vec<PlaceFacts>) {
        self.changed |= self.facts.places != places;
        self.facts.places = places;
    }

    pub(super) fn places(&self) -> &[PlaceFacts] {
        &self.facts.places
    }

    /// A label of the desktop's own pod.
    pub(super) fn label(&self, name: &str) -> Option<&String> {
        self.facts.own_pod.as_ref()?.labels.get(name)
    }

    /// The desktop's own pod is being deleted.
    pub(super) fn terminating(&self) -> bool {
        self.facts.own_pod.as_ref().is_some_and(|pod| pod.terminating)
    }

    pub(super) fn node(&self) -> Option<&str> {
        self.facts.own_pod.as_ref()?.node.as_deref()
    }

    pub(super) fn rights(&self) -> &[Right] {
        &self.facts.rights
    }

    /// An image is on the desktop's node.
    pub(super) fn image(&mut self, image: &str) {
        let images = &mut self.facts.images;
        if image.is_empty() || images.iter().any(|known| known == image) {
            return;
        }
        if images.len() >= IMAGES_MAX {
            images.remove(0);
        }
        images.push(image.to_owned());
        self.changed = true;
    }
}

impl<T: From<Event> + Send + 'static> Engine<T> {
    /// Asks for rights now, now and then, and when something was forbidden.
    pub(super) fn start_asking_for_rights(&mut self) {
        let (api, own, inputs) = (self.api.clone(), self.own.clone(), self.inputs.clone());
        let (engines, asked) = (self.config.policy.engines.clone(), self.ask_rights.clone());
        self.workers.spawn(async move {
            let mut pauses = Pauses::default();
            loop {
                // The watches say that the API server is away.
                let Ok(rights) = rights::ask(&api, &own, &engines).await else {
                    pauses.pause().await;
                    continue;
                };
                pauses.reset();
                let quotas = match rights::has(&rights, "list", "resourcequotas") {
                    true => rights::quotas(&api, &own).await.unwrap_or_default(),
                    false => Vec::new(),
                };
                let complete = rights.iter().all(|right| right.allowed);
                let again = if complete { RIGHTS_INTERVAL } else { RIGHTS_MISSING_INTERVAL };
                if inputs.send(Input::Rights(rights, quotas)).await.is_err() {
                    return;
                }
                tokio::time::sleep(RIGHTS_INTERVAL_MIN).await;
                tokio::select! {
                    () = tokio::time::sleep(again) => {}
                    () = asked.notified() => {}
                }
            }
        });
    }
}

/// The engine that is off: says why, and refuses.
pub(super) async fn off<T: From<Event>>(
    off: &Off,
    mut commands: mpsc::Receiver<Command>,
    events: &mpsc::Sender<T>,
) {
    let sentence = off.to_string();
    let api = ApiState::Off(sentence.clone());
    let facts = KubernetesFacts { api, ..KubernetesFacts::default() };
    let mut next = Some(Event::Facts(Box::new(facts)));
    loop {
        if let Some(event) = next.take()
            && events.send(event.into()).await.is_err()
        {
            return;
        }
        let Some(command) = commands.recv().await else { return };
        next = match command {
            Command::Start { run, .. } => {
                let words = Some(sentence.clone());
                let refusal = Refused { reason: RefusalReason::NoPod, words };
                Some(Event::Refused { run, refusal })
            }
            Command::FindProcess { pid } => {
                Some(Event::ProcessFound { pid, tasks: BTreeSet::new() })
            }
            _ => None,
        };
    }
}
