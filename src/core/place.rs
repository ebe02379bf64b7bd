//! The life of places: ephemeral containers whose first process is a keeper, in which one program after
//! the other runs. Pure: what happened comes in, what follows comes out.
//!
//! ```text
//!   first launch        the keeper answered          the connection ended
//!  --------------> Starting ---------------> Up ------------------------> Away
//!                     |                       ^                            |
//!                     |                       +------ it answered again ---+
//!                     +------ its container ended, or the keeper never answers ------> (forgotten)
//! ```
//!
//! The cluster causes the ends, the link to the keeper the rest. A launch that finds no place makes
//! one; those that come meanwhile wait for it and are asked for together; later ones are messages.
//! Every launch is asked for again after the connection broke before it was answered: the keeper
//! starts nothing twice.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::env_var::EnvSource;
use crate::id::TaskId;
use crate::plan::facts::VolumeMount;
use crate::plan::remote::{EphemeralPlan, KeeperFile};
use crate::policy::{PullPolicy, RunAs};
use crate::wire::RunId;

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
}

impl PlaceSpec {
    /// The place in which `plan` is to be carried out; absent: it is to have a container of its own.
    #[must_use]
    pub fn of(plan: &EphemeralPlan) -> Option<Self> {
        let container = &plan.container;
        let field = |var: &crate::env_var::EnvVar| match &var.from {
            EnvSource::Field(path) => Some((var.name.clone(), path.clone())),
            _ => None,
        };
        Some(Self {
            image: container.image.clone(),
            pull_policy: container.pull_policy,
            run_as: container.run_as.clone(),
            mounts: container.mounts.clone(),
            fields: container.env.iter().filter_map(field).collect(),
            keeper: plan.place.clone()?,
        })
    }
}

/// How far a place is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Life {
    /// Its container was asked for, and its keeper has not answered yet.
    Starting,
    /// Its keeper takes messages.
    Up,
    /// The connection ended, or an earlier daemon's has.
    Away,
}

/// How far a run at a place is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Its keeper is to be asked for it, or was and has not answered.
    Asked,
    /// Its keeper has it.
    There,
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
}

/// All places. Each is called like a task, by which its container is recognized.
#[derive(Debug, Default)]
pub struct Places {
    places: BTreeMap<TaskId, Place>,
}

impl Places {
    /// A launch. `fresh` names a place that is made for it. Nothing when there are too many.
    pub fn launch(
        &mut self,
        run: &RunId,
        spec: PlaceSpec,
        fresh: impl FnOnce() -> TaskId,
    ) -> Option<Launch> {
        let known = self.places.iter_mut().find(|(_, place)| place.spec == spec);
        if let Some((id, place)) = known {
            place.runs.entry(run.clone()).or_insert(Stage::Asked);
            let up = place.life == Life::Up;
            return Some(if up { Launch::Ask(id.clone()) } else { Launch::Wait(id.clone()) });
        }
        if self.places.len() >= PLACES_MAX {
            return None;
        }
        let (id, runs) = (fresh(), BTreeMap::from([(run.clone(), Stage::Asked)]));
        self.places.insert(id.clone(), Place { spec, life: Life::Starting, runs });
        Some(Launch::Make(id))
    }

    /// One that an earlier daemon made.
    pub fn remember(&mut self, id: TaskId, spec: PlaceSpec) {
        self.places.entry(id).or_insert(Place { spec, life: Life::Away, runs: BTreeMap::new() });
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
        place.life = Life::Up;
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
        if let Some(place) = self.places.get_mut(id) {
            place.life = Life::Away;
        }
    }

    /// The keeper has a run that it was asked for.
    pub fn there(&mut self, run: &RunId) {
        if let Some(stage) = self.stage_mut(run) {
            *stage = Stage::There;
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
        self.places.remove(id).into_iter().flat_map(|place| place.runs).collect()
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
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn spec(image: &str) -> PlaceSpec {
        let mount = VolumeMount { name: "deskd-bin".into(), path: "/d".into(), read_only: true };
        PlaceSpec {
            image: image.into(),
            pull_policy: PullPolicy::IfNotPresent,
            run_as: RunAs { uid: 1, gid: 1, groups: vec![] },
            mounts: vec![],
            fields: vec![],
            keeper: KeeperFile { mount, path: "/d/deskd-keeper".into() },
        }
    }

    fn id(number: u32) -> TaskId {
        format!("place-{number:05x}").parse().unwrap()
    }

    fn run(number: u32) -> RunId {
        RunId { task: format!("app-{number:05x}").parse().unwrap(), run: 1 }
    }

    #[test]
    fn the_first_launch_makes_a_place_and_those_that_come_meanwhile_go_with_it() {
        let mut places = Places::default();
        assert_eq!(places.launch(&run(1), spec("a"), || id(1)), Some(Launch::Make(id(1))));
        assert_eq!(places.launch(&run(2), spec("a"), || id(2)), Some(Launch::Wait(id(1))));
        assert_eq!(places.launch(&run(3), spec("b"), || id(3)), Some(Launch::Make(id(3))));
        assert_eq!(places.up(&id(1), []).ask, [run(1), run(2)]);
        assert_eq!(places.launch(&run(4), spec("a"), || id(4)), Some(Launch::Ask(id(1))));
        // The answers to 2 and 4 were lost with the connection.
        places.there(&run(1));
        places.lost(&id(1));
        assert_eq!(places.launch(&run(5), spec("a"), || id(5)), Some(Launch::Wait(id(1))));
        assert_eq!(places.up(&id(1), [run(1), run(2)]).ask, [run(4), run(5)]);
        assert_eq!(places.of(&run(2)), Some((&id(1), Stage::There)));
    }

    #[test]
    fn after_a_place_died_the_next_launch_makes_another() {
        let mut places = Places::default();
        places.launch(&run(1), spec("a"), || id(1));
        places.up(&id(1), []);
        places.there(&run(1));
        places.launch(&run(2), spec("a"), || id(2));
        assert_eq!(places.dead(&id(1)), [(run(1), Stage::There), (run(2), Stage::Asked)]);
        assert_eq!(places.dead(&id(1)), []);
        assert_eq!(places.launch(&run(3), spec("a"), || id(3)), Some(Launch::Make(id(3))));
    }

    #[test]
    fn the_places_of_an_earlier_daemon_are_away_until_they_answer() {
        let mut places = Places::default();
        places.remember(id(1), spec("a"));
        places.keep(&id(1), run(6));
        assert_eq!(places.away().count(), 1);
        let missing = Answered { ask: vec![], missing: vec![run(6)] };
        assert_eq!(places.up(&id(1), [run(7)]), missing);
        assert_eq!(places.away().count(), 0);
        assert_eq!(places.of(&run(7)), Some((&id(1), Stage::There)));
    }

    #[test]
    fn there_are_not_more_than_the_limit() {
        let mut places = Places::default();
        for number in 0..PLACES_MAX as u32 {
            places.launch(&run(number), spec(&number.to_string()), || id(number));
        }
        assert_eq!(places.launch(&run(999), spec("another"), || id(999)), None);
        assert_eq!(places.launch(&run(998), spec("7"), || id(998)), Some(Launch::Wait(id(7))));
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..Default::default() })]
        /// Whatever happens to places, no spec has two that live, and every run that was launched and
        /// not forgotten is in one or was told of by a death.
        #[test]
        fn no_launch_is_lost_and_no_place_is_made_twice(steps in prop::collection::vec((0..6_u8, 0..4_u32), 0..80)) {
            let (mut places, mut next, mut open) = (Places::default(), 0, Vec::new());
            for (step, number) in steps {
                let known: Vec<TaskId> = places.iter().map(|(id, _)| id.clone()).collect();
                let some = known.get(number as usize % known.len().max(1)).cloned();
                match (step, some) {
                    (0 | 1, _) => {
                        next += 1;
                        let made = places.launch(&run(next), spec(&number.to_string()), || id(next));
                        prop_assert!(made.is_some());
                        open.push(run(next));
                    }
                    (2, Some(id)) => places.up(&id, Vec::from_iter(places.runs(&id).filter(|it| it.1 == Stage::There).map(|it| it.0.clone()))).ask.iter().for_each(|run| places.there(run)),
                    (3, Some(id)) => places.lost(&id),
                    (4, Some(id)) => {
                        let dead = places.dead(&id);
                        open.retain(|run| !dead.iter().any(|(of, _)| of == run));
                    }
                    _ => {}
                }
                let mut specs: Vec<_> = places.iter().map(|(_, spec)| spec.image.clone()).collect();
                specs.sort();
                let count = specs.len();
                specs.dedup();
                prop_assert_eq!(specs.len(), count);
                prop_assert!(open.iter().all(|run| places.of(run).is_some()));
            }
        }
    }
}
