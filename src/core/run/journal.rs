//! The journal's lines: what a daemon must not forget when it is killed, as JSON, one value a line. The
//! last line of a task wins; a torn line is skipped. Writing them to a file is the driver's.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::table::Entry;
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
    /// The keeper the lines after this one belong to, by its start time.
    Keeper(i64),
}

impl Line<'_> {
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
}

/// What the lines say; a line that cannot be read (torn, or from another version) is skipped.
#[must_use]
pub fn replay(text: &[u8]) -> Remembered {
    let mut order = 0u64;
    let mut tasks: BTreeMap<TaskId, (u64, Entry)> = BTreeMap::new();
    let mut apps: BTreeMap<AppId, App> = BTreeMap::new();
    let (mut keeper, mut hidden) = (None, BTreeMap::new());
    for line in text.split(|&byte| byte == b'\n') {
        match serde_json::from_slice::<Line<'_>>(line) {
            Ok(Line::Task(entry)) => {
                order += 1;
                let first = tasks.get(&entry.task.id).map_or(order, |(first, _)| *first);
                tasks.insert(entry.task.id.clone(), (first, entry.into_owned()));
            }
            Ok(Line::Removed(id)) => {
                tasks.remove(&id);
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
    Remembered {
        tasks: tasks.into_iter().map(|(_, entry)| entry).collect(),
        apps: apps.into_values().collect(),
        keeper,
        hidden,
    }
}
