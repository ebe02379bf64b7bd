//! The display thread: owns every connection to the server and follows it through its lives.
//!
//! ```text
//!           look answers: epoch + 1, adopt windows
//!   Away ------------------------------------------> Here
//!    ^  retry: socket created, or backoff              |  hang check every 10 s
//!    |                                                 |  silent: Hanging (same connection,
//!    +-------------------------------------------------+    its next answer ends it)
//!           end of file: lost
//! ```
//!
//! It sleeps in `poll` and wakes for the server, a request, a file created beside the X sockets
//! while the server is away, and its few timers. It decides nothing about tasks.

use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify, InotifyEvent};
use rustix::event::{PollFd, PollFlags, Timespec};

use super::handshake::{Address, listens};
use super::listen;
use super::look::{self, Looked};
use super::request::{Gone, Request, RequestReceiver};
use super::windows::{Session, SessionError};
use super::{DisplayConfig, DisplayEvent, Pulse, SOCKET_DIR, SOCKET_DIR_NAME};
use deskd_core::display::{DisplayStatus, EndpointState};
use deskd_core::named_check::ManagerSeen;
use deskd_core::shm::ShmVerdicts;
use deskd_core::window::{CloseOutcome, WindowId};

/// While the server answers, one round trip this often finds out when it stops doing so.
const HANG_CHECK_S: u64 = 10;
/// First and longest pause between looks while the server is away. A new socket file, or somebody
/// who listens, ends a pause.
const RETRY_FIRST_MS: u64 = 50;
const RETRY_LONGEST_MS: u64 = 2_000;
/// The longest one while nobody listens: knocks find out sooner, and a look reads the table of unix sockets.
const RETRY_NOBODY_MS: u64 = 30_000;
/// While nobody listens, this often a connection is tried: a server may have only an abstract socket,
/// of which nothing tells. A connection costs a tenth of a millisecond, most of it for waking up.
const KNOCK_MS: u64 = 500;

const PID_NAMESPACE_NOTE: &str = "the X server is in another PID namespace: which process owns a window is the application's \
     own claim (_NET_WM_PID)";

type Sink = Box<dyn Fn(DisplayEvent) + Send>;

/// Everything the thread owns.
pub(super) struct Worker {
    config: DisplayConfig,
    number: u16,
    requests: RequestReceiver,
    sink: Sink,
    pulse: Arc<Pulse>,
    /// As published last; before the first look nothing was.
    status: DisplayStatus,
    published: bool,
    server: Server,
}

enum Server {
    Away(Away),
    Here(Box<Here>),
}

struct Away {
    watch: Option<Watch>,
    pause: Duration,
    retry_at: Instant,
    /// Nobody listened at the last look: when to try whether somebody does.
    knock_at: Option<Instant>,
}

struct Here {
    session: Session,
    hanging: bool,
    check_at: Instant,
    /// Events are left to take: do not sleep.
    busy: bool,
}

impl Away {
    fn new() -> Self {
        Self { watch: watch(), pause: Duration::ZERO, retry_at: Instant::now(), knock_at: None }
    }

    fn put_off(&mut self, nobody_listens: bool) {
        let longest = if nobody_listens { RETRY_NOBODY_MS } else { RETRY_LONGEST_MS };
        let next = (self.pause * 2).max(Duration::from_millis(RETRY_FIRST_MS));
        self.pause = next.min(Duration::from_millis(longest));
        let now = Instant::now();
        self.retry_at = now + self.pause;
        self.knock_at = nobody_listens.then(|| now + Duration::from_millis(KNOCK_MS));
    }

    /// Looks at once if somebody listens now.
    fn knock(&mut self, number: u16, now: Instant) {
        if self.knock_at.is_none_or(|at| at > now) {
            return;
        }
        self.knock_at = Some(now + Duration::from_millis(KNOCK_MS));
        let path = listen::socket_path(number);
        if listens(&Address::Path(path.clone())) || listens(&Address::Abstract(path)) {
            self.pause = Duration::ZERO;
            self.retry_at = now;
        }
    }

    /// When there is something to do.
    fn due_at(&self) -> Instant {
        self.knock_at.map_or(self.retry_at, |knock| knock.min(self.retry_at))
    }

    /// Something happened beside the sockets: start over with short pauses, if it is about ours.
    fn stirred(&mut self, number: u16) {
        let Some(watch) = &self.watch else { return };
        let name = if watch.above { SOCKET_DIR_NAME.to_owned() } else { format!("X{number}") };
        match watch.inotify.read_events() {
            Err(nix::errno::Errno::EAGAIN) => return,
            Ok(events) => {
                let gone = events.iter().any(|it| it.mask.contains(AddWatchFlags::IN_IGNORED));
                let ours =
                    |event: &InotifyEvent| event.name.as_ref().is_none_or(|it| **it == *name);
                if !gone && !events.iter().any(ours) {
                    return;
                }
                if gone || watch.above {
                    self.watch = None;
                }
            }
            Err(_) => self.watch = None,
        }
        self.pause = Duration::ZERO;
        self.retry_at = Instant::now();
    }
}

/// Tells of new sockets, or of the directory for them.
struct Watch {
    inotify: Inotify,
    /// The directory does not exist yet: the one above it is watched.
    above: bool,
}

fn watch() -> Option<Watch> {
    let inotify = Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC).ok()?;
    let kinds = AddWatchFlags::IN_CREATE | AddWatchFlags::IN_MOVED_TO;
    let dir = Path::new(SOCKET_DIR);
    let above = inotify.add_watch(dir, kinds).is_err();
    if above {
        inotify.add_watch(dir.parent()?, kinds).ok()?;
        // It may have been made meanwhile.
        if inotify.add_watch(dir, kinds).is_ok() {
            return watch();
        }
    }
    Some(Watch { inotify, above })
}

impl Worker {
    pub(super) fn new(
        config: DisplayConfig,
        number: u16,
        requests: RequestReceiver,
        sink: Sink,
        pulse: Arc<Pulse>,
    ) -> Self {
        let status = DisplayStatus::unknown(&config.display, number);
        let server = Server::Away(Away::new());
        Self { config, number, requests, sink, pulse, status, published: false, server }
    }

    /// Runs until the handle is dropped.
    pub(super) fn run(mut self) {
        loop {
            self.pulse.beat();
            self.advance();
            self.pulse.beat();
            if !self.wait() {
                return;
            }
            self.requests.awake();
            loop {
                match self.requests.next() {
                    Ok(Some(request)) => self.request(request),
                    Ok(None) => break,
                    Err(Gone) => return,
                }
            }
        }
    }

    /// Does what is due.
    fn advance(&mut self) {
        let now = Instant::now();
        match &mut self.server {
            Server::Away(away) => {
                away.stirred(self.number);
                away.knock(self.number, now);
                if away.retry_at <= now {
                    away.watch = away.watch.take().or_else(watch);
                    self.look();
                }
            }
            Server::Here(here) if here.hanging => self.resume(),
            Server::Here(here) => {
                let sink = &self.sink;
                let due = here.check_at <= now;
                let mut outcome = match due {
                    true => here.session.check(),
                    false => Ok(()),
                };
                if due {
                    here.check_at = now + Duration::from_secs(HANG_CHECK_S);
                }
                outcome = outcome.and_then(|()| {
                    here.busy =
                        here.session.drain(&mut |event| sink(DisplayEvent::Window(event)))?;
                    Ok(())
                });
                match outcome {
                    // New clients were turned away at the last look: has that changed?
                    Ok(()) if due && !self.status.answers() => self.look(),
                    Ok(()) => {}
                    Err(error) => self.failed(error),
                }
            }
        }
    }

    /// Sleeps until something happens; false when `poll` itself is broken.
    fn wait(&self) -> bool {
        let (server, until) = match &self.server {
            Server::Away(away) => (away.watch.as_ref().map(|it| it.inotify.as_fd()), away.due_at()),
            Server::Here(here) if here.hanging => (Some(here.session.as_fd()), here.check_at),
            Server::Here(here) => {
                let until = match (here.busy, here.session.due_at()) {
                    (true, _) => Instant::now(),
                    (false, Some(due)) => due.min(here.check_at),
                    (false, None) => here.check_at,
                };
                (Some(here.session.as_fd()), until)
            }
        };
        let fds: Vec<BorrowedFd<'_>> =
            std::iter::once(self.requests.as_fd()).chain(server).collect();
        let mut fds: Vec<_> = fds.iter().map(|fd| PollFd::new(fd, PollFlags::IN)).collect();
        let left = until.saturating_duration_since(Instant::now());
        let timeout = Timespec::try_from(left).ok();
        !matches!(
            rustix::event::poll(&mut fds, timeout.as_ref()),
            Err(errno) if errno != rustix::io::Errno::INTR
        )
    }

    fn request(&mut self, request: Request) {
        match request {
            Request::Look { done } => {
                self.look();
                done(self.status.clone());
            }
            Request::Close { windows, done } => {
                let outcomes = windows.into_iter().map(|id| (id, self.close(id))).collect();
                done(outcomes);
            }
            Request::Manager { done } => {
                done(self.of_session(Session::manager).unwrap_or(ManagerSeen::NoDisplay));
            }
            Request::Idle { done } => done(self.of_session(Session::idle_ms).flatten()),
        }
    }

    /// What the server answers; nothing while it is away or hangs.
    fn of_session<T>(
        &mut self,
        question: impl FnOnce(&Session) -> Result<T, SessionError>,
    ) -> Option<T> {
        let Server::Here(here) = &self.server else { return None };
        if here.hanging {
            return None;
        }
        question(&here.session).map_err(|error| self.failed(error)).ok()
    }

    fn close(&mut self, window: WindowId) -> CloseOutcome {
        let outcome = match &self.server {
            Server::Away(_) => return CloseOutcome::Gone,
            Server::Here(here) if here.hanging => return CloseOutcome::Unsupported,
            Server::Here(here) => here.session.close(window),
        };
        match outcome {
            Ok(outcome) => outcome,
            Err(error) => {
                self.failed(error);
                match error {
                    SessionError::Hanging => CloseOutcome::Unsupported,
                    SessionError::Lost => CloseOutcome::Gone,
                }
            }
        }
    }

    /// One full look; a server that was away and answers becomes the server that is here.
    fn look(&mut self) {
        let Looked { mut status, connection } = look::look(&self.config, self.number);
        status.server_epoch = self.status.server_epoch;
        match (&mut self.server, connection) {
            (Server::Away(_), Some(connection)) => {
                match Session::new(*connection, self.config.hang_timeout) {
                    Ok(session) => self.arrived(session, status),
                    // It answered a moment ago: say so only when it can be used.
                    Err(_) => self.still_away(look::lost(&status, self.number)),
                }
            }
            (Server::Away(_), None) => self.still_away(status),
            (Server::Here(here), _) => {
                // New clients are kept waiting; are we, too?
                let silent = status.unix.state == EndpointState::Hanging && !here.hanging;
                let check = if silent { here.session.check() } else { Ok(()) };
                // It is the same one, whether or not it lets others in.
                status.server = status.server.or_else(|| self.status.server.clone());
                status.notes.extend(pid_note(&here.session));
                self.publish(status);
                if let Err(error) = check {
                    self.failed(error);
                }
            }
        }
    }

    fn still_away(&mut self, status: DisplayStatus) {
        if let Server::Away(away) = &mut self.server {
            away.put_off(status.unix.state == EndpointState::NotListening);
        }
        self.publish(status);
    }

    fn arrived(&mut self, session: Session, mut status: DisplayStatus) {
        status.server_epoch += 1;
        status.notes.extend(pid_note(&session));
        let check_at = Instant::now() + Duration::from_secs(HANG_CHECK_S);
        self.server =
            Server::Here(Box::new(Here { session, hanging: false, check_at, busy: false }));
        // Before its windows: a new epoch voids the old ones.
        self.publish(status);
        self.adopt();
    }

    fn adopt(&mut self) {
        let Server::Here(here) = &mut self.server else { return };
        here.busy = true;
        if let Err(error) = here.session.adopt() {
            self.failed(error);
        }
    }

    /// The connection was lost or fell silent.
    fn failed(&mut self, error: SessionError) {
        let Server::Here(here) = &mut self.server else { return };
        if error == SessionError::Hanging {
            here.hanging = true;
            here.check_at = Instant::now() + Duration::from_secs(HANG_CHECK_S);
            // The answer to this is what wakes us when the server goes on.
            if here.session.ask() != Err(SessionError::Lost) {
                let mut status = self.status.clone();
                status.unix.state = EndpointState::Hanging;
                status.shm = ShmVerdicts::unreachable();
                self.publish(status);
                self.start_anew();
                return;
            }
        }
        self.server = Server::Away(Away::new());
        self.publish(look::lost(&self.status, self.number));
    }

    /// A server that answers others is not hanging: this connection is broken (a byte that was wrong
    /// makes x11rb wait for ever), and another takes its place.
    fn start_anew(&mut self) {
        let looked = look::look(&self.config, self.number);
        let (true, Some(connection)) = (looked.status.answers(), looked.connection) else { return };
        tracing::warn!("the X server's answers are not understood: the connection is made anew");
        self.server = Server::Away(Away::new());
        self.publish(look::lost(&self.status, self.number));
        let mut status = looked.status;
        status.server_epoch = self.status.server_epoch;
        match Session::new(*connection, self.config.hang_timeout) {
            Ok(session) => self.arrived(session, status),
            Err(_) => self.still_away(look::lost(&status, self.number)),
        }
    }

    /// The hanging server sent something, or it is time to ask again, or only a request woke us.
    fn resume(&mut self) {
        let Server::Here(here) = &mut self.server else { return };
        if here.check_at > Instant::now() && !readable(here.session.as_fd()) {
            return;
        }
        here.check_at = Instant::now() + Duration::from_secs(HANG_CHECK_S);
        match here.session.check() {
            Ok(()) => {
                here.hanging = false;
                self.look();
                self.adopt();
            }
            Err(SessionError::Hanging) => {}
            Err(SessionError::Lost) => self.failed(SessionError::Lost),
        }
    }

    fn publish(&mut self, status: DisplayStatus) {
        if self.published && self.status == status {
            return;
        }
        self.published = true;
        self.status = status;
        (self.sink)(DisplayEvent::Status(Box::new(self.status.clone())));
    }
}

fn pid_note(session: &Session) -> Option<String> {
    (!session.pids_are_ours()).then(|| PID_NAMESPACE_NOTE.to_owned())
}

fn readable(fd: BorrowedFd<'_>) -> bool {
    let mut fds = [PollFd::new(&fd, PollFlags::IN)];
    matches!(rustix::event::poll(&mut fds, Some(&Timespec::default())), Ok(ready) if ready > 0)
}
