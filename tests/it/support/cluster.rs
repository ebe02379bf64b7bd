//! The one-node cluster of `tests/cluster/`: a real kubelet, real containers, the images of this
//! repository. All tests of a run share one, each in a namespace of its own.
//!
//! It ends with this process however that ends: `tests/cluster/session` holds it for as long as the
//! pipe is open of which this process has the other end.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, also in its helpers")]

use std::io::{BufRead, BufReader, Write};
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::http::{Ask, Door};
use super::xvnc::Running;
use super::{proc, wait};

/// Longest wait for something in the cluster: images are there, but a busy machine starts slowly.
const CLUSTER_PATIENCE: Duration = Duration::from_mins(1);
/// Of what `tests/setup/packages cluster` installs.
const PROGRAMS: [&str; 9] =
    ["openssl", "jq", "unshare", "nsenter", "ip", "buildah", "debootstrap", "setsid", "python3"];

/// A running cluster.
pub(crate) struct Cluster {
    dir: PathBuf,
    /// Its network namespace, as a path under `/proc`.
    network: PathBuf,
    namespaces: AtomicU32,
    api: OnceLock<(Door, Running)>,
    _session: Child,
}

impl Cluster {
    /// The cluster of this test run; nothing where it cannot run, which under CI is a failure.
    pub(crate) fn shared() -> Option<&'static Self> {
        static SHARED: OnceLock<Option<Cluster>> = OnceLock::new();
        SHARED.get_or_init(|| available().then(Self::start)).as_ref()
    }

    #[expect(clippy::disallowed_methods, reason = "tests start servers")]
    fn start() -> Self {
        let started = Instant::now();
        let dir = directory("test");
        let mut session = Command::new("setsid");
        session.arg(script("session")).arg(&dir).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut session = session.spawn().unwrap();
        let mut said = String::new();
        BufReader::new(session.stdout.take().unwrap()).read_line(&mut said).unwrap();
        assert_eq!(said, "ready\n", "tests/cluster/session says above why there is no cluster");
        let first = std::fs::read_to_string(dir.join("pid")).unwrap();
        let network = format!("/proc/{}/ns/net", first.trim()).into();
        // Past the capture of the test harness: how long is worth knowing in every run.
        let _ = writeln!(std::io::stderr(), "cluster: ready in {:.1?}", started.elapsed());
        Self {
            dir,
            network,
            namespaces: AtomicU32::new(0),
            api: OnceLock::new(),
            _session: session,
        }
    }

    /// A fresh namespace, deleted with the value.
    pub(crate) fn namespace(&'static self, purpose: &str) -> Namespace {
        let name = format!("{purpose}-{}", self.namespaces.fetch_add(1, Relaxed));
        let namespace = Namespace { cluster: self, name };
        self.must(&["create", "namespace", &namespace.name], "");
        namespace.wait_for("its service account", "serviceaccount/default", |_| Some(()));
        namespace
    }

    /// `kubectl` as the administrator.
    pub(crate) fn kubectl(&self, arguments: &[&str], input: &str) -> Output {
        let mut command = Command::new(script("enter"));
        command.arg(&self.dir).arg("kubectl").args(arguments);
        output_with_input(&mut command, input)
    }

    /// The same; what it printed when it ended well.
    pub(crate) fn must(&self, arguments: &[&str], input: &str) -> String {
        stdout_of(&self.kubectl(arguments, input), arguments)
    }

    /// The registry of the corpus's scripts, on an address of the node: it answers each repository as
    /// its name says. It ends with the value.
    pub(crate) fn fake_registry(&self, address: &str) -> Running {
        let (_, port) = address.rsplit_once(':').unwrap();
        let root = Path::new(env!("DESKD_ROOT"));
        let registry = root.join("tests/fixtures/failures/make/fake_registry.py");
        let mut command = Command::new("nsenter");
        command
            .arg(format!("--net={}", self.network.display()))
            .arg("python3")
            .arg(registry)
            .arg(port);
        let running = Running::start(&mut command);
        let door = self.door(IpAddr::from([127, 0, 0, 1]), port.parse().unwrap());
        wait::until("the registry answers", || {
            super::http::Ask::new(&door, "GET", "/v2/").try_send().ok()
        });
        running
    }

    /// The API server, as the administrator sees it, without TLS: much faster to ask than by a
    /// program for each request. It ends with the cluster.
    pub(crate) fn api(&self) -> Door {
        self.api.get_or_init(|| self.start_proxy()).0.clone()
    }

    fn start_proxy(&self) -> (Door, Running) {
        const PORT: u16 = 8001;
        let first = self.network.parent().unwrap().parent().unwrap().file_name().unwrap();
        let bin = std::fs::read_to_string(self.dir.join("bin")).unwrap();
        let kubectl = std::env::split_paths(bin.trim()).map(|dir| dir.join("kubectl"));
        let mut command = Command::new("setsid");
        command
            .args(["nsenter", "--mount", "--net", "--pid", "--target"])
            .arg(first)
            .arg(kubectl.into_iter().find(|it| it.exists()).expect("kubectl"))
            .args(["--kubeconfig=/run/cluster/admin.kubeconfig", "proxy"])
            .arg(format!("--port={PORT}"))
            .stdin(Stdio::null())
            .stdout(Stdio::null());
        let proxy = Running::start(&mut command);
        let door = self.door(IpAddr::from([127, 0, 0, 1]), PORT);
        wait::until("the proxy answers", || Ask::new(&door, "GET", "/version").try_send().ok());
        (door, proxy)
    }

    /// A TCP address inside: of a pod, of the node.
    pub(crate) fn door(&self, address: IpAddr, port: u16) -> Door {
        Door::TcpIn(self.network.clone(), SocketAddr::new(address, port))
    }
}

/// A namespace of the cluster, for one test.
pub(crate) struct Namespace {
    pub(crate) cluster: &'static Cluster,
    pub(crate) name: String,
}

impl Namespace {
    pub(crate) fn kubectl(&self, arguments: &[&str], input: &str) -> Output {
        self.cluster.kubectl(&[&["--namespace", &self.name], arguments].concat(), input)
    }

    pub(crate) fn must(&self, arguments: &[&str], input: &str) -> String {
        stdout_of(&self.kubectl(arguments, input), arguments)
    }

    /// Objects as JSON; null when there is none of that name.
    pub(crate) fn get(&self, object: &str) -> Value {
        let text = self.must(&["get", object, "--output=json", "--ignore-not-found"], "");
        if text.is_empty() { Value::Null } else { serde_json::from_str(&text).unwrap() }
    }

    pub(crate) fn apply(&self, yaml: &str) {
        self.must(&["apply", "--filename=-"], yaml);
    }

    /// Looks at an object, once it exists, until `found` finds something.
    pub(crate) fn wait_for<T>(
        &self,
        what: &str,
        object: &str,
        mut found: impl FnMut(&Value) -> Option<T>,
    ) -> T {
        let mut seen = Value::Null;
        let look = || {
            seen = self.get(object);
            if seen.is_null() { None } else { found(&seen) }
        };
        let waited = std::panic::AssertUnwindSafe(|| wait::within(CLUSTER_PATIENCE, what, look));
        std::panic::catch_unwind(waited).unwrap_or_else(|_| {
            panic!("{object} of {}: {what}: {:#}", self.name, self.get(object)["status"])
        })
    }

    /// The desktop pod of `container/`, with all it asks for; `edit` changes the text of its
    /// manifest. It has just been created.
    pub(crate) fn desktop(&self, edit: impl Fn(String) -> String) -> Pod<'_> {
        self.desktop_with(edit, "")
    }

    /// With more configuration (TOML).
    pub(crate) fn desktop_with(&self, edit: impl Fn(String) -> String, toml: &str) -> Pod<'_> {
        let mut more = tempfile::NamedTempFile::new().unwrap();
        more.write_all(toml.as_bytes()).unwrap();
        let manifest = Path::new(env!("DESKD_ROOT")).join("container/pod.yaml");
        let manifest = edit(std::fs::read_to_string(manifest).unwrap());
        let mut command = Command::new(script("desktop"));
        command.arg(&self.cluster.dir).arg(&self.name).arg(more.path());
        stdout_of(&output_with_input(&mut command, &manifest), &["tests/cluster/desktop"]);
        Pod { namespace: self, name: "desktop".into() }
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let events = self.kubectl(&["get", "events", "--sort-by=.lastTimestamp"], "");
            println!("{}", String::from_utf8_lossy(&events.stdout));
        }
        let _ = self.cluster.kubectl(&["delete", "namespace", &self.name, "--wait=false"], "");
    }
}

/// A pod that was created.
pub(crate) struct Pod<'a> {
    pub(crate) namespace: &'a Namespace,
    pub(crate) name: String,
}

impl Pod<'_> {
    /// Looks at it until `found` finds something.
    pub(crate) fn wait_for<T>(&self, what: &str, found: impl FnMut(&Value) -> Option<T>) -> T {
        self.namespace.wait_for(what, &format!("pod/{}", self.name), found)
    }

    /// Waits until its condition Ready is this, and says since when.
    pub(crate) fn wait_until_ready(&self, ready: bool) -> String {
        let wanted = if ready { "True" } else { "False" };
        self.wait_for(&format!("Ready is {wanted}"), |pod| {
            let ready = condition(pod, "Ready")?;
            let since = || ready["lastTransitionTime"].as_str().unwrap().to_owned();
            (ready["status"] == wanted).then(since)
        })
    }

    /// A port of its.
    pub(crate) fn door(&self, port: u16) -> Door {
        let address = self.wait_for("it has an address", |pod| {
            pod["status"]["podIP"].as_str().map(|address| address.parse().unwrap())
        });
        self.namespace.cluster.door(address, port)
    }

    /// What a command in one of its containers printed.
    pub(crate) fn exec(&self, container: &str, argv: &[&str]) -> String {
        let exec = ["exec", &self.name, "--container", container, "--"];
        self.namespace.must(&[&exec, argv].concat(), "")
    }

    /// deskd's daemon, while there is one.
    pub(crate) fn daemon(&self) -> Option<u32> {
        let is_daemon = |pid: &u32| proc::command_line(*pid).contains(&"daemon".to_owned());
        self.processes("deskd").into_iter().find(is_daemon)
    }

    /// Its processes of this name, as the host numbers them.
    pub(crate) fn processes(&self, name: &str) -> Vec<u32> {
        let pod = self.wait_for("it exists", |pod| Some(pod.clone()));
        let uid = pod["metadata"]["uid"].as_str().unwrap();
        let of_pod = |pid: &u32| {
            let text = |file: &str| {
                std::fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap_or_default()
            };
            text("comm").trim() == name && text("cgroup").contains(uid)
        };
        deskd_keeper::procfs::pids().unwrap().into_iter().filter(of_pod).collect()
    }
}

/// deskd in a desktop pod, over its TCP door with its token.
pub(crate) struct PodDesk<'a> {
    pub(crate) pod: Pod<'a>,
    pub(crate) door: Door,
    token: String,
}

impl<'a> PodDesk<'a> {
    /// Waits until the pod is ready and the Kubernetes API is known to deskd.
    pub(crate) fn of(pod: Pod<'a>) -> Self {
        Self::with_state(pod, "/run/deskd/state")
    }

    /// The same where deskd's state directory is another.
    pub(crate) fn with_state(pod: Pod<'a>, state_dir: &str) -> Self {
        pod.wait_until_ready(true);
        let token = pod.exec("deskd", &["cat", &format!("{state_dir}/token")]).trim().to_owned();
        let desk = Self { door: pod.door(29791), pod, token };
        wait::within(CLUSTER_PATIENCE, "deskd knows the cluster", || {
            let cluster = &desk.get("/v1/desktop")["kubernetes"];
            let known = cluster["api"] == "answers" && cluster["own_pod"].is_object();
            (known && cluster["rights"] != serde_json::json!([])).then_some(())
        });
        desk
    }

    pub(crate) fn ask(&self, method: &str, path: &str) -> Ask {
        Ask::new(&self.door, method, path)
            .header("authorization", &format!("Bearer {}", self.token))
    }

    pub(crate) fn get(&self, path: &str) -> Value {
        self.ask("GET", path).send().expect(200)
    }

    /// Adds an application by its image's document.
    pub(crate) fn add(&self, document: &Value) {
        let answer = self.ask("PUT", "/v1/apps").json(document).send();
        assert!([200, 201].contains(&answer.status), "{}", answer.text());
    }

    /// The task's id.
    pub(crate) fn launch(&self, app: &str) -> String {
        self.launch_with(&serde_json::json!({ "app": app }))
    }

    /// The same with arguments or an engine.
    pub(crate) fn launch_with(&self, launch: &Value) -> String {
        let task = self.ask("POST", "/v1/tasks").json(launch).send().expect(201);
        task["id"].as_str().unwrap().to_owned()
    }

    /// Looks at a task until `found` finds something.
    pub(crate) fn until<T>(
        &self,
        what: &str,
        task: &str,
        mut found: impl FnMut(&Value) -> Option<T>,
    ) -> T {
        let mut seen = Value::Null;
        let look = || {
            // Between two daemons nobody answers.
            seen = self.ask("GET", &format!("/v1/tasks/{task}")).try_send().ok()?.json();
            found(&seen)
        };
        let waited = std::panic::AssertUnwindSafe(|| wait::within(CLUSTER_PATIENCE, what, look));
        let outcome = std::panic::catch_unwind(waited);
        outcome.unwrap_or_else(|_| panic!("{what}: {:#}", self.get(&format!("/v1/tasks/{task}"))))
    }

    /// Everything the task wrote, as far as it is stored.
    pub(crate) fn log(&self, task: &str) -> String {
        self.ask("GET", &format!("/v1/tasks/{task}/log")).send().text()
    }
}

/// Looks until there is something, as patiently as a busy cluster needs.
pub(crate) fn eventually<T>(what: &str, look: impl FnMut() -> Option<T>) -> T {
    wait::within(CLUSTER_PATIENCE, what, look)
}

/// A condition of a pod.
pub(crate) fn condition<'a>(pod: &'a Value, kind: &str) -> Option<&'a Value> {
    pod["status"]["conditions"].as_array()?.iter().find(|condition| condition["type"] == kind)
}

/// The status of a container of any kind but ephemeral.
pub(crate) fn container<'a>(pod: &'a Value, name: &str) -> Option<&'a Value> {
    let of = |key: &str| pod["status"][key].as_array().into_iter().flatten();
    let mut all = of("initContainerStatuses").chain(of("containerStatuses"));
    all.find(|container| container["name"] == name)
}

/// Whether a cluster can run here; under CI what is missing is a failure.
pub(crate) fn available() -> bool {
    let root = Path::new(env!("DESKD_ROOT"));
    let mut missing = Vec::new();
    if !root.join("target/deskd").exists() {
        missing.push("target/deskd (make build)");
    }
    if !Path::new("/usr/lib/cni/bridge").exists() {
        missing.push("containernetworking-plugins");
    }
    if super::control_plane::Version::V1_36.programs().is_err() {
        missing.push("the programs of tests/cluster/build");
    }
    super::needs::met(&PROGRAMS, &missing)
}

/// A script of `tests/cluster/`.
pub(crate) fn script(name: &str) -> PathBuf {
    Path::new(env!("DESKD_ROOT")).join("tests/cluster").join(name)
}

/// A directory for a cluster of this process, beside the images (so that they can be linked), named
/// as `tests/cluster/session` expects it.
pub(crate) fn directory(purpose: &str) -> PathBuf {
    let cache = Path::new(env!("DESKD_ROOT")).join(".cache/cluster");
    cache.join(format!("{purpose}-{}", std::process::id()))
}

#[expect(clippy::disallowed_methods, reason = "tests run programs")]
fn output_with_input(command: &mut Command, input: &str) -> Output {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // It may end without having read.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    child.wait_with_output().unwrap()
}

fn stdout_of(output: &Output, arguments: &[&str]) -> String {
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {}\n{errors}", output.status);
    String::from_utf8_lossy(&output.stdout).into_owned()
}
