//! Plans of local programs, and what other modules' tests begin with.

mod case;
mod change;
mod command;
mod cookie;
mod desktop;
mod ephemeral;
mod isolation;
mod local;
mod pod;
mod properties;
mod resources;
mod work;

use super::*;
use crate::domain::access::AccessList;
use crate::domain::app::{AppSource, Rlimits};
use crate::domain::container_app::{ContainerApp, HomeNeed, HostConfig, ShmNeed};
use crate::domain::restart::RestartPolicy;
use crate::domain::shm::{ShmVerdict, ShmVerdicts};
use std::collections::BTreeMap;

pub(crate) fn app(id: &str) -> App {
    App {
        id: id.parse().unwrap(),
        display_name: id.to_owned(),
        icon: None,
        keywords: vec![],
        categories: vec![],
        wm_class: None,
        needs_display: true,
        restart: RestartPolicy::Never,
        local: LocalProgram {
            command: vec![id.to_owned()],
            cwd: None,
            env: BTreeMap::new(),
            umask: None,
            rlimits: Rlimits::default(),
            nice: None,
            oom_score_adj: None,
        },
        container: None,
        mime_types: vec![],
        file_extensions: vec![],
        default_application: false,
        source: AppSource::Config,
        problems: vec![],
    }
}

pub(crate) fn facts() -> Facts {
    let mut display = DisplayStatus::unknown(":7", 7);
    display.unix.state = EndpointState::Answering;
    display.shm = ShmVerdicts { sysv: ShmVerdict::Works, fd: ShmVerdict::Works };
    Facts {
        display,
        inherited_env: [("HOME", "/home/b"), ("A", "1")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into(),
        xauthority: Some("/run/deskd/Xauthority".into()),
        cookie: None,
        uid: 4096,
        architecture: "amd64",
        home: Some("/home/b".into()),
        home_is_writable: true,
        time_zone: None,
        program: facts::ProgramPresence::Unknown,
        headroom: facts::Headroom::default(),
        kubernetes: std::sync::Arc::default(),
        policy: std::sync::Arc::default(),
        remote_tasks: 0,
        unique_keys: BTreeMap::new(),
    }
}

/// `2048-alpine` as its image's document describes it, but for the engine that it asks for.
pub(crate) fn container_app() -> ContainerApp {
    ContainerApp {
        image: "abcdesktopio/2048-alpine:4.1".into(),
        image_id: Some("sha256:0a1b".into()),
        size_bytes: Some(90 << 20),
        architecture: Some("amd64".into()),
        image_command: vec![],
        program: vec!["/usr/bin/gnome-2048".into()],
        args: None,
        entrypoint: None,
        env: BTreeMap::new(),
        cwd: None,
        engine: None,
        execute_class: None,
        access: AccessList::default(),
        shm: ShmNeed::Preferred,
        ports: vec![],
        probe: None,
        network_rules: vec![],
        home: HomeNeed::Shared,
        host_config: HostConfig::default(),
        secrets: vec![],
        unique_run_key: None,
        show_in_view: None,
        exec_mode: None,
        grace_s: None,
        deadline_s: None,
        labels: BTreeMap::new(),
    }
}

pub(crate) fn plan_of(app: &App) -> Plan {
    plan(app, &LaunchSpec::default(), &facts()).unwrap()
}

#[test]
fn a_plan_is_complete_and_says_why() {
    let mut app = app("xclock");
    app.local.env.insert("A".into(), "2".into());
    let launch = LaunchSpec { args: vec!["-update".into(), "1".into()], ..LaunchSpec::default() };
    let plan = plan(&app, &launch, &facts()).unwrap();
    let Work::Local(local) = plan.work else { panic!("{:?}", plan.work) };
    assert_eq!(plan.engine, EngineKind::Local);
    assert_eq!(local.argv, ["xclock", "-update", "1"]);
    let env: Vec<_> =
        local.env.iter().map(|var| format!("{}={} ({})", var.name, var.value, var.from)).collect();
    assert_eq!(
        env,
        [
            "A=2 (application)",
            "DISPLAY=:7 (display)",
            "HOME=/home/b (deskd's environment)",
            "XAUTHORITY=/run/deskd/Xauthority (display)",
        ]
    );
    assert_eq!(local.program.cwd.as_deref(), Some("/home/b"));
    assert!(plan.reasons.iter().any(|r| r.contains("proved by pixels")));
    let rejected: Vec<_> = plan.rejected.iter().map(|r| r.engine).collect();
    assert_eq!(rejected, [EngineKind::EphemeralContainer, EngineKind::PodApplication]);
}

#[test]
fn local_programs_get_nothing_that_turns_shared_memory_off() {
    let plan = plan_of(&app("x"));
    assert!(!plan.work.env().iter().any(|var| var.name.contains("MITSHM")));
}

#[test]
fn without_a_display_the_refusal_says_what_is_wrong_with_it() {
    let mut facts = facts();
    for (state, word) in [
        (EndpointState::NotListening, "nothing listens"),
        (EndpointState::Refused("no cookie".into()), "no cookie"),
        (EndpointState::Hanging, "hangs"),
    ] {
        facts.display.unix.state = state;
        let refusal = plan(&app("x"), &LaunchSpec::default(), &facts).unwrap_err();
        assert_eq!(refusal.code, UnplannableCode::DisplayUnavailable);
        assert!(refusal.sentence.contains(word), "{}", refusal.sentence);
        assert_eq!(refusal.rejected.len(), 3);
    }
    let mut headless = app("x");
    headless.needs_display = false;
    assert!(plan(&headless, &LaunchSpec::default(), &facts).is_ok());
}
