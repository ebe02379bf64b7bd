//! Which X windows are top-level windows of applications, and what changed about them. Pure:
//! decoded X events in, window events out; what must be asked of the server is returned as a
//! [`Step`] for the caller.
//!
//! A window manager puts clients into frames of its own, so a top-level window is not always a
//! child of the root: it is a window that *was created* as one (or carries WM_STATE) and was not
//! made an inner window by its own application or by XEmbed. Frames belong to the window manager
//! and are not reported.

use std::collections::HashMap;

use deskd_core::window::{Window, WindowEvent, WindowId};

/// Windows followed at once. A desktop has some hundreds; the ones beyond are not reported.
pub(super) const WINDOWS_MAX: usize = 8192;
/// Of one client: a window manager has a frame for each. Where there is no room, clients that have more make
/// it for one that has fewer, so that no client, and no crowd of them, takes the place of all others.
const CLIENT_WINDOWS_MAX: usize = 1024;

/// What the server said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum XEvent {
    /// A child of the root was created.
    Created(WindowId),
    Mapped(WindowId),
    Unmapped(WindowId),
    Destroyed(WindowId),
    /// It is a child of the root (again).
    ToRoot(WindowId),
    /// It was put into another window.
    Into(WindowId, Placement),
    /// A property that is reported has changed.
    Property(WindowId),
}

/// Why a window was put into another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Placement {
    /// By a window manager.
    Frame,
    /// By its own application, or as an XEmbed plug.
    Inner,
}

/// What the caller must do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    /// Ask for this window's own events.
    Subscribe(WindowId),
    /// Read this window and call [`Tracker::read`].
    Read(WindowId),
    /// The properties of this window are out of date: read it soon.
    Stale(WindowId),
    /// Report.
    Emit(WindowEvent),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    TopLevel,
    Frame,
    Inner,
}

#[derive(Debug)]
struct Known {
    role: Role,
    /// As reported last; nothing while it is not mapped.
    shown: Option<Window>,
    /// It was reported at least once, so its end is reported too.
    reported: bool,
}

/// All windows that are followed.
#[derive(Debug, Default)]
pub(super) struct Tracker {
    known: HashMap<WindowId, Known>,
    /// How many each client has.
    of_client: HashMap<u32, usize>,
    /// The bits of a window's number that its client chose.
    own_bits: u32,
}

impl Tracker {
    /// Nothing is followed; `own_bits`: the resource-id-mask of the connection setup.
    pub(super) fn new(own_bits: u32) -> Self {
        Self { own_bits, ..Self::default() }
    }

    /// Whether a window is followed, or would be.
    pub(super) fn takes(&self, id: WindowId) -> bool {
        let of_client = self.of_client.get(&self.client(id)).copied().unwrap_or(0);
        let has_room = || self.known.len() < WINDOWS_MAX || self.greediest().1 > of_client + 1;
        self.known.contains_key(&id) || (of_client < CLIENT_WINDOWS_MAX && has_room())
    }

    /// The client with the most windows, and their number.
    fn greediest(&self) -> (u32, usize) {
        let most = self.of_client.iter().max_by_key(|(_, count)| **count);
        most.map(|(client, count)| (*client, *count)).unwrap_or_default()
    }

    /// Gives up a window of the client with the most, if there is no room for another one.
    fn make_room(&mut self) -> Option<Step> {
        if self.known.len() < WINDOWS_MAX {
            return None;
        }
        let (greediest, _) = self.greediest();
        let of_client = self.known.iter().filter(|(id, _)| self.client(**id) == greediest);
        // One that is not shown, if there is one.
        let (&id, _) = of_client.min_by_key(|(_, known)| known.shown.is_some())?;
        self.forget(id)?.reported.then_some(Step::Emit(WindowEvent::Destroyed(id)))
    }

    fn client(&self, id: WindowId) -> u32 {
        id & !self.own_bits
    }

    fn forget(&mut self, id: WindowId) -> Option<Known> {
        let known = self.known.remove(&id)?;
        let client = self.client(id);
        if let Some(count) = self.of_client.get_mut(&client) {
            *count -= 1;
            if *count == 0 {
                self.of_client.remove(&client);
            }
        }
        Some(known)
    }

    /// Takes one event.
    pub(super) fn event(&mut self, event: XEvent) -> Vec<Step> {
        match event {
            XEvent::Created(id) => self.follow(id),
            XEvent::Mapped(id) => {
                let subscribe = self.follow(id);
                let hidden = self.known.get(&id).is_some_and(|known| known.shown.is_none());
                subscribe.into_iter().chain(hidden.then_some(Step::Read(id))).collect()
            }
            XEvent::Unmapped(id) => self.hide(id).into_iter().collect(),
            XEvent::Destroyed(id) => {
                let reported = self.forget(id).is_some_and(|known| known.reported);
                reported.then_some(Step::Emit(WindowEvent::Destroyed(id))).into_iter().collect()
            }
            XEvent::ToRoot(id) => {
                let subscribe = self.follow(id);
                self.set_role(id, Role::TopLevel);
                subscribe.into_iter().chain([Step::Read(id)]).collect()
            }
            // It may have been mapped in there before its own events were asked for.
            XEvent::Into(id, Placement::Frame) if self.known.contains_key(&id) => {
                vec![Step::Read(id)]
            }
            XEvent::Into(_, Placement::Frame) => Vec::new(),
            XEvent::Into(id, Placement::Inner) => {
                self.set_role(id, Role::Inner);
                self.hide(id).into_iter().collect()
            }
            XEvent::Property(id) => {
                let shown = self.known.get(&id).is_some_and(|known| known.shown.is_some());
                shown.then_some(Step::Stale(id)).into_iter().collect()
            }
        }
    }

    /// A window holds another client's window: it is a frame and not reported.
    pub(super) fn is_frame(&mut self, id: WindowId) -> Vec<Step> {
        self.set_role(id, Role::Frame);
        self.hide(id).into_iter().collect()
    }

    /// What a [`Step::Read`] or [`Step::Stale`] showed: nothing when the window is gone or not
    /// mapped.
    pub(super) fn read(&mut self, id: WindowId, window: Option<Window>) -> Option<WindowEvent> {
        let known = self.known.get_mut(&id)?;
        let Some(window) = window else {
            return known.shown.take().map(|_| WindowEvent::Unmapped(id));
        };
        if known.role != Role::TopLevel || known.shown.as_ref() == Some(&window) {
            return None;
        }
        known.reported = true;
        let before = known.shown.replace(window.clone());
        Some(match before {
            Some(_) => WindowEvent::Changed(window),
            None => WindowEvent::Mapped(window),
        })
    }

    /// Forgets everything that is not in `existing` (after events were missed).
    pub(super) fn retain(&mut self, existing: impl Fn(WindowId) -> bool) -> Vec<Step> {
        let gone = self.known.keys().copied().filter(|id| !existing(*id)).collect::<Vec<_>>();
        gone.into_iter().flat_map(|id| self.event(XEvent::Destroyed(id))).collect()
    }

    /// Everything that is followed.
    pub(super) fn ids(&self) -> impl Iterator<Item = WindowId> {
        self.known.keys().copied()
    }

    fn follow(&mut self, id: WindowId) -> Vec<Step> {
        if self.known.contains_key(&id) || !self.takes(id) {
            return Vec::new();
        }
        let given_up = self.make_room();
        *self.of_client.entry(self.client(id)).or_default() += 1;
        self.known.insert(id, Known { role: Role::TopLevel, shown: None, reported: false });
        given_up.into_iter().chain([Step::Subscribe(id)]).collect()
    }

    fn set_role(&mut self, id: WindowId, role: Role) {
        if let Some(known) = self.known.get_mut(&id) {
            known.role = role;
        }
    }

    fn hide(&mut self, id: WindowId) -> Option<Step> {
        let shown = self.known.get_mut(&id)?.shown.take();
        shown.map(|_| Step::Emit(WindowEvent::Unmapped(id)))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn window(id: WindowId, title: &str) -> Window {
        Window {
            id,
            title: title.into(),
            instance: String::new(),
            class: String::new(),
            pid: None,
            pid_origin: deskd_core::window::PidOrigin::default(),
            pid_disputed: false,
            machine: None,
            can_close: false,
            override_redirect: false,
        }
    }

    fn shown(tracker: &mut Tracker, id: WindowId) {
        tracker.event(XEvent::Mapped(id));
        assert!(tracker.read(id, Some(window(id, ""))).is_some());
    }

    #[test]
    fn a_window_is_subscribed_once_read_when_mapped_and_reported_once() {
        let mut tracker = Tracker::default();
        assert_eq!(tracker.event(XEvent::Created(7)), [Step::Subscribe(7)]);
        assert_eq!(tracker.event(XEvent::Mapped(7)), [Step::Read(7)]);
        let mapped = tracker.read(7, Some(window(7, "a")));
        assert_eq!(mapped, Some(WindowEvent::Mapped(window(7, "a"))));
        // The root and the window itself both tell of the same map.
        assert_eq!(tracker.event(XEvent::Mapped(7)), []);
        assert_eq!(tracker.read(7, Some(window(7, "a"))), None);
        assert_eq!(tracker.event(XEvent::Property(7)), [Step::Stale(7)]);
        let changed = tracker.read(7, Some(window(7, "b")));
        assert_eq!(changed, Some(WindowEvent::Changed(window(7, "b"))));
        let unmapped = [Step::Emit(WindowEvent::Unmapped(7))];
        assert_eq!(tracker.event(XEvent::Unmapped(7)), unmapped);
        assert_eq!(tracker.event(XEvent::Unmapped(7)), []);
        assert_eq!(tracker.event(XEvent::Property(7)), []);
        let destroyed = [Step::Emit(WindowEvent::Destroyed(7))];
        assert_eq!(tracker.event(XEvent::Destroyed(7)), destroyed);
        assert_eq!(tracker.event(XEvent::Destroyed(7)), []);
    }

    #[test]
    fn the_end_of_a_window_that_was_never_reported_is_not_reported() {
        let mut tracker = Tracker::default();
        tracker.event(XEvent::Created(7));
        assert_eq!(tracker.event(XEvent::Destroyed(7)), []);
    }

    #[test]
    fn a_mapped_window_that_is_destroyed_is_reported_as_destroyed() {
        let mut tracker = Tracker::default();
        shown(&mut tracker, 7);
        let destroyed = [Step::Emit(WindowEvent::Destroyed(7))];
        assert_eq!(tracker.event(XEvent::Destroyed(7)), destroyed);
        assert_eq!(tracker.read(7, Some(window(7, "late"))), None);
    }

    #[test]
    fn a_frame_is_not_reported_and_its_client_stays() {
        let mut tracker = Tracker::default();
        shown(&mut tracker, 7);
        shown(&mut tracker, 100);
        assert_eq!(tracker.event(XEvent::Into(7, Placement::Frame)), [Step::Read(7)]);
        assert_eq!(tracker.is_frame(100), [Step::Emit(WindowEvent::Unmapped(100))]);
        tracker.event(XEvent::Mapped(100));
        assert_eq!(tracker.read(100, Some(window(100, ""))), None);
        assert_eq!(tracker.event(XEvent::Unmapped(7)), [Step::Emit(WindowEvent::Unmapped(7))]);
    }

    #[test]
    fn an_inner_window_is_not_reported_until_it_is_back_on_the_root() {
        let mut tracker = Tracker::default();
        shown(&mut tracker, 7);
        let hidden = [Step::Emit(WindowEvent::Unmapped(7))];
        assert_eq!(tracker.event(XEvent::Into(7, Placement::Inner)), hidden);
        assert_eq!(tracker.event(XEvent::Mapped(7)), [Step::Read(7)]);
        assert_eq!(tracker.read(7, Some(window(7, ""))), None);
        assert_eq!(tracker.event(XEvent::ToRoot(7)), [Step::Read(7)]);
        assert!(tracker.read(7, Some(window(7, ""))).is_some());
    }

    #[test]
    fn a_crowd_of_clients_with_many_windows_makes_room_for_one_with_few() {
        let mut tracker = Tracker::new(0xffff);
        for id in (0..12).flat_map(|client| (1..=900).map(move |number| client << 16 | number)) {
            shown_if_taken(&mut tracker, id);
        }
        assert_eq!(tracker.known.len(), WINDOWS_MAX);
        let modest = 99 << 16 | 1;
        let steps = tracker.event(XEvent::Mapped(modest));
        assert!(matches!(steps[0], Step::Emit(WindowEvent::Destroyed(_))), "{steps:?}");
        assert_eq!(steps[1..], [Step::Subscribe(modest), Step::Read(modest)]);
        assert_eq!(tracker.known.len(), WINDOWS_MAX);
        let counts = tracker.of_client.values().copied();
        assert_eq!(counts.sum::<usize>(), WINDOWS_MAX);
        assert!(tracker.greediest().1 < WINDOWS_MAX / 12 + 2, "{:?}", tracker.of_client);
    }

    fn shown_if_taken(tracker: &mut Tracker, id: WindowId) {
        tracker.event(XEvent::Mapped(id));
        tracker.read(id, Some(window(id, "")));
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..Default::default() })]

        #[test]
        fn a_consumer_never_sees_a_window_mapped_twice_or_gone_twice(
            actions in proptest::collection::vec((0_u8..9, 1_u32..5), 0..80)
        ) {
            let mut tracker = Tracker::default();
            let mut seen = HashMap::new();
            for (action, id) in actions {
                let mut steps = match action {
                    0 => tracker.event(XEvent::Created(id)),
                    1 => tracker.event(XEvent::Mapped(id)),
                    2 => tracker.event(XEvent::Unmapped(id)),
                    3 => tracker.event(XEvent::Destroyed(id)),
                    4 => tracker.event(XEvent::ToRoot(id)),
                    5 => tracker.event(XEvent::Into(id, Placement::Inner)),
                    6 => tracker.is_frame(id),
                    7 => tracker.retain(|other| other != id),
                    _ => tracker.event(XEvent::Property(id)),
                };
                let reads: Vec<_> = steps.iter().filter_map(|step| match step {
                    Step::Read(id) | Step::Stale(id) => Some(*id),
                    _ => None,
                }).collect();
                for id in reads {
                    steps.extend(tracker.read(id, Some(window(id, "x"))).map(Step::Emit));
                }
                for step in steps {
                    match step {
                        Step::Emit(WindowEvent::Mapped(w)) => {
                            prop_assert_ne!(seen.insert(w.id, true), Some(true));
                        }
                        Step::Emit(WindowEvent::Changed(w)) => {
                            prop_assert_eq!(seen.get(&w.id), Some(&true));
                        }
                        Step::Emit(WindowEvent::Unmapped(id)) => {
                            prop_assert_eq!(seen.insert(id, false), Some(true));
                        }
                        Step::Emit(WindowEvent::Destroyed(id)) => {
                            prop_assert!(seen.remove(&id).is_some());
                        }
                        _ => {}
                    }
                }
            }
        }
    }
}
