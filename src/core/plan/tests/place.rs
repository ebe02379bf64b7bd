//! Whether an ephemeral container is a place, and the sentence about it.

use serde_json::json;

use super::super::facts::{VolumeMount, Way};
use super::super::remote::{KeeperFile, PodPlace};
use super::super::{EngineKind, Work};
use super::case::Case;
use crate::app::container::AppPort;
use crate::place::PlaceSpec;
use crate::policy::ExecuteClass;

type Change = fn(&mut Case);

/// A desktop with pods that are places.
pub(super) fn pods() -> Case {
    let mut case = case();
    case.policy.engines = vec![EngineKind::PodApplication];
    (case.policy.places_port, case.policy.linger_s) = (Some(6001), 600);
    case.pod.ip = Some("10.0.0.9".into());
    let volume =
        json!({ "name": "deskd-bin", "image": { "reference": "registry.example/deskd:1" } });
    case.pod.volumes.insert("deskd-bin".into(), volume);
    case
}

/// What makes its pod a place, and what is said.
fn planned_pod(case: &Case) -> (Option<PodPlace>, String) {
    let plan = case.plan().unwrap();
    let Work::PodApplication(work) = &plan.work else { panic!("{plan:#?}") };
    (work.place.clone(), crate::text::Text::joined(plan.reasons.iter().cloned(), "\n").to_string())
}

#[test]
fn a_pod_whose_program_is_known_waits_for_the_next_one_as_its_class_says() {
    let (place, reasons) = planned_pod(&pods());
    let place = place.unwrap();
    assert_eq!(place.daemon.to_string(), "10.0.0.9:6001");
    assert_eq!(place.volume["image"]["reference"], "registry.example/deskd:1");
    assert_eq!(place.linger_s, 600);
    assert!(reasons.contains("in its pod, which waits 600 s for the next launch"), "{reasons}");
    let mut classed = pods();
    let class = ExecuteClass { linger_s: Some(5), ..ExecuteClass::default() };
    classed.policy.classes.insert("quick".into(), class);
    classed.policy.default_class = Some("quick".into());
    assert_eq!(planned_pod(&classed).0.unwrap().linger_s, 5);
    let mut ends = pods();
    ends.policy.linger_s = 0;
    assert!(planned_pod(&ends).1.contains("in its pod, which ends with it"));
    let mut off = pods();
    off.policy.places_port = None;
    let (place, reasons) = planned_pod(&off);
    assert!(place.is_none() && !reasons.contains("keeper"), "{reasons}");
}

#[test]
fn a_pod_that_cannot_be_a_place_says_why_and_what_to_do() {
    let rows: [(Change, &str); 6] = [
        (|c| c.pod.keeper = None, "no volume of the desktop's pod brings deskd's keeper: add"),
        (|c| c.image().deadline_s = Some(60), "its deadline is of one program"),
        (
            |c| {
                let port = AppPort { name: None, port: 80, protocol: "TCP".into() };
                c.image().ports.push(port);
            },
            "its ports and its probe are of one program",
        ),
        (|c| c.image().architecture = Some("arm64".into()), "for another architecture"),
        (
            |c| c.cluster.way = Way::Barred { port: 6001 },
            "cannot reach deskd on TCP port 6001: allow TCP port 6001 in the network policies, as \
             ingress of the desktop's pods from pods with the label netpol/ocapplication: \"true\"",
        ),
        (|c| c.cluster.way = Way::Closed("the port is taken".into()), "the port is taken"),
    ];
    for (change, says) in rows {
        let mut case = pods();
        change(&mut case);
        let (place, reasons) = planned_pod(&case);
        assert_eq!(place, None, "{says}");
        assert!(reasons.contains("its pod has no keeper and ends with it: "), "{reasons}");
        assert!(reasons.contains(says), "{reasons}");
    }
}

/// A desktop where places work.
fn case() -> Case {
    let mut case = Case::new();
    case.policy.engines = vec![EngineKind::EphemeralContainer];
    case.policy.places = true;
    let mount = VolumeMount { name: "deskd-bin".into(), path: "/.deskd".into(), read_only: true };
    case.pod.keeper = Some(KeeperFile { mount, path: "/.deskd/bin/deskd-keeper".into() });
    case
}

/// The place of its plan, and what is said.
fn planned(case: &Case) -> (Option<PlaceSpec>, String) {
    let plan = case.plan().unwrap();
    let Work::EphemeralContainer(work) = &plan.work else { panic!("{plan:#?}") };
    (PlaceSpec::of(work), crate::text::Text::joined(plan.reasons, "\n").to_string())
}

#[test]
fn an_image_whose_command_is_known_gets_a_place_and_its_programs_do_not_end_with_deskd() {
    let (place, reasons) = planned(&case());
    assert_eq!(place.unwrap().keeper.path, "/.deskd/bin/deskd-keeper");
    assert!(
        reasons.contains("a keeper starts it in a container that all programs of its image share")
    );
    assert!(!reasons.contains("it ends when the container"), "{reasons}");
}

#[test]
fn what_has_no_place_gets_a_container_of_its_own_and_a_reason() {
    let rows: [(Change, &str); 3] = [
        (
            |c| c.pod.keeper = None,
            "container of its own: no volume of the pod brings deskd's keeper",
        ),
        (|c| c.pod.shares_processes = true, "container of its own: the pod's containers share"),
        (
            |c| {
                c.image().image_command.clear();
                c.image().program.clear();
            },
            "container of its own: its document does not say which command",
        ),
    ];
    for (change, says) in rows {
        let mut case = case();
        change(&mut case);
        let (place, reasons) = planned(&case);
        assert_eq!(place, None, "{says}");
        assert!(reasons.contains(says), "{reasons}");
    }
    let mut off = case();
    off.policy.places = false;
    let (place, reasons) = planned(&off);
    assert!(place.is_none() && !reasons.contains("container of its own:"), "{reasons}");
}

#[test]
fn two_launches_share_a_place_and_another_user_does_not() {
    let (one, other) = (planned(&case()).0, planned(&case()).0);
    assert_eq!(one, other);
    let mut case = case();
    case.launch.args = vec!["a file".into()];
    assert_eq!(planned(&case).0, one, "arguments are the program's");
    case.policy.run_as.gid += 1;
    assert_ne!(planned(&case).0, one);
}
