//! The keeper's end of the port: commands as messages to the keeper, and its messages as events.

use std::collections::BTreeSet;

use super::{Command, Event, Link, Observation};
use crate::id::TaskId;
use crate::origin::Origin;
use crate::plan::{EngineKind, LocalPlan, Work};
use crate::task::UnixMs;
use crate::why::reason::RefusalReason;
use crate::wire::{Drain, FromKeeper, RunId, SpawnRequest, TaskRecord, ToKeeper};

/// What a command means for the keeper. Of a container it has the output alone.
#[must_use]
pub fn message(link: Link, command: &Command) -> Option<ToKeeper> {
    let ms = |time: std::time::Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    match (link, command) {
        (Link::Keeper, Command::Start { run, work: Work::Local(plan), meta, .. }) => {
            let request = spawn_request(run.clone(), (**plan).clone(), meta.clone());
            Some(ToKeeper::Spawn(Box::new(request)))
        }
        (Link::Keeper, Command::Stop { run, term_after, kill_after }) => Some(ToKeeper::Stop {
            id: run.clone(),
            term_after_ms: ms(*term_after),
            kill_after_ms: ms(*kill_after),
        }),
        (Link::Cluster, Command::Start { run, .. } | Command::Adopt { run, .. }) => {
            Some(ToKeeper::OpenLog { task: run.task.clone() })
        }
        (_, Command::Forget { run, output: true }) => {
            Some(ToKeeper::Forget { task: run.task.clone() })
        }
        (_, Command::CloseOutput { task }) => Some(ToKeeper::CloseLog { task: task.clone() }),
        (_, Command::Drained) => Some(ToKeeper::Drained),
        _ => None,
    }
}

/// The request that carries `plan` out as run `id`.
fn spawn_request(id: RunId, plan: LocalPlan, meta: String) -> SpawnRequest {
    let LocalPlan { argv, env, program, wall } = plan;
    SpawnRequest {
        id,
        argv,
        env: env.into_iter().map(|var| (var.name, var.value)).collect(),
        cwd: program.cwd,
        umask: program.umask,
        rlimits: program.rlimits,
        nice: program.nice,
        oom_score_adj: program.oom_score_adj,
        wall,
        log_from: 0,
        program: None,
        meta,
    }
}

/// One connection to a keeper.
#[derive(Debug, Default)]
pub struct Translator {
    /// The welcome whose records have not all arrived.
    welcome: Option<Welcome>,
}

#[derive(Debug)]
struct Welcome {
    draining: Option<Drain>,
    present: BTreeSet<RunId>,
}

impl Translator {
    /// What a message reports of tasks; `log_end` says where a task's output ends, if that can be
    /// read. Messages about the keeper itself and about who follows output are not events.
    pub fn events(
        &mut self,
        message: FromKeeper,
        log_end: &dyn Fn(&TaskId) -> Option<u64>,
    ) -> Vec<Event> {
        match message {
            FromKeeper::Welcome { started_at, tasks, more, draining, .. } => {
                self.welcome = Some(Welcome { draining, present: BTreeSet::new() });
                let mut events = vec![Event::Keeper { started_at }];
                self.records(tasks, more, log_end, &mut events);
                events
            }
            FromKeeper::MoreTasks { tasks, more } => {
                let mut events = Vec::new();
                self.records(tasks, more, log_end, &mut events);
                events
            }
            FromKeeper::Spawned { id, pid, at, .. } => vec![started(id, pid, at)],
            FromKeeper::SpawnRefused { id, error } => {
                vec![Event::Refused { run: id, refusal: RefusalReason::Spawn(error).into() }]
            }
            FromKeeper::Exited { id, end } => {
                let log_bytes = log_end(&id.task);
                vec![Event::Exited { run: id, end, log_bytes }]
            }
            FromKeeper::TreeGone { id } => {
                let log_bytes = log_end(&id.task);
                vec![Event::Closed { task: id.task, run: Some(id.run), log_bytes }]
            }
            FromKeeper::LogClosed { task, end } => {
                vec![Event::Closed { task, run: None, log_bytes: Some(end) }]
            }
            FromKeeper::StopStep { id, round } => {
                vec![Event::StopStep { run: id, step: round.step() }]
            }
            FromKeeper::Draining(drain) => vec![Event::Draining(drain)],
            FromKeeper::LogAdvanced { .. }
            | FromKeeper::LogRecords { .. }
            | FromKeeper::RecordsStored { .. }
            | FromKeeper::LogTrouble { .. }
            | FromKeeper::ReloadRefused { .. }
            | FromKeeper::Ping { .. }
            | FromKeeper::ProcessFound { .. }
            | FromKeeper::VersionRefused { .. } => Vec::new(),
        }
    }

    fn records(
        &mut self,
        records: Vec<TaskRecord>,
        more: bool,
        log_end: &dyn Fn(&TaskId) -> Option<u64>,
        events: &mut Vec<Event>,
    ) {
        let Some(welcome) = &mut self.welcome else { return };
        for record in records {
            welcome.present.insert(record.id.clone());
            let log_bytes = record.end.as_ref().and_then(|_| log_end(&record.id.task));
            events.push(Event::Kept { record: Box::new(record), log_bytes });
        }
        if more {
            return;
        }
        if let Some(Welcome { draining, present }) = self.welcome.take() {
            let (engine, origin) = (EngineKind::Local, Origin::Deskd);
            events.push(Event::Synced { engine, origin, present });
            events.extend(draining.map(Event::Draining));
        }
    }
}

fn started(run: RunId, pid: u32, at: UnixMs) -> Event {
    let what = Observation::Running { at, pid: Some(pid), node: None };
    Event::Observed { run, object: None, what }
}
