//! Whatever an application calls itself, it does not write to the terminal of whoever looks at it.

use std::process::Command;

use serde_json::json;

use crate::support::desk::Desk;
use crate::support::xvnc::{POD_UID, available};

/// Sets the title of a terminal, turns its colours, in seven and eight bits, and turns the text.
const EVIL: &str = "\u{1b}]0;title\u{7}\u{1b}[31m\u{9b}5m\u{202e}evil\u{7f}\r";

fn shown(desk: &Desk, args: &[&str]) -> String {
    use std::os::unix::process::CommandExt as _;
    let mut command = Command::new(desk.dir.path().join("deskd"));
    command.arg("--socket").arg(desk.socket()).args(args).env_clear();
    let output = command.uid(POD_UID).gid(POD_UID).output().expect("deskd runs");
    let text = [output.stdout, output.stderr].concat();
    String::from_utf8(text).expect("text")
}

#[test]
fn no_command_hands_escapes_on() {
    if !available() {
        return;
    }
    let desk = Desk::start("", None);
    let app = json!({ "id": "evil", "display_name": EVIL, "needs_display": false,
        "local": { "command": [format!("/nowhere/{EVIL}"), EVIL], "cwd": format!("/{EVIL}"),
                   "env": { "NAME": EVIL } } });
    let labels = json!([{ "Id": "1", "RepoTags": ["label:1"], "Config": { "Labels": {
        "oc.cat": EVIL, "oc.name": EVIL, "oc.displayname": EVIL, "oc.rules": EVIL,
        "oc.containerengine": EVIL, "oc.host_config": EVIL, "oc.shm": EVIL } } }]);
    let config = format!("[app.{:?}]\ncommand = [{:?}]\nwhat = {:?}\n", "x", "y", "z");
    let evil_key = format!(
        "[app.x]\n\"{}\" = 1\n",
        EVIL.escape_unicode().to_string().replace("\\u{", "\\U").replace('}', "")
    );
    let file = |name: &str, text: &str| {
        let path = desk.dir.path().join(name);
        std::fs::write(&path, text).expect("a file");
        path.to_str().expect("a path").to_owned()
    };
    let (app, labels) =
        (file("app.json", &app.to_string()), file("labels.json", &labels.to_string()));
    let (config, evil_key) = (file("config.toml", &config), file("evil.toml", &evil_key));
    let log = file(
        "log.txt",
        &format!("cannot open display: {EVIL}\nError: Can't open display: {EVIL}\n"),
    );
    let evil_file = file("e.txt", "");
    let mut all = String::new();
    for args in [
        vec!["app", "add", &app],
        vec!["app", "add", &labels],
        vec!["app", "list"],
        vec!["app", "show", "evil"],
        vec!["app", "show", "label"],
        vec!["explain", "evil"],
        vec!["explain", "label"],
        vec!["launch", "evil"],
        vec!["launch", "label"],
        vec!["launch", EVIL],
        vec!["launch", "evil", EVIL],
        vec!["task", "list"],
        vec!["health"],
        vec!["check-config", &config],
        vec!["check-config", &evil_key],
        vec!["diagnose", &log],
        vec!["diagnose", &evil_file],
        vec!["--format", "json", "app", "list"],
        vec!["--format", "json", "app", "show", "evil"],
    ] {
        let text = shown(&desk, &args);
        let steers = |c: char| c.is_control() && !matches!(c, '\n' | '\t');
        assert!(!text.contains(steers), "{args:?}: {text:?}");
        all += &text;
    }
    assert!(all.contains("\u{fffd}") && all.contains("evil"), "nothing was shown: {all}");
}
