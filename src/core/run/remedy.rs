//! Remedies: which one is offered, and its application, at most once per task: the task's next run
//! is planned otherwise.
//!
//! A run that waits in the cluster is mended only when somebody asks for it: a node with a GPU may
//! take minutes to come.

use std::sync::Arc;
use std::time::Duration;

use super::Step;
use super::ask::{LaunchError, RemedyError};
use super::effect::{Answer, Effect, ReplyId};
use crate::id::TaskId;
use crate::origin::Origin;
use crate::plan::{EngineKind, Plan, UnplannableCode, class_of};
use crate::task::{Task, TaskEvent, TaskState};
use crate::text;
use crate::text::Text;
use crate::why::reason::RefusalReason;
use crate::why::rule::Confidence;
use crate::why::{Actor, Applied, Proposal, Remedy, RemedyMode};
use crate::wire::RunId;

impl Step<'_> {
    /// Whether a remedy is to be proposed for a task: it was not mended before, and the next run
    /// could be planned so, now or once something that passes has passed.
    pub(super) fn may_offer(&self, id: &TaskId, proposal: &Proposal) -> bool {
        let Some(entry) = self.runs.table.get(id) else { return false };
        if self.runs.config.remedy == RemedyMode::Off
            || entry.task.remedied.is_some()
            || entry.task.origin == Origin::Other
            || entry.task.stop_asked
        {
            return false;
        }
        let change = proposal.remedy.change();
        match self.runs.plan_changed(&entry.task.app, &entry.spec, Some(id), change, self.now) {
            Ok(_) => true,
            Err(LaunchError::Unplannable(why)) => matches!(
                why.code,
                UnplannableCode::DisplayUnavailable
                    | UnplannableCode::AlreadyRunning
                    | UnplannableCode::TooManyRemoteTasks
                    | UnplannableCode::KubernetesUnavailable
            ),
            Err(_) => false,
        }
    }

    /// Somebody asks for the remedy.
    pub(super) fn remedy(&mut self, id: &TaskId, reply: ReplyId) {
        let result = self.apply_remedy(id, Actor::a_user());
        self.answer(reply, Answer::Remedy(result));
    }

    /// Applies the remedy of a run that ended by itself, if deskd is to do that by itself; whether
    /// it does.
    pub(super) fn mend(&mut self, id: &TaskId) -> bool {
        let Some(entry) = self.runs.table.get(id) else { return false };
        let sure =
            entry.task.diagnosis.as_ref().is_some_and(|found| {
                found.remedy.is_some() && found.confidence >= Confidence::Likely
            });
        if self.runs.config.remedy != RemedyMode::Auto || !sure {
            return false;
        }
        let applied = self.apply_remedy(id, Actor::Deskd);
        if let Err(error) = &applied {
            let warning = format!("the remedy of task {id} cannot be applied: {error}");
            self.out.push(Effect::Warn(warning));
        }
        applied.is_ok()
    }

    fn apply_remedy(&mut self, id: &TaskId, by: Actor) -> Result<Arc<Task>, RemedyError> {
        let none = |why| Err(RemedyError::None { task: id.clone(), why });
        let Some(entry) = self.runs.table.get(id) else {
            return Err(RemedyError::UnknownTask(id.clone()));
        };
        let (task, spec) = (entry.task.clone(), entry.spec.clone());
        if self.runs.draining() {
            return Err(LaunchError::Draining.into());
        }
        // It may keep a later run than the one on record.
        if !task.engine.is_in_cluster() && !self.runs.keeper_connected {
            return Err(LaunchError::KeeperAway.into());
        }
        if self.runs.config.remedy == RemedyMode::Off {
            return none(text!("remedies are turned off (`remedy` in the configuration)"));
        }
        if task.origin == Origin::Other {
            return none(text!("deskd did not start it, and cannot start it again"));
        }
        if task.remedied.is_some() {
            return none(text!("one was applied already, and there is no second one"));
        }
        let waits = task.state == TaskState::Starting && task.engine.is_in_cluster();
        if !waits && task.state != TaskState::Ended {
            return none(text!("it runs, or is about to run again"));
        }
        let Some(diagnosis) = task.diagnosis.clone() else {
            return none(text!("it has no diagnosis"));
        };
        let Some(proposal) = diagnosis.remedy.clone() else {
            return none(text!("its diagnosis proposes none"));
        };
        let change = proposal.remedy.change();
        let plan = self.runs.plan_changed(&task.app, &spec, Some(id), change, self.now)?;
        let (before, after) = self.before_and_after(&task, &proposal.remedy, &plan);
        if waits {
            self.give_up_waiting(&task, &proposal);
        }
        let (at, run) = (self.now.unix_ms, task.runs + 1);
        let applied = Box::new(Applied { at, by, run, proposal, before, after, diagnosis });
        let event = TaskEvent::Remedied { applied, plan: Box::new(plan) };
        let Some(task) = self.apply(id, event) else {
            return none(text!("it changed meanwhile"));
        };
        self.run_in(id, Duration::ZERO);
        Ok(task)
    }

    /// The run that waits will not be waited for: whoever waits for its launch is answered, and its
    /// object goes when the next run is launched.
    fn give_up_waiting(&mut self, task: &Task, proposal: &Proposal) {
        let run = RunId { task: task.id.clone(), run: task.runs };
        self.answer_launch(&run);
        let waited = task.waiting.clone().map(Box::new);
        let why = RefusalReason::GivenUp { remedy: proposal.remedy.clone(), waited };
        // What the node may still start is ended then.
        self.signal(&task.id, Duration::ZERO, self.runs.grace_of(&task.id));
        self.apply(&task.id, TaskEvent::Refused { run: run.run, why: why.into() });
    }

    /// How the run before went and the next one goes, as after `it failed` and `it runs`.
    fn before_and_after(&self, task: &Task, remedy: &Remedy, plan: &Plan) -> (Text, Text) {
        match remedy {
            Remedy::OtherEngine { .. } => {
                let manner = |engine: EngineKind| text!("as {engine}", engine = engine.phrase());
                (manner(task.engine), manner(plan.engine))
            }
            Remedy::ShmSwitches => {
                let env = remedy.change().env;
                let set: Vec<String> =
                    env.iter().map(|(n, value)| format!("{n}={value}")).collect();
                (
                    text!("with shared memory (MIT-SHM)"),
                    text!("with {words}", words = set.join(" ")),
                )
            }
            Remedy::ExtractAppImage => (text!("mounted by FUSE"), text!("unpacked, without FUSE")),
            Remedy::DisableDevShm | Remedy::DisableGpu => {
                let args = remedy.change().args.join(" ");
                (text!("without {words}", words = args), text!("with {words}", words = args))
            }
            Remedy::RunProgram => {
                let words =
                    |command: &[String]| text!("with {words}", words = shell_words::join(command));
                (words(&task.command), words(plan.work.argv()))
            }
            Remedy::OtherClass { .. } => {
                let policy = &self.runs.config.policy;
                let container = self.runs.app(&task.app).and_then(|app| app.container.as_ref());
                let class = container.and_then(|container| class_of(container, policy));
                let class = class.unwrap_or_default();
                let change = remedy.change().class;
                let other = change.and_then(|change| policy.class_beside(class, &change));
                let name = |class: &str| text!("with the execute class `{class}`", class);
                (name(class), name(other.unwrap_or_default()))
            }
        }
    }
}
