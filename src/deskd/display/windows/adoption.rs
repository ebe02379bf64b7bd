//! Takes the windows that exist: at the start, and after events may have been missed.
//!
//! What a client made below its windows is looked into here, so this may take long: it is done a
//! turn at a time, between which the thread answers and takes events.

use std::collections::{HashMap, HashSet, VecDeque};
use std::time::Instant;

use super::tracker::{Step, XEvent};
use super::{FRAME_DEPTH_MAX, Session, SessionError};
use deskd_core::window::{WindowEvent, WindowId};

/// Windows looked into below one child of the root.
const FRAME_WINDOWS_MAX: usize = 512;
/// Those of one client, below all children of the root: a window manager has some ten in each frame.
const CLIENT_FRAME_WINDOWS_MAX: usize = 16_384;
/// What is still to be looked at.
#[derive(Debug)]
pub(super) struct Adoption {
    /// Children of the root.
    children: VecDeque<WindowId>,
    /// Windows that were known before and not found again; once all children were looked at.
    missed: Option<Vec<WindowId>>,
    existing: HashSet<WindowId>,
    /// Destroyed meanwhile.
    gone: HashSet<WindowId>,
    /// Windows that were looked into, by client.
    looked_into: HashMap<WindowId, usize>,
}

impl Adoption {
    /// What the server says of windows meanwhile.
    pub(super) fn note(&mut self, event: XEvent) {
        match event {
            XEvent::Destroyed(id) if self.existing.contains(&id) => {
                self.gone.insert(id);
            }
            // Another one of the same name.
            XEvent::Created(id) => {
                self.gone.remove(&id);
            }
            _ => {}
        }
    }
}

impl Session {
    /// Begins; [`Session::drain`] goes on.
    pub fn adopt(&mut self) -> Result<(), SessionError> {
        self.begin();
        let Some((children, _)) = self.asker.family(self.root)? else { return Ok(()) };
        self.adoption = Some(Adoption {
            existing: children.iter().copied().collect(),
            children: children.into(),
            missed: None,
            gone: HashSet::new(),
            looked_into: HashMap::new(),
        });
        Ok(())
    }

    /// As much as the turn lasts; true when there is more to do.
    pub(super) fn go_on_adopting(
        &mut self,
        until: Instant,
        emit: &mut dyn FnMut(WindowEvent),
    ) -> Result<bool, SessionError> {
        let Some(mut adoption) = self.adoption.take() else { return Ok(false) };
        while Instant::now() < until {
            self.begin();
            if let Some(child) = adoption.children.pop_front() {
                if !adoption.gone.contains(&child) && self.tracker.takes(child) {
                    self.adopt_child(child, &mut adoption, emit)?;
                }
                continue;
            }
            let missed = adoption.missed.get_or_insert_with(|| {
                self.tracker.ids().filter(|id| !adoption.existing.contains(id)).collect()
            });
            let Some(id) = missed.pop() else {
                let existing = |id| adoption.existing.contains(&id) && !adoption.gone.contains(&id);
                let steps = self.tracker.retain(existing);
                self.carry_out(steps, emit)?;
                return Ok(false);
            };
            // In a frame, or newer than the beginning.
            if self.asker.exists(id)? {
                adoption.existing.insert(id);
                self.carry_out(vec![Step::Read(id)], emit)?;
            }
        }
        self.adoption = Some(adoption);
        Ok(true)
    }

    fn adopt_child(
        &mut self,
        child: WindowId,
        adoption: &mut Adoption,
        emit: &mut dyn FnMut(WindowEvent),
    ) -> Result<(), SessionError> {
        let created = self.tracker.event(XEvent::Created(child));
        self.carry_out(created, emit)?;
        let Some(client) = self.framed_client(child, &mut adoption.looked_into)? else {
            return self.carry_out(vec![Step::Read(child)], emit);
        };
        adoption.existing.insert(client);
        let steps = self.tracker.is_frame(child);
        self.carry_out(steps, emit)?;
        let created = self.tracker.event(XEvent::Created(client));
        self.carry_out(created, emit)?;
        self.carry_out(vec![Step::Read(client)], emit)
    }

    /// The client inside a window manager's frame: the nearest descendant that carries WM_STATE
    /// (ICCCM 4.1.3.1, as `XmuClientWindow` finds it) or was made by another client and is no
    /// XEmbed plug (WM_STATE comes after the frame). Nothing when `window` is a client itself.
    fn framed_client(
        &self,
        window: WindowId,
        looked_into: &mut HashMap<WindowId, usize>,
    ) -> Result<Option<WindowId>, SessionError> {
        let of_client = looked_into.entry(self.asker.client(window)).or_default();
        let mut level = vec![window];
        let mut looked_at = 0;
        for _ in 0..FRAME_DEPTH_MAX {
            let mut below = Vec::new();
            for id in level {
                self.begin();
                looked_at += 1;
                *of_client += 1;
                if self.asker.has(id, self.asker.atoms.WM_STATE)? {
                    return Ok((id != window).then_some(id));
                }
                if looked_at >= FRAME_WINDOWS_MAX || *of_client >= CLIENT_FRAME_WINDOWS_MAX {
                    return Ok(None);
                }
                if !self.asker.same_client(id, window) {
                    if !self.asker.has(id, self.asker.atoms._XEMBED_INFO)? {
                        return Ok(Some(id));
                    }
                    // What is inside a plug is the plug's.
                    continue;
                }
                let children = self.asker.family(id)?.map(|(children, _)| children);
                below.extend(children.unwrap_or_default().into_iter().take(FRAME_WINDOWS_MAX));
            }
            level = below;
        }
        Ok(None)
    }
}
