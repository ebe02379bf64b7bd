//! An application of deskd beside one of abcdesktop's control plane, in a pod that it made: the fixture
//! has the shape of a real one (Kubernetes 1.36, pyos of 2024-10-24), with deskd injected.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};

use crate::engine::kubernetes::objects::Pod;
use crate::engine::kubernetes::{EngineConfig, manifest, own_pod};
use deskd_core::app::document;
use deskd_core::app::{App, AppSource};
use deskd_core::kubernetes::ObjectRef;
use deskd_core::kubernetes::PodIdentity;
use deskd_core::plan::facts::{ApiState, Facts, ProgramPresence};
use deskd_core::plan::{EngineKind, KubernetesFacts, LaunchSpec, Plan, Work, plan};
use deskd_core::policy::Policy;
use deskd_core::samples::facts;
use deskd_core::wire::RunId;

/// Variables that an application of deskd has and one of pyos has not.
const MORE: [&str; 4] = ["DESKD_RUN", "DESKD_TASK_ID", "XAUTHORITY", "XDG_RUNTIME_DIR"];

fn fixture(name: &str) -> Value {
    let file = format!("{}/tests/fixtures/{name}.json", env!("DESKD_ROOT"));
    serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap()
}

fn game() -> App {
    let document = fixture("apps/2048-alpine");
    document::read(&document, AppSource::Api).unwrap().remove(0)
}

/// Facts on this desktop.
fn desktop(pod: &Value, policy: &Policy) -> Facts {
    let config = EngineConfig {
        pod: PodIdentity { container: Some("deskd".into()), ..PodIdentity::default() },
        port: 29791,
        policy: Arc::new(policy.clone()),
        kubeconfig: None,
        program: Some("/opt/deskd/usr/local/bin/deskd".into()),
        private: vec!["/var/lib/deskd/state".into()],
        places: None,
    };
    let pod: Pod = serde_json::from_value(pod.clone()).unwrap();
    let own_pod = Some(own_pod::facts(&pod, &config, 20 << 10));
    let mut facts = facts();
    facts.display.display = ":0".into();
    facts.display.tcp.port = 6000;
    facts.display.unix.abstract_socket = true;
    facts.display.tcp.state = deskd_core::display::EndpointState::Answering;
    facts.machine_mut().xauthority = Some("/var/lib/deskd/state/Xauthority".into());
    facts.machine_mut().cookie = Some("0f1e2d3c4b5a69788796a5b4c3d2e1".into());
    facts.machine_mut().time_zone = Some("Europe/Vienna".into());
    facts.program = ProgramPresence::Absent;
    facts.policy = config.policy.clone();
    facts.kubernetes =
        Arc::new(KubernetesFacts { api: ApiState::Answers, own_pod, ..KubernetesFacts::default() });
    facts
}

fn policy() -> Policy {
    let engines = vec![EngineKind::EphemeralContainer, EngineKind::PodApplication];
    Policy { engines, ..Policy::default() }
}

fn launch(pod: &Value, policy: &Policy, app: &App, spec: &LaunchSpec) -> Plan {
    plan(app, spec, &desktop(pod, policy)).unwrap()
}

/// The container as the API server gets it.
fn container(plan: &Plan) -> Value {
    let run = RunId { task: "2048-alpine-0a1b2".parse().unwrap(), run: 1 };
    let object =
        ObjectRef { namespace: "abcdesktop".into(), pod: "p".into(), container: "c".into() };
    match &plan.work {
        Work::EphemeralContainer(plan) => manifest::ephemeral_container(&run, &object, plan),
        Work::PodApplication(plan) => {
            let app = "2048-alpine".parse().unwrap();
            manifest::pod(&run, &app, &object, plan)["spec"]["containers"][0].take()
        }
        Work::Local(_) => panic!("{plan:?}"),
    }
}

/// Variables by name: their value, or what it refers to.
fn variables(container: &Value) -> BTreeMap<String, Value> {
    let variables = container["env"].as_array().unwrap().iter();
    let value = |var: &Value| var.get("value").or(var.get("valueFrom")).cloned().unwrap();
    variables.map(|var| (var["name"].as_str().unwrap().to_owned(), value(var))).collect()
}

fn said(plan: &Plan) -> String {
    deskd_core::text::Text::joined(plan.reasons.iter().cloned(), "\n").to_string()
}

#[test]
fn an_application_of_deskd_has_what_one_of_pyos_has() {
    let pod = fixture("abcdesktop/desktop-pod");
    let plan = launch(&pod, &policy(), &game(), &LaunchSpec::default());
    let (ours, theirs) = (container(&plan), &pod["spec"]["ephemeralContainers"][0]);
    let mut variables_of_ours = variables(&ours);
    for name in MORE {
        assert!(variables_of_ours.remove(name).is_some(), "{name}");
    }
    let theirs_variables = variables(theirs);
    assert_eq!(theirs_variables.len(), 25);
    assert_eq!(variables_of_ours, theirs_variables);
    assert_eq!(ours["volumeMounts"], theirs["volumeMounts"]);
    assert_eq!(ours["workingDir"], theirs["workingDir"]);
    assert_eq!(ours["command"], theirs["command"]);
    let Work::EphemeralContainer(plan) = plan.work else { panic!() };
    let made = &plan.prepare[0];
    assert_eq!((made.root.as_str(), made.path.as_str(), made.uid), ("/run/user/", "4096", 4096));
    let runtime = plan.container.env.iter().find(|var| var.name == "XDG_RUNTIME_DIR").unwrap();
    assert_eq!(runtime.value, "/run/user/4096");
    let copy = plan.cookie.unwrap();
    assert_eq!(copy.from, "/var/lib/deskd/state/Xauthority");
    assert_eq!(copy.directory.path, "4096");
}

#[test]
fn the_cookie_file_of_the_home_is_the_applications_too() {
    let pod = fixture("abcdesktop/desktop-pod");
    let mut facts = desktop(&pod, &policy());
    facts.display.cookie_file = Some("/home/robin/.Xauthority".into());
    let plan = plan(&game(), &LaunchSpec::default(), &facts).unwrap();
    let variables = variables(&container(&plan));
    assert_eq!(variables["XAUTHORITY"], "/home/robin/.Xauthority");
    assert!(variables.contains_key("XAUTH_KEY"), "its entry point reads it");
    let Work::EphemeralContainer(plan) = plan.work else { panic!() };
    assert_eq!(plan.cookie, None);
}

#[test]
fn each_variable_says_where_it_comes_from() {
    let pod = fixture("abcdesktop/desktop-pod");
    let spec = LaunchSpec { args: vec!["/home/robin/a b".into()], ..LaunchSpec::default() };
    let env = [("GREETING".to_owned(), "$(HOME) costs $$5".to_owned())].into();
    let policy = Policy { env, ..policy() };
    let plan = launch(&pod, &policy, &game(), &spec);
    let from: BTreeMap<_, _> =
        plan.work.env().iter().map(|var| (var.name.as_str(), var.from.to_string())).collect();
    for (name, expected) in [
        ("X11LISTEN", "container x-anonymous-robin"),
        ("HOME", "container x-anonymous-robin"),
        ("BROADCAST_COOKIE", "container x-anonymous-robin"),
        ("XAUTH_KEY", "display"),
        ("DISPLAY", "display"),
        ("TZ", "deskd's environment"),
        ("CUPS_SERVER", "desktop's pod"),
        ("PARENT_ID", "desktop's pod"),
        ("APP", "label oc.path"),
        ("APPARGS", "launch"),
        ("POD_IP", "pod field status.podIP"),
        ("ABCDESKTOP_EXECUTE_RUNTIME", "plan"),
        ("XDG_RUNTIME_DIR", "plan"),
        ("GREETING", "configuration kubernetes.env"),
    ] {
        assert_eq!(from.get(name).map(String::as_str), Some(expected), "{name}");
    }
    let container = container(&plan);
    assert_eq!(variables(&container)["APPARGS"], "/home/robin/a b");
    assert_eq!(variables(&container)["GREETING"], "$$(HOME) costs $$$$5");
}

#[test]
fn cookies_come_from_labels_where_the_environment_lacks_them() {
    let mut pod = fixture("abcdesktop/desktop-pod");
    let env = pod["spec"]["containers"][0]["env"].as_array_mut().unwrap();
    env.retain(|var| !var["name"].as_str().unwrap().contains("COOKIE"));
    let plan = launch(&pod, &policy(), &game(), &LaunchSpec::default());
    let found = plan.work.env().iter().find(|var| var.name == "PULSEAUDIO_COOKIE").unwrap();
    assert_eq!(found.value, "00112233445566778899aabbccddeeff");
    assert_eq!(found.from.to_string(), "pod label pulseaudio_cookie");
}

#[test]
fn an_application_pod_reaches_the_desktop_over_the_network() {
    let pod = fixture("abcdesktop/desktop-pod");
    let spec = LaunchSpec { engine: Some(EngineKind::PodApplication), ..LaunchSpec::default() };
    let plan = launch(&pod, &policy(), &game(), &spec);
    let container = container(&plan);
    let variables = variables(&container);
    for (name, value) in [
        ("DISPLAY", json!("10.42.0.17:0")),
        ("PULSE_SERVER", json!("10.42.0.17:4713")),
        ("CUPS_SERVER", json!("10.42.0.17:631")),
        ("CONTAINER_IP_ADDR", json!("10.42.0.17")),
        ("ABCDESKTOP_EXECUTE_RUNTIME", json!("pod_application")),
        ("ABCDESKTOP_EXECUTE_RESOURCES", json!("{\"limits\": {}, \"requests\": {}}")),
        ("HOME", json!("/home/robin")),
        ("X11LISTEN", json!("tcp")),
        ("POD_IP", json!({ "fieldRef": { "apiVersion": "v1", "fieldPath": "status.podIP" } })),
    ] {
        assert_eq!(variables.get(name), Some(&value), "{name}");
    }
    assert_eq!(variables.get("XDG_RUNTIME_DIR"), Some(&json!("/run/deskd-x11/runtime")));
    assert_eq!(container["workingDir"], "/home/robin");
    let own = json!([
        { "name": "auth-localaccount-robin", "mountPath": "/etc/localaccount", "readOnly": true },
        { "name": "shm", "mountPath": "/dev/shm" },
        { "name": "deskd-home", "mountPath": "/home/robin" },
        { "name": "deskd-x11", "mountPath": "/run/deskd-x11" },
    ]);
    // Who the user is comes with it.
    assert_eq!(container["volumeMounts"], own, "an emptyDir of the desktop cannot be shared");
    assert!(said(&plan).contains("a home directory of its own"), "{}", said(&plan));
    let Work::PodApplication(plan) = plan.work else { panic!() };
    let maker = plan.cookie.unwrap();
    assert_eq!(maker.argv[0], "/usr/local/bin/deskd");
    let image = pod["spec"]["volumes"]
        .as_array()
        .unwrap()
        .iter()
        .find_map(|v| v["image"]["reference"].as_str());
    assert_eq!(Some(maker.image.as_str()), image, "where its own program is mounted from");
}

#[test]
fn no_application_gets_what_is_not_for_applications() {
    let pod = fixture("abcdesktop/desktop-pod");
    let names = ["deskd-state", "deskd-token", "auth-vnc-robin", "auth-vnc*", "deskd*", "home*"];
    let names: Vec<_> = names.map(str::to_owned).to_vec();
    let policy = Policy { volumes: names.clone(), pod_volumes: names, ..policy() };
    let mut game = game();
    game.container.as_mut().unwrap().secrets = vec!["all".into(), "vnc".into()];
    for engine in [EngineKind::EphemeralContainer, EngineKind::PodApplication] {
        let spec = LaunchSpec { engine: Some(engine), ..LaunchSpec::default() };
        let plan = launch(&pod, &policy, &game, &spec);
        let container = container(&plan);
        let mounts = container["volumeMounts"].to_string();
        for name in ["deskd-state", "deskd-token", "deskd-bin", "vnc"] {
            assert!(!mounts.contains(name), "{name} in {mounts}");
        }
        let said = said(&plan);
        assert!(said.contains("does not get the volume `deskd-token`"), "{said}");
    }
}

#[test]
fn secrets_are_found_by_their_type_and_those_that_the_user_lacks_are_told() {
    let mut pod = fixture("abcdesktop/desktop-pod");
    let volume =
        json!({ "name": "auth-kerberos-robin", "secret": { "secretName": "auth-kerberos-robin" } });
    pod["spec"]["volumes"].as_array_mut().unwrap().push(volume);
    let mount =
        json!({ "name": "auth-kerberos-robin", "mountPath": "/var/secrets/abcdesktop/kerberos" });
    pod["spec"]["containers"][0]["volumeMounts"].as_array_mut().unwrap().push(mount.clone());
    let mut game = game();
    let plan = launch(&pod, &policy(), &game, &LaunchSpec::default());
    assert!(!container(&plan)["volumeMounts"].to_string().contains("kerberos"), "not asked for");
    game.container.as_mut().unwrap().secrets =
        vec!["abcdesktop/kerberos".into(), "abcdesktop/ntlm".into()];
    let plan = launch(&pod, &policy(), &game, &LaunchSpec::default());
    assert!(container(&plan)["volumeMounts"].as_array().unwrap().contains(&mount));
    assert!(said(&plan).contains("asks for the secret `abcdesktop/ntlm`"), "{}", said(&plan));
}
