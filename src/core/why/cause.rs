//! Causes: a closed set, each with a stable name.

use serde::{Deserialize, Serialize};

use super::rules;

/// Why a task failed, or does not start.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    utoipa::ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// MIT-SHM attach was refused: BadShmSeg, or BadAccess on ShmAttach.
    ShmRefused,
    /// Attached a segment of another IPC namespace: BadValue on ShmPutImage, wrong pixels.
    ShmWrongMemory,
    /// Nothing listens on the display it was given.
    DisplayNotListening,
    /// DISPLAY is not set, or names none that exists.
    DisplayWrong,
    /// The X server refused the cookie.
    DisplayCookieRefused,
    /// The X server accepts connections and does not answer.
    DisplayHangs,
    /// The X server ended while the program ran.
    DisplayLost,
    /// A Qt platform plugin lacks libraries.
    QtPluginMissing,
    /// Chromium's sandbox cannot be made.
    ChromiumSandbox,
    /// `/dev/shm` is too small or missing.
    DevShmTooSmall,
    /// Chromium's GPU process does not work.
    ChromiumGpu,
    /// OpenGL or Vulkan without a GPU or driver.
    GlMissing,
    /// A shared library is missing.
    LibraryMissing,
    /// The program is not there.
    ProgramNotFound,
    /// It is there and may not be executed.
    ProgramNotExecutable,
    /// It is for another machine.
    WrongArchitecture,
    /// It may not read or write its home directory.
    HomePermission,
    /// It may not read a secret or configuration file.
    FilePermission,
    /// A disk is full.
    NoSpace,
    /// The kernel killed it since its container had no memory left.
    OutOfMemory,
    /// An allocation in the program failed.
    AllocationFailed,
    /// Somebody stopped it.
    StoppedByUser,
    /// deskd stopped it (shutdown, deadline of a stop).
    StoppedByDeskd,
    /// The node or kubelet ended it.
    StoppedByNode,
    /// It crashed: SIGSEGV, SIGABRT, SIGBUS, SIGILL, SIGFPE.
    Crashed,
    /// It ended at once, with success, without ever showing a window.
    ExitedAtOnce,
    /// D-Bus cannot be reached, and it cannot do without.
    DbusMissing,
    /// The image does not exist.
    ImageNotFound,
    /// The registry wants other credentials.
    ImageAuth,
    /// The registry refuses more pulls for now.
    ImageRateLimit,
    /// The registry cannot be reached.
    RegistryAway,
    /// The name of the image cannot be one.
    ImageNameInvalid,
    /// The node lacks the image and may not pull it.
    ImageNeverPulled,
    /// No node has enough of a resource.
    UnschedulableResource,
    /// No node's taints are tolerated.
    UnschedulableTaint,
    /// No node matches the selector or affinity.
    UnschedulableSelector,
    /// A quota is used up.
    QuotaExceeded,
    /// An admission policy or webhook refused it.
    AdmissionDenied,
    /// deskd lacks the right.
    RightMissing,
    /// It took longer than it may.
    DeadlineExceeded,
    /// The node ran out of something and ended it, or somebody cleared the node.
    Evicted,
    /// The node is gone.
    NodeLost,
    /// The container cannot be made as configured: a secret or volume is missing, root is not allowed.
    ContainerConfig,
    /// A quota demands requests or limits that the container does not state.
    QuotaWantsLimits,
    /// The pod's sandbox or network (CNI) cannot be made.
    PodSandbox,
    /// A volume cannot be attached or mounted.
    VolumeMount,
    /// The node's container runtime cannot give a container its GPU.
    GpuRuntimeMissing,
    /// The uid or user name has no entry in the passwd file.
    UserUnknown,
    /// A script has the line ends of Windows (CR LF).
    ScriptLineEnds,
    /// The kernel's limit of inotify watches or instances is reached.
    InotifyLimit,
    /// The kernel's limit of System V shared memory is reached.
    SysvShmLimit,
    /// A lock or socket of an earlier X server keeps a new one from starting.
    StaleXLock,
    /// The X server has as many clients as it allows.
    XClientsLimit,
    /// The C or C++ library is older than the program needs.
    CLibraryTooOld,
    /// The program is a stub that only asks for a snap to be installed.
    SnapStub,
    /// A seccomp profile forbids calls that new C libraries make (clone3).
    ThreadsForbidden,
    /// There is no `/dev/fuse`, or no fusermount.
    FuseMissing,
    /// Another process, or one that is gone, holds the browser's profile.
    BrowserProfileLocked,
    /// The port or socket it wants to listen on is taken.
    PortInUse,
    /// `XDG_RUNTIME_DIR` is missing, or belongs to somebody else.
    RuntimeDirWrong,
    /// It may open no more files.
    OpenFilesLimit,
    /// It may start no more threads or processes.
    ProcessesLimit,
    /// The GPU's kernel driver and its libraries have different versions.
    GpuDriverMismatch,
    /// A D-Bus service cannot be activated here.
    DbusActivation,
    /// The Kubernetes API does not answer.
    ApiAway,
}

impl Cause {
    /// All of them, root causes before what they entail: the order in which a diagnosis chooses
    /// among several that fired. A full disk before the crash it makes, a display that cannot be
    /// reached before the toolkit's plugin that could not start without it.
    pub const ROOTS_FIRST: [Self; 65] = [
        Self::ApiAway,
        Self::RightMissing,
        Self::AdmissionDenied,
        Self::QuotaWantsLimits,
        Self::QuotaExceeded,
        Self::ImageNameInvalid,
        Self::ImageNeverPulled,
        Self::ImageAuth,
        Self::ImageRateLimit,
        Self::ImageNotFound,
        Self::RegistryAway,
        Self::PodSandbox,
        Self::VolumeMount,
        Self::GpuRuntimeMissing,
        Self::ContainerConfig,
        Self::UnschedulableResource,
        Self::UnschedulableSelector,
        Self::UnschedulableTaint,
        Self::NodeLost,
        Self::Evicted,
        Self::DeadlineExceeded,
        Self::UserUnknown,
        Self::ScriptLineEnds,
        Self::WrongArchitecture,
        Self::DevShmTooSmall,
        Self::InotifyLimit,
        Self::SysvShmLimit,
        Self::NoSpace,
        Self::OutOfMemory,
        Self::ShmWrongMemory,
        Self::ShmRefused,
        Self::StaleXLock,
        Self::XClientsLimit,
        Self::DisplayCookieRefused,
        Self::DisplayHangs,
        Self::DisplayWrong,
        Self::DisplayNotListening,
        Self::QtPluginMissing,
        Self::CLibraryTooOld,
        Self::LibraryMissing,
        Self::SnapStub,
        Self::ThreadsForbidden,
        Self::ProgramNotExecutable,
        Self::ProgramNotFound,
        Self::ChromiumSandbox,
        Self::FuseMissing,
        Self::BrowserProfileLocked,
        Self::HomePermission,
        Self::PortInUse,
        Self::RuntimeDirWrong,
        Self::FilePermission,
        Self::OpenFilesLimit,
        Self::ProcessesLimit,
        Self::AllocationFailed,
        Self::DisplayLost,
        Self::GpuDriverMismatch,
        Self::GlMissing,
        Self::ChromiumGpu,
        Self::DbusActivation,
        Self::DbusMissing,
        Self::StoppedByNode,
        Self::Crashed,
        Self::ExitedAtOnce,
        Self::StoppedByUser,
        Self::StoppedByDeskd,
    ];

    /// Its stable name: `/v1`, metrics, documentation.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ShmRefused => "shm_refused",
            Self::ShmWrongMemory => "shm_wrong_memory",
            Self::DisplayNotListening => "display_not_listening",
            Self::DisplayWrong => "display_wrong",
            Self::DisplayCookieRefused => "display_cookie_refused",
            Self::DisplayHangs => "display_hangs",
            Self::DisplayLost => "display_lost",
            Self::QtPluginMissing => "qt_plugin_missing",
            Self::ChromiumSandbox => "chromium_sandbox",
            Self::DevShmTooSmall => "dev_shm_too_small",
            Self::ChromiumGpu => "chromium_gpu",
            Self::GlMissing => "gl_missing",
            Self::LibraryMissing => "library_missing",
            Self::ProgramNotFound => "program_not_found",
            Self::ProgramNotExecutable => "program_not_executable",
            Self::WrongArchitecture => "wrong_architecture",
            Self::HomePermission => "home_permission",
            Self::FilePermission => "file_permission",
            Self::NoSpace => "no_space",
            Self::OutOfMemory => "out_of_memory",
            Self::AllocationFailed => "allocation_failed",
            Self::StoppedByUser => "stopped_by_user",
            Self::StoppedByDeskd => "stopped_by_deskd",
            Self::StoppedByNode => "stopped_by_node",
            Self::Crashed => "crashed",
            Self::ExitedAtOnce => "exited_at_once",
            Self::DbusMissing => "dbus_missing",
            Self::ImageNotFound => "image_not_found",
            Self::ImageAuth => "image_auth",
            Self::ImageRateLimit => "image_rate_limit",
            Self::RegistryAway => "registry_away",
            Self::ImageNameInvalid => "image_name_invalid",
            Self::ImageNeverPulled => "image_never_pulled",
            Self::UnschedulableResource => "unschedulable_resource",
            Self::UnschedulableTaint => "unschedulable_taint",
            Self::UnschedulableSelector => "unschedulable_selector",
            Self::QuotaExceeded => "quota_exceeded",
            Self::AdmissionDenied => "admission_denied",
            Self::RightMissing => "right_missing",
            Self::DeadlineExceeded => "deadline_exceeded",
            Self::Evicted => "evicted",
            Self::NodeLost => "node_lost",
            Self::ContainerConfig => "container_config",
            Self::QuotaWantsLimits => "quota_wants_limits",
            Self::PodSandbox => "pod_sandbox",
            Self::VolumeMount => "volume_mount",
            Self::GpuRuntimeMissing => "gpu_runtime_missing",
            Self::UserUnknown => "user_unknown",
            Self::ScriptLineEnds => "script_line_ends",
            Self::InotifyLimit => "inotify_limit",
            Self::SysvShmLimit => "sysv_shm_limit",
            Self::StaleXLock => "stale_x_lock",
            Self::XClientsLimit => "x_clients_limit",
            Self::CLibraryTooOld => "c_library_too_old",
            Self::SnapStub => "snap_stub",
            Self::ThreadsForbidden => "threads_forbidden",
            Self::FuseMissing => "fuse_missing",
            Self::BrowserProfileLocked => "browser_profile_locked",
            Self::PortInUse => "port_in_use",
            Self::RuntimeDirWrong => "runtime_dir_wrong",
            Self::OpenFilesLimit => "open_files_limit",
            Self::ProcessesLimit => "processes_limit",
            Self::GpuDriverMismatch => "gpu_driver_mismatch",
            Self::DbusActivation => "dbus_activation",
            Self::ApiAway => "api_away",
        }
    }

    /// What it means, in one sentence.
    #[must_use]
    pub fn meaning(self) -> &'static str {
        rules::text(self).map_or("", |text| text.meaning.as_str())
    }

    /// Its place in [`Self::ROOTS_FIRST`].
    #[must_use]
    pub fn rank(self) -> usize {
        Self::ROOTS_FIRST.iter().position(|cause| *cause == self).unwrap_or(usize::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cause_has_one_place_and_the_name_that_json_has() {
        for (place, cause) in Cause::ROOTS_FIRST.into_iter().enumerate() {
            assert_eq!(cause.rank(), place);
            let json = serde_json::to_string(&cause).unwrap();
            assert_eq!(json, format!("\"{}\"", cause.as_str()));
        }
    }
}
