//! Pods as places: what kubelet would do with them, with real keepers in namespaces of their own.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, also in its helpers")]

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use deskd::engine::kubernetes::Command;
use deskd::engine::kubernetes::places::file;
use deskd_core::kubernetes::ObjectRef;
use deskd_core::plan::facts::VolumeMount;
use deskd_core::plan::remote::{KeeperFile, PodPlace, PodPlan};
use deskd_core::wire::RunId;
use serde_json::{Value, json};

use super::control_plane::{ControlPlane, Namespace, available, free_port};
use super::kube_engine::{KubeEngine, make_desktop};
use super::place::Container;
use super::{binaries, wait};

/// A desktop, and what kubelet would do with its pods.
pub struct World {
    plane: &'static ControlPlane,
    namespace: Namespace<'static>,
    desktop: Value,
    pub dir: tempfile::TempDir,
    pub port: SocketAddr,
    warm: bool,
}

impl World {
    /// Nothing where there is no API server.
    pub fn start(name: &str) -> Option<Self> {
        if !available() {
            return None;
        }
        let plane = ControlPlane::shared();
        let namespace = plane.namespace(name);
        let desktop = make_desktop(&namespace);
        // Of those that no connection gets: it is bound only by the engine.
        let port = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let dir = tempfile::tempdir().unwrap();
        Some(Self { plane, namespace, desktop, dir, port, warm: false })
    }

    /// One whose configuration keeps pods ready.
    pub fn start_warm(name: &str) -> Option<Self> {
        Some(Self { warm: true, ..Self::start(name)? })
    }

    /// A daemon's engine.
    pub fn engine(&self) -> KubeEngine {
        let config = self.plane.admin_kubeconfig();
        let remembered = (self.record(), self.port, self.warm);
        KubeEngine::with_pod_places(&config, &self.namespace, &self.desktop, remembered)
    }

    /// What daemons remember of places.
    pub fn record(&self) -> PathBuf {
        self.dir.path().join(file::NAME)
    }

    /// Runs a shell script in a pod that is a place.
    pub fn sh(&self, script: &str, linger_s: u32) -> impl FnOnce(&mut PodPlan) {
        Self::sh_with(self.port, script, linger_s)
    }

    /// The same with a keeper that connects to `daemon`.
    pub fn sh_with(daemon: SocketAddr, script: &str, linger_s: u32) -> impl FnOnce(&mut PodPlan) {
        let argv = ["/bin/sh", "-c", script].map(str::to_owned).to_vec();
        move |plan| {
            plan.container.argv = argv;
            let mount = VolumeMount { name: "bin".into(), path: "/.deskd".into(), read_only: true };
            let path = binaries::keeper().to_str().unwrap().to_owned();
            let keeper = KeeperFile { mount, path };
            let volume = json!({ "name": "bin", "emptyDir": {} });
            plan.place = Some(PodPlace { keeper, volume, daemon, linger_s });
        }
    }

    /// A pod, once it is there.
    pub fn pod(&self, object: &ObjectRef) -> Value {
        wait::until("there is a pod", || {
            let all = self.namespace.kubectl_json(&["get", "pods"]);
            let named = |pod: &&Value| pod["metadata"]["name"] == object.pod.as_str();
            all["items"].as_array()?.iter().find(named).cloned()
        })
    }

    /// Application pods that there are.
    pub fn pods(&self) -> usize {
        let all = self.namespace.kubectl_json(&["get", "pods"]);
        // The desktop is one.
        all["items"].as_array().map_or(0, Vec::len) - 1
    }

    /// Starts a pod's container as kubelet would, and says so.
    pub fn start_pod(&self, object: &ObjectRef) -> Container {
        let pod = self.pod(object);
        let container = Container::of_entry(&pod["spec"]["containers"][0]);
        self.set_state(object, "Running", &json!({ "running": {} }));
        container
    }

    /// Says of a pod's container what kubelet would say.
    pub fn set_state(&self, object: &ObjectRef, phase: &str, state: &Value) {
        let status = json!({ "name": "app", "image": "i", "imageID": "", "ready": false,
            "restartCount": 0, "state": state });
        self.set_phase(object, &json!({ "phase": phase, "containerStatuses": [status] }));
    }

    /// Somebody else deletes a pod.
    pub fn delete(&self, object: &ObjectRef) {
        self.namespace.kubectl(&["delete", "pod", &object.pod, "--force", "--grace-period=0"]);
    }

    /// Says of the desktop's pod that it is being deleted: kubelet has yet to end its containers.
    pub fn log_out(&self) {
        let name = self.desktop["metadata"]["name"].as_str().unwrap();
        // The API server itself deletes a pod that is on no node.
        let binding = json!({ "apiVersion": "v1", "kind": "Binding",
            "metadata": { "name": name, "namespace": self.desktop["metadata"]["namespace"] },
            "target": { "kind": "Node", "name": "n1" } });
        let create = ["create", "--filename", "-"];
        let config = self.plane.admin_kubeconfig();
        self.plane.kubectl_input(&config, &create, &binding.to_string()).unwrap();
        self.namespace.kubectl(&["delete", "pod", name, "--wait=false", "--grace-period=60"]);
    }

    /// Says of a pod what kubelet would say.
    pub fn set_phase(&self, object: &ObjectRef, status: &Value) {
        let patch = json!({ "status": status }).to_string();
        let pod = object.pod.as_str();
        self.namespace.kubectl(&["patch", "pod", pod, "--subresource=status", "--patch", &patch]);
    }
}

/// Asks for the end of a run.
pub fn stop(engine: &KubeEngine, of: &RunId) {
    let (term_after, kill_after) = (Duration::ZERO, Duration::from_secs(5));
    engine.tell(Command::Stop { run: of.clone(), term_after, kill_after });
}
