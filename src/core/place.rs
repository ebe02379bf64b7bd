//! The life of places: containers whose first process is a keeper, in which one program after the other
//! runs. Pure: what happened comes in, what follows comes out.
//!
//! ```text
//!   first launch        the keeper answered          the connection ended
//!  --------------> Starting ---------------> Up ------------------------> Away
//!                     |                     | ^                            |
//!                     |                     | +------ it answered again ---+
//!                     |                     | its pod was idle for long
//!                     |                     +-------------------------> Ending
//!                     +------ its container ended, or the keeper never answers ------> (forgotten)
//! ```
//!
//! The cluster causes the ends, the link to the keeper the rest; the engine ends idle pods, and those
//! whose run is to stop and cannot be told. An ephemeral container is shared by all programs of its
//! kind; a pod, whose resources are those of one program, has one at a time. A launch that finds no place makes
//! one; those that come meanwhile wait for it and are asked for together; later ones are messages.
//! Every launch is asked for again after the connection broke before it was answered: the keeper
//! starts nothing twice.
//!
//! Some places are made before anybody asks ([`warm`]).

mod warm;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::env_var::{EnvSource, EnvVar};
use crate::id::TaskId;
use crate::kubernetes::LABEL_APP;
use crate::plan::facts::VolumeMount;
use crate::plan::remote::{ContainerPlan, CookieMaker, EphemeralPlan, KeeperFile, PodPlan};
use crate::policy::{PullPolicy, RunAs};
use crate::wire::RunId;

use self::warm::WarmPlaces;
pub use self::warm::{Leeway, WarmPlace};

/// Places that a desktop has at once: each is an entry of its pod for as long as that lives.
pub const PLACES_MAX: usize = 128;

/// What all programs of a place have in common. Another image, user or volume is another place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlaceSpec {
    /// Image.
    pub image: String,
    /// When it is pulled.
    pub pull_policy: PullPolicy,
    /// As whom.
    pub run_as: RunAs,
    /// Volumes of the pod.
    pub mounts: Vec<VolumeMount>,
    /// Variables that only kubelet can fill, with the field of the pod that each is.
    pub fields: Vec<(String, String)>,
    /// Where its keeper comes from.
    pub keeper: KeeperFile,
    /// The pod that it is, without what is of one program; absent: a container of the desktop's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod: Option<Box<PodPlan>>,
}

impl PlaceSpec {
    /// The place in which `plan` is to be carried out; absent: its pod is no place.
    #[must_use]
    pub fn of_pod(plan: &PodPlan) -> Option<Self> {
        let keeper = plan.place.as_ref()?.keeper.clone();
        let mut pod = plan.clone();
        pod.labels.remove(LABEL_APP);
        let container = &mut pod.container;
        // What an init container makes of a variable is the pod's.
        let kept = |var: &EnvVar| {
            matches!(var.from, EnvSource::Field(_)) || (plan.cookie.is_some() && is_cookie(var))
        };
        container.env.retain(kept);
        (container.argv, container.arguments, container.program) = Default::default();
        (container.entry_point, container.cwd) = Default::default();
        let spec = Self::of_container(container, keeper);
        Some(Self { pod: Some(Box::new(pod)), ..spec })
    }

    /// Seconds for which it waits for the next program; absent: for as long as the desktop's pod.
    #[must_use]
    pub fn linger_s(&self) -> Option<u32> {
        Some(self.pod.as_ref()?.place.as_ref()?.linger_s)
    }

    /// The place in which `plan` is to be carried out; absent: it is to have a container of its own.
    #[must_use]
    pub fn of(plan: &EphemeralPlan) -> Option<Self> {
        Some(Self::of_container(&plan.container, plan.place.clone()?))
    }

    fn of_container(container: &ContainerPlan, keeper: KeeperFile) -> Self {
        Self {
            image: container.image.clone(),
            pull_policy: container.pull_policy,
            run_as: container.run_as.clone(),
            mounts: container.mounts.clone(),
            fields: container.env.iter().filter_map(field).collect(),
            keeper,
            pod: None,
        }
    }
}

fn field(var: &EnvVar) -> Option<(String, String)> {
    match &var.from {
        EnvSource::Field(path) => Some((var.name.clone(), path.clone())),
        _ => None,
    }
}

fn is_cookie(var: &EnvVar) -> bool {
    var.name == CookieMaker::VARIABLE
}

/// How far a place is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Life {
    /// Its container was asked for, and its keeper has not answered yet.
    Starting,
    /// Its keeper takes messages.
    Up,
    /// The connection ended, or an earlier daemon's has.
    Away,
    /// Its pod is being deleted.
    Ending,
}

/// How far a run at a place is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Its keeper is to be asked for it, or was and has not answered.
    Asked,
    /// Its keeper has it.
    There,
    /// Nothing of it is left there but its output.
    Over,
}

/// What a launch needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Launch {
    /// A place like this is to be made; the launch waits for it.
    Make(TaskId),
    /// Wait for this one.
    Wait(TaskId),
    /// Ask the keeper of this one.
    Ask(TaskId),
}

/// What is to be done when a keeper answered.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Answered {
    /// It is to be asked for these.
    pub ask: Vec<RunId>,
    /// It should have had these and has not: they are at the place no more.
    pub missing: Vec<RunId>,
}

#[derive(Debug)]
struct Place {
    spec: PlaceSpec,
    life: Life,
    runs: BTreeMap<RunId, Stage>,
    /// The last run that was launched there.
    last: Option<Last>,
}

/// The last run that was launched at a place: a later daemon has to know what may be there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Last {
    /// Which.
    pub run: RunId,
    /// Its keeper has it.
    pub there: bool,
}

impl Place {
    /// Whether nothing runs there, for all that is known.
    fn is_idle(&self) -> bool {
        self.life == Life::Up && self.is_vacant()
    }

    /// The same of one whose keeper does not answer yet, or not now.
    fn is_vacant(&self) -> bool {
        self.life != Life::Ending && self.runs.values().all(|stage| *stage == Stage::Over)
    }

    /// Whether a run like this can be launched there.
    fn takes(&self, run: &RunId, spec: &PlaceSpec) -> bool {
        let again = self.last.as_ref().is_some_and(|last| last.run == *run);
        self.life != Life::Ending
            && self.spec == *spec
            && (spec.pod.is_none() || again || self.is_idle())
    }
}

/// All places. Each is called like a task, by which its container is recognized.
#[derive(Debug, Default)]
pub struct Places {
    places: BTreeMap<TaskId, Place>,
    warm: WarmPlaces,
}

impl Places {
    /// A launch. `fresh` names a place that is made for it. Nothing when there are too many.
    pub fn launch(
        &mut self,
        run: &RunId,
        spec: PlaceSpec,
        fresh: impl FnOnce() -> TaskId,
    ) -> Option<Launch> {
        let known = self.places.iter_mut().find(|(_, place)| place.takes(run, &spec));
        if let Some((id, place)) = known {
            place.last = Some(Last { run: run.clone(), there: false });
            place.runs.entry(run.clone()).or_insert(Stage::Asked);
            let up = place.life == Life::Up;
            return Some(if up { Launch::Ask(id.clone()) } else { Launch::Wait(id.clone()) });
        }
        if self.places.len() >= PLACES_MAX {
            return None;
        }
        let (id, runs) = (fresh(), BTreeMap::from([(run.clone(), Stage::Asked)]));
        let last = Some(Last { run: run.clone(), there: false });
        self.places.insert(id.clone(), Place { spec, life: Life::Starting, runs, last });
        Some(Launch::Make(id))
    }

    /// One that an earlier daemon made, with the last run that it launched there.
    pub fn remember(&mut self, id: TaskId, spec: PlaceSpec, last: Option<Last>) {
        let place = Place { spec, life: Life::Away, runs: BTreeMap::new(), last };
        self.places.entry(id).or_insert(place);
    }

    /// The last run that was launched at a place.
    #[must_use]
    pub fn last(&self, id: &TaskId) -> Option<&Last> {
        self.places.get(id)?.last.as_ref()
    }

    /// Runs that keepers had when they were heard last.
    pub fn known_there(&self) -> impl Iterator<Item = &RunId> {
        let last = self.places.values().filter_map(|place| place.last.as_ref());
        last.filter(|last| last.there).map(|last| &last.run)
    }

    /// A run that an earlier daemon started at a place.
    pub fn keep(&mut self, id: &TaskId, run: RunId) {
        if let Some(place) = self.places.get_mut(id) {
            place.runs.insert(run, Stage::There);
        }
    }

    /// The keeper answered, and has these runs.
    pub fn up(&mut self, id: &TaskId, kept: impl IntoIterator<Item = RunId>) -> Answered {
        let Some(place) = self.places.get_mut(id) else { return Answered::default() };
        if place.life != Life::Ending {
            place.life = Life::Up;
        }
        let kept: BTreeMap<_, _> = kept.into_iter().map(|run| (run, Stage::There)).collect();
        let (asked, there): (BTreeMap<_, _>, _) = std::mem::take(&mut place.runs)
            .into_iter()
            .filter(|(run, _)| !kept.contains_key(run))
            .partition(|(_, stage)| *stage == Stage::Asked);
        place.runs = kept;
        place.runs.extend(asked.clone());
        Answered { ask: asked.into_keys().collect(), missing: there.into_keys().collect() }
    }

    /// The connection ended.
    pub fn lost(&mut self, id: &TaskId) {
        if let Some(place) = self.places.get_mut(id).filter(|place| place.life != Life::Ending) {
            place.life = Life::Away;
        }
    }

    /// Its pod is to be deleted: nothing is launched there any more.
    pub fn end(&mut self, id: &TaskId) {
        if let Some(place) = self.places.get_mut(id) {
            place.life = Life::Ending;
        }
    }

    /// Nothing of a run is left but its output.
    pub fn over(&mut self, run: &RunId) {
        if let Some(stage) = self.stage_mut(run) {
            *stage = Stage::Over;
        }
    }

    /// Whether nothing runs at a place, for all that its keeper tells.
    #[must_use]
    pub fn is_idle(&self, id: &TaskId) -> bool {
        self.places.get(id).is_some_and(Place::is_idle)
    }

    /// The same of one whose keeper does not answer yet, or not now.
    #[must_use]
    pub fn is_vacant(&self, id: &TaskId) -> bool {
        self.places.get(id).is_some_and(Place::is_vacant)
    }

    /// Whether nothing was ever launched at a place.
    #[must_use]
    pub fn is_unasked(&self, id: &TaskId) -> bool {
        self.places.get(id).is_some_and(|place| place.last.is_none())
    }

    /// Whether a place is a pod in which nothing runs.
    #[must_use]
    pub fn is_idle_pod(&self, id: &TaskId) -> bool {
        self.places.get(id).is_some_and(|place| place.spec.pod.is_some() && place.is_idle())
    }

    /// The keeper has a run that it was asked for.
    pub fn there(&mut self, run: &RunId) {
        if let Some(stage) = self.stage_mut(run).filter(|stage| **stage == Stage::Asked) {
            *stage = Stage::There;
        }
        let of = |place: &&mut Place| place.last.as_ref().is_some_and(|last| last.run == *run);
        if let Some(place) = self.places.values_mut().find(of) {
            place.last = Some(Last { run: run.clone(), there: true });
            self.warm.proved(&place.spec);
        }
    }

    /// A run is of no interest any more.
    pub fn forget(&mut self, run: &RunId) {
        for place in self.places.values_mut() {
            place.runs.remove(run);
        }
    }

    /// Its container ended, or its keeper never answers: it is no place any more. Returns what was, or
    /// was to be, there.
    pub fn dead(&mut self, id: &TaskId) -> Vec<(RunId, Stage)> {
        let dead = self.places.remove(id);
        if let Some(place) = dead.as_ref().filter(|it| it.last.is_none() && it.life != Life::Ending)
        {
            self.warm.died(&place.spec);
        }
        dead.into_iter().flat_map(|place| place.runs).collect()
    }

    /// Whether a later run of the same task is at the place of this one: its keeper has one run of each
    /// task, so that one took the place of this, or will.
    #[must_use]
    pub fn is_replaced(&self, run: &RunId) -> bool {
        let later = |it: &RunId| it.task == run.task && it.run > run.run;
        let at = self.places.values().find(|place| place.runs.contains_key(run));
        at.is_some_and(|place| place.runs.keys().any(later))
    }

    /// Where a run is, and how far it is.
    #[must_use]
    pub fn of(&self, run: &RunId) -> Option<(&TaskId, Stage)> {
        self.places.iter().find_map(|(id, place)| Some((id, *place.runs.get(run)?)))
    }

    /// How far a place is; absent: it is none.
    #[must_use]
    pub fn life(&self, id: &TaskId) -> Option<Life> {
        self.places.get(id).map(|place| place.life)
    }

    /// The runs of a place.
    pub fn runs(&self, id: &TaskId) -> impl Iterator<Item = (&RunId, Stage)> {
        let runs = self.places.get(id).into_iter().flat_map(|place| &place.runs);
        runs.map(|(run, stage)| (run, *stage))
    }

    /// All of them, with what they are.
    pub fn iter(&self) -> impl Iterator<Item = (&TaskId, &PlaceSpec)> {
        self.places.iter().map(|(id, place)| (id, &place.spec))
    }

    /// Those that do not answer, and may have runs which nobody told of yet.
    pub fn away(&self) -> impl Iterator<Item = &TaskId> {
        self.places.iter().filter(|(_, place)| place.life == Life::Away).map(|(id, _)| id)
    }

    fn stage_mut(&mut self, run: &RunId) -> Option<&mut Stage> {
        self.places.values_mut().find_map(|place| place.runs.get_mut(run))
    }
}

#[cfg(test)]
mod tests;
