//! Stops and removals.

use super::*;
use crate::run::ask::{RemoveError, StopAdmission};

#[test]
fn the_grace_of_a_stop_is_the_one_of_its_plan_also_for_the_next_daemon() {
    for (app, grace_s) in [("local", 5), ("pod", 45), ("beside", 20), ("plain", 5)] {
        let mut desk = Desk::ready();
        let task = desk.launch(app);
        let mut next = Desk::start(desk.remembered());
        for desk in [&mut desk, &mut next] {
            desk.commands();
            desk.stop(&task);
            let stops = desk.commands();
            let [(_, Command::Stop { term_after, kill_after, .. })] = &stops[..] else {
                panic!("{app}: {stops:?}")
            };
            // Without windows there is nothing to wait for before SIGTERM.
            let expected = (Duration::ZERO, Duration::from_secs(grace_s));
            assert_eq!((*term_after, *kill_after), expected, "{app}");
        }
    }
}

#[test]
fn who_says_how_long_a_stop_may_take_gets_that() {
    let mut desk = Desk::ready();
    let task = desk.launch("pod");
    desk.commands();
    let request = StopRequest { grace: Some(Duration::from_secs(1)), force: false };
    desk.step(Input::Stop(task.clone(), request, ReplyId(90)));
    assert_eq!(desk.stops(), [(Link::Cluster, run(&task, 1), Duration::from_secs(1))]);
}

#[test]
fn a_task_that_was_stopped_before_its_engine_heard_of_it_is_not_started() {
    for app in ["local", "pod"] {
        let mut desk = Desk::ready();
        let task = desk.launch(app);
        let mut next = Desk::start(desk.remembered());
        next.cluster_answers();
        next.keeper_answers(1, Vec::new());
        next.stop(&task);
        next.step(Input::Display(Box::new(display())));
        next.synced(EngineKind::PodApplication, &[]);
        assert_eq!(next.starts(), [], "{app} is started");
        assert_eq!(next.state(&task), Some(TaskState::Ended), "{app}");
    }
}

#[test]
fn a_stop_of_what_the_keeper_never_heard_of_ends_whichever_keeper_answers() {
    for keeper in [1, 2] {
        let mut desk = Desk::ready();
        let task = desk.launch("local");
        let mut next = Desk::start(desk.remembered());
        next.stop(&task);
        next.keeper_answers(keeper, Vec::new());
        assert_eq!(next.state(&task), Some(TaskState::Ended), "keeper {keeper}");
    }
}

#[test]
fn a_stop_of_a_second_run_that_the_keeper_never_heard_of_ends() {
    let mut desk = Desk::ready();
    let task = desk.running("always");
    desk.ended(&run(&task, 1), 0);
    desk.wait_until_due();
    let mut next = Desk::start(desk.remembered());
    next.stop(&task);
    next.keeper_answers(1, vec![over(&desk, &run(&task, 1))]);
    next.step(Input::Display(Box::new(display())));
    assert_eq!(next.state(&task), Some(TaskState::Ended));
    assert_eq!(next.starts(), []);
}

#[test]
fn a_stop_that_is_on_record_is_asked_for_again_when_the_keeper_never_heard_of_it() {
    let mut desk = Desk::ready();
    let task = desk.running("local");
    let kept = record(&desk, &run(&task, 1));
    desk.stop(&task);
    let mut next = Desk::start(desk.remembered());
    next.keeper_answers(1, vec![kept]);
    assert_eq!(next.stops(), [(Link::Keeper, run(&task, 1), Duration::from_secs(5))]);
}

#[test]
fn what_is_removed_and_on_no_record_any_more_is_forgotten_by_the_keeper_too() {
    let mut desk = Desk::ready();
    let task = desk.running("always");
    desk.stop(&task);
    desk.ended(&run(&task, 1), 0);
    let kept = over(&desk, &run(&task, 1));
    desk.remove(&task);
    // The daemon is killed between the journal and the keeper.
    let mut next = Desk::start(desk.remembered());
    next.keeper_answers(1, vec![kept]);
    assert_eq!(next.state(&task), None, "it came back");
    let forget = |number| (Link::Keeper, Command::Forget { run: run(&task, number), output: true });
    // Once for the process, and once for the output, whoever wrote that.
    assert_eq!(next.commands(), [forget(1), forget(0)]);
}

#[test]
fn what_a_removed_task_left_running_is_ended_although_its_daemon_died_before_it_could_ask() {
    let mut desk = Desk::ready();
    let task = desk.running("local");
    desk.ended(&run(&task, 1), 0);
    let left = TaskRecord { end: Some(end(0)), ..record(&desk, &run(&task, 1)) };
    desk.step(Input::Remove(task.clone(), ReplyId(90)));
    let mut next = Desk::start(desk.remembered());
    next.commands();
    next.keeper_answers(1, vec![left]);
    let asked = next.commands();
    let position = |wanted: fn(&Command) -> bool| {
        asked.iter().position(|(link, command)| *link == Link::Keeper && wanted(command))
    };
    let stop = position(|command| matches!(command, Command::Stop { .. }));
    let forget = position(|command| matches!(command, Command::Forget { .. }));
    assert!(stop.is_some() && stop < forget, "{asked:?}");
}

#[test]
fn a_task_that_is_removed_before_the_keeper_answers_does_not_come_back() {
    let mut desk = Desk::ready();
    let task = desk.running("local");
    desk.ended(&run(&task, 1), 0);
    let kept = over(&desk, &run(&task, 1));
    let mut next = Desk::start(desk.remembered());
    next.remove(&task);
    next.keeper_answers(1, vec![kept]);
    assert_eq!(next.state(&task), None);
}

#[test]
fn a_container_that_is_removed_before_its_engine_knows_it_is_ended_when_it_starts() {
    let mut desk = Desk::ready();
    let task = desk.launch("beside");
    let first = run(&task, 1);
    desk.stop(&task);
    let exit = Exit::Lost(crate::why::reason::LostReason::BeforeItStarted);
    let what = Observation::Ended { exit, reason: None, at: 1 };
    desk.observed(&first, EngineKind::EphemeralContainer, what);
    let mut next = Desk::start(desk.remembered());
    next.everything_answers();
    next.remove(&task);
    next.commands();
    let what = Observation::Running { at: 1, pid: None, node: None };
    next.observed(&first, EngineKind::EphemeralContainer, what);
    assert_eq!(next.state(&task), None);
    assert_eq!(next.stops(), [(Link::Cluster, first, Duration::from_secs(5))]);
}

#[test]
fn what_has_not_ended_is_not_removed() {
    let mut desk = Desk::ready();
    let task = desk.running("local");
    desk.answers();
    desk.remove(&task);
    let answers = desk.answers();
    assert!(matches!(&answers[..], [Answer::Remove(Err(RemoveError::NotEnded(_)))]), "{answers:?}");
}

#[test]
fn a_stop_of_what_has_ended_changes_nothing() {
    let mut desk = Desk::ready();
    let task = desk.running("local");
    desk.ended(&run(&task, 1), 0);
    desk.effects.clear();
    desk.stop(&task);
    assert!(matches!(
        &desk.effects[..],
        [Effect::Answer(_, Answer::Stop(Ok(StopAdmission::AlreadyEnded(_))))]
    ));
}

#[test]
fn what_outlives_a_launcher_script_is_stopped() {
    let mut desk = Desk::ready();
    let task = desk.running("local");
    let first = run(&task, 1);
    desk.step(Input::Engine(Event::Exited { run: first.clone(), end: end(0), log_bytes: None }));
    assert_eq!(desk.state(&task), Some(TaskState::Ended));
    desk.stop(&task);
    assert_eq!(desk.stops(), [(Link::Keeper, first, Duration::from_secs(5))]);
}
