//! Who says a line, and whether what it complains of was overcome.

use std::cell::OnceCell;

use super::cause::Cause;
use super::log;
use super::pattern::find;

/// Bytes of a text's end in which words of success are looked for.
const LOOK_BYTES_MAX: usize = 64 << 10;

/// What a line has that an engine, kubelet or API server wrote, whoever keeps the log.
const ENGINES: [&str; 89] = [
    "Error response from daemon",
    "docker: ",
    "podman: ",
    "Error from server",
    "OCI runtime",
    "rpc error: code = ",
    "Failed to pull image",
    "ErrImage",
    "ImagePullBackOff",
    "FailedCreatePodSandBox",
    "FailedScheduling",
    "FailedMount",
    "FailedAttachVolume",
    "nodes are available: ",
    "kubelet",
    "admission webhook",
    "exceeded quota: ",
    "failed quota: ",
    "containerd: ",
    "crictl",
    "crun: ",
    "OCI permission denied",
    "containers/storage/",
    "docker://",
    "Requesting bearer token",
    "Trying to pull ",
    "trying to pull repository",
    "error pulling image",
    "httpReadSeeker",
    "oauth token",
    "is forbidden: ",
    "in API group",
    "system:serviceaccount:",
    "serviceaccount \"",
    "Configured service account",
    "/api/v1",
    "/apis/",
    "kubernetes.default",
    "kubernetes.client",
    "io.fabric8.kubernetes",
    "io.kubernetes.client",
    "Kubernetes cluster unreachable",
    "KUBERNETES_SERVICE",
    ":6443",
    ":16443",
    ":443/api",
    "api server",
    "apiserver",
    "API server",
    "ApiException",
    "etcdserver: ",
    "reflector.go",
    "leaderelection.go",
    "to the server (",
    "connection to the server ",
    "PodSecurity",
    "denied the request",
    "pull access denied",
    "pull rate limit",
    "toomanyrequests",
    "manifest unknown",
    "manifest for ",
    "no matching manifest",
    "invalid reference format",
    "InvalidImageName",
    "pull policy of Never",
    "image pull",
    "pulling image",
    "/v2/",
    "nodes available",
    "PodToleratesNodeTaints",
    "NodeNotReady",
    "NodeLost",
    "node(s) had",
    "Pod was ",
    "Job was ",
    "The node was low on resource",
    "The node had condition",
    "PersistentVolume",
    "persistentvolume",
    "MountVolume.",
    "AttachVolume.",
    "CreateContainer",
    "pod sandbox",
    "networkPlugin",
    "failed to solve: ",
    "container runtime",
    "Helm",
    "kubectl",
];
/// A program that says so works: what it complained of before did not end it.
const READY: [&str; 17] = [
    "listening on ",
    "listening for ",
    "listening at ",
    "ready to accept",
    "accepting connections",
    "server started",
    "server is running",
    "server running",
    "startup complete",
    "startup finished",
    "started successfully",
    "serving on ",
    "serving http on",
    "is ready",
    "the vnc desktop is",
    "is listening",
    "in existing browser session",
];

/// What a program puts before its warnings: GLib (whose critical ones end no program either), Gecko, Go's and X.Org's loggers, Chromium, Wine.
const WARNINGS: [&str; 10] = [
    "-WARNING **",
    "WARNING **",
    "-CRITICAL **",
    "] WARNING: ",
    "<warning>",
    "(WW) ",
    "level=warn",
    "[warning]",
    ":WARNING:",
    ":fixme:",
];

/// What a line has with which its writer ends: GLib's g_error, Chromium's LOG(FATAL), the X server, loggers,
/// panics of Go and Rust, C++ exceptions that nobody caught.
const FATAL: [&str; 10] = [
    "-ERROR **",
    ":FATAL:",
    "[FATAL",
    "fatal error: ",
    "Fatal server error",
    "panicked at",
    "panic: ",
    "what(): ",
    "Unhandled exception",
    "Uncaught exception",
];

/// Longest line that is one message: a longer one has several.
const MESSAGE_BYTES_MAX: usize = 400;

/// Whether the line is of somebody who ends with it.
pub(super) fn is_fatal(line: &[u8]) -> bool {
    line.len() <= MESSAGE_BYTES_MAX
        && FATAL.iter().any(|words| find(line, words.as_bytes()).is_some())
}

/// Programs complain of it and run well to their end: a driver, a bus, a file that they may not read.
pub(super) fn is_shrugged_off(cause: Cause) -> bool {
    matches!(
        cause,
        Cause::GlMissing | Cause::ChromiumGpu | Cause::DbusMissing | Cause::FilePermission
    )
}

/// Whether the program calls what follows this beginning of a line a warning.
pub(super) fn is_warning(beginning: &[u8]) -> bool {
    WARNINGS.iter().any(|words| find(beginning, words.as_bytes()).is_some())
}

/// Whether an engine, kubelet or API server wrote the line.
pub(super) fn is_engines(line: &[u8]) -> bool {
    ENGINES.iter().any(|words| find(line, words.as_bytes()).is_some())
}

/// How far a text has come, by its own words: looked for when first asked.
#[derive(Debug, Default)]
pub(super) struct Progress {
    ready: OnceCell<Option<usize>>,
    assigned: OnceCell<Option<usize>>,
    started: OnceCell<Option<usize>>,
}

impl Progress {
    /// Whether the program worked after what it said at `at`.
    pub(super) fn is_ready_after(&self, text: &[u8], at: usize) -> bool {
        *self.ready.get_or_init(|| last(text, &READY)) > Some(at)
    }

    /// Whether the cluster overcame what it said of this cause at `at`.
    pub(super) fn is_overcome(&self, cause: Cause, text: &[u8], at: usize) -> bool {
        let assigned = || *self.assigned.get_or_init(|| last(text, &["Successfully assigned "]));
        let started = || {
            *self.started.get_or_init(|| last(text, &["Started container", "Container started"]))
        };
        match cause {
            Cause::UnschedulableResource
            | Cause::UnschedulableSelector
            | Cause::UnschedulableTaint => assigned() > Some(at),
            Cause::VolumeMount | Cause::PodSandbox => started() > Some(at),
            // A scheduler's words that a program's rule took for its own.
            _ => {
                find(log::line_at(text, at).1, b"nodes are available: ").is_some()
                    && assigned() > Some(at)
            }
        }
    }
}

/// Events without those before its last step forward: what kept it from being scheduled, or its
/// image from being pulled, is over then.
pub(super) fn not_overcome(events: &[String]) -> impl Iterator<Item = &String> {
    let forward = |event: &String| {
        ["Scheduled: ", "Pulled: ", "Created: ", "Started: "].iter().any(|r| event.starts_with(r))
    };
    let from = events.iter().rposition(forward).map_or(0, |place| place + 1);
    events[from..].iter()
}

/// Where the last of these words is.
fn last(text: &[u8], words: &[&str]) -> Option<usize> {
    let from = text.len().saturating_sub(LOOK_BYTES_MAX);
    let of = |word: &&str| {
        let mut found = None;
        let mut at = from;
        while let Some(next) = find(&text[at..], word.as_bytes()) {
            found = Some(at + next);
            at += next + word.len();
        }
        found
    };
    words.iter().filter_map(of).max()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_said_before_a_step_forward_is_overcome() {
        let text =
            b"0/3 nodes are available: 3 Insufficient cpu.\nSuccessfully assigned a/b to c\n";
        let progress = Progress::default();
        assert!(progress.is_overcome(Cause::UnschedulableResource, text, 5));
        assert!(!progress.is_overcome(Cause::UnschedulableResource, text, 60));
        assert!(!progress.is_overcome(Cause::ImageAuth, b"pull\nSuccessfully assigned ", 1));
    }

    #[test]
    fn an_engine_is_known_by_its_line() {
        assert!(is_engines(b"docker: invalid reference format."));
        assert!(!is_engines(b"app: 401 Unauthorized"));
    }
}
