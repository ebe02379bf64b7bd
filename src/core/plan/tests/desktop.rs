//! What applications in containers are given of the desktop: its variables, home and volumes, on
//! desktops of any make.

use std::collections::BTreeMap;

use serde_json::json;

use super::super::EngineKind::{EphemeralContainer, PodApplication};
use super::super::facts::{Graphical, VolumeMount};
use super::super::remote::ContainerPlan;
use super::super::{EngineKind, Work};
use super::case::{Case, said};
use crate::app::container::HomeNeed;

/// A desktop whose graphical container `screen` has these variables, and mounts what deskd's does.
fn desktop(engine: EngineKind, env: &[(&str, &str)]) -> Case {
    let mut case = Case::new();
    case.policy.engines = vec![engine];
    let env = env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    case.pod.graphical = Some(Graphical {
        name: "screen".into(),
        env: env.collect(),
        mounts: case.pod.mounts.clone(),
        ..Graphical::default()
    });
    case
}

fn container(case: &Case) -> ContainerPlan {
    match case.plan().unwrap().work {
        Work::EphemeralContainer(plan) => plan.container,
        Work::PodApplication(plan) => plan.container,
        other => panic!("{other:?}"),
    }
}

fn env(case: &Case) -> BTreeMap<String, String> {
    container(case).env.into_iter().map(|var| (var.name, var.value)).collect()
}

#[track_caller]
fn says(case: &Case, words: &[&str]) {
    let said = said(&case.plan());
    for word in words {
        assert!(said.contains(word), "`{word}` is missing in {said}");
    }
}

fn mount(case: &mut Case, name: &str, path: &str, read_only: bool) {
    let mount = VolumeMount { name: name.into(), path: path.into(), read_only };
    case.pod.graphical.as_mut().unwrap().mounts.push(mount);
    let volume = json!({ "name": name, "emptyDir": {} });
    case.pod.volumes.insert(name.into(), volume);
}

#[test]
fn images_of_any_make_get_what_is_listed_and_nothing_else() {
    let variables = [
        ("HOME", "/home/anna"),
        ("USER", "anna"),
        ("LANG", "de_DE.UTF-8"),
        ("TZ", "Europe/Berlin"),
        ("SPARE", "1"),
        ("VNC_PASSWORD", "hush"),
        ("ABCDESKTOP_USERID", "anna"),
    ];
    let mut case = desktop(EphemeralContainer, &variables);
    case.facts.machine_mut().time_zone = Some("Etc/UTC".into());
    let found = env(&case);
    for (name, value) in &variables[..4] {
        assert_eq!(found.get(*name).map(String::as_str), Some(*value), "{name}");
    }
    for name in ["SPARE", "VNC_PASSWORD", "ABCDESKTOP_USERID", "APP", "POD_IP", "CONTAINER_IP_ADDR"]
    {
        assert!(!found.contains_key(name), "{name}");
    }
    case.policy.inherit_env = vec!["SPARE".into()];
    case.policy.env = [("LANG".to_owned(), "C".to_owned())].into();
    case.policy.identity.user = Some("anna".into());
    let found = env(&case);
    assert_eq!((found["SPARE"].as_str(), found["LANG"].as_str()), ("1", "C"));
    assert_eq!(found["LOGNAME"], "anna");
    assert!(!found.contains_key("TZ"), "it is not listed");
}

#[test]
fn messages_are_english_and_the_rest_of_the_locale_is_the_desktop_s() {
    let mut case = desktop(EphemeralContainer, &[("LANG", "de_DE.UTF-8")]);
    let found = env(&case);
    assert_eq!((found["LANG"].as_str(), found["LC_MESSAGES"].as_str()), ("de_DE.UTF-8", "C"));
    case.policy.env = [("LC_MESSAGES".to_owned(), "de_DE.UTF-8".to_owned())].into();
    assert_eq!(env(&case)["LC_MESSAGES"], "de_DE.UTF-8", "the configuration asks for it");
    case.policy.env.clear();
    case.image().env.insert("LC_ALL".into(), "de_DE.UTF-8".into());
    assert!(!env(&case).contains_key("LC_MESSAGES"), "LC_ALL would win");
    assert!(said(&case.plan()).contains("LC_ALL=de_DE.UTF-8, which deskd leaves as it is"));
}

#[test]
fn a_document_for_abcdesktop_gets_its_variables_on_any_desktop() {
    let mut case = desktop(EphemeralContainer, &[]);
    case.image().labels.insert("oc.path".into(), "/usr/bin/edit".into());
    case.image().image_command = vec!["/entry-point".into()];
    case.image().program = vec!["/usr/bin/edit".into()];
    case.image().args = Some("--new \"a b\"".into());
    case.image().unique_run_key = Some("edit".into());
    case.launch.args = vec!["one".into(), "two".into()];
    case.launch.change.args = vec!["--disable-gpu".into()];
    let found = env(&case);
    assert_eq!(found["APP"], "/usr/bin/edit");
    assert_eq!(found["ARGS"], "--new \"a b\" --disable-gpu one");
    assert_eq!(found["APPARGS"], "two");
    assert_eq!(found["UNIQUERUNKEY"], "edit");
    assert_eq!(found["DISPLAY"], ":7.0");
    let nothing = r#"{"claims": null, "limits": null, "requests": null}"#;
    assert_eq!(found["ABCDESKTOP_EXECUTE_RESOURCES"], nothing);
    assert!(!found.contains_key("PULSE_SERVER"), "no such service here");
}

#[test]
fn what_is_in_a_secret_or_is_a_part_of_a_volume_is_told_and_not_given() {
    let with = |engine| {
        let mut case = desktop(engine, &[]);
        let graphical = case.pod.graphical.as_mut().unwrap();
        graphical.untold_env = vec!["LANG".into(), "SOMETHING".into()];
        graphical.env_from = vec!["the ConfigMap `more`".into(), "the Secret `keys`".into()];
        let (name, path) = ("mail".to_owned(), "/var/mail".to_owned());
        graphical.parts.push(VolumeMount { name, path, read_only: false });
        case.pod.volumes.insert("mail".into(), json!({ "persistentVolumeClaim": {} }));
        case.policy.volumes.push("mail".into());
        case.policy.pod_volumes.push("mail".into());
        case
    };
    let why = "it does not get the variable LANG of the graphical container: its value is in a Secret or a ConfigMap";
    let part =
        "it does not get /var/mail of the graphical container: that is a part of the volume `mail`";
    let case = with(EphemeralContainer);
    let all = "it gets no variable that the graphical container has from the ConfigMap `more`, the Secret `keys`";
    says(&case, &[why, part, all]);
    assert!(!said(&case.plan()).contains("SOMETHING"), "nobody wants it");
    let mounts = container(&case).mounts;
    assert!(mounts.iter().all(|mount| mount.path != "/var/mail"), "{mounts:?}");
    let of_pod =
        "it does not get the volume `mail` (pod_volumes): the desktop mounts only a part of it";
    says(&with(PodApplication), &[why, of_pod]);
    let mut case = with(EphemeralContainer);
    case.policy.env.insert("LANG".into(), "C".into());
    assert!(!said(&case.plan()).contains("LANG of the graphical"), "it was given");
}

#[test]
fn the_address_of_a_service_is_handed_over_only_where_it_leads_somewhere() {
    let addresses = |pulse, dbus, cups| {
        [("PULSE_SERVER", pulse), ("DBUS_SESSION_BUS_ADDRESS", dbus), ("CUPS_SERVER", cups)]
    };
    let names = |case: &Case| {
        let found = env(case);
        let all = ["PULSE_SERVER", "DBUS_SESSION_BUS_ADDRESS", "CUPS_SERVER"];
        all.into_iter().filter(|name| found.contains_key(*name)).collect::<Vec<_>>()
    };
    let here = addresses("unix:/tmp/p", "unix:path=/run/user/1/bus,guid=1", "/run/cups.sock");
    let case = desktop(EphemeralContainer, &here);
    assert_eq!(names(&case), ["PULSE_SERVER"]);
    says(
        &case,
        &[
            "it does not get the variable DBUS_SESSION_BUS_ADDRESS of the graphical container",
            "/run/cups.sock",
        ],
    );
    assert!(names(&desktop(PodApplication, &here)).is_empty());
    let pods = addresses("tcp:10.0.0.9:4713", "unix:abstract=/tmp/bus", "localhost:631");
    assert_eq!(names(&desktop(PodApplication, &pods)), ["PULSE_SERVER"]);
    assert_eq!(names(&desktop(EphemeralContainer, &pods)).len(), 3);
}

#[test]
fn it_starts_in_the_home_directory_where_that_is_mounted() {
    let home = [("HOME", "/home/anna/")];
    let mut case = desktop(EphemeralContainer, &home);
    assert_eq!(container(&case).cwd.as_deref(), Some("/home/anna"));
    case.image().cwd = Some("/opt/app".into());
    assert_eq!(container(&case).cwd.as_deref(), Some("/opt/app"), "its command may be relative");
    case.image().labels.insert("oc.name".into(), "a".into());
    assert_eq!(container(&case).cwd.as_deref(), Some("/home/anna"));
    case.policy.volumes = vec!["tmp".into()];
    assert_eq!(container(&case).cwd.as_deref(), Some("/opt/app"));
    assert_eq!(env(&case)["HOME"], "/tmp");
    says(&case, &["none of its volumes contains /home/anna, so HOME is /tmp; add that volume"]);
}

#[test]
fn who_wants_no_home_gets_none() {
    let mut case = desktop(EphemeralContainer, &[("HOME", "/home/anna")]);
    mount(&mut case, "config", "/home/anna/.config", false);
    mount(&mut case, "cache", "/var/cache", false);
    let names = |case: &Case| {
        container(case).mounts.iter().map(|mount| mount.name.clone()).collect::<Vec<_>>()
    };
    assert_eq!(names(&case), ["tmp", "home", "config"], "a part of the home, and another `cache`");
    case.image().home = HomeNeed::Private;
    assert_eq!(names(&case), ["tmp"]);
    assert_eq!(env(&case)["HOME"], "/tmp");
    says(&case, &["asks for no home directory of the user"]);
    case.policy.engines = vec![PodApplication];
    case.policy.pod_volumes = vec!["home".into()];
    assert_eq!(names(&case), ["deskd-home"], "an empty one of its own");
}

#[test]
fn a_home_in_which_nothing_can_be_kept_is_told() {
    let mut case = desktop(EphemeralContainer, &[("HOME", "/home/anna")]);
    case.facts.machine_mut().home = Some("/home/anna".into());
    case.facts.machine_mut().home_is_writable = false;
    says(
        &case,
        &["user 4096 may not write to the home directory /home/anna", "make that user the owner"],
    );
    assert_eq!(env(&case)["HOME"], "/home/anna");
    case.pod.graphical.as_mut().unwrap().mounts[1].read_only = true;
    says(&case, &["its home directory /home/anna is read-only"]);
}

#[test]
fn a_pod_has_a_home_of_its_own_unless_the_desktops_is_shared() {
    let mut case = desktop(PodApplication, &[("HOME", "/home/anna")]);
    let found = container(&case);
    assert_eq!(found.mounts[0].path, "/home/anna");
    assert_eq!(found.cwd.as_deref(), Some("/home/anna"));
    says(&case, &["a home directory of its own in /home/anna, which is deleted with its pod"]);
    case.policy.pod_volumes = vec!["home".into()];
    let found = container(&case);
    assert_eq!((found.mounts.len(), found.mounts[0].name.as_str()), (1, "home"));
}

#[test]
fn a_runtime_directory_is_made_where_deskd_and_the_application_share_a_volume() {
    let made = |case: &Case| match case.plan().unwrap().work {
        Work::EphemeralContainer(plan) => {
            let made = plan.prepare.into_iter();
            made.map(|made| format!("{} {}", made.root, made.path)).collect::<Vec<_>>()
        }
        other => panic!("{other:?}"),
    };
    let mut case = desktop(EphemeralContainer, &[]);
    assert_eq!(made(&case), ["/tmp runtime-4096"]);
    mount(&mut case, "runuser", "/run/user/", false);
    let here =
        |path: &str| VolumeMount { name: "runuser".into(), path: path.into(), read_only: false };
    case.pod.own_mounts.push(here("/mnt/run"));
    assert_eq!(made(&case), ["/mnt/run 4096"], "the same volume at another place");
    assert_eq!(env(&case)["XDG_RUNTIME_DIR"], "/run/user/4096");
    case.pod.own_mounts[1].read_only = true;
    case.pod.graphical.as_mut().unwrap().env =
        [("XDG_RUNTIME_DIR".to_owned(), "/tmp/runtime".to_owned())].into();
    assert_eq!(made(&case), ["/tmp runtime"], "as the graphical container says");
    for bad in ["/tmp", "/tmp/../etc", "/tmp/a/./b", "/srv/x", "relative"] {
        let env = &mut case.pod.graphical.as_mut().unwrap().env;
        env.insert("XDG_RUNTIME_DIR".into(), bad.into());
        assert_eq!(made(&case), ["/tmp runtime-4096"], "{bad}");
    }
    case.pod.own_mounts.clear();
    assert!(made(&case).is_empty() && !env(&case).contains_key("XDG_RUNTIME_DIR"));
    says(&case, &["it gets no XDG_RUNTIME_DIR"]);
}

#[test]
fn what_cannot_be_a_variable_is_left_out_and_told() {
    let mut case = desktop(EphemeralContainer, &[]);
    case.app.local.env = [("A B", "1"), ("$(X)", "2"), ("GOOD", "$(X) $$")]
        .map(|(n, v)| (n.into(), v.into()))
        .into();
    let found = env(&case);
    assert_eq!(found["GOOD"], "$(X) $$", "as it is: the engine quotes it");
    assert!(!found.contains_key("A B") && !found.contains_key("$(X)"));
    says(&case, &["does not get `A B` (application): Kubernetes does not accept this variable"]);
}

#[test]
fn what_the_desktop_gives_counts_towards_the_size_of_its_pod() {
    let large = "x".repeat(1 << 20);
    let mut case = desktop(EphemeralContainer, &[("LANG", &large)]);
    let refusal = case.plan().unwrap_err();
    assert!(refusal.sentence.contains("more than 1536 KiB"), "{}", refusal.sentence);
    case.policy.inherit_env.clear();
    assert!(case.plan().is_ok());
}

#[test]
fn a_graphical_container_that_is_not_there_is_told() {
    let mut case = Case::new();
    case.policy.graphical_container = Some("screen".into());
    says(
        &case,
        &["has no container `screen` (graphical_container)", "set it to one of xvnc, deskd"],
    );
}

#[test]
fn a_pod_of_its_own_knows_its_user_by_the_names_of_the_account_secret_and_not_by_its_passwords() {
    let mut case = desktop(PodApplication, &[]);
    mount(&mut case, "auth-localaccount-robin", "/etc/localaccount", false);
    let volume = json!({ "name": "auth-localaccount-robin", "secret": {
        "secretName": "account", "defaultMode": 420, "items": [{ "key": "shadow", "path": "shadow" }] } });
    case.pod.volumes.insert("auth-localaccount-robin".into(), volume);
    let plan = |case: &Case| match case.plan().unwrap().work {
        Work::PodApplication(plan) => *plan,
        other => panic!("{other:?}"),
    };
    let found = plan(&case);
    let items = json!([{ "key": "passwd", "path": "passwd" }, { "key": "group", "path": "group" }]);
    let expected = json!({ "name": "auth-localaccount-robin",
        "secret": { "secretName": "account", "items": items, "optional": true } });
    assert!(found.volumes.contains(&expected), "{:?}", found.volumes);
    let at = |mount: &&VolumeMount| mount.path == "/etc/localaccount";
    let mounted = found.container.mounts.iter().find(at).expect("a mount");
    assert!(mounted.read_only && mounted.name == "auth-localaccount-robin", "{mounted:?}");
    // A secret is of one namespace.
    case.policy.apps_namespace = Some("elsewhere".into());
    assert!(!plan(&case).container.mounts.iter().any(|mount| at(&mount)));
}
