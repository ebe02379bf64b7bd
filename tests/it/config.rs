//! The configuration as the outside sees it: files, environment, and every complaint.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::path::PathBuf;
use std::time::Duration;

use deskd::config::{Config, ConfigErrors, Env, keys, parse};
use deskd_core::app::container::EntryPoint;
use deskd_core::plan::EngineKind;
use deskd_core::policy::{DeskdImage, LocalApps, PullPolicy};
use deskd_core::restart::RestartPolicy;
use proptest::prelude::*;

const NOTHING: [(&str, &str); 0] = [];

fn load(text: &str, env: &[(&str, &str)]) -> Result<Config, ConfigErrors> {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("deskd.toml");
    std::fs::write(&file, text).unwrap();
    let state = dir.path().join("state").display().to_string();
    let mut pairs = vec![("DESKD_STATE_DIR", state.as_str())];
    pairs.extend(env);
    Config::load(Some(&file), &Env::from_pairs(pairs))
}

fn complaints(text: &str, env: &[(&str, &str)]) -> String {
    let lookup = |name: &str| {
        env.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
    };
    let problems = parse(text, lookup).err().unwrap_or_default();
    ConfigErrors::Invalid { path: Some(PathBuf::from("deskd.toml")), problems }.report()
}

#[test]
fn no_file_and_no_environment_is_a_valid_configuration() {
    let config = Config::load(None, &Env::from_pairs(NOTHING)).unwrap();
    assert_eq!(config.listen.unwrap().to_string(), "127.0.0.1:29791");
    assert_eq!(config.socket, config.state_dir.join("deskd.sock"));
    assert_eq!(config.token_file, config.state_dir.join("token"));
    assert_eq!(config.log_store.task_limit_bytes, 8 << 20);
    assert_eq!(config.log_store.total_limit_bytes, 128 << 20);
    assert_eq!(config.stop.shutdown_grace, Duration::from_secs(25));
    assert_eq!((config.display.name.as_str(), config.display.require_tcp), (":0", false));
    assert!(config.display.require_shm && config.apps.is_empty());
}

#[test]
fn the_environment_wins_over_the_file() {
    let text = r#"
        listen = "0.0.0.0:1"
        tasks_max = 5
        [display]
        name = ":3"
        [pod]
        name = "from-file"
        node = "node-1"
    "#;
    let env = [
        ("DESKD_LISTEN", "none"),
        ("DISPLAY", ":7"),
        ("X11LISTEN", "tcp"),
        ("HOME", "/home/balloon"),
        ("TERMINATION_GRACE_PERIOD_SECONDS", "60"),
        ("POD_NAME", "desktop-anna"),
        ("DESKD_PANEL_HOSTS", "a.example, B.example"),
    ];
    let config = load(text, &env).unwrap();
    assert_eq!(config.listen, None);
    assert_eq!(config.tasks_max, 5);
    assert_eq!(config.display.name, ":7");
    assert!(config.display.require_tcp);
    assert_eq!(config.display.xauthority, Some("/home/balloon/.Xauthority".into()));
    assert_eq!(config.stop.shutdown_grace, Duration::from_secs(57));
    assert_eq!(config.pod.name.as_deref(), Some("desktop-anna"));
    assert_eq!(config.pod.node.as_deref(), Some("node-1"));
    assert_eq!(config.panel.hosts, ["a.example", "b.example"]);
}

#[test]
fn a_section_becomes_an_application_and_fills_gaps_from_its_desktop_file() {
    let dir = tempfile::tempdir().unwrap();
    let entry = dir.path().join("clock.desktop");
    let svg = dir.path().join("clock.svg");
    std::fs::write(&svg, "<svg/>").unwrap();
    let text = format!(
        "[Desktop Entry]\nType=Application\nName=Clock\nIcon={}\nKeywords=time;watch;\n\
         Categories=Utility;\nExec=xclock %U -name %c\nPath=/tmp\nStartupWMClass=XClock\n",
        svg.display()
    );
    std::fs::write(&entry, text).unwrap();
    let config = format!(
        r#"
        [app.clock]
        desktop_entry = "{}"
        display_name = "My clock"
        env = {{ TZ = "UTC" }}
        umask = 0o027
        nice = 5
        restart = "on-failure"
        rlimits = {{ open_files = 512, file_bytes = "1 GiB" }}
        [app.lost]
        desktop_entry = "no-such-entry.desktop"
        "#,
        entry.display()
    );
    let config = load(&config, &[]).unwrap();
    let [clock, lost] = config.apps.as_slice() else { panic!("{:?}", config.apps) };
    assert_eq!(clock.display_name, "My clock");
    assert_eq!(clock.local.command, ["xclock", "-name", "Clock"]);
    assert_eq!(clock.icon.as_deref(), svg.to_str());
    assert_eq!((clock.keywords.len(), clock.categories.len()), (2, 1));
    assert_eq!(clock.wm_class.as_deref(), Some("XClock"));
    assert_eq!(clock.local.cwd.as_deref(), Some("/tmp"));
    assert_eq!((clock.local.umask, clock.local.nice), (Some(0o027), Some(5)));
    assert_eq!(clock.local.rlimits.file_bytes, Some(1 << 30));
    assert_eq!(clock.restart, RestartPolicy::OnFailure);
    assert!(clock.problems.is_empty(), "{:?}", clock.problems);

    assert!(lost.local.command.is_empty());
    assert!(lost.problems[0].contains("no-such-entry.desktop"), "{:?}", lost.problems);
}

#[test]
fn every_problem_is_reported_at_once_with_its_place_and_remedy() {
    let text = r#"lisetn = "0.0.0.0:29791"
state_dir = "relative"
panel_hosts = ["https://desktop.example.org/"]
tasks_max = 0
colour = true

[log_store]
task_limit = "8 mb"
total_limit = "100"

[stop]
term = 5
close_windows = "3 seconds"
shutdown_grace = "40s"

[display]
require_shm = "yes"
handshake_timeout = "0s"

[app.xclock]
command = "xclock -update 1"
umask = 22
nice = 20
restart = "on_failure"
env = { PORT = 80 }
rlimits = { open_file = 3, core_bytes = "1 PiB" }

[app.Gnome_Terminal]
command = []
comand = ["x"]

[app.empty]

[execute_class.gold]
requests = { cpu = 1, memory = "8Gi", "nvidia.com/gpu" = "500m", disk = "1Gi" }
limits = { memory = "4GiB", "amd.com/gpu" = "2" }
gpu = -1
node_selector = { "a b" = "c", pool = "-" }
runtime_class = "gVisor"
tolerations = [{ value = "x" }, { key = "k", operator = "Exist" }, { operator = "Exists", value = "v", efect = "" }, 5]

[execute_class.silver]
requests = { memory = "2Gi", "amd.com/gpu" = "1" }
limits = { memory = "1Gi", "amd.com/gpu" = "2" }
gpu = 1

[network_rule.intranet]
annotation = {}
annotations = { "not a key" = "x" }

[user]
name = "all"
groups = ["staff", ""]

[kubernetes]
engines = ["docker"]
apps_namespace = "Desktop_Apps"
kubeconfig = "config"
run_as = { uid = 4096 }
entrypoint = "programm"
local = ["2048-alpine", "Firefox"]
pull_policy = "always"
pull_secrets = ["a/b"]
pull_on_add = "yes"
gpu_resource = "gpu"
launches_at_once = 0
default_class = "bronze"
grace = "1500ms"
"#;
    let env = [
        ("DESKD_LISTEN", ":80"),
        ("TERMINATION_GRACE_PERIOD_SECONDS", "30"),
        ("POD_IP", "here"),
        ("POD_CONTAINER", "Deskd"),
        ("KUBECONFIG", "a:b"),
    ];
    insta::assert_snapshot!(complaints(text, &env));
}

#[test]
fn a_named_check_looks_for_one_thing_and_has_a_name_of_its_own() {
    let text = r#"
        [check.shell]
        process = "plasmashell"
        [check.vnc]
        rfb_socket = "/tmp/.x11vnc"
        required = false
        timeout = "5s"
        interval = "1m"
    "#;
    let config = load(text, &[]).unwrap();
    let names: Vec<_> = config.checks.iter().map(|check| check.name.as_str()).collect();
    assert_eq!(names, ["shell", "vnc"]);
    assert!(config.checks[0].required && !config.checks[1].required);
    for (text, word) in [
        ("[check.a]\n", "write one of process, port"),
        ("[check.a]\nport = 1\nfile = \"/a\"\n", "more than one thing"),
        ("[check.shm]\nport = 1\n", "one of deskd's own checks"),
        ("[check.\"a b\"]\nport = 1\n", "use letters"),
        ("[check.a]\nport = 70000\n", "out of range"),
        ("[check.a]\nport = 1\ninterval = \"1ms\"\n", "at least"),
        ("[check.a]\nport = 1\ntimeout = \"2m\"\n", "up to"),
        ("[check.a]\nprocess = \"/bin/x\"\n", "last part"),
        ("[check.a]\nrfb_socket = \"vnc\"\n", "whole path"),
        ("[check]\na = 1\n", "write a section [check.a]"),
    ] {
        let told = complaints(text, &[]);
        assert!(told.contains(word), "{text}: {told}");
    }
}

#[test]
fn the_image_of_deskd_is_found_named_or_none() {
    let image =
        |line: &str| load(&format!("[kubernetes]\n{line}"), &[]).unwrap().policy.deskd_image;
    assert_eq!(image(""), DeskdImage::Own);
    let named = "registry.example:5000/deskd@sha256:0a";
    assert_eq!(image(&format!("image = \"{named}\"")), DeskdImage::Named(named.into()));
    assert_eq!(image("image = \"\""), DeskdImage::None);
}

#[test]
fn what_the_operator_decides_about_remote_engines_is_one_policy() {
    let text = r#"
        apps_directory = "/etc/deskd/apps.d"
        [kubernetes]
        engines = ["pod_application", "ephemeral_container", "pod_application"]
        apps_namespace = "desktop-apps"
        target_container = "deskd"
        run_as = { uid = 4096, gid = 4097, groups = [100, 44] }
        entrypoint = "program"
        local = ["2048-alpine"]
        pull_policy = "Never"
        pull_secrets = ["registry.example.org"]
        pull_on_add = true
        gpu_resource = "amd.com/gpu"
        pod_volumes = ["home"]
        volumes = ["home*", "tmp", "tmp"]
        graphical_container = "x-graphical"
        inherit_env = []
        env = { GREETING = "$(HOME) $$", EMPTY = "" }
        launches_at_once = 7
        default_class = "gold"
        grace = "1m"
        kubeconfig = "/etc/file"
        [execute_class.gold]
        requests = { cpu = "500m", "nvidia.com/gpu" = "1" }
        limits = { cpu = "0.5", "nvidia.com/gpu" = "1" }
        gpu = 2
        node_selector = { "example.org/pool" = "" }
        tolerations = [{ operator = "Exists" }, { key = "gpu", value = "yes", effect = "NoExecute" }]
        [network_rule.intranet]
        annotations = { "k8s.v1.cni.cncf.io/networks" = "intranet@net1" }
        [user]
        name = "bob"
        groups = ["staff"]
    "#;
    let env = [("KUBECONFIG", "/env/file"), ("DESKD_USER", "anna"), ("POD_CONTAINER", "sidecar")];
    let config = load(text, &env).unwrap();
    let policy = &config.policy;
    assert_eq!(policy.engines, [EngineKind::PodApplication, EngineKind::EphemeralContainer]);
    assert_eq!((policy.run_as.uid, policy.run_as.gid), (4096, 4097));
    assert_eq!(policy.run_as.groups, [100, 44]);
    assert_eq!(policy.entrypoint, Some(EntryPoint::Program));
    let may = |app: &str| policy.local.permit(&app.parse().unwrap());
    assert!(may("2048-alpine") && !may("2048-ubuntu"));
    assert_eq!((policy.pull_policy, policy.pull_on_add), (PullPolicy::Never, true));
    assert_eq!((policy.launches_at_once, policy.remote_tasks_max, policy.grace_s), (7, 100, 60));
    let gold = &policy.classes["gold"];
    assert_eq!((gold.gpu, gold.requests["cpu"].as_str()), (Some(2), "500m"));
    assert_eq!(gold.tolerations[1].effect.as_deref(), Some("NoExecute"));
    assert_eq!(policy.volumes, ["home*", "tmp"]);
    assert_eq!(policy.graphical_container.as_deref(), Some("x-graphical"));
    assert_eq!(policy.env["GREETING"], "$(HOME) $$");
    assert!(policy.env["EMPTY"].is_empty() && policy.inherit_env.is_empty());
    assert_eq!(policy.network_rules["intranet"].len(), 1);
    assert_eq!(policy.identity.user.as_deref(), Some("anna"));
    assert_eq!(policy.identity.groups, ["staff"]);
    assert_eq!(config.kubeconfig, Some("/env/file".into()));
    assert_eq!(config.pod.container.as_deref(), Some("sidecar"));
    assert_eq!(config.apps_directory, Some("/etc/deskd/apps.d".into()));
    assert!(config.display.require_tcp, "application pods draw over TCP");
    assert_eq!(serde_json::from_value::<Config>(serde_json::json!(config)).unwrap(), config);

    let all = load("[kubernetes]\nentrypoint = \"auto\"\nlocal = [\"x\", \"*\"]", &[]).unwrap();
    assert_eq!((all.policy.local.clone(), all.policy.entrypoint), (LocalApps::All, None));
    let plain = load("[kubernetes]\nengines = [\"ephemeral_container\"]", &[]).unwrap();
    assert!(!plain.display.require_tcp);
    assert_eq!((plain.policy.volumes.len(), plain.policy.inherit_env.len()), (18, 11));
    assert_eq!(plain.policy.run_as.uid, nix::unistd::geteuid().as_raw());
    let said = "[kubernetes]\nengines = [\"pod_application\"]\n[display]\nrequire_tcp = false";
    let display = load(said, &[]).unwrap().display;
    assert!(!display.require_tcp && display.check_tcp, "it is looked at for the pods' sake");
}

#[test]
fn names_of_volumes_and_variables_that_cannot_be_are_told_with_their_place() {
    let text = r#"
        [kubernetes]
        volumes = ["home*", "*", "h*me"]
        inherit_env = ["LANG", "A B"]
        graphical_container = "X"
        image = "-a b"
        [kubernetes.env]
        "1A" = "x"
        GOOD = "x"
        PORT = 80
    "#;
    let complaints = complaints(text, &[]);
    for words in [
        "`kubernetes.volumes` is not a valid volume name: `*`",
        "`kubernetes.volumes` is not a valid volume name: `h*me`",
        "`kubernetes.inherit_env` is not a valid variable name: `A B`",
        "`kubernetes.graphical_container` is not a DNS label: `X`",
        "`kubernetes.image` is not a valid image name: `-a b`",
        "`kubernetes.env.1A` is not a valid variable name: `1A`",
        "`kubernetes.env.PORT` must be a string",
    ] {
        assert!(complaints.contains(words), "`{words}` is missing in\n{complaints}");
    }
    assert!(!complaints.contains("GOOD"), "{complaints}");
}

#[test]
fn all_syntax_errors_are_reported_together() {
    insta::assert_snapshot!(complaints(
        "listen = \n[app.x\ncommand = [\"a\", \n\n[stop]\nterm = 5s\n",
        &[]
    ));
}

#[test]
fn a_file_that_is_missing_or_no_text_says_so() {
    let missing = Config::load(Some("/no/such.toml".as_ref()), &Env::from_pairs(NOTHING));
    let report = missing.unwrap_err().report();
    assert!(report.contains("/no/such.toml") && report.contains("No such file"), "{report}");

    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("deskd.toml");
    std::fs::write(&file, b"listen = \"\xff\"").unwrap();
    let report = Config::load(Some(&file), &Env::from_pairs(NOTHING)).unwrap_err().report();
    assert!(report.contains("not UTF-8 (byte 10)"), "{report}");
}

#[test]
fn the_daemon_gets_the_configuration_as_json_without_a_secret() {
    let cookie = "0123456789abcdef".repeat(2);
    let text = "[app.a]\ncommand = [\"true\"]\n[stop]\nterm = \"1500ms\"\n";
    let config = load(text, &[("XAUTH_KEY", &cookie)]).unwrap();
    let json = serde_json::to_string(&config).unwrap();
    assert!(!json.contains(&cookie));
    assert_eq!(serde_json::from_str::<Config>(&json).unwrap(), config);
}

#[test]
fn every_key_and_variable_of_the_parser_is_documented() {
    let docs = concat!(env!("DESKD_ROOT"), "/docs/configuration.md");
    let docs = std::fs::read_to_string(docs).unwrap();
    for (section, keys) in keys::SECTIONS {
        let heading = if section.is_empty() {
            "## Top level".to_owned()
        } else {
            format!("## `[{section}]`")
        };
        let body = docs
            .split_once(&heading)
            .unwrap_or_else(|| panic!("no heading {heading:?}"))
            .1
            .split("\n## ")
            .next()
            .unwrap_or_default();
        for key in *keys {
            assert!(body.contains(&format!("`{key}`")), "`{key}` is missing below {heading:?}");
        }
    }
    for (name, key) in keys::ENVIRONMENT {
        let documented = docs.lines().any(|line| {
            line.contains(&format!("`{name}`")) && line.contains(&format!("`{key}`"))
                || key.is_empty() && line.contains(&format!("`{name}`"))
        });
        assert!(documented, "{name} ({key}) is not documented on one line");
    }
}

/// Pieces that real and broken files are made of.
const PIECES: [&str; 24] = [
    "[app.a]\n",
    "[app.B_c]\n",
    "[log_store]\n",
    "[stop]\n",
    "[display]\n",
    "[app]\n",
    "command = ",
    "env = ",
    "term = ",
    "task_limit = ",
    "umask = ",
    "rlimits = ",
    "listen = ",
    "\"5s\"",
    "\"8 MiB\"",
    "[\"a\", 1]",
    "{ b = \"c\" }",
    "0o22",
    "true",
    "1979-05-27",
    "\n",
    "\u{e9}",
    "\"",
    "'''",
];

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn any_text_is_a_configuration_or_has_problems_within_it(
        pieces in prop::collection::vec(prop::sample::select(PIECES.as_slice()), 0..20),
    ) {
        let text = pieces.concat();
        for problem in parse(&text, |_| None).err().unwrap_or_default() {
            prop_assert!(!problem.what.is_empty() && !problem.remedy.is_empty());
            let deskd::config::Origin::File(at) = problem.origin else { panic!("{problem:?}") };
            prop_assert!(at.line <= text.split('\n').count(), "{text:?}: {at:?}");
        }
    }
}

#[test]
fn only_the_default_file_may_be_absent() {
    let named = |path: &str| {
        let env = Env::from_pairs([("DESKD_CONFIG", path), ("DESKD_STATE_DIR", "/s")]);
        Config::load(None, &env)
    };
    assert_eq!(named(deskd::config::CONFIG_FILE_DEFAULT).unwrap().file, None);
    assert!(named("/no/such.toml").unwrap_err().report().contains("/no/such.toml"));
}

#[test]
fn engines_come_from_the_file_and_where_it_has_none_from_the_variable() {
    let engines = |text: &str, names: &str| {
        let config = load(text, &[("DESKD_ENGINES_DEFAULT", names)]).unwrap();
        config.policy.engines.iter().map(|engine| engine.as_str()).collect::<Vec<_>>()
    };
    let both = "ephemeral_container, pod_application";
    assert_eq!(engines("", both), ["ephemeral_container", "pod_application"]);
    assert_eq!(engines("", ""), [""; 0]);
    assert_eq!(engines("[kubernetes]\nengines = []\n", both), [""; 0]);
    assert_eq!(
        engines("[kubernetes]\nengines = [\"pod_application\"]\n", "ephemeral_container"),
        ["pod_application"]
    );
    let text = complaints("", &[("DESKD_ENGINES_DEFAULT", "docker")]);
    assert!(text.contains("DESKD_ENGINES_DEFAULT") && text.contains("`docker`"), "{text}");
}

#[test]
fn a_file_with_errors_is_left_out_when_asked_and_with_it_the_remote_engines() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("deskd.toml");
    std::fs::write(&file, "listen = 7\n").unwrap();
    let env = Env::from_pairs([
        ("DESKD_ENGINES_DEFAULT", "ephemeral_container"),
        ("DESKD_STATE_DIR", "/s"),
        ("DESKD_TASKS_MAX", "7"),
    ]);
    let config = Config::load_lenient(Some(&file), &env).unwrap();
    assert_eq!((config.tasks_max, config.policy.engines), (7, vec![]));
    assert!(config.file_errors.unwrap().contains("deskd.toml:1:10: `listen`"));
    // A variable with an error cannot be left out: nobody could do without it.
    let env = Env::from_pairs([("DESKD_TASKS_MAX", "none"), ("DESKD_STATE_DIR", "/s")]);
    assert!(Config::load_lenient(Some(&file), &env).is_err());
    assert!(Config::load(Some(&file), &Env::from_pairs(NOTHING)).is_err());
}
