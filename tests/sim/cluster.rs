//! The API server and the nodes: pods and ephemeral containers that outlive deskd, each with a life of
//! its own.

use std::collections::BTreeMap;

use deskd_core::id::AppId;
use deskd_core::kubernetes::ObjectRef;
use deskd_core::origin::{Found, ONLY_RUN};
use deskd_core::plan::EngineKind;
use deskd_core::task::Exit;
use deskd_core::wire::RunId;

use crate::oracle::{Oracle, Place};
use crate::places::{Hosts, is_place};
use crate::rng::Rng;

/// How far a container is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Phase {
    Pending,
    Running { at: i64 },
    Ended { exit: Exit, at: i64 },
}

#[derive(Debug, Clone)]
pub struct Container {
    /// Others made it, and this is what its object says.
    pub found: Option<Found>,
    pub app: AppId,
    pub engine: EngineKind,
    pub object: ObjectRef,
    pub phase: Phase,
    /// SIGTERM was sent, SIGKILL follows.
    pub stop: Option<(u64, u64)>,
    /// It can never start: its image does not exist.
    pub stuck: bool,
    obeys: bool,
    grace_ms: u64,
}

/// What answers, and what it says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Api {
    Answers,
    Away,
    Forbids,
}

#[derive(Debug)]
pub struct Cluster {
    pub api: Api,
    pub objects: BTreeMap<RunId, Container>,
    /// Objects that others made so far.
    others: u32,
    pub hosts: Hosts,
}

impl Cluster {
    pub fn new() -> Self {
        let hosts = Hosts::default();
        Self { api: Api::Answers, objects: BTreeMap::new(), others: 0, hosts }
    }

    /// Makes an object; false when it is there already (409, or a patch that changes nothing).
    pub fn create(
        &mut self,
        run: &RunId,
        app: &AppId,
        engine: EngineKind,
        object: &ObjectRef,
        grace_ms: u64,
        rng: &mut Rng,
    ) -> bool {
        if self.objects.contains_key(run) {
            return false;
        }
        let container = Container {
            found: None,
            app: app.clone(),
            engine,
            object: object.clone(),
            phase: Phase::Pending,
            stop: None,
            stuck: rng.once_in(10),
            obeys: !rng.once_in(4),
            grace_ms,
        };
        self.objects.insert(run.clone(), container);
        true
    }

    /// Somebody else makes a container of the desktop's pod, or a pod.
    pub fn others_start(&mut self, rng: &mut Rng) {
        self.others += 1;
        let name = format!("writer-{}", self.others);
        let found = Found::new(&name, "an/image", Vec::new(), &[]);
        let run = RunId { task: found.task(), run: ONLY_RUN };
        let app = AppId::like(&name);
        let in_pod = rng.once_in(2);
        let engine =
            if in_pod { EngineKind::PodApplication } else { EngineKind::EphemeralContainer };
        let pod = if in_pod { name.clone() } else { "desktop".to_owned() };
        let object = ObjectRef { namespace: "desktops".into(), pod, container: name };
        if self.create(&run, &app, engine, &object, 5_000, rng)
            && let Some(it) = self.objects.get_mut(&run)
        {
            it.found = Some(found);
        }
    }

    /// Asks for the end of a pod, or signals the processes of a container.
    pub fn stop(&mut self, run: &RunId, term_at: u64, kill_at: u64) {
        if let Some(it) = self.objects.get_mut(run) {
            let sooner =
                it.stop.map_or((term_at, kill_at), |old| (old.0.min(term_at), old.1.min(kill_at)));
            it.stop = Some(sooner);
        }
    }

    /// A container goes on by itself, or somebody deletes a pod.
    pub fn go_on(
        &mut self,
        (unix, clock): (i64, u64),
        rng: &mut Rng,
        oracle: &mut Oracle,
        acknowledged: &dyn Fn(&RunId) -> bool,
    ) {
        let ids: Vec<RunId> = self.objects.keys().cloned().collect();
        let Some(run) = rng.pick(&ids) else { return };
        let deletes = rng.once_in(if run.task.as_str().starts_with("writer") { 8 } else { 40 });
        let Some(it) = self.objects.get_mut(&run) else { return };
        // Before deskd has it on record that a pod was made, it cannot know that one was deleted.
        let may = it.found.is_some() || acknowledged(&run);
        if deletes && it.engine == EngineKind::PodApplication && may {
            let grace = it.grace_ms;
            return self.stop(&run, clock, clock + grace);
        }
        match &it.phase {
            Phase::Pending if it.stuck => {}
            Phase::Pending if is_place(&run) => {
                it.phase = Phase::Running { at: unix };
                self.hosts.begin(&run.task, unix);
            }
            Phase::Running { .. } if is_place(&run) => {
                // As of a pod: of what is not on record nobody can know that it was lost.
                let told = |id: &RunId| acknowledged(id) || oracle.removed.contains(&id.task);
                if rng.once_in(15) && self.hosts.all_at(&run.task, told) {
                    let (number, name) = (9, "SIGKILL".into());
                    let exit = Exit::Signal { number, name, core_dumped: false };
                    it.phase = Phase::Ended { exit, at: unix };
                    self.hosts.die(&run.task, oracle);
                } else if let Some(keeper) = self.hosts.keepers.get_mut(&run.task) {
                    keeper.end_something(unix, rng, oracle);
                }
            }
            Phase::Pending => {
                it.phase = Phase::Running { at: unix };
                oracle.started(&run, Place::Cluster);
            }
            Phase::Running { .. } if rng.once_in(3) => {
                let exit = if rng.once_in(2) { Exit::Code(0) } else { Exit::Code(3) };
                oracle.ended(&run, &exit);
                it.phase = Phase::Ended { exit, at: unix };
            }
            Phase::Running { .. } | Phase::Ended { .. } => {}
        }
    }

    /// Signals that are due; a deleted pod goes when its container has ended.
    pub fn tick(&mut self, unix: i64, clock: u64, oracle: &mut Oracle) {
        self.hosts.keepers.values_mut().for_each(|keeper| keeper.tick(unix, clock, oracle));
        self.objects.retain(|run, it| {
            let Some((term_at, kill_at)) = it.stop else { return true };
            let dies = clock >= kill_at || (clock >= term_at && it.obeys);
            if !dies {
                return true;
            }
            if matches!(it.phase, Phase::Running { .. }) {
                let (number, name) =
                    if clock >= kill_at { (9, "SIGKILL") } else { (15, "SIGTERM") };
                let exit = Exit::Signal { number, name: name.into(), core_dumped: false };
                oracle.ended(run, &exit);
                it.phase = Phase::Ended { exit, at: unix };
                // Its end is seen before it is gone, or not at all.
                return true;
            }
            it.engine != EngineKind::PodApplication
        });
    }
}
