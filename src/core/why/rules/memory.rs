//! Memory: killed by the kernel, evicted from it, or refused an allocation.

use crate::why::cause::Cause;
use crate::why::fact::Fact;
use crate::why::rule::{BLANK, Confidence, Offer, Rule, Weight};

const MORE: &str = "Raise the memory limit of where it runs: of a pod by a class with more (od.config: `executeclasses`; label \
     `oc.executeclassname`; deskd: `[execute_class.NAME] limits.memory`); an ephemeral container or a local program uses the desktop \
     container's (od.config: `desktop.pod`, `resources`). `kubectl describe pod` shows OOMKilled and the limit.";

const OOM: Rule = Rule {
    cause: Cause::OutOfMemory,
    confidence: Confidence::Certain,
    advice: MORE,
    offer: Offer::MoreMemory,
    sentence: "The program needed more memory than its container may have, and the kernel killed it.",
    ..BLANK
};

pub(super) const RULES: &[Rule] = &[
    Rule {
        name: "oom-killed",
        needs: &[Fact::OomKilled],
        unless: &[Fact::RanWell],
        source: "cgroup memory.events oom_kill (cgroup-v2.rst); Kubernetes container reason OOMKilled",
        ..OOM
    },
    Rule {
        name: "oom-said",
        any: &[
            "OOMKilled",
            "Memory cgroup out of memory: Killed process",
            "Out of memory: Killed process",
            "oom-kill:constraint=",
            "invoked oom-killer",
            "OOMKilling",
            "container init was OOM-killed",
            "System OOM encountered",
        ],
        source: "Linux 6.1 mm/oom_kill.c, kubelet 1.34",
        ..OOM
    },
    Rule {
        name: "oom-killed-child",
        any: &["line *: * Killed *", "killed by signal 9"],
        unless: &[Fact::Stopped, Fact::NotOomKilled],
        confidence: Confidence::Possible,
        sentence: "A process of the program was killed; most often for memory, since neither a user nor deskd did it.",
        weight: Weight::LastWords,
        source: "bash 5.2, dash 0.5: SIGKILL of a child",
        ..OOM
    },
    Rule {
        name: "killed-perhaps-by-oom",
        needs: &[Fact::Signal(9)],
        unless: &[Fact::Stopped, Fact::NotOomKilled, Fact::ClusterSpoke, Fact::UsedLittleMemory],
        confidence: Confidence::Possible,
        sentence: "The program was killed; most often for memory, since neither a user nor deskd did it.",
        source: "signal(7) SIGKILL, exit code 137",
        ..OOM
    },
    Rule {
        name: "too-many-files",
        cause: Cause::AllocationFailed,
        any: &["Too many open files", "[Errno 24]", "EMFILE: ", "ENFILE: "],
        never: &["inotify", "watch"],
        weight: Weight::Noise,
        confidence: Confidence::Likely,
        sentence: "The program wanted to open more files than it may, so it gave up.",
        advice: "Raise its limit (`ulimit -n`; `prlimit --nofile`; the container runtime's `LimitNOFILE`), or look for what leaks files: \
                 `ls /proc/PID/fd`.",
        source: "errno(3) EMFILE, ENFILE; getrlimit(2) RLIMIT_NOFILE",
        ..BLANK
    },
    Rule {
        name: "allocation-failed",
        cause: Cause::AllocationFailed,
        any: &[
            "std::bad_alloc",
            "bad allocation",
            "System.OutOfMemoryException",
            "Allocation failed - *out of memory",
            "Array buffer allocation failed",
            "PartitionAlloc*out of memory",
            "PartitionAlloc OOM",
            "OOM: unable to allocate*",
            "os::commit_memory(*failed",
            "Native memory allocation (*) failed",
            "unable to create native thread",
            "cannot allocate * bytes",
            "could not allocate * bytes",
            "unable to allocate * bytes",
            "failed to allocate memory",
            "unable to allocate memory",
            "could not allocate memory",
            "couldn't allocate memory",
            "cannot alloc* memory",
            "allocate vector of size*",
            "fork: retry: Resource temporarily unavailable",
            "fork: Resource temporarily unavailable",
            "cache resources exhausted",
            "ENOMEM: ",
            "process out of memory",
            "failed to reserve page summary",
            "cannot create shared object descriptor",
            "cannot allocate TLS",
            "[Errno 12]",
            "os error 12)",
            "bad_array_new_length",
            "java.lang.OutOfMemoryError",
            "insufficient memory for the Java Runtime Environment",
            "JavaScript heap out of memory",
            "Reached heap limit Allocation failed",
            "memory allocation of * bytes failed",
            "failed to allocate * bytes",
            "Could not reserve enough space for",
            "Failed to reserve memory for*",
            "Failed to allocate initial*",
            "failed to map segment from shared object$",
            "MemoryError:",
            "^MemoryError$",
            "unable to alloc * bytes",
            "memory allocation failed",
            "unable to realloc * bytes",
            "numpy*Unable to allocate *",
            "runtime: out of memory",
            "virtual memory exhausted",
            "xmalloc: cannot allocate*",
            "xrealloc: cannot allocate*",
            "Cannot allocate memory",
            "Out of memory!",
            "memory exhausted",
            "mmap() failed: *",
            "OOM error in *",
            "Fatal process OOM in *",
            "Failed to reserve virtual memory",
            "can't start new thread",
            "Kind(OutOfMemory)",
            "kind: OutOfMemory",
            "Unable to create thread*Resource temporarily unavailable",
            "pthread_create*Resource temporarily unavailable",
            "newosproc",
            "out of memory",
            "tcmalloc: allocation failed",
            "malloc failed",
            "not enough memory",
            "insufficient memory",
            "BadAlloc (insufficient resources for operation)",
        ],
        never: &[
            "oom-kill",
            "Killed process",
            "cgroup out of memory",
            "/dev/shm",
            "out of memory: 0",
            "mlock",
            "lock memory",
            "GPU memory",
            "GL_OUT_OF_MEMORY",
            "graphics memory",
            "video memory",
        ],
        confidence: Confidence::Likely,
        sentence: "The program asked for memory and did not get it, so it gave up.",
        advice: "Raise its own limit first (java `-Xmx`, node `--max-old-space-size`, `ulimit -v`), then the container's (od.config: \
                 `executeclasses`; deskd: `[execute_class.NAME] limits.memory`). `ulimit -a` where it ran shows limits.",
        offer: Offer::MoreMemory,
        source: "libstdc++ 12, OpenJDK 17, V8, Rust 1.80 alloc, GLib 2.74 gmem.c, CPython 3.11, Go 1.22, bash 5.2, \
                 .NET 8, R 4, ImageMagick 6.9",
        ..BLANK
    },
];
