//! Pulling an image on nodes before somebody waits for it: a pod per node that names the image and
//! runs nothing of it (see [`manifest::NO_PROGRAM`]), followed through the watch of application pods
//! and deleted.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::Deserialize;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::api::{Api, Ask};
use super::calls::Verb;
use super::engine::Input;
use super::identity::Own;
use super::manifest::{self, PULL_SECONDS_MAX, PullPlan};
use super::objects::{Meta, Pod};
use super::{Observation, Waiting, events, pods, status};
use deskd_core::kubernetes::{
    APP_CONTAINER, LABEL_DESKTOP, LABEL_DESKTOP_NAMESPACE, LABEL_DESKTOP_UID, LABEL_MANAGED_BY,
    LABEL_TYPE, MANAGED_BY, ObjectRef, TYPE_PULL, pull_pod_name,
};
use deskd_core::policy::Policy;
use deskd_core::pull::{PullState, PullStatus};

/// Pulls under way at once, on all nodes together.
const PULLS_AT_ONCE: usize = 4;
/// Looks for the event that tells the size, which comes a little after the end.
const SIZE_LOOKS_MAX: usize = 3;
/// Between them.
const SIZE_PAUSE: Duration = Duration::from_millis(500);

/// What the watch says of a pull pod.
#[derive(Debug, Clone, Default)]
enum Seen {
    #[default]
    Nothing,
    Pod(Arc<Pod>),
    Gone,
}

type Table = Arc<Mutex<HashMap<String, watch::Sender<Seen>>>>;

/// All pulls.
#[derive(Debug)]
pub struct Pulls {
    api: Arc<Api>,
    own: Own,
    policy: Arc<Policy>,
    told: mpsc::Sender<Input>,
    table: Table,
    turns: Arc<Semaphore>,
}

impl Pulls {
    /// None yet.
    #[must_use]
    pub fn new(api: Arc<Api>, own: Own, policy: Arc<Policy>, told: mpsc::Sender<Input>) -> Self {
        let turns = Arc::new(Semaphore::new(PULLS_AT_ONCE));
        Self { api, own, policy, told, table: Table::default(), turns }
    }

    /// Pulls `image`; on each node if they can be listed.
    pub fn start(&self, image: &str, lists_nodes: bool, workers: &mut JoinSet<()>) {
        let one = Pull {
            api: self.api.clone(),
            plan: self.plan(image),
            told: self.told.clone(),
            table: self.table.clone(),
            turns: self.turns.clone(),
        };
        workers.spawn(async move {
            let nodes = if lists_nodes { nodes(&one.api).await } else { Vec::new() };
            if nodes.is_empty() {
                return one.on(None).await;
            }
            let on = nodes.into_iter().map(|node| one.on(Some(node)));
            futures_util::future::join_all(on).await;
        });
    }

    fn plan(&self, image: &str) -> PullPlan {
        let Own { name, namespace, uid, apps_namespace } = &self.own;
        let labels = [
            (LABEL_MANAGED_BY, MANAGED_BY),
            (LABEL_DESKTOP_UID, uid),
            (LABEL_DESKTOP, name),
            (LABEL_DESKTOP_NAMESPACE, namespace),
        ];
        let labels: BTreeMap<_, _> =
            labels.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        PullPlan {
            object: ObjectRef {
                namespace: apps_namespace.clone(),
                pod: String::new(),
                container: APP_CONTAINER.to_owned(),
            },
            image: image.to_owned(),
            node: None,
            labels,
            run_as: self.policy.run_as.clone(),
            pull_secrets: self.policy.pull_secrets.clone(),
        }
    }

    /// A pull pod as it is now. One that an earlier daemon left behind is deleted.
    pub fn seen(&self, pod: Box<Pod>, workers: &mut JoinSet<()>) {
        let table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(sender) = table.get(&pod.metadata.name) {
            sender.send_replace(Seen::Pod(Arc::from(pod)));
        } else if pod.metadata.deletion_timestamp.is_none() {
            let Meta { name, namespace, .. } = pod.metadata;
            let object = ObjectRef { namespace, pod: name, container: APP_CONTAINER.to_owned() };
            let api = self.api.clone();
            workers.spawn(async move { remove(&api, &object).await });
        }
    }

    /// It is gone.
    pub fn gone(&self, pod: &str) {
        let table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(sender) = table.get(pod) {
            sender.send_replace(Seen::Gone);
        }
    }
}

async fn remove(api: &Api, object: &ObjectRef) {
    if let Err(refusal) = pods::delete(api, object, Duration::ZERO, &mut |_| {}).await {
        tracing::warn!("{refusal}");
    }
}

#[derive(Deserialize)]
struct Nodes {
    items: Vec<Node>,
}

#[derive(Deserialize)]
struct Node {
    metadata: Meta,
    #[serde(default)]
    spec: NodeSpec,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct NodeSpec {
    unschedulable: bool,
}

/// The nodes that take pods; none when they cannot be listed.
async fn nodes(api: &Api) -> Vec<String> {
    let path = "/api/v1/nodes".to_owned();
    let ask = Ask { verb: Verb::List, resource: "nodes", path, body: None };
    let nodes = api.json::<Nodes>(ask).await.map(|list| list.items).unwrap_or_default();
    let open = nodes.into_iter().filter(|node| !node.spec.unschedulable);
    open.map(|node| node.metadata.name).collect()
}

struct Pull {
    api: Arc<Api>,
    /// Without a name.
    plan: PullPlan,
    told: mpsc::Sender<Input>,
    table: Table,
    turns: Arc<Semaphore>,
}

impl Pull {
    /// Pulls on one node, from its turn to the deletion of its pod.
    async fn on(&self, node: Option<String>) {
        let Ok(_turn) = self.turns.acquire().await else { return };
        let name = pull_pod_name(&self.plan.image, node.as_deref());
        let mut plan = PullPlan { node: node.clone(), ..self.plan.clone() };
        plan.object.pod.clone_from(&name);
        let (sender, seen) = watch::channel(Seen::Nothing);
        let table = || self.table.lock().unwrap_or_else(PoisonError::into_inner);
        if table().contains_key(&name) {
            // Asked for twice: the pod is the same, and so is what is told of it.
            return;
        }
        table().insert(name.clone(), sender);
        let began = Instant::now();
        self.tell(node.clone(), PullState::Scheduling { why: None }).await;
        let made = self.create(&plan).await;
        let end = match made {
            Ok(()) => self.follow(&plan, seen, began).await,
            Err(refusal) => (node, PullState::Failed { why: refusal.sentence().into() }),
        };
        self.tell(end.0, end.1).await;
        remove(&self.api, &plan.object).await;
        table().remove(&name);
    }

    async fn create(&self, plan: &PullPlan) -> Result<(), super::Refused> {
        let labels = [(LABEL_TYPE, TYPE_PULL.to_owned())];
        let waits = |why: Waiting| {
            let state = PullState::Scheduling { why: Some(why.sentence().into()) };
            // News that do not fit now are told with the next attempt.
            let _ = self.told.try_send(Input::Pull(self.status(plan.node.clone(), state)));
        };
        // Its own turn was waited for already.
        let turns = Semaphore::new(1);
        let never = CancellationToken::new();
        let manifest = manifest::pull_pod(plan);
        pods::create(&self.api, &turns, &labels, &plan.object, manifest, &never, &waits).await
    }

    /// Until the node has the image or cannot get it.
    async fn follow(
        &self,
        plan: &PullPlan,
        mut seen: watch::Receiver<Seen>,
        began: Instant,
    ) -> (Option<String>, PullState) {
        let give_up_at = began + Duration::from_secs(PULL_SECONDS_MAX);
        let mut node = plan.node.clone();
        let mut told = PullState::Scheduling { why: None };
        loop {
            let now = seen.borrow_and_update().clone();
            let state = match now {
                Seen::Nothing => told.clone(),
                Seen::Gone => PullState::Failed { why: "its pod was deleted by somebody".into() },
                Seen::Pod(pod) => {
                    node = pod.spec.node_name.clone().or(node);
                    state_of(&pod, began.elapsed())
                }
            };
            match state {
                PullState::Pulled { took_ms, .. } => {
                    let size_bytes = self.size(plan).await;
                    return (node, PullState::Pulled { size_bytes, took_ms });
                }
                PullState::Failed { .. } => return (node, state),
                state if state != told => {
                    told = state.clone();
                    self.tell(node.clone(), state).await;
                }
                _ => {}
            }
            tokio::select! {
                // The sender is in the table until this pull is over.
                _ = seen.changed() => {}
                () = tokio::time::sleep_until(give_up_at) => {
                    let why = format!("the node did not have it after {PULL_SECONDS_MAX} s");
                    return (node, PullState::Failed { why });
                }
            }
        }
    }

    /// Bytes of the image, if the node told in an event that deskd may read.
    async fn size(&self, plan: &PullPlan) -> Option<u64> {
        for look in 0..SIZE_LOOKS_MAX {
            if look > 0 {
                tokio::time::sleep(SIZE_PAUSE).await;
            }
            let events = events::of_pod(&self.api, &plan.object).await.ok()?;
            if let Some(bytes) = events::image_bytes(&events, APP_CONTAINER) {
                return Some(bytes);
            }
            if events::pulled(&events, APP_CONTAINER).next().is_some() {
                // It was there already, or kubelet is older.
                return None;
            }
        }
        None
    }

    fn status(&self, node: Option<String>, state: PullState) -> PullStatus {
        PullStatus { image: self.plan.image.clone(), node, state }
    }

    async fn tell(&self, node: Option<String>, state: PullState) {
        // The engine is gone when nobody listens.
        let _ = self.told.send(Input::Pull(self.status(node, state))).await;
    }
}

/// What a pull pod says about its image.
fn state_of(pod: &Pod, took: Duration) -> PullState {
    let status = pod.status.container_statuses.iter().find(|s| s.name == APP_CONTAINER);
    let waits = status.and_then(|status| status.state.waiting.as_ref());
    let started = status.is_some_and(|status| {
        let state = &status.state;
        // The image comes first; whatever goes wrong with the container comes after.
        let later = ["CreateContainerError", "RunContainerError", "CreateContainerConfigError"];
        let after = waits.is_some_and(|waits| later.contains(&waits.reason.as_str()));
        state.terminated.is_some() || state.running.is_some() || after
    });
    if started {
        let took_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        return PullState::Pulled { size_bytes: None, took_ms };
    }
    match status::look(pod, APP_CONTAINER, false, 0).what {
        Some(Observation::Ended { exit, reason, .. }) => {
            let why = reason.map_or_else(|| exit.sentence(), |reason| reason.sentence());
            PullState::Failed { why: why.into() }
        }
        Some(Observation::Waiting(why)) if pod.spec.node_name.is_none() => {
            PullState::Scheduling { why: Some(why.sentence().into()) }
        }
        Some(Observation::Waiting(why)) if why.reason.is_stuck() => {
            PullState::Failed { why: why.sentence().into() }
        }
        _ => PullState::Pulling,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn state(node: Option<&str>, status: &serde_json::Value) -> PullState {
        let pod = json!({
            "spec": { "nodeName": node, "containers": [{ "name": "app", "image": "i:1" }] },
            "status": status,
        });
        state_of(&serde_json::from_value(pod).unwrap(), Duration::from_millis(7))
    }

    fn container(state: &serde_json::Value) -> serde_json::Value {
        json!({ "phase": "Pending", "containerStatuses": [{ "name": "app", "state": state }] })
    }

    #[test]
    fn a_program_that_is_not_in_the_image_shows_that_the_image_is_there() {
        let end = json!({ "terminated": { "reason": "StartError", "exitCode": 128 } });
        let pulled = PullState::Pulled { size_bytes: None, took_ms: 7 };
        assert_eq!(state(Some("n"), &container(&end)), pulled);
        let error = json!({ "waiting": { "reason": "RunContainerError" } });
        assert_eq!(state(Some("n"), &container(&error)), pulled);
    }

    #[test]
    fn progress_and_failure_are_told_apart() {
        let creating = json!({ "waiting": { "reason": "ContainerCreating" } });
        assert_eq!(state(Some("n"), &container(&creating)), PullState::Pulling);
        let once = json!({ "waiting": { "reason": "ErrImagePull", "message": "timeout" } });
        assert_eq!(state(Some("n"), &container(&once)), PullState::Pulling);
        let never = json!({ "waiting": { "reason": "ImagePullBackOff", "message": "not found" } });
        let PullState::Failed { why } = state(Some("n"), &container(&never)) else { panic!() };
        assert!(why.contains("i:1") && why.contains("not found"), "{why}");
        let unbound = state(None, &json!({ "phase": "Pending" }));
        assert!(matches!(unbound, PullState::Scheduling { why: Some(_) }));
    }
}
