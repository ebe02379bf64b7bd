//! Windows and the tasks that own them.

use std::collections::{BTreeMap, HashMap};

use super::{Entry, Step};
use crate::app::App;
use crate::display::DisplayStatus;
use crate::id::TaskId;
use crate::origin::Origin;
use crate::port::{Command, Link};
use crate::task::{TaskEvent, TaskState};
use crate::window::{Window, WindowEvent, WindowId};
use crate::wire::RunId;

/// Room for a pod's host name.
const HOST_NAME_BYTES_MAX: usize = 63;

/// The processes above the one that owns a window, as they were when the window was seen.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ancestry {
    /// The process itself, its parent, and so on.
    pub pids: Vec<u32>,
    /// The task that its environment names: a process that left its parents still carries that.
    pub marked: Option<TaskId>,
}

/// A mapped window.
#[derive(Debug)]
struct Mapped {
    window: Window,
    ancestry: Ancestry,
    owner: Option<TaskId>,
}

/// Mapped windows of this server epoch.
#[derive(Debug, Default)]
pub(super) struct Windows {
    mapped: BTreeMap<WindowId, Mapped>,
}

impl Windows {
    /// The windows of a task that can be asked to close.
    pub(super) fn closable(&self, task: &TaskId) -> Vec<WindowId> {
        let owned = self.mapped.values().filter(|it| it.owner.as_ref() == Some(task));
        owned.map(|it| &it.window).filter(|it| it.can_close).map(|it| it.id).collect()
    }

    pub(super) fn forget_task(&mut self, task: &TaskId) {
        for it in self.mapped.values_mut() {
            it.owner.take_if(|owner| owner == task);
        }
    }
}

impl Step<'_> {
    pub(super) fn display_is(&mut self, status: DisplayStatus) {
        let new_server = status.server_epoch != self.runs.display.server_epoch;
        let lost = self.runs.display.answers() && status.server.is_none();
        self.runs.display = status;
        if lost || (new_server && self.runs.looked) {
            self.display_was_lost();
        }
        if new_server || lost {
            let mapped = std::mem::take(&mut self.runs.windows.mapped);
            for id in mapped.into_values().filter_map(|it| it.owner) {
                self.apply(&id, TaskEvent::WindowGone);
            }
        }
        if !std::mem::replace(&mut self.runs.looked, true) {
            self.send_unsent();
            self.resume_all_remote();
        }
    }

    pub(super) fn window_event(&mut self, event: WindowEvent, ancestry: Ancestry) {
        match event {
            WindowEvent::Mapped(window) if window.override_redirect => {}
            WindowEvent::Mapped(window) => self.window_mapped(window, ancestry),
            WindowEvent::Changed(window) => {
                let Some(known) = self.runs.windows.mapped.get_mut(&window.id) else { return };
                (known.window, known.ancestry) = (window.clone(), ancestry.clone());
                // Only this one: a client with thousands of windows would have all of them looked
                // up for each change of one.
                if known.owner.is_some() {
                    return;
                }
                let Some(owner) = self.owner_of(&window, &ancestry) else { return };
                self.has_window(&owner, &window);
                if let Some(known) = self.runs.windows.mapped.get_mut(&window.id) {
                    known.owner = Some(owner);
                }
            }
            WindowEvent::Unmapped(id) | WindowEvent::Destroyed(id) => {
                let gone = self.runs.windows.mapped.remove(&id);
                if let Some(task) = gone.and_then(|it| it.owner) {
                    self.apply(&task, TaskEvent::WindowGone);
                }
            }
        }
    }

    fn window_mapped(&mut self, window: Window, ancestry: Ancestry) {
        if self.runs.windows.mapped.contains_key(&window.id) {
            return;
        }
        let owner = self.owner_of(&window, &ancestry);
        if let Some(task) = &owner {
            self.has_window(task, &window);
        }
        self.runs.windows.mapped.insert(window.id, Mapped { window, ancestry, owner });
    }

    /// Looks again for the owners of windows that had none: a window can be seen before the
    /// keeper's message about its process.
    pub(super) fn attribute_windows(&mut self) {
        let mapped = self.runs.windows.mapped.iter();
        let homeless: Vec<WindowId> =
            mapped.filter(|(_, it)| it.owner.is_none()).map(|(id, _)| *id).collect();
        for id in homeless {
            let Some(it) = self.runs.windows.mapped.get(&id) else { continue };
            let Some(owner) = self.owner_of(&it.window, &it.ancestry) else { continue };
            let window = it.window.clone();
            self.has_window(&owner, &window);
            if let Some(it) = self.runs.windows.mapped.get_mut(&id) {
                it.owner = Some(owner);
            }
        }
    }

    /// A window is the first proof that a container runs: the API tells half a second later.
    fn has_window(&mut self, id: &TaskId, window: &Window) {
        let Some(task) = self.runs.task(id).cloned() else { return };
        if task.engine.is_in_cluster() {
            let run = RunId { task: id.clone(), run: task.runs };
            let pid = window.pid.filter(|_| !task.engine.has_own_pod());
            let at = self.now.unix_ms;
            self.apply(id, TaskEvent::Started { run: run.run, pid: None, at });
            self.tell(Link::Cluster, Command::WindowMapped { run, pid });
        }
        self.apply(id, TaskEvent::WindowMapped);
    }

    fn owner_of(&self, window: &Window, ancestry: &Ancestry) -> Option<TaskId> {
        self.owner_by_process(ancestry)
            .or_else(|| self.owner_by_pod(window))
            .or_else(|| self.owner_by_class(window))
    }

    /// The nearest process above it that is the first of a task.
    fn owner_by_process(&self, ancestry: &Ancestry) -> Option<TaskId> {
        if ancestry.pids.is_empty() {
            return None;
        }
        let mains: HashMap<u32, &TaskId> = self
            .runs
            .table
            .iter()
            .filter_map(|entry| entry.task.pid.map(|pid| (pid, &entry.task.id)))
            .collect();
        let by_pid = ancestry.pids.iter().find_map(|pid| mains.get(pid).copied());
        let marked = || ancestry.marked.as_ref().filter(|id| self.runs.table.get(id).is_some());
        by_pid.or_else(marked).cloned()
    }

    /// The host name of an application's pod is the pod's name, as far as there is room.
    fn owner_by_pod(&self, window: &Window) -> Option<TaskId> {
        let machine = window.machine.as_deref()?;
        let is_its = |entry: &&Entry| {
            entry.task.engine.has_own_pod()
                && entry.task.state != TaskState::Ended
                && entry.task.object.as_ref().is_some_and(|it| host_name(&it.pod) == machine)
        };
        self.runs.table.iter().find(is_its).map(|entry| entry.task.id.clone())
    }

    /// A window that names neither process nor host (Xt programs of another PID namespace than the
    /// X server's): the oldest task without a window whose application says it has such windows. What
    /// others started names processes that deskd does not see, or takes for another.
    fn owner_by_class(&self, window: &Window) -> Option<TaskId> {
        let here = window.machine.is_none()
            || window.machine.as_deref() == Some(self.runs.config.host.as_str());
        let waits = |entry: &&Entry| {
            let task = &entry.task;
            let other = task.origin == Origin::Other;
            here && matches!(task.state, TaskState::Starting | TaskState::Running)
                && !task.engine.has_own_pod()
                && task.windows == 0
                && (window.pid.is_none() || other)
                && match (self.runs.app(&task.app), entry.found.as_deref()) {
                    (Some(app), _) => has_class(app, window),
                    (None, Some(found)) => found.program_name() == Some(window.instance.as_str()),
                    (None, None) => false,
                }
        };
        self.runs.table.iter().find(waits).map(|entry| entry.task.id.clone())
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
