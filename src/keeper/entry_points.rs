//! The programs that runs at a place are all about, where the image's own command starts them:
//! entry points end in `PROGRAM | tee LOG`, so their exit code is that of `tee`.
//!
//! Nothing tells of another process's children. But the program's file is opened when it is executed,
//! which inotify(7) tells: only then is looked, and a few times more, since execve(2) goes on. A pidfd
//! says afterwards how the program ended; its parent has waited for it before the entry point ends.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify, WatchDescriptor};

use crate::procfs;
use crate::table::TaskKey;
use deskd_core::task::Exit;

/// From one look to the next at first; each pause is twice the one before.
const PAUSE_FIRST: Duration = Duration::from_millis(1);
/// Longest pause: the last look after a file was opened, a quarter of a second after it.
const PAUSE_MAX: Duration = Duration::from_millis(128);
/// How long a program is looked for whose file cannot be watched.
const UNWATCHED_MAX: Duration = Duration::from_secs(5);

/// All of them.
#[derive(Debug, Default)]
pub struct EntryPoints {
    /// As soon as one is wanted.
    inotify: Option<Inotify>,
    wanted: Vec<Wanted>,
}

/// One.
#[derive(Debug)]
struct Wanted {
    key: TaskKey,
    /// The run's first process.
    first: u32,
    name: String,
    seen: Seen,
}

#[derive(Debug)]
enum Seen {
    /// It is looked for.
    Not {
        /// Of its file.
        watch: Option<WatchDescriptor>,
        since: Instant,
        next: Option<(Instant, Duration)>,
    },
    /// It is, or was, there.
    At(OwnedFd),
}

impl EntryPoints {
    /// Looks for the program of a run that has just begun. True: there is now a descriptor to be watched.
    pub fn want(
        &mut self,
        (key, first): (TaskKey, u32),
        name: String,
        env: &[(String, String)],
        now: Instant,
    ) -> bool {
        let is_new = self.inotify.is_none();
        if is_new {
            let flags = InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK;
            self.inotify = Inotify::init(flags).ok();
        }
        let watch = |file: PathBuf| {
            let added = self.inotify.as_ref()?.add_watch(&file, AddWatchFlags::IN_OPEN);
            added.inspect_err(|error| tracing::debug!(%error, "{}", file.display())).ok()
        };
        let watch = file_of(&name, env).and_then(watch);
        let next = Some((now, PAUSE_FIRST));
        self.wanted.push(Wanted { key, first, name, seen: Seen::Not { watch, since: now, next } });
        is_new && self.inotify.is_some()
    }

    /// Files were opened. What follows those that were read tells of itself again: a program may open a
    /// file without end.
    pub fn opened(&mut self, now: Instant) {
        let events = self.inotify.as_ref().and_then(|inotify| inotify.read_events().ok());
        for wanted in &mut self.wanted {
            if let Seen::Not { watch: Some(watch), next, .. } = &mut wanted.seen
                && events.iter().flatten().any(|event| event.wd == *watch)
            {
                *next = Some((now, PAUSE_FIRST));
            }
        }
    }

    /// Looks for those whose time has come.
    pub fn look(&mut self, now: Instant) {
        let mut found = Vec::new();
        for wanted in &mut self.wanted {
            let Seen::Not { watch, since, next } = &mut wanted.seen else { continue };
            let Some((_, pause)) = next.filter(|(at, _)| *at <= now) else { continue };
            let process = procfs::find_program(wanted.first, &wanted.name);
            if let Some(pidfd) = process.and_then(procfs::pidfd) {
                found.extend(*watch);
                wanted.seen = Seen::At(pidfd);
                continue;
            }
            let goes_on = watch.is_none() && now < *since + UNWATCHED_MAX;
            let is_last = pause >= PAUSE_MAX && !goes_on;
            *next = (!is_last).then(|| (now + pause, (pause * 2).min(PAUSE_MAX)));
        }
        found.into_iter().for_each(|watch| self.unwatch(watch));
    }

    /// When to look next.
    #[must_use]
    pub fn next_at(&self) -> Option<Instant> {
        let next = |wanted: &Wanted| match wanted.seen {
            Seen::Not { next, .. } => next.map(|(at, _)| at),
            Seen::At(_) => None,
        };
        self.wanted.iter().filter_map(next).min()
    }

    /// The first process of a run ended: how the run did.
    pub fn ended(&mut self, key: TaskKey, exit: Exit) -> Exit {
        let Some(at) = self.wanted.iter().position(|wanted| wanted.key == key) else { return exit };
        match self.wanted.swap_remove(at).seen {
            Seen::At(pidfd) => {
                let status = procfs::wait_status(&pidfd).ok().flatten();
                exit.of_program(status.map(procfs::exit_of))
            }
            Seen::Not { watch, .. } => {
                watch.into_iter().for_each(|watch| self.unwatch(watch));
                exit.of_program(None)
            }
        }
    }

    /// Nobody is woken by a file that no run waits for.
    fn unwatch(&self, file: WatchDescriptor) {
        let waits =
            |wanted: &Wanted| matches!(wanted.seen, Seen::Not { watch, .. } if watch == Some(file));
        if let Some(inotify) = self.inotify.as_ref().filter(|_| !self.wanted.iter().any(waits)) {
            // It went by itself if the file did.
            let _ = inotify.rm_watch(file);
        }
    }
}

impl EntryPoints {
    /// What is to be watched.
    #[must_use]
    pub fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.inotify.as_ref().map(AsFd::as_fd)
    }
}

/// Where a program is: a path, or a name that is looked up in PATH.
fn file_of(name: &str, env: &[(String, String)]) -> Option<PathBuf> {
    if name.contains('/') {
        return Some(name.into());
    }
    let (_, path) = env.iter().rev().find(|(key, _)| key == "PATH")?;
    path.split(':').map(|directory| Path::new(directory).join(name)).find(|file| file.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_looked_up_in_path() {
        let env = [("PATH".to_owned(), "/nowhere:/bin".to_owned())];
        assert_eq!(file_of("sh", &env), Some("/bin/sh".into()));
        assert_eq!(file_of("/opt/app", &env), Some("/opt/app".into()));
        assert_eq!(file_of("nothing-is-called-so", &env), None);
        assert_eq!(file_of("sh", &[]), None);
    }

    #[test]
    fn what_has_no_program_of_its_own_ends_as_its_first_process_does() {
        let mut entry_points = EntryPoints::default();
        assert_eq!(entry_points.ended(TaskKey(1), Exit::Code(3)), Exit::Code(3));
        entry_points.want((TaskKey(1), u32::MAX), "/nowhere/app".into(), &[], Instant::now());
        assert_eq!(entry_points.ended(TaskKey(1), Exit::Code(0)), Exit::EntryPoint(0));
    }
}
