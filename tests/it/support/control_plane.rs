//! A real Kubernetes control plane for API-level tests: etcd and kube-apiserver, on request the
//! controllers and the scheduler. There is no kubelet and no node: pods are objects whose status a
//! test sets (`kubectl patch --subresource=status`). Its own ports, certificates and directory.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, also in its helpers")]

mod host;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use serde_json::{Value, json};

use self::host::Host;
pub use self::host::free_port;
use super::wait;

/// Control planes that are tried before a test gives up: another program can take a port first.
const STARTS_MAX: usize = 3;
const API_SERVER: &str = "kube-apiserver";

/// Those of real clusters that act on what tests make. Not those that delete pods without a node.
const CONTROLLERS: &str = "garbage-collector-controller,namespace-controller,\
                           resourcequota-controller,serviceaccount-controller,\
                           validatingadmissionpolicy-status-controller";

/// Whether a control plane can be run; under CI what is missing is a failure.
pub(crate) fn available() -> bool {
    available_in(Version::V1_36)
}

/// The same of a certain Kubernetes.
pub(crate) fn available_in(version: Version) -> bool {
    let missing: &[&str] =
        if version.programs().is_ok() { &[] } else { &["the programs of tests/cluster/build"] };
    super::needs::met(&["setpriv"], missing)
}

/// Which Kubernetes: that of the cluster of the tests, and an older one that is in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Version {
    V1_34,
    V1_36,
}

impl Version {
    /// As `tests/cluster/build` takes it.
    fn argument(self) -> Option<&'static str> {
        match self {
            Self::V1_34 => Some("1.34"),
            Self::V1_36 => None,
        }
    }

    /// The directory of its programs, or why there is none.
    pub(crate) fn programs(self) -> &'static Result<PathBuf, String> {
        static PROGRAMS: [OnceLock<Result<PathBuf, String>>; 2] =
            [OnceLock::new(), OnceLock::new()];
        PROGRAMS[self as usize].get_or_init(|| {
            let script = Path::new(env!("DESKD_ROOT")).join("tests/cluster/build");
            let mut command = Command::new(script);
            let output = command.args(self.argument()).stderr(Stdio::inherit()).output();
            let output = output.map_err(|error| error.to_string())?;
            let printed = String::from_utf8_lossy(&output.stdout).trim_end().to_owned();
            if output.status.success() {
                Ok(printed.into())
            } else {
                Err(output.status.to_string())
            }
        })
    }
}

/// etcd and kube-apiserver, gone with the value.
pub(crate) struct ControlPlane {
    host: Host,
    api_port: u16,
    kubeconfigs: AtomicU32,
    namespaces: AtomicU32,
}

impl ControlPlane {
    /// One of the test's own, without controllers. Answers `/readyz` when this returns.
    pub(crate) fn start() -> Self {
        Self::start_version(Version::V1_36)
    }

    /// The same of a certain Kubernetes. There is no scheduler of an old one.
    pub(crate) fn start_version(version: Version) -> Self {
        let started = (0..STARTS_MAX).find_map(|_| Self::try_start(version));
        started.expect("a control plane on free ports")
    }

    /// The one that tests share, with controllers. Each test makes a namespace of its own.
    pub(crate) fn shared() -> &'static Self {
        Self::shared_version(Version::V1_36)
    }

    /// The same of a certain Kubernetes: for what is to be shown on old clusters as well.
    pub(crate) fn shared_version(version: Version) -> &'static Self {
        static SHARED: [OnceLock<ControlPlane>; 2] = [OnceLock::new(), OnceLock::new()];
        SHARED[version as usize].get_or_init(|| {
            let plane = Self::start_version(version);
            plane.start_controllers();
            plane
        })
    }

    fn try_start(version: Version) -> Option<Self> {
        let host = Host::new(version.programs().as_ref().unwrap());
        let [etcd_port, api_port] = [free_port(), free_port()];
        let dir = host.dir().to_str().unwrap().to_owned();
        std::fs::write(host.dir().join("tokens"), "admin,admin,admin,system:masters\n").unwrap();
        host.run(
            "etcd",
            &words(&format!(
                "--data-dir {dir}/etcd --unsafe-no-fsync --log-level error
                 --listen-client-urls http://127.0.0.1:{etcd_port}
                 --advertise-client-urls http://127.0.0.1:{etcd_port}
                 --listen-peer-urls http://127.0.0.1:0"
            )),
        );
        // It makes its serving certificate, whose key then also signs service account tokens.
        host.run(
            API_SERVER,
            &words(&format!(
                "--etcd-servers http://127.0.0.1:{etcd_port}
                 --bind-address 127.0.0.1 --advertise-address 127.0.0.1 --secure-port {api_port}
                 --cert-dir {dir}/certificates --token-auth-file {dir}/tokens
                 --service-account-issuer https://kubernetes.default.svc
                 --service-account-signing-key-file {dir}/certificates/apiserver.key
                 --service-account-key-file {dir}/certificates/apiserver.key
                 --authorization-mode RBAC --allow-privileged --service-cluster-ip-range 10.96.0.0/16
                 --endpoint-reconciler-type none"
            )),
        );
        let [kubeconfigs, namespaces] = [AtomicU32::new(0), AtomicU32::new(0)];
        let plane = Self { host, api_port, kubeconfigs, namespaces };
        std::fs::write(plane.admin_kubeconfig(), plane.kubeconfig("admin").to_string()).unwrap();
        plane.wait_until_ready().then_some(plane)
    }

    /// Garbage collection, quota status, deletion of namespaces, default service accounts, types in
    /// admission policies.
    pub(crate) fn start_controllers(&self) {
        let config = self.admin_kubeconfig();
        self.host.run(
            "kube-controller-manager",
            &words(&format!(
                "--kubeconfig {config} --leader-elect=false --secure-port 0
                 --controllers {CONTROLLERS} --root-ca-file {certificate}",
                config = config.display(),
                certificate = self.certificate().display(),
            )),
        );
    }

    /// The scheduler: says of a pod that nothing fits, or binds it to a node that a test made.
    pub(crate) fn start_scheduler(&self) {
        let config = self.admin_kubeconfig();
        let arguments =
            format!("--kubeconfig {} --leader-elect=false --secure-port 0", config.display());
        self.host.run("kube-scheduler", &words(&arguments));
    }

    /// Stops the API server without a farewell: its connections break.
    pub(crate) fn stop_api_server(&self) {
        self.host.stop(API_SERVER);
    }

    /// Starts it again on the same port with the same data; ready when this returns.
    pub(crate) fn start_api_server(&self) {
        self.host.start(API_SERVER);
        assert!(self.wait_until_ready(), "{}", self.host.log_tail(API_SERVER));
    }

    /// Both.
    pub(crate) fn restart(&self) {
        self.stop_api_server();
        self.start_api_server();
    }

    /// False when a program ended instead.
    fn wait_until_ready(&self) -> bool {
        let fatal = |name: &str| {
            let dead = !self.host.runs(name);
            if dead {
                println!("{}", self.host.log_tail(name));
            }
            dead
        };
        wait::until("the API server is ready", || {
            if fatal("etcd") || fatal(API_SERVER) {
                return Some(false);
            }
            self.kubectl_as(&self.admin_kubeconfig(), &["get", "--raw", "/readyz"])
                .ok()
                .map(|_| true)
        })
    }

    /// Makes a node that pods can be bound to, where nothing ever runs.
    pub(crate) fn make_node(&self, name: &str, capacity: &Value) {
        let node = json!({ "apiVersion": "v1", "kind": "Node", "metadata": { "name": name } });
        self.apply(&node.to_string());
        let status = json!({ "status": {
            "capacity": capacity,
            "allocatable": capacity,
            "conditions": [{ "type": "Ready", "status": "True" }],
        } });
        let status = status.to_string();
        self.kubectl(&["patch", "node", name, "--subresource=status", "--patch", &status]);
        // A new node has it until a controller that does not run here finds the node ready.
        self.kubectl(&["taint", "node", name, "node.kubernetes.io/not-ready-"]);
    }

    /// Where everything of it is.
    pub(crate) fn directory(&self) -> &Path {
        self.host.dir()
    }

    /// The API server's address.
    pub(crate) fn url(&self) -> String {
        format!("https://127.0.0.1:{}", self.api_port)
    }

    /// What its certificate is verified with.
    pub(crate) fn certificate(&self) -> PathBuf {
        self.host.dir().join("certificates/apiserver.crt")
    }

    /// Of a member of `system:masters`.
    pub(crate) fn admin_kubeconfig(&self) -> PathBuf {
        self.host.dir().join("admin.kubeconfig")
    }

    fn kubeconfig(&self, token: &str) -> Value {
        json!({
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "test",
            "contexts": [{ "name": "test", "context": { "cluster": "test", "user": "test" } }],
            "clusters": [{ "name": "test", "cluster": {
                "server": self.url(),
                "certificate-authority": self.certificate(),
            } }],
            "users": [{ "name": "test", "user": { "token": token } }],
        })
    }

    /// A token as kubelet projects it into `bound_pod`, which must run under that service account:
    /// its user info carries the pod's name and uid.
    pub(crate) fn token_for_service_account(
        &self,
        namespace: &str,
        name: &str,
        bound_pod: Option<&str>,
    ) -> String {
        let mut arguments = vec!["create", "token", name, "--namespace", namespace];
        if let Some(pod) = bound_pod {
            arguments.extend(["--bound-object-kind", "Pod", "--bound-object-name", pod]);
        }
        self.kubectl(&arguments).trim_end().to_owned()
    }

    /// A file with such a token and the way to this API server.
    pub(crate) fn kubeconfig_for_service_account(
        &self,
        namespace: &str,
        name: &str,
        bound_pod: Option<&str>,
    ) -> PathBuf {
        let token = self.token_for_service_account(namespace, name, bound_pod);
        let number = self.kubeconfigs.fetch_add(1, Relaxed);
        let path = self.host.dir().join(format!("{namespace}-{name}-{number}.kubeconfig"));
        std::fs::write(&path, self.kubeconfig(&token).to_string()).unwrap();
        path
    }

    /// What kubectl prints as the admin; a failure fails the test.
    pub(crate) fn kubectl(&self, arguments: &[&str]) -> String {
        self.kubectl_as(&self.admin_kubeconfig(), arguments)
            .unwrap_or_else(|error| panic!("kubectl {arguments:?}: {error}"))
    }

    /// The same with `--output json`.
    pub(crate) fn kubectl_json(&self, arguments: &[&str]) -> Value {
        let arguments = [arguments, &["--output", "json"]].concat();
        serde_json::from_str(&self.kubectl(&arguments)).unwrap()
    }

    /// Creates or changes objects as the admin: YAML or JSON.
    pub(crate) fn apply(&self, manifest: &str) -> String {
        let apply = || {
            self.kubectl_input(&self.admin_kubeconfig(), &["apply", "--filename", "-"], manifest)
        };
        // A controller may make an object between kubectl's question whether it is there and its request.
        let applied = match apply() {
            Err(error) if error.contains("already exists") => apply(),
            other => other,
        };
        applied.unwrap_or_else(|error| panic!("kubectl apply: {error}\n{manifest}"))
    }

    /// As somebody else; the error is what kubectl printed.
    pub(crate) fn kubectl_as(
        &self,
        kubeconfig: &Path,
        arguments: &[&str],
    ) -> Result<String, String> {
        result_of(&self.kubectl_command(kubeconfig, arguments).output().unwrap())
    }

    /// The same with standard input.
    #[expect(clippy::disallowed_methods, reason = "kubectl reads what it is to apply")]
    pub(crate) fn kubectl_input(
        &self,
        kubeconfig: &Path,
        arguments: &[&str],
        input: &str,
    ) -> Result<String, String> {
        let mut command = self.kubectl_command(kubeconfig, arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        result_of(&child.wait_with_output().unwrap())
    }

    /// For a test that reads kubectl's output while it runs.
    pub(crate) fn kubectl_command(&self, kubeconfig: &Path, arguments: &[&str]) -> Command {
        let mut command = Command::new(self.host.program("kubectl"));
        command.arg("--kubeconfig").arg(kubeconfig).args(arguments);
        command.env_clear().env("KUBECACHEDIR", self.host.dir().join("kubectl-cache"));
        command.stdin(Stdio::null());
        command
    }

    /// A fresh one, with the service account `default`. Its name begins with `purpose`.
    pub(crate) fn namespace(&self, purpose: &str) -> Namespace<'_> {
        let name = format!("{purpose}-{}", self.namespaces.fetch_add(1, Relaxed));
        let namespace = Namespace { plane: self, name };
        self.apply(
            &json!({
                "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": namespace.name },
            })
            .to_string(),
        );
        // The controllers, where they run, make it a little later: `apply` does not mind.
        self.apply(
            &json!({
                "apiVersion": "v1", "kind": "ServiceAccount",
                "metadata": { "name": "default", "namespace": namespace.name },
            })
            .to_string(),
        );
        namespace
    }
}

/// Deleted with the value.
pub(crate) struct Namespace<'a> {
    plane: &'a ControlPlane,
    /// As in `metadata.name`.
    pub(crate) name: String,
}

impl Namespace<'_> {
    /// What kubectl prints as the admin in this namespace.
    pub(crate) fn kubectl(&self, arguments: &[&str]) -> String {
        self.plane.kubectl(&[&["--namespace", &self.name], arguments].concat())
    }

    /// The same with `--output json`.
    pub(crate) fn kubectl_json(&self, arguments: &[&str]) -> Value {
        self.plane.kubectl_json(&[&["--namespace", &self.name], arguments].concat())
    }

    /// Creates or changes an object of this namespace.
    pub(crate) fn apply(&self, object: &Value) {
        let mut object = object.clone();
        object["metadata"]["namespace"] = json!(self.name);
        self.plane.apply(&object.to_string());
    }

    /// Waits until an object is as wanted.
    pub(crate) fn until(
        &self,
        what: &str,
        kind: &str,
        name: &str,
        wanted: impl Fn(&Value) -> bool,
    ) {
        wait::until(what, || wanted(&self.kubectl_json(&["get", kind, name])).then_some(()));
    }
}

impl Drop for Namespace<'_> {
    fn drop(&mut self) {
        // Not `kubectl`: a test that panics already must not panic again.
        let arguments = ["delete", "namespace", &self.name, "--wait=false"];
        let _ = self.plane.kubectl_as(&self.plane.admin_kubeconfig(), &arguments);
    }
}

fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

fn result_of(output: &Output) -> Result<String, String> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
}
