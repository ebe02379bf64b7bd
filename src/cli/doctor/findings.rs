//! From facts to findings: pure.

use serde::Serialize;

use super::facts::{Facts, Port};
use crate::domain::diagnosis::fact::DEV_SHM_SMALL_BYTES;
use crate::domain::display::EndpointState;
use crate::domain::plan::facts::ApiState;

/// Less memory than this, in bytes, is not enough for a browser.
const MEMORY_LOW_BYTES: u64 = 256 << 20;
/// From here on, in hundredths of a percent, processes wait for memory noticeably
/// (`memory.pressure` `some avg10`).
const PRESSURE_HIGH_CENTIPERCENT: u32 = 1000;

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What.
    pub topic: &'static str,
    /// Whether it is well.
    pub state: State,
    /// How it is, in one sentence.
    pub sentence: String,
    /// What to change, and where; empty where nothing needs to be.
    pub change: String,
    /// The command that shows it.
    pub command: String,
}

/// Whether it is well.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It is.
    Works,
    /// Some applications may miss something.
    Remark,
    /// It is not.
    Wrong,
}

/// All of them, in the order in which one depends on another.
#[must_use]
pub fn findings(facts: &Facts) -> Vec<Finding> {
    let mut all = vec![display(facts), tcp(facts), cookie(facts), sysv(facts), memfd(facts)];
    all.extend([dev_shm(facts), memory(facts), api(facts), home(facts), fonts(facts), gpu(facts)]);
    all.extend(cluster(facts));
    all
}

fn finding(
    topic: &'static str,
    state: State,
    sentence: impl Into<String>,
    change: &str,
    command: &str,
) -> Finding {
    let change = if state == State::Works { "" } else { change };
    Finding {
        topic,
        state,
        sentence: sentence.into(),
        change: change.into(),
        command: command.into(),
    }
}

fn works(yes: bool) -> State {
    if yes { State::Works } else { State::Wrong }
}

fn endpoint(state: &EndpointState) -> String {
    match state {
        EndpointState::Unchecked => "was not looked at".into(),
        EndpointState::NotListening => "has no listener".into(),
        EndpointState::Refused(why) => format!("refuses: {}", why.trim()),
        EndpointState::Hanging => "accepts connections and does not answer".into(),
        EndpointState::Answering => "answers".into(),
    }
}

fn display(facts: &Facts) -> Finding {
    let display = &facts.display;
    finding(
        "display",
        works(display.answers()),
        format!("display {} on its unix socket {}", display.display, endpoint(&display.unix.state)),
        "start Xvnc on this display (the container with Xvnc runs, and /tmp/.X11-unix is a volume that both \
         containers mount, or both share the network namespace), and set DISPLAY to it",
        "deskd probe; ls -l /tmp/.X11-unix; grep X11-unix /proc/net/unix",
    )
}

fn tcp(facts: &Facts) -> Finding {
    let tcp = &facts.display.tcp;
    let state = match (tcp.state.answers(), facts.pods_wanted) {
        (true, _) => State::Works,
        (false, true) => State::Wrong,
        (false, false) => State::Remark,
    };
    finding(
        "display over TCP",
        state,
        format!("port {} {}", tcp.port, endpoint(&tcp.state)),
        "only application pods need it: set X11LISTEN=tcp (od.config: desktop.envlocal), which starts Xvnc with \
         `-listen tcp`, and admit the port in the network policy (label netpol/ocapplication: \"true\")",
        "deskd probe; ss -ltn",
    )
}

fn cookie(facts: &Facts) -> Finding {
    let note = facts.display.notes.iter().find(|note| note.contains("cookie"));
    let refused = matches!(facts.display.unix.state, EndpointState::Refused(_));
    let state = match (note, refused) {
        (_, true) => State::Wrong,
        (Some(_), false) => State::Remark,
        (None, false) => State::Works,
    };
    let sentence = match (note, refused) {
        (Some(note), _) => note.clone(),
        (None, true) => "the X server refuses the cookie".into(),
        (None, false) => "there is a cookie for this display".into(),
    };
    finding(
        "cookie",
        state,
        sentence,
        "set XAUTHORITY to a file that this user may read and that has an entry for this display, or XAUTH_KEY to \
         the 32 hex digits that Xvnc was given (`-auth FILE`); od.config: desktop.envlocal",
        "xauth -f \"$XAUTHORITY\" list; ls -l \"$XAUTHORITY\"",
    )
}

fn sysv(facts: &Facts) -> Finding {
    let verdict = &facts.display.shm.sysv;
    finding(
        "shared memory",
        works(verdict.works()),
        format!("MIT-SHM by SysV segments: {}", verdict.sentence()),
        "run this container in the pod of Xvnc (one IPC namespace) and as its uid (securityContext runAsUser), and \
         connect by DISPLAY=:0, not by an address; Xvnc without `-extension MIT-SHM`",
        "deskd probe; id; ipcs -m",
    )
}

fn memfd(facts: &Facts) -> Finding {
    let verdict = &facts.display.shm.fd;
    let state = if verdict.works() { State::Works } else { State::Remark };
    finding(
        "shared memory by descriptor",
        state,
        format!("MIT-SHM by file descriptors: {}", verdict.sentence()),
        "only a few programs use it (GTK 4, xcb): it needs the unix socket and a server of MIT-SHM 1.2",
        "deskd probe",
    )
}

fn mib(bytes: u64) -> String {
    format!("{} MiB", bytes >> 20)
}

fn dev_shm(facts: &Facts) -> Finding {
    let (state, sentence) = match facts.dev_shm {
        None => (State::Wrong, "there is no /dev/shm".to_owned()),
        Some(shm) => {
            let text = format!("/dev/shm has {}, {} of it in use", mib(shm.size), mib(shm.used));
            let full = shm.used >= shm.size - shm.size / 10;
            let state = match (full, shm.size <= DEV_SHM_SMALL_BYTES) {
                (true, _) => State::Wrong,
                (false, true) => State::Remark,
                (false, false) => State::Works,
            };
            (state, text)
        }
    };
    finding(
        "/dev/shm",
        state,
        sentence,
        "browsers need more: od.config desktop.pod, spec, 'shareProcessMemory': True, 'shareProcessMemorySize': '512Mi'; \
         in a manifest an emptyDir with medium: Memory and sizeLimit: 512Mi at /dev/shm",
        "df -h /dev/shm",
    )
}

fn memory(facts: &Facts) -> Finding {
    let pressed = facts
        .memory
        .memory_pressure_centipercent
        .is_some_and(|pressure| pressure >= PRESSURE_HIGH_CENTIPERCENT);
    let (low, mut sentence) = match facts.memory.memory_bytes {
        None => (false, "no memory limit".to_owned()),
        Some(left) => (left < MEMORY_LOW_BYTES, format!("{} until the memory limit", mib(left))),
    };
    if pressed {
        sentence.push_str("; processes wait for memory");
    }
    finding(
        "memory",
        works(!low && !pressed),
        sentence,
        "raise the container's memory limit (od.config: desktop.pod, resources; in a manifest \
         resources.limits.memory), or start big applications as pods (label oc.containerengine, executeclasses)",
        "cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/memory.current /sys/fs/cgroup/memory.events",
    )
}

fn api(facts: &Facts) -> Finding {
    let (state, sentence) = match &facts.api {
        Port::Off => (State::Works, "deskd has no TCP port (listen = \"none\")".to_owned()),
        Port::Ours(at) => (State::Works, format!("deskd answers on {at}")),
        Port::Free(at) => (State::Remark, format!("deskd does not run; {at} is free")),
        Port::Taken(at) => {
            (State::Wrong, format!("deskd does not run, and another program listens on {at}"))
        }
        Port::Silent(at) => (State::Wrong, format!("deskd runs, and nothing listens on {at}")),
    };
    finding(
        "deskd's port",
        state,
        sentence,
        "start deskd (`deskd run`) with this configuration, or give it a free port: `listen`, DESKD_LISTEN",
        "ss -ltnp; deskd health",
    )
}

fn home(facts: &Facts) -> Finding {
    let (state, sentence) = match &facts.home {
        None => (State::Wrong, "HOME is not set".to_owned()),
        Some((home, true)) => (State::Works, format!("{home} can be written")),
        Some((home, false)) => {
            (State::Wrong, format!("{home} is not there, or cannot be written by this user"))
        }
    };
    finding(
        "home",
        state,
        sentence,
        "give it to the user of the applications: od.config desktop.homedirectorytype, the volume's owner, \
         securityContext runAsUser and fsGroup; or set HOME to a directory that is theirs",
        "id; ls -ld \"$HOME\"",
    )
}

fn fonts(facts: &Facts) -> Finding {
    let state = if facts.fonts > 0 { State::Works } else { State::Remark };
    finding(
        "fonts",
        state,
        format!("{} font files in this container", facts.fonts),
        "programs of this container show boxes instead of letters: install fonts-dejavu-core or others into its image",
        "fc-list",
    )
}

fn gpu(facts: &Facts) -> Finding {
    let usable = facts.gpus.iter().filter(|(_, usable)| *usable).count();
    let (state, sentence) = match (facts.gpus.len(), usable, facts.software_gl) {
        (0, _, true) => (State::Works, "no GPU; OpenGL is drawn by software".to_owned()),
        (0, _, false) => {
            (State::Remark, "no GPU, and no software driver of OpenGL in this container".to_owned())
        }
        (all, 0, _) => {
            (State::Wrong, format!("{all} GPU devices, none of which this user may open"))
        }
        (all, usable, _) => (State::Works, format!("{usable} of {all} GPU devices can be used")),
    };
    finding(
        "GPU",
        state,
        sentence,
        "software: install libgl1-mesa-dri; a GPU: limits nvidia.com/gpu: 1 (od.config: executeclasses) and, for \
         /dev/dri, supplementalGroups with the devices' groups (video, render)",
        "ls -l /dev/dri /dev/nvidia*; glxinfo -B",
    )
}

fn cluster(facts: &Facts) -> Vec<Finding> {
    let change = "grant it to service account deskd (container/rbac.yaml); the desktop pod needs that account and its token";
    let command = "kubectl auth can-i --list --as system:serviceaccount:NAMESPACE:deskd";
    let Some(cluster) = &facts.cluster else {
        let text = "deskd does not run, so its rights in the cluster are not known";
        return vec![finding(
            "Kubernetes",
            State::Remark,
            text,
            "start deskd: `deskd run`",
            "deskd health",
        )];
    };
    let (state, sentence) = match &cluster.api {
        ApiState::Off(why) => (State::Remark, format!("not used: {why}")),
        ApiState::Unknown => (State::Remark, "the API has not answered yet".to_owned()),
        ApiState::Away(why) => (State::Wrong, format!("the API does not answer: {why}")),
        ApiState::Answers => (State::Works, "the API answers".to_owned()),
    };
    let network = "the network policy must admit the API server, and the pod needs its service account's token \
                   (automountServiceAccountToken: true)";
    let mut all =
        vec![finding("Kubernetes", state, sentence, network, "kubectl get --raw /readyz")];
    for right in cluster.rights.iter().filter(|right| !right.allowed) {
        // A right that no engine needs only makes explanations better.
        let state = if right.engine.is_some() { State::Wrong } else { State::Remark };
        let text = format!(
            "may not {} {} in {}: {}",
            right.verb, right.resource, right.namespace, right.sentence
        );
        all.push(finding("Kubernetes right", state, text, change, command));
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::diagnosis::evidence::Usage;
    use crate::domain::display::DisplayStatus;
    use crate::domain::plan::KubernetesFacts;
    use crate::domain::plan::facts::{Headroom, Right};
    use crate::domain::shm::ShmVerdict;

    fn well() -> Facts {
        let mut display = DisplayStatus::unknown(":0", 0);
        display.unix.state = EndpointState::Answering;
        display.tcp.state = EndpointState::Answering;
        display.shm.sysv = ShmVerdict::Works;
        display.shm.fd = ShmVerdict::Works;
        Facts {
            display,
            pods_wanted: true,
            dev_shm: Some(Usage { size: 512 << 20, used: 0 }),
            memory: Headroom { memory_bytes: Some(1 << 30), memory_pressure_centipercent: Some(0) },
            api: Port::Ours("127.0.0.1:29791".into()),
            home: Some(("/home/balloon".into(), true)),
            fonts: 3,
            gpus: Vec::new(),
            software_gl: true,
            cluster: Some(KubernetesFacts { api: ApiState::Answers, ..KubernetesFacts::default() }),
        }
    }

    #[track_caller]
    fn check(change: impl FnOnce(&mut Facts), topic: &str, state: State) {
        let mut facts = well();
        change(&mut facts);
        let found = findings(&facts);
        let others = found.iter().filter(|f| f.state != State::Works && f.topic != topic);
        assert_eq!(others.count(), 0, "{found:#?}");
        let own = found.iter().rfind(|f| f.topic == topic).unwrap();
        assert_eq!(own.state, state, "{own:?}");
        assert!(
            state == State::Works || !own.change.is_empty() && !own.command.is_empty(),
            "{own:?}"
        );
    }

    #[test]
    fn a_pod_where_all_is_well_needs_no_change() {
        assert!(findings(&well()).iter().all(|f| f.state == State::Works && f.change.is_empty()));
    }

    #[test]
    fn each_thing_that_is_wrong_is_told_by_itself_with_what_to_change() {
        check(|f| f.display.unix.state = EndpointState::Hanging, "display", State::Wrong);
        check(
            |f| f.display.tcp.state = EndpointState::NotListening,
            "display over TCP",
            State::Wrong,
        );
        check(|f| f.display.shm.sysv = ShmVerdict::Refused, "shared memory", State::Wrong);
        check(|f| f.dev_shm = None, "/dev/shm", State::Wrong);
        check(|f| f.dev_shm = Some(Usage { size: 64 << 20, used: 0 }), "/dev/shm", State::Remark);
        check(|f| f.memory.memory_bytes = Some(1 << 20), "memory", State::Wrong);
        check(|f| f.api = Port::Taken("x".into()), "deskd's port", State::Wrong);
        check(|f| f.home = None, "home", State::Wrong);
        check(|f| f.fonts = 0, "fonts", State::Remark);
        check(|f| f.gpus = vec![("/dev/dri/card0".into(), false)], "GPU", State::Wrong);
        check(|f| f.cluster = None, "Kubernetes", State::Remark);
    }

    #[test]
    fn a_cookie_that_is_missing_matters_when_the_server_refuses() {
        let note = "connecting without a cookie: there is no XAUTHORITY and no XAUTH_KEY";
        check(|f| f.display.notes.push(note.into()), "cookie", State::Remark);
        let mut facts = well();
        facts.display.notes.push(note.into());
        facts.display.unix.state = EndpointState::Refused("no".into());
        let found = findings(&facts);
        assert!(found.iter().any(|f| f.topic == "cookie" && f.state == State::Wrong));
    }

    #[test]
    fn a_right_that_an_engine_needs_is_wrong_and_any_other_a_remark() {
        let right = |engine| Right {
            engine,
            verb: "create".into(),
            resource: "pods".into(),
            namespace: "d".into(),
            allowed: false,
            sentence: "no pods".into(),
        };
        use crate::domain::plan::EngineKind::PodApplication;
        let with = |engine| {
            move |f: &mut Facts| {
                f.cluster.as_mut().unwrap().rights.push(right(engine));
            }
        };
        check(with(Some(PodApplication)), "Kubernetes right", State::Wrong);
        check(with(None), "Kubernetes right", State::Remark);
    }
}
