//! The task table: owned by the driver, changed through [`Table::apply`] only.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::notes::RunNotes;
use super::snapshot::TOMBSTONES_MAX;
use deskd_core::id::TaskId;
use deskd_core::origin::{Found, Origin};
use deskd_core::plan::LaunchSpec;
use deskd_core::redact::EnvVar;
use deskd_core::task::{Task, TaskEvent, UnixMs};

/// A task and what belongs to it but is not shown with it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Entry {
    /// The task; on record with the values of its sentences.
    #[serde(with = "deskd_core::why::reason::on_record")]
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
}

/// All tasks, in order of creation.
#[derive(Debug, Default)]
pub struct Table {
    entries: BTreeMap<u64, Entry>,
    by_id: HashMap<TaskId, u64>,
    by_key: HashMap<String, u64>,
    next: u64,
    /// Number of the last change.
    pub generation: u64,
    /// Changed since the last [`Table::take_dirty`].
    dirty: BTreeSet<u64>,
    removed: Arc<VecDeque<(u64, TaskId)>>,
    removed_since: u64,
}

impl Table {
    /// How many deskd started.
    #[must_use]
    pub fn own_len(&self) -> usize {
        self.entries.values().filter(|entry| entry.task.origin == Origin::Deskd).count()
    }

    /// Adds a task.
    pub fn insert(&mut self, mut entry: Entry) {
        self.generation += 1;
        Arc::make_mut(&mut entry.task).generation = self.generation;
        let at = self.next;
        self.next += 1;
        self.by_id.insert(entry.task.id.clone(), at);
        if let Some(key) = &entry.key {
            self.by_key.insert(key.clone(), at);
        }
        self.entries.insert(at, entry);
        self.dirty.insert(at);
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

    /// Applies an event to a task; the task when something changed.
    pub fn apply(&mut self, id: &TaskId, event: TaskEvent, now: UnixMs) -> Option<Arc<Task>> {
        self.change(id, |task| task.apply(event, now))
    }

    /// Changes a task with `edit`, which says whether it did anything.
    pub fn change(
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
        self.dirty.insert(at);
        Some(entry.task.clone())
    }

    /// Changes what was noted around a task's run.
    pub fn note(&mut self, id: &TaskId, edit: impl FnOnce(&mut RunNotes)) {
        let Some(at) = self.by_id.get(id).copied() else { return };
        if let Some(entry) = self.entries.get_mut(&at) {
            edit(&mut entry.notes);
            self.dirty.insert(at);
        }
    }

    /// Replaces the environment shown for a task.
    pub fn set_env(&mut self, id: &TaskId, env: Vec<EnvVar>) {
        if let Some(entry) = self.by_id.get(id).and_then(|at| self.entries.get_mut(at)) {
            entry.env = env;
        }
    }

    /// Removes a task.
    pub fn remove(&mut self, id: &TaskId) -> Option<Entry> {
        let at = self.by_id.remove(id)?;
        let entry = self.entries.remove(&at)?;
        if let Some(key) = &entry.key {
            self.by_key.remove(key);
        }
        self.dirty.remove(&at);
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

    /// The entries changed since the last call.
    pub fn take_dirty(&mut self) -> impl Iterator<Item = &Entry> {
        let dirty = std::mem::take(&mut self.dirty);
        dirty.into_iter().filter_map(|at| self.entries.get(&at))
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
