//! The state directory of each release is read by this one: `tests/fixtures/state/RELEASE` was written by deskd of that
//! release. Add a directory with each release, and change none.

use std::path::Path;

use serde_json::Value;

use crate::support::desk::Desk;
use crate::support::xvnc::{POD_UID, available};

fn copy(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).expect("a sample") {
        let entry = entry.expect("an entry");
        let target = to.join(entry.file_name());
        if entry.file_type().expect("a type").is_dir() {
            std::fs::create_dir(&target).expect("a directory");
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), &target).expect("a copy");
        }
        std::os::unix::fs::chown(&target, Some(POD_UID), Some(POD_UID)).expect("chown");
    }
}

#[test]
fn tasks_applications_and_output_of_the_first_release_are_still_there() {
    if !available() {
        return;
    }
    let sample = Path::new(env!("DESKD_ROOT")).join("tests/fixtures/state/0.1.0");
    let desk = Desk::start_in("", None, &[], |state| copy(&sample, state));
    let tasks: Value = desk.get("/v1/tasks");
    let tasks = tasks.as_array().expect("tasks").iter();
    let told: Vec<_> =
        tasks.map(|task| (task["id"].as_str(), &task["state"], &task["exit"])).collect();
    let code = |code: i32| serde_json::json!({ "code": code });
    let (ended, well, badly) = (Value::from("ended"), code(0), code(3));
    let expected = [("hello-27c9f", &well), ("fails-adce7", &badly), ("hello-d24c1", &well)];
    assert_eq!(told, expected.map(|(id, exit)| (Some(id), &ended, exit)));
    assert_eq!(desk.get("/v1/apps/later")["source"], "api");
    let log = desk.ask("GET", "/v1/tasks/hello-27c9f/log").send();
    let text = String::from_utf8(log.body).expect("text");
    for written in ["hello\n", "no newline", "a problem\n"] {
        assert!(text.contains(written), "{text}");
    }
}
