//! Windows and the tasks that own them.

use std::collections::HashMap;

use super::driver::{Driver, now_ms};
use super::table::Entry;
use crate::display::{DisplayEvent, attribution};
use crate::engine::kubernetes::Command;
use crate::supervisor::input::{Input, Reply};
use deskd_core::app::App;
use deskd_core::display::DisplayStatus;
use deskd_core::id::TaskId;
use deskd_core::origin::Origin;
use deskd_core::plan::EngineKind;
use deskd_core::task::{TaskEvent, TaskState};
use deskd_core::window::{Window, WindowEvent, WindowId};
use deskd_core::wire::{RunId, TASK_VARIABLE};
use deskd_keeper::procfs;

/// Room for a pod's host name.
const HOST_NAME_BYTES_MAX: usize = 63;

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
        if lost || (new_server && self.health.looked) {
            self.display_was_lost();
        }
        if new_server || lost {
            let gone: Vec<_> = self.windows.mapped.drain().filter_map(|(_, (_, id))| id).collect();
            for id in gone {
                self.apply(&id, TaskEvent::WindowGone);
            }
        }
        if !self.health.looked {
            self.health.looked = true;
            self.send_unsent();
            self.resume_all_remote();
        }
    }

    fn window_event(&mut self, event: WindowEvent) {
        match event {
            WindowEvent::Mapped(window) if window.override_redirect => {}
            WindowEvent::Mapped(window) => self.window_mapped(window),
            WindowEvent::Changed(window) => {
                let Some((known, owner)) = self.windows.mapped.get_mut(&window.id) else { return };
                let was_homeless = owner.is_none();
                known.clone_from(&window);
                // Only this one: a client with thousands of windows would have all of them looked
                // up for each change of one.
                if was_homeless && let Some(task) = self.owner_of(&window) {
                    self.has_window(&task, &window);
                    self.windows.mapped.insert(window.id, (window, Some(task)));
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
            self.has_window(task, &window);
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
            self.has_window(&task, &window);
            self.windows.mapped.insert(window.id, (window, Some(task)));
        }
    }

    /// A window is the first proof that a container runs: the API tells half a second later.
    fn has_window(&mut self, id: &TaskId, window: &Window) {
        let Some(task) = self.table.get(id).map(|entry| entry.task.clone()) else { return };
        if task.engine != EngineKind::Local {
            let run = RunId { task: id.clone(), run: task.runs };
            let pid = window.pid.filter(|_| task.engine == EngineKind::EphemeralContainer);
            self.apply(id, TaskEvent::Started { run: run.run, pid: None, at: now_ms() });
            self.remote.tell(Command::WindowMapped { run, pid });
        }
        self.apply(id, TaskEvent::WindowMapped);
    }

    fn owner_of(&self, window: &Window) -> Option<TaskId> {
        self.owner_by_process(window)
            .or_else(|| self.owner_by_pod(window))
            .or_else(|| self.owner_by_class(window))
    }

    /// The host name of an application's pod is the pod's name, as far as there is room.
    fn owner_by_pod(&self, window: &Window) -> Option<TaskId> {
        let machine = window.machine.as_deref()?;
        let is_its = |entry: &&Entry| {
            entry.task.engine == EngineKind::PodApplication
                && entry.task.state != TaskState::Ended
                && entry.task.object.as_ref().is_some_and(|it| host_name(&it.pod) == machine)
        };
        self.table.iter().find(is_its).map(|entry| entry.task.id.clone())
    }

    /// A window that names neither process nor host (Xt programs of another PID namespace than the
    /// X server's): the oldest task without a window whose application says it has such windows. What
    /// others started names processes that deskd does not see, or takes for another.
    fn owner_by_class(&self, window: &Window) -> Option<TaskId> {
        let here = window.machine.is_none()
            || window.machine.as_deref() == Some(self.settings.host.as_str());
        let waits = |entry: &&Entry| {
            let task = &entry.task;
            let other = task.origin == Origin::Other;
            here && matches!(task.state, TaskState::Starting | TaskState::Running)
                && task.engine != EngineKind::PodApplication
                && task.windows == 0
                && (window.pid.is_none() || other)
                && match (self.apps.get(&task.app), entry.found.as_deref()) {
                    (Some(app), _) => has_class(app, window),
                    (None, Some(found)) => found.program_name() == Some(window.instance.as_str()),
                    (None, None) => false,
                }
        };
        self.table.iter().find(waits).map(|entry| entry.task.id.clone())
    }

    fn owner_by_process(&self, window: &Window) -> Option<TaskId> {
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

/// A host name has at most 63 characters; kubelet cuts a pod's name to that.
fn host_name(pod: &str) -> &str {
    let room = pod.get(..HOST_NAME_BYTES_MAX).unwrap_or(pod);
    room.trim_end_matches(['-', '.'])
}

/// Whether the application's windows have this WM_CLASS: as its description says, else by the name
/// of its program, which toolkits take for the instance.
fn has_class(app: &App, window: &Window) -> bool {
    if let Some(class) = &app.wm_class {
        return *class == format!("{}.{}", window.instance, window.class);
    }
    let local = || app.local.command.first().and_then(|path| path.rsplit('/').next());
    let name = app.container.as_ref().map_or_else(local, |container| container.program_name());
    name.is_some_and(|name| !name.is_empty() && name == window.instance)
}

#[cfg(test)]
mod tests {
    use super::host_name;

    #[test]
    fn a_long_pod_name_is_a_host_name_as_kubelet_cuts_it() {
        assert_eq!(host_name("balloon-app-2048-1a2b3"), "balloon-app-2048-1a2b3");
        let name = format!("{}-app-{}", "a".repeat(58), "b".repeat(20));
        assert_eq!(host_name(&name), format!("{}-app", "a".repeat(58)));
    }
}
