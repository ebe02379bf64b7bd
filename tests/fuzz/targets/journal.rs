//! The journal that a daemon before this one left behind.

use std::borrow::Cow;
use std::path::Path;

use serde_json::Value;

use deskd::supervisor::journal::Journal;
use deskd_core::run::journal::{Line, Remembered};

pub fn run(data: &[u8]) {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("tasks.jsonl");
    std::fs::write(&path, data).expect("a file");
    let (mut journal, remembered) = Journal::open(dir.path());
    assert_eq!(journal.trouble(), None);
    let before = values(&remembered);
    // What is appended to it is there, whatever it ends with.
    journal.push(&Line::Keeper(7));
    journal.flush();
    let (_, appended) = Journal::open(dir.path());
    assert_eq!(appended.keeper, Some(7), "what was appended is not read back");
    // What is written anew is what was remembered.
    journal.rewrite(lines(&remembered));
    assert_eq!(journal.trouble(), None);
    drop(journal);
    assert_eq!(values(&read(dir.path())), before, "the rewrite changed something");
}

fn read(dir: &Path) -> Remembered {
    Journal::open(dir).1
}

/// In the order in which the driver writes it.
fn lines(all: &Remembered) -> impl Iterator<Item = Line<'_>> {
    let hidden = all.hidden.iter().map(|(id, engine)| Line::Hidden(id.clone(), *engine));
    let removed = all.removed.iter().map(|id| Line::Removed(id.clone()));
    let tasks = all.tasks.iter().map(|entry| Line::Task(Box::new(Cow::Borrowed(entry))));
    let apps = all.apps.iter().map(|app| Line::App(Box::new(Cow::Borrowed(app))));
    hidden.chain(removed).chain(tasks).chain(apps).chain(all.keeper.map(Line::Keeper))
}

/// It as values that can be compared.
fn values(remembered: &Remembered) -> Vec<Value> {
    let written = lines(remembered).map(|line| serde_json::to_value(line).expect("is JSON"));
    written.collect()
}
