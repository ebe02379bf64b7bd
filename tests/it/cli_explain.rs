//! `deskd explain` and `--engine`: what people read of a plan, against a daemon that answers with
//! plans as the planner makes them.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::collections::BTreeMap;
use std::process::Command;

use assert_cmd::cargo::cargo_bin;
use deskd_core::app::container::{AppPort, AppProbe};
use deskd_core::env_var::{EnvSource, EnvVar};
use deskd_core::plan::facts::VolumeMount;
use deskd_core::plan::remote::{ContainerPlan, Owner, PrivateDirectory};
use deskd_core::plan::{EngineKind, EphemeralPlan, Plan, PodPlan, Rejected, Work};
use deskd_core::policy::{PullPolicy, RunAs, Toleration};
use serde_json::{Value, json};

use crate::cli_fake::Fake;

fn ask(fake: &Fake, args: &[&str]) -> String {
    let mut command = Command::new(cargo_bin("deskd"));
    command.env_clear().arg("--socket").arg(fake.socket()).args(args);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn fake(plan: &Value) -> Fake {
    let plan = plan.to_string();
    Fake::new(move |_, _, answer| answer.json("200 OK", &plan))
}

fn container() -> ContainerPlan {
    let label = EnvSource::PodLabel("xauthkey".into());
    let env = vec![
        EnvVar::new("DISPLAY", "10.1.2.3:0", EnvSource::Display),
        EnvVar::field("POD_IP", "status.podIP"),
        EnvVar::new("XAUTH_KEY", "[redacted]", label),
    ];
    ContainerPlan {
        image: "registry/2048:1".into(),
        pull_policy: PullPolicy::IfNotPresent,
        argv: vec!["/usr/games/2048-qt".into(), "a b".into()],
        entry_point: false,
        program: None,
        arguments: vec![],
        env,
        cwd: Some("/home/anna".into()),
        run_as: RunAs { uid: 4096, gid: 4096, groups: vec![] },
        mounts: vec![VolumeMount { name: "home".into(), path: "/home".into(), read_only: true }],
    }
}

fn plan(engine: EngineKind, work: Work) -> Value {
    let rejected = EngineKind::ALL.into_iter().filter(|other| *other != engine);
    let rejected =
        rejected.map(|engine| Rejected { engine, why: "no\x1b[31m".to_owned().into() }).collect();
    json!(Plan { engine, work, reasons: vec!["it asks for a lot".to_owned().into()], rejected })
}

fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

#[test]
fn a_local_plan_is_told_in_a_few_lines() {
    let fake = fake(&json!({
        "engine": "local",
        "local": {
            "argv": ["xclock", "a b"], "env": [
                { "name": "A", "value": "1", "from": "deskd" },
                { "name": "DISPLAY", "value": ":0", "from": "display" },
            ],
            "program": {
                "command": ["xclock"], "cwd": "/home/anna", "env": {}, "umask": null,
                "rlimits": {}, "nice": null, "oom_score_adj": null
            }
        },
        "reasons": ["it runs as a process in this container"],
        "rejected": [{ "engine": "pod_application", "why": "the application has no image" }]
    }));
    let args = ["explain", "xclock", "--engine", "local", "--", "a b"];
    assert_eq!(
        ask(&fake, &args),
        "xclock would run as local, a process in deskd's container:\n  \
         - it runs as a process in this container\nnot pod_application: the application has no image\n\n\
         command      xclock 'a b'\ndirectory    /home/anna\nenvironment  DISPLAY=:0  (display)\n             inherited: 1\n"
    );
    assert_eq!(fake.seen()[0].line, "GET /v1/apps/xclock/plan?arg=a%20b&engine=local");
}

#[test]
fn an_ephemeral_container_is_told_with_its_pod_and_image() {
    let work = Work::EphemeralContainer(Box::new(EphemeralPlan {
        pod: "anna-desktop".into(),
        namespace: "desktops".into(),
        place: None,
        grace_s: Some(45),
        target_container: Some("deskd".into()),
        prepare: vec![PrivateDirectory {
            variable: "XDG_RUNTIME_DIR".into(),
            root: "/run/user/".into(),
            path: "4096".into(),
            uid: 4096,
        }],
        cookie: None,
        container: container(),
    }));
    let told = ask(&fake(&plan(EngineKind::EphemeralContainer, work)), &["explain", "2048"]);
    assert_eq!(
        told,
        "2048 would run as ephemeral_container, an ephemeral container:\n  - it asks for a lot\n\
         not local: no\u{fffd}[31m\nnot pod_application: no\u{fffd}[31m\n\n\
         pod          desktops/anna-desktop, beside `deskd`\n\
         image        registry/2048:1 (pulled: IfNotPresent)\n\
         command      /usr/games/2048-qt 'a b'\n\
         directory    /home/anna\n\
         user         4096:4096\n\
         environment  DISPLAY=10.1.2.3:0  (display)\n             \
         POD_IP  (pod field status.podIP)\n             \
         XAUTH_KEY=[redacted]  (pod label xauthkey)\n\
         mounts       /home (home, read-only)\n\
         prepared     /run/user/4096, of user 4096 alone (XDG_RUNTIME_DIR)\n\
         grace        45 s between SIGTERM and SIGKILL\n"
    );
}

#[test]
fn a_pod_is_told_with_everything_that_it_asks_for() {
    let toleration = json!({ "key": "gpu", "value": "yes", "effect": "NoSchedule" });
    let work = Work::PodApplication(Box::new(PodPlan {
        namespace: "desktops".into(),
        owner: Some(Owner { name: "anna-desktop".into(), uid: "u".into() }),
        labels: map(&[("type", "pod_application")]),
        annotations: map(&[("net", "data")]),
        container: ContainerPlan { argv: vec![], ..container() },
        cookie: None,
        volumes: vec![],
        requests: map(&[("cpu", "500m"), ("nvidia.com/gpu", "1")]),
        limits: map(&[("memory", "4Gi")]),
        node_selector: map(&[("gpu", "true")]),
        preferred_node: Some("node-a".into()),
        tolerations: vec![serde_json::from_value::<Toleration>(toleration).unwrap()],
        runtime_class: Some("gvisor".into()),
        ports: vec![AppPort { name: None, port: 80, protocol: "TCP".into() }],
        probe: Some(AppProbe::HttpGet { path: "/ok".into(), port: 80 }),
        pull_secrets: vec!["registry".into()],
        grace_s: 30,
        deadline_s: Some(600),
        place: None,
    }));
    let told = ask(&fake(&plan(EngineKind::PodApplication, work)), &["explain", "2048"]);
    for line in [
        "2048 would run as pod_application, a pod of its own:\n",
        "\nbelongs to      anna-desktop, and ends with it\n",
        "\ncommand         the image's own\n",
        "\nrequests        cpu=500m\n                nvidia.com/gpu=1\n",
        "\nlimits          memory=4Gi\n",
        "\nnode            gpu=true\n",
        "\npreferred node  node-a\n",
        "\ntolerates       gpu=yes:NoSchedule\n",
        "\nruntime class   gvisor\n",
        "\nports           80/TCP\n",
        "\nprobe           GET /ok on port 80\n",
        "\nannotations     net=data\n",
        "\ndeadline        600 s\n",
    ] {
        assert!(told.contains(line), "{line:?} is missing in\n{told}");
    }
}

#[test]
fn a_launch_names_the_engine_only_when_somebody_insists() {
    let fake = Fake::new(|_, _, answer| answer.json("409 Conflict", "{}"));
    for args in [vec!["launch", "x"], vec!["launch", "x", "--engine", "pod_application"]] {
        let mut command = Command::new(cargo_bin("deskd"));
        command.env_clear().arg("--socket").arg(fake.socket()).args(args).output().unwrap();
    }
    let bodies: Vec<Value> =
        fake.seen().iter().map(|seen| serde_json::from_str(&seen.body).unwrap()).collect();
    assert_eq!(bodies[0], json!({ "app": "x", "args": [] }));
    assert_eq!(bodies[1], json!({ "app": "x", "args": [], "engine": "pod_application" }));
}
