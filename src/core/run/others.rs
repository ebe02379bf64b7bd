//! Tasks that others started: taken in as the cluster tells of them, on record like deskd's own (so
//! that their history and how far their output is stored survive), and hidden once somebody removed
//! them, since their objects stay.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::effect::Effect;
use super::{Entry, Step};
use crate::id::TaskId;
use crate::origin::{HIDDEN_MAX, NoStop, NoStopCode, OTHERS_MAX, Origin};
use crate::plan::EngineKind;
use crate::port::{Command, Link, Object, Stranger};
use crate::redact::redacted;
use crate::task::{StopStep, StopStepKind, Task, TaskEvent};
use crate::text;
use crate::why::Actor;
use crate::wire::RunId;

/// What the driver remembers of others' tasks but the tasks.
#[derive(Debug, Default)]
pub(super) struct Others {
    /// Removed by somebody: not shown again while their objects exist.
    hidden: BTreeMap<TaskId, EngineKind>,
    /// It was told that there are too many.
    too_many: bool,
}

impl Others {
    pub(super) fn new(hidden: BTreeMap<TaskId, EngineKind>) -> Self {
        Self { hidden, ..Self::default() }
    }

    pub(super) fn hidden(&self) -> &BTreeMap<TaskId, EngineKind> {
        &self.hidden
    }
}

impl Step<'_> {
    /// A container that others started and that is on no record; whether it is to be shown.
    pub(super) fn adopt_other(&mut self, run: &RunId, object: Object) -> bool {
        if self.runs.hidden().contains_key(&run.task) || !self.make_room_for_another() {
            let forget = Command::Forget { run: run.clone(), output: false };
            self.tell(Link::Cluster, forget);
            return false;
        }
        let Object { engine, place, stranger, .. } = object;
        let Some(Stranger { found, env }) = stranger.map(|stranger| *stranger) else {
            return false;
        };
        let app = found.app_among(self.runs.apps.values().map(Arc::as_ref));
        let task = Task::of_others(&found, app, engine, place, self.now.unix_ms);
        self.runs.table.insert(Entry {
            env: redacted(&env),
            found: Some(Box::new(found)),
            ..Entry::new(task)
        });
        self.follow_run(&run.task);
        true
    }

    /// The oldest that ended goes; false when all of them are alive.
    fn make_room_for_another(&mut self) -> bool {
        let others = || self.runs.table.iter().filter(|entry| entry.task.origin == Origin::Other);
        if others().count() < OTHERS_MAX {
            return true;
        }
        let ended = others().find(|entry| entry.task.is_over());
        if let Some(oldest) = ended.map(|entry| entry.task.id.clone()) {
            self.forget(&oldest);
            return true;
        }
        if !std::mem::replace(&mut self.runs.others.too_many, true) {
            let warning =
                format!("more than {OTHERS_MAX} tasks of others run: the rest is not shown");
            self.out.push(Effect::Warn(warning));
        }
        false
    }

    /// Whether a task is another's.
    pub(super) fn is_others(&self, id: &TaskId) -> bool {
        self.runs.table.get(id).is_some_and(|entry| entry.task.origin == Origin::Other)
    }

    /// The engine found out whether it can be stopped.
    pub(super) fn stoppable(&mut self, run: &RunId, no_stop: Option<NoStopCode>) {
        if self.is_others(&run.task) {
            let no_stop = no_stop.map(NoStop::from);
            self.runs.table.change(&run.task, |task| {
                let news = task.no_stop != no_stop;
                task.no_stop = no_stop;
                news
            });
        }
    }

    /// Whoever made it, or may, ends it by deleting its pod.
    pub(super) fn deleting(&mut self, run: &RunId) {
        if !self.is_others(&run.task) {
            return;
        }
        if self.apply(&run.task, TaskEvent::StopAsked(Actor::PodDeleter)).is_some() {
            self.runs.table.note(&run.task, |notes| notes.stopped_by = Some(Actor::PodDeleter));
            let detail = text!("its pod was deleted by abcdesktop or somebody else");
            let step = StopStep { at: self.now.unix_ms, step: StopStepKind::Term, detail };
            self.apply(&run.task, TaskEvent::StopStep(step));
        }
    }

    /// A removed task of others is not to come back while its object exists.
    pub(super) fn hide(&mut self, task: &Task) {
        if task.origin != Origin::Other || self.runs.others.hidden.len() >= HIDDEN_MAX {
            return;
        }
        self.out.push(Effect::Hidden(task.id.clone(), task.engine));
        self.runs.others.hidden.insert(task.id.clone(), task.engine);
    }

    /// What has no object any more needs not be hidden.
    pub(super) fn forget_hidden(&mut self, engine: EngineKind, present: &BTreeSet<RunId>) {
        let present: BTreeSet<_> = present.iter().map(|run| &run.task).collect();
        let gone = |(id, of): &(&TaskId, &EngineKind)| **of == engine && !present.contains(id);
        let gone: Vec<_> =
            self.runs.others.hidden.iter().filter(gone).map(|(id, _)| id.clone()).collect();
        for id in gone {
            self.runs.others.hidden.remove(&id);
            self.out.push(Effect::Shown(id));
        }
    }

    /// Applications were added or went: tasks of others may be of one of them.
    pub(super) fn name_others(&mut self) {
        let apps = &self.runs.apps;
        let others = self.runs.table.iter().filter_map(|entry| {
            let found = entry.found.as_deref()?;
            let app = found.app_among(apps.values().map(Arc::as_ref))?;
            let other = entry.task.app != app.id || entry.task.display_name != app.display_name;
            other.then(|| (entry.task.id.clone(), app.id.clone(), app.display_name.clone()))
        });
        for (id, app, name) in others.collect::<Vec<_>>() {
            self.runs.table.change(&id, |task| {
                (task.app, task.display_name) = (app, name);
                true
            });
        }
    }
}
