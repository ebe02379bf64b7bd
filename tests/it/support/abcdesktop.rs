//! A desktop as abcdesktop has it, with deskd in it: a pod of the fake control plane
//! ([`super::pyos`]), into which deskd came by the policy of `container/inject/` or by `deskd inject`.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use serde_json::{Value, json};

use super::cluster::{Cluster, Namespace, PodDesk, eventually};
use super::pyos::FakePyos;

/// How deskd comes into the pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// The API server's policy adds it as pyos creates the pod.
    Policy,
    /// `deskd inject` wrote the manifest that is created.
    Command,
    /// It does not: the desktop without deskd.
    Without,
}

/// The documents that the desktop's deskd has.
const DOCUMENTS: [&str; 2] = ["tests/fixtures/apps", "tests/fixtures/abcdesktop/apps"];
/// Where the sidecar has its token.
const STATE: &str = "/var/lib/deskd/state";

/// A namespace with what `docs/abcdesktop.md` asks for, and the control plane that makes desktops there.
pub(crate) struct Abcdesktop {
    pub(crate) namespace: Namespace,
    way: Way,
}

impl Abcdesktop {
    /// With no configuration but the documents.
    pub(crate) fn new(cluster: &'static Cluster, purpose: &str, way: Way) -> Self {
        Self::with(cluster, purpose, way, "")
    }

    /// With this `deskd.toml`.
    pub(crate) fn with(cluster: &'static Cluster, purpose: &str, way: Way, toml: &str) -> Self {
        let namespace = cluster.namespace(purpose);
        if way != Way::Without {
            install(&namespace, toml);
        }
        if way == Way::Policy {
            policy(cluster);
        }
        Self { namespace, way }
    }

    pub(crate) fn pyos(&self) -> FakePyos<'_> {
        FakePyos::new(&self.namespace)
    }

    /// The manifest that is created: for the policy, pyos' own.
    pub(crate) fn manifest(&self) -> String {
        match self.way {
            Way::Policy | Way::Without => FakePyos::manifest(),
            Way::Command => injected(&FakePyos::manifest()),
        }
    }

    /// Logs the user in, and waits for deskd. How long the login took.
    pub(crate) fn login(&self) -> (PodDesk<'_>, Duration) {
        let took = self.pyos().login(&self.manifest()).unwrap_or_else(|why| panic!("login: {why}"));
        (self.desk(), took)
    }

    /// deskd in the desktop, once it knows the cluster.
    pub(crate) fn desk(&self) -> PodDesk<'_> {
        PodDesk::with_state(self.pyos().desktop(), STATE)
    }
}

/// A desktop that several tests use, each with applications of its own.
pub(crate) struct Shared {
    pub(crate) desktop: &'static Abcdesktop,
    pub(crate) desk: PodDesk<'static>,
    /// How long the login took.
    pub(crate) login: Duration,
    /// Warnings about the pod, once deskd was ready.
    pub(crate) warnings: Vec<String>,
}

/// The desktop that deskd came into in this way; nothing where there is no cluster.
pub(crate) fn shared(way: Way) -> Option<&'static Shared> {
    static POLICY: OnceLock<Option<Shared>> = OnceLock::new();
    static COMMAND: OnceLock<Option<Shared>> = OnceLock::new();
    let (shared, purpose) = match way {
        Way::Policy => (&POLICY, "policy"),
        Way::Command => (&COMMAND, "command"),
        Way::Without => panic!("a desktop without deskd is nobody's to share"),
    };
    let start = || {
        let cluster = Cluster::shared()?;
        let desktop: &'static _ = Box::leak(Box::new(Abcdesktop::new(cluster, purpose, way)));
        let (desk, login) = desktop.login();
        let warnings = desktop.pyos().warnings();
        Some(Shared { desktop, desk, login, warnings })
    };
    shared.get_or_init(start).as_ref()
}

/// A document of the tests.
pub(crate) fn document(name: &str) -> Value {
    let file = |directory: &str| {
        Path::new(env!("DESKD_ROOT")).join(directory).join(format!("{name}.json"))
    };
    let text = DOCUMENTS.iter().find_map(|directory| std::fs::read_to_string(file(directory)).ok());
    serde_json::from_str(&text.unwrap_or_else(|| panic!("no document {name}"))).expect("JSON")
}

/// The same image as another application, in an engine.
pub(crate) fn variant(name: &str, called: &str, engine: &str) -> Value {
    let mut document = document(name);
    let labels = &mut document[0]["Config"]["Labels"];
    labels["oc.name"] = json!(called);
    labels["oc.containerengine"] = json!(engine);
    document
}

/// Rights, admission and documents, as the documentation has them.
fn install(namespace: &Namespace, toml: &str) {
    let name = &namespace.name;
    namespace.apply(&super::rights::files(name));
    let mut documents = json!({});
    for directory in DOCUMENTS {
        let directory = Path::new(env!("DESKD_ROOT")).join(directory);
        for entry in std::fs::read_dir(directory).expect("a directory").flatten() {
            let file = entry.file_name().to_string_lossy().into_owned();
            // The others are of documentation, without images.
            if !file.starts_with("docs-") {
                let text = std::fs::read_to_string(entry.path()).expect("a document");
                documents[file] = json!(text);
            }
        }
    }
    let map = |name: &str, data: &Value| {
        let map = json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": name }, "data": data });
        namespace.apply(&map.to_string());
    };
    map("deskd-apps", &documents);
    if !toml.is_empty() {
        map("deskd", &json!({ "deskd.toml": toml }));
    }
}

/// The policy is for the whole cluster, and in force a little after it was made.
fn policy(cluster: &'static Cluster) {
    static INSTALLED: OnceLock<()> = OnceLock::new();
    INSTALLED.get_or_init(|| {
        let file = concat!(env!("DESKD_ROOT"), "/container/inject/policy.yaml");
        cluster.must(&["apply", "--filename", file], "");
        let trial = cluster.namespace("policy");
        trial.apply(&super::rights::files(&trial.name));
        eventually("the policy acts", || {
            let arguments = ["create", "--dry-run=server", "--output=json", "--filename=-"];
            let made = trial.kubectl(&arguments, &FakePyos::manifest());
            String::from_utf8_lossy(&made.stdout).contains("deskd.io/injected").then_some(())
        });
    });
}

/// The manifest as `deskd inject` prints it.
#[expect(clippy::disallowed_methods, reason = "tests run programs")]
pub(crate) fn injected(manifest: &str) -> String {
    let mut command = Command::new(binary());
    command.args(["inject", "--filename", "-"]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().expect("deskd");
    child.stdin.take().expect("stdin").write_all(manifest.as_bytes()).expect("written");
    let output = child.wait_with_output().expect("an end");
    assert!(output.status.success(), "deskd inject: {}", output.status);
    String::from_utf8(output.stdout).expect("text")
}

/// deskd as it is in the images.
fn binary() -> PathBuf {
    Path::new(env!("DESKD_ROOT")).join("target/deskd")
}
