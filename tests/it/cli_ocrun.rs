//! `deskd ocrun`: by name, by path, by the media type of a file, over the unix socket alone.

use std::process::Output;

use deskd_core::exit::Exit;
use serde_json::json;

use super::cli::deskd;
use super::support::desk::Desk;
use super::support::xvnc::available;

#[test]
fn menu_entries_and_file_managers_start_applications_without_a_browser() {
    if !available() {
        return;
    }
    let desk = Desk::start("listen = \"none\"\n", None);
    let shows = |id: &str, types: &[&str], extensions: &[&str]| {
        let command = ["sh", "-c", "echo $0 \"$@\"", id];
        let app = json!({ "id": id, "display_name": format!("The {id}"), "needs_display": false,
            "local": { "command": command }, "mime_types": types, "file_extensions": extensions });
        desk.ask("PUT", "/v1/apps").json(&app).send().expect(201);
    };
    shows("writer", &["application/vnd.oasis.opendocument.text"], &["odt"]);
    shows("editor", &["text/*"], &["txt"]);
    let ocrun = |args: &[&str]| -> Output {
        let mut command = deskd(&["ocrun"]);
        command.args(args).env("DESKD_SOCKET", desk.socket()).output().unwrap()
    };
    for (args, written) in [
        (&["writer"][..], "writer\n"),
        (&["The Writer", "/home/a b.odt"], "writer /home/a b.odt\n"),
        (&["/home/a.odt"], "writer /home/a.odt\n"),
        (&["--mime", "text/plain", "/home/README", "/home/b"], "editor /home/README /home/b\n"),
        (&["--mime", "x/unknown", "file:///home/c.txt"], "editor file:///home/c.txt\n"),
    ] {
        let output = ocrun(args);
        assert_eq!(output.status.code(), Some(0), "{args:?}: {output:?}");
        let task = String::from_utf8(output.stdout).unwrap();
        let task = task.trim();
        desk.ended(task);
        let log = desk.ask("GET", &format!("/v1/tasks/{task}/log")).send().text();
        assert_eq!(log, written, "{args:?}");
    }
    for args in [&["nothing"][..], &["/home/a.xyz"], &["--mime", "x/y", "writer"]] {
        let output = ocrun(args);
        assert_eq!(output.status.code(), Some(Exit::NotFound as i32), "{args:?}: {output:?}");
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert!(stderr.contains("deskd app list"), "{stderr}");
    }
}
