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
    /// deskd has not the right.
    RightMissing,
    /// Its time was over.
    DeadlineExceeded,
    /// The node ran out of something and ended it.
    Evicted,
    /// The node is gone.
    NodeLost,
    /// The container's configuration cannot be: a secret or volume is missing, root is not allowed.
    ContainerConfig,
    /// The Kubernetes API does not answer.
    ApiAway,
}
