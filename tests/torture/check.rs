//! What must be the case once nothing is broken any more.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::desktop::Desktop;
use crate::report::Report;
use crate::support::http::{Answer, Ask};
use crate::support::wait::until;
use crate::user::{Kind, Program, User};

/// Checks every program, and removes what is over.
pub fn everything(desktop: &Desktop, user: &mut User, report: &mut Report) {
    let mut left = Vec::new();
    for mut program in std::mem::take(&mut user.programs) {
        let task = settled(desktop, &program);
        if program.kind == Kind::Writer {
            read(desktop, &mut program, report);
        }
        if task["state"] != "ended" || task["leftovers"] == true {
            program.pid = task["pid"].as_u64().and_then(|pid| u32::try_from(pid).ok());
            left.push(program);
            continue;
        }
        ended(desktop, &program, &task);
        *report.ended.entry(program.kind.app().to_owned()).or_default() += 1;
        let id = program.id.unwrap();
        let path = format!("/v1/tasks/{id}");
        Ask::new(&desktop.desk().unix(), "DELETE", &path).send().expect(204);
        user.removed.push(id);
    }
    user.programs = left;
    known(desktop, user);
}

/// Waits until what is said of a program is what is the case, and what the user wants.
fn settled(desktop: &Desktop, program: &Program) -> Value {
    let id = program.id.as_ref().unwrap();
    let mut seen = Value::Null;
    let found = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        until("a task is what it should be", || {
            seen = program.task(desktop)?;
            let lives = match program.kind {
                Kind::Pod => desktop.pods().iter().any(|pod| seen["object"]["pod"] == pod.as_str()),
                _ => !processes(id).is_empty(),
            };
            let alive = match (seen["state"].as_str()?, seen["leftovers"].as_bool()?) {
                ("running", _) => true,
                ("starting", _) => program.kind == Kind::Pod,
                ("ended", leftovers) => leftovers,
                _ => return None,
            };
            let over = program.stop || matches!(program.kind, Kind::Short(_));
            (alive == lives && (!over || !alive)).then_some(())
        });
    }));
    assert!(found.is_ok(), "{program:?}: {seen:#}, processes {:?}", processes(id));
    assert_eq!(seen["runs"], 1, "{program:?}: {seen:#}");
    if let (Some(pid), Some("running")) = (program.pid, seen["state"].as_str()) {
        assert_eq!(seen["pid"], pid, "{program:?} is another process: {seen:#}");
    }
    seen
}

/// Whether it ended for a reason that the user knows of, and as it did.
fn ended(desktop: &Desktop, program: &Program, task: &Value) {
    let exit = &task["exit"];
    match program.kind {
        Kind::Short(code) => {
            assert_eq!(exit["code"], code, "{program:?}: {task:#}");
            let text = log(desktop, program, 0).text();
            let gap = text.contains("bytes are missing here");
            assert!(gap || text == format!("done {}\n", program.token), "{program:?}: {text:?}");
        }
        Kind::Clock if program.displays_lost < desktop.displays_lost => {}
        // A bomb that has no room for a process goes out by itself.
        Kind::Bomb => {}
        _ => {
            let expected = program.stop || program.killed.get();
            assert!(expected, "{program:?} ended by itself: {task:#}");
            if program.killed.get() && !program.stop {
                assert_eq!(exit["signal"]["number"], 9, "{program:?}: {task:#}");
            }
        }
    }
}

/// Reads what a writer wrote since the last time: the next numbers, each once, or the log says how many
/// bytes are missing in their place.
fn read(desktop: &Desktop, program: &mut Program, report: &mut Report) {
    let answer = log(desktop, program, program.read.cursor);
    let read = &mut program.read;
    let text = std::mem::take(&mut read.begun) + &answer.text();
    let said = || format!("{} of {:?}:\n{text}", program.token, program.id);
    for line in text.split_inclusive('\n') {
        let Some(whole) = line.strip_suffix('\n') else {
            read.begun = line.to_owned();
            break;
        };
        if let Some(gap) = whole.strip_prefix("[deskd: ") {
            let bytes = gap.split(' ').next().and_then(|word| word.parse::<u64>().ok());
            let bytes = bytes.unwrap_or_else(|| panic!("{line:?} in {}", said()));
            read.missing += bytes;
            report.on_record_as_dropped += bytes;
            continue;
        }
        let number = match whole.split_once(' ') {
            Some((token, number)) if token == program.token => number.parse::<u64>().ok(),
            _ => None,
        };
        match number {
            Some(number) if number >= read.next => {
                let mut skipped = 0;
                while read.next < number {
                    skipped += bytes_of(&program.token, read.next);
                    read.next += 1;
                }
                // Before a gap the text has a newline of its own.
                let exact = skipped == read.missing || (read.torn && skipped + 1 == read.missing);
                assert!(
                    exact,
                    "{skipped} bytes before {number}, {} are told: {}",
                    read.missing,
                    said()
                );
                read.bytes += skipped;
                (read.missing, read.torn) = (0, false);
            }
            // A piece of a line, the rest of which is missing.
            _ if text.contains("bytes are missing here") || read.missing > 0 => {
                read.missing += line.len() as u64;
                read.torn = true;
                continue;
            }
            _ => panic!("after {} came {line:?} in {}", read.next, said()),
        }
        read.bytes += bytes_of(&program.token, read.next);
        read.next += 1;
        report.lines += 1;
        report.bytes += line.len() as u64;
    }
    // A cursor is an offset in what the program wrote: so not a byte is missing, or there twice.
    let next: u64 = answer.header("deskd-log-next").unwrap().parse().unwrap();
    let written = read.bytes + read.begun.len() as u64 + read.missing;
    assert!(
        next == written || (read.torn && next + 1 == written),
        "{next}, not {written}: {}",
        said()
    );
    read.cursor = next;
}

fn bytes_of(token: &str, number: u64) -> u64 {
    (token.len() + number.to_string().len() + 2) as u64
}

fn log(desktop: &Desktop, program: &Program, from: u64) -> Answer {
    let id = program.id.as_ref().unwrap();
    let path = format!("/v1/tasks/{id}/log?from={from}");
    let answer = Ask::new(&desktop.desk().unix(), "GET", &path).send();
    assert_eq!(answer.status, 200, "{program:?}: {}", answer.text());
    answer
}

/// The table has what the user has, and nothing else.
fn known(desktop: &Desktop, user: &User) {
    let tasks = Ask::new(&desktop.desk().unix(), "GET", "/v1/tasks").send().expect(200);
    let tasks = tasks.as_array().unwrap();
    let mut ids: BTreeMap<&str, &Value> = BTreeMap::new();
    for task in tasks {
        ids.insert(task["id"].as_str().unwrap(), task);
    }
    for program in &user.programs {
        assert!(ids.remove(program.id.as_deref().unwrap()).is_some(), "{program:?} is lost");
    }
    let pods = user.programs.iter().filter(|it| it.kind == Kind::Pod).count();
    assert_eq!(desktop.pods().len(), pods, "pods: {:?}", desktop.pods());
    // A launch that was refused or not answered, and took place, ends here.
    for (id, task) in ids {
        assert!(!user.removed.iter().any(|removed| removed == id), "{id} came back: {task:#}");
        assert_eq!(task["state"], "ended", "nobody launched {id}: {task:#}");
    }
}

/// No process of a task that is over.
pub fn nothing_is_left(user: &User) {
    for id in &user.removed {
        let left = processes(id);
        assert!(left.is_empty(), "{left:?} of {id}");
    }
}

/// Processes that were started for a task.
fn processes(task: &str) -> Vec<u32> {
    let mark = format!("DESKD_TASK_ID={task}");
    let of_task = |pid: &u32| {
        let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        environment.split(|byte| *byte == 0).any(|variable| variable == mark.as_bytes())
    };
    let alive = |pid: &u32| crate::support::proc::is_alive(*pid);
    let pids = deskd_keeper::procfs::pids().unwrap();
    pids.into_iter().filter(of_task).filter(alive).collect()
}
