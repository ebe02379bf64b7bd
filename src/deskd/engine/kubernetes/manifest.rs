//! Objects of the Kubernetes API as values: a plan and its names in, JSON out. Pure; every decision
//! was made by the plan. Satisfies Pod Security `restricted`.

use serde_json::{Map, Value, json};

use deskd_core::app::container::AppProbe;
use deskd_core::env_var::{EnvSource, EnvVar};
use deskd_core::expansion::quoted;
use deskd_core::id::{AppId, TaskId};
use deskd_core::kubernetes::{
    LABEL_APP, LABEL_MANAGED_BY, LABEL_NETWORK, LABEL_PLACE, LABEL_RUN, LABEL_TASK, LABEL_TYPE,
    MANAGED_BY, ObjectRef, RUN_VARIABLE, TASK_VARIABLE, TYPE_APPLICATION, TYPE_PULL,
};
use deskd_core::place::PlaceSpec;
use deskd_core::plan::remote::{ContainerPlan, CookieMaker, EphemeralPlan, PodPlace, PodPlan};
use deskd_core::policy::PullPolicy;
use deskd_core::wire::proof::Key;
use deskd_core::wire::{RunId, SpawnRequest};
use deskd_keeper::place::{FIRST_VARIABLE, KEY_VARIABLE, PlaceConfig};
use std::time::Duration;

/// Weight of the preference for the desktop's node, 1..=100.
const NODE_WEIGHT: u32 = 100;
/// Nothing of the image is executed by a pull pod: the node has pulled the image once it finds that
/// this program is not in it. That works for images without a shell and runs no foreign code.
pub const NO_PROGRAM: &str = "/deskd.io/the-image-is-here";
/// Name of the init container that makes the cookie file of an application pod.
pub const COOKIE_CONTAINER: &str = "cookie";
/// Tasks that the keeper of a place keeps, ended ones included: more than the desktop's own.
const PLACE_TASKS_MAX: usize = 1000;
/// Largest request that goes into a variable, in bytes: Linux takes 128 KiB (`MAX_ARG_STRLEN`).
const FIRST_BYTES_MAX: usize = 96 << 10;
/// Seconds after which kubelet gives a pull up.
pub const PULL_SECONDS_MAX: u64 = 1800;

/// The entry of `spec.ephemeralContainers`.
#[must_use]
pub fn ephemeral_container(run: &RunId, object: &ObjectRef, plan: &EphemeralPlan) -> Value {
    let mut value = container(run, object, &plan.container);
    if let Some(target) = &plan.target_container {
        value["targetContainerName"] = json!(target);
    }
    value
}

/// The entry of a place: what its programs have in common, and the keeper as its command. It joins
/// nobody's processes.
#[must_use]
pub fn place(
    run: &RunId,
    object: &ObjectRef,
    spec: &PlaceSpec,
    key: &Key,
    grace: Duration,
) -> Value {
    let field = |(name, path): &(String, String)| EnvVar::field(name, path);
    let mut env: Vec<EnvVar> = spec.fields.iter().map(field).collect();
    env.push(EnvVar::new(KEY_VARIABLE, String::from(key.clone()), EnvSource::Plan));
    let mut mounts = spec.mounts.clone();
    mounts.push(spec.keeper.mount.clone());
    let plan = ContainerPlan {
        image: spec.image.clone(),
        pull_policy: spec.pull_policy,
        argv: PlaceConfig::command(&spec.keeper.path, grace, PLACE_TASKS_MAX),
        entry_point: false,
        program: None,
        arguments: Vec::new(),
        env,
        cwd: None,
        run_as: spec.run_as.clone(),
        mounts,
    };
    container(run, object, &plan)
}

/// What the keeper of a place is asked for instead of a container of its own.
#[must_use]
pub fn spawn_request(run: &RunId, container: &ContainerPlan) -> SpawnRequest {
    let ContainerPlan { argv, env, cwd, program, entry_point, .. } = container;
    // Kubelet filled those of the place.
    let told = env.iter().filter(|var| !matches!(var.from, EnvSource::Field(_)));
    let told = told.map(|var| (var.name.clone(), var.value.clone()));
    let own = (RUN_VARIABLE.to_owned(), run.run.to_string());
    SpawnRequest {
        env: told.chain([own]).collect(),
        cwd: cwd.clone(),
        program: program.clone().filter(|_| *entry_point),
        // Without meta, which the daemon's journal has.
        ..SpawnRequest::new(run.clone(), argv.clone())
    }
}

/// A strategic merge patch of `pods/ephemeralcontainers`: entries are merged by name, so sending
/// one again changes nothing.
#[must_use]
pub fn ephemeral_patch(containers: &[Value]) -> Value {
    json!({ "spec": { "ephemeralContainers": containers } })
}

/// A pod of its own.
#[must_use]
pub fn pod(run: &RunId, app: &AppId, object: &ObjectRef, plan: &PodPlan) -> Value {
    let mut labels = plan.labels.clone();
    let run_number = run.run.to_string();
    for (name, value) in [(LABEL_TYPE, TYPE_APPLICATION), (LABEL_NETWORK, "true")] {
        labels.entry(name.to_owned()).or_insert_with(|| value.to_owned());
    }
    for (name, value) in [
        (LABEL_MANAGED_BY, MANAGED_BY),
        (LABEL_TASK, run.task.as_str()),
        (LABEL_RUN, &run_number),
        (LABEL_APP, app.as_str()),
    ] {
        labels.insert(name.to_owned(), value.to_owned());
    }
    let mut metadata = json!({
        "name": object.pod,
        "namespace": object.namespace,
        "labels": labels,
    });
    if !plan.annotations.is_empty() {
        metadata["annotations"] = json!(plan.annotations);
    }
    if let Some(owner) = &plan.owner {
        metadata["ownerReferences"] = json!([{
            "apiVersion": "v1", "kind": "Pod", "name": owner.name, "uid": owner.uid,
        }]);
    }
    json!({ "apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec(run, object, plan) })
}

/// A pod that is a place: the keeper is its command, and has the first program's request, so that this
/// one starts even where the keeper does not reach deskd. One that nobody asked for has no such program,
/// and is called like its place.
#[must_use]
pub fn pod_place(
    run: &RunId,
    app: &AppId,
    object: &ObjectRef,
    plan: &PodPlan,
    (id, key, place): (&TaskId, &Key, &PodPlace),
) -> Value {
    let first = (run.task != *id).then(|| json!(spawn_request(run, &plan.container)).to_string());
    let first = first.map(|request| (FIRST_VARIABLE, request));
    let mut changed = plan.clone();
    let container = &mut changed.container;
    container.env.retain(|var| matches!(var.from, EnvSource::Field(_)));
    for (name, value) in [(KEY_VARIABLE, String::from(key.clone()))].into_iter().chain(first) {
        container.env.push(EnvVar::new(name, value, EnvSource::Plan));
    }
    let grace = Duration::from_secs(u64::from(plan.grace_s));
    let path = &place.keeper.path;
    container.argv = PlaceConfig::far_command(path, grace, PLACE_TASKS_MAX, place.daemon);
    container.cwd = None;
    container.mounts.push(place.keeper.mount.clone());
    changed.volumes.push(place.volume.clone());
    changed.labels.insert(LABEL_PLACE.to_owned(), id.as_str().to_owned());
    let mut pod = pod(run, app, object, &changed);
    if let Some(cookie) = &plan.cookie {
        pod["spec"]["initContainers"] = json!([cookie_maker(cookie, plan)]);
    }
    pod
}

/// Whether a request fits into a variable of a pod that is a place.
#[must_use]
pub fn fits_place(run: &RunId, container: &ContainerPlan) -> bool {
    quoted(&json!(spawn_request(run, container)).to_string()).len() <= FIRST_BYTES_MAX
}

fn spec(run: &RunId, object: &ObjectRef, plan: &PodPlan) -> Value {
    let mut container = container(run, object, &plan.container);
    let mut resources = Map::new();
    for (name, amounts) in [("requests", &plan.requests), ("limits", &plan.limits)] {
        if !amounts.is_empty() {
            resources.insert(name.to_owned(), json!(amounts));
        }
    }
    if !resources.is_empty() {
        container["resources"] = resources.into();
    }
    if !plan.ports.is_empty() {
        container["ports"] = plan.ports.iter().map(port).collect();
    }
    if let Some(probe) = &plan.probe {
        container["readinessProbe"] = readiness(probe);
    }
    let mut spec = json!({
        "automountServiceAccountToken": false,
        "containers": [container],
        "enableServiceLinks": false,
        "hostname": object.pod,
        "restartPolicy": "Never",
        "securityContext": pod_security(&plan.container),
        "terminationGracePeriodSeconds": plan.grace_s,
    });
    if let Some(cookie) = &plan.cookie {
        spec["initContainers"] = json!([cookie_maker(cookie, plan)]);
    }
    if !plan.volumes.is_empty() {
        spec["volumes"] = json!(plan.volumes);
    }
    if !plan.node_selector.is_empty() {
        spec["nodeSelector"] = json!(plan.node_selector);
    }
    if let Some(node) = &plan.preferred_node {
        spec["affinity"] = prefer(node);
    }
    if !plan.tolerations.is_empty() {
        spec["tolerations"] = json!(plan.tolerations);
    }
    if let Some(class) = &plan.runtime_class {
        spec["runtimeClassName"] = json!(class);
    }
    if !plan.pull_secrets.is_empty() {
        spec["imagePullSecrets"] = names(&plan.pull_secrets);
    }
    if let Some(seconds) = plan.deadline_s {
        spec["activeDeadlineSeconds"] = json!(seconds);
    }
    spec
}

/// The init container that makes the cookie file, of the application's own user and amounts: a quota
/// may want some of every container, and a pod needs the most that one of these does.
fn cookie_maker(cookie: &CookieMaker, plan: &PodPlan) -> Value {
    let key =
        plan.container.env.iter().filter(|var| var.name == CookieMaker::VARIABLE).map(variable);
    let run_as = &plan.container.run_as;
    let argv: Vec<_> = cookie.argv.iter().map(|word| quoted(word)).collect();
    let mut value = json!({
        "name": COOKIE_CONTAINER,
        "image": cookie.image,
        "imagePullPolicy": plan.container.pull_policy,
        "command": argv,
        "env": key.collect::<Vec<_>>(),
        "securityContext": security(run_as.uid, run_as.gid),
        "volumeMounts": [{ "name": cookie.mount.name, "mountPath": cookie.mount.path }],
    });
    for (name, amounts) in [("requests", &plan.requests), ("limits", &plan.limits)] {
        let ordinary = amounts.iter().filter(|(name, _)| matches!(name.as_str(), "cpu" | "memory"));
        let ordinary: Map<_, _> =
            ordinary.map(|(name, value)| (name.clone(), json!(value))).collect();
        if !ordinary.is_empty() {
            value["resources"][name] = ordinary.into();
        }
    }
    value
}

/// What a pull pod is made from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PullPlan {
    /// Its name and namespace.
    pub object: ObjectRef,
    /// The image.
    pub image: String,
    /// The node; absent: whichever the scheduler chooses.
    pub node: Option<String>,
    /// Labels, but for the type.
    pub labels: std::collections::BTreeMap<String, String>,
    /// As application pods.
    pub run_as: deskd_core::policy::RunAs,
    /// Image pull secrets.
    pub pull_secrets: Vec<String>,
}

/// A pod that makes a node pull an image, and nothing else.
#[must_use]
pub fn pull_pod(plan: &PullPlan) -> Value {
    let mut labels = plan.labels.clone();
    labels.insert(LABEL_TYPE.to_owned(), TYPE_PULL.to_owned());
    labels.insert(LABEL_NETWORK.to_owned(), "true".to_owned());
    let container = json!({
        "name": plan.object.container,
        "image": plan.image,
        "imagePullPolicy": PullPolicy::IfNotPresent,
        "command": [NO_PROGRAM],
        "securityContext": security(plan.run_as.uid, plan.run_as.gid),
        // A quota may want both; nothing runs.
        "resources": {
            "requests": { "cpu": "1m", "memory": "8Mi" },
            "limits": { "cpu": "10m", "memory": "16Mi" },
        },
    });
    let mut spec = json!({
        "activeDeadlineSeconds": PULL_SECONDS_MAX,
        "automountServiceAccountToken": false,
        "containers": [container],
        "enableServiceLinks": false,
        "restartPolicy": "Never",
        "securityContext": { "runAsNonRoot": true, "seccompProfile": { "type": "RuntimeDefault" } },
        "terminationGracePeriodSeconds": 0,
    });
    if let Some(node) = &plan.node {
        let fields = json!([{ "key": "metadata.name", "operator": "In", "values": [node] }]);
        spec["affinity"] = json!({ "nodeAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": {
                "nodeSelectorTerms": [{ "matchFields": fields }],
            },
        } });
    }
    if !plan.pull_secrets.is_empty() {
        spec["imagePullSecrets"] = names(&plan.pull_secrets);
    }
    let (name, namespace) = (&plan.object.pod, &plan.object.namespace);
    let metadata = json!({ "name": name, "namespace": namespace, "labels": labels });
    json!({ "apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec })
}

/// What every container has.
fn container(run: &RunId, object: &ObjectRef, plan: &ContainerPlan) -> Value {
    let own = [(TASK_VARIABLE, run.task.as_str().to_owned()), (RUN_VARIABLE, run.run.to_string())];
    let is_own = |name: &str| own.iter().any(|(own, _)| *own == name);
    let env = plan.env.iter().filter(|var| !is_own(&var.name)).map(variable);
    let env: Vec<Value> = env
        .chain(own.iter().map(|(name, value)| json!({ "name": name, "value": value })))
        .collect();
    let mut value = json!({
        "name": object.container,
        "image": plan.image,
        "imagePullPolicy": plan.pull_policy,
        "env": env,
        "securityContext": security(plan.run_as.uid, plan.run_as.gid),
    });
    if !plan.argv.is_empty() {
        let argv: Vec<_> = plan.argv.iter().map(|word| quoted(word)).collect();
        value["command"] = json!(argv);
    }
    if let Some(cwd) = &plan.cwd {
        value["workingDir"] = json!(cwd);
    }
    if !plan.mounts.is_empty() {
        value["volumeMounts"] = plan
            .mounts
            .iter()
            .map(|mount| {
                let (name, path) = (&mount.name, &mount.path);
                match mount.read_only {
                    true => json!({ "name": name, "mountPath": path, "readOnly": true }),
                    false => json!({ "name": name, "mountPath": path }),
                }
            })
            .collect();
    }
    value
}

fn variable(var: &EnvVar) -> Value {
    match &var.from {
        EnvSource::Field(path) => json!({
            "name": var.name,
            "valueFrom": { "fieldRef": { "apiVersion": "v1", "fieldPath": path } },
        }),
        _ => json!({ "name": var.name, "value": quoted(&var.value) }),
    }
}

/// What Pod Security `restricted` wants of each container.
fn security(uid: u32, gid: u32) -> Value {
    json!({
        "allowPrivilegeEscalation": false,
        "capabilities": { "drop": ["ALL"] },
        "runAsUser": uid,
        "runAsGroup": gid,
        "runAsNonRoot": true,
        "seccompProfile": { "type": "RuntimeDefault" },
    })
}

fn pod_security(container: &ContainerPlan) -> Value {
    let run_as = &container.run_as;
    let mut value = json!({
        "runAsUser": run_as.uid,
        "runAsGroup": run_as.gid,
        "runAsNonRoot": true,
        "seccompProfile": { "type": "RuntimeDefault" },
    });
    if !run_as.groups.is_empty() {
        value["supplementalGroups"] = json!(run_as.groups);
    }
    value
}

fn port(port: &deskd_core::app::container::AppPort) -> Value {
    let mut value = json!({ "containerPort": port.port, "protocol": port.protocol });
    if let Some(name) = &port.name {
        value["name"] = json!(name);
    }
    value
}

fn readiness(probe: &AppProbe) -> Value {
    match probe {
        AppProbe::HttpGet { path, port } => json!({ "httpGet": { "path": path, "port": port } }),
        AppProbe::Tcp { port } => json!({ "tcpSocket": { "port": port } }),
    }
}

fn prefer(node: &str) -> Value {
    // By the field, not the label kubernetes.io/hostname, which an operator may have changed.
    let fields = json!([{ "key": "metadata.name", "operator": "In", "values": [node] }]);
    json!({ "nodeAffinity": { "preferredDuringSchedulingIgnoredDuringExecution": [
        { "weight": NODE_WEIGHT, "preference": { "matchFields": fields } },
    ] } })
}

fn names(names: &[String]) -> Value {
    names.iter().map(|name| json!({ "name": name })).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use deskd_core::app::container::AppPort;
    use deskd_core::plan::facts::VolumeMount;
    use deskd_core::plan::remote::{KeeperFile, Owner};
    use deskd_core::policy::{RunAs, Toleration};

    fn run() -> RunId {
        RunId { task: "2048-ubuntu-0a1b2".parse().unwrap(), run: 1 }
    }

    fn object(pod: &str, container: &str) -> ObjectRef {
        ObjectRef { namespace: "apps".into(), pod: pod.into(), container: container.into() }
    }

    fn map(pairs: &[(&str, &str)]) -> std::collections::BTreeMap<String, String> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    fn container_plan() -> ContainerPlan {
        ContainerPlan {
            image: "registry.example/2048-ubuntu:1".into(),
            pull_policy: PullPolicy::IfNotPresent,
            argv: vec!["/usr/games/2048-qt".into(), "--title=$(HOME)".into()],
            entry_point: false,
            program: None,
            arguments: vec![],
            env: vec![
                EnvVar::new("DESKD_TASK_ID", "forged", EnvSource::Application),
                EnvVar::new("DISPLAY", "10.1.2.3:0", EnvSource::Display),
                EnvVar::field("POD_IP", "status.podIP"),
                EnvVar::new("XAUTH_KEY", "0a", EnvSource::Display),
                EnvVar::new("PRICE", "$(5) $$", EnvSource::Application),
            ],
            cwd: Some("/home/balloon".into()),
            run_as: RunAs { uid: 4096, gid: 4096, groups: vec![44] },
            mounts: vec![
                VolumeMount { name: "home".into(), path: "/home/balloon".into(), read_only: false },
                VolumeMount { name: "fonts".into(), path: "/fonts".into(), read_only: true },
            ],
        }
    }

    #[test]
    fn an_ephemeral_container_joins_its_target_and_is_restricted() {
        let plan = EphemeralPlan {
            pod: "anna".into(),
            namespace: "apps".into(),
            target_container: Some("deskd".into()),
            prepare: vec![],
            cookie: None,
            container: container_plan(),
            place: None,
            grace_s: None,
        };
        let container = ephemeral_container(&run(), &object("anna", "2048-0a1b2"), &plan);
        insta::assert_json_snapshot!(ephemeral_patch(&[container]));
    }

    fn full_plan() -> PodPlan {
        PodPlan {
            namespace: "apps".into(),
            owner: Some(Owner { name: "anna".into(), uid: "u-1".into() }),
            labels: map(&[("deskd.io/desktop", "anna"), ("deskd.io/desktop-uid", "u-1")]),
            annotations: map(&[("k8s.v1.cni.cncf.io/networks", "data")]),
            container: container_plan(),
            cookie: Some(CookieMaker {
                image: "registry.example/deskd:1".into(),
                argv: vec!["/usr/local/bin/deskd".into(), "xauthority".into(), "/x/$(A)".into()],
                mount: VolumeMount { name: "x".into(), path: "/x".into(), read_only: false },
            }),
            volumes: vec![json!({ "name": "home", "persistentVolumeClaim": { "claimName": "h" } })],
            requests: map(&[("cpu", "500m")]),
            limits: map(&[("memory", "1Gi"), ("nvidia.com/gpu", "1")]),
            node_selector: map(&[("gpu", "true")]),
            preferred_node: Some("node-1".into()),
            tolerations: vec![Toleration {
                key: Some("gpu".into()),
                operator: Some("Exists".into()),
                value: None,
                effect: None,
            }],
            runtime_class: Some("nvidia".into()),
            ports: vec![AppPort { name: Some("web".into()), port: 8080, protocol: "TCP".into() }],
            probe: Some(AppProbe::HttpGet { path: "/".into(), port: 8080 }),
            pull_secrets: vec!["registry".into()],
            grace_s: 30,
            deadline_s: Some(3600),
            place: None,
        }
    }

    #[test]
    fn a_pod_has_everything_the_plan_says() {
        let plan = full_plan();
        let app = "2048-ubuntu".parse().unwrap();
        let object = object("anna-app-2048-ubuntu-0a1b2", "app");
        insta::assert_json_snapshot!(pod(&run(), &app, &object, &plan));
    }

    #[test]
    fn a_pod_that_is_a_place_has_what_is_of_the_pod_and_the_first_program_in_one_variable() {
        let (plan, app) = (full_plan(), "2048-ubuntu".parse().unwrap());
        let mount =
            VolumeMount { name: "deskd-bin".into(), path: "/.deskd".into(), read_only: true };
        let place = PodPlace {
            keeper: KeeperFile { mount, path: "/.deskd/deskd-keeper".into() },
            volume: json!({ "name": "deskd-bin", "image": { "reference": "d" } }),
            daemon: "10.1.2.3:6001".parse().unwrap(),
            linger_s: 60,
        };
        let (object, key) = (object("anna-app-2048-ubuntu-0a1b2", "app"), Key::new([7; 32]));
        let id = "place-0a1b2".parse().unwrap();
        let made = pod_place(&run(), &app, &object, &plan, (&id, &key, &place));
        let plain = pod(&run(), &app, &object, &plan);
        let container = &made["spec"]["containers"][0];
        let words = [
            "/.deskd/deskd-keeper",
            "place",
            "--grace-ms",
            "30000",
            "--tasks-max",
            "1000",
            "--daemon",
            "10.1.2.3:6001",
        ];
        assert_eq!(container["command"], json!(words));
        assert_eq!(container["workingDir"], Value::Null);
        let variable = |name: &str| {
            let mut all = container["env"].as_array().unwrap().iter();
            all.find(|var| var["name"] == name).cloned().unwrap_or_default()
        };
        assert_eq!(variable("POD_IP")["valueFrom"]["fieldRef"]["fieldPath"], "status.podIP");
        assert_eq!(variable("XAUTH_KEY"), Value::Null);
        assert_eq!(variable(KEY_VARIABLE)["value"], String::from(key));
        let first = variable(FIRST_VARIABLE)["value"].as_str().unwrap().to_owned();
        let first = deskd_core::expansion::expand(&first, |_| None);
        let request = spawn_request(&run(), &plan.container);
        assert_eq!(serde_json::from_str::<SpawnRequest>(&first).unwrap(), request);
        assert!(request.argv.contains(&"--title=$(HOME)".to_owned()), "as it is");
        // All else is the pod's.
        assert_eq!(made["spec"]["initContainers"], plain["spec"]["initContainers"]);
        assert_eq!(container["resources"], plain["spec"]["containers"][0]["resources"]);
        assert_eq!(made["spec"]["volumes"].as_array().unwrap().len(), plan.volumes.len() + 1);
        assert_eq!(made["metadata"]["labels"][LABEL_PLACE], "place-0a1b2");
        assert_eq!(made["metadata"]["labels"][LABEL_TASK], plain["metadata"]["labels"][LABEL_TASK]);
        assert!(fits_place(&run(), &plan.container));
        let mut long = plan.container;
        long.argv.push("x".repeat(FIRST_BYTES_MAX));
        assert!(!fits_place(&run(), &long));
    }

    #[test]
    fn a_pod_of_a_bare_plan_leaves_out_what_nobody_asked_for() {
        let mut container = container_plan();
        (container.argv, container.env, container.mounts) = (vec![], vec![], vec![]);
        (container.cwd, container.run_as.groups) = (None, vec![]);
        let plan = PodPlan {
            namespace: "apps".into(),
            owner: None,
            labels: map(&[]),
            annotations: map(&[]),
            container,
            cookie: None,
            volumes: vec![],
            requests: map(&[]),
            limits: map(&[]),
            node_selector: map(&[]),
            preferred_node: None,
            tolerations: vec![],
            runtime_class: None,
            ports: vec![],
            probe: None,
            pull_secrets: vec![],
            grace_s: 5,
            deadline_s: None,
            place: None,
        };
        let app = "2048-ubuntu".parse().unwrap();
        insta::assert_json_snapshot!(pod(&run(), &app, &object("p", "app"), &plan));
    }

    #[test]
    fn a_pull_pod_runs_nothing_of_the_image() {
        let plan = PullPlan {
            object: object("pull-2048-1-abc", "app"),
            image: "registry.example/2048:1".into(),
            node: Some("node-1".into()),
            labels: map(&[("app.kubernetes.io/managed-by", "deskd")]),
            run_as: RunAs { uid: 4096, gid: 4096, groups: vec![] },
            pull_secrets: vec!["registry".into()],
        };
        insta::assert_json_snapshot!(pull_pod(&plan));
    }
}
