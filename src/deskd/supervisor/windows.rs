//! What is looked up of a window, and windows that are asked to close.

use std::cell::RefCell;
use std::collections::HashMap;

use super::driver::Driver;
use super::input::{Input, Reply};
use crate::display::{DisplayEvent, attribution};
use deskd_core::id::TaskId;
use deskd_core::run::{self, Ancestry};
use deskd_core::window::{CloseOutcome, Window, WindowEvent, WindowId};
use deskd_core::wire::TASK_VARIABLE;
use deskd_keeper::procfs;

/// Processes whose marks are kept.
const MARKS_MAX: usize = 1024;

/// Looks up whose processes windows are. Reads `/proc`, which may wait for a process: on the display's
/// thread, never on the driver's.
#[derive(Debug, Default)]
pub struct Lookup {
    /// By pid and start: an environment may have megabytes, and a title changes twenty times a second.
    marks: RefCell<HashMap<(u32, u64), Option<TaskId>>>,
}

impl Lookup {
    /// What the driver is told of an event.
    pub fn input(&self, event: DisplayEvent) -> Input {
        match event {
            DisplayEvent::Status(status) => Input::Display(status),
            DisplayEvent::Window(event) => {
                let ancestry = match &event {
                    WindowEvent::Mapped(window) | WindowEvent::Changed(window) => {
                        self.ancestry(window)
                    }
                    WindowEvent::Unmapped(_) | WindowEvent::Destroyed(_) => Ancestry::default(),
                };
                Input::Window(event, ancestry)
            }
        }
    }

    /// The processes above the one that owns a window.
    fn ancestry(&self, window: &Window) -> Ancestry {
        let Some(pid) = window.pid.filter(|_| !window.override_redirect) else {
            return Ancestry::default();
        };
        let parent_of = |pid| procfs::read_stat(pid).map(|stat| stat.ppid);
        Ancestry { pids: attribution::ancestors(pid, parent_of), marked: self.marked(pid) }
    }

    /// Of which task a process says that it is.
    fn marked(&self, pid: u32) -> Option<TaskId> {
        let start_ticks = procfs::read_stat(pid)?.start_ticks;
        let mut marks = self.marks.borrow_mut();
        if marks.len() >= MARKS_MAX {
            marks.clear();
        }
        let read = || String::from_utf8(procfs::read_env_value(pid, TASK_VARIABLE)?).ok();
        marks
            .entry((pid, start_ticks))
            .or_insert_with(|| read().and_then(|id| id.parse().ok()))
            .clone()
    }
}

impl Driver {
    pub(super) fn close_windows(&self, task: TaskId, windows: Vec<WindowId>) {
        let inputs = self.own_inputs.clone();
        self.display_thread.close_windows(windows, move |outcomes| {
            // The daemon is ending when nobody listens; the engine's deadlines stand.
            let _ = inputs.blocking_send(Input::WindowsAsked(task, outcomes));
        });
    }

    pub(super) fn windows_asked(&mut self, task: TaskId, outcomes: &[(WindowId, CloseOutcome)]) {
        let asked = outcomes.iter().filter(|(_, what)| *what == CloseOutcome::Asked).count();
        self.step(run::Input::WindowsAsked { task, asked, of: outcomes.len() });
    }

    pub(super) fn probe(&mut self, reply: Reply<()>) {
        let inputs = self.own_inputs.clone();
        self.display_thread.look(move |status| {
            // The daemon is ending when nobody listens.
            let _ = inputs.blocking_send(Input::Looked(Box::new(status), reply));
        });
    }
}
