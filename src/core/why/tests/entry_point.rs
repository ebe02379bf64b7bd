//! An image whose own command cannot be run.

use super::*;
use crate::why::reason::LostReason;
use crate::why::remedy::Remedy;

const RUNC: &str = "failed to create containerd task: failed to create shim task: OCI runtime create failed: runc create \
    failed: unable to start container process: error during container init: exec: ";

/// What kubelet said about a container that runs the image's own command.
fn said(message: &str) -> Evidence {
    let mut e = Evidence {
        exit: Some(Exit::Lost(LostReason::Unseen)),
        command: vec!["/usr/bin/edit".into()],
        entry_point: true,
        had_window: Some(false),
        ..Evidence::default()
    };
    e.cluster.container_reason = Some("StartError".into());
    e.cluster.container_message = Some(message.to_owned());
    on(EngineKind::EphemeralContainer, e)
}

#[test]
fn it_is_named_with_the_label_that_does_without_it() {
    let entry = "\"/composer/start.sh\": ";
    for (tail, cause, rule, words) in [
        (
            "stat /composer/start.sh: no such file or directory: unknown",
            Cause::ProgramNotFound,
            "entry-point-not-found",
            "The image's own command /composer/start.sh is not in the image",
        ),
        (
            "permission denied: unknown",
            Cause::ProgramNotExecutable,
            "entry-point-not-executable",
            "The image's own command /composer/start.sh is there, and may not be started",
        ),
        (
            "exec format error: unknown",
            Cause::WrongArchitecture,
            "entry-point-no-script",
            "The image's own command /composer/start.sh is neither a program for this machine nor",
        ),
    ] {
        let e = said(&format!("{RUNC}{entry}{tail}"));
        let diagnosis = cause_of("", &e);
        assert_eq!(diagnosis.cause, Some(cause), "{diagnosis:#?}");
        assert_eq!(diagnosis.rule.as_deref(), Some(rule));
        assert!(diagnosis.sentence.starts_with(words), "{}", diagnosis.sentence);
        assert!(diagnosis.advice.contains("label `io.deskd.entrypoint` = `program`"));
        assert_eq!(diagnosis.remedy.map(|it| it.remedy), Some(Remedy::RunProgram));
    }
}

#[test]
fn what_the_runtime_writes_into_the_log_counts_as_well() {
    let e = said("");
    for (log, cause) in [
        ("exec /composer/start.sh: exec format error\n", Cause::WrongArchitecture),
        ("exec /composer/start.sh: no such file or directory\n", Cause::ProgramNotFound),
        ("exec /composer/start.sh: permission denied\n", Cause::ProgramNotExecutable),
    ] {
        let diagnosis = cause_of(log, &e);
        assert_eq!(diagnosis.cause, Some(cause), "{log}");
        assert!(diagnosis.sentence.contains("own command /composer/start.sh"), "{diagnosis:#?}");
    }
}

#[test]
fn a_program_that_the_entry_point_cannot_start_is_not_the_entry_point() {
    let e = said("");
    let log = "/composer/start.sh: line 97: /usr/bin/edit: No such file or directory\n";
    let diagnosis = cause_of(log, &Evidence { exit: Some(Exit::Code(127)), ..e });
    assert!(!diagnosis.rule.unwrap_or_default().starts_with("entry-point"));
}

#[test]
fn without_a_program_there_is_nothing_to_be_run_instead() {
    let mut e = said(&format!("{RUNC}\"/s\": stat /s: no such file or directory"));
    e.command.clear();
    assert_eq!(cause_of("", &e).remedy, None);
    e.entry_point = false;
    assert_eq!(cause_of("", &e).rule.as_deref(), Some("program-not-found"));
}
