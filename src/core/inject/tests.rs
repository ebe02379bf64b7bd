//! What becomes of manifests, by example and by property.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn options() -> Options {
    Options { container: None, image: IMAGE_DEFAULT.into(), binary: Binary::ImageVolume }
}

/// A pod of the shape that abcdesktop makes, as small as it gets.
fn desktop() -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": { "name": "anna", "labels": { "type": "x11server" } },
        "spec": {
            "automountServiceAccountToken": false,
            "securityContext": { "runAsUser": 4096, "runAsGroup": 4096 },
            "initContainers": [{ "name": "i-anna", "image": "init" }],
            "containers": [
                {
                    "name": "x-anna", "image": "oc.user",
                    "env": [
                        { "name": "XAUTH_KEY", "value": "00" },
                        { "name": "X11LISTEN", "value": "tcp" },
                        { "name": "POD_IP", "value": "made up" },
                    ],
                    "volumeMounts": [{ "name": "x11socket", "mountPath": "/tmp/.X11-unix" }],
                },
                { "name": "o-anna", "image": "storage" },
            ],
            "volumes": [{ "name": "x11socket", "emptyDir": {} }],
        },
    })
}

fn injected(document: &Value) -> Value {
    let mut document = document.clone();
    let outcome = inject(&mut document, &options());
    assert_eq!((outcome.injected.len(), outcome.refused), (1, vec![]));
    document
}

fn refused(document: &Value, options: &Options) -> Refused {
    let mut changed = document.clone();
    let mut outcome = inject(&mut changed, options);
    assert_eq!(&changed, document, "it is as it was");
    assert_eq!((outcome.injected.len(), outcome.refused.len()), (0, 1));
    outcome.refused.remove(0)
}

fn sidecar(pod: &Value) -> &Value {
    pod["spec"]["initContainers"].as_array().unwrap().last().unwrap()
}

fn variable<'a>(container: &'a Value, name: &str) -> &'a Value {
    let env = container["env"].as_array().unwrap();
    let found: Vec<_> = env.iter().filter(|entry| entry["name"] == name).collect();
    assert_eq!(found.len(), 1, "{name} in {env:?}");
    found[0]
}

#[test]
fn the_sidecar_comes_last_and_has_what_the_graphical_container_has() {
    let pod = injected(&desktop());
    let deskd = sidecar(&pod);
    assert_eq!(deskd["name"], "deskd");
    assert_eq!(deskd["restartPolicy"], "Always");
    assert_eq!(deskd["image"], "oc.user");
    assert_eq!(variable(deskd, "XAUTH_KEY")["value"], "00");
    assert_eq!(variable(deskd, "POD_IP")["valueFrom"]["fieldRef"]["fieldPath"], "status.podIP");
    assert_eq!(variable(deskd, "DISPLAY")["value"], ":0");
    assert_eq!(
        variable(deskd, "DESKD_ENGINES_DEFAULT")["value"],
        "ephemeral_container,pod_application"
    );
    assert_eq!(deskd["volumeMounts"][0]["name"], "x11socket");
    assert_eq!(deskd["securityContext"]["runAsNonRoot"], true);
    assert_eq!(deskd["securityContext"]["runAsUser"], Value::Null, "the pod says it");
    assert_eq!(pod["spec"]["serviceAccountName"], "deskd");
    assert_eq!(pod["metadata"]["labels"]["netpol/api"], "true");
    assert_eq!(pod["metadata"]["annotations"]["deskd.io/injected"], "x-anna");
    assert_eq!(pod["spec"]["containers"], desktop()["spec"]["containers"], "nothing else changes");
}

#[test]
fn a_read_only_root_of_the_graphical_container_is_one_of_deskd_s() {
    let mut pod = desktop();
    assert_eq!(sidecar(&injected(&pod))["securityContext"]["readOnlyRootFilesystem"], Value::Null);
    pod["spec"]["containers"][0]["securityContext"] = json!({ "readOnlyRootFilesystem": true });
    assert_eq!(sidecar(&injected(&pod))["securityContext"]["readOnlyRootFilesystem"], true);
}

#[test]
fn doing_it_again_changes_nothing_and_an_older_deskd_is_replaced() {
    let once = injected(&desktop());
    assert_eq!(injected(&once), once);
    let mut older = once.clone();
    older["spec"]["initContainers"][1]["command"] = json!(["/old/deskd"]);
    older["spec"]["initContainers"].as_array_mut().unwrap().swap(0, 1);
    older["spec"]["volumes"].as_array_mut().unwrap().push(json!({ "name": "deskd-old" }));
    assert_eq!(injected(&older), once);
    let mut beside = desktop();
    let containers = beside["spec"]["containers"].as_array_mut().unwrap();
    containers.push(json!({ "name": "deskd", "image": "deskd", "env": [{ "name": "XAUTH_KEY" }] }));
    assert_eq!(injected(&beside), once);
}

#[test]
fn a_list_without_items_stays_as_it_is() {
    let list = json!({ "kind": "PodList" });
    let mut injected = list.clone();
    assert_eq!(inject(&mut injected, &options()), Outcome::default());
    assert_eq!(injected, list);
}

#[test]
fn pods_are_found_in_templates_and_lists_and_other_kinds_pass() {
    let pod = desktop();
    let template = json!({ "metadata": pod["metadata"], "spec": pod["spec"] });
    let service = json!({ "kind": "Service", "spec": { "containers": [] } });
    let deployment = json!({ "kind": "Deployment", "metadata": { "name": "d" }, "spec": { "template": template } });
    let job = json!({ "kind": "CronJob",
        "spec": { "jobTemplate": { "spec": { "template": template } } } });
    let pods = json!({ "kind": "PodList", "items": [template] });
    let mut list = json!({ "kind": "List", "items": [service, deployment, job, pods] });
    let outcome = inject(&mut list, &options());
    assert_eq!(outcome.injected.len(), 3);
    assert_eq!(outcome.injected[0].pod, PodName { kind: "Deployment".into(), name: "d".into() });
    assert_eq!(list["items"][0], service);
    let spec = injected(&pod)["spec"].clone();
    assert_eq!(list["items"][1]["spec"]["template"]["spec"], spec);
    assert_eq!(list["items"][2]["spec"]["jobTemplate"]["spec"]["template"]["spec"], spec);
    assert_eq!(list["items"][3]["items"][0]["spec"], spec);
    assert_eq!(list["items"][3]["items"][0]["kind"], Value::Null);
}

#[test]
fn the_graphical_container_is_found_by_what_it_does_or_named() {
    let with = |containers: Value| {
        let mut pod = desktop();
        pod["spec"]["containers"] = containers;
        pod
    };
    for container in [
        json!({ "name": "main", "command": ["/usr/bin/Xvnc", ":0"] }),
        json!({ "name": "main", "image": "example.org/vnc/tigervnc:1" }),
        json!({ "name": "main", "ports": [{ "containerPort": 6081 }] }),
        json!({ "name": "main", "env": [{ "name": "XAUTH_KEY", "valueFrom": {} }] }),
    ] {
        let pod =
            with(json!([{ "name": "vnc.example.org", "image": "vncserver.org/web" }, container]));
        assert_eq!(injected(&pod)["metadata"]["annotations"]["deskd.io/injected"], "main");
    }
    let none = with(json!([{ "name": "web" }, { "name": "db" }]));
    assert!(matches!(refused(&none, &options()),
        Refused::NoGraphical { containers, .. } if containers == ["web", "db"]));
    let two = with(json!([{ "name": "x-a" }, { "name": "x-b" }, { "name": "o-b" }]));
    assert!(matches!(refused(&two, &options()),
        Refused::Several { containers, .. } if containers == ["x-a", "x-b"]));
    let named = |name: &str| Options { container: Some(name.into()), ..options() };
    assert!(matches!(refused(&two, &named("y")), Refused::NoContainer { .. }));
    assert!(matches!(refused(&two, &named("deskd")), Refused::NoContainer { .. }));
    let mut chosen = two.clone();
    assert_eq!(inject(&mut chosen, &named("x-b")).injected.len(), 1);
}

#[test]
fn a_service_account_of_the_pods_own_is_kept_and_tokens_of_the_default_one_are_withdrawn() {
    let mut own = desktop();
    own["spec"]["serviceAccountName"] = "robot".into();
    own["spec"].as_object_mut().unwrap().remove("automountServiceAccountToken");
    let pod = injected(&own);
    assert_eq!(pod["spec"]["serviceAccountName"], "robot");
    assert_eq!(pod["spec"]["automountServiceAccountToken"], Value::Null);
    own["spec"]["serviceAccountName"] = "default".into();
    let outcome = inject(&mut own, &options());
    assert!(outcome.injected[0].assumed.contains(&Assumption::TokensWithdrawn));
    assert_eq!(own["spec"]["automountServiceAccountToken"], false);
}

#[test]
fn users_limits_and_displays_are_taken_over_as_far_as_they_are_good_for_deskd() {
    let mut pod = desktop();
    let graphical = &mut pod["spec"]["containers"][0];
    graphical["securityContext"] = json!({ "runAsUser": 0, "privileged": true });
    graphical["resources"] = json!({ "limits": { "memory": "1Gi", "nvidia.com/gpu": 1 } });
    graphical["env"] = json!([{ "name": "DISPLAY", "value": "10.0.0.1:0" }]);
    graphical["envFrom"] = json!([{ "configMapRef": { "name": "more" } }]);
    let pod = injected(&pod);
    let deskd = sidecar(&pod);
    assert_eq!(deskd["securityContext"]["runAsUser"], 0);
    assert_eq!(deskd["securityContext"]["runAsNonRoot"], Value::Null);
    assert_eq!(deskd["securityContext"]["privileged"], Value::Null);
    assert_eq!(deskd["resources"]["limits"], json!({ "memory": "1Gi" }));
    assert_eq!(variable(deskd, "DISPLAY")["value"], ":0");
    assert_eq!(variable(deskd, "DESKD_ENGINES_DEFAULT")["value"], "ephemeral_container");
    assert_eq!(deskd["envFrom"][0]["configMapRef"]["name"], "more");
}

#[test]
fn without_image_volumes_deskd_comes_in_its_own_image() {
    let options = Options { binary: Binary::OwnImage, image: "r/deskd:1".into(), ..options() };
    let mut pod = desktop();
    inject(&mut pod, &options);
    let deskd = sidecar(&pod);
    assert_eq!(deskd["image"], "r/deskd:1");
    assert_eq!(deskd["command"], json!(["/usr/local/bin/deskd", "run", "--lenient"]));
    assert!(!pod.to_string().contains("deskd-bin"));
}

/// Any JSON, with the names that matter often in it.
fn anything() -> impl Strategy<Value = Value> {
    let key = prop_oneof![
        "[a-z]{0,3}",
        proptest::sample::select(vec![
            "kind",
            "metadata",
            "spec",
            "template",
            "items",
            "containers",
            "initContainers",
            "env",
            "name",
            "value",
            "volumes",
            "volumeMounts",
            "labels",
            "annotations",
            "securityContext",
            "command",
            "ports",
            "containerPort",
            "resources",
            "limits",
            "runAsUser",
        ])
        .prop_map(ToOwned::to_owned),
    ];
    let text = prop_oneof![
        "[a-z/-]{0,4}",
        proptest::sample::select(vec![
            "Pod",
            "List",
            "Deployment",
            "x-a",
            "deskd",
            "Xvnc",
            "XAUTH_KEY"
        ])
        .prop_map(ToOwned::to_owned),
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        text.prop_map(Value::from),
    ];
    leaf.prop_recursive(6, 48, 6, move |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::btree_map(key.clone(), inner, 0..6)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn whatever_the_manifest_it_ends_and_doing_it_again_changes_nothing(
        spec in anything(), metadata in anything(), containers in anything(), whole in anything(),
    ) {
        let mut pod = json!({ "kind": "Pod", "metadata": metadata, "spec": spec });
        if let Some(spec) = pod["spec"].as_object_mut() {
            spec.insert("containers".into(), json!([{ "name": "x" }, containers]));
        }
        for mut document in [pod, whole] {
            inject(&mut document, &options());
            let once = document.clone();
            inject(&mut document, &options());
            prop_assert_eq!(document, once);
        }
    }
}
