//! Labels about the container: which command it runs, its home, what Docker would give it, and
//! which file types are its own.

use serde_json::json;

use super::*;
use crate::app::container::{EntryPoint, HomeNeed, HostConfig};

/// A docker document with this configuration.
fn configured(config: &Value) -> (App, ContainerApp) {
    let image = json!({"Id": "sha256:1", "RepoTags": ["x:1"], "Config": config});
    let app = read(&image, AppSource::Api).unwrap().remove(0);
    let container = *app.container.clone().unwrap();
    (app, container)
}

#[test]
fn both_commands_are_kept_and_arguments_as_they_were_given_too() {
    let (app, container) = configured(&json!({
        "Entrypoint": ["/entry.sh"],
        "Cmd": ["--prepare"],
        "Labels": {"oc.path": "/usr/bin/edit", "oc.args": " -a 'b c' "},
    }));
    assert_eq!(container.image_command, ["/entry.sh", "--prepare"]);
    assert_eq!(container.program, ["/usr/bin/edit", "-a", "b c"]);
    assert_eq!(container.args.as_deref(), Some("-a 'b c'"));
    assert_eq!((container.entrypoint, container.program_name()), (None, Some("edit")));
    assert_eq!(app.local.command, container.program);
}

#[test]
fn without_a_path_there_is_no_program_and_nothing_to_run_outside_of_the_image() {
    let labels = json!({"oc.name": "x", "oc.args": "-a"});
    let (app, container) = configured(&json!({"Cmd": ["/bin/sh"], "Labels": labels}));
    assert_eq!(container.image_command, ["/bin/sh"]);
    assert_eq!((container.program.len(), container.args), (0, None));
    assert!(app.local.command.is_empty());
    assert_eq!(app.problems, Vec::<String>::new());
}

#[test]
fn the_document_may_choose_its_command() {
    let labelled = |label: &str, path: &str| {
        let labels = json!({"oc.path": path, "oc.type": "app", "io.deskd.entrypoint": label});
        let (app, container) = configured(&json!({"Cmd": ["/entry.sh"], "Labels": labels}));
        (container.entrypoint, app.problems.join("\n"))
    };
    assert_eq!(labelled("image", "/bin/x"), (Some(EntryPoint::Image), String::new()));
    assert_eq!(labelled("program", "/bin/x"), (Some(EntryPoint::Program), String::new()));
    let (entrypoint, problem) = labelled("Entrypoint", "/bin/x");
    assert_eq!(entrypoint, None);
    assert!(problem.contains("io.deskd.entrypoint is `Entrypoint`, which is not image or program"));
    let (entrypoint, problem) = labelled("program", "");
    assert_eq!(entrypoint, None);
    assert!(
        problem.contains("io.deskd.entrypoint") && problem.contains("add oc.path"),
        "{problem}"
    );
}

#[test]
fn a_home_of_its_own_is_what_the_rules_say_and_no_network() {
    for (rules, home) in [
        (r#"{"homedir":{"default":true}}"#, HomeNeed::Shared),
        (r#"{"homedir":{"default":false}}"#, HomeNeed::Private),
        (r#"{"homedir":false}"#, HomeNeed::Private),
        (r#"{"homedir":{"shared":true}}"#, HomeNeed::Shared),
        (r#"{"network":{"homedir":false}}"#, HomeNeed::Shared),
        ("null", HomeNeed::Shared),
        ("", HomeNeed::Shared),
    ] {
        let (app, container) = labelled(&json!({"oc.rules": rules}));
        assert_eq!(container.home, home, "{rules}");
        assert_eq!(container.network_rules, Vec::<String>::new(), "{rules}");
        assert_eq!(app.problems, Vec::<String>::new(), "{rules}");
    }
    let rules = r#"{"homedir":{"default":false},"network":{"lab":true}}"#;
    let (_, container) = labelled(&json!({"oc.rules": rules}));
    assert_eq!((container.home, container.network_rules), (HomeNeed::Private, vec!["lab".into()]));
    let (app, container) = labelled(&json!({"oc.rules": r#"{"homedir":{"default":"no"}}"#}));
    assert_eq!(container.home, HomeNeed::Shared);
    assert!(app.problems[0].contains("oc.rules has a `homedir`"), "{:?}", app.problems);
}

#[test]
fn docker_s_settings_are_read_or_a_problem_of_the_application() {
    let config = r#"{"shm_size":"2G","mem_limit":"4G","cpu_quota":150000,"ipc_mode":"shareable"}"#;
    let (app, container) = labelled(&json!({"oc.host_config": config}));
    let (shm_bytes, memory_bytes) = (Some(2 << 30), Some(4 << 30));
    let expect = HostConfig { shm_bytes, memory_bytes, cpu_millis: Some(1500) };
    assert_eq!(container.host_config, expect);
    assert_eq!(app.problems, Vec::<String>::new());
    for bad in [r#"{'shm_size': '1g'}"#, r#"{"shm_size":"much"}"#, "[]", "1g"] {
        let (app, container) = labelled(&json!({"oc.host_config": bad}));
        assert_eq!(container.host_config, HostConfig::default(), "{bad}");
        let problem = &app.problems[0];
        assert!(problem.starts_with("label oc.host_config "), "{problem}");
        assert!(problem.contains("the application gets none of these settings"), "{problem}");
    }
}

#[test]
fn the_default_application_of_its_file_types_says_so() {
    for (label, default, problems) in
        [("true", true, 0), ("True", true, 0), ("false", false, 0), ("", false, 0), ("1", false, 1)]
    {
        let (app, _) = labelled(&json!({"oc.usedefaultapplication": label}));
        assert_eq!((app.default_application, app.problems.len()), (default, problems), "{label}");
    }
}

#[test]
fn what_an_older_journal_has_is_still_read() {
    let (app, _) = labelled(&json!({"oc.path": "/bin/x", "oc.args": "-a"}));
    let mut old = serde_json::to_value(&app).unwrap();
    let container = old["container"].as_object_mut().unwrap();
    for new in ["image_command", "program", "args", "home", "host_config"] {
        container.remove(new);
    }
    container.insert("command".into(), json!(["/bin/x", "-a"]));
    let app: App = serde_json::from_value(old).unwrap();
    assert_eq!(app.container.unwrap().program, ["/bin/x", "-a"]);
}
