//! Windows and the tasks that own them.

use std::collections::HashMap;

use super::driver::Driver;
use crate::display::{DisplayEvent, attribution};
use crate::domain::display::DisplayStatus;
use crate::domain::id::TaskId;
use crate::domain::task::TaskEvent;
use crate::domain::window::{Window, WindowEvent, WindowId};
use crate::keeper::wire::TASK_VARIABLE;
use crate::procfs;
use crate::supervisor::input::{Input, Reply};

/// Mapped windows of this server epoch.
#[derive(Debug, Default)]
pub(super) struct Windows {
    mapped: HashMap<WindowId, (Window, Option<TaskId>)>,
}

impl Windows {
    /// The windows of a task that can be asked to close.
    pub(super) fn closable(&self, task: &TaskId) -> Vec<WindowId> {
        let owned = self.mapped.values().filter(|(_, owner)| owner.as_ref() == Some(task));
        owned.filter(|(window, _)| window.can_close).map(|(window, _)| window.id).collect()
    }

    pub(super) fn forget_task(&mut self, task: &TaskId) {
        for (_, owner) in self.mapped.values_mut() {
            if owner.as_ref() == Some(task) {
                *owner = None;
            }
        }
    }
}

impl Driver {
    pub(super) fn display_said(&mut self, event: DisplayEvent) {
        match event {
            DisplayEvent::Status(status) => self.display_is(*status),
            DisplayEvent::Window(event) => self.window_event(event),
        }
    }

    fn display_is(&mut self, status: DisplayStatus) {
        let new_server = status.server_epoch != self.display.server_epoch;
        let lost = self.display.answers() && status.server.is_none();
        self.display = status;
        if new_server || lost {
            let gone: Vec<_> = self.windows.mapped.drain().filter_map(|(_, (_, id))| id).collect();
            for id in gone {
                self.apply(&id, TaskEvent::WindowGone);
            }
        }
        if !self.health.looked {
            self.health.looked = true;
            self.send_unsent();
        }
    }

    fn window_event(&mut self, event: WindowEvent) {
        match event {
            WindowEvent::Mapped(window) if window.override_redirect => {}
            WindowEvent::Mapped(window) => self.window_mapped(window),
            WindowEvent::Changed(window) => {
                if let Some((known, _)) = self.windows.mapped.get_mut(&window.id) {
                    *known = window;
                    self.attribute_windows();
                }
            }
            WindowEvent::Unmapped(id) | WindowEvent::Destroyed(id) => {
                if let Some((_, Some(task))) = self.windows.mapped.remove(&id) {
                    self.apply(&task, TaskEvent::WindowGone);
                }
            }
        }
    }

    fn window_mapped(&mut self, window: Window) {
        if self.windows.mapped.contains_key(&window.id) {
            return;
        }
        let owner = self.owner_of(&window);
        if let Some(task) = &owner {
            self.apply(task, TaskEvent::WindowMapped);
        }
        self.windows.mapped.insert(window.id, (window, owner));
    }

    /// Looks again for the owners of windows that had none: a window can be seen before the
    /// keeper's message about its process.
    pub(super) fn attribute_windows(&mut self) {
        let homeless: Vec<Window> = self
            .windows
            .mapped
            .values()
            .filter(|(_, owner)| owner.is_none())
            .map(|(window, _)| window.clone())
            .collect();
        for window in homeless {
            let Some(task) = self.owner_of(&window) else { continue };
            self.apply(&task, TaskEvent::WindowMapped);
            self.windows.mapped.insert(window.id, (window, Some(task)));
        }
    }

    fn owner_of(&self, window: &Window) -> Option<TaskId> {
        let pid = window.pid?;
        let mains: HashMap<u32, &TaskId> = self
            .table
            .iter()
            .filter_map(|entry| entry.task.pid.map(|pid| (pid, &entry.task.id)))
            .collect();
        let parent_of = |pid| procfs::read_stat(pid).map(|stat| stat.ppid);
        let task_of = |pid| mains.get(&pid).map(|id| (*id).clone());
        attribution::owner(pid, parent_of, task_of).or_else(|| {
            // A process that left its parents still carries the variable the keeper set.
            let id = procfs::read_env_value(pid, TASK_VARIABLE)?;
            let id: TaskId = String::from_utf8(id).ok()?.parse().ok()?;
            self.table.get(&id).map(|entry| entry.task.id.clone())
        })
    }

    pub(super) fn probe(&mut self, reply: Reply<()>) {
        let inputs = self.own_inputs.clone();
        self.display_thread.look(move |status| {
            // The daemon is ending when nobody listens.
            let _ = inputs.blocking_send(Input::Looked(Box::new(status), reply));
        });
    }
}
