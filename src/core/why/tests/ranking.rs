//! Which of several is the cause, what counts when, and what deskd offers.

use super::*;
use crate::text::{Language, Localized as _};
use crate::why::evidence::Usage;
use crate::why::fact::Fact;
use crate::why::rule::Confidence;

const NOISE: &str = "(a:1): dconf-CRITICAL **: unable to create directory '/run/user/0/dconf': Permission denied.\n\
    libEGL warning: DRI3: failed to query the version\nlibEGL warning: DRI2: failed to authenticate\n\
    Fontconfig error: Cannot load default config file\n\
    [1:2:ERROR:dbus/bus.cc:405] Failed to connect to the bus: Failed to connect to socket /run/dbus/system_bus_socket\n\
    (process:9): Gtk-WARNING **: Locale not supported by C library.\n\
    MESA-LOADER: failed to open swrast\nlibGL error: failed to load driver: swrast\n\
    Failed to load module \"canberra-gtk-module\"\nFailed to get session bus: none\n\
    /home/balloon/.cache/x: Permission denied\n";

#[test]
fn noise_is_no_cause_for_a_program_that_ran_well_or_of_which_nothing_is_known() {
    let well =
        Evidence { exit: Some(Exit::Code(0)), had_window: Some(true), ..Evidence::default() };
    assert_eq!(cause_of(NOISE, &well).cause, None);
    assert_eq!(cause_of(NOISE, &well).proof, []);
    let runs = Evidence { exit: None, ..well.clone() };
    assert_eq!(cause_of(NOISE, &runs).cause, None);
    let goes_on = format!("{NOISE}one\ntwo\nthree\nfour\n");
    assert_eq!(cause_of(&goes_on, &Evidence::default()).cause, None);
    // The log ends with it: it may be why.
    let last = cause_of(NOISE, &Evidence::default());
    assert_eq!((last.cause, last.confidence), (Some(Cause::HomePermission), Confidence::Possible));
    let stopped =
        Evidence { exit: Some(Exit::Code(143)), stopped_by: Some(Actor::a_user()), ..well };
    assert_eq!(cause_of(NOISE, &stopped).cause, Some(Cause::StoppedByUser));
}

#[test]
fn a_crash_is_the_cause_and_noise_is_another_one() {
    let signal = Exit::Signal { number: 11, name: "SIGSEGV".into(), core_dumped: true };
    let diagnosis = cause_of(NOISE, &Evidence { exit: Some(signal), ..failed() });
    assert_eq!(diagnosis.cause, Some(Cause::Crashed));
    assert!(!diagnosis.others.is_empty());
}

#[test]
fn causes_come_before_their_symptoms() {
    let display = "qt.qpa.xcb: could not connect to display 10.0.0.5:0\nqt.qpa.plugin: Could not load the Qt platform \
                   plugin \"xcb\" in \"\" even though it was found.\n";
    let diagnosis = cause_of(display, &failed());
    assert_eq!(diagnosis.cause, Some(Cause::DisplayNotListening));
    assert_eq!(diagnosis.others[0].cause, Cause::QtPluginMissing);

    let oom = Evidence { oom_killed: Some(true), exit: Some(Exit::Code(139)), ..failed() };
    assert_eq!(cause_of("Segmentation fault\n", &oom).cause, Some(Cause::OutOfMemory));
}

#[test]
fn the_evidence_tells_displays_apart_that_programs_tell_in_the_same_words() {
    let log = "cannot open display: :0\n";
    let with = |answers, tcp, given: Option<&str>| {
        let display = DisplayEvidence {
            given: given.map(Into::into),
            answers,
            answers_on_tcp: tcp,
            ..DisplayEvidence::default()
        };
        let env = vec![("HOME".to_owned(), "/".to_owned())];
        cause_of(log, &Evidence { display, env, ..failed() }).cause
    };
    assert_eq!(with(Some(true), Some(false), Some("10.0.0.5:0")), Some(Cause::DisplayNotListening));
    assert_eq!(with(Some(true), Some(true), Some("10.0.0.5:0")), Some(Cause::DisplayWrong));
    assert_eq!(with(Some(true), None, Some(":7")), Some(Cause::DisplayWrong));
    assert_eq!(with(Some(false), None, Some(":0")), Some(Cause::DisplayNotListening));
    assert_eq!(with(Some(true), None, None), Some(Cause::DisplayWrong));
}

#[test]
fn a_crash_behind_a_pipeline_is_seen_although_the_exit_code_is_0() {
    let well =
        Evidence { exit: Some(Exit::Code(0)), had_window: Some(true), ..Evidence::default() };
    let log = "The error was 'BadShmSeg (invalid shared segment parameter)'.\n";
    assert_eq!(cause_of(log, &well).cause, Some(Cause::ShmRefused));
}

#[test]
fn remedies_are_offered_where_deskd_can_apply_them() {
    let gdk = "The error was 'BadShmSeg (invalid shared segment parameter)'.\n";
    let qt4 = "X Error: BadShmSeg (invalid shared segment parameter) 128\n";
    let remedy = |log, e: &Evidence| cause_of(log, e).remedy.map(|found| found.remedy);
    let pod = on(EngineKind::PodApplication, failed());
    let ephemeral = Remedy::OtherEngine { engine: EngineKind::EphemeralContainer };
    assert_eq!(remedy(gdk, &pod), Some(ephemeral));
    assert_eq!(remedy(qt4, &pod), Some(Remedy::ShmSwitches));
    assert_eq!(remedy(gdk, &on(EngineKind::EphemeralContainer, failed())), None);
    assert_eq!(remedy(gdk, &failed()), None);
    let shm =
        Evidence { dev_shm: Some(Usage { size: 1 << 20, used: 1 << 20 }.into()), ..pod.clone() };
    let bus = Exit::Signal { number: 7, name: "SIGBUS".into(), core_dumped: false };
    assert_eq!(remedy("", &Evidence { exit: Some(bus), ..shm }), Some(Remedy::DisableDevShm));
    let gpu =
        "[1:1:FATAL:gpu_data_manager_impl_private.cc(415)] GPU process isn't usable. Goodbye.\n";
    assert_eq!(remedy(gpu, &pod), Some(Remedy::DisableGpu));
    let given = Evidence { command: vec!["app".into(), "--disable-gpu".into()], ..pod.clone() };
    assert_eq!(remedy(gpu, &given), None);
    let image = "fuse: device not found, try 'modprobe fuse' first\nopen dir error: No such file or directory\n";
    assert_eq!(remedy(image, &pod), Some(Remedy::ExtractAppImage));
    assert_eq!(remedy("fuse: device not found, try 'modprobe fuse' first\n", &pod), None);
    let oom = Evidence { oom_killed: Some(true), ..pod.clone() };
    let more = Remedy::OtherClass { resource: "memory".into(), more: true };
    assert_eq!(remedy("", &oom), Some(more));
    let mut none = pod;
    none.exit = None;
    none.cluster.unscheduled =
        Some("0/1 nodes are available: 1 Insufficient nvidia.com/gpu. preemption: none".into());
    let less = Remedy::OtherClass { resource: "nvidia.com/gpu".into(), more: false };
    assert_eq!(remedy("", &none), Some(less));
}

#[test]
fn nothing_known_is_said_and_the_last_lines_that_look_like_errors_are_shown() {
    let log = "start\nwarning: dconf failed\nfrobnicate: error 7\nbye\n";
    let diagnosis = cause_of(log, &Evidence { exit: Some(Exit::Code(3)), ..Evidence::default() });
    assert_eq!(diagnosis.cause, None);
    assert!(diagnosis.sentence.contains("ended by exit code 3, and no known cause fits"));
    let line =
        Proof { place: Place::Line(3), text: crate::text::Text::words("frobnicate: error 7") };
    assert_eq!(diagnosis.proof, [line]);
}

#[test]
fn proofs_say_where_they_are_from() {
    let end = b"x\nNo usable sandbox!\ny\n";
    let diagnosis = diagnose(&Log { start: b"a\n", end }, &failed());
    assert_eq!(diagnosis.proof[0].place, Place::LineFromEnd(2));
    let mut e = failed();
    e.cluster.events =
        vec!["FailedScheduling: 0/1 nodes are available: 1 Insufficient cpu.".into()];
    let diagnosis = diagnose(&Log::default(), &e);
    assert_eq!(diagnosis.proof[0].place, Place::Evidence("cluster.events".into()));
}

#[test]
fn what_the_cluster_says_is_enough_without_a_log_or_an_exit() {
    let said = |reason: &str, message: &str| {
        let mut e = on(EngineKind::PodApplication, Evidence::default());
        e.cluster.container_reason = Some(reason.into());
        e.cluster.container_message = Some(message.into());
        diagnose(&Log::default(), &e).cause
    };
    let exec =
        "OCI runtime create failed: runc create failed: unable to start container process: exec: ";
    let cases = [
        (
            "RunContainerError",
            format!("{exec}\"/nope\": stat /nope: no such file or directory"),
            Cause::ProgramNotFound,
        ),
        (
            "StartError",
            format!("{exec}\"/x\": permission denied: unknown"),
            Cause::ProgramNotExecutable,
        ),
        ("StartError", "exec /x: exec format error".into(), Cause::WrongArchitecture),
        ("CreateContainerConfigError", "secret \"vnc\" not found".into(), Cause::ContainerConfig),
        ("ImagePullBackOff", "Back-off pulling image \"a\"".into(), Cause::RegistryAway),
        ("InvalidImageName", "couldn't parse image name \"A\"".into(), Cause::ImageNameInvalid),
        ("OOMKilled", String::new(), Cause::OutOfMemory),
    ];
    for (reason, message, cause) in cases {
        assert_eq!(said(reason, &message), Some(cause), "{reason}: {message}");
    }
    let mut e = Evidence { exit: Some(Exit::Code(137)), ..Evidence::default() };
    e.cluster.pod_reason = Some("DeadlineExceeded".into());
    e.cluster.pod_message =
        Some("Pod was active on the node longer than the specified deadline".into());
    assert_eq!(diagnose(&Log::default(), &e).cause, Some(Cause::DeadlineExceeded));
}

#[test]
fn facts_are_told_in_the_reader_s_language_and_lines_of_a_log_are_left_as_they_are() {
    let asked = Some(Actor::Node);
    let e = Evidence { exit: Some(Exit::Code(1)), stopped_by: asked, ..Evidence::default() };
    let mut diagnosis = diagnose(&Log::whole(b""), &e);
    diagnosis.proof = [Fact::StoppedByNode, Fact::AtOnce]
        .into_iter()
        .filter_map(|fact| fact.shown(&Evidence { ran_ms: Some(7), ..e.clone() }))
        .map(|(field, text)| Proof { place: Place::Evidence(field.into()), text })
        .collect();
    // As the journal gives it back.
    let words = serde_json::from_str("\"DISPLAY is not set\"").unwrap();
    diagnosis.proof.push(Proof { place: Place::Line(1), text: words });
    let german = diagnosis.in_language(Language::German);
    let texts: Vec<_> = german.proof.iter().map(|proof| proof.text.as_str()).collect();
    assert_eq!(texts, ["der Knoten", "es lief 7 ms", "DISPLAY is not set"]);
}
