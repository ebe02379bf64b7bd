//! Launches and their answers.

use super::*;
use crate::run::ask::{LaunchAdmission, LaunchError};
use crate::why::reason::RefusalReason;
use crate::wire::SpawnError;

fn keyed(app: &str) -> LaunchRequest {
    let (app, spec) = (app.parse().unwrap(), LaunchSpec::default());
    LaunchRequest { app, spec, idempotency_key: Some("k".into()) }
}

fn not_spawned(run: RunId) -> Input {
    let error = SpawnError::NotInPath { program: "nothing".into(), path: "/bin".into() };
    Input::Engine(Event::Refused { run, refusal: RefusalReason::Spawn(error).into() })
}

#[test]
fn a_launch_is_answered_when_its_process_exists() {
    let mut desk = Desk::ready();
    let task = desk.launch("local");
    assert!(desk.answers().is_empty());
    desk.started(&run(&task, 1));
    let answers = desk.answers();
    let [Answer::Launch(Ok(LaunchAdmission::Started(told)))] = &answers[..] else {
        panic!("{answers:?}")
    };
    assert_eq!((&told.id, told.state), (&task, TaskState::Running));
}

#[test]
fn a_first_run_that_cannot_be_started_is_an_error_and_no_task() {
    let mut desk = Desk::ready();
    let task = desk.launch("local");
    desk.step(not_spawned(run(&task, 1)));
    assert_eq!(desk.state(&task), None);
    let answers = desk.answers();
    assert!(
        matches!(&answers[..], [Answer::Launch(Err(LaunchError::Spawn { .. }))]),
        "{answers:?}"
    );
}

#[test]
fn what_a_container_cannot_execute_is_a_task_however_soon_that_is_known() {
    let mut desk = Desk::ready();
    let task = desk.launch("beside");
    desk.step(not_spawned(run(&task, 1)));
    assert_eq!(desk.state(&task), Some(TaskState::Ended));
    let answers = desk.answers();
    assert!(
        matches!(&answers[..], [Answer::Launch(Ok(LaunchAdmission::Started(_)))]),
        "{answers:?}"
    );
}

#[test]
fn a_run_that_somebody_stopped_and_that_cannot_be_started_either_stays_as_a_task() {
    let mut desk = Desk::ready();
    desk.step(Input::Launch(keyed("local"), ReplyId(70)));
    let task = desk.runs.table().iter().last().unwrap().task.id.clone();
    desk.stop(&task);
    // Both were told that there is such a task.
    desk.step(Input::Launch(keyed("local"), ReplyId(71)));
    desk.step(not_spawned(run(&task, 1)));
    assert_eq!(desk.state(&task), Some(TaskState::Ended));
}

#[test]
fn a_key_is_one_task() {
    let mut desk = Desk::ready();
    desk.step(Input::Launch(keyed("local"), ReplyId(70)));
    desk.step(Input::Launch(keyed("local"), ReplyId(71)));
    assert_eq!(desk.starts().len(), 1);
    let task = desk.runs.table().iter().last().unwrap().task.id.clone();
    desk.started(&run(&task, 1));
    let answers = desk.answers();
    let [
        Answer::Launch(Ok(LaunchAdmission::Started(_))),
        Answer::Launch(Ok(LaunchAdmission::AlreadyLaunched(_))),
    ] = &answers[..]
    else {
        panic!("{answers:?}")
    };
    desk.step(Input::Launch(keyed("always"), ReplyId(72)));
    let answers = desk.answers();
    assert!(
        matches!(&answers[..], [Answer::Launch(Err(LaunchError::KeyReused(_)))]),
        "{answers:?}"
    );
}

#[test]
fn a_launch_that_is_repeated_while_the_container_is_restarted_is_answered() {
    let mut desk = Desk::ready();
    desk.step(Input::Launch(keyed("local"), ReplyId(1)));
    let mut next = Desk::start(desk.remembered());
    next.step(Input::Launch(keyed("local"), ReplyId(2)));
    assert!(next.answers().is_empty(), "the keeper may have it");
    next.keeper_answers(2, Vec::new());
    let answers = next.answers();
    assert!(matches!(&answers[..], [Answer::Launch(Err(_))]), "{answers:?}");
}

#[test]
fn nothing_is_launched_before_the_keeper_answers_nor_above_the_limit() {
    let mut desk = Desk::start(Remembered::default());
    desk.step(Input::Display(Box::new(display())));
    desk.ask_for("local");
    let answers = desk.answers();
    assert!(matches!(&answers[..], [Answer::Launch(Err(LaunchError::KeeperAway))]), "{answers:?}");
    desk.everything_answers();
    (0..config().tasks_max).for_each(|_| drop(desk.launch("local")));
    desk.answers();
    desk.ask_for("local");
    let answers = desk.answers();
    let [Answer::Launch(Err(LaunchError::TooManyTasks { .. }))] = &answers[..] else {
        panic!("{answers:?}")
    };
}

#[test]
fn a_removed_task_s_name_is_not_given_again() {
    let mut desk = Desk::ready();
    let task = desk.running("local");
    desk.ended(&run(&task, 1), 0);
    desk.remove(&task);
    // The same random numbers as before.
    desk.runs.seed = 7;
    assert_ne!(desk.launch("local"), task);
}
