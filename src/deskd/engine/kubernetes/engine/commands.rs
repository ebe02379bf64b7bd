//! What the driver asks for.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::{Engine, Input};
use crate::engine::kubernetes::patches::Launch;
use crate::engine::kubernetes::runs::{Creation, Fate, Output, Run};
use crate::engine::kubernetes::{
    Command, Event, LogMark, Object, Observation, RefusalCode, Refused, Waiting, manifest, pods,
    private_directory, rights,
};
use deskd_core::id::AppId;
use deskd_core::kubernetes::ObjectRef;
use deskd_core::origin::Origin;
use deskd_core::plan::{EngineKind, Work};
use deskd_core::pull::{PullState, PullStatus};
use deskd_core::why::reason::RefusalReason;
use deskd_core::wire::RunId;

impl<T: From<Event> + Send + 'static> Engine<T> {
    pub(super) fn command(&mut self, command: Command) {
        match command {
            Command::Start { run, app, object: Some(object), work, .. } => {
                self.launch(run, app, object, work);
            }
            Command::Adopt { run, app, origin, object, engine, log, stopping } => {
                if self.adopt_at_place(&run, &object, &app) {
                    if let Some(grace) = stopping {
                        self.stop(&run, Duration::ZERO, grace);
                    }
                    return;
                }
                let mut new = Run::new(app, engine, object, Creation::Done);
                new.origin = origin;
                self.adopt(&run, new, log, stopping);
            }
            Command::Stop { run, term_after, kill_after } => {
                self.stop(&run, term_after, kill_after);
            }
            Command::Forget { run, .. } => self.forget(&run),
            Command::WindowMapped { run, pid } => self.window_mapped(&run, pid),
            Command::OutputStored { task, end } => self.output_stored(&task, end),
            Command::FindProcess { pid } => self.find_process(pid),
            Command::Pull { image } => self.pull(image),
            Command::KeepWarm(wanted) => self.places.life.keep_warm(wanted),
            // A process, and output: the keeper's.
            Command::Start { object: None, .. }
            | Command::CloseOutput { .. }
            | Command::Drained => {}
        }
    }

    fn launch(&mut self, run: RunId, app: AppId, object: ObjectRef, work: Work) {
        if let Some(known) = self.runs.get_mut(&run) {
            known.known = true;
            if matches!(known.creation, Creation::Done) {
                let object = known.object.clone();
                self.out.push(Event::Accepted { run: run.clone(), object });
                self.tell_again(&run);
                self.read_output(&run);
            }
            return;
        }
        if let Work::EphemeralContainer(plan) = &work
            && self.launch_at_place(&run, &app, plan)
        {
            return;
        }
        if let Work::PodApplication(plan) = &work
            && self.launch_in_pod((&run, &app), &object, plan)
        {
            return;
        }
        let cancel = CancellationToken::new();
        let (engine, container) = match &work {
            Work::Local(_) => return,
            Work::EphemeralContainer(plan) => (EngineKind::EphemeralContainer, &plan.container),
            Work::PodApplication(plan) => (EngineKind::PodApplication, &plan.container),
        };
        let creation = Creation::Pending(cancel.clone());
        let mut new = Run::new(app.clone(), engine, object.clone(), creation);
        new.program = container.program.clone().filter(|_| container.entry_point);
        self.runs.insert(run.clone(), new);
        match work {
            Work::Local(_) => {}
            Work::EphemeralContainer(mut plan) => {
                private_directory::prepare(&mut plan);
                let container = manifest::ephemeral_container(&run, &object, &plan);
                let launch = Launch { run: run.clone(), container, cancel, may_exist: false };
                if self.patches.try_send(launch).is_err() {
                    self.launched(run, Err(too_many()));
                }
            }
            Work::PodApplication(plan) => {
                let manifest = manifest::pod(&run, &app, &object, &plan);
                let (api, turns) = (self.api.clone(), self.turns.clone());
                let inputs = self.inputs.clone();
                self.workers.spawn(async move {
                    let labels = pods::labels_of(&run);
                    let waits = |why| {
                        // News that do not fit now are told with the next attempt.
                        let _ = inputs.try_send(Input::Waits(run.clone(), why));
                    };
                    let made =
                        pods::create(&api, &turns, &labels, &object, manifest, &cancel, &waits)
                            .await;
                    // The engine is gone when nobody listens.
                    let _ = inputs.send(Input::Launched(run.clone(), made)).await;
                });
            }
        }
    }

    fn adopt(&mut self, run: &RunId, new: Run, log: LogMark, stopping: Option<Duration>) {
        let which = new.which();
        let known = self.runs.entry(run.clone()).or_insert(new);
        if known.which() != which {
            tracing::warn!(task = %run.task, "something else has its name: it is not followed");
            return;
        }
        (known.known, known.forgotten) = (true, false);
        if let Output::Waits(mark) = &mut known.output {
            *mark = log;
        }
        if !known.present && !known.is_over() && self.synced.contains(&which) {
            return self.gone(run);
        }
        self.tell_again(run);
        self.read_output(run);
        self.find_out_stoppable(run);
        if let Some(grace) = stopping {
            self.stop(run, Duration::ZERO, grace);
        }
    }

    fn pull(&mut self, image: String) {
        let lists_nodes = rights::has(self.known.rights(), "list", "nodes");
        self.pulls.start(&image, lists_nodes, &mut self.workers);
    }

    pub(super) fn pull_said(&mut self, status: PullStatus) {
        let here = status.node.is_some() && status.node.as_deref() == self.known.node();
        if here && matches!(status.state, PullState::Pulled { .. }) {
            self.known.image(&status.image);
        }
        self.out.push(Event::Pull(status));
    }

    /// The newest observation, for a driver that has not heard it.
    pub(super) fn tell_again(&mut self, run: &RunId) {
        let Some(known) = self.runs.get(run) else { return };
        if let Some(what) = known.told.clone() {
            self.out.push(Event::Observed {
                run: run.clone(),
                object: Some(Box::new(Object { stranger: None, ..known.object() })),
                what,
            });
        }
    }

    /// The answer to a launch.
    pub(super) fn launched(&mut self, run: RunId, answer: Result<(), Refused>) {
        match answer {
            Ok(()) => self.accepted(&run),
            Err(refusal) => {
                if matches!(refusal.code(), RefusalCode::Forbidden | RefusalCode::Quota) {
                    self.ask_rights.notify_one();
                }
                // Seen by the watch before: the answer is of a repeated request.
                let done = self.runs.get(&run).is_none_or(|r| matches!(r.creation, Creation::Done));
                if !done {
                    self.runs.remove(&run);
                    self.out.push(Event::Refused { run, refusal });
                }
            }
        }
    }

    /// Its object exists.
    pub(super) fn accepted(&mut self, run: &RunId) {
        let Some(known) = self.runs.get_mut(run) else { return };
        if matches!(known.creation, Creation::Done) {
            return;
        }
        known.creation = Creation::Done;
        let object = known.object.clone();
        self.out.push(Event::Accepted { run: run.clone(), object });
        self.look_for_process(run);
        self.carry_out_stop(run);
    }

    /// A launch is on its way, or its container is not ready.
    pub(super) fn waits(&mut self, run: &RunId, why: Waiting) {
        self.observe(run, Observation::Waiting(why));
    }

    fn forget(&mut self, run: &RunId) {
        if self.forget_at_place(run) {
            return;
        }
        let Some(known) = self.runs.get_mut(run) else { return };
        known.forgotten = true;
        if let Creation::Pending(cancel) = &known.creation {
            cancel.cancel();
        }
        // The last lines are read before the pod is deleted.
        if !matches!(known.output, Output::Read(_)) || !known.is_over() {
            self.delete_forgotten(run);
        }
    }

    /// Deletes the pod of a run that nobody wants to know of any more.
    pub(super) fn delete_forgotten(&mut self, run: &RunId) {
        self.look_again.remove(run);
        let Some(known) = self.runs.get(run) else { return };
        match known.engine {
            // Others made it: it is theirs, and stays forgotten.
            _ if known.present && known.origin == Origin::Other => {}
            EngineKind::PodApplication if known.present => {
                let (api, object) = (self.api.clone(), known.object.clone());
                self.workers.spawn(async move {
                    pods::delete_unwanted(&api, &object).await;
                });
            }
            // Its entry stays in the pod, so it stays forgotten.
            EngineKind::EphemeralContainer if known.present => {}
            _ => drop(self.runs.remove(run)),
        }
    }

    /// Reads its output, once there is some and somebody wants it.
    pub(super) fn read_output(&mut self, run: &RunId) {
        let Some(known) = self.runs.get_mut(run) else { return };
        let is_over = known.is_over();
        let Output::Waits(mark) = &known.output else { return };
        if !known.known || !(known.has_log || is_over) {
            return;
        }
        let mark = mark.clone();
        if !known.has_log {
            // It never ran: there is nothing to be read.
            known.output = Output::Done;
            let (queue, task) = (self.logs.clone(), run.task.clone());
            let (inputs, run) = (self.inputs.clone(), run.clone());
            self.workers.spawn(async move {
                if queue.close(task).await {
                    // The engine is gone when nobody listens.
                    let _ = inputs.send(Input::LogDone(run, None)).await;
                }
            });
            return;
        }
        let fate = if is_over { Fate::Ended } else { Fate::Runs };
        let (sender, fate) = tokio::sync::watch::channel(fate);
        known.output = Output::Read(sender);
        let reader = crate::engine::kubernetes::log::Reader {
            api: self.api.clone(),
            queue: self.logs.clone(),
            task: run.task.clone(),
            object: known.object.clone(),
            fate,
        };
        let (inputs, run) = (self.inputs.clone(), run.clone());
        self.workers.spawn(async move {
            let trouble = reader.run(mark).await;
            // The engine is gone when nobody listens.
            let _ = inputs.send(Input::LogDone(run, trouble)).await;
        });
    }

    pub(super) fn log_done(&mut self, run: RunId, trouble: Option<String>) {
        let Some(known) = self.runs.get_mut(&run) else { return };
        known.output = Output::Done;
        if known.forgotten {
            self.delete_forgotten(&run);
        } else {
            self.out.push(Event::LogDone { run, trouble });
        }
    }
}

pub(super) fn too_many() -> Refused {
    let max = crate::engine::kubernetes::patches::LAUNCHES_WAITING_MAX;
    RefusalReason::QueueFull { max }.into()
}
