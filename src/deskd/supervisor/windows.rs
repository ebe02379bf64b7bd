//! What is looked up of a window, and windows that are asked to close.

use super::driver::Driver;
use super::input::{Input, Reply};
use crate::display::{DisplayEvent, attribution};
use deskd_core::id::TaskId;
use deskd_core::run::{self, Ancestry};
use deskd_core::window::{CloseOutcome, Window, WindowEvent, WindowId};
use deskd_core::wire::TASK_VARIABLE;
use deskd_keeper::procfs;

impl From<DisplayEvent> for Input {
    /// Reads `/proc`, which may wait for a process: on the display's thread, never on the driver's.
    fn from(event: DisplayEvent) -> Self {
        match event {
            DisplayEvent::Status(status) => Self::Display(status),
            DisplayEvent::Window(event) => {
                let ancestry = match &event {
                    WindowEvent::Mapped(window) | WindowEvent::Changed(window) => ancestry(window),
                    WindowEvent::Unmapped(_) | WindowEvent::Destroyed(_) => Ancestry::default(),
                };
                Self::Window(event, ancestry)
            }
        }
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

/// The processes above the one that owns a window.
fn ancestry(window: &Window) -> Ancestry {
    let Some(pid) = window.pid.filter(|_| !window.override_redirect) else {
        return Ancestry::default();
    };
    let parent_of = |pid| procfs::read_stat(pid).map(|stat| stat.ppid);
    let marker = procfs::read_env_value(pid, TASK_VARIABLE);
    let marked = marker.and_then(|id| String::from_utf8(id).ok()?.parse().ok());
    Ancestry { pids: attribution::ancestors(pid, parent_of), marked }
}
