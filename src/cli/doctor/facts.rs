//! What `deskd doctor` looked at: values.

use crate::domain::diagnosis::evidence::Usage;
use crate::domain::display::DisplayStatus;
use crate::domain::plan::KubernetesFacts;
use crate::domain::plan::facts::Headroom;

/// Everything that was looked at. What is absent could not be.
#[derive(Debug, Clone)]
pub struct Facts {
    /// The display, TCP and both kinds of shared memory included.
    pub display: DisplayStatus,
    /// Remote engines are enabled: application pods need the display over TCP.
    pub pods_wanted: bool,
    /// Size and use of `/dev/shm`.
    pub dev_shm: Option<Usage>,
    /// Memory of the control group.
    pub memory: Headroom,
    /// deskd's own TCP port.
    pub api: Port,
    /// Home directory of this user, and whether it can be written; absent: HOME is not set.
    pub home: Option<(String, bool)>,
    /// Files below the font directories, up to a limit.
    pub fonts: usize,
    /// Devices of GPUs, and whether this user may open each.
    pub gpus: Vec<(String, bool)>,
    /// A software driver of OpenGL is installed.
    pub software_gl: bool,
    /// What the running daemon knows of the cluster; absent: there is no daemon.
    pub cluster: Option<KubernetesFacts>,
}

/// A TCP port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Port {
    /// Not configured.
    Off,
    /// The running daemon's.
    Ours(String),
    /// No daemon runs, and somebody listens there.
    Taken(String),
    /// The daemon runs, and nothing listens there.
    Silent(String),
    /// No daemon runs, and nothing listens.
    Free(String),
}
