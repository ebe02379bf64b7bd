//! Which places are to be there before anybody asks: told to the cluster's engine whenever that changed.

use std::collections::BTreeMap;

use super::{Now, Runs, Step};
use crate::id::AppId;
use crate::place::WarmPlace;
use crate::plan::facts::ApiState;
use crate::plan::{KubernetesFacts, Warm, warm};
use crate::policy::WARM_MAX;
use crate::port::{Command, Link};

/// What was told.
#[derive(Debug, Default)]
pub(super) struct WarmPlaces {
    /// The applications are known.
    apps: bool,
    /// Something may have changed.
    stale: bool,
    /// Per application.
    known: BTreeMap<AppId, WarmPlace>,
    told: Option<Vec<WarmPlace>>,
}

/// Nothing can be told now of an application of which nothing was known before: what an earlier daemon
/// made for it must not be given up.
struct Unknown;

impl Runs {
    /// What an application would find; what it finds, where things are not as they should be now.
    fn warm_of(&self, id: &AppId, now: &Now<'_>) -> Result<Option<WarmPlace>, Unknown> {
        let warm = self.app(id).and_then(|app| warm(app, &self.facts(app, None, now)));
        match (warm, self.warm.known.get(id)) {
            (None, _) => Ok(None),
            (Some(Warm::Place(place)), _) => Ok(Some(*place)),
            (Some(Warm::Unknown), Some(known)) => Ok(Some(known.clone())),
            (Some(Warm::Unknown), None) if self.warm.told.is_some() => Ok(None),
            (Some(Warm::Unknown), None) => Err(Unknown),
        }
    }

    fn all_warm(&self, now: &Now<'_>) -> Result<BTreeMap<AppId, WarmPlace>, Unknown> {
        let mut all = BTreeMap::new();
        for id in self.apps.keys() {
            all.extend(self.warm_of(id, now)?.map(|place| (id.clone(), place)));
        }
        Ok(all)
    }
}

impl Step<'_> {
    /// The applications are others, so other places may be wanted.
    pub(super) fn warm_for_other_apps(&mut self) {
        self.runs.warm.apps = true;
        self.runs.warm.stale = true;
    }

    /// The display may answer now, or not any more.
    pub(super) fn warm_for_display(&mut self) {
        self.runs.warm.stale = true;
    }

    /// What decides about a plan may have changed.
    pub(super) fn warm_after(&mut self, before: &KubernetesFacts) {
        let now = &self.runs.cluster.facts;
        let same = before.api == now.api
            && before.own_pod == now.own_pod
            && before.rights == now.rights
            && before.quotas == now.quotas
            && before.way == now.way;
        self.runs.warm.stale |= !same;
    }

    /// Tells the engine which places are to be there, if that is news.
    pub(super) fn keep_warm(&mut self) {
        let WarmPlaces { apps: true, stale: true, .. } = self.runs.warm else { return };
        let answers = self.runs.cluster.facts.api == ApiState::Answers;
        if !self.runs.config.policy.keeps_warm() || !answers || self.runs.draining() {
            return;
        }
        self.runs.warm.stale = false;
        let Ok(known) = self.runs.all_warm(self.now) else { return };
        let all = merged(known.values());
        self.runs.warm.known = known;
        if self.runs.warm.told.as_ref() != Some(&all) {
            self.runs.warm.told = Some(all.clone());
            self.tell(Link::Cluster, Command::KeepWarm(all));
        }
    }
}

/// Each kind once, with the most that an application of it wants, and not more than may be.
fn merged<'a>(wanted: impl Iterator<Item = &'a WarmPlace>) -> Vec<WarmPlace> {
    let mut all = Vec::<WarmPlace>::new();
    for one in wanted {
        match all.iter_mut().find(|place| place.spec == one.spec) {
            Some(place) => place.count = place.count.max(one.count),
            None => all.push(one.clone()),
        }
    }
    let mut left = WARM_MAX;
    for place in &mut all {
        place.count = place.count.min(left);
        left -= place.count;
    }
    all.retain(|place| place.count > 0);
    all
}
