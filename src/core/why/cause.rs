//! Causes: a closed set, each with a stable name.

use serde::{Deserialize, Serialize};

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
    /// The Kubernetes API does not answer.
    ApiAway,
}

impl Cause {
    /// All of them, root causes before what they entail: the order in which a diagnosis chooses
    /// among several that fired. A full disk before the crash it makes, a display that cannot be
    /// reached before the toolkit's plugin that could not start without it.
    pub const ROOTS_FIRST: [Self; 44] = [
        Self::ApiAway,
        Self::RightMissing,
        Self::AdmissionDenied,
        Self::QuotaExceeded,
        Self::ImageNameInvalid,
        Self::ImageNeverPulled,
        Self::ImageAuth,
        Self::ImageRateLimit,
        Self::ImageNotFound,
        Self::RegistryAway,
        Self::ContainerConfig,
        Self::UnschedulableResource,
        Self::UnschedulableSelector,
        Self::UnschedulableTaint,
        Self::NodeLost,
        Self::Evicted,
        Self::DeadlineExceeded,
        Self::WrongArchitecture,
        Self::DevShmTooSmall,
        Self::NoSpace,
        Self::OutOfMemory,
        Self::ShmWrongMemory,
        Self::ShmRefused,
        Self::DisplayCookieRefused,
        Self::DisplayHangs,
        Self::DisplayWrong,
        Self::DisplayNotListening,
        Self::QtPluginMissing,
        Self::LibraryMissing,
        Self::ProgramNotExecutable,
        Self::ProgramNotFound,
        Self::ChromiumSandbox,
        Self::HomePermission,
        Self::FilePermission,
        Self::AllocationFailed,
        Self::DisplayLost,
        Self::GlMissing,
        Self::ChromiumGpu,
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
            Self::ApiAway => "api_away",
        }
    }

    /// What it means, in one sentence.
    #[must_use]
    pub fn meaning(self) -> &'static str {
        match self {
            Self::ShmRefused => "MIT-SHM attach was refused: BadShmSeg, or BadAccess on ShmAttach.",
            Self::ShmWrongMemory => {
                "Attached a segment of another IPC namespace: BadValue on ShmPutImage, wrong pixels."
            }
            Self::DisplayNotListening => "Nothing listens on the display it was given.",
            Self::DisplayWrong => "DISPLAY is not set, or names none that exists.",
            Self::DisplayCookieRefused => "The X server refused the cookie.",
            Self::DisplayHangs => "The X server accepts connections and does not answer.",
            Self::DisplayLost => "The X server ended while the program ran.",
            Self::QtPluginMissing => "A Qt platform plugin lacks libraries.",
            Self::ChromiumSandbox => "Chromium's sandbox cannot be made.",
            Self::DevShmTooSmall => "`/dev/shm` is too small or missing.",
            Self::ChromiumGpu => "Chromium's GPU process does not work.",
            Self::GlMissing => "OpenGL or Vulkan without a GPU or driver.",
            Self::LibraryMissing => "A shared library is missing.",
            Self::ProgramNotFound => "The program is not there.",
            Self::ProgramNotExecutable => "It is there and may not be executed.",
            Self::WrongArchitecture => "It is for another machine.",
            Self::HomePermission => "It may not read or write its home directory.",
            Self::FilePermission => "It may not read a secret or configuration file.",
            Self::NoSpace => "A disk is full.",
            Self::OutOfMemory => "The kernel killed it since its container had no memory left.",
            Self::AllocationFailed => "An allocation in the program failed.",
            Self::StoppedByUser => "Somebody stopped it.",
            Self::StoppedByDeskd => "deskd stopped it (shutdown, deadline of a stop).",
            Self::StoppedByNode => "The node or kubelet ended it.",
            Self::Crashed => "It crashed: SIGSEGV, SIGABRT, SIGBUS, SIGILL, SIGFPE.",
            Self::ExitedAtOnce => "It ended at once, with success, without ever showing a window.",
            Self::DbusMissing => "D-Bus cannot be reached, and it cannot do without.",
            Self::ImageNotFound => "The image does not exist.",
            Self::ImageAuth => "The registry wants other credentials.",
            Self::ImageRateLimit => "The registry refuses more pulls for now.",
            Self::RegistryAway => "The registry cannot be reached.",
            Self::ImageNameInvalid => "The name of the image cannot be one.",
            Self::ImageNeverPulled => "The node lacks the image and may not pull it.",
            Self::UnschedulableResource => "No node has enough of a resource.",
            Self::UnschedulableTaint => "No node's taints are tolerated.",
            Self::UnschedulableSelector => "No node matches the selector or affinity.",
            Self::QuotaExceeded => "A quota is used up.",
            Self::AdmissionDenied => "An admission policy or webhook refused it.",
            Self::RightMissing => "deskd lacks the right.",
            Self::DeadlineExceeded => "It took longer than it may.",
            Self::Evicted => {
                "The node ran out of something and ended it, or somebody cleared the node."
            }
            Self::NodeLost => "The node is gone.",
            Self::ContainerConfig => {
                "The container cannot be made as configured: a secret or volume is missing, root is not allowed."
            }
            Self::ApiAway => "The Kubernetes API does not answer.",
        }
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
