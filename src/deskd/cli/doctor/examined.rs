//! What `deskd doctor` looked at: values.

use std::path::PathBuf;

use super::subject::ToldBy;
use deskd_core::display::{DisplayStatus, EndpointState};
use deskd_core::plan::KubernetesFacts;
use deskd_core::plan::facts::Headroom;
use deskd_core::shm::ShmVerdicts;
use deskd_core::wall::WallFacts;
use deskd_core::why::evidence::Usage;

/// Everything that was looked at. What is absent could not be.
#[derive(Debug, Clone)]
pub struct Examined {
    /// The file of the configuration that was examined, whether it has errors, and who told.
    pub configuration: (Option<PathBuf>, bool, ToldBy),
    /// Versions of the running daemon and of its keeper, which an older one does not tell; absent: there is no daemon.
    pub versions: Option<(String, Option<String>)>,
    /// The display, TCP and both kinds of shared memory included; of an X server of another pod
    /// only the name is known.
    pub display: DisplayStatus,
    /// What is wrong with the cookie, or where it comes from; absent: nothing.
    pub cookie_note: Option<String>,
    /// DISPLAY names an address, so the X server is most likely another pod's: the way there.
    pub remote: Option<Way>,
    /// That address is one of this pod.
    pub own_address: bool,
    /// Ways to the X server of this pod besides its socket file.
    pub ways: Vec<Way>,
    /// Whose process the X server is, as the kernel says of its socket.
    pub server_uid: Option<u32>,
    /// This process.
    pub user: User,
    /// Those of deskd's own programs that this user can read although it is not root.
    pub readable_programs: Vec<String>,
    /// Remote engines are enabled: application pods need the display over TCP.
    pub pods_wanted: bool,
    /// Size and use of `/dev/shm`.
    pub dev_shm: Option<Usage>,
    /// Memory of the control group.
    pub memory: Headroom,
    /// Processes that the kernel killed for want of memory, since the container started.
    pub oom_kills: u64,
    /// The other limits of the control group.
    pub limits: Limits,
    /// deskd's own TCP port.
    pub api: Port,
    /// Ports on which somebody listens in this network namespace, in order.
    pub ports: Vec<u16>,
    /// Home directory of this user, and whether it can be written; absent: HOME is not set.
    pub home: Option<(String, bool)>,
    /// Files below the font directories, up to a limit.
    pub fonts: usize,
    /// Devices of GPUs, and whether this user may open each.
    pub gpus: Vec<(String, bool)>,
    /// A software driver of OpenGL is installed.
    pub software_gl: bool,
    /// Libraries of NVIDIA's driver are installed.
    pub nvidia_libraries: bool,
    /// What the running daemon knows of the cluster; absent: there is no daemon.
    pub cluster: Option<KubernetesFacts>,
    /// The wall between programs of this container and deskd.
    pub wall: WallFacts,
}

impl Examined {
    /// Of a display and a process; nothing else was looked at.
    #[must_use]
    pub fn of(display: DisplayStatus, user: User) -> Self {
        Self {
            configuration: (None, false, ToldBy::Daemon),
            versions: None,
            display,
            cookie_note: None,
            remote: None,
            own_address: false,
            ways: Vec::new(),
            server_uid: None,
            user,
            readable_programs: Vec::new(),
            pods_wanted: false,
            dev_shm: None,
            memory: Headroom::default(),
            oom_kills: 0,
            limits: Limits::default(),
            api: Port::Off,
            ports: Vec::new(),
            home: None,
            fonts: 0,
            gpus: Vec::new(),
            software_gl: false,
            nvidia_libraries: false,
            cluster: None,
            wall: WallFacts::default(),
        }
    }
}

/// One way to an X server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Way {
    /// Such as `abstract socket`.
    pub name: String,
    /// What the handshake showed.
    pub state: EndpointState,
    /// What the proofs showed; unreachable without an answer.
    pub shm: ShmVerdicts,
}

/// Who this process is, and what the kernel lets it do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct User {
    /// User.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Other groups.
    pub groups: Vec<u32>,
    /// It has capabilities.
    pub capabilities: bool,
    /// Programs with the set-user-id bit give it nothing.
    pub no_new_privileges: bool,
    /// System calls are filtered.
    pub seccomp: bool,
    /// Whether it can make a user namespace; absent: not tried.
    pub user_namespaces: Option<bool>,
}

/// Limits of the control group besides memory, and what became of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Limits {
    /// Version 1 of control groups.
    pub version_1: bool,
    /// Memory limit, in bytes.
    pub memory_bytes: Option<u64>,
    /// Processors, in thousandths of one.
    pub cpu_millis: Option<u64>,
    /// Periods in which processes waited for their share of the processors, in percent.
    pub throttled_percent: Option<u64>,
    /// Processes and threads.
    pub tasks: Option<u64>,
    /// Most of them at once.
    pub tasks_max: Option<u64>,
}

/// A TCP port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Port {
    /// Not configured.
    Off,
    /// The running daemon's.
    Ours(String),
    /// Of a deskd in another container.
    Elsewhere(String),
    /// No daemon runs, and somebody listens there.
    Taken(String),
    /// The daemon runs, and nothing listens there.
    Silent(String),
    /// No daemon runs, and nothing listens.
    Free(String),
}
