//! What the container or host gives: memory, processors, rights, files, ports, GPUs.

use super::{Finding, State, finding, works, works_or_remark};
use crate::cli::doctor::examined::{Examined, Port};
use deskd_core::display::X11_TCP_PORT_BASE;
use deskd_core::why::Cause;
use deskd_core::why::fact::{DEV_SHM_SMALL_BYTES, is_nearly_full};
use deskd_core::why::rules::advice;

/// Less memory than this, in bytes, is not enough for a browser.
const MEMORY_LOW_BYTES: u64 = 256 << 20;
/// From here on, in hundredths of a percent, processes wait for memory noticeably
/// (`memory.pressure` `some avg10`).
const PRESSURE_HIGH_CENTIPERCENT: u32 = 1000;
/// From here on, in percent of the periods, a desktop feels slow.
const THROTTLED_HIGH_PERCENT: u64 = 25;
/// Ports told.
const PORTS_TOLD_MAX: usize = 20;

pub(super) fn findings(examined: &Examined) -> Vec<Finding> {
    let mut all = vec![dev_shm(examined), memory(examined), processors(examined), tasks(examined)];
    all.extend([user(examined), programs(examined), home(examined)]);
    all.extend(sandbox(examined));
    all.push(wall(examined));
    all.extend([api(examined), ports(examined), fonts(examined), gpu(examined)]);
    all
}

fn mib(bytes: u64) -> String {
    format!("{} MiB", bytes >> 20)
}

fn dev_shm(examined: &Examined) -> Finding {
    let (state, sentence) = match examined.dev_shm {
        None => (State::Wrong, "there is no /dev/shm".to_owned()),
        Some(shm) => {
            let text = format!("/dev/shm has {}, {} of it in use", mib(shm.size), mib(shm.used));
            let full = is_nearly_full(shm);
            let state = match (full, shm.size <= DEV_SHM_SMALL_BYTES) {
                (true, _) => State::Wrong,
                (false, true) => State::Remark,
                (false, false) => State::Works,
            };
            (state, text)
        }
    };
    let change = if examined.remote.is_some() {
        "it is the node's default, which no setting of deskd enlarges: run what needs more as an ephemeral \
         container (label oc.containerengine: ephemeral_container), which has the desktop's /dev/shm, or start \
         browsers with --disable-dev-shm-usage"
    } else {
        advice(Cause::DevShmTooSmall)
    };
    finding("/dev/shm", state, sentence, change, "df -h /dev/shm")
}

fn memory(examined: &Examined) -> Finding {
    let limits = &examined.limits;
    let pressed = examined
        .memory
        .memory_pressure_centipercent
        .is_some_and(|pressure| pressure >= PRESSURE_HIGH_CENTIPERCENT);
    let low = examined.memory.memory_bytes.is_some_and(|left| left < MEMORY_LOW_BYTES);
    let mut sentence = match (examined.memory.memory_bytes, limits.memory_bytes) {
        (None, None) => "no memory limit".to_owned(),
        (None, Some(limit)) => format!("the memory limit is {}", mib(limit)),
        (Some(left), None) => format!("{} until the memory limit", mib(left)),
        (Some(left), Some(limit)) => format!("{} left of the limit of {}", mib(left), mib(limit)),
    };
    if pressed {
        sentence.push_str("; processes wait for memory");
    }
    match examined.oom_kills {
        0 => {}
        1 => sentence.push_str("; the kernel killed 1 process for want of it"),
        kills => {
            sentence.push_str(&format!("; the kernel killed {kills} processes for want of it"))
        }
    }
    let state = match (low || pressed, examined.oom_kills) {
        (true, _) => State::Wrong,
        (false, 0) => State::Works,
        (false, _) => State::Remark,
    };
    finding(
        "memory",
        state,
        sentence,
        advice(Cause::OutOfMemory),
        if limits.version_1 {
            "cd /sys/fs/cgroup/memory; cat memory.limit_in_bytes memory.usage_in_bytes memory.oom_control"
        } else {
            "cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/memory.current /sys/fs/cgroup/memory.events"
        },
    )
}

fn processors(examined: &Examined) -> Finding {
    let limits = &examined.limits;
    let mut sentence = match limits.cpu_millis {
        None => "no limit on processors".to_owned(),
        Some(millis) => format!("at most {}.{:03} processors", millis / 1000, millis % 1000),
    };
    let throttled = limits.throttled_percent.unwrap_or(0);
    if throttled > 0 {
        sentence.push_str(&format!("; in {throttled} % of the periods processes waited for them"));
    }
    finding(
        "processors",
        works_or_remark(throttled < THROTTLED_HIGH_PERCENT),
        sentence,
        "raise or remove resources.limits.cpu (od.config: desktop.pod, resources); requests.cpu alone divides \
         processors well",
        if limits.version_1 {
            "cd /sys/fs/cgroup/cpu; cat cpu.cfs_quota_us cpu.cfs_period_us cpu.stat"
        } else {
            "cat /sys/fs/cgroup/cpu.max /sys/fs/cgroup/cpu.stat"
        },
    )
}

fn tasks(examined: &Examined) -> Finding {
    let limits = &examined.limits;
    let near = limits.tasks.zip(limits.tasks_max).is_some_and(|(now, max)| now >= max - max / 10);
    let sentence = match (limits.tasks, limits.tasks_max) {
        (Some(now), Some(max)) => format!("{now} of at most {max} processes and threads"),
        (_, Some(max)) => format!("at most {max} processes and threads"),
        (_, None) => "no limit on processes".into(),
    };
    finding(
        "processes",
        works(!near),
        sentence,
        "programs cannot start threads any more: raise kubelet's podPidsLimit, or the pids limit of the container \
         engine",
        if limits.version_1 {
            "cd /sys/fs/cgroup/pids; cat pids.current pids.max"
        } else {
            "cat /sys/fs/cgroup/pids.current /sys/fs/cgroup/pids.max"
        },
    )
}

fn user(examined: &Examined) -> Finding {
    let user = &examined.user;
    let mut sentence = format!("uid {}, gid {}", user.uid, user.gid);
    let more: Vec<String> =
        user.groups.iter().filter(|group| **group != user.gid).map(u32::to_string).collect();
    if !more.is_empty() {
        sentence.push_str(&format!(", also in groups {}", more.join(", ")));
    }
    sentence.push_str(if user.capabilities { ", with capabilities" } else { ", no capabilities" });
    let restrictions = [
        (user.no_new_privileges, ", no new privileges"),
        (user.seccomp, ", system calls filtered"),
    ];
    restrictions.iter().filter(|(is, _)| *is).for_each(|(_, words)| sentence.push_str(words));
    finding(
        "rights",
        State::Works,
        sentence,
        "",
        "id; grep -E 'Cap|NoNewPrivs|Seccomp' /proc/self/status",
    )
}

fn programs(examined: &Examined) -> Finding {
    let readable = examined.readable_programs.join(" and ");
    let sentence = if readable.is_empty() {
        "no other process of this user sees deskd's files through /proc".to_owned()
    } else {
        format!(
            "this user can read {readable}: while it starts, other processes of this user, also those in other \
             containers, see deskd's files through /proc"
        )
    };
    let files = examined.readable_programs.join(" ");
    let change = format!("make deskd's programs executable, not readable: chmod 0111 {files}");
    let state = works_or_remark(readable.is_empty());
    finding("deskd's programs", state, sentence, change, format!("ls -l {files}"))
}

fn home(examined: &Examined) -> Finding {
    let (state, sentence) = match &examined.home {
        None => (State::Wrong, "HOME is not set".to_owned()),
        Some((home, true)) => (State::Works, format!("{home} can be written")),
        Some((home, false)) => {
            (State::Wrong, format!("{home} is not there, or cannot be written by this user"))
        }
    };
    finding("home", state, sentence, advice(Cause::HomePermission), "id; ls -ld \"$HOME\"")
}

fn sandbox(examined: &Examined) -> Option<Finding> {
    let can = examined.user.user_namespaces?;
    let sentence = if can {
        "Chromium can make its sandbox (user namespaces)"
    } else if examined.user.no_new_privileges {
        "Chromium cannot make its sandbox here: no user namespaces, and its helper may not become root"
    } else {
        "no user namespaces here: Chromium's sandbox needs its helper (chrome-sandbox, set-user-id root)"
    };
    Some(finding(
        "browser sandbox",
        works_or_remark(can),
        sentence,
        advice(Cause::ChromiumSandbox),
        "unshare --user true; grep -E 'NoNewPrivs|Seccomp' /proc/self/status",
    ))
}

fn wall(examined: &Examined) -> Finding {
    let wall = &examined.wall;
    let whole = wall.shortfall().is_empty();
    finding(
        "wall",
        works_or_remark(whole),
        format!("of programs of this container: {}", wall.sentence()),
        "give the state directory (state_dir) a volume of its own, or a place below directories that only root \
         changes, such as /run/deskd; hiding files needs Linux 5.19, keeping signals out Linux 6.12",
        "deskd explain APP; ls -ld the directories above; cat /sys/kernel/security/lsm",
    )
}

fn api(examined: &Examined) -> Finding {
    let (state, sentence) = match &examined.api {
        Port::Off => (State::Works, "deskd has no TCP port (listen = \"none\")".to_owned()),
        Port::Ours(at) => (State::Works, format!("deskd answers on {at}")),
        Port::Elsewhere(at) => {
            (State::Works, format!("the deskd of another container answers on {at}"))
        }
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
        "deskd health; ss -ltnp",
    )
}

/// What listens on a port of a desktop pod, by convention.
fn owner(port: u16) -> Option<&'static str> {
    match port {
        4713 => Some("sound"),
        4714 => Some("sound over HTTP"),
        X11_TCP_PORT_BASE..=6010 => Some("X server"),
        6081 => Some("VNC over HTTP"),
        29780..=29790 => Some("abcdesktop"),
        29791 => Some("deskd"),
        _ => None,
    }
}

fn ports(examined: &Examined) -> Finding {
    let told = examined.ports.iter().take(PORTS_TOLD_MAX).map(|port| match owner(*port) {
        Some(name) => format!("{port} ({name})"),
        None => port.to_string(),
    });
    let told: Vec<String> = told.collect();
    let sentence = match examined.ports.len().saturating_sub(PORTS_TOLD_MAX) {
        _ if told.is_empty() => "nothing listens on TCP".to_owned(),
        0 => format!("listening on TCP: {}", told.join(", ")),
        more => format!("listening on TCP: {} and {more} more", told.join(", ")),
    };
    finding("ports", State::Works, sentence, "", "ss -ltn || cat /proc/net/tcp /proc/net/tcp6")
}

fn fonts(examined: &Examined) -> Finding {
    finding(
        "fonts",
        works_or_remark(examined.fonts > 0),
        format!("{} font files in this container", examined.fonts),
        "programs of this container show boxes instead of letters: install fonts-dejavu-core or others into its image",
        "fc-list; ls -R /usr/share/fonts",
    )
}

fn gpu(examined: &Examined) -> Finding {
    let usable = examined.gpus.iter().filter(|(_, usable)| *usable).count();
    let nvidia =
        examined.gpus.iter().any(|(path, usable)| path.starts_with("/dev/nvidia") && *usable);
    let software = if examined.software_gl {
        "OpenGL is drawn by software"
    } else {
        "no driver of OpenGL (Mesa) in this container"
    };
    let (state, sentence) = match (examined.gpus.len(), usable) {
        (0, _) => (works_or_remark(examined.software_gl), format!("no GPU; {software}")),
        (all, 0) => (
            State::Wrong,
            format!("{all} GPU devices, none of which this user may open; {software}"),
        ),
        (all, usable) if nvidia && !examined.nvidia_libraries => (
            State::Wrong,
            format!(
                "{usable} of {all} GPU devices can be used, and NVIDIA's libraries are not in this container"
            ),
        ),
        (all, usable) if !nvidia && !examined.software_gl => {
            (State::Remark, format!("{usable} of {all} GPU devices can be used; {software}"))
        }
        (all, usable) => (State::Works, format!("{usable} of {all} GPU devices can be used")),
    };
    finding(
        "GPU",
        state,
        sentence,
        format!(
            "{} For /dev/dri give this user the devices' groups (supplementalGroups: video, render).",
            advice(Cause::GlMissing)
        ),
        "ls -l /dev/dri /dev/nvidia*; ldconfig -p | grep -i nvidia; glxinfo -B",
    )
}
