//! What both remote engines need of the app, of deskd and of the cluster.

use super::ask::{Ask, Blocker};
use super::command::Command;
use super::facts::{ApiState, OwnPod};
use super::home::Surroundings;
use super::remote::ContainerPlan;
use super::{EngineKind, UnplannableCode};
use crate::app::container::ContainerApp;
use crate::env_var::EnvVar;
use crate::policy::PullPolicy;
use crate::text;
use crate::text::Text;

/// An image, and the operator's leave.
pub(super) fn allowed<'a>(engine: EngineKind, ask: &Ask<'a>) -> Result<&'a ContainerApp, Blocker> {
    let Some(container) = ask.container().filter(|container| !container.image.is_empty()) else {
        return Err(Blocker::never(text!("the application has no image, only a command")));
    };
    if !ask.facts.policy.engines.contains(&engine) {
        return Err(Blocker::never(text!(
            "this engine is not enabled: add `{engine}` to `engines` in [kubernetes]",
            engine = engine.as_str()
        )));
    }
    Ok(container)
}

/// The API server answers, the own pod was read, nothing that the engine needs is denied, and there
/// is room for one more task.
pub(super) fn usable<'a>(engine: EngineKind, ask: &Ask<'a>) -> Result<&'a OwnPod, Blocker> {
    let facts = ask.facts;
    let unavailable = |why: Text| Blocker::now(UnplannableCode::KubernetesUnavailable, why);
    match &facts.kubernetes.api {
        ApiState::Answers => {}
        ApiState::Off(why) => {
            return Err(unavailable(text!("the Kubernetes API is not used: {why}", why)));
        }
        ApiState::Unknown => {
            return Err(unavailable(text!(
                "the Kubernetes API has not answered yet: try again in a moment"
            )));
        }
        ApiState::Away(why) => {
            return Err(unavailable(text!("the Kubernetes API does not answer: {why}", why)));
        }
    }
    let Some(pod) = &facts.kubernetes.own_pod else {
        return Err(unavailable(text!(
            "deskd does not know its own pod: set POD_NAME and POD_NAMESPACE in deskd's container \
             (downward API)"
        )));
    };
    let missing: Vec<Text> = facts
        .kubernetes
        .rights
        .iter()
        .filter(|right| right.engine == Some(engine) && !right.allowed)
        .map(|right| right.sentence.clone())
        .collect();
    if !missing.is_empty() {
        return Err(Blocker::now(UnplannableCode::RightMissing, Text::joined(missing, "; ")));
    }
    let most = facts.policy.remote_tasks_max;
    if facts.remote_tasks >= most {
        return Err(Blocker::now(
            UnplannableCode::TooManyRemoteTasks,
            text!(
                "{remote_tasks} tasks already run in containers, and at most {most} may (remote_tasks_max in \
                 [kubernetes]): stop one",
                most,
                remote_tasks = facts.remote_tasks
            ),
        ));
    }
    Ok(pod)
}

/// What runs, in either engine.
pub(super) fn container(
    ask: &Ask<'_>,
    container: &ContainerApp,
    command: Command,
    env: Vec<EnvVar>,
    around: &Surroundings,
) -> ContainerPlan {
    ContainerPlan {
        image: container.image.clone(),
        pull_policy: ask.facts.policy.pull_policy,
        argv: command.argv,
        entry_point: command.entry_point,
        program: command.program,
        arguments: command.arguments,
        env,
        cwd: around.cwd.clone(),
        run_as: ask.facts.policy.run_as.clone(),
        mounts: around.mounts.clone(),
    }
}

/// Whether somebody will wait for the image.
pub(super) fn image_note(container: &ContainerApp, ask: &Ask<'_>) -> Text {
    let known = |image: &str| ask.facts.kubernetes.images.iter().any(|known| known == image);
    let here = known(&container.image) || container.image_id.as_deref().is_some_and(known);
    let policy = ask.facts.policy.pull_policy;
    match (here, policy) {
        (_, PullPolicy::Always) => text!("its image is pulled at every start"),
        (true, _) => text!("its image is on this node"),
        (false, PullPolicy::IfNotPresent) => {
            let size = container.size_bytes.map(|bytes| format!(" ({} MiB)", bytes >> 20));
            let size = size.unwrap_or_default();
            text!("its image{size} may not be on this node, so it may have to be pulled", size)
        }
        (false, PullPolicy::Never) => {
            text!("its image may not be on this node, and pulling is turned off (pull_policy)")
        }
    }
}
