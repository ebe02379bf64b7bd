//! An application in an image stays in it: who may permit otherwise, and who may not.

use super::super::EngineKind::{EphemeralContainer, Local, PodApplication};
use super::super::UnplannableCode as Code;
use super::super::facts::ProgramPresence;
use super::case::{Case, Row, check};
use super::local::{configured, present};
use crate::policy::LocalApps;

/// Its program is in deskd's container, and the operator says nothing.
fn not_permitted(case: &mut Case) {
    case.facts.program = ProgramPresence::Present;
}

const ISOLATION: &[Row] = &[
    (
        "nobody permits it to run outside of its image",
        not_permitted,
        Ok(EphemeralContainer),
        &[
            "not local: it comes in an image, and the configuration does not permit it to run outside",
            "add `2048-alpine` to `local` in [kubernetes]",
        ],
    ),
    (
        "the operator permits it",
        present,
        Ok(Local),
        &["the configuration permits it to run outside its image (`local` in [kubernetes])"],
    ),
    (
        "the operator permits all",
        |c| {
            not_permitted(c);
            c.policy.local = LocalApps::All;
        },
        Ok(Local),
        &["the configuration permits it"],
    ),
    (
        "the operator permits another one",
        |c| {
            not_permitted(c);
            c.policy.local = LocalApps::Only(["2048".parse().unwrap()].into());
        },
        Ok(EphemeralContainer),
        &["does not permit it"],
    ),
    (
        "whoever launches it cannot permit it",
        |c| {
            not_permitted(c);
            c.launch.engine = Some(Local);
        },
        Err(Code::CannotBePlaced),
        &["2048 cannot run as a process in deskd's container: it comes in an image", "local"],
    ),
    (
        "neither can its document",
        |c| {
            not_permitted(c);
            c.image().engine = Some(Local);
            c.image().labels.insert("io.deskd.local".into(), "allowed".into());
        },
        Err(Code::CannotBePlaced),
        &["does not permit it to run outside that, where it could read deskd's files"],
    ),
    (
        "neither can a remedy",
        |c| {
            not_permitted(c);
            c.launch.change.engine = Some(Local);
        },
        Err(Code::CannotBePlaced),
        &["does not permit it"],
    ),
    (
        "scarce containers are no permission",
        |c| {
            not_permitted(c);
            c.policy.engines.clear();
        },
        Err(Code::CannotBePlaced),
        &["2048 cannot run anywhere; as a process in deskd's container: it comes in an image"],
    ),
    (
        "the document's engine stays, though it is permitted here",
        |c| {
            present(c);
            c.image().engine = Some(PodApplication);
        },
        Ok(PodApplication),
        &["not local: the application's document asks for pod_application"],
    ),
    (
        "applications of the configuration file are the operator's own",
        configured,
        Ok(Local),
        &["it runs as a process in this container"],
    ),
];

#[test]
fn only_the_operator_permits_an_image_s_application_to_run_outside_of_its_image() {
    check(ISOLATION);
}
