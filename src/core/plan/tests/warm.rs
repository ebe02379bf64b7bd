//! What is kept ready for an application, and what that does to its launch.

use std::sync::Arc;

use super::super::facts::{PlaceFacts, Quota};
use super::super::{EngineKind, UnplannableCode, Warm, Work, warm};
use super::case::Case;
use super::place::pods;
use crate::kubernetes::ObjectRef;
use crate::place::{Leeway, Life, PlaceSpec, WarmPlace};
use crate::policy::{ExecuteClass, WARM_MAX};

fn warm_of(case: &Case) -> Option<Warm> {
    let (app, _, facts) = case.inputs();
    warm(&app, &facts)
}

fn place(case: &Case) -> WarmPlace {
    match warm_of(case) {
        Some(Warm::Place(place)) => *place,
        other => panic!("{other:?}"),
    }
}

/// One of a class of which that many are kept ready.
fn kept(count: u32) -> Case {
    let mut case = pods();
    let memory = [("memory".to_owned(), "1Gi".to_owned())];
    let class =
        ExecuteClass { warm: Some(count), limits: memory.into(), ..ExecuteClass::default() };
    case.policy.classes.insert("ready".into(), class);
    case.policy.default_class = Some("ready".into());
    case
}

fn quota(resource: &str, used: &str, hard: &str) -> Quota {
    let [resource, used, hard] = [resource, used, hard].map(str::to_owned);
    Quota { namespace: "desktops".into(), name: "all".into(), resource, used, hard }
}

#[test]
fn the_application_says_how_many_and_else_its_class() {
    assert_eq!(warm_of(&pods()), None);
    assert_eq!(place(&kept(2)).count, 2);
    let mut case = kept(2);
    let (app, ..) = case.inputs();
    case.policy.warm.insert(app.id.clone(), 3);
    assert_eq!(place(&case).count, 3);
    case.policy.warm.insert(app.id, 0);
    assert_eq!(warm_of(&case), None);
    assert_eq!(warm_of(&kept(0)), None);
}

#[test]
fn what_is_kept_is_what_a_launch_takes() {
    let case = kept(1);
    let Work::PodApplication(work) = case.plan().unwrap().work else { panic!("a pod") };
    assert_eq!(Some(place(&case).spec), PlaceSpec::of_pod(&work));
    assert_eq!(place(&case).leeway, Leeway::More(WARM_MAX));
    let mut here = pods();
    here.policy.engines = vec![EngineKind::EphemeralContainer];
    here.policy.warm = [(here.inputs().0.id, 5)].into();
    assert_eq!(place(&here).count, 1, "all its programs run in one");
    here.policy.places = false;
    assert_eq!(warm_of(&here), None);
}

#[test]
fn of_a_quota_the_last_that_fits_is_a_launchs() {
    let rows = [
        (quota("pods", "2", "10"), Leeway::More(7)),
        (quota("pods", "8", "10"), Leeway::More(1)),
        (quota("pods", "9", "10"), Leeway::More(0)),
        (quota("pods", "10", "10"), Leeway::Full),
        (quota("limits.memory", "1Gi", "3500Mi"), Leeway::More(1)),
        (quota("limits.cpu", "1", "1"), Leeway::More(WARM_MAX)),
        (quota("pods", "0", "1k"), Leeway::More(WARM_MAX)),
    ];
    for (quota, leeway) in rows {
        let mut case = kept(2);
        case.cluster.quotas = vec![quota.clone()];
        assert_eq!(place(&case).leeway, leeway, "{quota:?}");
    }
}

#[test]
fn a_launch_that_finds_a_pod_takes_nothing_of_a_full_quota_and_is_told_of_it() {
    let mut case = kept(1);
    let spec = place(&case).spec;
    case.cluster.quotas = vec![quota("pods", "10", "10")];
    let refused = case.plan().unwrap_err();
    assert!(refused.sentence.to_string().contains("the quota `all`"), "{refused}");
    let (namespace, pod, container) =
        ("desktops".into(), "anna-app-game-0a1b2".into(), "app".into());
    let mut waits = PlaceFacts {
        name: "place-0a1b2".parse().unwrap(),
        image: spec.image.clone(),
        engine: EngineKind::PodApplication,
        object: ObjectRef { namespace, pod, container },
        state: Life::Up,
        keeper_since: Some(1),
        idle: true,
        warm: true,
        spec: Some(Arc::new(spec)),
    };
    case.cluster.places = vec![waits.clone()];
    let reasons = format!("{:?}", case.plan().unwrap().reasons);
    assert!(reasons.contains("a keeper starts it at once, in a pod that waits for a launch"));
    (waits.idle, waits.spec) = (false, None);
    case.cluster.places = vec![waits];
    assert!(case.plan().is_err());
}

#[test]
fn what_passes_ends_nothing_that_is_kept() {
    let mut away = kept(1);
    away.facts.display.unix.state = crate::display::EndpointState::NotListening;
    assert_eq!(away.plan().unwrap_err().code, UnplannableCode::DisplayUnavailable);
    assert_eq!(warm_of(&away), Some(Warm::Unknown));
    let mut never = kept(1);
    never.image().execute_class = Some("none".into());
    assert_eq!(warm_of(&never), None);
}
