//! The loop: everything that happens to the keeper, one turn after the other.

mod adopted;
mod chase;
mod container_logs;
mod ending;
mod feed;
mod place;
mod processes;
mod reload;
mod requests;
mod setup;
mod sink;
mod starts;
mod talk;

use std::cell::OnceCell;
use std::collections::HashSet;
use std::fs::File;
use std::net::TcpListener;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use nix::errno::Errno;
use nix::fcntl::Flock;
use nix::sys::epoll::{Epoll, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::signal::Signal;
use nix::sys::signalfd::SignalFd;

use super::capture::Capture;
use super::custody::Custody;
use super::daemon::Daemon;
use super::escalation::Stop;
use super::heartbeat::Heartbeat;
use super::link::Connection;
use super::notify::Notify;
use super::procfs::MemoryCgroup;
use super::release::Reload;
use super::shutdown::Shutdown;
use super::spawn::Spawner;
use super::spawn::starter::{KINDS, Kind};
use super::starts::Starts;
use super::table::{Table, TaskKey};
use super::tree::{ProcEvidence, Process};
use super::{KeeperConfig, KeeperError, tried};
use crate::output::Output;
use deskd_core::exit::Exit;
use deskd_core::task::UnixMs;
use deskd_core::wire::{DaemonEnd, FromKeeper};

/// Events taken in one turn; of processes that are no children there may be more.
const EVENTS_MAX: usize = 6 + KINDS.len();
/// Requests answered in one turn: nothing else happens meanwhile.
const REQUESTS_PER_TURN: usize = 8;
/// Signals taken in one turn: there are four kinds, and somebody may send them without end.
const SIGNALS_PER_TURN: usize = 8;
/// Until the next look at `/proc` after one that failed.
const SURVEY_RETRY_MS: u64 = 100;

/// What an event is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u64)]
enum Source {
    Signals,
    Connection,
    Feed,
    Pipes,
    Door,
    Opened,
    /// The starter of the first kind; the others follow.
    Starters,
    /// A main process that is no child: that of the task with key 0; the others follow.
    Adopted = 1 << 32,
}

/// The keeper.
#[derive(Debug)]
pub(super) struct Keeper {
    config: KeeperConfig,
    started_at: UnixMs,
    pid: u32,
    /// High bits of every tag, so that no other keeper's tags are taken for its own.
    tag_base: u64,
    /// Tags given out.
    tags: u32,

    epoll: Epoll,
    signals: SignalFd,
    connection: Option<Connection>,
    /// What the connection is watched for.
    interest: EpollFlags,
    /// Requests that were read may wait to be answered.
    requests_left: bool,
    /// Where a Welcome that is under way goes on.
    welcome: Option<TaskKey>,
    /// Its second connection.
    feed: Option<feed::Feed>,
    /// The version of messages that is spoken with the daemon, since its Hello on this connection.
    spoken: Option<u32>,

    table: Table,
    spawner: Spawner,
    starts: Starts,
    /// The own control group, looked for when it is first needed; absent where none can be seen.
    memory: OnceCell<Option<MemoryCgroup>>,
    /// OOM kills that it had had when a starter was asked last.
    oom_kills_at_start: Option<u64>,
    evidence: ProcEvidence,
    capture: Capture,
    store: Output,
    container_logs: container_logs::ContainerLogs,
    log_trouble: Option<String>,
    /// While there is trouble: when to try again.
    log_retry_at: Option<Instant>,

    /// Children that are left of ended tasks (or are nobody's, at a shutdown): when one of them is
    /// reaped it is time for a survey. Every process that is left descends from one of them, and
    /// when that ends its children become the keeper's; so nothing else needs to be watched.
    roots: HashSet<u32>,
    survey_wanted: bool,
    survey_retry_at: Option<Instant>,
    /// More children may wait to be reaped than one turn takes.
    reap_again: bool,

    daemon: Daemon,
    heartbeat: Heartbeat,
    /// Why the daemon that runs was killed, until it is gone.
    given_up: Option<DaemonEnd>,
    /// How far the next program and configuration are.
    reload: Reload,
    /// How the daemon before ended.
    predecessor: Option<DaemonEnd>,
    /// Handed to each daemon; nothing is accepted here.
    daemon_tcp: Option<TcpListener>,
    notify: Notify,
    /// It is a place's; absent: a desktop's, with a daemon of its own.
    place: Option<place::Place>,
    shutdown: Option<Shutdown>,
    /// Since a shutdown sent SIGTERM to everything: when SIGKILL follows.
    terminated: Option<Instant>,
    drained: bool,
    /// Processes of no task, known at a shutdown.
    strays: Vec<Process>,
    exit: Option<Exit>,
    adopted: adopted::Adopted,
    /// The daemon's end is what it holds should this keeper be killed.
    custody: Option<Custody>,
    /// Of the state directory; a place has none.
    lock: Option<Flock<File>>,
}

/// What there is to do in a turn.
#[derive(Debug, Default)]
struct Ready {
    signals: bool,
    connection: bool,
    feed: bool,
    pipes: bool,
    starters: Vec<Kind>,
    adopted: Vec<TaskKey>,
    door: bool,
    opened: bool,
}

impl Keeper {
    /// The loop.
    pub(super) fn run(mut self) -> Result<Exit, KeeperError> {
        loop {
            let ready = self.wait()?;
            self.turn(&ready)?;
            if let Some(exit) = self.exit {
                return Ok(exit);
            }
        }
    }

    fn wait(&self) -> Result<Ready, KeeperError> {
        let timeout = match self.next_at() {
            None => EpollTimeout::NONE,
            Some(at) => {
                // Rounded up: waking before the time would mean waking twice.
                let wait =
                    at.saturating_duration_since(Instant::now()) + Duration::from_micros(999);
                EpollTimeout::try_from(wait.min(Duration::from_secs(3600)))
                    .unwrap_or(EpollTimeout::ZERO)
            }
        };
        let mut events = [EpollEvent::empty(); EVENTS_MAX];
        let count = match self.epoll.wait(&mut events, timeout) {
            Ok(count) => count,
            Err(Errno::EINTR) => 0,
            Err(errno) => return Err(tried("wait for events")(errno)),
        };
        let mut ready = Ready::default();
        for event in &events[..count] {
            match event.data() {
                data if data == Source::Signals as u64 => ready.signals = true,
                data if data == Source::Connection as u64 => ready.connection = true,
                data if data == Source::Feed as u64 => ready.feed = true,
                data if data == Source::Door as u64 => ready.door = true,
                data if data == Source::Opened as u64 => ready.opened = true,
                data if data == Source::Pipes as u64 => ready.pipes = true,
                data if data >= Source::Adopted as u64 => {
                    ready.adopted.push(TaskKey(data - Source::Adopted as u64));
                }
                data => ready.starters.extend(starter_kind(data)),
            }
        }
        Ok(ready)
    }

    /// One turn. Commands come before reading, so that no writer can hold them up.
    fn turn(&mut self, ready: &Ready) -> Result<(), KeeperError> {
        if ready.signals {
            self.take_signals()?;
        }
        if ready.signals || self.reap_again {
            self.reap();
        }
        for kind in &ready.starters {
            self.starter_answers(*kind);
        }
        for key in &ready.adopted {
            self.adopted_ended(*key);
        }
        if ready.door {
            self.open_door(Instant::now());
        }
        if ready.connection || self.requests_left {
            self.answer_requests();
        }
        if ready.feed {
            self.answer_feed();
        }
        let now = Instant::now();
        self.start_daemon_if_due(now)?;
        self.heartbeat_if_due(now);
        self.look_after_place(ready.opened, now);
        self.kill_late(now);
        self.go_on_starting(now);
        self.look_after_adopted(now);
        self.signal_what_is_due(now);
        self.survey_if_wanted(now);
        self.go_on_ending(now);
        self.retry_logs_if_due(now);
        if ready.pipes {
            self.read_pipes()?;
        }
        // Followers wait for it.
        self.flush_feed();
        self.keep_custody(now);
        self.flush();
        Ok(())
    }

    /// When to wake up even if nothing happens.
    fn next_at(&self) -> Option<Instant> {
        if self.reap_again || self.survey_wanted || (self.requests_left && self.can_answer()) {
            return Some(Instant::now());
        }
        let stops = self.table.stops().map(Stop::next_at);
        let others = [
            self.survey_retry_at,
            self.next_at_place(),
            self.log_retry_at,
            self.daemon.start_at().filter(|_| !self.is_daemons_turn()),
            // Its answer may be among what is not read yet.
            self.heartbeat.next_at().filter(|_| !self.requests_left),
            self.reload.until(),
            self.starts.next_at(),
            self.adopted.next_at(),
            self.shutdown.as_ref().map(Shutdown::next_at),
        ];
        stops.chain(others.into_iter().flatten()).min()
    }

    fn take_signals(&mut self) -> Result<(), KeeperError> {
        for _ in 0..SIGNALS_PER_TURN {
            let info = self.signals.read_signal().map_err(tried("read a signal"))?;
            let Some(info) = info else { break };
            // After SIGCHLD follows reaping.
            let Ok(signal) = Signal::try_from(info.ssi_signo.cast_signed()) else { continue };
            match signal {
                _ if !self.may_signal(signal, &info) => {}
                Signal::SIGTERM | Signal::SIGINT => self.shut_down(),
                Signal::SIGHUP => self.reload(Instant::now()),
                _ => {}
            }
        }
        Ok(())
    }

    fn is_daemons_turn(&self) -> bool {
        self.shutdown.as_ref().is_some_and(Shutdown::is_daemons_turn)
    }

    /// Tells the daemon, if it is there.
    fn tell(&mut self, message: &FromKeeper) {
        if self.spoken.is_none() {
            return;
        }
        if let Some(connection) = &mut self.connection
            && let Err(error) = connection.send(message)
        {
            self.hang_up(&error);
        }
    }

    /// Tells the daemon about a task whose record it has.
    fn tell_about(&mut self, key: TaskKey, message: &FromKeeper) {
        if self.welcome.is_none_or(|next| key < next) {
            self.tell(message);
        }
    }
}

/// Which starter an event is about.
fn starter_kind(data: u64) -> Option<Kind> {
    let number = data.checked_sub(Source::Starters as u64)?;
    KINDS.get(usize::try_from(number).ok()?).copied()
}

/// Now, for records.
fn unix_ms() -> UnixMs {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// A moment of the monotonic clock, for records.
fn unix_ms_at(at: Instant) -> UnixMs {
    let ahead = at.saturating_duration_since(Instant::now());
    unix_ms().saturating_add(i64::try_from(ahead.as_millis()).unwrap_or(i64::MAX))
}
