//! The display, and shared memory with it on each way there.

use super::{Finding, State, finding, works, works_or_remark};
use crate::cli::doctor::examined::{Examined, Way};
use deskd_core::display::{EndpointState, X11_TCP_PORT_BASE};
use deskd_core::shm::ShmVerdict;
use deskd_core::why::Cause;
use deskd_core::why::rules::advice;

const SEE_PORTS: &str = "deskd probe; cat /proc/net/tcp /proc/net/tcp6 # 1770 is port 6000";

pub(super) fn findings(examined: &Examined) -> Vec<Finding> {
    let Some(way) = &examined.remote else {
        let mut all = vec![
            display(examined),
            tcp(examined),
            cookie(examined),
            sysv(examined),
            memfd(examined),
        ];
        all.extend(examined.ways.iter().filter(|way| way.state.answers()).map(other_way));
        return all;
    };
    let shm =
        if examined.own_address { by_own_address(examined, way) } else { no_shared_memory(way) };
    vec![remote(examined, way), cookie(examined), shm]
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

fn display(examined: &Examined) -> Finding {
    let display = &examined.display;
    let mut sentence =
        format!("display {} on its unix socket {}", display.display, endpoint(&display.unix.state));
    if let Some(server) = &display.server {
        let (vendor, release) = (&server.vendor, server.release);
        let (width, height) = (server.width_px, server.height_px);
        sentence.push_str(&format!(" ({vendor} {release}, {width}x{height})"));
    }
    let change = match &display.unix.state {
        EndpointState::Refused(_) => "give this container the cookie of the X server, see below",
        EndpointState::Hanging => {
            "Xvnc is stopped or stuck: see what it waits for, or restart its container (kubectl logs, \
             kubectl delete pod)"
        }
        _ => {
            "start Xvnc on this display (the container with Xvnc runs, and /tmp/.X11-unix is a volume \
             that both containers mount, or both share the network namespace), and set DISPLAY to it"
        }
    };
    let command = "deskd probe; ls -l /tmp/.X11-unix; grep X11-unix /proc/net/unix";
    finding("display", works(display.answers()), sentence, change, command)
}

fn tcp(examined: &Examined) -> Finding {
    let tcp = &examined.display.tcp;
    let state = match (tcp.state.answers(), examined.pods_wanted) {
        (true, _) => State::Works,
        (false, true) => State::Wrong,
        (false, false) => State::Remark,
    };
    let families = match (tcp.state.answers(), tcp.ipv4, tcp.ipv6) {
        (true, true, true) => " on IPv4 and IPv6",
        (true, true, false) => " on IPv4",
        (true, false, true) => " on IPv6 alone",
        _ => "",
    };
    finding(
        "display over TCP",
        state,
        format!("port {} {}{families}", tcp.port, endpoint(&tcp.state)),
        format!("only application pods need it. {}", advice(Cause::DisplayNotListening)),
        SEE_PORTS,
    )
}

/// From a pod of its own.
fn remote(examined: &Examined, way: &Way) -> Finding {
    let display = &examined.display.display;
    let whose = if examined.own_address { "at an address of this pod" } else { "another pod's" };
    finding(
        "display",
        works(way.state.answers()),
        format!("display {display} is {whose}: {} {}", way.name, endpoint(&way.state)),
        advice(Cause::DisplayNotListening),
        "echo $DISPLAY; kubectl get pods -o wide; and in the desktop's pod: deskd doctor",
    )
}

fn cookie(examined: &Examined) -> Finding {
    let note = examined.cookie_note.as_ref();
    let here = examined.remote.as_ref().map_or(&examined.display.unix.state, |way| &way.state);
    let refused = matches!(here, EndpointState::Refused(_));
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
        advice(Cause::DisplayCookieRefused),
        "xauth -f \"$XAUTHORITY\" list; ls -l \"$XAUTHORITY\"; id",
    )
}

fn sysv(examined: &Examined) -> Finding {
    let verdict = &examined.display.shm.sysv;
    let own = examined.user.uid;
    let (state, change) = match (verdict, examined.server_uid) {
        (ShmVerdict::Unreachable, _) => (State::Remark, "first the display has to answer".to_owned()),
        (ShmVerdict::Absent, _) => {
            (State::Wrong, "start Xvnc without `-extension MIT-SHM`".to_owned())
        }
        // 0 is also what a user of no name here looks like; then both are told.
        (ShmVerdict::Refused, Some(server)) if server != own => (
            State::Wrong,
            format!(
                "the X server runs as uid {server} and this as {own}: give both containers one \
                 securityContext runAsUser (od.config: desktop.pod)"
            ),
        ),
        (ShmVerdict::Refused, Some(_)) => (
            State::Wrong,
            "the X server runs as the same uid in another IPC namespace: run this container in its pod, and \
             both or neither with hostIPC"
                .to_owned(),
        ),
        _ => (
            works(verdict.works()),
            "run this container in the pod of Xvnc (one IPC namespace) and as its uid (securityContext \
             runAsUser), and connect by DISPLAY=:0, not by an address"
                .to_owned(),
        ),
    };
    let sentence = format!("MIT-SHM by SysV segments: {}", verdict.sentence());
    let command = "deskd probe; id; ls -l /proc/self/ns/ipc; ipcs -m";
    finding("shared memory", state, sentence, change, command)
}

fn memfd(examined: &Examined) -> Finding {
    let verdict = &examined.display.shm.fd;
    finding(
        "shared memory by descriptor",
        works_or_remark(verdict.works()),
        format!("MIT-SHM by file descriptors: {}", verdict.sentence()),
        "only a few programs use it (GTK 4, xcb): it needs the unix socket and a server of MIT-SHM 1.2",
        "deskd probe",
    )
}

fn verdict(verdict: &ShmVerdict) -> &'static str {
    match verdict {
        ShmVerdict::Works => "works",
        ShmVerdict::Refused => "refused (BadAccess)",
        ShmVerdict::Remote => "refused (remote)",
        ShmVerdict::WrongMemory => "attaches other memory: wrong pixels",
        ShmVerdict::Absent => "absent",
        ShmVerdict::Unreachable => "no answer",
        ShmVerdict::Unproved(_) => "not tested",
    }
}

fn both(way: &Way) -> String {
    format!("SysV {}, by descriptor {}", verdict(&way.shm.sysv), verdict(&way.shm.fd))
}

/// A row of the matrix: for comparison, since no program of this pod needs that way.
fn other_way(way: &Way) -> Finding {
    let tcp = way.name.starts_with("TCP");
    let sentence = if tcp {
        format!(
            "{}: {}; never over TCP, so programs of this pod need DISPLAY=:0 and no address",
            way.name,
            both(way)
        )
    } else {
        format!("{}: {}", way.name, both(way))
    };
    finding("shared memory, other ways", State::Works, sentence, "", "deskd probe")
}

fn by_own_address(examined: &Examined, way: &Way) -> Finding {
    let number = examined.display.tcp.port - X11_TCP_PORT_BASE;
    finding(
        "shared memory",
        State::Wrong,
        format!("given away: over an address even the own X server refuses it ({})", both(way)),
        format!("set DISPLAY=:{number}, whose unix socket shares memory"),
        "echo $DISPLAY; deskd probe",
    )
}

/// It cannot be there, which only some programs do not survive.
fn no_shared_memory(way: &Way) -> Finding {
    let change = format!(
        "programs of another pod draw without it, slower. For one that dies without: {}",
        advice(Cause::ShmRefused)
    );
    let sentence = match way.state.answers() {
        true => format!("none with the X server of another pod: {}", both(way)),
        false => "none with the X server of another pod".into(),
    };
    finding("shared memory", State::Remark, sentence, change, "env | grep -i mitshm")
}
