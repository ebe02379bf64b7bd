//! Remedies.

use super::*;
use crate::run::Entry;
use crate::run::ask::{LaunchError, RemedyError};

/// A task that ended by itself, for which there is this remedy.
fn crashed(desk: &mut Desk, confidence: Confidence) -> TaskId {
    desk.finds = Some((confidence, Remedy::DisableDevShm));
    let task = desk.running("local");
    desk.ended(&run(&task, 1), 3);
    task
}

fn desk_with(remedy: RemedyMode) -> Desk {
    let mut desk = Desk::configured(Config { remedy, ..config() }, Remembered::default());
    desk.everything_answers();
    desk
}

#[test]
fn a_remedy_is_applied_once_when_somebody_asks_for_it() {
    let mut desk = desk_with(RemedyMode::Suggest);
    let task = crashed(&mut desk, Confidence::Likely);
    desk.commands();
    desk.step(Input::Remedy(task.clone(), ReplyId(80)));
    let commands = desk.commands();
    let [(Link::Keeper, Command::Start { run: second, work, .. })] = &commands[..] else {
        panic!("{commands:?}")
    };
    assert_eq!(*second, run(&task, 2));
    assert!(work.argv().contains(&"--disable-dev-shm-usage".to_owned()), "{:?}", work.argv());
    desk.started(&run(&task, 2));
    desk.ended(&run(&task, 2), 3);
    desk.step(Input::Remedy(task, ReplyId(81)));
    let answers = desk.answers();
    assert!(matches!(answers.last(), Some(Answer::Remedy(Err(RemedyError::None { .. })))));
}

#[test]
fn deskd_applies_a_likely_remedy_by_itself_if_it_is_to() {
    for (mode, confidence, mended) in [
        (RemedyMode::Auto, Confidence::Likely, true),
        (RemedyMode::Auto, Confidence::Possible, false),
        (RemedyMode::Suggest, Confidence::Likely, false),
    ] {
        let mut desk = desk_with(mode);
        let task = crashed(&mut desk, confidence);
        let second = (Link::Keeper, run(&task, 2));
        assert_eq!(desk.starts().contains(&second), mended, "{mode:?} {confidence:?}");
    }
}

#[test]
fn no_remedy_is_offered_when_they_are_turned_off() {
    let mut desk = desk_with(RemedyMode::Off);
    let task = crashed(&mut desk, Confidence::Likely);
    let diagnosis = desk.task(&task).unwrap().diagnosis.clone().expect("a diagnosis");
    assert_eq!(diagnosis.remedy, None);
}

#[test]
fn a_run_that_is_given_up_before_its_engine_knows_it_is_ended_once_it_does() {
    let mut desk = desk_with(RemedyMode::Suggest);
    desk.finds = Some((Confidence::Likely, Remedy::DisableDevShm));
    let task = desk.launch("beside");
    let object = desk.task(&task).unwrap().object.clone().unwrap();
    let waits = Observation::Waiting(crate::why::reason::WaitReason::Scheduler.into());
    desk.step(Input::Engine(Event::Accepted { run: run(&task, 1), object }));
    desk.observed(&run(&task, 1), EngineKind::EphemeralContainer, waits);
    let mut next = Desk::start(desk.remembered());
    next.step(Input::Display(Box::new(display())));
    next.cluster_answers();
    next.step(Input::Remedy(task.clone(), ReplyId(80)));
    next.commands();
    next.keeper_answers(1, Vec::new());
    let commands = next.commands();
    let first = run(&task, 1);
    let at = |wanted: &dyn Fn(&Command) -> bool| commands.iter().position(|(_, it)| wanted(it));
    let adopt = at(&|it| matches!(it, Command::Adopt { run, .. } if *run == first));
    let stop = at(&|it| matches!(it, Command::Stop { run, .. } if *run == first));
    let forget = at(&|it| matches!(it, Command::Forget { run, .. } if *run == first));
    assert!(adopt.is_some() && adopt < stop && stop < forget, "{commands:?}");
}

#[test]
fn no_remedy_is_applied_while_a_later_run_than_the_one_on_record_may_exist() {
    let mut desk = desk_with(RemedyMode::Suggest);
    let task = crashed(&mut desk, Confidence::Likely);
    let mut next = Desk::start(desk.remembered());
    next.step(Input::Remedy(task.clone(), ReplyId(80)));
    let away = Answer::Remedy(Err(RemedyError::Launch(LaunchError::KeeperAway)));
    assert_eq!(format!("{:?}", next.answers()), format!("{:?}", [away]));
    // Nor of a run that is on its way to the keeper.
    desk.step(Input::Remedy(task.clone(), ReplyId(81)));
    assert_eq!(desk.state(&task), Some(TaskState::Starting));
    let remedied = |entry: &mut Entry| Arc::make_mut(&mut entry.task).remedied = None;
    let mut remembered = desk.remembered();
    remembered.tasks.iter_mut().for_each(remedied);
    let mut next = Desk::start(remembered);
    next.keeper_answers(1, Vec::new());
    next.commands();
    next.step(Input::Remedy(task, ReplyId(80)));
    assert!(matches!(&next.answers()[..], [Answer::Remedy(Err(RemedyError::None { .. }))]));
}
