//! The journal: what the daemon must not forget when it is killed, as JSON lines appended to
//! `<state>/tasks.jsonl`. The last line of a task wins.
//!
//! One `write(2)` per batch of inputs, before the batch's effects are carried out: a launch is on
//! record before the keeper hears of it. No fsync: the daemon's death loses nothing that was
//! written, and a node that loses power has lost the applications too. A torn last line is
//! ignored on open. Failing writes are reported as trouble and stop nothing.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use deskd_core::run::journal::{Line, Remembered, replay};
use deskd_keeper::files;

/// The file is rewritten when it has grown by this and by what it had after the last rewrite: the
/// work of rewriting stays in proportion to what was written, however much is live.
const REWRITE_BYTES_MIN: u64 = 4 << 20;
/// A file in which something is missing, and that could not be written anew, is tried again when it has
/// grown by this.
const MISSING_RETRY_BYTES: u64 = 64 << 10;
/// At most this much is read back; a journal never gets there (see [`REWRITE_BYTES_MIN`]).
const READ_BYTES_MAX: u64 = 256 << 20;

/// The open journal.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    file: Option<File>,
    pending: Vec<u8>,
    bytes: u64,
    /// Size after the last rewrite.
    rewritten_bytes: u64,
    trouble: Option<String>,
    /// Something did not reach the file: all of it is written anew once the file has this size, and can
    /// grow again.
    missing_until: Option<u64>,
}

impl Journal {
    /// Opens the journal in `state_dir` and reads it back.
    #[must_use]
    pub fn open(state_dir: &Path) -> (Self, Remembered) {
        let path = state_dir.join("tasks.jsonl");
        let opened = open_file(&path).and_then(|file| {
            if file.metadata()?.len() <= READ_BYTES_MAX {
                return Ok(file);
            }
            let why = std::io::Error::other(format!("it has more than {READ_BYTES_MAX} bytes"));
            files::set_aside(&path, &why)?;
            open_file(&path)
        });
        let mut journal = Self {
            path,
            file: None,
            pending: Vec::new(),
            bytes: 0,
            rewritten_bytes: 0,
            trouble: None,
            missing_until: None,
        };
        let mut text = Vec::new();
        match opened {
            Ok(file) => {
                if let Err(error) = (&file).take(READ_BYTES_MAX).read_to_end(&mut text) {
                    journal.fail(&error);
                }
                journal.bytes = text.len() as u64;
                if text.last().is_some_and(|&last| last != b'\n') {
                    journal.pending.push(b'\n');
                }
                journal.file = Some(file);
            }
            Err(error) => journal.fail(&error),
        }
        (journal, replay(&text))
    }

    /// Records a line, with the next flush.
    pub fn push(&mut self, line: &Line<'_>) {
        line.write(&mut self.pending);
    }

    /// Writes what was recorded since the last flush.
    pub fn flush(&mut self) {
        if self.pending.is_empty() {
            return;
        }
        if self.file.is_none() {
            self.open_at_last();
        }
        let Some(file) = &mut self.file else {
            self.pending.clear();
            return;
        };
        match file.write_all(&self.pending) {
            Ok(()) => {
                self.bytes += self.pending.len() as u64;
                self.trouble = None;
                self.pending.clear();
            }
            Err(error) => {
                self.fail(&error);
                self.missing_until = Some(self.bytes);
                self.pending.clear();
                // A piece of it may have been written: what comes next begins a line of its own.
                self.pending.push(b'\n');
            }
        }
        self.pending.shrink_to(64 << 10);
    }

    /// The file could not be opened when this daemon began, and so was not read: it is set aside if there is
    /// one, and what is live is written into another.
    fn open_at_last(&mut self) {
        let opened = open_file(&self.path).and_then(|file| {
            if file.metadata()?.len() == 0 {
                return Ok(file);
            }
            files::set_aside(&self.path, &std::io::Error::other("it could not be opened before"))?;
            open_file(&self.path)
        });
        match opened {
            Ok(file) => (self.file, self.missing_until) = (Some(file), Some(0)),
            Err(error) => self.fail(&error),
        }
    }

    /// Whether enough of the file is superseded, or something is missing in it that can be written now.
    #[must_use]
    pub fn wants_rewrite(&self) -> bool {
        let missing =
            self.trouble.is_none() && self.missing_until.is_some_and(|at| self.bytes >= at);
        missing || self.bytes > REWRITE_BYTES_MIN + 2 * self.rewritten_bytes
    }

    /// Replaces the file by what is live now.
    pub fn rewrite<'a>(&mut self, lines: impl Iterator<Item = Line<'a>>) {
        self.flush();
        match self.replace(lines) {
            Ok((file, bytes)) => {
                self.file = Some(file);
                self.bytes = bytes;
                self.missing_until = None;
            }
            Err(error) => {
                self.fail(&error);
                let again = self.bytes + MISSING_RETRY_BYTES;
                self.missing_until = self.missing_until.map(|_| again);
            }
        }
        // After a failure too: it is not tried again with every change.
        self.rewritten_bytes = self.bytes;
    }

    fn replace<'a>(&self, lines: impl Iterator<Item = Line<'a>>) -> std::io::Result<(File, u64)> {
        let fresh = self.path.with_extension("new");
        files::clear(&fresh)?;
        let file = OpenOptions::new().append(true).create_new(true).mode(0o600).open(&fresh)?;
        let mut out = std::io::BufWriter::new(file);
        for line in lines {
            let mut bytes = Vec::new();
            line.write(&mut bytes);
            out.write_all(&bytes)?;
        }
        let file = out.into_inner().map_err(std::io::IntoInnerError::into_error)?;
        files::replace(&fresh, &self.path)?;
        let bytes = file.metadata()?.len();
        Ok((file, bytes))
    }

    /// What is wrong, in one sentence.
    #[must_use]
    pub fn trouble(&self) -> Option<&str> {
        self.trouble.as_deref()
    }

    fn fail(&mut self, error: &std::io::Error) {
        self.trouble = Some(format!(
            "tasks cannot be recorded in {} ({error}): a restart of deskd would lose their history",
            self.path.display()
        ));
    }
}

fn open_file(path: &Path) -> std::io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).append(true).create(true).mode(0o600);
    files::open_own(&options, path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use deskd_core::id::TaskId;
    use deskd_core::plan::EngineKind;
    use deskd_core::run::Entry;
    use deskd_core::samples::{app, plan_of};
    use deskd_core::task::{Task, TaskEvent};
    use proptest::prelude::*;
    use std::borrow::Cow;
    use std::collections::BTreeMap;

    fn entry(number: u32, windows: u32) -> Entry {
        let app = app("xclock");
        let mut task = Task::new(TaskId::new(&app.id, number), &app, &plan_of(&app), 5);
        for _ in 0..windows {
            task.apply(TaskEvent::WindowMapped, 6);
        }
        Entry { key: Some(format!("k{number}")), ..Entry::new(task) }
    }

    fn task(number: u32, windows: u32) -> Line<'static> {
        Line::Task(Box::new(Cow::Owned(entry(number, windows))))
    }

    fn seen(remembered: &Remembered) -> Vec<(String, u32)> {
        let tasks = remembered.tasks.iter();
        tasks.map(|entry| (entry.task.id.to_string(), entry.task.windows)).collect()
    }

    #[test]
    fn the_last_word_about_each_task_is_remembered_in_order_of_creation() {
        let dir = tempfile::tempdir().unwrap();
        let (mut journal, nothing) = Journal::open(dir.path());
        assert!(nothing.tasks.is_empty() && nothing.keeper.is_none());
        journal.push(&Line::Keeper(17));
        for (number, windows) in [(1, 0), (2, 0), (3, 0), (1, 2)] {
            journal.push(&task(number, windows));
        }
        let id = |number| entry(number, 0).task.id.clone();
        let (kept, back) = (id(7), id(8));
        let lines = [
            Line::Removed(id(2)),
            Line::App(Box::new(Cow::Owned(app("added")))),
            Line::Hidden(kept.clone(), EngineKind::PodApplication),
            Line::Hidden(back.clone(), EngineKind::PodApplication),
            Line::Shown(back),
        ];
        lines.iter().for_each(|line| journal.push(line));
        journal.flush();
        assert_eq!(journal.trouble(), None);
        let (mut journal, remembered) = Journal::open(dir.path());
        assert_eq!(seen(&remembered), [("xclock-00001".into(), 2), ("xclock-00003".into(), 0)]);
        assert_eq!((remembered.keeper, remembered.apps.len()), (Some(17), 1));
        assert_eq!((remembered.removed, remembered.hidden.len()), (vec![id(2)], 1));
        assert_eq!(remembered.hidden, BTreeMap::from([(kept, EngineKind::PodApplication)]));
        journal.rewrite([Line::Keeper(18), task(3, 0), Line::Removed(id(1))].into_iter());
        let (_, again) = Journal::open(dir.path());
        assert_eq!((seen(&again), again.keeper), (vec![("xclock-00003".into(), 0)], Some(18)));
        assert_eq!(again.removed, [id(1)]);
    }

    #[test]
    fn rewriting_is_in_proportion_to_what_was_written_even_with_much_that_is_live() {
        let dir = tempfile::tempdir().unwrap();
        let (mut journal, _) = Journal::open(dir.path());
        let mut big = app("big");
        big.keywords = vec!["k".repeat(8 << 20)];
        let mut rewrites = 0;
        let big_line = || Line::App(Box::new(Cow::Borrowed(&big)));
        journal.push(&big_line());
        for number in 0..100 {
            journal.push(&task(number, 0));
            journal.flush();
            if journal.wants_rewrite() {
                rewrites += 1;
                journal.rewrite(std::iter::once(big_line()));
            }
        }
        assert_eq!(rewrites, 1);
        assert_eq!(Journal::open(dir.path()).1.apps, [big]);
    }

    #[test]
    fn a_directory_that_cannot_be_written_is_trouble_with_its_name_and_not_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        std::fs::write(&file, "").unwrap();
        let (mut journal, _) = Journal::open(&file);
        journal.push(&task(1, 0));
        journal.flush();
        assert!(journal.trouble().unwrap().contains(file.to_str().unwrap()));
    }

    #[test]
    fn a_file_that_cannot_be_opened_at_the_start_is_opened_once_it_can() {
        let dir = tempfile::tempdir().unwrap();
        let state = dir.path().join("state");
        std::fs::write(&state, "").unwrap();
        let (mut journal, _) = Journal::open(&state);
        journal.push(&task(1, 0));
        journal.flush();
        assert!(journal.trouble().is_some() && !journal.wants_rewrite());
        std::fs::remove_file(&state).unwrap();
        std::fs::create_dir(&state).unwrap();
        let unread = Journal::open(&state).0.path;
        std::fs::write(&unread, "unread\n").unwrap();
        journal.push(&task(2, 0));
        journal.flush();
        assert!(journal.trouble().is_none() && journal.wants_rewrite());
        journal.rewrite([task(1, 0), task(2, 0)].into_iter());
        assert!(!journal.wants_rewrite());
        assert_eq!(seen(&Journal::open(&state).1).len(), 2);
        let aside = std::fs::read_to_string(state.join("tasks.jsonl.damaged-1"));
        assert_eq!(aside.unwrap(), "unread\n");
    }

    #[test]
    fn what_a_full_disk_did_not_take_is_written_once_there_is_room_again() {
        let dir = tempfile::tempdir().unwrap();
        let (mut journal, _) = Journal::open(dir.path());
        let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
        let file = journal.file.replace(full);
        journal.push(&task(1, 0));
        journal.flush();
        assert!(journal.trouble().is_some() && !journal.wants_rewrite());
        journal.file = file;
        journal.push(&task(2, 0));
        journal.flush();
        assert!(journal.trouble().is_none() && journal.wants_rewrite());
        journal.rewrite([task(1, 0), task(2, 0)].into_iter());
        assert!(!journal.wants_rewrite());
        assert_eq!(seen(&Journal::open(dir.path()).1).len(), 2);
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..Default::default() })]
        #[test]
        fn a_crash_anywhere_keeps_every_whole_line_and_later_lines_are_not_lost(
            ops in prop::collection::vec((0..6u32, 0..4u32, any::<bool>()), 1..20),
            cut in 0..4096usize,
        ) {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("tasks.jsonl");
            let (mut journal, _) = Journal::open(dir.path());
            for (number, windows, remove) in &ops {
                let removed = Line::Removed(entry(*number, 0).task.id.clone());
                journal.push(&if *remove { removed } else { task(*number, *windows) });
                journal.flush();
            }
            let text = std::fs::read(&path).unwrap();
            let cut = text.len().saturating_sub(cut);
            std::fs::write(&path, &text[..cut]).unwrap();
            let whole = text[..cut].iter().filter(|&&byte| byte == b'\n').count();
            let mut model: Vec<(u32, u32)> = Vec::new();
            for (number, windows, remove) in ops.iter().take(whole) {
                if *remove { model.retain(|(n, _)| n != number); }
                else if let Some(known) = model.iter_mut().find(|(n, _)| n == number) { known.1 = *windows; }
                else { model.push((*number, *windows)); }
            }
            let wanted: Vec<_> = model.iter().map(|(n, w)| (entry(*n, 0).task.id.to_string(), *w)).collect();
            let (mut journal, remembered) = Journal::open(dir.path());
            // A line that lost only its newline is whole.
            let last_whole = text[..cut].last().is_some_and(|&b| b == b'\n') || text.get(cut) != Some(&b'\n');
            if last_whole { prop_assert_eq!(seen(&remembered), wanted); }
            journal.push(&task(9, 1));
            journal.flush();
            let (_, after) = Journal::open(dir.path());
            prop_assert!(seen(&after).contains(&("xclock-00009".to_owned(), 1)));
        }
    }
}
