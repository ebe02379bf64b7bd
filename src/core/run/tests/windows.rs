//! Windows, and the tasks that own them.

use super::*;
use crate::run::Ancestry;
use crate::window::{PidOrigin, Window, WindowEvent};

pub(super) fn window(id: u32, pid: Option<u32>) -> Window {
    Window {
        id,
        title: String::new(),
        instance: String::new(),
        class: String::new(),
        pid,
        machine: None,
        pid_origin: PidOrigin::default(),
        pid_disputed: false,
        can_close: true,
        override_redirect: false,
    }
}

fn mapped(desk: &mut Desk, id: u32, pids: &[u32]) {
    let window = window(id, pids.first().copied());
    let ancestry = Ancestry { pids: pids.to_vec(), marked: None };
    desk.step(Input::Window(WindowEvent::Mapped(window), ancestry));
}

#[test]
fn a_window_is_of_the_task_whose_process_is_above_its_own() {
    let mut desk = Desk::ready();
    let task = desk.running("local");
    mapped(&mut desk, 1, &[900, 77, 1]);
    assert_eq!(desk.task(&task).map(|task| task.windows), Some(1));
    desk.step(Input::Window(WindowEvent::Unmapped(1), Ancestry::default()));
    assert_eq!(desk.task(&task).map(|task| task.windows), Some(0));
}

#[test]
fn a_window_that_is_seen_before_its_process_is_known_finds_its_task_then() {
    let mut desk = Desk::ready();
    let task = desk.launch("local");
    mapped(&mut desk, 1, &[77]);
    assert_eq!(desk.task(&task).map(|task| task.windows), Some(0));
    desk.started(&run(&task, 1));
    assert_eq!(desk.task(&task).map(|task| task.windows), Some(1));
}

#[test]
fn a_stop_asks_windows_first_and_signals_at_once_when_none_takes_it() {
    let mut desk = Desk::ready();
    let task = desk.running("local");
    mapped(&mut desk, 1, &[77]);
    desk.effects.clear();
    desk.stop(&task);
    let asks = |effect: &Effect| matches!(effect, Effect::CloseWindows(of, windows) if *of == task && windows[..] == [1]);
    assert!(desk.effects.iter().any(asks));
    let first = run(&task, 1);
    assert_eq!(desk.stops(), [(Link::Keeper, first.clone(), Duration::from_secs(8))]);
    desk.step(Input::WindowsAsked { task, asked: 0, of: 1 });
    assert_eq!(desk.stops(), [(Link::Keeper, first, Duration::from_secs(5))]);
}

#[test]
fn windows_of_a_server_that_is_gone_are_gone() {
    let mut desk = Desk::ready();
    let task = desk.running("local");
    mapped(&mut desk, 1, &[77]);
    let mut other = display();
    other.server_epoch += 1;
    desk.step(Input::Display(Box::new(other)));
    assert_eq!(desk.task(&task).map(|task| task.windows), Some(0));
}

const BESIDE: EngineKind = EngineKind::EphemeralContainer;
const RUNS: Observation = Observation::Running { at: 1, pid: None, node: None };

/// A window that says that process 77 is its, as that of the local task is.
fn claims(desk: &mut Desk, id: u32, instance: &str) {
    let window = Window { instance: instance.into(), ..window(id, Some(77)) };
    let ancestry = Ancestry { pids: vec![77, 1], marked: None };
    desk.step(Input::Window(WindowEvent::Mapped(window), ancestry));
}

fn beside(desk: &mut Desk) -> TaskId {
    let task = desk.launch("beside");
    desk.observed(&run(&task, 1), BESIDE, RUNS);
    task
}

fn asked(desk: &mut Desk) -> bool {
    desk.commands().contains(&(Link::Cluster, Command::FindProcess { pid: 77 }))
}

fn found(desk: &mut Desk, tasks: &[&TaskId]) {
    let tasks = tasks.iter().map(|task| (*task).clone()).collect();
    desk.step(Input::Engine(Event::ProcessFound { pid: 77, tasks }));
}

fn windows(desk: &Desk, task: &TaskId) -> Option<u32> {
    desk.task(task).map(|task| task.windows)
}

#[test]
fn a_window_that_says_its_process_is_of_the_place_that_has_it() {
    let mut desk = Desk::ready();
    let task = beside(&mut desk);
    claims(&mut desk, 1, "any");
    assert!(asked(&mut desk));
    assert_eq!(windows(&desk, &task), Some(0), "nobody has answered");
    found(&mut desk, &[&task]);
    assert_eq!(windows(&desk, &task), Some(1));
    found(&mut desk, &[&task]);
    assert_eq!(windows(&desk, &task), Some(1), "an answer may be repeated");
}

#[test]
fn of_several_with_such_a_process_it_is_the_one_whose_application_has_such_windows() {
    let mut desk = Desk::ready();
    let (here, there) = (desk.running("local"), beside(&mut desk));
    claims(&mut desk, 1, "gnome-2048");
    claims(&mut desk, 2, "another");
    found(&mut desk, &[&there]);
    assert_eq!((windows(&desk, &here), windows(&desk, &there)), (Some(0), Some(1)));
    // Where no place has such a process, it is the local one.
    claims(&mut desk, 3, "gnome-2048");
    found(&mut desk, &[]);
    assert_eq!((windows(&desk, &here), windows(&desk, &there)), (Some(2), Some(1)));
}

#[test]
fn without_a_task_at_a_place_nobody_is_asked() {
    let mut desk = Desk::ready();
    let here = desk.running("local");
    claims(&mut desk, 1, "any");
    assert_eq!((asked(&mut desk), windows(&desk, &here)), (false, Some(1)));
}

#[test]
fn a_window_that_nobody_owned_is_asked_for_again_once_a_container_runs() {
    let mut desk = Desk::ready();
    let first = beside(&mut desk);
    claims(&mut desk, 1, "any");
    found(&mut desk, &[]);
    desk.effects.clear();
    let second = beside(&mut desk);
    assert!(asked(&mut desk));
    found(&mut desk, &[&second]);
    assert_eq!((windows(&desk, &first), windows(&desk, &second)), (Some(0), Some(1)));
}

#[test]
fn a_window_of_the_x_servers_own_namespace_is_of_no_process_here() {
    let mut desk = Desk::ready();
    let (here, there) = (desk.running("local"), desk.launch("beside"));
    let elsewhere = window(1, None);
    let elsewhere =
        Window { pid_origin: PidOrigin::Elsewhere, instance: "gnome-2048".into(), ..elsewhere };
    let ancestry = Ancestry { pids: vec![77, 1], marked: None };
    desk.step(Input::Window(WindowEvent::Mapped(elsewhere.clone()), ancestry));
    assert!(!asked(&mut desk));
    assert_eq!((windows(&desk, &here), windows(&desk, &there)), (Some(0), Some(0)));
    // The same of a client that the server does not see.
    let unseen = Window { id: 2, pid_origin: PidOrigin::Window, ..elsewhere };
    desk.step(Input::Window(WindowEvent::Mapped(unseen), Ancestry::default()));
    assert_eq!(windows(&desk, &there), Some(1));
}
