//! What speaks against an ephemeral container.

use super::super::EngineKind::{EphemeralContainer, PodApplication};
use super::super::UnplannableCode as Code;
use super::super::facts::ApiState;
use super::case::{Case, Row, check};
use crate::app::container::{AppPort, AppProbe, ShmNeed};
use crate::display::EndpointState;
use crate::policy::PullPolicy;
use crate::room::{ENTRIES_MAX, POD_BYTES_MAX};
use crate::shm::ShmVerdict;

fn only(case: &mut Case) {
    case.policy.engines = vec![EphemeralContainer];
}

const CLUSTER: &[Row] = &[
    (
        "the API server is away",
        |c| c.cluster.api = ApiState::Away("no route".into()),
        Err(Code::KubernetesUnavailable),
        &[
            "cannot run as an ephemeral container: the Kubernetes API does not answer: no route",
            "not pod_application: the Kubernetes API does not answer",
        ],
    ),
    (
        "the API is off",
        |c| c.cluster.api = ApiState::Off("no credentials".into()),
        Err(Code::KubernetesUnavailable),
        &["is not used: no credentials"],
    ),
    (
        "the API server has not answered yet",
        |c| c.cluster.api = ApiState::Unknown,
        Err(Code::KubernetesUnavailable),
        &["has not answered yet"],
    ),
    (
        "the own pod is not known",
        |c| c.pod_known = false,
        Err(Code::KubernetesUnavailable),
        &["set POD_NAME and POD_NAMESPACE"],
    ),
    (
        "the right is missing",
        |c| {
            only(c);
            c.denied(Some(EphemeralContainer));
        },
        Err(Code::RightMissing),
        &["deskd may not patch pods: grant it with"],
    ),
    (
        "the right of this engine is missing, the pod's is there",
        |c| {
            c.denied(Some(EphemeralContainer));
        },
        Ok(PodApplication),
        &["not ephemeral_container: deskd may not patch pods"],
    ),
    (
        "a right that only explanations need is missing",
        |c| c.denied(None),
        Ok(EphemeralContainer),
        &[],
    ),
    (
        "as many tasks as may",
        |c| c.facts.remote_tasks = c.policy.remote_tasks_max,
        Err(Code::TooManyRemoteTasks),
        &[
            "100 tasks already run in containers, and at most 100 may (remote_tasks_max in [kubernetes])",
        ],
    ),
    (
        "one fewer",
        |c| c.facts.remote_tasks = c.policy.remote_tasks_max - 1,
        Ok(EphemeralContainer),
        &[],
    ),
];

#[test]
fn the_api_server_rights_and_limits_are_needed() {
    check(CLUSTER);
}

const ROOM: &[Row] = &[
    (
        "the target is configured",
        |c| c.policy.target_container = Some("xvnc".into()),
        Ok(EphemeralContainer),
        &["it ends when the container `xvnc` restarts"],
    ),
    (
        "the target does not exist",
        |c| {
            only(c);
            c.policy.target_container = Some("nobody".into());
        },
        Err(Code::CannotBePlaced),
        &["no container `nobody` (target_container)", "xvnc, deskd"],
    ),
    (
        "no target is known",
        |c| {
            only(c);
            c.pod.target_container = None;
        },
        Err(Code::CannotBePlaced),
        &["set POD_CONTAINER, or target_container"],
    ),
    (
        "the pod shares its processes",
        |c| c.pod.shares_processes = true,
        Ok(EphemeralContainer),
        &["it runs in a container of this pod"],
    ),
    (
        "the cookie as a variable alone",
        |c| c.pod.own_mounts.clear(),
        Ok(EphemeralContainer),
        &["let its image write a cookie file from the variable XAUTH_KEY"],
    ),
    (
        "a volume with deskd's own files",
        |c| {
            c.pod.withheld = vec!["state".into(), "api".into()];
            c.policy.volumes.push("state".into());
        },
        Ok(EphemeralContainer),
        &[
            "does not get the volume `state`, which contains files that no application may read (deskd's own",
        ],
    ),
    (
        "the pod has had too many",
        |c| {
            only(c);
            c.pod.ephemeral_used = ENTRIES_MAX;
        },
        Err(Code::CannotBePlaced),
        &["already has 400 ephemeral containers", "a new desktop pod"],
    ),
    (
        "the last that it may have",
        |c| c.pod.ephemeral_used = ENTRIES_MAX - 1,
        Ok(EphemeralContainer),
        &[],
    ),
    (
        "the object is too large",
        |c| {
            only(c);
            c.pod.object_bytes = POD_BYTES_MAX - 2048;
        },
        Err(Code::CannotBePlaced),
        &["would grow from 1534 KiB to more than 1536 KiB"],
    ),
    (
        "a full pod leaves a pod of its own",
        |c| c.pod.object_bytes = POD_BYTES_MAX,
        Ok(PodApplication),
        &["not ephemeral_container: the desktop's pod would grow from 1536 KiB"],
    ),
];

#[test]
fn the_pod_must_have_room_and_a_container_to_join() {
    check(ROOM);
}

const DRAWING: &[Row] = &[
    (
        "another user",
        |c| {
            only(c);
            c.policy.run_as.uid = 1000;
        },
        Err(Code::CannotBePlaced),
        &[
            "containers run as user 1000 (run_as in [kubernetes]), and deskd and the X server run as user 4096",
        ],
    ),
    (
        "another user, nothing to draw",
        |c| {
            c.app.needs_display = false;
            c.policy.run_as.uid = 1000;
        },
        Ok(EphemeralContainer),
        &[],
    ),
    (
        "shared memory is needed and proved",
        |c| c.image().shm = ShmNeed::Required,
        Ok(EphemeralContainer),
        &["tested with pixels"],
    ),
    (
        "shared memory is needed and remote",
        |c| {
            c.image().shm = ShmNeed::Required;
            c.facts.display.shm.sysv = ShmVerdict::Remote;
        },
        Err(Code::CannotBePlaced),
        &["io.deskd.shm=required), and the X server treats"],
    ),
    (
        "another architecture",
        |c| {
            only(c);
            c.image().architecture = Some("arm64".into());
        },
        Err(Code::CannotBePlaced),
        &["its image is for arm64 and this node is amd64"],
    ),
    ("no architecture told", |c| c.image().architecture = None, Ok(EphemeralContainer), &[]),
    (
        "no socket can be reached",
        |c| {
            only(c);
            c.facts.display.unix.abstract_socket = false;
            c.pod.mounts.clear();
        },
        Err(Code::CannotBePlaced),
        &["listens only in /tmp/.X11-unix", "mount a volume there"],
    ),
    (
        "the socket is in a volume",
        |c| c.facts.display.unix.abstract_socket = false,
        Ok(EphemeralContainer),
        &[],
    ),
    (
        "the image turns shared memory off",
        |c| {
            c.image().env.insert("QT_X11_NO_MITSHM".into(), "1".into());
        },
        Ok(EphemeralContainer),
        &["its image sets QT_X11_NO_MITSHM, which turns shared memory"],
    ),
    (
        "the cookie is nowhere to be had",
        |c| {
            c.facts.machine_mut().cookie = None;
            c.facts.display.cookie_file = Some("/run/x/Xauthority".into());
            c.pod.own_mounts.clear();
        },
        Ok(EphemeralContainer),
        &["none of its volumes contains the cookie file /run/x/Xauthority", "may refuse it"],
    ),
];

#[test]
fn it_draws_as_deskd_proved_it_or_not_at_all() {
    check(DRAWING);
}

const POD_ONLY: &[Row] = &[
    (
        "a port",
        |c| {
            let protocol = "TCP".into();
            c.image().ports = vec![AppPort { name: None, port: 8080, protocol }];
        },
        Ok(PodApplication),
        &["it asks for port 8080/TCP, which only a pod of its own can"],
    ),
    (
        "a probe",
        |c| c.image().probe = Some(AppProbe::Tcp { port: 9 }),
        Ok(PodApplication),
        &["not ephemeral_container: it asks for a probe of port 9"],
    ),
    (
        "a probe by http",
        |c| {
            c.image().probe = Some(AppProbe::HttpGet { path: "/ok".into(), port: 80 });
        },
        Ok(PodApplication),
        &["an HTTP probe of port 80/ok"],
    ),
    (
        "a class that asks for nothing",
        |c| c.image().execute_class = Some("plain".into()),
        Ok(EphemeralContainer),
        &[],
    ),
    (
        "arguments, and a command that nobody knows",
        |c| {
            c.launch.args = vec!["--new".into()];
            c.image().program.clear();
        },
        Err(Code::CannotBePlaced),
        &["does not say which command the image runs", "oc.path"],
    ),
    ("a command that nobody knows", |c| c.image().program.clear(), Ok(EphemeralContainer), &[]),
    (
        "no name of an image",
        |c| c.image().image.clear(),
        Err(Code::CannotBePlaced),
        &["not ephemeral_container: the application has no image"],
    ),
];

#[test]
fn what_only_a_pod_can_have_speaks_against_it() {
    check(POD_ONLY);
}

const IMAGE: &[Row] = &[
    (
        "not known here",
        |_| {},
        Ok(EphemeralContainer),
        &["its image (90 MiB) may not be on this node, so it may have to be pulled"],
    ),
    (
        "here by its name",
        |c| {
            c.cluster.images = vec!["abcdesktopio/2048-alpine:4.1".into()];
        },
        Ok(EphemeralContainer),
        &["its image is on this node"],
    ),
    (
        "here by its id",
        |c| c.cluster.images = vec!["sha256:0a1b".into()],
        Ok(EphemeralContainer),
        &["its image is on this node"],
    ),
    (
        "never pulled",
        |c| c.policy.pull_policy = PullPolicy::Never,
        Ok(EphemeralContainer),
        &["pulling is turned off (pull_policy)"],
    ),
    (
        "always pulled",
        |c| c.policy.pull_policy = PullPolicy::Always,
        Ok(EphemeralContainer),
        &["its image is pulled at every start"],
    ),
];

#[test]
fn the_image_s_whereabouts_are_told() {
    check(IMAGE);
}

#[test]
fn the_2048_story_is_told_as_it_is() {
    let alpine_error: fn(&mut Case) = |c| {
        c.image().engine = Some(PodApplication);
        c.facts.display.tcp.state = EndpointState::NotListening;
    };
    check(&[(
        "2048-alpine-error",
        alpine_error,
        Err(Code::DisplayNotOnNetwork),
        &[
            "2048 cannot run as a pod of its own: a pod of its own cannot reach the display",
            "an ephemeral container could run it: `--engine ephemeral_container`",
        ],
    )]);
}
