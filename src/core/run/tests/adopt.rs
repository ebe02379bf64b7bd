//! What a keeper kept while no daemon was there.

use super::*;
use crate::run::Entry;
use crate::why::reason::LostReason;

#[test]
fn a_task_on_no_record_is_taken_from_what_the_keeper_was_told_at_its_launch() {
    let mut desk = Desk::ready();
    let task = desk.running("local");
    // The disk was full: nothing is on record.
    let mut next = Desk::start(Remembered::default());
    next.keeper_answers(1, vec![record(&desk, &run(&task, 1))]);
    assert_eq!(next.state(&task), Some(TaskState::Running));
    assert_eq!(next.task(&task).and_then(|task| task.pid), Some(77));
}

#[test]
fn a_later_run_than_the_one_on_record_is_taken_over() {
    let mut desk = Desk::ready();
    let task = desk.running("always");
    let behind = desk.remembered();
    desk.ended(&run(&task, 1), 0);
    desk.wait_until_due();
    desk.started(&run(&task, 2));
    let mut next = Desk::start(behind);
    next.keeper_answers(1, vec![record(&desk, &run(&task, 2))]);
    let known = next.task(&task).unwrap();
    assert_eq!((known.state, known.runs), (TaskState::Running, 2));
}

#[test]
fn what_a_restarted_keeper_does_not_have_is_lost() {
    let mut desk = Desk::ready();
    let task = desk.running("local");
    let mut next = Desk::start(desk.remembered());
    next.keeper_answers(2, Vec::new());
    let lost = Some(Exit::Lost(LostReason::KeeperRestarted));
    assert_eq!(next.task(&task).map(|task| task.exit.clone()), Some(lost));
}

#[test]
fn nothing_is_left_of_a_run_that_waits_to_run_again_when_the_keeper_was_restarted() {
    let mut desk = Desk::ready();
    let task = desk.running("always");
    let first = run(&task, 1);
    desk.step(Input::Engine(Event::Exited { run: first, end: end(0), log_bytes: None }));
    assert_eq!(desk.task(&task).map(|task| task.leftovers), Some(true));
    let mut next = Desk::start(desk.remembered());
    next.keeper_answers(2, Vec::new());
    next.stop(&task);
    let known = next.task(&task).unwrap();
    assert_eq!((known.state, known.leftovers), (TaskState::Ended, false));
}

#[test]
fn an_end_that_nobody_saw_is_told_by_the_keeper_with_its_exit_code() {
    let mut desk = Desk::ready();
    let task = desk.running("local");
    let mut next = Desk::start(desk.remembered());
    let kept = TaskRecord { end: Some(end(3)), ..over(&desk, &run(&task, 1)) };
    next.keeper_answers(1, vec![kept]);
    let known = next.task(&task).unwrap();
    assert_eq!((known.state, known.exit.clone()), (TaskState::Ended, Some(Exit::Code(3))));
    assert!(known.is_over());
}

#[test]
fn what_the_keeper_keeps_of_nobody_is_forgotten() {
    let desk = Desk::ready();
    let stray: TaskId = "local-00abc".parse().unwrap();
    let mut next = Desk::start(Remembered::default());
    next.keeper_answers(1, vec![record(&desk, &run(&stray, 1))]);
    let forget = (Link::Keeper, Command::Forget { run: run(&stray, 1), output: true });
    assert_eq!(next.commands(), [forget]);
}

#[test]
fn windows_are_counted_anew_by_each_daemon() {
    let mut desk = Desk::ready();
    let task = desk.running("local");
    let mut remembered = desk.remembered();
    let counted = |entry: &mut Entry| Arc::make_mut(&mut entry.task).windows = 3;
    remembered.tasks.iter_mut().for_each(counted);
    assert_eq!(Desk::start(remembered).task(&task).map(|task| task.windows), Some(0));
}

#[test]
fn a_restarted_keeper_is_on_record_only_with_what_it_lost() {
    let mut desk = Desk::ready();
    let task = desk.launch("local");
    let mut next = Desk::start(desk.remembered());
    // The daemon is killed before the keeper told what it keeps, or while it records that.
    next.step(Input::Engine(Event::Keeper { started_at: 2 }));
    assert!(!next.effects.iter().any(|effect| matches!(effect, Effect::Keeper(_))));
    let mut third = Desk::start(next.remembered());
    third.keeper_answers(2, Vec::new());
    let lines: Vec<_> = third.runs.lines(&third.effects).collect();
    assert!(matches!(lines.last(), Some(super::super::journal::Line::Keeper(2))), "{lines:?}");
    third.step(Input::Display(Box::new(display())));
    assert_eq!(third.starts(), [], "it ran already");
    assert_eq!(third.state(&task), Some(TaskState::Ended));
}
