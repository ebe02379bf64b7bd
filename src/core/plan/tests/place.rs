//! Whether an ephemeral container is a place, and the sentence about it.

use super::super::facts::VolumeMount;
use super::super::remote::KeeperFile;
use super::super::{EngineKind, Work};
use super::case::Case;
use crate::place::PlaceSpec;

type Change = fn(&mut Case);

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
    (PlaceSpec::of(work), plan.reasons.join("\n"))
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
