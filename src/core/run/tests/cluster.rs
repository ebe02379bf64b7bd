//! What the Kubernetes API tells, compared with what is on record.

use super::*;
use crate::run::Ancestry;
use crate::why::reason::{LostReason, RefusalReason, WaitReason};
use crate::window::{Window, WindowEvent};

const RUNS: Observation = Observation::Running { at: 1, pid: None, node: None };
const BESIDE: EngineKind = EngineKind::EphemeralContainer;
const POD: EngineKind = EngineKind::PodApplication;

#[test]
fn a_pod_that_somebody_deleted_while_deskd_was_away_is_not_made_again() {
    let mut desk = Desk::ready();
    let task = desk.launch("pod");
    let object = desk.task(&task).unwrap().object.clone().unwrap();
    desk.step(Input::Engine(Event::Accepted { run: run(&task, 1), object }));
    let mut next = Desk::start(desk.remembered());
    next.everything_answers();
    next.synced(POD, &[]);
    assert_eq!(next.starts(), []);
    assert_eq!(next.state(&task), Some(TaskState::Ended));
}

#[test]
fn what_was_launched_after_the_list_and_before_the_rights_were_known_is_not_gone() {
    let mut desk = Desk::start(Remembered::default());
    desk.keeper_answers(1, Vec::new());
    desk.step(Input::Display(Box::new(display())));
    let without_rights = crate::run::KubernetesFacts { rights: Vec::new(), ..samples::cluster() };
    desk.step(Input::Engine(Event::Facts(Box::new(without_rights))));
    desk.synced(POD, &[]);
    desk.synced(BESIDE, &[]);
    let (seen, answered) = (desk.launch("pod"), desk.launch("pod"));
    let beside = desk.launch("beside");
    desk.observed(&run(&seen, 1), POD, RUNS);
    for task in [&answered, &beside] {
        let object = desk.task(task).unwrap().object.clone().unwrap();
        desk.step(Input::Engine(Event::Accepted { run: run(task, 1), object }));
    }
    desk.cluster_answers();
    let states = [&seen, &answered, &beside].map(|task| desk.state(task).unwrap());
    assert_eq!(states, [TaskState::Running, TaskState::Starting, TaskState::Starting]);
}

#[test]
fn output_that_is_closed_was_opened() {
    let mut desk = Desk::ready();
    let task = desk.launch("pod");
    let pod = desk.task(&task).unwrap().object.clone().unwrap().pod;
    // A pod shows that it runs by a window, and is gone when its engine lists pods for the first time.
    let mut next = Desk::start(desk.remembered());
    next.everything_answers();
    let window = Window { machine: Some(pod), ..windows::window(1, None) };
    next.step(Input::Window(WindowEvent::Mapped(window), Ancestry::default()));
    assert_eq!(next.state(&task), Some(TaskState::Running));
    next.synced(POD, &[]);
    assert_eq!(next.state(&task), Some(TaskState::Ended));
    let commands = next.commands();
    let opens =
        |(_, it): &(Link, Command)| matches!(it, Command::Adopt { run, .. } if run.task == task);
    let closes = |(_, it): &(Link, Command)| *it == Command::CloseOutput { task: task.clone() };
    let opened = commands.iter().position(opens);
    assert!(opened.is_some() && opened < commands.iter().position(closes), "{commands:?}");
}

#[test]
fn a_container_on_no_record_that_is_told_before_the_keeper_answers_is_taken_in_then() {
    let task: TaskId = "beside-00abc".parse().unwrap();
    let mut desk = Desk::start(Remembered::default());
    desk.cluster_answers();
    desk.observed(&run(&task, 1), BESIDE, RUNS);
    desk.synced(BESIDE, &[run(&task, 1)]);
    assert_eq!(desk.state(&task), None, "its output cannot be stored yet");
    desk.keeper_answers(1, Vec::new());
    desk.step(Input::Display(Box::new(display())));
    assert_eq!(desk.state(&task), Some(TaskState::Running));
}

#[test]
fn what_ended_in_this_pod_and_is_on_no_record_is_left_alone() {
    let task: TaskId = "beside-00abc".parse().unwrap();
    let mut desk = Desk::ready();
    let what = Observation::Ended { exit: Exit::Code(0), reason: None, at: 1 };
    desk.observed(&run(&task, 1), BESIDE, what);
    assert_eq!(desk.state(&task), None);
}

#[test]
fn a_later_run_than_the_one_on_record_is_where_its_object_is() {
    let mut desk = Desk::ready();
    let task = desk.launch("pod");
    desk.observed(&run(&task, 1), POD, RUNS);
    // A second run was made as a container of the desktop's pod, while the disk was full.
    let mut next = Desk::start(desk.remembered());
    next.everything_answers();
    next.observed(&run(&task, 2), BESIDE, RUNS);
    next.synced(BESIDE, &[run(&task, 2)]);
    next.synced(POD, &[]);
    let known = next.task(&task).unwrap();
    assert_eq!((known.state, known.runs, known.engine), (TaskState::Running, 2, BESIDE));
}

#[test]
fn nothing_of_the_run_on_record_is_left_in_a_later_one() {
    let mut desk = Desk::ready();
    let task = desk.launch("beside");
    desk.observed(&run(&task, 1), BESIDE, RUNS);
    let mut next = Desk::start(desk.remembered());
    next.everything_answers();
    let waits = Observation::Waiting(WaitReason::Scheduler.into());
    next.observed(&run(&task, 2), BESIDE, waits);
    next.stop(&task);
    let exit = Exit::Lost(LostReason::BeforeItStarted);
    next.observed(&run(&task, 2), BESIDE, Observation::Ended { exit, reason: None, at: 1 });
    let known = next.task(&task).unwrap();
    assert!(known.is_over(), "{known:?}");
}

#[test]
fn a_container_that_starts_after_its_stop_is_ended_with_its_own_grace_also_by_the_next_daemon() {
    let mut desk = Desk::ready();
    let task = desk.launch("beside");
    desk.stop(&task);
    let exit = Exit::Lost(LostReason::BeforeItStarted);
    desk.observed(&run(&task, 1), BESIDE, Observation::Ended { exit, reason: None, at: 1 });
    assert_eq!(desk.state(&task), Some(TaskState::Ended));
    let mut next = Desk::start(desk.remembered());
    next.everything_answers();
    for desk in [&mut desk, &mut next] {
        desk.commands();
        desk.observed(&run(&task, 1), BESIDE, RUNS);
        assert_eq!(desk.stops(), [(Link::Cluster, run(&task, 1), Duration::from_secs(20))]);
    }
}

#[test]
fn a_launch_that_the_cluster_refuses_is_an_error_and_no_task() {
    let mut desk = Desk::ready();
    let task = desk.launch("pod");
    let refusal = RefusalReason::NoPod.into();
    desk.effects.clear();
    desk.step(Input::Engine(Event::Refused { run: run(&task, 1), refusal }));
    assert_eq!(desk.state(&task), None);
    let answers = desk.answers();
    assert!(matches!(&answers[..], [Answer::Launch(Err(_))]), "{answers:?}");
}

#[test]
fn launches_wait_until_it_is_known_whether_the_cluster_answers() {
    let mut desk = Desk::start(Remembered::default());
    desk.keeper_answers(1, Vec::new());
    desk.step(Input::Display(Box::new(display())));
    desk.ask_for("pod");
    assert!(desk.effects.is_empty(), "{:?}", desk.effects);
    desk.cluster_answers();
    assert_eq!(desk.starts().len(), 1);
}

#[test]
fn tasks_are_stale_while_the_cluster_is_away() {
    let mut desk = Desk::ready();
    let task = desk.launch("pod");
    desk.observed(&run(&task, 1), POD, Observation::Waiting(WaitReason::Scheduler.into()));
    let mut away = samples::cluster();
    away.api = crate::plan::facts::ApiState::Away("it does not answer".into());
    desk.step(Input::Engine(Event::Facts(Box::new(away))));
    assert_eq!(desk.task(&task).map(|task| task.stale), Some(true));
    desk.cluster_answers();
    assert_eq!(desk.task(&task).map(|task| task.stale), Some(false));
}

#[test]
fn the_output_of_a_pod_that_is_gone_is_closed() {
    let mut desk = Desk::ready();
    let task = desk.launch("pod");
    desk.observed(&run(&task, 1), POD, RUNS);
    desk.commands();
    desk.step(Input::Engine(Event::Gone { run: run(&task, 1) }));
    let close = (Link::Keeper, Command::CloseOutput { task: task.clone() });
    assert!(desk.commands().contains(&close));
    assert_eq!(desk.state(&task), Some(TaskState::Ended));
    assert_eq!(desk.task(&task).map(|task| task.is_over()), Some(false), "before it is");
}

#[test]
fn a_run_that_a_later_one_was_made_in_place_of_is_ended() {
    let mut desk = Desk::ready();
    let task = desk.launch("beside");
    // A remedy gave it up and made another, while the disk was full: on record it waits.
    let mut next = Desk::start(desk.remembered());
    next.everything_answers();
    next.observed(&run(&task, 1), BESIDE, RUNS);
    next.commands();
    next.observed(&run(&task, 2), BESIDE, RUNS);
    assert_eq!(next.stops(), [(Link::Cluster, run(&task, 1), Duration::from_secs(20))]);
}

#[test]
fn a_pod_of_an_earlier_run_goes_also_when_the_daemon_was_killed_before_it_asked_for_that() {
    let mut desk = Desk::ready();
    let task = desk.launch("always-pod");
    desk.observed(&run(&task, 1), POD, RUNS);
    let ended = Observation::Ended { exit: Exit::Code(3), reason: None, at: 2 };
    desk.observed(&run(&task, 1), POD, ended.clone());
    desk.step(Input::Engine(Event::Closed { task: task.clone(), run: None, log_bytes: None }));
    desk.wait_until_due();
    // The second run is on record; nothing of the commit arrived.
    let mut next = Desk::start(desk.remembered());
    next.everything_answers();
    next.observed(&run(&task, 1), POD, ended);
    let forget = (Link::Cluster, Command::Forget { run: run(&task, 1), output: false });
    assert!(next.commands().contains(&forget));
}
