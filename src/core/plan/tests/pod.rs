//! What makes a pod of its own necessary, and what speaks against it.

use super::super::EngineKind::{EphemeralContainer, PodApplication};
use super::super::UnplannableCode as Code;
use super::case::{Case, Row, check};
use crate::app::container::ShmNeed;
use crate::display::EndpointState;

fn only(case: &mut Case) {
    case.policy.engines = vec![PodApplication];
}

fn class(case: &mut Case, name: &str) {
    case.image().execute_class = Some(name.into());
}

const CLASSES: &[Row] = &[
    (
        "resources and a GPU",
        |c| class(c, "gold"),
        Ok(PodApplication),
        &[
            "it asks for requests cpu=500m, limits memory=4Gi, 1 GPU (nvidia.com/gpu), a node with \
             gpu=true (execute class `gold`)",
            "it draws more slowly",
            "not ephemeral_container: it asks for requests cpu=500m",
        ],
    ),
    ("a node selector", |c| class(c, "node"), Ok(PodApplication), &["a node with disk=ssd"]),
    (
        "a runtime class",
        |c| class(c, "sandbox"),
        Ok(PodApplication),
        &["the runtime class `gvisor`"],
    ),
    ("tolerations", |c| class(c, "tainted"), Ok(PodApplication), &["nodes with a taint"]),
    (
        "the default class",
        |c| c.policy.default_class = Some("node".into()),
        Ok(PodApplication),
        &["a node with disk=ssd (execute class `node`)"],
    ),
    (
        "the default class and a document that insists",
        |c| {
            c.policy.default_class = Some("node".into());
            c.image().engine = Some(EphemeralContainer);
        },
        Ok(EphemeralContainer),
        &["the default execute class `node` is for pods"],
    ),
    (
        "the document's class wins over the default",
        |c| {
            c.policy.default_class = Some("gold".into());
            class(c, "plain");
        },
        Ok(EphemeralContainer),
        &[],
    ),
    (
        "an unknown class",
        |c| class(c, "platinum"),
        Err(Code::CannotBePlaced),
        &[
            "the configuration has no section [execute_class.platinum]: add it, or change",
            "not ephemeral_container: it asks for the execute class `platinum`",
        ],
    ),
    (
        "a network",
        |c| c.image().network_rules = vec!["data".into()],
        Ok(PodApplication),
        &["it asks for the network `data`"],
    ),
    (
        "an unknown network",
        |c| c.image().network_rules = vec!["moon".into()],
        Err(Code::CannotBePlaced),
        &["no section [network_rule.moon]"],
    ),
    (
        "two networks that exclude each other",
        |c| {
            c.image().network_rules = vec!["data".into(), "lab".into()];
        },
        Err(Code::CannotBePlaced),
        &["the network rules `data` and `lab` give the annotation k8s.v1.cni.cncf.io/networks"],
    ),
    (
        "the same network twice",
        |c| {
            c.image().network_rules = vec!["data".into(), "data".into()];
        },
        Ok(PodApplication),
        &[],
    ),
    (
        "two numbers of GPUs",
        |c| {
            let gold = c.policy.classes.get_mut("gold").unwrap();
            gold.limits.insert("nvidia.com/gpu".into(), "2".into());
            class(c, "gold");
        },
        Err(Code::CannotBePlaced),
        &["sets both gpu = 1 and nvidia.com/gpu = 2: remove one"],
    ),
    (
        "resources and shared memory",
        |c| {
            class(c, "gold");
            c.image().shm = ShmNeed::Required;
        },
        Err(Code::CannotBePlaced),
        &[
            "2048 has contradictory needs: requests cpu=500m",
            "which only this pod has; change one of the two",
        ],
    ),
];

#[test]
fn execute_classes_and_networks_need_a_pod() {
    check(CLASSES);
}

const NETWORK: &[Row] = &[
    (
        "nothing listens on TCP",
        |c| {
            only(c);
            c.facts.display.tcp.state = EndpointState::NotListening;
        },
        Err(Code::DisplayNotOnNetwork),
        &[
            "the X server does not listen on TCP port 6007",
            "start it with `-listen tcp` (Xvnc), or set X11LISTEN=tcp",
        ],
    ),
    (
        "nobody looked at TCP",
        |c| {
            only(c);
            c.facts.display.tcp.state = EndpointState::Unchecked;
        },
        Err(Code::DisplayNotOnNetwork),
        &["X11LISTEN=tcp"],
    ),
    (
        "TCP refuses the cookie",
        |c| {
            only(c);
            c.facts.display.tcp.state = EndpointState::Refused("no protocol".into());
        },
        Err(Code::DisplayNotOnNetwork),
        &["refuses connections on TCP port 6007 (no protocol)"],
    ),
    (
        "TCP hangs",
        |c| {
            only(c);
            c.facts.display.tcp.state = EndpointState::Hanging;
        },
        Err(Code::DisplayNotOnNetwork),
        &["and does not answer"],
    ),
    (
        "nothing listens on TCP, and an ephemeral container will do",
        |c| {
            c.facts.display.tcp.state = EndpointState::NotListening;
        },
        Ok(EphemeralContainer),
        &["not pod_application: a pod of its own cannot reach the"],
    ),
    (
        "nothing listens on TCP, and only a pod has what it asks for",
        |c| {
            c.facts.display.tcp.state = EndpointState::NotListening;
            class(c, "gold");
        },
        Err(Code::DisplayNotOnNetwork),
        &["2048 cannot run as a pod of its own: a pod"],
    ),
    (
        "nothing to draw",
        |c| {
            only(c);
            c.app.needs_display = false;
            c.facts.display.tcp.state = EndpointState::NotListening;
            c.pod.ip = None;
        },
        Ok(PodApplication),
        &["without resource limits"],
    ),
    (
        "the pod has no address",
        |c| {
            only(c);
            c.pod.ip = None;
        },
        Err(Code::DisplayNotOnNetwork),
        &["the desktop's pod has no address yet"],
    ),
    (
        "shared memory is needed",
        |c| {
            only(c);
            c.image().shm = ShmNeed::Required;
        },
        Err(Code::CannotBePlaced),
        &["which a pod of its own cannot have"],
    ),
    (
        "the right is missing",
        |c| {
            only(c);
            c.denied(Some(PodApplication));
        },
        Err(Code::RightMissing),
        &["deskd may not patch pods"],
    ),
    (
        "another architecture runs elsewhere",
        |c| c.image().architecture = Some("arm64".into()),
        Ok(PodApplication),
        &["its image is for arm64, so it runs on another node"],
    ),
];

#[test]
fn the_display_must_be_on_the_network() {
    check(NETWORK);
}

const QUOTAS: &[Row] = &[
    (
        "room for the last byte",
        |c| {
            c.limits("memory=1Gi");
            c.quota("limits.memory", "3221225472", "4Gi");
        },
        Ok(PodApplication),
        &[],
    ),
    (
        "a byte too much",
        |c| {
            c.limits("memory=1Gi");
            c.quota("limits.memory", "3221225473", "4Gi");
        },
        Err(Code::CannotBePlaced),
        &[
            "the quota `cap` of namespace desktops is too small: limits.memory 1Gi requested, \
             3221225473 of 4Gi used",
            "stop something there or raise the quota",
        ],
    ),
    (
        "a request that is not named is the limit",
        |c| {
            c.limits("cpu=501m");
            c.quota("requests.cpu", "1500m", "2");
        },
        Err(Code::CannotBePlaced),
        &["requests.cpu 501m requested, 1500m of 2 used"],
    ),
    (
        "the short name is the request",
        |c| {
            class(c, "gold");
            c.quota("cpu", "1.5", "2");
        },
        Ok(PodApplication),
        &[],
    ),
    (
        "the GPU is taken",
        |c| {
            class(c, "gold");
            c.quota("requests.nvidia.com/gpu", "1", "1");
        },
        Err(Code::CannotBePlaced),
        &["requests.nvidia.com/gpu 1 requested, 1 of 1 used"],
    ),
    (
        "no more pods",
        |c| {
            only(c);
            c.quota("pods", "10", "10");
        },
        Err(Code::CannotBePlaced),
        &["pods 1 requested, 10 of 10 used"],
    ),
    (
        "no more pods, and an ephemeral container is none",
        |c| c.quota("pods", "10", "10"),
        Ok(EphemeralContainer),
        &["not pod_application: the quota `cap`"],
    ),
    (
        "a quota of another namespace",
        |c| {
            only(c);
            c.policy.apps_namespace = Some("apps".into());
            c.quota("pods", "10", "10");
        },
        Ok(PodApplication),
        &[],
    ),
    (
        "a quota of something else",
        |c| {
            only(c);
            c.quota("services", "1", "1");
            c.quota("requests.example.com/fpga", "1", "1");
        },
        Ok(PodApplication),
        &[],
    ),
    (
        "a quota that counts what is not named",
        |c| {
            only(c);
            c.quota("limits.cpu", "1", "2");
        },
        Ok(PodApplication),
        &["limits limits.cpu, which its execute class does not set"],
    ),
    (
        "a quota that nobody can read",
        |c| {
            class(c, "gold");
            c.quota("limits.memory", "lots", "4Gi");
        },
        Ok(PodApplication),
        &[],
    ),
];

#[test]
fn a_quota_is_compared_exactly_before_anything_is_created() {
    check(QUOTAS);
}

const VOLUMES: &[Row] = &[
    (
        "an emptyDir",
        |c| {
            only(c);
            c.policy.pod_volumes = vec!["tmp".into()];
        },
        Ok(PodApplication),
        &["it does not get the volume `tmp` (pod_volumes): an emptyDir belongs to one pod"],
    ),
    (
        "a directory of the node",
        |c| {
            only(c);
            c.policy.pod_volumes = vec!["disk".into()];
        },
        Ok(PodApplication),
        &["application pods may not mount directories of the node"],
    ),
    (
        "a volume with a token",
        |c| {
            only(c);
            c.policy.pod_volumes = vec!["api".into()];
        },
        Ok(PodApplication),
        &["a token of the desktop's service account"],
    ),
    (
        "a volume that is not mounted, and one that is not there",
        |c| {
            only(c);
            c.policy.pod_volumes = vec!["unmounted".into(), "nowhere".into()];
        },
        Ok(PodApplication),
        &["its mount path is unknown", "has no such volume"],
    ),
    (
        "a claim in another namespace",
        |c| {
            only(c);
            c.policy.pod_volumes = vec!["home".into()];
            c.policy.apps_namespace = Some("apps".into());
        },
        Ok(PodApplication),
        &["refers to an object in the desktop's namespace"],
    ),
    (
        "a secret in another namespace",
        |c| {
            only(c);
            c.image().secrets = vec!["anna-kerberos".into()];
            c.policy.apps_namespace = Some("apps".into());
        },
        Err(Code::CannotBePlaced),
        &["it needs the secret `anna-kerberos`"],
    ),
    (
        "a secret that goes along",
        |c| {
            only(c);
            c.image().secrets = vec!["krb".into()];
        },
        Ok(PodApplication),
        &[],
    ),
    (
        "a secret that is nowhere",
        |c| {
            only(c);
            c.image().secrets = vec!["anna-smb".into()];
        },
        Err(Code::CannotBePlaced),
        &["deskd's container does not mount"],
    ),
];

#[test]
fn volumes_and_secrets_go_along_where_they_can() {
    check(VOLUMES);
}
