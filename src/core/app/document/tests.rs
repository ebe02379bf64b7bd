//! Documents as they are published, and as they should not be.

mod containers;

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::app::access::AccessList;
use crate::app::container::{AppPort, AppProbe, ContainerApp, ShmNeed};
use crate::plan::EngineKind;

#[expect(clippy::disallowed_methods, reason = "fixtures are files")]
fn fixture(name: &str) -> Vec<App> {
    let path = format!("{}/tests/fixtures/apps/docs-{name}.json", env!("DESKD_ROOT"));
    parse(&std::fs::read_to_string(path).unwrap(), AppSource::Api).unwrap()
}

fn only(name: &str) -> (App, ContainerApp) {
    let mut apps = fixture(name);
    assert_eq!(apps.len(), 1);
    let app = apps.remove(0);
    let container = *app.container.clone().unwrap();
    (app, container)
}

/// A docker document with these labels.
fn labelled(labels: &Value) -> (App, ContainerApp) {
    let mut labels = labels.clone();
    labels["oc.type"] = "app".into();
    let image = json!({"Id": "sha256:1", "RepoTags": ["x:1"], "Config": {"Labels": labels}});
    let app = read(&image, AppSource::Api).unwrap().remove(0);
    let container = *app.container.clone().unwrap();
    (app, container)
}

#[test]
fn the_gtk_game_is_an_ephemeral_container_with_the_exact_program() {
    let (app, container) = only("2048-alpine");
    assert_eq!((app.id.as_str(), app.display_name.as_str()), ("2048-alpine", "2048 alpine"));
    assert_eq!(app.wm_class.as_deref(), Some("org.gnome.TwentyFortyEight.Gnome-2048"));
    assert_eq!(app.keywords, ["2048", "game", "tiles"]);
    assert_eq!(app.categories, ["games"]);
    assert!(app.icon.unwrap().starts_with("data:image/svg+xml;base64,PD94"));
    assert_eq!(app.local.command, ["/usr/bin/gnome-2048"]);
    assert_eq!(app.problems, Vec::<String>::new());
    assert_eq!(container.image, "docker.io/abcdesktopio/2048-alpine.d:3.2");
    assert_eq!(container.program, ["/usr/bin/gnome-2048"]);
    assert_eq!(container.image_command, ["/composer/appli-docker-entrypoint.sh"]);
    assert_eq!(container.engine, Some(EngineKind::EphemeralContainer));
    assert_eq!(container.size_bytes, Some(312_654_321));
    assert_eq!(container.architecture.as_deref(), Some("amd64"));
    assert_eq!(container.cwd.as_deref(), Some("/home/balloon"));
    assert_eq!(container.access, AccessList { permit: Some(vec!["all".into()]), deny: vec![] });
}

#[test]
fn the_qt_game_is_a_pod_and_its_switches_stay_in_its_image() {
    let (app, container) = only("2048-ubuntu");
    assert_eq!(container.engine, Some(EngineKind::PodApplication));
    assert_eq!(container.execute_class.as_deref(), Some("bronze"));
    assert_eq!(container.env["QT_X11_NO_MITSHM"], "1");
    assert_eq!(app.local.command, ["/usr/games/2048-qt"]);
    assert!(app.local.env.is_empty());
    assert_eq!(app.problems, Vec::<String>::new());
}

#[test]
fn what_crictl_prints_is_read_as_well() {
    let (app, container) = only("crictl");
    assert_eq!((app.id.as_str(), app.display_name.as_str()), ("gedit", "Text editor"));
    assert_eq!(container.image, "docker.io/abcdesktopio/gedit.d:3.2");
    assert_eq!(container.image_id.unwrap().len(), "sha256:".len() + 64);
    assert_eq!(container.size_bytes, Some(287_654_321));
    let entrypoint = "/composer/appli-docker-entrypoint.sh";
    assert_eq!(container.image_command, [entrypoint, "gedit", "--standalone"]);
    assert!(container.program.is_empty() && app.local.command.is_empty());
    assert_eq!(container.engine, None);
    assert_eq!(app.file_extensions, ["txt", "md", "log"]);
    assert_eq!(app.problems, Vec::<String>::new());
}

#[test]
fn every_label_has_its_meaning_and_unknown_ones_are_kept() {
    let apps = fixture("firefox");
    let ids: Vec<_> = apps.iter().map(|app| app.id.as_str()).collect();
    assert_eq!(ids, ["firefox", "terminal-mulateur"]);
    assert_eq!(apps[1].display_name, "Terminal Émulateur");
    let app = &apps[0];
    let container = app.container.as_deref().unwrap();
    assert_eq!(app.wm_class.as_deref(), Some("Navigator.firefox-esr"));
    assert_eq!(app.categories, ["internet", "office"]);
    assert_eq!(app.keywords, ["firefox", "web", "browser", "internet"]);
    assert_eq!(app.file_extensions, ["html", "htm", "xhtml", "xml", "mht"]);
    assert!(app.opens("image/png") && app.opens("x-scheme-handler/https") && app.opens("XHTML"));
    let command =
        ["/usr/lib/firefox/firefox", "--no-remote", "--profile", "/home/balloon/my profile"];
    assert_eq!(container.program, command);
    assert_eq!(container.image_command, ["/composer/appli-docker-entrypoint.sh", "--default"]);
    assert_eq!(container.access.deny, ["interns"]);
    assert_eq!(container.network_rules, ["data", "internet"]);
    assert_eq!(container.secrets, ["desktop/vault"]);
    assert_eq!(container.unique_run_key.as_deref(), Some("firefox"));
    assert_eq!(
        (container.show_in_view.as_deref(), container.exec_mode.as_deref()),
        (Some("dock"), None)
    );
    assert_eq!(container.shm, ShmNeed::Required);
    let port = |name: Option<&str>, port| AppPort {
        name: name.map(ToOwned::to_owned),
        port,
        protocol: "TCP".into(),
    };
    assert_eq!(container.ports, [port(None, 8080), port(Some("debug"), 6000)]);
    let probe = AppProbe::HttpGet { path: "/health".into(), port: 8080 };
    assert_eq!(container.probe, Some(probe));
    assert_eq!((container.grace_s, container.deadline_s), (Some(45), Some(8 * 3600)));
    assert!(container.labels.contains_key("org.opencontainers.image.source"));
    assert!(container.labels.contains_key("oc.securitycontext"));
    assert!(!container.labels.contains_key("oc.icondata"));
    assert_eq!(app.problems, Vec::<String>::new());
}

#[test]
fn a_malformed_document_is_still_an_application_and_says_everything_that_is_wrong() {
    let (app, container) = only("malformed");
    assert_eq!((app.id.as_str(), app.display_name.as_str()), ("broken", "broken"));
    for word in [
        "Architecture",
        "Size",
        "Env",
        "Cmd",
        "WorkingDir",
        "neither a tag nor a digest",
        "oc.args",
        "oc.icondata",
        "oc.acl",
        "oc.rules",
        "oc.containerengine",
        "oc.secrets_requirement",
        "io.deskd.shm",
        "io.deskd.ports",
        "io.deskd.probe",
        "io.deskd.grace",
        "io.deskd.deadline",
    ] {
        assert!(app.problems.iter().any(|problem| problem.contains(word)), "{word}");
    }
    assert!(!app.problems.iter().any(|problem| problem.contains("securitycontext")));
    assert_eq!(container.program, ["/usr/bin/broken", "--title", "\"open", "end"]);
    assert_eq!(container.image, format!("sha256:{}", "8".repeat(64)));
    assert_eq!(container.env, BTreeMap::from([("PATH".into(), "/bin".into())]));
    assert_eq!(container.labels["x-unknown"], "kept");
    assert_eq!(container.labels["oc.number"], "5");
    assert_eq!(container.access.permit, Some(vec![]));
}

#[test]
fn access_lists_have_the_forms_of_abcdesktop_and_what_is_none_permits_nobody() {
    let owned = |names: &[&str]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
    let list = |permit: Option<&[&str]>, deny: &[&str]| AccessList {
        permit: permit.map(owned),
        deny: owned(deny),
    };
    let nobody = list(Some(&[]), &[]);
    for (label, expect, problems) in [
        ("", list(None, &[]), 0),
        ("null", list(None, &[]), 0),
        ("{}", list(None, &[]), 0),
        (r#"{"permit": ["all"]}"#, list(Some(&["all"]), &[]), 0),
        (r#"{"permit": "staff", "deny": ["a", " b "]}"#, list(Some(&["staff"]), &["a", "b"]), 0),
        (r#"{"permit": null, "deny": []}"#, list(None, &[]), 0),
        (r#"{"permit": ["all"], "denny": ["x"]}"#, nobody.clone(), 1),
        (r#"{"permit": ["all"], "deny": 5}"#, nobody.clone(), 1),
        (r#"{"permit": [["all"]]}"#, nobody.clone(), 1),
        (r#"["all"]"#, nobody.clone(), 1),
        ("all", nobody, 1),
    ] {
        let (app, container) = labelled(&json!({"oc.acl": label}));
        assert_eq!(container.access, expect, "{label}");
        assert_eq!(app.problems.len(), problems, "{label}: {:?}", app.problems);
    }
}

#[test]
fn rules_secrets_times_and_words_have_several_forms() {
    for (rules, expect) in [
        (r#"{"homedir":{"default":true}}"#, vec![]),
        (r#"{"network":"intranet"}"#, vec!["intranet"]),
        (r#"{"network":["a","b"]}"#, vec!["a", "b"]),
        (r#"{"network":{"default":true,"b":true,"c":false,"d":null}}"#, vec!["b"]),
        (r#"{"network":true}"#, vec![]),
    ] {
        let (app, container) = labelled(&json!({"oc.rules": rules}));
        assert_eq!(container.network_rules, expect, "{rules}");
        assert!(app.problems.is_empty(), "{rules}: {:?}", app.problems);
    }
    for (secrets, expect) in
        [("vault", vec!["vault"]), (r#""vault""#, vec!["vault"]), (r#"["a","b"]"#, vec!["a", "b"])]
    {
        assert_eq!(labelled(&json!({"oc.secrets_requirement": secrets})).1.secrets, expect);
    }
    for (time, expect) in
        [("0", Some(0)), ("90", Some(90)), ("2 m", Some(120)), ("-1", None), ("99d", None)]
    {
        let (app, container) = labelled(&json!({"io.deskd.grace": time}));
        assert_eq!(container.grace_s, expect, "{time}");
        assert_eq!(app.problems.is_empty(), expect.is_some());
    }
    for (ports, problem) in [
        (r#"[{"port": 0}]"#, "port 0"),
        (r#"[{"port": 1, "protocol": "tcp"}]"#, "protocol"),
        (r#"[{"port": 1, "name": "no_name"}]"#, "no_name"),
        (r#"[{"prot": 1}]"#, "prot"),
    ] {
        let (app, _) = labelled(&json!({"io.deskd.ports": ports}));
        assert!(app.problems[0].contains(problem), "{app:?}");
    }
}

#[test]
fn what_is_no_image_is_refused_and_of_two_with_one_name_the_later_counts() {
    use DocumentError::{Blank, Empty, Json, Nameless, Recipe, Shape};
    assert_eq!(read(&json!([]), AppSource::Api), Err(Empty));
    assert_eq!(read(&json!({"id": "xclock"}), AppSource::Api), Err(Shape(None)));
    assert_eq!(read(&json!([{"Config": {}, "Id": "1"}, 5]), AppSource::Api), Err(Shape(Some(1))));
    assert_eq!(read(&json!({"Config": {}}), AppSource::Api), Err(Nameless(None)));
    assert!(matches!(parse("{", AppSource::Api), Err(Json(_))));
    assert_eq!(parse(" \n", AppSource::Api), Err(Blank));
    let recipe =
        json!([{"cat": "games", "launch": "2048.2048", "template": "ubuntu", "path": "/x"}]);
    assert_eq!(read(&recipe, AppSource::Api), Err(Recipe(Some(0))));
    let twice = json!([{"Id": "a", "RepoTags": ["x:1"]}, {"Id": "b", "RepoTags": ["x:2"]}]);
    let apps = read(&twice, AppSource::Directory).unwrap();
    assert_eq!(apps.len(), 1);
    assert_eq!(apps[0].container.as_ref().unwrap().image, "x:2");
    assert!(apps[0].problems.iter().any(|problem| problem.contains("only the last one is used")));
    assert_eq!(apps[0].source, AppSource::Directory);
    assert!(is_document(&twice) && is_document(&twice[0]) && !is_document(&json!({"id": "x"})));
}

/// Any JSON, often with the keys that mean something.
fn json_value() -> impl Strategy<Value = Value> {
    let key = prop_oneof![
        prop::sample::select(vec![
            "Config",
            "Labels",
            "RepoTags",
            "Id",
            "Env",
            "Cmd",
            "Entrypoint",
            "status",
            "info",
            "imageSpec",
            "config",
            "id",
            "repoTags",
            "size",
            "Size",
            "WorkingDir",
        ])
        .prop_map(ToOwned::to_owned),
        ".{0,8}",
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        ".{0,12}".prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 64, 8, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::hash_map(key.clone(), inner, 0..6)
                .prop_map(|entries| Value::Object(entries.into_iter().collect())),
        ]
    })
}

const LABELS: [&str; 21] = [
    "oc.name",
    "oc.displayname",
    "oc.launch",
    "oc.path",
    "oc.args",
    "oc.icondata",
    "oc.keyword",
    "oc.mimetype",
    "oc.fileextensions",
    "oc.containerengine",
    "oc.acl",
    "oc.rules",
    "oc.secrets_requirement",
    "oc.host_config",
    "oc.usedefaultapplication",
    "io.deskd.entrypoint",
    "io.deskd.shm",
    "io.deskd.ports",
    "io.deskd.probe",
    "io.deskd.grace",
    "io.deskd.deadline",
];

/// Label values: garbage, and JSON that is not what it should be.
fn label_value() -> impl Strategy<Value = Value> {
    prop_oneof![
        "[ -~]{0,24}".prop_map(Value::from),
        ".{0,24}".prop_map(Value::from),
        json_value().prop_map(|value| Value::from(value.to_string())),
        json_value(),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..Default::default() })]
    #[test]
    fn no_json_and_no_text_panics(value in json_value(), text in ".*") {
        let _ = (read(&value, AppSource::Api), parse(&text, AppSource::Api), is_document(&value));
    }

    #[test]
    fn no_label_loses_the_application(
        labels in prop::collection::hash_map(prop::sample::select(&LABELS[..]), label_value(), 0..21),
    ) {
        let labels: BTreeMap<_, _> = labels.into_iter().collect();
        let (app, container) = labelled(&json!(labels));
        prop_assert!(!app.display_name.is_empty() && container.image == "x:1");
        prop_assert!(app.problems.iter().all(|problem| !problem.is_empty()));
        // And it survives the journal.
        let text = serde_json::to_string(&app).unwrap();
        prop_assert_eq!(serde_json::from_str::<App>(&text).unwrap(), app);
    }

    #[test]
    fn what_is_known_comes_out_as_it_was_written(
        permit in prop::collection::vec("[a-z]{1,8}", 0..4),
        deny in prop::collection::vec("[a-z]{1,8}", 0..4),
        args in prop::collection::vec("[ -~]{0,10}", 0..5),
        port in 1u16..,
        grace in 0u32..=2_592_000,
    ) {
        let acl = AccessList { permit: Some(permit), deny };
        let (app, container) = labelled(&json!({
            "oc.path": "/bin/x",
            "oc.args": shell_words::join(&args),
            "oc.acl": serde_json::to_string(&acl).unwrap(),
            "io.deskd.ports": json!([{"port": port}]).to_string(),
            "io.deskd.probe": json!({"tcp": {"port": port}}).to_string(),
            "io.deskd.grace": grace.to_string(),
        }));
        prop_assert_eq!(&container.program[1..], &args);
        prop_assert_eq!(container.access, acl);
        prop_assert_eq!(container.ports[0].port, port);
        prop_assert_eq!(container.probe, Some(AppProbe::Tcp { port }));
        prop_assert_eq!(container.grace_s, Some(grace));
        prop_assert!(app.problems.is_empty());
    }
}
