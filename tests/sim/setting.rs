//! The desktop that worlds begin with: its applications, display, cluster and configuration.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use deskd_core::app::App;
use deskd_core::display::{DisplayStatus, EndpointState, ServerInfo};
use deskd_core::id::AppId;
use deskd_core::plan::facts::{ApiState, VolumeMount};
use deskd_core::plan::remote::KeeperFile;
use deskd_core::plan::{EngineKind, KubernetesFacts};
use deskd_core::policy::Policy;
use deskd_core::restart::RestartPolicy;
use deskd_core::run::Config;
use deskd_core::samples;
use deskd_core::shm::{ShmVerdict, ShmVerdicts};
use deskd_core::why::RemedyMode;

use crate::cluster::Api;

/// Seconds between SIGTERM and SIGKILL that the application `pod` asks for.
pub const POD_GRACE_S: u32 = 45;

/// And `stubborn`.
pub const STUBBORN_GRACE_S: u32 = 20;
/// What everything else has at least.
pub const GRACE: Duration = Duration::from_secs(5);

/// What is configured for an application: what users were told.
pub fn grace_of(app: &AppId) -> Duration {
    match app.as_str() {
        "pod" => Duration::from_secs(POD_GRACE_S.into()),
        "stubborn" => Duration::from_secs(STUBBORN_GRACE_S.into()),
        _ => GRACE,
    }
}

/// One of each kind.
pub fn apps() -> Arc<BTreeMap<AppId, Arc<App>>> {
    let local = |id: &str, restart| App { restart, ..samples::app(id) };
    let image = |id: &str, engine, grace_s, restart| {
        let mut container = samples::container_app();
        (container.engine, container.grace_s) = (engine, grace_s);
        container.image_id = None;
        App { restart, container: Some(Box::new(container)), ..samples::app(id) }
    };
    let pod = Some(EngineKind::PodApplication);
    let apps = [
        local("once", RestartPolicy::Never),
        local("retry", RestartPolicy::OnFailure),
        local("always", RestartPolicy::Always),
        image("ephemeral", None, None, RestartPolicy::Never),
        image("stubborn", None, Some(STUBBORN_GRACE_S), RestartPolicy::OnFailure),
        image("pod", pod, Some(POD_GRACE_S), RestartPolicy::Never),
        image("server", pod, None, RestartPolicy::Always),
    ];
    Arc::new(apps.map(|app| (app.id.clone(), Arc::new(app))).into())
}

pub fn config(remedy: RemedyMode) -> Config {
    let policy = Policy {
        engines: vec![EngineKind::EphemeralContainer, EngineKind::PodApplication],
        warm: [(AppId::like("ephemeral"), 1)].into(),
        ..Policy::default()
    };
    Config {
        name: "desktop".into(),
        host: "desktop".into(),
        close_grace: Duration::from_secs(3),
        term_grace: GRACE,
        tasks_max: 24,
        remedy,
        policy: Arc::new(policy),
        machine: Arc::new(samples::machine()),
    }
}

/// A display that works; `epoch` counts servers.
pub fn display(answers: bool, epoch: u64) -> DisplayStatus {
    let mut display = DisplayStatus::unknown(":0", 0);
    if answers {
        display.unix.state = EndpointState::Answering;
        display.unix.abstract_socket = true;
        display.tcp.state = EndpointState::Answering;
        display.shm = ShmVerdicts { sysv: ShmVerdict::Works, fd: ShmVerdict::Works };
        let vendor = "X".to_owned();
        display.server = Some(ServerInfo { vendor, release: 1, width_px: 1, height_px: 1 });
    } else {
        display.unix.state = EndpointState::NotListening;
    }
    display.server_epoch = epoch;
    display
}

pub fn cluster_facts(api: Api) -> KubernetesFacts {
    let mut facts = samples::cluster();
    if api == Api::Away {
        facts.api = ApiState::Away("it does not answer".into());
    }
    if let Some(pod) = &mut facts.own_pod {
        pod.uid = "1".into();
        pod.node = Some("n".into());
        let mount = VolumeMount { name: "deskd-bin".into(), path: "/d".into(), read_only: true };
        pod.keeper = Some(KeeperFile { mount, path: "/d/deskd-keeper".into() });
    }
    facts
}
