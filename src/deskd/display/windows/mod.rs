//! The windows of one server: follows them over one connection and reports what changes.
//!
//! The decisions are in [`tracker`]; this module carries them out. It knows no tasks.

mod adoption;
mod client_ids;
mod owner;
mod query;
mod storm;
mod text;
mod tracker;

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use x11rb::CURRENT_TIME;
use x11rb::connection::Connection;
use x11rb::errors::{ConnectionError, ReplyError};
use x11rb::protocol::Event;
use x11rb::protocol::xproto::{
    AtomEnum, ChangeWindowAttributesAux, ClientMessageEvent, ConnectionExt as _, EventMask,
};

use self::adoption::Adoption;
use self::query::Asker;
use self::storm::Storm;
use self::tracker::{Placement, Step, Tracker, XEvent};
use super::handshake::ServerConnection;
use deskd_core::named_check::ManagerSeen;
use deskd_core::window::{CloseOutcome, WindowEvent, WindowId};

/// A title that changes faster than this is reported at this pace.
const CHANGES_COALESCE_MS: u64 = 50;
/// Events taken, and time spent on them, before commands get their turn.
const EVENTS_PER_TURN_MAX: usize = 1024;
const TURN: Duration = Duration::from_millis(50);
/// A window manager is woken this long after the last window was created.
const WAKE_AFTER_MS: u64 = 1_000;
/// Window managers put clients two or three windows deep.
const FRAME_DEPTH_MAX: usize = 8;
/// Windows whose properties are read at a time.
const REFRESH_WINDOWS_MAX: usize = 256;
const ROOT_EVENTS: EventMask = EventMask::SUBSTRUCTURE_NOTIFY;

/// Why a connection cannot be used now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SessionError {
    /// The server did not answer in time; the connection still exists.
    #[error("the X server does not answer")]
    Hanging,
    /// The connection is gone or broken.
    #[error("the connection to the X server is lost")]
    Lost,
}

impl From<ConnectionError> for SessionError {
    fn from(error: ConnectionError) -> Self {
        match error {
            ConnectionError::IoError(error) if error.kind() == ErrorKind::TimedOut => Self::Hanging,
            _ => Self::Lost,
        }
    }
}

impl SessionError {
    fn from_reply(error: ReplyError) -> Self {
        match error {
            ReplyError::ConnectionError(error) => error.into(),
            ReplyError::X11Error(_) => Self::Lost,
        }
    }
}

/// An X error means that the window has vanished meanwhile, which is normal.
fn present<T>(reply: Result<T, ReplyError>) -> Result<Option<T>, SessionError> {
    match reply {
        Ok(reply) => Ok(Some(reply)),
        Err(ReplyError::X11Error(_)) => Ok(None),
        Err(ReplyError::ConnectionError(error)) => Err(error.into()),
    }
}

/// The long-lived connection and what is known of the windows.
pub struct Session {
    asker: Asker,
    root: WindowId,
    tracker: Tracker,
    /// Windows whose properties changed.
    stale: BTreeSet<WindowId>,
    /// When they were read last, and the first that was not.
    refreshed_at: Option<Instant>,
    refreshed_to: WindowId,
    storm: Storm,
    /// The windows that exist are being taken.
    adoption: Option<Adoption>,
    /// When the window manager is to be woken.
    wake_at: Option<Instant>,
    /// Limit of one operation.
    limit: Duration,
}

/// What is asked of each window that is followed.
fn own_events() -> EventMask {
    EventMask::STRUCTURE_NOTIFY | EventMask::PROPERTY_CHANGE
}

impl AsFd for Session {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.asker.connection.stream().as_fd()
    }
}

impl Session {
    /// Takes the connection over and asks for the root's events.
    pub fn new(connection: ServerConnection, limit: Duration) -> Result<Self, SessionError> {
        connection.stream().begin(limit);
        let root = connection.setup().roots.first().map_or(0, |screen| screen.root);
        let asker = Asker::new(connection)?;
        let own_bits = asker.connection.setup().resource_id_mask;
        let mut session = Self {
            asker,
            root,
            tracker: Tracker::new(own_bits),
            stale: BTreeSet::new(),
            refreshed_at: None,
            refreshed_to: 0,
            storm: Storm::default(),
            adoption: None,
            wake_at: None,
            limit,
        };
        session.select(root, ROOT_EVENTS)?;
        Ok(session)
    }

    /// Whether the server's pids are of our PID namespace.
    pub(super) fn pids_are_ours(&self) -> bool {
        self.asker.server_pids == owner::ServerPids::Ours
    }

    /// One round trip.
    pub(super) fn check(&self) -> Result<(), SessionError> {
        self.begin();
        self.asker.connection.get_input_focus()?.reply().map_err(SessionError::from_reply)?;
        Ok(())
    }

    /// Whether a window manager runs.
    pub fn manager(&self) -> Result<ManagerSeen, SessionError> {
        self.begin();
        self.asker.manager(self.root)
    }

    /// Milliseconds since the last input.
    pub fn idle_ms(&self) -> Result<Option<u64>, SessionError> {
        self.begin();
        self.asker.idle_ms(self.root)
    }

    /// Asks for an answer without waiting: its arrival makes the connection readable.
    pub(super) fn ask(&self) -> Result<(), SessionError> {
        self.begin();
        // Dropping the cookie discards the answer but not the bytes that wake us.
        drop(self.asker.connection.get_input_focus()?);
        Ok(self.asker.connection.flush()?)
    }

    fn begin(&self) {
        self.asker.connection.stream().begin(self.limit);
    }

    /// Takes events that have arrived, without waiting for more; true when some are left.
    ///
    /// Must be called before every wait: events also arrive while an answer is awaited.
    pub fn drain(&mut self, emit: &mut dyn FnMut(WindowEvent)) -> Result<bool, SessionError> {
        if self.storm.is_over(Instant::now()) {
            self.after_storm()?;
        }
        let adopting = self.go_on_adopting(Instant::now() + TURN, emit)?;
        let until = Instant::now() + TURN;
        for _ in 0..EVENTS_PER_TURN_MAX {
            self.begin();
            let read = self.asker.connection.stream().events();
            if self.storm.is_too_much(read, Instant::now()) {
                self.before_storm()?;
                return Ok(false);
            }
            // Subscriptions have no answer that would have sent them off.
            self.asker.connection.flush()?;
            let Some(event) = self.asker.connection.poll_for_event()? else {
                if self.refresh(until, emit)? {
                    if Instant::now() < until {
                        continue;
                    }
                    return Ok(true);
                }
                self.wake_manager()?;
                return Ok(adopting);
            };
            self.storm.took_event();
            if event.sent_event() {
                // Not by the server: any client can say so about any window.
                continue;
            }
            match event {
                Event::ReparentNotify(event) if event.parent != self.root => {
                    self.reparented(event.window, event.parent, emit)?;
                }
                event => {
                    if matches!(event, Event::CreateNotify(_)) {
                        self.wake_at = Some(Instant::now() + Duration::from_millis(WAKE_AFTER_MS));
                    }
                    let event = self.decode(&event);
                    if let (Some(event), Some(adoption)) = (event, &mut self.adoption) {
                        adoption.note(event);
                    }
                    let steps = event.map(|event| self.tracker.event(event));
                    self.carry_out(steps.unwrap_or_default(), emit)?;
                }
            }
            if Instant::now() >= until {
                break;
            }
        }
        Ok(true)
    }

    /// Asks for no events any more and drops those that wait: windows are read anew after a pause.
    fn before_storm(&mut self) -> Result<(), SessionError> {
        tracing::warn!("clients of the display change windows faster than they can be followed");
        self.select(self.root, EventMask::NO_EVENT)?;
        for id in self.tracker.ids().collect::<Vec<_>>() {
            self.select(id, EventMask::NO_EVENT)?;
        }
        self.check()?;
        while self.asker.connection.poll_for_event()?.is_some() {
            self.storm.took_event();
        }
        self.stale.clear();
        self.adoption = None;
        self.storm.begin(Instant::now());
        Ok(())
    }

    fn after_storm(&mut self) -> Result<(), SessionError> {
        self.begin();
        self.select(self.root, ROOT_EVENTS)?;
        for id in self.tracker.ids().collect::<Vec<_>>() {
            self.select(id, own_events())?;
        }
        self.adopt()
    }

    /// When [`Self::drain`] has something to do, also without events.
    pub(super) fn due_at(&self) -> Option<Instant> {
        self.refresh_at().into_iter().chain(self.wake_at).min()
    }

    /// When [`Self::refresh`] has something to do.
    fn refresh_at(&self) -> Option<Instant> {
        if let Some(over) = self.storm.until() {
            return Some(over);
        }
        let pause = Duration::from_millis(CHANGES_COALESCE_MS);
        let now = Instant::now();
        (!self.stale.is_empty()).then(|| self.refreshed_at.map_or(now, |last| last + pause))
    }

    /// Reads the windows whose properties changed, at most once per [`CHANGES_COALESCE_MS`] and as far as the
    /// turn lasts; false when there was nothing to do.
    fn refresh(
        &mut self,
        until: Instant,
        emit: &mut dyn FnMut(WindowEvent),
    ) -> Result<bool, SessionError> {
        if self.refresh_at().is_none_or(|at| at > Instant::now()) {
            return Ok(false);
        }
        self.refreshed_at = Some(Instant::now());
        for _ in 0..REFRESH_WINDOWS_MAX {
            // From where the last turn ended: no window is read again before all others were.
            let next = self.stale.range(self.refreshed_to..).next().or(self.stale.first());
            let Some(id) = next.copied() else { break };
            self.stale.remove(&id);
            self.refreshed_to = id.saturating_add(1);
            // Each has its own time: whoever is told of it may take some.
            self.begin();
            self.carry_out(vec![Step::Read(id)], emit)?;
            if Instant::now() >= until {
                break;
            }
        }
        Ok(true)
    }

    /// Sends the window manager an event that means nothing, once no windows are created any more.
    ///
    /// openbox (3.6.1, `obt/xqueue.c`) sleeps over what it read while it was busy with something
    /// else, above all while it started: a window that an application asked it to show stays
    /// invisible until the next event of any kind.
    fn wake_manager(&mut self) -> Result<(), SessionError> {
        if self.wake_at.is_none_or(|at| at > Instant::now()) {
            return Ok(());
        }
        self.wake_at = None;
        self.begin();
        let nothing = ClientMessageEvent::new(32, self.root, self.asker.atoms._DESKD_WAKE, [0; 5]);
        let manager = EventMask::SUBSTRUCTURE_REDIRECT;
        self.asker.connection.send_event(false, self.root, manager, nothing)?.ignore_error();
        Ok(self.asker.connection.flush()?)
    }

    /// Asks one window to close.
    pub fn close(&self, id: WindowId) -> Result<CloseOutcome, SessionError> {
        self.begin();
        match self.asker.closable(id)? {
            None => return Ok(CloseOutcome::Gone),
            Some(false) => return Ok(CloseOutcome::Unsupported),
            Some(true) => {}
        }
        let atoms = &self.asker.atoms;
        let data = [atoms.WM_DELETE_WINDOW, CURRENT_TIME, 0, 0, 0];
        let message = ClientMessageEvent::new(32, id, atoms.WM_PROTOCOLS, data);
        let sent = self.asker.connection.send_event(false, id, EventMask::NO_EVENT, message)?;
        Ok(present(sent.check())?.map_or(CloseOutcome::Gone, |()| CloseOutcome::Asked))
    }

    fn carry_out(
        &mut self,
        steps: Vec<Step>,
        emit: &mut dyn FnMut(WindowEvent),
    ) -> Result<(), SessionError> {
        for step in steps {
            match step {
                Step::Subscribe(id) => self.select(id, own_events())?,
                Step::Read(id) => {
                    let window = self.asker.window(id)?;
                    self.tracker.read(id, window).into_iter().for_each(&mut *emit);
                }
                Step::Stale(id) => {
                    self.stale.insert(id);
                }
                Step::Emit(event) => emit(event),
            }
        }
        Ok(())
    }

    fn select(&mut self, window: WindowId, mask: EventMask) -> Result<(), SessionError> {
        let events = ChangeWindowAttributesAux::new().event_mask(mask);
        self.asker.connection.change_window_attributes(window, &events)?.ignore_error();
        Ok(())
    }

    fn decode(&self, event: &Event) -> Option<XEvent> {
        match event {
            Event::CreateNotify(event) if event.parent == self.root => {
                Some(XEvent::Created(event.window))
            }
            Event::MapNotify(event) => Some(XEvent::Mapped(event.window)),
            Event::UnmapNotify(event) => Some(XEvent::Unmapped(event.window)),
            Event::DestroyNotify(event) => Some(XEvent::Destroyed(event.window)),
            Event::ReparentNotify(event) => Some(XEvent::ToRoot(event.window)),
            Event::PropertyNotify(event) if self.is_reported(event.atom) => {
                Some(XEvent::Property(event.window))
            }
            _ => None,
        }
    }

    /// A window was put into another one: by a window manager, whose frames are marked, or by its
    /// own application (some toolkits create every window on the root first), or as an XEmbed plug.
    fn reparented(
        &mut self,
        window: WindowId,
        parent: WindowId,
        emit: &mut dyn FnMut(WindowEvent),
    ) -> Result<(), SessionError> {
        if self.is_inner(window, parent)? {
            let steps = self.tracker.event(XEvent::Into(window, Placement::Inner));
            return self.carry_out(steps, emit);
        }
        let mut frame = parent;
        for _ in 0..FRAME_DEPTH_MAX {
            let steps = self.tracker.is_frame(frame);
            self.carry_out(steps, emit)?;
            match self.asker.family(frame)? {
                Some((_, above)) if above != self.root && above != x11rb::NONE => frame = above,
                _ => break,
            }
        }
        let steps = self.tracker.event(XEvent::Into(window, Placement::Frame));
        self.carry_out(steps, emit)
    }

    /// Whether it is a part of something, and not a client in a frame. `_XEMBED_INFO` alone does not
    /// tell: Qt sets it on every window, so that each could be embedded.
    fn is_inner(&self, window: WindowId, parent: WindowId) -> Result<bool, SessionError> {
        if self.asker.same_client(window, parent) {
            return Ok(true);
        }
        if !self.asker.has(window, self.asker.atoms._XEMBED_INFO)? {
            return Ok(false);
        }
        let manager = self.asker.window_manager(self.root)?;
        Ok(!manager.is_some_and(|manager| self.asker.same_client(manager, parent)))
    }

    fn is_reported(&self, atom: u32) -> bool {
        let atoms = &self.asker.atoms;
        [atoms._NET_WM_NAME, atoms._NET_WM_PID, atoms.WM_PROTOCOLS].contains(&atom)
            || [AtomEnum::WM_NAME, AtomEnum::WM_CLASS].iter().any(|known| u32::from(*known) == atom)
    }
}
