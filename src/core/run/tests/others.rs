//! What others started.

use super::*;
use crate::kubernetes::ObjectRef;
use crate::origin::{Found, OTHERS_MAX};
use crate::port::Stranger;

fn told(desk: &mut Desk, name: &str, what: Observation) -> RunId {
    let found = Found::new(name, "an/image", Vec::new(), &[]);
    let first = run(&found.task(), 1);
    let place =
        ObjectRef { namespace: "desktops".into(), pod: "desktop".into(), container: name.into() };
    let stranger = Some(Box::new(Stranger { found, env: Vec::new() }));
    let engine = EngineKind::EphemeralContainer;
    let object = Some(Box::new(Object { app: "other".parse().unwrap(), engine, place, stranger }));
    desk.step(Input::Engine(Event::Observed { run: first.clone(), object, what }));
    first
}

fn runs() -> Observation {
    Observation::Running { at: 1, pid: None, node: None }
}

#[test]
fn a_container_that_others_started_is_a_task_once_its_output_can_be_stored() {
    let mut desk = Desk::start(Remembered::default());
    desk.cluster_answers();
    let of = told(&mut desk, "writer", runs());
    assert_eq!(desk.state(&of.task), None);
    desk.keeper_answers(1, Vec::new());
    let task = desk.task(&of.task).unwrap();
    assert_eq!((task.state, task.origin), (TaskState::Running, Origin::Other));
}

#[test]
fn one_that_somebody_removed_is_not_shown_again_while_its_object_is_there() {
    let mut desk = Desk::ready();
    let of = told(&mut desk, "writer", runs());
    let ended = Observation::Ended { exit: Exit::Code(0), reason: None, at: 2 };
    told(&mut desk, "writer", ended.clone());
    desk.remove(&of.task);
    assert_eq!(desk.state(&of.task), None);
    let mut next = Desk::start(desk.remembered());
    next.everything_answers();
    told(&mut next, "writer", ended);
    assert_eq!(next.state(&of.task), None);
    let (engine, origin) = (EngineKind::EphemeralContainer, Origin::Other);
    let present = std::collections::BTreeSet::new();
    next.step(Input::Engine(Event::Synced { engine, origin, present }));
    assert!(next.runs.hidden().is_empty());
}

#[test]
fn deskd_has_no_remedy_for_it_and_asks_nobody_for_it_again() {
    let mut desk = Desk::ready();
    let of = told(&mut desk, "writer", runs());
    let mut next = Desk::start(desk.remembered());
    next.everything_answers();
    let (engine, origin) = (EngineKind::EphemeralContainer, Origin::Other);
    let present = std::collections::BTreeSet::new();
    next.step(Input::Engine(Event::Synced { engine, origin, present }));
    assert_eq!(next.starts(), []);
    next.step(Input::Engine(Event::Closed { task: of.task.clone(), run: None, log_bytes: None }));
    assert_eq!(next.state(&of.task), Some(TaskState::Ended));
}

#[test]
fn of_too_many_those_that_ended_go_first_and_the_rest_is_not_shown() {
    let mut desk = Desk::ready();
    for number in 0..OTHERS_MAX {
        told(&mut desk, &format!("writer-{number}"), runs());
    }
    let one_more = told(&mut desk, "one-more", runs());
    assert_eq!(desk.state(&one_more.task), None);
    assert!(desk.effects.iter().any(|effect| matches!(effect, Effect::Warn(_))));
}
