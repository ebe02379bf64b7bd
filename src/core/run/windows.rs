//! Windows and the tasks that own them.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::{Entry, Step};
use crate::app::App;
use crate::display::DisplayStatus;
use crate::id::TaskId;
use crate::origin::Origin;
use crate::plan::EngineKind;
use crate::port::{Command, Link};
use crate::task::{TaskEvent, TaskState};
use crate::window::{PidOrigin, Window, WindowEvent, WindowId};
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
    at_places: AtPlaces,
    owner: Option<TaskId>,
}

/// Which tasks at places have a process with the number that a window says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
enum AtPlaces {
    /// None can: no task is at a place, or the number is not of one.
    #[default]
    NotAsked,
    /// The keepers of places were asked.
    Asked,
    /// These.
    Told(BTreeSet<TaskId>),
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
                let (id, same_pid) = (window.id, known.window.pid == window.pid);
                (known.window, known.ancestry) = (window, ancestry);
                // Only this one: a client with thousands of windows would have all of them looked
                // up for each change of one.
                if known.owner.is_some() {
                    return;
                }
                if !same_pid {
                    self.ask_places(id);
                }
                self.attribute(id);
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
        let id = window.id;
        let (at_places, owner) = (AtPlaces::default(), None);
        self.runs.windows.mapped.insert(id, Mapped { window, ancestry, at_places, owner });
        self.ask_places(id);
        self.attribute(id);
    }

    /// Asks the keepers of places for a window's process, if it may be at one.
    fn ask_places(&mut self, id: WindowId) {
        let at_place = |entry: &Entry| {
            let task = &entry.task;
            (task.engine, task.origin) == (EngineKind::EphemeralContainer, Origin::Deskd)
                && task.state != TaskState::Ended
        };
        let some = self.runs.table.iter().any(at_place);
        let Some(it) = self.runs.windows.mapped.get_mut(&id) else { return };
        let pid = it.window.pid.filter(|_| some && it.window.pid_origin == PidOrigin::Window);
        it.at_places = pid.map_or(AtPlaces::NotAsked, |_| AtPlaces::Asked);
        if let Some(pid) = pid {
            self.tell(Link::Cluster, Command::FindProcess { pid });
        }
    }

    /// The keepers of places answered.
    pub(super) fn process_found(&mut self, pid: u32, tasks: &BTreeSet<TaskId>) {
        let of = |it: &&mut Mapped| {
            it.window.pid == Some(pid) && it.at_places != AtPlaces::NotAsked && it.owner.is_none()
        };
        let mut answered = Vec::new();
        for it in self.runs.windows.mapped.values_mut().filter(of) {
            it.at_places = AtPlaces::Told(tasks.clone());
            answered.push(it.window.id);
        }
        answered.into_iter().for_each(|id| self.attribute(id));
    }

    /// A task in a container runs: windows that had no owner may be its.
    pub(super) fn ask_places_again(&mut self) {
        let mapped = self.runs.windows.mapped.iter();
        let homeless: Vec<WindowId> =
            mapped.filter(|(_, it)| it.owner.is_none()).map(|(id, _)| *id).collect();
        homeless.into_iter().for_each(|id| self.ask_places(id));
    }

    /// Finds the owner of a window that has none.
    fn attribute(&mut self, id: WindowId) {
        let Some(it) = self.runs.windows.mapped.get(&id).filter(|it| it.owner.is_none()) else {
            return;
        };
        let Some(owner) = self.owner_of(it) else { return };
        let window = it.window.clone();
        self.has_window(&owner, &window);
        if let Some(it) = self.runs.windows.mapped.get_mut(&id) {
            it.owner = Some(owner);
        }
    }

    /// Looks again for the owners of windows that had none: a window can be seen before the
    /// keeper's message about its process.
    pub(super) fn attribute_windows(&mut self) {
        let mapped = self.runs.windows.mapped.iter();
        let homeless: Vec<WindowId> =
            mapped.filter(|(_, it)| it.owner.is_none()).map(|(id, _)| *id).collect();
        homeless.into_iter().for_each(|id| self.attribute(id));
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

    fn owner_of(&self, it: &Mapped) -> Option<TaskId> {
        let Mapped { window, ancestry, at_places, .. } = it;
        let known = match (window.pid_origin, at_places) {
            // The same number may be another process at a place.
            (PidOrigin::Window, AtPlaces::Asked) => return None,
            (PidOrigin::Window, AtPlaces::Told(tasks)) => {
                self.owner_by_claim(window, self.owner_by_process(ancestry), tasks)
            }
            (PidOrigin::Server | PidOrigin::Window, _) => self.owner_by_process(ancestry),
            (PidOrigin::Elsewhere, _) => None,
        };
        known.or_else(|| self.owner_by_pod(window)).or_else(|| self.owner_by_class(window))
    }

    /// The task with the process that a window says is its: of several in different PID namespaces, the
    /// one whose application has such windows. Better none than another's, which a stop would close.
    fn owner_by_claim(
        &self,
        window: &Window,
        here: Option<TaskId>,
        at_places: &BTreeSet<TaskId>,
    ) -> Option<TaskId> {
        let mut all: BTreeSet<TaskId> = at_places
            .iter()
            .filter(|id| self.runs.task(id).is_some_and(|task| task.state != TaskState::Ended))
            .cloned()
            .collect();
        all.extend(here);
        if all.len() > 1 {
            all.retain(|id| {
                let app = self.runs.task(id).and_then(|task| self.runs.app(&task.app));
                app.is_some_and(|app| has_class(app, window))
            });
        }
        all.pop_first().filter(|_| all.is_empty())
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
                && (other || (window.pid.is_none() && window.pid_origin != PidOrigin::Elsewhere))
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
