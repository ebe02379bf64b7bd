//! What the chosen engine is told to do.

use serde_json::json;

use super::super::EngineKind::{EphemeralContainer, PodApplication};
use super::super::{EphemeralPlan, PodPlan, Work};
use super::case::{COOKIE, Case};
use crate::env_var::EnvVar;

fn pod(case: &Case) -> PodPlan {
    match case.plan().unwrap().work {
        Work::PodApplication(plan) => *plan,
        other => panic!("{other:?}"),
    }
}

fn ephemeral(case: &Case) -> EphemeralPlan {
    match case.plan().unwrap().work {
        Work::EphemeralContainer(plan) => *plan,
        other => panic!("{other:?}"),
    }
}

fn wants_pod() -> Case {
    let mut case = Case::new();
    case.policy.engines = vec![PodApplication];
    case
}

fn lines(env: &[EnvVar]) -> Vec<String> {
    env.iter().map(|var| format!("{}={}", var.name, var.value)).collect()
}

/// What every container gets on this desktop, where nobody says who or where its user is.
const AT_HOME: [&str; 2] = ["HOME=/tmp", "XDG_RUNTIME_DIR=/tmp/runtime-4096"];

#[test]
fn an_ephemeral_container_draws_as_local_programs_do() {
    let mut case = Case::new();
    case.launch.args = vec!["--size".into(), "5".into()];
    case.image().env.insert("PATH".into(), "/opt/bin".into());
    case.image().cwd = Some("/home/anna".into());
    case.app.local.env = [("TZ", "UTC"), ("PATH", "/opt/bin")]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into();
    let plan = ephemeral(&case);
    assert_eq!((plan.pod.as_str(), plan.namespace.as_str()), ("anna-desktop", "desktops"));
    assert_eq!(plan.target_container.as_deref(), Some("deskd"));
    assert_eq!(plan.container.argv, ["/usr/bin/gnome-2048", "--size", "5"]);
    // The image's own variables come with the image.
    let cookie = format!("XAUTH_KEY={COOKIE}");
    let [home, runtime] = AT_HOME;
    let file = "XAUTHORITY=/tmp/runtime-4096/Xauthority";
    assert_eq!(lines(&plan.container.env), ["DISPLAY=:7", home, "TZ=UTC", file, &cookie, runtime]);
    let mounts: Vec<_> = plan.container.mounts.iter().map(|mount| mount.name.as_str()).collect();
    assert_eq!(mounts, ["tmp", "home"], "those of the list");
    assert_eq!(plan.container.run_as.uid, 4096);
    assert_eq!(plan.container.cwd.as_deref(), Some("/home/anna"));
    let work = Work::EphemeralContainer(Box::new(plan));
    assert_eq!(work.argv().len(), 3);
}

#[test]
fn a_pod_draws_over_tcp_without_shared_memory() {
    let mut case = wants_pod();
    let env = lines(&pod(&case).container.env);
    let cookie = format!("XAUTH_KEY={COOKIE}");
    assert_eq!(
        env,
        [
            "DISPLAY=10.1.2.3:7",
            "HOME=/tmp",
            "J2D_USE_MITSHM=false",
            "NO_AWT_MITSHM=1",
            "QT_X11_NO_MITSHM=1",
            "QT_XCB_NO_MITSHM=1",
            &cookie,
        ]
    );
    case.pod.ip = Some("fd00::1:7".into());
    assert_eq!(pod(&case).container.env[0].value, "[fd00::1:7]:7");
}

#[test]
fn a_cookie_from_a_secret_is_a_file_and_no_variable() {
    let mut case = wants_pod();
    case.policy.xauthority_secret = Some("x11".into());
    let plan = pod(&case);
    let env = lines(&plan.container.env);
    assert!(env.contains(&"XAUTHORITY=/run/deskd-x11/Xauthority".to_owned()), "{env:?}");
    assert!(!serde_json::to_string(&plan).unwrap().contains(COOKIE));
    let source = json!({ "name": "x11", "items": [{ "key": "Xauthority", "path": "Xauthority" }] });
    assert_eq!(plan.volumes[0].pointer("/projected/sources/0/secret"), Some(&source));
    assert_eq!(plan.container.mounts[0].path, "/run/deskd-x11");
    assert!(plan.container.mounts[0].read_only);
}

#[test]
fn a_pod_says_whose_it_is_and_what_it_needs() {
    let mut case = wants_pod();
    case.pod.name = format!("{}.{}", "d".repeat(62), "e".repeat(30));
    case.image().execute_class = Some("gold".into());
    case.image().network_rules = vec!["data".into()];
    case.image().deadline_s = Some(600);
    case.policy.pull_secrets = vec!["registry".into()];
    let plan = pod(&case);
    let labels: Vec<_> = plan.labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
    assert_eq!(
        labels,
        [
            "app.kubernetes.io/managed-by=deskd",
            "deskd.io/app=2048-alpine",
            &format!("deskd.io/desktop={}", "d".repeat(62)),
            "deskd.io/desktop-namespace=desktops",
            "deskd.io/desktop-uid=11112222-3333",
            "netpol/ocapplication=true",
            "type=pod_application",
        ]
    );
    assert_eq!(json!(plan.annotations), json!({ "k8s.v1.cni.cncf.io/networks": "data-net" }));
    assert_eq!(json!(plan.requests), json!({ "cpu": "500m", "nvidia.com/gpu": "1" }));
    assert_eq!(json!(plan.limits), json!({ "memory": "4Gi", "nvidia.com/gpu": "1" }));
    assert_eq!(json!(plan.node_selector), json!({ "gpu": "true" }));
    assert_eq!(plan.owner.map(|owner| owner.uid), Some("11112222-3333".into()));
    assert_eq!(plan.preferred_node.as_deref(), Some("node-a"));
    assert_eq!((plan.grace_s, plan.deadline_s), (30, Some(600)));
    assert_eq!(plan.pull_secrets, ["registry"]);
}

#[test]
fn a_pod_in_another_namespace_has_no_owner() {
    let mut case = wants_pod();
    case.policy.apps_namespace = Some("apps".into());
    case.image().grace_s = Some(5);
    let plan = pod(&case);
    assert_eq!((plan.namespace.as_str(), plan.owner), ("apps", None));
    assert_eq!(plan.labels["deskd.io/desktop-namespace"], "desktops");
    assert_eq!(plan.grace_s, 5);
}

#[test]
fn a_pod_of_abcdesktops_user_says_whose_it_is_and_nothing_secret() {
    let mut case = wants_pod();
    for (label, value) in [
        ("access_provider", "anonymous"),
        ("access_userid", "balloon"),
        ("access_username", "balloon"),
        ("type", "x11server"),
        ("xauthkey", "a48c1c9bcd7924e2c693b277054180"),
    ] {
        case.pod.labels.insert(label.into(), value.into());
    }
    let labels = pod(&case).labels;
    let access: Vec<_> = labels.keys().filter(|label| label.starts_with("access_")).collect();
    assert_eq!(access, ["access_provider", "access_userid", "access_username"], "what there is");
    assert_eq!(labels["access_userid"], "balloon");
    assert_eq!(labels["type"], "pod_application");
    assert!(!labels.contains_key("xauthkey"));
}

#[test]
fn volumes_that_can_be_shared_are_mounted_at_the_same_place() {
    let mut case = wants_pod();
    case.policy.pod_volumes = vec!["home".into(), "tmp".into()];
    case.image().secrets = vec!["anna-kerberos".into()];
    let plan = pod(&case);
    let mounts: Vec<_> = plan.container.mounts.iter().map(|mount| mount.path.as_str()).collect();
    assert_eq!(mounts, ["/run/krb", "/home/anna"]);
    let names: Vec<_> = plan.volumes.iter().map(|volume| volume["name"].clone()).collect();
    assert_eq!(names, [json!("krb"), json!("home")]);
}

#[test]
fn an_image_of_another_architecture_does_not_prefer_this_node() {
    let mut case = wants_pod();
    case.image().architecture = Some("arm64".into());
    let plan = pod(&case);
    assert_eq!(json!(plan.node_selector), json!({ "kubernetes.io/arch": "arm64" }));
    assert_eq!(plan.preferred_node, None);
}

#[test]
fn a_command_of_the_image_stays_the_image_s() {
    let mut case = Case::new();
    case.image().program.clear();
    assert!(ephemeral(&case).container.argv.is_empty());
    assert_eq!(case.plan().unwrap().engine, EphemeralContainer);
}
