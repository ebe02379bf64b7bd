//! The task table. It is read by many and changed in `core::run` alone.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::notes::RunNotes;
use crate::id::TaskId;
use crate::origin::{Found, Origin};
use crate::plan::LaunchSpec;
use crate::redact::EnvVar;
use crate::task::Task;

/// Removed tasks remembered for resuming event streams.
pub const TOMBSTONES_MAX: usize = 1024;

/// A task and what belongs to it but is not shown with it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Entry {
    /// The task; on record with the values of its sentences.
    #[serde(with = "crate::why::reason::on_record")]
    pub task: Arc<Task>,
    /// Arguments of the launch and the engine that was insisted on, for every run.
    #[serde(flatten)]
    pub spec: LaunchSpec,
    /// The launch's idempotency key.
    pub key: Option<String>,
    /// The environment of the last run, redacted.
    pub env: Vec<EnvVar>,
    /// What was seen around the last run.
    #[serde(default)]
    pub notes: RunNotes,
    /// What its object says, if others started it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub found: Option<Box<Found>>,
    /// Seconds between SIGTERM and SIGKILL that its plan gives the last run; absent: as `[stop]` says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grace_s: Option<u32>,
}

impl Entry {
    /// A task that nothing else is known of.
    #[must_use]
    pub fn new(task: Task) -> Self {
        Self {
            task: Arc::new(task),
            spec: LaunchSpec::default(),
            key: None,
            env: Vec::new(),
            notes: RunNotes::default(),
            found: None,
            grace_s: None,
        }
    }
}

/// All tasks, in order of creation.
#[derive(Debug, Default)]
pub struct Table {
    entries: BTreeMap<u64, Entry>,
    by_id: HashMap<TaskId, u64>,
    by_key: HashMap<String, u64>,
    next: u64,
    /// Number of the last change.
    generation: u64,
    /// Changed since the last [`Table::take_changed`].
    changed: BTreeSet<u64>,
    removed: Arc<VecDeque<(u64, TaskId)>>,
    removed_since: u64,
}

impl Table {
    /// An empty one, before which these were removed.
    pub(super) fn after(removed: Vec<TaskId>) -> Self {
        let removed = removed.into_iter().map(|id| (0, id)).collect();
        Self { removed: Arc::new(removed), ..Self::default() }
    }

    /// At most `max` of those that an earlier daemon removed, the last ones.
    pub(super) fn removed_before(&self, max: usize) -> Vec<TaskId> {
        let before = self.removed.iter().rev().filter(|(generation, _)| *generation == 0);
        before.take(max).map(|(_, id)| id.clone()).collect()
    }

    /// The tasks that were removed last, oldest first.
    pub fn removed(&self) -> impl Iterator<Item = &TaskId> {
        self.removed.iter().map(|(_, id)| id)
    }

    /// How many deskd started.
    #[must_use]
    pub fn own_len(&self) -> usize {
        self.entries.values().filter(|entry| entry.task.origin == Origin::Deskd).count()
    }

    /// Number of the last change.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// Counts a change of something else that is shown with the tasks.
    pub(super) fn next_generation(&mut self) -> u64 {
        self.generation += 1;
        self.generation
    }

    /// Adds a task.
    pub(super) fn insert(&mut self, mut entry: Entry) {
        self.generation += 1;
        Arc::make_mut(&mut entry.task).generation = self.generation;
        let at = self.next;
        self.next += 1;
        self.by_id.insert(entry.task.id.clone(), at);
        if let Some(key) = &entry.key {
            self.by_key.insert(key.clone(), at);
        }
        self.entries.insert(at, entry);
        self.changed.insert(at);
    }

    /// One task.
    #[must_use]
    pub fn get(&self, id: &TaskId) -> Option<&Entry> {
        self.by_id.get(id).and_then(|at| self.entries.get(at))
    }

    /// The task launched with `key`.
    #[must_use]
    pub fn by_key(&self, key: &str) -> Option<&Entry> {
        self.by_key.get(key).and_then(|at| self.entries.get(at))
    }

    /// All, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = &Entry> {
        self.entries.values()
    }

    /// Changes a task with `edit`, which says whether it did anything.
    pub(super) fn change(
        &mut self,
        id: &TaskId,
        edit: impl FnOnce(&mut Task) -> bool,
    ) -> Option<Arc<Task>> {
        let at = *self.by_id.get(id)?;
        let entry = self.entries.get_mut(&at)?;
        let task = Arc::make_mut(&mut entry.task);
        if !edit(task) {
            return None;
        }
        self.generation += 1;
        task.generation = self.generation;
        self.changed.insert(at);
        Some(entry.task.clone())
    }

    /// Changes what was noted around a task's run.
    pub(super) fn note(&mut self, id: &TaskId, edit: impl FnOnce(&mut RunNotes)) {
        let Some(at) = self.by_id.get(id).copied() else { return };
        if let Some(entry) = self.entries.get_mut(&at) {
            edit(&mut entry.notes);
            self.changed.insert(at);
        }
    }

    /// What the plan of its run gives it: its environment, redacted, and its grace.
    pub(super) fn planned(&mut self, id: &TaskId, env: Vec<EnvVar>, grace_s: Option<u32>) {
        if let Some(entry) = self.by_id.get(id).and_then(|at| self.entries.get_mut(at)) {
            (entry.env, entry.grace_s) = (env, grace_s);
        }
    }

    /// Removes a task.
    pub(super) fn remove(&mut self, id: &TaskId) -> Option<Entry> {
        let at = self.by_id.remove(id)?;
        let entry = self.entries.remove(&at)?;
        if let Some(key) = &entry.key {
            self.by_key.remove(key);
        }
        self.changed.remove(&at);
        self.generation += 1;
        let removed = Arc::make_mut(&mut self.removed);
        removed.push_back((self.generation, id.clone()));
        if removed.len() > TOMBSTONES_MAX
            && let Some((generation, _)) = removed.pop_front()
        {
            self.removed_since = generation;
        }
        Some(entry)
    }

    /// The tasks changed since the last call.
    pub(super) fn take_changed(&mut self) -> Vec<TaskId> {
        let changed = std::mem::take(&mut self.changed);
        let entries = changed.iter().filter_map(|at| self.entries.get(at));
        entries.map(|entry| entry.task.id.clone()).collect()
    }

    /// Whether it was removed lately: an engine that is told so late may still speak of it.
    #[must_use]
    pub(super) fn was_removed(&self, id: &TaskId) -> bool {
        self.removed.iter().any(|(_, removed)| removed == id)
    }

    /// Some of them, oldest first.
    pub fn in_order<'a>(
        &'a self,
        tasks: impl IntoIterator<Item = &'a TaskId>,
    ) -> impl Iterator<Item = &'a Entry> {
        let places: BTreeSet<u64> =
            tasks.into_iter().filter_map(|id| self.by_id.get(id).copied()).collect();
        places.into_iter().filter_map(|at| self.entries.get(&at))
    }

    /// Tasks for a snapshot.
    #[must_use]
    pub fn shared(&self) -> Arc<Vec<Arc<Task>>> {
        Arc::new(self.entries.values().map(|entry| entry.task.clone()).collect())
    }

    /// Removals for a snapshot, and since when they are complete.
    #[must_use]
    pub fn shared_removed(&self) -> (Arc<VecDeque<(u64, TaskId)>>, u64) {
        (self.removed.clone(), self.removed_since)
    }
}
