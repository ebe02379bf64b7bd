//! The runs after the first, and launches that an earlier daemon could not pass on.

use super::*;
use crate::policy::LocalApps;

#[test]
fn a_launch_that_its_engine_never_heard_of_is_asked_for_again_by_the_next_daemon() {
    for (app, link) in [("local", Link::Keeper), ("pod", Link::Cluster)] {
        let mut desk = Desk::ready();
        let task = desk.launch(app);
        let mut next = Desk::start(desk.remembered());
        next.keeper_answers(1, Vec::new());
        next.cluster_answers();
        next.synced(EngineKind::PodApplication, &[]);
        assert_eq!(next.starts(), [], "the display is not known yet");
        next.step(Input::Display(Box::new(display())));
        assert_eq!(next.starts(), [(link, run(&task, 1))]);
    }
}

#[test]
fn nothing_runs_again_before_the_keeper_said_what_it_keeps() {
    let mut desk = Desk::ready();
    let task = desk.running("always");
    desk.ended(&run(&task, 1), 0);
    let mut next = Desk::start(desk.remembered());
    next.step(Input::Display(Box::new(display())));
    next.clock += Duration::from_secs(60);
    next.step(Input::Due);
    assert_eq!((next.starts(), next.runs.due()), (Vec::new(), None));
    next.keeper_answers(1, vec![over(&desk, &run(&task, 1))]);
    assert_eq!(next.starts(), [(Link::Keeper, run(&task, 2))]);
}

#[test]
fn a_restart_is_due_once_however_often_it_was_planned() {
    let mut desk = Desk::ready();
    let task = desk.running("always");
    desk.ended(&run(&task, 1), 0);
    let due = desk.runs.due();
    // What the keeper tells again plans nothing.
    desk.keeper_answers(1, vec![over(&desk, &run(&task, 1))]);
    assert_eq!(desk.runs.due(), due);
    desk.commands();
    desk.wait_until_due();
    assert_eq!(desk.starts(), [(Link::Keeper, run(&task, 2))]);
    assert_eq!(desk.runs.due(), None);
}

#[test]
fn a_clock_that_is_set_back_by_a_year_puts_no_restart_off() {
    let mut desk = Desk::ready();
    desk.clock += Duration::from_secs(365 * 24 * 3600);
    let task = desk.running("always");
    desk.ended(&run(&task, 1), 0);
    let mut next = Desk::start(desk.remembered());
    next.step(Input::Display(Box::new(display())));
    next.keeper_answers(1, vec![over(&desk, &run(&task, 1))]);
    let due = next.runs.due().expect("its next run");
    assert!(due <= next.clock + Duration::from_millis(crate::restart::DELAY_MS_MAX), "{due:?}");
    next.wait_until_due();
    assert_eq!(next.starts(), [(Link::Keeper, run(&task, 2))]);
}

#[test]
fn a_restart_waits_while_no_plan_can_be_made() {
    let mut desk = Desk::ready();
    let task = desk.running("always");
    desk.ended(&run(&task, 1), 0);
    desk.commands();
    desk.step(Input::Display(Box::new(DisplayStatus::unknown(":7", 7))));
    desk.wait_until_due();
    assert_eq!((desk.starts(), desk.state(&task)), (Vec::new(), Some(TaskState::Planned)));
    desk.step(Input::Display(Box::new(display())));
    desk.wait_until_due();
    assert_eq!(desk.starts(), [(Link::Keeper, run(&task, 2))]);
}

#[test]
fn a_stopped_task_does_not_run_again() {
    let mut desk = Desk::ready();
    let task = desk.running("always");
    desk.ended(&run(&task, 1), 0);
    desk.stop(&task);
    assert_eq!(desk.state(&task), Some(TaskState::Ended));
    desk.clock += Duration::from_secs(60);
    desk.commands();
    desk.step(Input::Due);
    assert_eq!(desk.starts(), []);
}

#[test]
fn a_run_that_is_planned_elsewhere_than_the_one_before_is_stopped_there() {
    let mut here = config();
    here.policy = Arc::new(Policy { local: LocalApps::All, ..(*here.policy).clone() });
    let mut desk = Desk::configured(here, Remembered::default());
    desk.everything_answers();
    let task = desk.running("anywhere");
    assert_eq!(desk.task(&task).map(|task| task.engine), Some(EngineKind::Local));
    desk.ended(&run(&task, 1), 1);
    // The next daemon's configuration permits it in containers alone.
    let mut next = Desk::start(desk.remembered());
    next.step(Input::Display(Box::new(display())));
    next.cluster_answers();
    next.keeper_answers(1, vec![over(&desk, &run(&task, 1))]);
    next.wait_until_due();
    assert_eq!(next.starts(), [(Link::Cluster, run(&task, 2))]);
    next.stop(&task);
    assert_eq!(next.stops(), [(Link::Cluster, run(&task, 2), Duration::from_secs(5))]);
}
