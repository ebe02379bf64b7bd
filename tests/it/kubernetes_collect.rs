//! `deskd collect` and `container/collector/collector.yaml` on a real API server.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use assert_cmd::cargo::cargo_bin;
use deskd_core::exit::Exit;
use serde_json::{Value, json};

use crate::support::control_plane::{ControlPlane, Namespace};
use crate::support::rights::{Caller, Desk};
use crate::support::{control_plane, needs, wait};

const ACCOUNT: &str = "deskd-collector";

/// Desktops, application pods, and the collector as it is delivered.
struct Cluster<'a> {
    plane: &'a ControlPlane,
    desktops: Namespace<'a>,
    apps: Namespace<'a>,
    kubeconfig: PathBuf,
}

impl<'a> Cluster<'a> {
    fn new(plane: &'a ControlPlane) -> Self {
        let (desktops, apps) = (plane.namespace("desktops"), plane.namespace("apps"));
        let own = format!("{ACCOUNT}-{}", apps.name);
        let manifest = include_str!("../../container/collector/collector.yaml")
            .replace("namespace: desktops", &format!("namespace: {}", desktops.name))
            .replace("namespace: desktop-apps", &format!("namespace: {}", apps.name))
            .replace("serviceaccount:desktop-apps:", &format!("serviceaccount:{}:", apps.name))
            .replace("{name: deskd-collector}", &format!("{{name: {own}}}"))
            .replace("policyName: deskd-collector,", &format!("policyName: {own},"));
        plane.apply(&manifest);
        let kubeconfig = plane.kubeconfig_for_service_account(&apps.name, ACCOUNT, None);
        Self { plane, desktops, apps, kubeconfig }
    }

    /// A desktop; its uid.
    fn desktop(&self, name: &str) -> String {
        self.desktops.apply(&json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": { "name": name },
            "spec": { "containers": [{ "name": "graphical", "image": "localhost/desktop" }] },
        }));
        let pod = self.desktops.kubectl_json(&["get", "pod", name]);
        pod["metadata"]["uid"].as_str().unwrap().to_owned()
    }

    fn app(&self, name: &str, labels: &Value) {
        self.apps.apply(&json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": { "name": name, "labels": labels },
            "spec": { "containers": [{ "name": "app", "image": "localhost/2048" }] },
        }));
    }

    fn app_of(&self, name: &str, desktop: &str, uid: &str) {
        self.app(
            name,
            &json!({
                "app.kubernetes.io/managed-by": "deskd",
                "deskd.io/desktop": desktop,
                "deskd.io/desktop-namespace": self.desktops.name,
                "deskd.io/desktop-uid": uid,
            }),
        );
    }

    /// The pods that are there, by name.
    fn apps(&self) -> Vec<String> {
        let list = self.apps.kubectl_json(&["get", "pods"]);
        let pods = list["items"].as_array().unwrap().iter();
        pods.map(|pod| pod["metadata"]["name"].as_str().unwrap().to_owned()).collect()
    }

    /// The command as the collector's service account.
    fn collect(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(cargo_bin("deskd"));
        command.env_clear().env("KUBECONFIG", &self.kubeconfig).stdin(Stdio::null());
        command.args(["collect", "--namespace", &self.apps.name]).args(arguments);
        command.output().unwrap()
    }
}

impl Drop for Cluster<'_> {
    fn drop(&mut self) {
        let own = format!("{ACCOUNT}-{}", self.apps.name);
        for kind in ["validatingadmissionpolicybinding", "validatingadmissionpolicy"] {
            let arguments = ["delete", kind, &own, "--wait=false"];
            let _ = self.plane.kubectl_as(&self.plane.admin_kubeconfig(), &arguments);
        }
    }
}

fn plane() -> Option<&'static ControlPlane> {
    (control_plane::available() && needs::met(&["curl"], &[])).then(ControlPlane::shared)
}

#[track_caller]
fn check(output: &Output, exit: Exit) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(exit as i32), "stdout: {stdout}\nstderr: {stderr}");
    (stdout, stderr)
}

#[test]
fn pods_whose_desktop_is_gone_are_deleted_and_no_others() {
    let Some(plane) = plane() else { return };
    let cluster = Cluster::new(plane);
    let here = cluster.desktop("here");
    let gone = cluster.desktop("gone");
    let replaced = cluster.desktop("replaced");
    cluster.desktops.kubectl(&["delete", "pod", "gone", "replaced"]);
    assert_ne!(cluster.desktop("replaced"), replaced, "a pod of the same name is another pod");
    cluster.app_of("of-here", "here", &here);
    cluster.app_of("of-gone", "gone", &gone);
    cluster.app_of("of-replaced", "replaced", &replaced);
    cluster.app("of-nobody", &json!({ "app.kubernetes.io/managed-by": "deskd" }));
    cluster.app("of-another", &json!({ "deskd.io/desktop-uid": gone }));
    let all = ["of-another", "of-gone", "of-here", "of-nobody", "of-replaced"];
    let (apps, desktops) = (&cluster.apps.name, &cluster.desktops.name);

    let (stdout, _) = check(&cluster.collect(&["--dry-run"]), Exit::Ok);
    assert_eq!(
        stdout,
        format!(
            "would delete {apps}/of-gone: its desktop {desktops}/gone ({gone}) is gone\n\
             would delete {apps}/of-replaced: its desktop {desktops}/replaced ({replaced}) is gone\n\
             would delete 2 of 3 application pods in {apps}\n"
        )
    );
    assert_eq!(cluster.apps(), all);

    let (stdout, _) = check(&cluster.collect(&["--output", "json"]), Exit::Ok);
    let collection: Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!(collection["collected"][0]["pod"], "of-gone");
    assert_eq!(collection["collected"][1]["desktop_uid"], json!(replaced));
    assert_eq!(cluster.apps(), ["of-another", "of-here", "of-nobody"]);

    let (stdout, _) = check(&cluster.collect(&[]), Exit::Ok);
    assert_eq!(stdout, format!("deleted 0 of 1 application pods in {apps}\n"));
}

/// What kubelet puts into every pod with a service account, in a mount namespace of its own.
const POD: &str = r#"
    mount -t tmpfs tmpfs /run
    mkdir -p /run/secrets/kubernetes.io
    cp -r "$1" /run/secrets/kubernetes.io/serviceaccount
    shift
    exec "$@"
"#;

#[test]
fn in_a_pod_it_looks_where_it_runs_with_the_token_that_kubelet_mounts() {
    let Some(plane) = plane() else { return };
    let cluster = Cluster::new(plane);
    cluster.app_of("of-gone", "gone", "no-such-uid");
    let mounted = tempfile::tempdir().unwrap();
    let token = plane.token_for_service_account(&cluster.apps.name, ACCOUNT, None);
    std::fs::write(mounted.path().join("token"), token).unwrap();
    std::fs::write(mounted.path().join("namespace"), &cluster.apps.name).unwrap();
    std::fs::copy(plane.certificate(), mounted.path().join("ca.crt")).unwrap();
    let url = plane.url();
    let (host, port) = url.strip_prefix("https://").unwrap().split_once(':').unwrap();
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-euc", POD, "sh"]).arg(mounted.path());
    command.arg(cargo_bin("deskd")).args(["collect", "--dry-run"]).stdin(Stdio::null());
    command.env_clear().env("PATH", "/usr/bin:/bin");
    command.env("KUBERNETES_SERVICE_HOST", host).env("KUBERNETES_SERVICE_PORT", port);

    let (stdout, _) = check(&command.output().unwrap(), Exit::Ok);

    let last = format!("would delete 1 of 1 application pods in {}\n", cluster.apps.name);
    assert!(stdout.ends_with(&last), "{stdout}");
}

#[test]
fn where_desktops_cannot_be_listed_nothing_is_deleted_and_the_command_says_so() {
    let Some(plane) = plane() else { return };
    let cluster = Cluster::new(plane);
    cluster.app_of("of-gone", "gone", "no-such-uid");
    cluster.desktops.kubectl(&["delete", "rolebinding", "deskd-collector-desktops"]);
    let caller = Caller::new(plane, &cluster.apps.name, ACCOUNT, None);
    let desktops = Desk::pods_path(&cluster.desktops);
    wait::until("the right is gone", || (caller.get(&desktops).code == 403).then_some(()));

    let (stdout, stderr) = check(&cluster.collect(&[]), Exit::Unhealthy);

    assert!(stdout.starts_with("deleted 0 of 1 application pods"), "{stdout}");
    let sentence = format!("application pods of desktops in {} stay", cluster.desktops.name);
    assert!(stderr.contains(&sentence) && stderr.contains("cannot list"), "{stderr}");
    assert_eq!(cluster.apps(), ["of-gone"]);
}

#[test]
fn a_refusal_and_an_absent_api_server_are_told_apart() {
    let Some(plane) = plane() else { return };
    let cluster = Cluster::new(plane);
    let output = cluster.collect(&["--namespace", "kube-system"]);
    assert_eq!(output.status.code(), Some(Exit::Usage as i32), "twice the same option");

    let mut elsewhere = Command::new(cargo_bin("deskd"));
    elsewhere.env_clear().env("KUBECONFIG", &cluster.kubeconfig).stdin(Stdio::null());
    elsewhere.args(["collect", "--namespace", "kube-system"]);
    let (_, stderr) = check(&elsewhere.output().unwrap(), Exit::Refused);
    assert!(stderr.starts_with("deskd: cannot collect application pods: the API server says: "));
    assert!(stderr.contains("remedy: give the service account the rights of"), "{stderr}");

    let config = std::fs::read_to_string(&cluster.kubeconfig).unwrap();
    let nowhere = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(&nowhere, config.replace(&plane.url(), "https://127.0.0.1:1")).unwrap();
    elsewhere.env("KUBECONFIG", nowhere.path());
    let (_, stderr) = check(&elsewhere.output().unwrap(), Exit::Unreachable);
    assert!(stderr.contains("the API server does not answer: "), "{stderr}");

    elsewhere.env_remove("KUBECONFIG");
    let (_, stderr) = check(&elsewhere.output().unwrap(), Exit::Refused);
    assert!(stderr.contains("remedy: set KUBECONFIG, or run this command in a pod"), "{stderr}");
}

#[test]
fn the_collector_may_do_what_it_does_and_nothing_else() {
    let Some(plane) = plane() else { return };
    let cluster = Cluster::new(plane);
    cluster.app("of-nobody", &json!({ "app.kubernetes.io/managed-by": "deskd" }));
    let caller = Caller::new(plane, &cluster.apps.name, ACCOUNT, None);
    assert_eq!(caller.rights(&cluster.apps.name), ["pods: delete list"]);
    assert_eq!(caller.rights(&cluster.desktops.name), ["pods: list"]);

    let path = format!("{}/of-nobody", Desk::pods_path(&cluster.apps));
    let message = wait::until("the policy is in force", || {
        let answer = caller.delete(&format!("{path}?dryRun=All"));
        (answer.code == 403).then(|| answer.message().to_owned())
    });
    assert!(message.contains("the pod of-nobody was not made by a deskd"), "{message}");
}

#[test]
fn the_collector_s_pod_meets_pod_security_restricted() {
    let Some(plane) = plane() else { return };
    let cluster = Cluster::new(plane);
    let label = "pod-security.kubernetes.io/enforce=restricted";
    plane.kubectl(&["label", "namespace", &cluster.apps.name, label]);
    let job = cluster.apps.kubectl_json(&["get", "cronjob", ACCOUNT]);
    let spec = &job["spec"]["jobTemplate"]["spec"]["template"]["spec"];

    cluster.apps.apply(&json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": { "name": "collector" }, "spec": spec,
    }));
}
