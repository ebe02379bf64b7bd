//! Whoever draws finds the display's cookie in a file, whatever its image does.

use serde_json::json;

use super::super::EngineKind::{EphemeralContainer, PodApplication};
use super::super::facts::{DeskdProgram, Graphical, VolumeMount};
use super::super::{EngineKind, EphemeralPlan, PodPlan, Work};
use super::case::{COOKIE, Case, said};
use crate::env_var::EnvVar;
use crate::policy::DeskdImage;

fn case(engine: EngineKind) -> Case {
    let mut case = Case::new();
    case.policy.engines = vec![engine];
    case
}

fn ephemeral(case: &Case) -> EphemeralPlan {
    match case.plan().unwrap().work {
        Work::EphemeralContainer(plan) => *plan,
        other => panic!("{other:?}"),
    }
}

fn pod(case: &Case) -> PodPlan {
    match case.plan().unwrap().work {
        Work::PodApplication(plan) => *plan,
        other => panic!("{other:?}"),
    }
}

fn value<'a>(env: &'a [EnvVar], name: &str) -> Option<&'a str> {
    env.iter().find(|var| var.name == name).map(|var| var.value.as_str())
}

/// `XAUTHORITY`, the file that is copied, and where to.
fn copied(case: &Case) -> (Option<String>, Option<(String, String)>) {
    let plan = ephemeral(case);
    let copy = plan.cookie.map(|copy| {
        let directory = copy.directory;
        assert_eq!((directory.variable.as_str(), directory.uid), ("XAUTHORITY", 4096));
        (copy.from, format!("{} {}", directory.root, directory.path))
    });
    (value(&plan.container.env, "XAUTHORITY").map(str::to_owned), copy)
}

fn mount(name: &str, path: &str, read_only: bool) -> VolumeMount {
    VolumeMount { name: name.into(), path: path.into(), read_only }
}

#[test]
fn a_copy_is_kept_beside_the_sockets_of_the_user() {
    let case = case(EphemeralContainer);
    let path = "/tmp/runtime-4096/Xauthority".to_owned();
    let copy = ("/run/deskd/Xauthority".to_owned(), "/tmp runtime-4096".to_owned());
    assert_eq!(copied(&case), (Some(path), Some(copy)));
    let plan = ephemeral(&case);
    assert_eq!(value(&plan.container.env, "XAUTH_KEY"), Some(COOKIE), "for who wants to make one");
    let without_it = serde_json::to_string(&(plan.cookie, plan.prepare)).unwrap();
    assert!(!without_it.contains(COOKIE), "{without_it}");
}

#[test]
fn the_desktops_own_file_is_used_where_the_application_sees_it() {
    let mut case = case(EphemeralContainer);
    case.facts.display.cookie_file = Some("/home/anna/.Xauthority".into());
    case.pod.own_mounts.push(mount("home", "/home/anna", false));
    assert_eq!(copied(&case), (Some("/home/anna/.Xauthority".into()), None));
    assert_eq!(value(&ephemeral(&case).container.env, "XAUTH_KEY"), None);
    // The same volume elsewhere, and another volume at that place.
    case.pod.mounts[1].path = "/home/b/".into();
    assert_eq!(copied(&case).0.as_deref(), Some("/home/b/.Xauthority"));
    case.pod.mounts[1] = mount("home2", "/home/anna", false);
    assert_eq!(copied(&case).0.as_deref(), Some("/tmp/runtime-4096/Xauthority"));
    case.pod.mounts[1] = mount("home", "/home/anna", false);
    case.pod.mounts.push(mount("home2", "/home/anna/.Xauthority", false));
    assert_eq!(copied(&case).0.as_deref(), Some("/tmp/runtime-4096/Xauthority"), "it is hidden");
}

#[test]
fn an_entry_point_that_writes_to_the_file_gets_one_that_it_may_write_to() {
    let mut case = case(EphemeralContainer);
    case.facts.display.cookie_file = Some("/home/anna/.Xauthority".into());
    case.pod.own_mounts.push(mount("home", "/home/anna", true));
    case.pod.mounts[1].read_only = true;
    assert_eq!(copied(&case).0.as_deref(), Some("/home/anna/.Xauthority"));
    case.image().labels.insert("oc.name".into(), "game".into());
    assert_eq!(copied(&case).0.as_deref(), Some("/tmp/runtime-4096/Xauthority"));
    case.pod.own_mounts.remove(0);
    assert_eq!(copied(&case).0.as_deref(), Some("/home/anna/.Xauthority"), "better than none");
}

#[test]
fn a_cookie_of_a_file_is_copied_without_a_variable() {
    let mut case = case(EphemeralContainer);
    case.facts.machine_mut().cookie = None;
    assert_eq!(copied(&case), (None, None), "a server without access control");
    case.facts.display.cookie_file = Some("/run/x/Xauthority".into());
    let copy = ("/run/x/Xauthority".to_owned(), "/tmp runtime-4096".to_owned());
    assert_eq!(copied(&case).1, Some(copy));
    assert_eq!(value(&ephemeral(&case).container.env, "XAUTH_KEY"), None);
}

#[test]
fn another_volume_will_do_where_no_runtime_directory_is_made() {
    let mut case = case(EphemeralContainer);
    case.pod.own_mounts = vec![mount("x11", "/tmp/.X11-unix", false)];
    case.pod.mounts = vec![mount("home", "/home/anna", false), mount("x11", "/x11", false)];
    case.pod.volumes.insert("x11".into(), json!({ "name": "x11", "emptyDir": {} }));
    let (path, copy) = copied(&case);
    assert_eq!(path.as_deref(), Some("/x11/.deskd-4096/Xauthority"));
    assert_eq!(copy.unwrap().1, "/tmp/.X11-unix .deskd-4096");
    for broken in [
        |case: &mut Case| case.pod.own_mounts[0].read_only = true,
        |case: &mut Case| case.pod.mounts[1].read_only = true,
        |case: &mut Case| case.pod.own_mounts.clear(),
    ] {
        let mut case = case.clone();
        broken(&mut case);
        assert_eq!(copied(&case), (None, None));
        let told = said(&case.plan());
        assert!(
            told.contains("let its image write a cookie file from the variable XAUTH_KEY"),
            "{told}"
        );
    }
    case.app.needs_display = false;
    assert_eq!(copied(&case), (None, None));
}

/// deskd is in its container's image.
fn with_image() -> Case {
    let mut case = case(PodApplication);
    let (image, path) = ("registry/deskd:1".into(), "/usr/bin/deskd".into());
    case.pod.deskd = Some(DeskdProgram { image, path });
    case
}

#[test]
fn an_init_container_makes_the_file_of_a_pod() {
    let plan = pod(&with_image());
    let maker = plan.cookie.unwrap();
    assert_eq!(maker.image, "registry/deskd:1");
    let argv = maker.argv.join(" ");
    assert_eq!(
        argv,
        "/usr/bin/deskd xauthority --display :7 --address 10.1.2.3 --runtime-dir /run/deskd-x11/runtime /run/deskd-x11/Xauthority"
    );
    assert!(plan.container.mounts.contains(&maker.mount) && !maker.mount.read_only);
    let volume = json!({
        "name": "deskd-x11", "emptyDir": { "medium": "Memory", "sizeLimit": "8Mi" },
    });
    assert_eq!(plan.volumes, [volume]);
    let env = &plan.container.env;
    assert_eq!(value(env, "XAUTHORITY"), Some("/run/deskd-x11/Xauthority"));
    assert_eq!(value(env, "XAUTH_KEY"), Some(COOKIE));
}

#[test]
fn the_configured_image_has_deskd_where_its_own_image_has_it() {
    let mut case = with_image();
    case.policy.deskd_image = DeskdImage::Named("registry/other:2".into());
    let maker = pod(&case).cookie.unwrap();
    assert_eq!(
        (maker.image.as_str(), maker.argv[0].as_str()),
        ("registry/other:2", "/usr/local/bin/deskd")
    );
}

#[test]
fn a_pod_without_an_image_of_deskd_is_told_what_its_own_has_to_do() {
    let makes_none = |case: &Case| {
        let plan = pod(case);
        plan.cookie.is_none() && value(&plan.container.env, "XAUTHORITY").is_none()
    };
    let mut case = with_image();
    case.pod.deskd = None;
    assert!(makes_none(&case));
    let told = said(&case.plan());
    assert!(told.contains("set `image` in [kubernetes]"), "{told}");
    case = with_image();
    case.policy.deskd_image = DeskdImage::None;
    assert!(makes_none(&case) && !said(&case.plan()).contains("`image`"), "as configured");
    case = with_image();
    case.policy.xauthority_secret = Some("x11".into());
    assert!(pod(&case).cookie.is_none(), "the secret is the file");
    case = with_image();
    case.app.needs_display = false;
    assert!(makes_none(&case));
}

#[test]
fn a_cookie_that_only_deskd_has_in_a_file_does_not_reach_pods() {
    let mut case = with_image();
    case.facts.machine_mut().cookie = None;
    case.facts.display.cookie_file = Some("/run/x/Xauthority".into());
    assert!(pod(&case).cookie.is_none());
    let told = said(&case.plan());
    assert!(told.contains("so the display may refuse it"), "{told}");
    let env = [("XAUTH_KEY".to_owned(), COOKIE.to_owned())].into();
    case.pod.graphical = Some(Graphical { env, ..Graphical::default() });
    assert!(!said(&case.plan()).contains("so the display may refuse it"));
}
