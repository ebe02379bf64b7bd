//! The program section under Debian's supervisord.

use std::process::Command;

use super::{Installed, Running, delivered, eventually, processes_with, repository, stdout_of};
use crate::support::xvnc::{POD_UID, Xvnc};

/// supervisord's own configuration, as a container's image has it.
const SUPERVISORD: &str = "
[supervisord]
nodaemon = true
logfile = DIR/supervisord.log
pidfile = DIR/supervisord.pid
childlogdir = DIR

[unix_http_server]
file = DIR/supervisor.sock

[rpcinterface:supervisor]
supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface

[supervisorctl]
serverurl = unix://DIR/supervisor.sock

[include]
files = DIR/deskd.conf
";

#[test]
fn supervisord_starts_deskd_and_its_stop_ends_the_applications_too() {
    let Some(binary) = delivered(&["Xvnc", "setpriv", "supervisord", "supervisorctl", "xclock"])
    else {
        return;
    };
    let (installed, display) = (Installed::new(&binary), Xvnc::start());
    let program = repository().join("container/supervisord/deskd.conf");
    std::fs::copy(program, installed.path("deskd.conf")).expect("the program section");
    let dir = installed.dir.path().to_str().expect("a path");
    let configuration = installed.path("supervisord.conf");
    std::fs::write(&configuration, SUPERVISORD.replace("DIR", dir)).expect("a configuration");
    let configuration = configuration.to_str().expect("a path");

    let mut command = installed.command(&["supervisord", "--configuration", configuration]);
    command.env("DISPLAY", display.display()).env("XAUTHORITY", display.authority());
    let output = std::fs::File::create(installed.path("output")).expect("a file");
    // A container's runtime gives the descriptors to its user, too: supervisord opens them again.
    std::os::unix::fs::fchown(&output, Some(POD_UID), Some(POD_UID)).expect("chown");
    command.stdout(output.try_clone().expect("a descriptor")).stderr(output);
    let _supervisord = Running::start(&mut command);
    let control = |words: &[&str]| -> Command {
        installed.command(&[&["supervisorctl", "--configuration", configuration], words].concat())
    };
    let is = |state: &str| {
        let output = control(&["status", "deskd"]).output().expect("supervisorctl");
        String::from_utf8_lossy(&output.stdout).contains(state).then_some(())
    };

    eventually("deskd is RUNNING", || is("RUNNING"));
    stdout_of(&mut installed.command(&["deskd", "health", "--wait", "10s"]));
    let task = stdout_of(&mut installed.command(&["deskd", "launch", "xclock"]));
    let state = installed.path("state").display().to_string();
    let application =
        || processes_with(&task).into_iter().find(|(_, argv)| argv.contains("xclock"));
    eventually("xclock runs", application);

    stdout_of(&mut control(&["stop", "deskd"]));
    eventually("deskd is STOPPED", || is("STOPPED"));
    assert_eq!(processes_with(&task), []);
    let left = processes_with(&state).into_iter().filter(|(_, argv)| argv.contains("deskd run"));
    assert_eq!(left.collect::<Vec<_>>(), []);
    // supervisord's log says `exit status 0; expected` of a good end, `terminated by SIGKILL` else.
    let log = std::fs::read_to_string(installed.path("supervisord.log")).expect("a log");
    assert!(log.contains("stopped: deskd (exit status 0)"), "{log}");
}
