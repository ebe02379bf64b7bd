//! The journal's lines: what a daemon must not forget when it is killed, as JSON, one value a line. The
//! last line of a task wins; a torn line is skipped. Writing them to a file is the driver's.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::table::{Entry, TOMBSTONES_MAX};
use super::{Effect, Runs};
use crate::app::App;
use crate::id::{AppId, TaskId};
use crate::plan::EngineKind;

/// One line: what was recorded.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Line<'a> {
    /// A task as it is from now on.
    Task(Box<Cow<'a, Entry>>),
    /// A task is gone.
    Removed(TaskId),
    /// An app was added over the API.
    App(Box<Cow<'a, App>>),
    /// Such an app is gone.
    AppRemoved(AppId),
    /// A task of others that somebody removed: not to be shown again.
    Hidden(TaskId, EngineKind),
    /// And whose object is gone.
    Shown(TaskId),
    /// The keeper that was connected last, by its start time: everything that its records say of tasks
    /// is in the lines before.
    Keeper(i64),
}

impl<'a> Line<'a> {
    fn task(entry: &'a Entry) -> Self {
        Self::Task(Box::new(Cow::Borrowed(entry)))
    }

    /// Appends it, with its newline.
    pub fn write(&self, out: &mut Vec<u8>) {
        let start = out.len();
        match serde_json::to_writer(&mut *out, self) {
            Ok(()) => out.push(b'\n'),
            // A map with keys that are no strings: none of ours has one.
            Err(_) => out.truncate(start),
        }
    }
}

impl Runs {
    /// What the effects of a batch put on record, tasks as they are now.
    pub fn lines<'a>(&'a self, effects: &'a [Effect]) -> impl Iterator<Item = Line<'a>> {
        let changed = effects.iter().filter_map(|effect| match effect {
            Effect::Record(task) => Some(task),
            _ => None,
        });
        let others = effects.iter().filter_map(|effect| match effect {
            Effect::Removed(task) => Some(Line::Removed(task.clone())),
            Effect::Hidden(task, engine) => Some(Line::Hidden(task.clone(), *engine)),
            Effect::Shown(task) => Some(Line::Shown(task.clone())),
            _ => None,
        });
        let keepers = effects.iter().filter_map(|effect| match effect {
            Effect::Keeper(started_at) => Some(Line::Keeper(*started_at)),
            _ => None,
        });
        others.chain(self.table.in_order(changed).map(Line::task)).chain(keepers)
    }

    /// All that is to be on record, for a journal that begins anew.
    pub fn all_lines(&self) -> impl Iterator<Item = Line<'_>> {
        let hidden = self.hidden().iter().map(|(id, engine)| Line::Hidden(id.clone(), *engine));
        let removed = self.table.removed().map(|id| Line::Removed(id.clone()));
        let keeper = self.keeper_started_at.map(Line::Keeper);
        hidden.chain(removed).chain(self.table.iter().map(Line::task)).chain(keeper)
    }
}

/// What was remembered.
#[derive(Debug, Default)]
pub struct Remembered {
    /// Tasks, oldest first.
    pub tasks: Vec<Entry>,
    /// Apps added over the API.
    pub apps: Vec<App>,
    /// Start time of the keeper that was connected last.
    pub keeper: Option<i64>,
    /// Tasks of others that are not shown again.
    pub hidden: BTreeMap<TaskId, EngineKind>,
    /// Tasks that were removed last, oldest first: an engine that was not told before the daemon was
    /// killed may still speak of them.
    pub removed: Vec<TaskId>,
}

/// What the lines say; a line that cannot be read (torn, or from another version) is skipped.
#[must_use]
pub fn replay(text: &[u8]) -> Remembered {
    let mut order = 0u64;
    let mut tasks: BTreeMap<TaskId, (u64, Entry)> = BTreeMap::new();
    let mut apps: BTreeMap<AppId, App> = BTreeMap::new();
    let mut removed: BTreeMap<TaskId, u64> = BTreeMap::new();
    let (mut keeper, mut hidden) = (None, BTreeMap::new());
    for line in text.split(|&byte| byte == b'\n') {
        match serde_json::from_slice::<Line<'_>>(line) {
            Ok(Line::Task(entry)) => {
                order += 1;
                let first = tasks.get(&entry.task.id).map_or(order, |(first, _)| *first);
                removed.remove(&entry.task.id);
                tasks.insert(entry.task.id.clone(), (first, entry.into_owned()));
            }
            Ok(Line::Removed(id)) => {
                order += 1;
                tasks.remove(&id);
                removed.insert(id, order);
            }
            Ok(Line::App(app)) => {
                apps.insert(app.id.clone(), app.into_owned());
            }
            Ok(Line::AppRemoved(id)) => {
                apps.remove(&id);
            }
            Ok(Line::Hidden(id, engine)) => drop(hidden.insert(id, engine)),
            Ok(Line::Shown(id)) => drop(hidden.remove(&id)),
            Ok(Line::Keeper(started_at)) => keeper = Some(started_at),
            Err(_) => {}
        }
    }
    let mut tasks: Vec<_> = tasks.into_values().collect();
    tasks.sort_by_key(|(order, _)| *order);
    let mut removed: Vec<_> = removed.into_iter().collect();
    removed.sort_by_key(|(_, order)| *order);
    let forgotten = removed.len().saturating_sub(TOMBSTONES_MAX);
    Remembered {
        tasks: tasks.into_iter().map(|(_, entry)| entry).collect(),
        apps: apps.into_values().collect(),
        keeper,
        hidden,
        removed: removed.into_iter().skip(forgotten).map(|(id, _)| id).collect(),
    }
}
