//! What the watches saw, per run.

use std::sync::PoisonError;
use std::time::Duration;

use tokio::time::Instant;

use super::place_ends::PlaceEnd;
use super::{Engine, Input, places};
use crate::clock::now_ms;
use crate::engine::kubernetes::objects::{Container, Pod};
use crate::engine::kubernetes::runs::{Creation, Fate, Output, Run, app_of};
use crate::engine::kubernetes::status::{self, Seen};
use crate::engine::kubernetes::watch::Which;
use crate::engine::kubernetes::{Event, Observation, Waiting, events, own_pod, pods, rights};
use deskd_core::id::AppId;
use deskd_core::kubernetes::{
    APP_CONTAINER, LABEL_APP, LABEL_PLACE, LABEL_RUN, LABEL_TASK, LABEL_TYPE, ObjectRef,
    RUN_VARIABLE, TASK_VARIABLE, TYPE_PULL,
};
use deskd_core::origin::Origin;
use deskd_core::plan::EngineKind;
use deskd_core::room::Room;
use deskd_core::task::Exit;
use deskd_core::why::evidence::ClusterEvidence;
use deskd_core::why::reason::{EndReason, LostReason};
use deskd_core::wire::RunId;

/// A container that is not running by then: kubelet is asked why (its events are).
const OBSTACLE_AFTER: Duration = Duration::from_secs(5);
/// And again.
const OBSTACLE_AGAIN: Duration = Duration::from_secs(15);

impl<T: From<Event> + Send + 'static> Engine<T> {
    pub(super) fn own_pod_is(&mut self, pod: Box<Pod>, bytes: u64) {
        let entries = u32::try_from(pod.spec.ephemeral_containers.len()).unwrap_or(u32::MAX);
        *self.fullness.lock().unwrap_or_else(PoisonError::into_inner) = Room { entries, bytes };
        self.sees_processes = own_pod::sees_processes(&pod, &self.config);
        self.known.set_own_pod(own_pod::facts(&pod, &self.config, bytes));
        self.see_images(&pod);
        self.watch_others(&pod);
        let mut others = Vec::new();
        for container in &pod.spec.ephemeral_containers {
            let Some((run, app)) = run_of(container) else {
                others.push(container);
                continue;
            };
            let object = ObjectRef {
                namespace: self.own.namespace.clone(),
                pod: self.own.name.clone(),
                container: container.name.clone(),
            };
            // One that is over, or that nobody has the key of.
            if places::is_place(&run) && !self.runs.contains_key(&run) {
                continue;
            }
            let seen = status::look(&pod, &container.name, true, now_ms());
            self.own_run(&run, app, EngineKind::EphemeralContainer, &object);
            self.see(&run, seen);
        }
        self.other_containers(&pod, &others);
    }

    pub(super) fn app_pod_is(&mut self, pod: Box<Pod>) {
        if self.known.node().is_some() && self.known.node() == pod.spec.node_name.as_deref() {
            self.see_images(&pod);
        }
        if pod.metadata.labels.get(LABEL_TYPE).map(String::as_str) == Some(TYPE_PULL) {
            self.pulls.seen(pod, &mut self.workers);
            return;
        }
        let Some((run, app)) = labelled(&pod) else { return };
        let run = self.place_of(&pod).unwrap_or(run);
        let object = ObjectRef {
            namespace: pod.metadata.namespace.clone(),
            pod: pod.metadata.name.clone(),
            container: APP_CONTAINER.to_owned(),
        };
        if places::is_place(&run) && !self.runs.contains_key(&run) {
            // A daemon whose record is lost made it: nobody can use it.
            if pod.metadata.deletion_timestamp.is_none() {
                self.delete_place(object);
            }
            return;
        }
        let mut seen = status::look(&pod, APP_CONTAINER, false, now_ms());
        let by_deskd = |known: &Run| known.stop.is_some() || known.forgotten;
        if pod.metadata.deletion_timestamp.is_some()
            && !self.runs.get(&run).is_some_and(by_deskd)
            && let Some(Observation::Ended { reason: reason @ None, .. }) = &mut seen.what
        {
            *reason = Some(EndReason::PodDeleted.into());
        }
        self.keep_to_look_again(&run, &seen, pod);
        self.own_run(&run, app, EngineKind::PodApplication, &object);
        self.see(&run, seen);
    }

    /// The run as which a pod is followed that is a place.
    fn place_of(&self, pod: &Pod) -> Option<RunId> {
        let id = pod.metadata.labels.get(LABEL_PLACE)?.parse().ok()?;
        self.places.links.contains_key(&id).then(|| places::place_run(&id))
    }

    /// A pod whose status says something else later, or not any more.
    pub(super) fn keep_to_look_again(&mut self, run: &RunId, seen: &Seen, pod: Box<Pod>) {
        if seen.look_again_at.is_some() {
            self.look_again.insert(run.clone(), pod);
        } else {
            self.look_again.remove(run);
        }
    }

    /// A run of deskd's, which its object tells of if nobody did before.
    fn own_run(&mut self, run: &RunId, app: AppId, engine: EngineKind, object: &ObjectRef) {
        self.runs.entry(run.clone()).or_insert_with(|| {
            let mut unknown = Run::new(app, engine, object.clone(), Creation::Done);
            unknown.known = false;
            unknown
        });
    }

    /// Takes in what was seen of a run that is known.
    pub(super) fn see(&mut self, run: &RunId, seen: Seen) {
        let Some(known) = self.runs.get_mut(run) else { return };
        if let Some(listing) = self.listing.get_mut(&known.which()) {
            listing.insert(run.clone());
        }
        known.present = true;
        known.program = seen.program.or(known.program.take());
        known.has_log |= seen.has_log;
        known.look_again_at = seen.look_again_at;
        known.obstacle_at = match seen.is_prepared {
            true => known.obstacle_at.or_else(|| Some(Instant::now() + OBSTACLE_AFTER)),
            false => None,
        };
        let events = known.said.events.clone();
        if matches!(known.creation, Creation::Pending(_)) {
            self.accepted(run);
        }
        self.said(run, ClusterEvidence { events, ..seen.said });
        if let Some(what) = seen.what {
            if matches!(what, Observation::Running { .. }) {
                self.ends_late_starter(run);
            }
            self.observe(run, what);
        }
        self.read_output(run);
    }

    /// Takes in what the cluster says about a run, and tells it if it is news.
    pub(super) fn said(&mut self, run: &RunId, said: ClusterEvidence) {
        let Some(known) = self.runs.get_mut(run) else { return };
        if known.said != said && !known.forgotten {
            known.said = said;
            let said = Box::new(known.said.clone());
            self.out.push(Event::Said { run: run.clone(), said });
        }
    }

    /// What kubelet said about a container that does not start.
    pub(super) fn complaints(&mut self, run: &RunId, events: Vec<String>, why: Option<Waiting>) {
        let Some(known) = self.runs.get(run) else { return };
        let said = ClusterEvidence { events, ..known.said.clone() };
        self.said(run, said);
        if let Some(why) = why {
            self.waits(run, why);
        }
    }

    /// Takes an observation in and tells what is news.
    pub(super) fn observe(&mut self, run: &RunId, what: Observation) {
        let Some(known) = self.runs.get_mut(run) else { return };
        let Some(what) = known.take(what) else { return };
        if !known.forgotten {
            self.out.push(Event::Observed {
                run: run.clone(),
                object: Some(Box::new(known.object())),
                what: what.clone(),
            });
        }
        match what {
            Observation::Ended { .. } => {
                self.set_fate(run, Fate::Ended);
                self.stop_is_over(run);
            }
            Observation::Running { .. } => self.watch_process(run),
            Observation::Waiting(_) => {}
        }
        self.read_output(run);
    }

    fn set_fate(&mut self, run: &RunId, fate: Fate) {
        if let Some(Output::Read(sender)) = self.runs.get(run).map(|known| &known.output) {
            sender.send_if_modified(|now| {
                let later = fate > *now;
                *now = fate.max(*now);
                later
            });
        }
    }

    pub(super) fn app_pod_is_gone(&mut self, pod: &Pod) {
        if pod.metadata.labels.get(LABEL_TYPE).map(String::as_str) == Some(TYPE_PULL) {
            self.pulls.gone(&pod.metadata.name);
            return;
        }
        let Some((run, _)) = labelled(pod) else { return };
        let run = self.place_of(pod).unwrap_or(run);
        if let Some(what) = status::last_look(pod, APP_CONTAINER, now_ms()) {
            self.observe(&run, what);
        }
        self.gone(&run);
    }

    /// The object of a run is not there any more.
    pub(super) fn gone(&mut self, run: &RunId) {
        self.look_again.remove(run);
        let Some(known) = self.runs.get_mut(run) else { return };
        known.present = false;
        if !known.is_over() {
            if known.stop.is_some() && !known.ran() {
                let exit = Exit::Lost(LostReason::BeforeItRan);
                self.observe(run, Observation::Ended { exit, reason: None, at: now_ms() });
            } else if !known.forgotten {
                // It has no object: what is launched under this name again is created anew.
                self.out.push(Event::Gone { run: run.clone() });
                let exit = Exit::Lost(LostReason::PodDeleted);
                known.take(Observation::Ended { exit, reason: None, at: now_ms() });
                self.read_output(run);
            }
        }
        self.set_fate(run, Fate::Gone);
        self.stop_is_over(run);
        // What others started and nobody adopted is of no interest either.
        let stranger = |known: &Run| known.origin == Origin::Other && !known.known;
        if self.runs.get(run).is_some_and(|known| known.forgotten || stranger(known)) {
            self.runs.remove(run);
        }
    }

    /// Everything that exists was told.
    pub(super) fn listed(&mut self, which: Which) {
        if which == Which::Own {
            self.places.list_waits = false;
        }
        let mut present = self.listing.remove(&which).unwrap_or_default();
        let (mut missing, mut unseen) = (Vec::new(), Vec::new());
        for (run, known) in &self.runs {
            let done = matches!(known.creation, Creation::Done) && !known.is_over();
            if known.which() != which || present.contains(run) || !done {
                continue;
            }
            if self.places.runs.contains_key(run) {
                continue;
            }
            // What this daemon made after the list was made is told by the watch next; of what was gone
            // again by then nobody tells.
            match known.looks_since.is_some() && !known.present {
                true => {
                    present.insert(run.clone());
                    if known.engine.has_own_pod() {
                        unseen.push((run.clone(), known.object.clone()));
                    }
                }
                false => missing.push(run.clone()),
            }
        }
        unseen.into_iter().for_each(|(run, object)| self.look_at_pod(run, object));
        // What was at a place that is gone is not there either.
        for run in missing.iter().filter(|run| places::is_place(run)) {
            self.gone(run);
            self.place_ended(&run.task, PlaceEnd::Gone);
        }
        if which != Which::Others {
            present.extend(self.places.runs.keys().cloned());
            present.extend(self.places.life.known_there().cloned());
        }
        missing.iter().for_each(|run| self.gone(run));
        self.synced.insert(which);
        let (pod, container) = (EngineKind::PodApplication, EngineKind::EphemeralContainer);
        let told = match which {
            Which::Own => &[(container, Origin::Deskd), (container, Origin::Other)][..],
            Which::Apps => &[(pod, Origin::Deskd)],
            Which::Others => &[(pod, Origin::Other)],
        };
        for (engine, origin) in told.iter().copied() {
            self.out.push(Event::Synced { engine, origin, present: present.clone() });
        }
    }

    fn look_at_pod(&mut self, run: RunId, object: ObjectRef) {
        let (api, inputs) = (self.api.clone(), self.inputs.clone());
        self.workers.spawn(async move {
            if !pods::exists(&api, &object).await {
                // The engine is gone when nobody listens.
                let _ = inputs.send(Input::Vanished(run)).await;
            }
        });
    }

    /// A pod that was made is not there, and if no watch ever showed it, none will.
    pub(super) fn vanished(&mut self, run: &RunId) {
        if self.runs.get(run).is_none_or(|known| known.present) {
            return;
        }
        self.gone(run);
        if places::is_place(run) {
            self.place_ended(&run.task, PlaceEnd::Gone);
        }
    }

    /// Images of containers that run or ran here are on this node.
    fn see_images(&mut self, pod: &Pod) {
        let statuses =
            pod.status.container_statuses.iter().chain(&pod.status.ephemeral_container_statuses);
        for status in statuses {
            if status.state.running.is_some() || status.state.terminated.is_some() {
                let specs = pod.spec.containers.iter().chain(&pod.spec.ephemeral_containers);
                let spec = specs.into_iter().find(|spec| spec.name == status.name);
                self.known.image(spec.map_or(status.image.as_str(), |spec| spec.image.as_str()));
            }
        }
    }

    /// Asks for the events of what does not start, if deskd may see them.
    pub(super) fn ask_for_obstacles(&mut self) {
        let now = Instant::now();
        let allowed = rights::has(self.known.rights(), "list", "events");
        for (run, known) in &mut self.runs {
            if known.obstacle_at.is_none_or(|at| at > now) {
                continue;
            }
            known.obstacle_at = allowed.then(|| now + OBSTACLE_AGAIN);
            if !allowed || known.ran() || !known.known {
                continue;
            }
            let (api, object) = (self.api.clone(), known.object.clone());
            let (inputs, run) = (self.inputs.clone(), run.clone());
            self.workers.spawn(async move {
                // Without an answer the status has to do.
                let Ok(events) = events::of_pod(&api, &object).await else { return };
                let why = events::obstacle(&events, &object.container);
                let words = events::words(&events, &object.container);
                // The engine is gone when nobody listens.
                let _ = inputs.send(Input::Complaints(run, words, why)).await;
            });
        }
    }

    /// Pods that change without being changed.
    pub(super) fn look_again(&mut self) {
        let now = now_ms();
        let due: Vec<_> = self
            .runs
            .iter()
            .filter(|(_, known)| known.look_again_at.is_some_and(|at| at <= now))
            .map(|(run, _)| run.clone())
            .collect();
        for run in due {
            if let Some(known) = self.runs.get_mut(&run) {
                known.look_again_at = None;
            }
            let which = self.runs.get(&run).map(Run::which);
            match self.look_again.remove(&run) {
                Some(pod) if which == Some(Which::Others) => self.other_pod_is(pod),
                Some(pod) => self.app_pod_is(pod),
                None => {}
            }
        }
    }
}

/// The run and app of an ephemeral container that deskd made.
fn run_of(container: &Container) -> Option<(RunId, AppId)> {
    let task = container.env(TASK_VARIABLE)?.parse().ok()?;
    let run = RunId { task, run: container.env(RUN_VARIABLE)?.parse().ok()? };
    let app = app_of(&run.task)?;
    Some((run, app))
}

/// The run and app of a pod that deskd made.
fn labelled(pod: &Pod) -> Option<(RunId, AppId)> {
    let label = |name: &str| pod.metadata.labels.get(name);
    let task: deskd_core::id::TaskId = label(LABEL_TASK)?.parse().ok()?;
    let run = label(LABEL_RUN)?.parse().ok()?;
    let app = label(LABEL_APP).and_then(|app| app.parse().ok()).or_else(|| app_of(&task))?;
    Some((RunId { task, run }, app))
}
