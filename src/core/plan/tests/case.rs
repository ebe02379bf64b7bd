//! A launch on a desktop where everything works, to be broken in one place per row.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::json;

use super::super::facts::{ApiState, Facts, OwnPod, ProgramPresence, Quota, Right, VolumeMount};
use super::super::{EngineKind, KubernetesFacts, LaunchSpec, Plan, Unplannable, UnplannableCode};
use crate::app::App;
use crate::app::container::ContainerApp;
use crate::display::EndpointState;
use crate::policy::{ExecuteClass, Policy};

pub(super) const COOKIE: &str = "0123456789abcdef0123456789abcdef";

/// All that a plan is made from, in pieces that can be changed.
#[derive(Debug, Clone)]
pub(super) struct Case {
    pub(super) app: App,
    /// Absent: an app of the configuration file.
    pub(super) image: Option<ContainerApp>,
    pub(super) launch: LaunchSpec,
    pub(super) facts: Facts,
    pub(super) policy: Policy,
    pub(super) cluster: KubernetesFacts,
    pub(super) pod: OwnPod,
    pub(super) pod_known: bool,
}

impl Case {
    /// `2048-alpine`, whose program is not in deskd's container.
    pub(super) fn new() -> Self {
        let mut app = super::app("2048-alpine");
        app.display_name = "2048".into();
        app.local.command = vec!["/usr/bin/gnome-2048".into()];
        let mut facts = super::facts();
        facts.display.tcp.state = EndpointState::Answering;
        facts.display.unix.abstract_socket = true;
        facts.program = ProgramPresence::Absent;
        facts.machine_mut().cookie = Some(COOKIE.into());
        let policy = Policy {
            engines: vec![EngineKind::EphemeralContainer, EngineKind::PodApplication],
            classes: classes(),
            network_rules: networks(),
            ..Policy::default()
        };
        let cluster = KubernetesFacts { api: ApiState::Answers, ..KubernetesFacts::default() };
        let (image, launch) = (Some(super::container_app()), LaunchSpec::default());
        Self { app, image, launch, facts, policy, cluster, pod: own_pod(), pod_known: true }
    }

    pub(super) fn image(&mut self) -> &mut ContainerApp {
        self.image.as_mut().unwrap()
    }

    /// Its class has these limits, in one string: `cpu=1 memory=1Gi`.
    pub(super) fn limits(&mut self, limits: &str) {
        let pairs = limits.split(' ').filter_map(|pair| pair.split_once('='));
        let limits = pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        let class = ExecuteClass { limits, ..ExecuteClass::default() };
        self.policy.classes.insert("own".into(), class);
        self.image().execute_class = Some("own".into());
    }

    pub(super) fn quota(&mut self, resource: &str, used: &str, hard: &str) {
        let [resource, used, hard] = [resource, used, hard].map(str::to_owned);
        let (namespace, name) = ("desktops".into(), "cap".into());
        self.cluster.quotas.push(Quota { namespace, name, resource, used, hard });
    }

    pub(super) fn denied(&mut self, engine: Option<EngineKind>) {
        self.cluster.rights.push(Right {
            engine,
            verb: "patch".into(),
            resource: "pods".into(),
            namespace: "desktops".into(),
            allowed: false,
            sentence: "deskd may not patch pods: grant it with container/base/rbac.yaml"
                .to_owned()
                .into(),
        });
    }

    pub(super) fn inputs(&self) -> (App, LaunchSpec, Facts) {
        let mut app = self.app.clone();
        app.container = self.image.clone().map(Box::new);
        let mut facts = self.facts.clone();
        let mut cluster = self.cluster.clone();
        cluster.own_pod = self.pod_known.then(|| self.pod.clone());
        facts.kubernetes = Arc::new(cluster);
        facts.policy = Arc::new(self.policy.clone());
        (app, self.launch.clone(), facts)
    }

    pub(super) fn plan(&self) -> Result<Plan, Unplannable> {
        let (app, launch, facts) = self.inputs();
        super::super::plan(&app, &launch, &facts)
    }
}

fn classes() -> BTreeMap<String, ExecuteClass> {
    let pair = |name: &str, value: &str| [(name.to_owned(), value.to_owned())].into();
    let gold = ExecuteClass {
        requests: pair("cpu", "500m"),
        limits: pair("memory", "4Gi"),
        gpu: Some(1),
        node_selector: pair("gpu", "true"),
        ..ExecuteClass::default()
    };
    let node = ExecuteClass { node_selector: pair("disk", "ssd"), ..ExecuteClass::default() };
    let sandbox = ExecuteClass { runtime_class: Some("gvisor".into()), ..ExecuteClass::default() };
    let tolerations = vec![serde_json::from_value(json!({ "operator": "Exists" })).unwrap()];
    let tainted = ExecuteClass { tolerations, ..ExecuteClass::default() };
    let plain = ExecuteClass::default();
    [("gold", gold), ("node", node), ("sandbox", sandbox), ("tainted", tainted), ("plain", plain)]
        .map(|(name, class)| (name.to_owned(), class))
        .into()
}

fn networks() -> BTreeMap<String, BTreeMap<String, String>> {
    let annotation = |value: &str| [("k8s.v1.cni.cncf.io/networks".into(), value.into())].into();
    [("data", annotation("data-net")), ("lab", annotation("lab-net"))]
        .map(|(name, annotations)| (name.to_owned(), annotations))
        .into()
}

fn own_pod() -> OwnPod {
    let mount = |name: &str, path: &str| VolumeMount {
        name: name.into(),
        path: path.into(),
        read_only: false,
    };
    let volumes = [
        ("tmp", json!({ "name": "tmp", "emptyDir": {} })),
        ("home", json!({ "name": "home", "persistentVolumeClaim": { "claimName": "anna" } })),
        ("disk", json!({ "name": "disk", "hostPath": { "path": "/srv" } })),
        ("krb", json!({ "name": "krb", "secret": { "secretName": "anna-kerberos" } })),
        ("unmounted", json!({ "name": "unmounted", "nfs": { "server": "n", "path": "/" } })),
        (
            "api",
            json!({ "name": "api", "projected": { "sources": [{ "serviceAccountToken": {} }] } }),
        ),
    ];
    OwnPod {
        name: "anna-desktop".into(),
        namespace: "desktops".into(),
        uid: "11112222-3333".into(),
        ip: Some("10.1.2.3".into()),
        node: Some("node-a".into()),
        containers: vec!["xvnc".into(), "deskd".into()],
        target_container: Some("deskd".into()),
        mounts: vec![
            mount("tmp", "/tmp"),
            mount("home", "/home/anna"),
            mount("disk", "/srv"),
            mount("krb", "/run/krb"),
            mount("api", "/run/api"),
        ],
        volumes: volumes.map(|(name, volume)| (name.to_owned(), volume)).into(),
        ephemeral_used: 3,
        object_bytes: 40 << 10,
        own_mounts: vec![mount("tmp", "/tmp")],
        withheld: vec![],
        deskd: None,
        keeper: None,
        graphical: None,
        labels: BTreeMap::new(),
        shares_processes: false,
        terminating: false,
    }
}

/// One line of a table: what is different, what comes of it, and words that must be said.
pub(super) type Row =
    (&'static str, fn(&mut Case), Result<EngineKind, UnplannableCode>, &'static [&'static str]);

/// Checks every row, and of each that the three engines are spoken of once.
#[track_caller]
pub(super) fn check(rows: &[Row]) {
    for (name, change, expected, words) in rows {
        let mut case = Case::new();
        change(&mut case);
        let result = case.plan();
        let found = result.as_ref().map(|plan| plan.engine).map_err(|refusal| refusal.code);
        assert_eq!(found, *expected, "{name}: {result:#?}");
        let said = said(&result);
        for word in *words {
            assert!(said.contains(word), "{name}: `{word}` is missing in {said}");
        }
        each_engine_once(&result);
    }
}

/// Everything a person is told.
pub(super) fn said(result: &Result<Plan, Unplannable>) -> String {
    let (sentences, rejected) = match result {
        Ok(plan) => (plan.reasons.clone(), &plan.rejected),
        Err(refusal) => (vec![refusal.sentence.clone()], &refusal.rejected),
    };
    let sentences = sentences.into_iter().map(String::from);
    let rejected = rejected.iter().map(|no| format!("not {}: {}", no.engine.as_str(), no.why));
    sentences.chain(rejected).collect::<Vec<_>>().join("\n")
}

#[track_caller]
pub(super) fn each_engine_once(result: &Result<Plan, Unplannable>) {
    let (chosen, rejected) = match result {
        Ok(plan) => (Some(plan.engine), &plan.rejected),
        Err(refusal) => (None, &refusal.rejected),
    };
    let mut engines: Vec<_> =
        rejected.iter().map(|rejected| rejected.engine).chain(chosen).collect();
    engines.sort();
    assert_eq!(engines, EngineKind::ALL, "{result:#?}");
    assert!(rejected.iter().all(|rejected| !rejected.why.is_empty()), "{result:#?}");
}
