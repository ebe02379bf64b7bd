//! `container/` as a kustomization and as a Helm chart: both make the same objects, of the same values,
//! and a real API server takes them.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::{Map, Value, json};

use crate::support::charts::{self, helm, kustomize, objects, repository};
use crate::support::control_plane::{self, ControlPlane};
use crate::support::kube_desk::KubeDesk;
use crate::support::rights::Caller;
use crate::support::{needs, wait};

const PARTS: [&str; 5] = ["collector", "inject", "monitoring", "network", "nodes"];
/// Keys of values.yaml that are no values: those of an object, and what Helm alone reads.
const NO_VALUES: [&str; 4] = ["apiVersion", "kind", "metadata", "parts"];

fn read(path: &str) -> String {
    std::fs::read_to_string(repository(path)).expect(path)
}

fn yaml(path: &str) -> Value {
    serde_saphyr::from_str(&read(path)).expect(path)
}

fn values() -> Map<String, Value> {
    yaml("container/values.yaml").as_object().expect("a map").clone()
}

/// The values with all parts turned on, and each of them another than the default.
fn other_values(namespace: &str, apps_namespace: &str) -> Value {
    let mut values = values();
    for (key, value) in &mut values {
        if NO_VALUES.contains(&key.as_str()) {
            continue;
        }
        *value = match (key.as_str(), &*value) {
            ("namespace", _) => json!(namespace),
            ("appsNamespace", _) => json!(apps_namespace),
            // OpenShift's: a number that would be written with an exponent.
            ("uid", _) => json!(1_000_650_000),
            ("allowedGroups", _) => json!("0 1000650000"),
            ("collectorSchedule", _) => json!("7 * * * *"),
            ("scrapeInterval", _) => json!("90s"),
            (_, Value::Bool(value)) => json!(!value),
            (_, Value::Number(_)) => json!(77),
            (_, Value::String(_)) => json!(format!("other-{}", key.to_lowercase())),
            (_, other) => panic!("{key}: {other}"),
        };
    }
    values["parts"] = PARTS.iter().map(|part| ((*part).to_owned(), json!(true))).collect();
    values.into()
}

/// An overlay with these parts and values, as an operator would write it.
fn overlay(parts: &[&str], values: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a directory");
    // Kustomize wants relative paths.
    let up: String = dir.path().components().skip(1).map(|_| "../").collect();
    let base = format!("{up}{}", repository("container").strip_prefix("/").expect("/").display());
    let mut resources: Vec<_> =
        [&["base"], parts].concat().iter().map(|part| format!("{base}/{part}")).collect();
    resources.push("values.yaml".to_owned());
    let components = [format!("{base}/values")];
    let kustomization = json!({ "resources": resources, "components": components });
    std::fs::write(dir.path().join("kustomization.yaml"), kustomization.to_string())
        .expect("kustomization.yaml");
    std::fs::write(dir.path().join("values.yaml"), values).expect("values.yaml");
    dir
}

/// `helm template` with one more file of values.
fn template(file: Option<&Path>) -> Result<String, String> {
    let chart = repository("container");
    let mut arguments = vec!["template", "deskd", chart.to_str().expect("a path")];
    if let Some(file) = file {
        arguments.extend(["--values", file.to_str().expect("a path")]);
    }
    let home = tempfile::tempdir().expect("a directory");
    helm(&arguments, home.path())
}

#[track_caller]
fn same(kustomized: &str, templated: &str) -> Vec<Value> {
    let (kustomized, templated) = (objects(kustomized), objects(templated));
    for (one, other) in kustomized.iter().zip(&templated) {
        assert_eq!(one, other);
    }
    assert_eq!(kustomized.len(), templated.len());
    kustomized
}

#[test]
fn helm_and_kustomize_make_the_same_objects() {
    if !charts::available() {
        return;
    }
    let default = same(&kustomize(&repository("container")).unwrap(), &template(None).unwrap());
    let files = [read("container/base/rbac.yaml"), read("container/base/admission.yaml")];
    assert_eq!(default, objects(&files.join("\n---\n")), "values.yaml says what the files say");

    let directory = repository("container/overlays/abcdesktop");
    let file = directory.join("values.yaml");
    let abcdesktop = same(&kustomize(&directory).unwrap(), &template(Some(&file)).unwrap());
    assert!(abcdesktop.iter().any(|object| object["kind"] == "MutatingAdmissionPolicy"));
}

#[test]
fn each_value_has_its_place_in_both() {
    if !charts::available() {
        return;
    }
    let others = other_values("some-desktops", "some-apps").to_string();
    let overlay = overlay(&PARTS, &others);
    let file = overlay.path().join("values.yaml");
    let made = same(&kustomize(overlay.path()).unwrap(), &template(Some(&file)).unwrap());

    let text = serde_json::to_string(&made).unwrap();
    for (key, value) in values() {
        if NO_VALUES.contains(&key.as_str()) {
            continue;
        }
        let other = &serde_json::from_str::<Value>(&others).unwrap()[&key];
        let word = other.as_str().map_or_else(|| other.to_string(), str::to_owned);
        assert!(text.contains(&word), "{key}: {word} is nowhere");
        // No default is left where an expression begins with it.
        if let Some(default) = value.as_str().filter(|default| !default.is_empty()) {
            assert!(!text.contains(&format!("\"'{default}'")), "{key}: {default} is left");
        }
    }
    let namespaces: BTreeSet<_> =
        made.iter().filter_map(|object| object["metadata"]["namespace"].as_str()).collect();
    assert_eq!(namespaces, BTreeSet::from(["some-apps", "some-desktops"]));
    assert!(!text.contains("serviceaccount:desktop"), "{text}");
    let subjects = made.iter().filter_map(|object| object["subjects"].as_array()).flatten();
    for subject in subjects {
        let of_collector = subject["name"] == "deskd-collector";
        let expected = if of_collector { "some-apps" } else { "some-desktops" };
        assert_eq!(subject["namespace"], expected, "{subject}");
    }
}

#[test]
fn the_schema_knows_every_value_and_refuses_what_is_none_with_its_name() {
    let schema: Value = serde_json::from_str(&read("container/values.schema.json")).unwrap();
    let known = schema["properties"].as_object().unwrap();
    let values = values();
    let keys = |map: &Map<String, Value>, without: &[&str]| -> BTreeSet<String> {
        map.keys().filter(|key| !without.contains(&key.as_str())).cloned().collect()
    };
    assert_eq!(keys(known, &["global"]), keys(&values, &[]));
    let replaced = yaml("container/values/kustomization.yaml");
    let replaced = replaced["replacements"].as_array().unwrap().iter();
    let replaced: BTreeSet<_> = replaced
        .map(|replacement| replacement["source"]["fieldPath"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(replaced, keys(&values, &NO_VALUES), "each has a place");
    if !charts::available() {
        return;
    }
    let refused = |key: &str, value: Value| {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("values.yaml");
        std::fs::write(&file, json!({ key: value }).to_string()).unwrap();
        template(Some(&file)).expect_err(key)
    };
    for (key, value, sentence) in [
        ("uid", json!("4096"), "at '/uid': got string, want integer"),
        ("uid", json!(0), "at '/uid': minimum: got 0, want 1"),
        ("allowedImages", json!(["a/", "b/"]), "at '/allowedImages': got array, want string"),
        ("allowedSecrets", json!("a' || true || '"), "at '/allowedSecrets': 'a\\' || true"),
        ("image", json!("two words"), "at '/image': 'two words' does not match pattern"),
        ("stopsOthers", json!("yes"), "at '/stopsOthers': got string, want boolean"),
        ("parts", json!({ "injekt": true }), "at '/parts': additional properties 'injekt' not"),
        ("namespace", json!("Desktops"), "at '/namespace': 'Desktops' does not match pattern"),
        ("colour", json!("red"), "additional properties 'colour' not allowed"),
    ] {
        let message = refused(key, value);
        assert!(message.contains(sentence), "{key}: {message}");
    }
}

#[test]
fn kustomize_names_a_value_that_is_missing() {
    if !charts::available() {
        return;
    }
    let mut some = values();
    some.remove("allowedClaims");
    let overlay = overlay(&[], &Value::Object(some).to_string());
    let message = kustomize(overlay.path()).expect_err("a value is missing");
    assert!(message.contains("allowedClaims"), "{message}");
}

#[test]
fn the_chart_has_the_version_of_the_program() {
    let chart = yaml("container/Chart.yaml");
    for key in ["version", "appVersion"] {
        assert_eq!(chart[key], env!("CARGO_PKG_VERSION"), "{key} of container/Chart.yaml");
    }
}

/// What the API server has of a manifest.
fn present(plane: &ControlPlane, manifest: &str) -> Vec<String> {
    let get = ["get", "--filename", "-", "--ignore-not-found", "--output", "name"];
    let names = plane.kubectl_input(&plane.admin_kubeconfig(), &get, manifest).unwrap();
    names.lines().map(str::to_owned).collect()
}

/// Waits until deskd's account may not create a pod that it could create but for the policies.
fn until_bound(plane: &ControlPlane, desktops: &str, apps: &str) {
    let deskd = Caller::new(plane, desktops, "deskd", None);
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": { "name": "app" },
        "spec": { "containers": [{ "name": "app", "image": "other-allowedimages" }] },
    });
    wait::until("the policies are in force", || {
        let answer = deskd.post(&format!("/api/v1/namespaces/{apps}/pods?dryRun=All"), &pod);
        answer.message().contains("the token is not bound to a pod").then_some(())
    });
}

#[test]
fn an_api_server_takes_what_both_make_and_removes_it() {
    if !charts::available() || !control_plane::available() || !needs::met(&["curl"], &[]) {
        return;
    }
    // One of its own: the policies are for all of a cluster.
    let plane = ControlPlane::start();
    plane.start_controllers();
    for kind in ["podmonitors", "prometheusrules"] {
        let file = charts::helm_directory().unwrap().join(format!("{kind}.yaml"));
        plane.kubectl(&["create", "--filename", file.to_str().unwrap()]);
        let name = format!("crd/{kind}.monitoring.coreos.com");
        plane.kubectl(&["wait", "--for=condition=Established", &name, "--timeout=60s"]);
    }
    let (desktops, apps) = (plane.namespace("desktops"), plane.namespace("apps"));
    let values = other_values(&desktops.name, &apps.name).to_string();
    let overlay = overlay(&PARTS, &values);
    let manifest = kustomize(overlay.path()).unwrap();
    let all = objects(&manifest).len();

    // What no version of an object's kind knows would be a mistake of ours.
    let apply = ["apply", "--server-side", "--validate=strict", "--filename", "-"];
    plane.kubectl_input(&plane.admin_kubeconfig(), &apply, &manifest).unwrap();
    assert_eq!(present(&plane, &manifest).len(), all);
    until_bound(&plane, &desktops.name, &apps.name);
    for name in ["deskd-containers", "deskd-pods", "deskd-deletion", "deskd-collector"] {
        let warnings = wait::until("the policy is checked", || {
            let policy = plane.kubectl_json(&["get", "validatingadmissionpolicy", name]);
            let status = policy["status"]["typeChecking"].clone();
            status.is_object().then_some(status["expressionWarnings"].clone())
        });
        assert!(warnings.is_null(), "{name}: {warnings}");
    }
    let delete = ["delete", "--filename", "-"];
    plane.kubectl_input(&plane.admin_kubeconfig(), &delete, &manifest).unwrap();
    assert_eq!(present(&plane, &manifest), [""; 0]);

    let home = tempfile::tempdir().unwrap();
    let (chart, file) = (repository("container"), overlay.path().join("values.yaml"));
    let kubeconfig = plane.admin_kubeconfig();
    let kubeconfig = kubeconfig.to_str().unwrap();
    let install = ["install", "deskd", chart.to_str().unwrap(), "--values", file.to_str().unwrap()];
    helm(&[&install[..], &["--kubeconfig", kubeconfig]].concat(), home.path()).unwrap();
    assert_eq!(present(&plane, &manifest).len(), all);
    until_bound(&plane, &desktops.name, &apps.name);
    helm(&["uninstall", "deskd", "--kubeconfig", kubeconfig], home.path()).unwrap();
    assert_eq!(present(&plane, &manifest), [""; 0]);
}

/// The names of deskd's metrics in a text, as `/metrics` has them: of a histogram, without its parts.
fn metrics_in(text: &str) -> BTreeSet<String> {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let words = text.split(|c| !word(c)).filter(|name| name.starts_with("deskd_"));
    let base = |name: &str| {
        let parts = ["_bucket", "_sum", "_count"].into_iter();
        parts.filter_map(|part| name.strip_suffix(part)).next().unwrap_or(name).to_owned()
    };
    words.map(base).collect()
}

#[test]
fn each_metric_of_the_dashboard_and_the_alerts_exists() {
    if !control_plane::available() || !needs::met(&["curl"], &[]) {
        return;
    }
    let used = metrics_in(&read("container/monitoring/alerts.yaml"));
    let used: BTreeSet<_> =
        used.union(&metrics_in(&read("container/monitoring/dashboard.json"))).cloned().collect();
    assert!(used.len() > 8, "{used:?}");
    let plane = ControlPlane::shared();
    let failing = "[app.ends]\nneeds_display = false\ncommand = [\"sh\", \"-c\", \
                   \"echo 'sh: 1: no-such-program: not found' >&2; exit 127\"]\n";
    let desk = KubeDesk::start(plane, failing, None);
    desk.until_known();
    desk.desk.launch("ends");
    wait::until("all of them are counted", || {
        let there = metrics_in(&desk.desk.ask("GET", "/metrics").send().text());
        let missing: Vec<_> = used.difference(&there).collect();
        println!("missing: {missing:?}");
        missing.is_empty().then_some(())
    });
}
