//! Applications, facts and plans that tests begin with.

use std::collections::BTreeMap;

use crate::app::access::AccessList;
use crate::app::container::{ContainerApp, HomeNeed, HostConfig, ShmNeed};
use crate::app::{App, AppSource, LocalProgram, Rlimits};
use crate::display::{DisplayStatus, EndpointState};
use crate::plan::facts::{ApiState, Facts, Headroom, Machine, OwnPod, ProgramPresence, Right};
use crate::plan::{KubernetesFacts, LaunchSpec, Plan, plan};
use crate::restart::RestartPolicy;
use crate::shm::{ShmVerdict, ShmVerdicts};
use crate::wall::Sandbox;

/// A program of deskd's container that wants the display, and nothing else.
#[must_use]
pub fn app(id: &str) -> App {
    App {
        id: id.parse().expect("an id"),
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
            sandbox: Sandbox::Auto,
        },
        container: None,
        mime_types: vec![],
        file_extensions: vec![],
        default_application: false,
        source: AppSource::Config,
        problems: vec![],
    }
}

/// A desktop of which everything works, without Kubernetes.
#[must_use]
pub fn facts() -> Facts {
    let mut display = DisplayStatus::unknown(":7", 7);
    display.unix.state = EndpointState::Answering;
    display.shm = ShmVerdicts { sysv: ShmVerdict::Works, fd: ShmVerdict::Works };
    Facts {
        display,
        machine: machine().into(),
        program: ProgramPresence::Unknown,
        need: None,
        headroom: Headroom::default(),
        kubernetes: std::sync::Arc::default(),
        policy: std::sync::Arc::default(),
        remote_tasks: 0,
        unique_keys: BTreeMap::new(),
    }
}

/// A machine with a home and a cookie file.
#[must_use]
pub fn machine() -> Machine {
    Machine {
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
        wall: std::sync::Arc::default(),
    }
}

impl Facts {
    /// To be changed by a test.
    pub fn machine_mut(&mut self) -> &mut Machine {
        std::sync::Arc::make_mut(&mut self.machine)
    }
}

/// `2048-alpine` as its image's document describes it, but for the engine that it asks for.
#[must_use]
pub fn container_app() -> ContainerApp {
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

/// What [`facts`] make of an application.
///
/// # Panics
/// If the application cannot be planned.
#[must_use]
pub fn plan_of(app: &App) -> Plan {
    plan(app, &LaunchSpec::default(), &facts()).expect("a plan")
}

/// A cluster that answers, with the desktop's pod in it and a right.
#[must_use]
pub fn cluster() -> KubernetesFacts {
    let own_pod = OwnPod {
        name: "desktop".into(),
        namespace: "desktops".into(),
        ip: Some("10.1.2.3".into()),
        containers: vec!["deskd".into()],
        target_container: Some("deskd".into()),
        ..OwnPod::default()
    };
    let right = Right {
        engine: None,
        verb: "list".into(),
        resource: "events".into(),
        namespace: "desktops".into(),
        allowed: true,
        sentence: crate::text::Text::default(),
    };
    KubernetesFacts {
        api: ApiState::Answers,
        own_pod: Some(own_pod),
        rights: vec![right],
        ..KubernetesFacts::default()
    }
}
