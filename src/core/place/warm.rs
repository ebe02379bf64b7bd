//! Places that are there before anybody asks: how many of a kind are to be made now, and which idle ones
//! are kept.
//!
//! A launch takes one, and another is made in its stead. One that ends before anything was launched in it
//! is made again after a pause, which doubles; an ephemeral container is not, since its entry stays in
//! the pod for ever.

use std::time::Duration;

use super::{Life, PLACES_MAX, Place, PlaceSpec, Places};
use crate::id::{AppId, TaskId};

/// Until the next attempt after one that ended unused; after each further one twice as long.
const PAUSE_MIN: Duration = Duration::from_secs(1);
/// And at most so long.
const PAUSE_MAX: Duration = Duration::from_secs(300);

/// A kind of places of which some are to be there before anybody asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WarmPlace {
    /// The first application for which it is.
    pub app: AppId,
    /// What it is.
    pub spec: PlaceSpec,
    /// How many are to be idle.
    pub count: u32,
    /// How many may be made.
    pub leeway: Leeway,
}

/// What a quota leaves to places that nobody asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Leeway {
    /// So many more may be made.
    More(u32),
    /// Nothing is left for a launch: an idle one is to go.
    Full,
}

#[derive(Debug)]
struct Kind {
    wanted: WarmPlace,
    /// Made since the leeway was told.
    made: u32,
    /// One was given up since the leeway was told.
    given_up: bool,
    /// Ended unused since one proved to be of use.
    failures: u32,
    /// One ended unused, and the pause has not begun.
    died: bool,
    not_before: Duration,
}

/// What is to be there.
#[derive(Debug, Default)]
pub(super) struct WarmPlaces {
    /// It is not known yet, so nothing that is idle is given up.
    untold: bool,
    kinds: Vec<Kind>,
}

impl WarmPlaces {
    /// One ended before anything was launched in it.
    pub(super) fn died(&mut self, spec: &PlaceSpec) {
        if let Some(kind) = self.kinds.iter_mut().find(|kind| kind.wanted.spec == *spec) {
            kind.died = true;
        }
    }

    /// A program started in one.
    pub(super) fn proved(&mut self, spec: &PlaceSpec) {
        if let Some(kind) = self.kinds.iter_mut().find(|kind| kind.wanted.spec == *spec) {
            kind.failures = 0;
        }
    }
}

impl Kind {
    /// How many are to be made at once.
    fn missing(&self, places: &[&Place]) -> u32 {
        let vacant = u32::try_from(places.len()).unwrap_or(u32::MAX);
        let may = match self.wanted.leeway {
            Leeway::More(more) => more.saturating_sub(self.made),
            Leeway::Full => 0,
        };
        let missing = self.wanted.count.saturating_sub(vacant).min(may);
        match self.failures {
            0 => missing,
            _ if self.wanted.spec.pod.is_none() => 0,
            // One after the other.
            _ if places.iter().any(|place| place.life == Life::Starting) => 0,
            _ => missing.min(1),
        }
    }
}

impl Places {
    /// Some are to be there before anybody asks, and which will be told: until then no idle one ends.
    pub fn expect_warm(&mut self) {
        self.warm.untold = true;
    }

    /// Which are to be there from now on. What is known of their attempts stays.
    pub fn keep_warm(&mut self, wanted: Vec<WarmPlace>) {
        let mut before = std::mem::take(&mut self.warm.kinds);
        let kind = |wanted: WarmPlace| {
            let known = before.iter().position(|kind| kind.wanted.spec == wanted.spec);
            let Some(mut kind) = known.map(|at| before.swap_remove(at)) else {
                let not_before = Duration::ZERO;
                let (made, failures) = (0, 0);
                return Kind { wanted, made, given_up: false, failures, died: false, not_before };
            };
            if kind.wanted.leeway != wanted.leeway {
                (kind.made, kind.given_up) = (0, false);
            }
            kind.wanted = wanted;
            kind
        };
        let kinds = wanted.into_iter().map(kind).collect();
        self.warm = WarmPlaces { untold: false, kinds };
    }

    /// What is to be made now, on a clock that never goes back, of what may be: each is to
    /// be passed to [`make`](Self::make).
    pub fn to_make(
        &mut self,
        now: Duration,
        may: impl Fn(&PlaceSpec) -> bool,
    ) -> Vec<(AppId, PlaceSpec)> {
        let mut free = PLACES_MAX.saturating_sub(self.places.len());
        let mut all = Vec::new();
        for kind in &mut self.warm.kinds {
            if std::mem::take(&mut kind.died) {
                let pause = PAUSE_MIN.saturating_mul(1 << kind.failures.min(16)).min(PAUSE_MAX);
                kind.failures = kind.failures.saturating_add(1);
                kind.not_before = now + pause;
            }
            if now < kind.not_before || !may(&kind.wanted.spec) {
                continue;
            }
            let spec = &kind.wanted.spec;
            let missing = kind.missing(&vacant(self.places.values(), spec)).min(many(free));
            free -= missing as usize;
            kind.made += missing;
            let one = (kind.wanted.app.clone(), spec.clone());
            all.extend(std::iter::repeat_n(one, missing as usize));
        }
        all
    }

    /// When one is to be made although nothing happens.
    #[must_use]
    pub fn to_make_at(&self, now: Duration) -> Option<Duration> {
        let waits = |kind: &&Kind| {
            let vacant = vacant(self.places.values(), &kind.wanted.spec);
            kind.not_before > now && kind.missing(&vacant) > 0
        };
        self.warm.kinds.iter().filter(waits).map(|kind| kind.not_before).min()
    }

    /// A place that nobody asked for is being made.
    pub fn make(&mut self, id: TaskId, spec: PlaceSpec) {
        let runs = std::collections::BTreeMap::new();
        self.places.insert(id, Place { spec, life: Life::Starting, runs, last: None });
    }

    /// Whether an idle pod is kept however long it waits.
    #[must_use]
    pub fn is_kept(&self, id: &TaskId) -> bool {
        let Some(place) = self.places.get(id) else { return false };
        let kind = self.warm.kinds.iter().find(|kind| kind.wanted.spec == place.spec);
        // Those that can be used at once come first.
        let rank = |(id, place): &(&TaskId, &Place)| (place.life != Life::Up, (*id).clone());
        let own = rank(&(id, place));
        let alike = |(_, other): &(&TaskId, &Place)| other.is_vacant() && other.spec == place.spec;
        let before = self.places.iter().filter(alike).filter(|other| rank(other) < own).count();
        self.warm.untold || kind.is_some_and(|kind| many(before) < kind.wanted.count)
    }

    /// Idle pods that are to go because their quota is full, at most one of a kind until the next is told
    /// of that.
    pub fn to_give_up(&mut self) -> Vec<TaskId> {
        let mut all = Vec::new();
        for kind in &mut self.warm.kinds {
            if kind.wanted.leeway != Leeway::Full || kind.given_up {
                continue;
            }
            let idle = |(_, place): &(&TaskId, &Place)| {
                place.spec == kind.wanted.spec && place.spec.pod.is_some() && place.is_idle()
            };
            let one = self.places.iter().find(idle).map(|(id, _)| id.clone());
            kind.given_up = one.is_some();
            all.extend(one);
        }
        all
    }
}

fn vacant<'a>(places: impl Iterator<Item = &'a Place>, spec: &PlaceSpec) -> Vec<&'a Place> {
    // Of an ephemeral container one is enough, whatever runs there.
    let counts = |place: &&Place| place.is_vacant() || spec.pod.is_none();
    places.filter(|place| place.spec == *spec).filter(counts).collect()
}

fn many(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}
