//! Windows, and the tasks that own them.

use super::*;
use crate::run::Ancestry;
use crate::window::{Window, WindowEvent};

pub(super) fn window(id: u32, pid: Option<u32>) -> Window {
    Window {
        id,
        title: String::new(),
        instance: String::new(),
        class: String::new(),
        pid,
        machine: None,
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
