//! Whether an ephemeral container can be a place: with a keeper as its first process, so that later
//! launches of its image need no container of their own.

use super::ask::Ask;
use super::facts::OwnPod;
use super::remote::{ContainerPlan, KeeperFile};

/// The keeper that is to be there, and the sentence about it. Neither: places are switched off.
pub(super) fn of(
    ask: &Ask<'_>,
    container: &ContainerPlan,
    pod: &OwnPod,
) -> (Option<KeeperFile>, Option<String>) {
    if !ask.facts.policy.places {
        return (None, None);
    }
    let why = match &pod.keeper {
        _ if container.argv.is_empty() => {
            "its document does not say which command its image runs, so only the runtime can start it"
        }
        _ if pod.shares_processes => {
            "the pod's containers share their processes, so a keeper could not protect itself"
        }
        None => {
            "no volume of the pod brings deskd's keeper: add deskd to the pod as \
             container/inject/policy.yaml does"
        }
        Some(keeper) => {
            let said = "a keeper starts it in a container that all programs of its image share";
            return (Some(keeper.clone()), Some(said.to_owned()));
        }
    };
    (None, Some(format!("it gets a container of its own: {why}")))
}
