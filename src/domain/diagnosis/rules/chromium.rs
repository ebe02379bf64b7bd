//! Chromium, Electron, QtWebEngine: sandbox, `/dev/shm`, GPU process; and others' `/dev/shm`.

use crate::domain::diagnosis::cause::Cause;
use crate::domain::diagnosis::fact::Fact;
use crate::domain::diagnosis::rule::{BLANK, Confidence, Offer, Rule, Weight};

const DEV_SHM: &str = "Mount a larger /dev/shm: od.config `desktop.pod`, `spec`, `'shareProcessMemory': True, \
     'shareProcessMemorySize': '512Mi'`; in a manifest an emptyDir with `medium: Memory` and `sizeLimit: 512Mi` at /dev/shm. Or \
     give Chromium `--disable-dev-shm-usage`. `df -h /dev/shm` shows size and use.";

pub(super) const RULES: &[Rule] = &[
    Rule {
        name: "dev-shm-full",
        cause: Cause::DevShmTooSmall,
        any: &[
            "Creating shared memory in /dev/shm*fail",
            "/dev/shm/*No space left on device",
            "/dev/shm*No space left on device",
            "Unable to access(W_OK|X_OK) /dev/shm",
            "frequently caused by incorrect permissions on /dev/shm",
        ],
        weight: Weight::Always,
        confidence: Confidence::Certain,
        offer: Offer::DisableDevShm,
        sentence: "The program's space for shared memory, /dev/shm, is full, too small or missing.",
        advice: DEV_SHM,
        source: "Chromium base/memory/platform_shared_memory_region_posix.cc; PyTorch dataloader; POSIX shm_open(3)",
        ..BLANK
    },
    Rule {
        name: "dev-shm-refused",
        cause: Cause::DevShmTooSmall,
        any: &[
            "Please try to raise your shared memory limit",
            "out of shared memory",
            "unable to allocate shared memory*dev/shm",
            "Could not create shared memory*",
            "shm_open*No such file or directory",
            "shm_open*No space left on device",
            "Failed to create shared memory*/dev/shm",
            "platform_shared_memory_region*/dev/shm",
        ],
        never: &["pulse"],
        offer: Offer::DisableDevShm,
        sentence: "The program got no shared memory: its space for that, /dev/shm, is full, too small or missing.",
        advice: DEV_SHM,
        source: "POSIX shm_open(3); PyTorch 2 dataloader; PostgreSQL; Chromium 87",
        ..BLANK
    },
    Rule {
        name: "dev-shm-bus-error",
        cause: Cause::DevShmTooSmall,
        needs: &[Fact::Signal(7), Fact::DevShmScarce],
        confidence: Confidence::Likely,
        offer: Offer::DisableDevShm,
        sentence: "The program was ended by a bus error, and its space for shared memory, /dev/shm, is small or full.",
        advice: DEV_SHM,
        source: "tmpfs(5): a page that cannot be had raises SIGBUS",
        ..BLANK
    },
    Rule {
        name: "dev-shm-bus-error-of-a-child",
        cause: Cause::DevShmTooSmall,
        any: &["Received signal 7 BUS_ADRERR", "killed by signal: Bus error", "Bus error"],
        needs: &[Fact::DevShmScarce],
        confidence: Confidence::Likely,
        offer: Offer::DisableDevShm,
        sentence: "A process of the program was ended by a bus error, and its space for shared memory, /dev/shm, is small or full.",
        advice: DEV_SHM,
        source: "Chromium base/debug/stack_trace_posix.cc; tmpfs(5)",
        ..BLANK
    },
    Rule {
        name: "dev-shm-renderer-gone",
        cause: Cause::DevShmTooSmall,
        any: &[
            "Aw, Snap",
            "session deleted because of page crash",
            "Target crashed",
            "Renderer process crashed",
            "Failed to allocate shared memory",
            "Failed to map shared memory",
            "CommandBufferHelper::AllocateRingBuffer() failed",
            "MOJO_RESULT_RESOURCE_EXHAUSTED",
        ],
        weight: Weight::Always,
        needs: &[Fact::DevShmScarce],
        confidence: Confidence::Possible,
        offer: Offer::DisableDevShm,
        sentence: "The browser gets no memory to share between its processes: its space for that, /dev/shm, is small or full.",
        advice: DEV_SHM,
        source: "chromedriver, puppeteer, playwright; Chromium 87 cmd_buffer_helper.cc and data_pipe.cc",
        ..BLANK
    },
    Rule {
        name: "chromium-sandbox",
        cause: Cause::ChromiumSandbox,
        any: &[
            "No usable sandbox!",
            "The SUID sandbox helper binary was found, but is not configured correctly",
            "Running as root without --no-sandbox is not supported",
            "Failed to move to new namespace",
            "credentials.cc*Check failed: *",
            "zygote_host_impl_linux.cc*Check failed",
            "The setuid sandbox is not running as root",
            "sandbox_linux.cc*InitializeSandbox() called with multiple threads",
            "Cannot open /proc/self/ns",
            "Failed to drop all capabilities",
            "Sandbox: *clone() failure",
            "Sandbox: CanCreateUserNamespace() clone() failure",
            "bwrap: *namespace*",
            "bwrap: No permissions to create*",
            "bwrap: Creating new namespace failed",
        ],
        never: &["InitializeSandbox() called with multiple threads", "clone() failure: EPERM"],
        weight: Weight::Complaint,
        confidence: Confidence::Certain,
        sentence: "The browser may not build its sandbox in this container, and does not run without one.",
        advice: "Give the browser `--no-sandbox` (label `oc.args`; the container is the sandbox then), or let it have user \
                 namespaces: seccomp profile `Unconfined` or one that admits `clone`, `unshare` and `chroot`, \
                 `allowPrivilegeEscalation: true` for its setuid helper (od.config: `desktop.pod`, `ephemeral_container` or \
                 `pod_application`, `securityContext`; label `oc.securitycontext`), and on the node \
                 `sysctl user.max_user_namespaces` above 0 and `kernel.apparmor_restrict_unprivileged_userns=0`.",
        source: "Chromium sandbox/linux, content/browser/zygote_host/zygote_host_impl_linux.cc; bubblewrap 0.8",
        ..BLANK
    },
    Rule {
        name: "chromium-gpu",
        cause: Cause::ChromiumGpu,
        any: &[
            "GPU process isn't usable. Goodbye.",
            "The GPU process has crashed * time(s)",
            "GPU process exited unexpectedly: exit_code=*",
            "GPU process launch failed: error_code=*",
            "Exiting GPU process due to errors during initialization",
            "ContextResult::kFatalFailure",
        ],
        weight: Weight::Noise,
        confidence: Confidence::Likely,
        sentence: "The browser's process for graphics does not work here.",
        advice: "Give the browser `--disable-gpu` (label `oc.args`), or `--use-gl=angle --use-angle=swiftshader`; without a GPU \
                 install the software drivers (libgl1-mesa-dri) into its image. For a GPU: a class with `nvidia.com/gpu` (od.config: \
                 `executeclasses`).",
        source: "Chromium content/browser/gpu/gpu_process_host.cc, gpu_data_manager_impl_private.cc",
        ..BLANK
    },
    Rule {
        name: "chromium-gpu-fatal",
        cause: Cause::ChromiumGpu,
        any: &["GPU process isn't usable. Goodbye."],
        weight: Weight::LastWords,
        confidence: Confidence::Certain,
        sentence: "The browser's process for graphics does not work here, and the browser ended for it.",
        advice: "Give the browser `--disable-gpu` (label `oc.args`), or `--use-gl=angle --use-angle=swiftshader`; without a GPU \
                 install the software drivers (libgl1-mesa-dri) into its image.",
        source: "Chromium content/browser/gpu/gpu_data_manager_impl_private.cc",
        ..BLANK
    },
];
