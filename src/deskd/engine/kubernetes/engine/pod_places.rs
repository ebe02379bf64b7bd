//! Places that are pods of their own: made for a run, kept for the next one, and deleted once they were
//! idle for long. Their keepers come over the network; where they cannot, a pod is its first program's
//! alone, as if there were no keeper.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;

use super::places::place_run;
use super::{Engine, Input};
use crate::engine::kubernetes::places::port::Port;
use crate::engine::kubernetes::runs::{Creation, Run};
use crate::engine::kubernetes::{Event, Observation, manifest, pods};
use deskd_core::id::{AppId, TaskId};
use deskd_core::kubernetes::ObjectRef;
use deskd_core::place::{Launch, Life, PlaceSpec, Stage};
use deskd_core::plan::EngineKind;
use deskd_core::plan::facts::Way;
use deskd_core::plan::place::{admit, barred};
use deskd_core::plan::remote::{PodPlace, PodPlan};
use deskd_core::wire::RunId;
use deskd_core::wire::proof::Key;
use deskd_keeper::place::ALONE_AFTER;

/// From when a pod's container runs: a keeper that has not come by then has begun to run its first
/// program alone, and kubelet's word for the start may have taken a second.
const ALONE_TOLD_AFTER: Duration = Duration::from_secs(10);
const _: () = assert!(ALONE_TOLD_AFTER.as_secs() > ALONE_AFTER.as_secs() + 2);
/// How long a keeper that is to stop something may be away: it tries to come at least every 5 s.
const UNTOLD_MAX: Duration = Duration::from_secs(7);
/// For how long no pod is made a place after one did not reach deskd: somebody may change a network policy.
const BARRED_FOR: Duration = Duration::from_secs(600);

impl<T: From<Event> + Send + 'static> Engine<T> {
    /// Listens for keepers in pods, if that is configured.
    pub(super) fn open_port(&mut self) {
        let Some(port) = self.config.policy.places_port else { return };
        let own = self.config.pod.ip.as_deref().and_then(|ip| ip.parse::<IpAddr>().ok());
        // Where the address is not known, or is not this network's, and where there is no IPv6.
        let any = [IpAddr::V6(Ipv6Addr::UNSPECIFIED), IpAddr::V4(Ipv4Addr::UNSPECIFIED)];
        let addresses: Vec<_> =
            own.into_iter().chain(any).map(|ip| SocketAddr::new(ip, port)).collect();
        let opened = TcpListener::bind(&*addresses);
        match opened.and_then(|listener| Port::open(listener, &mut self.workers)) {
            Ok(port) => self.places.port = Some(port),
            Err(error) => {
                let why = format!(
                    "deskd cannot listen on TCP port {port} for the keepers of application pods \
                     (places_port in [kubernetes]): {error}"
                );
                tracing::error!("{why}");
                self.known.set_way(Way::Closed(why));
            }
        }
    }

    /// Launches a run in a pod that is a place. False: it cannot be, and gets a pod without a keeper.
    pub(super) fn launch_in_pod(
        &mut self,
        (run, app): (&RunId, &AppId),
        object: &ObjectRef,
        plan: &PodPlan,
    ) -> bool {
        let spec = PlaceSpec::of_pod(plan).filter(|spec| !self.places.unfit.contains(spec));
        let (Some(spec), Some(place), Some(_), Some(_)) =
            (spec, &plan.place, &self.places.file, &self.places.port)
        else {
            return false;
        };
        if self.places.barred_until.is_some() || !manifest::fits_place(run, &plan.container) {
            return false;
        }
        let Some(fresh) = self.fresh_place() else { return false };
        let Some(launch) = self.places.life.launch(run, spec, || fresh) else { return false };
        if let Launch::Make(id) = &launch {
            if !self.make_pod(id, (run, app), object, (plan, place)) {
                self.places.life.dead(id);
                return false;
            }
        } else {
            self.record_pod_places();
        }
        self.begin_at_place((run, app), &plan.container, &launch);
        true
    }

    /// Asks the API server for a pod, once it is on record. False: it cannot be recorded.
    fn make_pod(
        &mut self,
        id: &TaskId,
        (run, app): (&RunId, &AppId),
        object: &ObjectRef,
        (plan, place): (&PodPlan, &PodPlace),
    ) -> bool {
        self.ask_for_pod(id, pods::labels_of(run), object, |key| {
            manifest::pod_place(run, app, object, plan, (id, key, place))
        })
    }

    /// The same of a pod of which nothing but these labels is known here.
    pub(super) fn ask_for_pod(
        &mut self,
        id: &TaskId,
        labels: [(&'static str, String); 2],
        object: &ObjectRef,
        manifest: impl FnOnce(&Key) -> Value,
    ) -> bool {
        let Some((key, cancel)) = self.found_place(id, object) else { return false };
        self.connect(id);
        let manifest = manifest(&key);
        let (api, turns, inputs) = (self.api.clone(), self.turns.clone(), self.inputs.clone());
        let (object, made_as) = (object.clone(), place_run(id));
        self.workers.spawn(async move {
            let waits = |why| {
                // News that do not fit now are told with the next attempt.
                let _ = inputs.try_send(Input::Waits(made_as.clone(), why));
            };
            let made =
                pods::create(&api, &turns, &labels, &object, manifest, &cancel, &waits).await;
            // The engine is gone when nobody listens.
            let _ = inputs.send(Input::Launched(made_as, made)).await;
        });
        true
    }

    /// What a later daemon has to know of.
    pub(super) fn record_pod_places(&self) {
        if let Err(error) = self.record_places() {
            tracing::warn!(%error, "the record of places cannot be written");
        }
    }

    /// A keeper got through; `first`: that one for the first time.
    pub(super) fn far_keeper_came(&mut self, first: bool) {
        self.places.barred_until = None;
        self.known.set_way(Way::Works);
        if first {
            self.record_pod_places();
        }
    }

    /// The node that a run is on.
    pub(super) fn node_of(&self, run: &RunId) -> Option<String> {
        let far = self.places.life.of(run).and_then(|(id, _)| self.runs.get(&place_run(id)));
        match far.filter(|place| place.engine == EngineKind::PodApplication) {
            None => self.known.node().map(str::to_owned),
            Some(place) => match &place.told {
                Some(Observation::Running { node, .. }) => node.clone(),
                _ => None,
            },
        }
    }

    pub(super) fn note_idle_of(&mut self, run: &RunId) {
        if let Some(id) = self.places.life.of(run).map(|(id, _)| id.clone()) {
            self.note_idle(&id);
        }
    }

    /// A pod in which nothing runs, and whose output is stored as far as anybody wants it, is idle from
    /// now on.
    pub(super) fn note_idle(&mut self, id: &TaskId) {
        let owes = |run: &RunId| {
            let wanted = self.runs.get(run).is_some_and(|known| known.known);
            wanted && self.places.runs.get(run).is_some_and(|at| !at.output_closed)
        };
        let owes = self.places.life.runs(id).any(|(run, _)| owes(run));
        let idle = self.places.life.is_idle_pod(id) && !owes;
        if let Some(link) = self.places.links.get_mut(id) {
            let since = link.idle_since.filter(|_| idle);
            link.idle_since = since.or_else(|| idle.then(Instant::now));
        }
    }

    /// Deletes the pod that a place is, if it is one.
    pub(super) fn end_pod(&mut self, id: &TaskId, grace: Duration) {
        if self.places.links.get(id).is_some_and(|link| link.far) {
            self.places.life.end(id);
            self.stop(&place_run(id), Duration::ZERO, grace);
        }
    }

    /// When something is due with pods although nothing happens.
    pub(super) fn next_pod_due(&self) -> Option<Instant> {
        let idle = self.idle_pods().map(|(_, at)| at);
        let alone = self.pods_without_keeper().map(|(_, at)| at);
        let untold = self.untold_stops().map(|(_, at, _)| at);
        idle.chain(alone).chain(untold).chain(self.places.barred_until).min()
    }

    pub(super) fn look_after_pods(&mut self) {
        let now = Instant::now();
        if self.places.barred_until.is_some_and(|until| until <= now) {
            self.places.barred_until = None;
            self.known.set_way(Way::Untried);
        }
        let idle: Vec<_> =
            self.idle_pods().filter(|(_, at)| *at <= now).map(|(id, _)| id.clone()).collect();
        for id in idle {
            tracing::info!(place = %id, "nothing was launched in this pod for long: it is deleted");
            self.end_pod(&id, Duration::ZERO);
        }
        let untold: Vec<_> = self
            .untold_stops()
            .filter(|(_, at, _)| *at <= now)
            .map(|(id, _, kill)| (id.clone(), kill))
            .collect();
        for (id, kill) in untold {
            self.end_pod(&id, kill.saturating_duration_since(now));
        }
        let alone: Vec<_> = self
            .pods_without_keeper()
            .filter(|(_, at)| *at <= now)
            .map(|(id, _)| id.clone())
            .collect();
        for id in alone {
            self.bar_way();
            self.leave_alone(&id);
        }
    }

    /// Pods that wait for a program, and until when: not for one of a desktop that ends, also if they
    /// are not there yet.
    fn idle_pods(&self) -> impl Iterator<Item = (&TaskId, Instant)> {
        let (ends, life) = (self.known.terminating(), &self.places.life);
        life.iter().filter_map(move |(id, spec)| {
            let linger = Duration::from_secs(spec.linger_s()?.into());
            let link = self.places.links.get(id)?;
            if ends && life.is_vacant(id) && life.is_unasked(id) {
                return Some((id, self.places.begun.at(Duration::ZERO)));
            }
            let linger = if ends { Duration::ZERO } else { linger };
            let due = link.idle_since? + linger;
            let ending = life.life(id) == Some(Life::Ending);
            let kept = !ends && life.is_kept(id);
            Some((id, due)).filter(|_| !ending && !kept)
        })
    }

    /// Pods that run and whose keeper has never come, and until when it may.
    fn pods_without_keeper(&self) -> impl Iterator<Item = (&TaskId, Instant)> {
        self.places.links.iter().filter_map(|(id, link)| {
            let runs = self.runs.get(&place_run(id)).is_some_and(Run::ran);
            let waits = link.far && !link.answered && runs;
            let ending = self.places.life.life(id) == Some(Life::Ending);
            Some((id, link.silent_since? + ALONE_TOLD_AFTER)).filter(|_| waits && !ending)
        })
    }

    /// Pods with something that is to stop and of which the keeper cannot be told, from when on they are
    /// deleted instead, and when it is to be killed.
    fn untold_stops(&self) -> impl Iterator<Item = (&TaskId, Instant, Instant)> {
        self.places.links.iter().filter_map(|(id, link)| {
            let away = link.far && self.places.life.life(id) == Some(Life::Away);
            let since = link.silent_since.filter(|_| away)?;
            let stops = self.places.life.runs(id).filter_map(|(run, stage)| {
                self.places.runs.get(run).filter(|_| stage != Stage::Over)?.stop
            });
            let (term, kill) = stops.min_by_key(|(_, kill)| *kill)?;
            Some((id, term.max(since + UNTOLD_MAX), kill))
        })
    }

    fn bar_way(&mut self) {
        self.places.barred_until = Some(Instant::now() + BARRED_FOR);
        if let Some(port) = self.config.policy.places_port {
            tracing::warn!("{}: {}", barred(port), admit(port));
            self.known.set_way(Way::Barred { port });
        }
    }

    /// No keeper comes from this pod: it is the one of its first program, as every pod without a keeper.
    pub(super) fn leave_alone(&mut self, id: &TaskId) {
        let Some(place) = self.runs.get(&place_run(id)) else { return };
        let (object, told, said) = (place.object.clone(), place.told.clone(), place.said.clone());
        let (present, has_log) = (place.present, place.ran() && place.has_log);
        let runs = self.forget_place(id);
        if runs.is_empty() {
            return self.delete_place(object);
        }
        for (run, _) in runs {
            let at = self.places.runs.remove(&run).unwrap_or_default();
            let Some(old) = self.runs.remove(&run) else { continue };
            let mut own =
                Run::new(old.app, EngineKind::PodApplication, object.clone(), Creation::Done);
            own.program = at.request.and_then(|request| request.program);
            (own.known, own.present) = (old.known, present);
            own.has_log = has_log;
            self.runs.insert(run.clone(), own);
            self.out.push(Event::Accepted { run: run.clone(), object: object.clone() });
            self.said(&run, said.clone());
            if let Some(told) = told.clone() {
                self.observe(&run, told);
            }
            self.read_output(&run);
            if let Some((_, kill)) = at.stop {
                self.stop(&run, Duration::ZERO, kill.saturating_duration_since(Instant::now()));
            }
        }
    }
}
