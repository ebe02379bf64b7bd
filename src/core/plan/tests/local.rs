//! The order of preference, who insists on what, and what speaks against a local program.

use super::super::EngineKind::{EphemeralContainer, Local, PodApplication};
use super::super::UnplannableCode as Code;
use super::super::facts::ProgramPresence;
use super::case::{Case, Row, check};
use crate::app::container::ShmNeed;
use crate::display::EndpointState;
use crate::policy::LocalApps;
use crate::shm::ShmVerdict;

/// The program is in deskd's container, and the operator permits it to run there.
pub(super) fn present(case: &mut Case) {
    case.facts.program = ProgramPresence::Present;
    case.policy.local = LocalApps::Only([case.app.id.clone()].into());
}

pub(super) fn configured(case: &mut Case) {
    case.image = None;
    case.facts.program = ProgramPresence::Unknown;
}

const ORDER: &[Row] = &[
    (
        "an app of the file",
        configured,
        Ok(Local),
        &[
            "it runs as a process in this container",
            "tested with pixels",
            "not ephemeral_container: the application has no image, only a command",
        ],
    ),
    (
        "the program is here too",
        present,
        Ok(Local),
        &[
            "not ephemeral_container: it could, but a process in deskd's container is preferred",
            "not pod_application: it could, but",
        ],
    ),
    (
        "the program is not here",
        |_| {},
        Ok(EphemeralContainer),
        &[
            "not local: `/usr/bin/gnome-2048` is not installed in deskd's container",
            "not pod_application: it could, but an ephemeral container is preferred",
        ],
    ),
    (
        "nobody looked for the program of an image",
        |c| {
            c.facts.program = ProgramPresence::Unknown;
        },
        Ok(EphemeralContainer),
        &["is not installed in deskd's container"],
    ),
    (
        "an image without a program here",
        |c| {
            present(c);
            c.app.local.command.clear();
        },
        Ok(EphemeralContainer),
        &["names no program to run here"],
    ),
    (
        "no ephemeral containers",
        |c| c.policy.engines = vec![PodApplication],
        Ok(PodApplication),
        &[
            "not ephemeral_container: this engine is not enabled: add `ephemeral_container` to `engines`",
            "it draws more slowly",
        ],
    ),
    (
        "a headless app is local without a display",
        |c| {
            configured(c);
            c.app.needs_display = false;
            c.facts.display.unix.state = EndpointState::NotListening;
        },
        Ok(Local),
        &[],
    ),
    (
        "no engine at all",
        |c| c.policy.engines.clear(),
        Err(Code::CannotBePlaced),
        &[
            "2048 cannot run anywhere; as a process in deskd's container: `/usr/bin/gnome-2048`",
            "as a pod of its own: this engine is not enabled",
        ],
    ),
    (
        "no command and no image",
        |c| {
            configured(c);
            c.app.local.command.clear();
        },
        Err(Code::NoCommand),
        &["2048 has no command to run", "it has no command"],
    ),
    (
        "an app of the file whose program was looked for in vain",
        |c| {
            configured(c);
            c.facts.program = ProgramPresence::Absent;
        },
        Err(Code::CannotBePlaced),
        &["`/usr/bin/gnome-2048` is not installed in deskd's container"],
    ),
];

#[test]
fn the_first_engine_that_can_work_is_taken() {
    check(ORDER);
}

const INSISTED: &[Row] = &[
    (
        "the document wants a pod",
        |c| {
            present(c);
            c.image().engine = Some(PodApplication);
        },
        Ok(PodApplication),
        &[
            "the application's document asks for pod_application (oc.containerengine)",
            "not local: the application's document asks for pod_application",
            "not ephemeral_container: the application's document asks for pod_application",
        ],
    ),
    (
        "the document wants an ephemeral container",
        |c| {
            present(c);
            c.image().engine = Some(EphemeralContainer);
        },
        Ok(EphemeralContainer),
        &["not local: the application's document asks for"],
    ),
    (
        "the launch wins over the document",
        |c| {
            c.image().engine = Some(EphemeralContainer);
            c.launch.engine = Some(PodApplication);
        },
        Ok(PodApplication),
        &["this launch asks for pod_application (`--engine`)"],
    ),
    (
        "the launch wants a local program that is not here",
        |c| c.launch.engine = Some(Local),
        Err(Code::CannotBePlaced),
        &[
            "2048 cannot run as a process in deskd's container: `/usr/bin/gnome-2048` is not",
            "not ephemeral_container: this launch asks for local",
        ],
    ),
    (
        "the launch wants a pod of an app without an image",
        |c| {
            configured(c);
            c.launch.engine = Some(PodApplication);
        },
        Err(Code::CannotBePlaced),
        &["not pod_application: the application has no image"],
    ),
    (
        "the document wants a pod, which is not enabled",
        |c| {
            c.policy.engines = vec![EphemeralContainer];
            c.image().engine = Some(PodApplication);
        },
        Err(Code::CannotBePlaced),
        &[
            "2048 cannot run as a pod of its own: this engine is not enabled: add `pod_application`",
            "an ephemeral container could run it: `--engine ephemeral_container`",
        ],
    ),
    (
        "the document wants an ephemeral container with a class",
        |c| {
            c.image().engine = Some(EphemeralContainer);
            c.image().execute_class = Some("gold".into());
        },
        Err(Code::CannotBePlaced),
        &[
            "cannot run as an ephemeral container: it asks for requests cpu=500m, limits",
            "which only a pod of its own can have",
            "a pod of its own could run it",
        ],
    ),
    (
        "scarce memory is no reason against what the launch asks for",
        |c| {
            present(c);
            c.facts.headroom.memory_bytes = Some(1 << 20);
            c.launch.engine = Some(Local);
        },
        Ok(Local),
        &["memory is scarce in deskd's container: 1 MiB are left"],
    ),
];

#[test]
fn who_insists_gets_the_engine_or_is_told_why_not() {
    check(INSISTED);
}

const DISPLAY: &[Row] = &[
    (
        "nothing listens",
        |c| {
            configured(c);
            c.facts.display.unix.state = EndpointState::NotListening;
        },
        Err(Code::DisplayUnavailable),
        &["2048 needs the display, and nothing listens on"],
    ),
    (
        "the display of an image's app is away",
        |c| {
            c.facts.display.unix.state = EndpointState::Hanging;
        },
        Err(Code::DisplayUnavailable),
        &[
            "2048 needs the display, and display :7 accepts connections but does not answer",
            "not pod_application: display :7 accepts",
        ],
    ),
    (
        "the display is away for an engine that is asked for",
        |c| {
            c.facts.display.unix.state = EndpointState::NotListening;
            c.image().engine = Some(PodApplication);
        },
        Err(Code::DisplayUnavailable),
        &["2048 needs the display, and nothing listens"],
    ),
    (
        "shared memory is broken and only nice to have",
        |c| {
            present(c);
            c.facts.display.shm.sysv = ShmVerdict::WrongMemory;
        },
        Ok(Local),
        &["memory of another IPC namespace"],
    ),
    (
        "shared memory is broken and needed",
        |c| {
            present(c);
            c.image().shm = ShmNeed::Required;
            c.facts.display.shm.sysv = ShmVerdict::Refused;
        },
        Err(Code::CannotBePlaced),
        &[
            "it needs shared memory with the X server (io.deskd.shm=required), and the X",
            "not pod_application: it needs shared memory",
        ],
    ),
    (
        "shared memory is needed and works",
        |c| {
            present(c);
            c.image().shm = ShmNeed::Required;
        },
        Ok(Local),
        &["not pod_application: it needs shared memory"],
    ),
    (
        "a headless app does not care about shared memory",
        |c| {
            present(c);
            c.app.needs_display = false;
            c.image().shm = ShmNeed::Required;
            c.facts.display.shm.sysv = ShmVerdict::Refused;
        },
        Ok(Local),
        &["not pod_application: it could"],
    ),
];

#[test]
fn the_display_and_shared_memory_decide_about_local_programs() {
    check(DISPLAY);
}

const SCARCE: &[Row] = &[
    (
        "little is left",
        |c| {
            present(c);
            c.facts.headroom.memory_bytes = Some((64 << 20) - 1);
        },
        Ok(EphemeralContainer),
        &[
            "not local: it could, but memory is scarce in deskd's container: 63 MiB are left, and",
            "has memory of its own",
        ],
    ),
    (
        "just enough is left",
        |c| {
            present(c);
            c.facts.headroom.memory_bytes = Some(64 << 20);
        },
        Ok(Local),
        &[],
    ),
    (
        "processes wait for memory",
        |c| {
            present(c);
            c.facts.headroom.memory_pressure_centipercent = Some(2050);
        },
        Ok(EphemeralContainer),
        &["waited for memory during 20 % of the last 10 s"],
    ),
    (
        "processes hardly wait for memory",
        |c| {
            present(c);
            c.facts.headroom.memory_pressure_centipercent = Some(2000);
        },
        Ok(Local),
        &[],
    ),
    (
        "little is left and nothing else can run it",
        |c| {
            configured(c);
            c.facts.headroom.memory_bytes = Some(5 << 20);
        },
        Ok(Local),
        &["memory is scarce in deskd's container: 5 MiB are left"],
    ),
    (
        "little is left and only a pod can take over",
        |c| {
            present(c);
            c.policy.engines = vec![PodApplication];
            c.facts.headroom.memory_bytes = Some(0);
        },
        Ok(PodApplication),
        &["a pod of its own has memory of its own"],
    ),
    (
        "little is left, shared memory is needed, and only local has it",
        |c| {
            present(c);
            c.policy.engines = vec![PodApplication];
            c.image().shm = ShmNeed::Required;
            c.facts.headroom.memory_bytes = Some(0);
        },
        Ok(Local),
        &["memory is scarce"],
    ),
];

#[test]
fn scarce_memory_makes_others_preferable_and_nothing_impossible() {
    check(SCARCE);
}

const ADMISSION: &[Row] = &[
    (
        "denied",
        |c| {
            present(c);
            c.policy.identity.user = Some("anna".into());
            c.image().access.deny = vec!["anna".into()];
        },
        Err(Code::NotPermitted),
        &["2048 has an access list that denies `anna`", "not local: it has an access list"],
    ),
    (
        "not among the permitted",
        |c| c.image().access.permit = Some(vec!["staff".into()]),
        Err(Code::NotPermitted),
        &["2048 has an access list that permits only staff"],
    ),
    (
        "permitted",
        |c| {
            c.policy.identity.groups = vec!["staff".into()];
            c.image().access.permit = Some(vec!["staff".into()]);
        },
        Ok(EphemeralContainer),
        &[],
    ),
    (
        "the key is taken",
        |c| {
            c.image().unique_run_key = Some("mail".into());
            c.facts.unique_keys.insert("mail".into(), "mail-00001".into());
        },
        Err(Code::AlreadyRunning),
        &["2048 cannot be launched: task mail-00001 is running", "key `mail` (oc.uniquerunkey)"],
    ),
    (
        "another key is taken",
        |c| {
            c.image().unique_run_key = Some("chat".into());
            c.facts.unique_keys.insert("mail".into(), "mail-00001".into());
        },
        Ok(EphemeralContainer),
        &[],
    ),
    (
        "a secret that is mounted here",
        |c| {
            present(c);
            c.image().secrets = vec!["anna-kerberos".into()];
        },
        Ok(Local),
        &[],
    ),
    (
        "a secret that is not",
        |c| {
            present(c);
            c.image().secrets = vec!["anna-smb".into()];
        },
        Err(Code::CannotBePlaced),
        &[
            "it needs the secret `anna-smb` (oc.secrets_requirement), which deskd's container",
            "add it to the desktop pod as a volume",
        ],
    ),
];

#[test]
fn access_lists_and_unique_keys_refuse_whatever_the_engine() {
    check(ADMISSION);
}
