//! What everybody but the driver sees: numbered, immutable, shared.

use std::collections::VecDeque;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use deskd_core::app::App;
use deskd_core::display::DisplayStatus;
use deskd_core::health::{Check, KeeperStatus};
use deskd_core::id::TaskId;
use deskd_core::plan::KubernetesFacts;
use deskd_core::pull::PullStatus;
use deskd_core::task::Task;
use deskd_core::text::{Localized, Text};

/// The desktop as a whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Desktop {
    /// `POD_NAME`, else the host name.
    pub name: String,
    /// The daemon's version.
    pub version: String,
    /// The keeper.
    #[serde(default)]
    pub keeper: KeeperStatus,
    /// The display.
    pub display: DisplayStatus,
    /// The cluster, as far as it is known.
    #[serde(default)]
    pub kubernetes: Arc<KubernetesFacts>,
    /// Readiness checks.
    pub checks: Vec<Check>,
    /// All required checks pass.
    pub ready: bool,
    /// The first full look is over (`/startupz`).
    pub started: bool,
    /// deskd is shutting down.
    pub draining: bool,
    /// One line for people: `Display :0 works, shared memory proved` or what is wrong.
    pub sentence: Text,
    /// Number of the change that made this view.
    pub generation: u64,
}

impl Localized for Desktop {
    fn texts(&mut self, each: &mut dyn FnMut(&mut Text)) {
        each(&mut self.sentence);
        self.checks.iter_mut().for_each(|check| check.texts(each));
        let missing = self.kubernetes.rights.iter().any(|right| !right.allowed);
        if missing {
            let facts = Arc::make_mut(&mut self.kubernetes);
            facts.rights.iter_mut().for_each(|right| each(&mut right.sentence));
        }
    }
}

/// Everything at one moment.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// Distinguishes this daemon's generations from those of one before or after it.
    pub epoch: u64,
    /// Counts changes; never goes back within an epoch.
    pub generation: u64,
    /// The desktop.
    pub desktop: Arc<Desktop>,
    /// Tasks, oldest first.
    pub tasks: Arc<Vec<Arc<Task>>>,
    /// Applications by id.
    pub apps: Arc<Vec<Arc<App>>>,
    /// Images pulled on the nodes, the last that changed at the end.
    pub pulls: Arc<Vec<PullStatus>>,
    /// Generation at which `apps` changed last.
    pub apps_generation: u64,
    /// Removed tasks and the generation of their removal, oldest first, at most
    /// [`TOMBSTONES_MAX`](deskd_core::run::TOMBSTONES_MAX).
    pub removed: Arc<VecDeque<(u64, TaskId)>>,
    /// Removals before this generation are forgotten.
    pub removed_since: u64,
}

/// What changed after some generation.
#[derive(Debug, Clone)]
pub struct Changes {
    /// Tasks that are new or different, in order of change.
    pub tasks: Vec<Arc<Task>>,
    /// Tasks that are gone.
    pub removed: Vec<TaskId>,
    /// The desktop, if it changed.
    pub desktop: Option<Arc<Desktop>>,
    /// The applications, if they changed.
    pub apps: Option<Arc<Vec<Arc<App>>>>,
}

impl Snapshot {
    /// Before anything is known but the desktop.
    pub(super) fn empty(epoch: u64, desktop: Arc<Desktop>) -> Self {
        Self {
            epoch,
            generation: 0,
            desktop,
            tasks: Arc::default(),
            apps: Arc::default(),
            pulls: Arc::default(),
            apps_generation: 0,
            removed: Arc::default(),
            removed_since: 0,
        }
    }

    /// One task.
    #[must_use]
    pub fn task(&self, id: &TaskId) -> Option<&Arc<Task>> {
        self.tasks.iter().find(|task| task.id == *id)
    }

    /// What changed since `generation`; nothing when that cannot be told any more (the caller then
    /// starts over from the whole snapshot).
    #[must_use]
    pub fn since(&self, generation: u64) -> Option<Changes> {
        if generation < self.removed_since || generation > self.generation {
            return None;
        }
        let mut tasks: Vec<_> =
            self.tasks.iter().filter(|task| task.generation > generation).cloned().collect();
        tasks.sort_by_key(|task| task.generation);
        Some(Changes {
            tasks,
            removed: self
                .removed
                .iter()
                .filter(|(at, _)| *at > generation)
                .map(|(_, id)| id.clone())
                .collect(),
            desktop: (self.desktop.generation > generation).then(|| self.desktop.clone()),
            apps: (self.apps_generation > generation).then(|| self.apps.clone()),
        })
    }
}
