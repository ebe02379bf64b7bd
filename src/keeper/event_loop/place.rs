//! What a keeper does at a place, where its daemon is elsewhere: it lets the daemon in or goes to it,
//! gives programs what their image says, and gives their output away.

use std::os::fd::AsFd as _;
use std::path::PathBuf;
use std::time::Instant;

use nix::sys::epoll::{EpollEvent, EpollFlags};
use nix::sys::prctl::get_no_new_privs;
use nix::sys::signal::Signal;
use nix::sys::signalfd::siginfo;

use super::setup::capture;
use super::{Keeper, Source};
use crate::entrance::Entrance;
use crate::entry_points::EntryPoints;
use crate::image::Image;
use crate::link::Connection;
use crate::logs::{Given, Spool};
use crate::output::Output;
use crate::place::{ORPHAN_AFTER, PlaceConfig, SPOOL_DIRECTORIES};
use crate::seldom::Seldom;
use crate::signal::is_from_outside;
use crate::table::TaskKey;
use crate::way::Way;
use crate::{KeeperConfig, KeeperError, procfs, tried};
use deskd_core::id::TaskId;
use deskd_core::task::Exit;
use deskd_core::wire::{APPEND_BYTES_MAX, FromKeeper, SpawnRequest, TASK_VARIABLE};

/// Processes above one that are looked at: more are a chain that somebody made.
const ANCESTORS_MAX: usize = 64;

/// What only a keeper at a place has.
#[derive(Debug)]
pub(super) struct Place {
    entrance: Entrance,
    image: Image,
    entry_points: EntryPoints,
    /// Nobody here can take other privileges, so its programs can have a wall.
    walled: bool,
    /// That a program tried to end its keeper.
    insider: Seldom,
}

impl Keeper {
    /// Makes a keeper of a place ready to run.
    pub(crate) fn at_place(config: PlaceConfig, entrance: Entrance) -> Result<Self, KeeperError> {
        let image = Image::of_process();
        let directories = SPOOL_DIRECTORIES.map(PathBuf::from);
        let output = Output::Spool(Spool::open(&directories, config.spool));
        let keeper_config = KeeperConfig {
            state_dir: PathBuf::new(),
            // A spool has its own.
            limits: crate::logs::Limits { task_bytes: 0, total_bytes: 0 },
            grace: config.grace,
            daemon_argv: Vec::new(),
            listen: None,
            daemon_file: None,
            tasks_max: config.tasks_max,
            estate: None,
        };
        let mut keeper = Self::without_daemon(keeper_config, output, capture(None)?)?;
        keeper
            .epoll
            .add(entrance.as_fd(), EpollEvent::new(EpollFlags::EPOLLIN, Source::Door as u64))
            .map_err(tried("watch a descriptor"))?;
        tracing::info!(
            "programs of this image run here; what they write is in deskd's logs: `deskd logs TASK`"
        );
        keeper.place = Some(Place {
            entrance,
            image,
            entry_points: EntryPoints::default(),
            walled: get_no_new_privs().unwrap_or(false),
            insider: Seldom::default(),
        });
        Ok(keeper)
    }

    /// The same, with a daemon that it has met.
    pub(crate) fn met_at_place(
        config: PlaceConfig,
        (way, connection): (Way, Connection),
    ) -> Result<Self, KeeperError> {
        let mut keeper = Self::at_place(config, Entrance::Way(Box::new(way)))?;
        keeper.use_connection(connection).map_err(KeeperError::Link)?;
        // What it said may have arrived already.
        keeper.requests_left = true;
        Ok(keeper)
    }

    /// Hears who connected, or connects. A daemon that proves to be one takes the place of the one
    /// before: there is only one at a time, and the earlier may be one of which nobody has seen the end.
    pub(super) fn open_door(&mut self, now: Instant) {
        let connection = self.place.as_mut().and_then(|place| place.entrance.round(now));
        let Some(connection) = connection else { return };
        self.drop_connection();
        if let Err(error) = self.use_connection(connection) {
            tracing::error!(%error, "cannot watch the daemon's connection");
        }
    }

    /// What is due; `opened`: a program's file was.
    pub(super) fn look_after_place(&mut self, opened: bool, now: Instant) {
        let Some(place) = &mut self.place else { return };
        if opened {
            place.entry_points.opened(now);
        }
        place.entry_points.look(now);
        self.look_after_entrance(now);
    }

    pub(super) fn next_at_place(&self) -> Option<Instant> {
        let place = self.place.as_ref()?;
        [place.entrance.next_at(), place.entry_points.next_at()].into_iter().flatten().min()
    }

    /// A run has begun whose command starts this program.
    pub(super) fn look_for_program(&mut self, of: (TaskKey, u32), program: String) {
        let Some(place) = &mut self.place else { return };
        let is_new = place.entry_points.want(of, program, place.image.env(), Instant::now());
        if let Some(fd) = place.entry_points.fd().filter(|_| is_new) {
            let event = EpollEvent::new(EpollFlags::EPOLLIN, Source::Opened as u64);
            if let Err(error) = self.epoll.add(fd, event) {
                tracing::warn!(%error, "the programs of entry points are not seen");
            }
        }
    }

    /// How a run ended whose first process ended so.
    pub(super) fn exit_at_place(&mut self, key: TaskKey, exit: Exit) -> Exit {
        match &mut self.place {
            Some(place) => place.entry_points.ended(key, exit),
            None => exit,
        }
    }

    /// Answers FindProcess: by the nearest process above it that is the first of a run, else by its
    /// environment, which one that left its parents still has.
    pub(super) fn find_process(&mut self, pid: u32) {
        let mut at = Some(pid).filter(|_| self.place.is_some());
        let mut task = None;
        for _ in 0..ANCESTORS_MAX {
            let Some(above) = at.filter(|pid| *pid > self.pid) else { break };
            task = self.table.main(above).map(|task| task.id.task.clone());
            at = match task {
                Some(_) => None,
                None => procfs::read_stat(above).map(|stat| stat.ppid),
            };
        }
        let by_mark = || {
            let id = procfs::read_env_value(pid, TASK_VARIABLE)?;
            let id: TaskId = String::from_utf8(id).ok()?.parse().ok()?;
            self.table.key(&id).map(|_| id)
        };
        let task = task.or_else(|| by_mark().filter(|_| self.place.is_some()));
        self.tell(&FromKeeper::ProcessFound { pid, task });
    }

    /// Cuts visitors that have had their time, or goes on with the way. Where no daemon comes for long
    /// and nothing runs, the place ends.
    fn look_after_entrance(&mut self, now: Instant) {
        let Some(place) = &self.place else { return };
        if place.entrance.next_at().is_some_and(|at| at <= now) {
            self.open_door(now);
        }
        let alone = self.place.as_ref().and_then(|place| place.entrance.alone_since());
        let runs = self.table.iter().any(|(_, task)| !task.tree_gone) || !self.starts.is_empty();
        if alone.is_some_and(|since| now >= since + ORPHAN_AFTER)
            && !runs
            && self.shutdown.is_none()
        {
            tracing::warn!("no deskd has come for long, and nothing runs here: this place ends");
            self.shut_down();
        }
    }

    /// A connection ended: the way to the daemon is gone again.
    pub(super) fn lose_daemon(&mut self) {
        if let Some(place) = &mut self.place {
            place.entrance.lost(Instant::now());
        }
    }

    /// Whether a signal is for this keeper. At a place the programs are of its user and in its PID
    /// namespace, and who may end it is outside.
    pub(super) fn may_signal(&self, signal: Signal, info: &siginfo) -> bool {
        let Some(place) = &self.place else { return true };
        let may = signal == Signal::SIGCHLD || is_from_outside(info);
        if !may && place.insider.is_due() {
            tracing::warn!("a program of this place tried to end its keeper ({signal})");
        }
        may
    }

    /// A request with what a place adds: what the image says, and a wall that hides nothing and keeps its
    /// program from the keeper, which a PID namespace does not do entirely (prlimit(2)).
    pub(super) fn at_this_place(&self, request: SpawnRequest) -> SpawnRequest {
        let Some(place) = &self.place else { return request };
        let mut request = place.image.add_to(request);
        if place.walled {
            request.wall.get_or_insert_default();
        }
        request
    }

    /// A container ends with its first process, and so does what a run left at a place.
    pub(super) fn end_rest_at_place(&mut self, key: TaskKey) {
        if self.place.is_some() {
            self.table.end_rest(key, Instant::now());
        }
    }

    /// Answers ReadLog, now or as soon as there is something.
    pub(super) fn read_log(&mut self, id: TaskId, from: u64) {
        let Some(spool) = self.store.spool() else { return };
        spool.stored_until(&id, from);
        if let Some(start) = self.starts.of_task(&id) {
            start.asked = Some(from);
            return;
        }
        if let Some(task) = self.table.key(&id).and_then(|key| self.table.get_mut(key)) {
            task.asked = Some(from);
        } else {
            let (next, records) = (from, Vec::new());
            return self.tell(&FromKeeper::LogRecords {
                task: id,
                from,
                next,
                records,
                over: true,
            });
        }
        self.give_records(&id);
    }

    /// Gives what is there to who asked for it; nothing while there is nothing and more may come.
    pub(super) fn give_records(&mut self, id: &TaskId) {
        let Some(task) = self.table.key(id).and_then(|key| self.table.get_mut(key)) else { return };
        let (Some(from), Some(spool)) = (task.asked, self.store.spool()) else { return };
        let mut records = Vec::new();
        let given = spool.read(id, from, APPEND_BYTES_MAX, &mut records).unwrap_or_else(|error| {
            tracing::error!(%error, task = %id, "cannot read what it wrote");
            None
        });
        let Given { next, all } = given.unwrap_or(Given { next: from, all: true });
        let over = all && task.pipes == 0;
        if next > from || over {
            task.asked = None;
            self.tell(&FromKeeper::LogRecords { task: id.clone(), from, next, records, over });
        }
    }
}
