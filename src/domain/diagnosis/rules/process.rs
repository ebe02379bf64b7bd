//! Starting and ending: not found, not executable, not for this machine, missing libraries, crashed,
//! stopped.

use crate::domain::diagnosis::cause::Cause;
use crate::domain::diagnosis::fact::Fact;
use crate::domain::diagnosis::rule::{BLANK, Confidence, Rule, Weight};

const PATH: &str = "Correct the label `oc.path` (or `command` in deskd's configuration): the program must be in the image where the \
     application runs. `kubectl exec` or a shell with `command -v PROGRAM` shows it; a script also needs the interpreter of its \
     first line.";

const CRASH: &str = "It is a fault of the program or of its libraries. Try the newest image, and keep the core: \
     `ulimit -c unlimited`, `coredumpctl gdb` on the node, or `gdb -ex run -ex bt --args PROGRAM` in the container.";

const CRASHED: Rule = Rule {
    cause: Cause::Crashed,
    confidence: Confidence::Likely,
    unless: &[Fact::Stopped],
    advice: CRASH,
    source: "signal(7); codes above 128 as of POSIX shells and container runtimes",
    ..BLANK
};

pub(super) const RULES: &[Rule] = &[
    Rule {
        name: "library-missing",
        cause: Cause::LibraryMissing,
        any: &[
            "error while loading shared libraries: *: cannot open shared object file",
            "error while loading shared libraries: *",
            "Error loading shared library *: No such file",
            "symbol lookup error: *: undefined symbol: *",
            "version `*' not found (required by *)",
            "ImportError: *: cannot open shared object file",
            "OSError: *: cannot open shared object file",
            "UnsatisfiedLinkError: *: cannot open shared object file",
            "UnsatisfiedLinkError: *",
        ],
        never: &["wrong ELF class", "failed to map segment", "libqxcb", "Cannot allocate memory"],
        weight: Weight::Complaint,
        confidence: Confidence::Certain,
        sentence: "A library that the program needs is missing from its image, or is too old: {1}.",
        advice: "Install the package with {1} into the image (`apt-file search`, `ldd PROGRAM | grep 'not found'`), or build the \
                 image on the distribution that the program was built for.",
        source: "glibc 2.36 ld.so(8), musl 1.2 dynlink.c, CPython 3.11, OpenJDK 17",
        ..BLANK
    },
    Rule {
        name: "library-missing-at-runtime",
        cause: Cause::LibraryMissing,
        any: &[
            "*: cannot open shared object file: No such file or directory",
            "ModuleNotFoundError: No module named *",
        ],
        never: &[
            "error while loading",
            "libqxcb",
            "gtk-module",
            "Gtk-Message",
            "Failed to load module",
            "canberra",
            "dri.so",
            "gbm",
        ],
        weight: Weight::Noise,
        confidence: Confidence::Likely,
        sentence: "A library that the program looked for is missing from its image: {1}.",
        advice: "Install the package with that library or module into the image.",
        source: "glibc 2.36 dlopen(3), CPython 3.11",
        ..BLANK
    },
    Rule {
        name: "wrong-architecture",
        cause: Cause::WrongArchitecture,
        any: &[
            "exec format error",
            "cannot execute binary file",
            "no match for platform in manifest",
            "no matching manifest for *",
            "wrong ELF class: *",
            "CPU ISA level is lower than required",
            "Could not open '/lib*ld-linux*",
            "Could not open '/lib*ld-musl*",
            "This program requires a CPU with*",
            "Fatal glibc error: CPU does not support*",
            "does not match the detected host platform",
        ],
        weight: Weight::Complaint,
        confidence: Confidence::Certain,
        sentence: "The program is for another kind of processor than the machine it was started on.",
        advice: "Use an image for the node's architecture (`kubectl get node -o wide`, `docker manifest inspect IMAGE`), or choose \
                 nodes by `kubernetes.io/arch` (od.config: `executeclasses`, `nodeSelector`). A script without `#!` in its first line \
                 fails in the same words.",
        source: "execve(2) ENOEXEC as told by runc 1.1, bash 5.2, dash 0.5; containerd 1.6; glibc 2.36; qemu-user 7.2",
        ..BLANK
    },
    Rule {
        name: "program-not-found",
        cause: Cause::ProgramNotFound,
        any: &[
            "exec: \"*\": stat *: no such file or directory",
            "exec: \"*\": executable file not found in $PATH",
            "exec: \"*\": no such file or directory",
            "exec *: no such file or directory",
            "failed to run command '*': No such file or directory",
            "failed to run command ‘*’: No such file or directory",
            "env: '*': No such file or directory",
            "env: ‘*’: No such file or directory",
            "*: command not found$",
            "cannot execute: required file not found",
            "bad interpreter: No such file or directory",
            "cannot start *: No such file or directory",
            "cannot start *: not found",
            "execvp*: No such file or directory",
            "execve*: No such file or directory",
            "Failed to execute child process*No such file or directory",
            "no program * in PATH",
            "there is no program *",
        ],
        never: &["permission denied", "dbus-launch"],
        weight: Weight::Noise,
        confidence: Confidence::Certain,
        sentence: "The program to start is not there.",
        advice: PATH,
        source: "runc 1.1 and containerd 1.6 (Go os/exec), coreutils 9.1 env and nohup, bash 5.2, GLib 2.74 gspawn",
        ..BLANK
    },
    Rule {
        name: "program-not-found-by-a-shell",
        cause: Cause::ProgramNotFound,
        any: &[
            "sh: *: not found",
            "sh: * not found",
            ": not found$",
            ": No such file or directory$",
            ": line *: *: No such file or directory",
        ],
        weight: Weight::Noise,
        needs: &[Fact::ExitCode(127)],
        confidence: Confidence::Certain,
        sentence: "The program to start, or one that its script needs, is not there.",
        advice: PATH,
        source: "dash 0.5, busybox 1.35, bash 5.2: exit code 127",
        ..BLANK
    },
    Rule {
        name: "program-not-found-code",
        cause: Cause::ProgramNotFound,
        needs: &[Fact::ExitCode(127)],
        confidence: Confidence::Possible,
        sentence: "A shell did not find the program that it should start (exit code 127).",
        advice: PATH,
        source: "POSIX 2.8.2 Exit Status for Commands",
        ..BLANK
    },
    Rule {
        name: "program-not-executable",
        cause: Cause::ProgramNotExecutable,
        any: &[
            "exec: \"*\": permission denied",
            "exec: \"*\": is a directory",
            "exec *: permission denied",
            "failed to run command '*': Permission denied",
            "failed to run command ‘*’: Permission denied",
            "env: '*': Permission denied",
            "env: ‘*’: Permission denied",
            "bad interpreter: Permission denied",
            "cannot start *: Permission denied",
            "execve*: Permission denied",
            "execvp*: Permission denied",
            "Failed to execute child process*Permission denied",
            "failed to map segment from shared object: *",
        ],
        weight: Weight::Noise,
        confidence: Confidence::Certain,
        sentence: "The program is there, and may not be started by this user or from this place.",
        advice: "Make it executable in the image (`chmod 755`; every directory above it needs `x` for the user), and do not run it \
                 from a volume that is mounted `noexec`. `ls -l PROGRAM`, `id` and `findmnt -T PROGRAM` show it.",
        source: "execve(2) EACCES as told by runc 1.1, coreutils 9.1, bash 5.2, GLib 2.74 gspawn",
        ..BLANK
    },
    Rule {
        name: "program-not-executable-by-a-shell",
        cause: Cause::ProgramNotExecutable,
        any: &["Permission denied$", ": Is a directory$", "cannot execute*"],
        never: &["binary file", "required file"],
        weight: Weight::Noise,
        needs: &[Fact::ExitCode(126)],
        confidence: Confidence::Certain,
        sentence: "The program is there, and may not be started by this user or from this place.",
        advice: "Make it executable in the image (`chmod 755`; every directory above it needs `x` for the user), and do not run it \
                 from a volume that is mounted `noexec`. `ls -l PROGRAM`, `id` and `findmnt -T PROGRAM` show it.",
        source: "dash 0.5, bash 5.2: exit code 126",
        ..BLANK
    },
    Rule {
        name: "crash-signal-11",
        needs: &[Fact::Signal(11)],
        sentence: "The program crashed: it used memory that is not its own (segmentation fault).",
        confidence: Confidence::Certain,
        ..CRASHED
    },
    Rule {
        name: "crash-signal-6",
        needs: &[Fact::Signal(6)],
        sentence: "The program ended itself since something in it was wrong (abort).",
        ..CRASHED
    },
    Rule {
        name: "crash-signal-7",
        needs: &[Fact::Signal(7)],
        sentence: "The program crashed: memory that it used was not there (bus error).",
        ..CRASHED
    },
    Rule {
        name: "crash-signal-4",
        needs: &[Fact::Signal(4)],
        sentence: "The program crashed: it used an instruction that this processor does not have, or gave up (illegal \
                   instruction).",
        ..CRASHED
    },
    Rule {
        name: "crash-signal-8",
        needs: &[Fact::Signal(8)],
        sentence: "The program crashed: a calculation that is not possible, such as a division by zero.",
        ..CRASHED
    },
    Rule {
        name: "crash-signal-5",
        needs: &[Fact::Signal(5)],
        sentence: "The program ended itself since something in it was wrong (trap; GLib's fatal errors end so).",
        ..CRASHED
    },
    Rule {
        name: "crash-signal-31",
        needs: &[Fact::Signal(31)],
        sentence: "The program was ended for a system call that the container's seccomp profile does not admit.",
        advice: "Give it a seccomp profile that admits the call (od.config: `securityContext`, `seccompProfile`; label \
                 `oc.securitycontext`); the node's audit log names it (`journalctl -k | grep type=1326`).",
        ..CRASHED
    },
    Rule {
        name: "crash-said",
        any: &[
            "Segmentation fault",
            "Received signal 11 *",
            "Received signal 6$",
            "A fatal error has been detected by the Java Runtime Environment",
            "double free or corruption",
            "free(): invalid",
            "malloc(): *corrupt",
            "stack smashing detected",
            "Aborted (core dumped)",
            "Trace/breakpoint trap",
            "Illegal instruction",
            "Floating point exception",
            "Bus error (core dumped)",
            "terminate called after throwing an instance of *",
            "caught SIGSEGV",
            "SIGSEGV: segmentation violation",
            "Unhandled exception: page fault",
        ],
        unless: &[Fact::Stopped],
        weight: Weight::LastWords,
        sentence: "The program, or a process of it, crashed.",
        source: "bash 5.2 and dash 0.5 (siglist), Chromium stack_trace_posix.cc, OpenJDK 17 hs_err, glibc 2.36 malloc, libstdc++ 12",
        ..CRASHED
    },
    Rule {
        name: "stopped-by-user",
        cause: Cause::StoppedByUser,
        weight: Weight::Always,
        needs: &[Fact::StoppedByUser],
        confidence: Confidence::Certain,
        sentence: "The program was stopped by a user.",
        advice: "Nothing is wrong. The task's history says who asked, and each step of the stop.",
        source: "deskd's own record",
        ..BLANK
    },
    Rule {
        name: "stopped-by-deskd",
        cause: Cause::StoppedByDeskd,
        weight: Weight::Always,
        needs: &[Fact::StoppedByDeskd],
        confidence: Confidence::Certain,
        sentence: "The program was stopped by the desktop's supervisor.",
        advice: "The task's history says why: the desktop ends, or the program took no SIGTERM until its grace was over \
                 (`[stop]` in deskd's configuration).",
        source: "deskd's own record",
        ..BLANK
    },
    Rule {
        name: "stopped-by-node",
        cause: Cause::StoppedByNode,
        weight: Weight::Always,
        needs: &[Fact::StoppedByNode],
        confidence: Confidence::Certain,
        sentence: "The program was stopped by the machine it ran on.",
        advice: "`kubectl describe node` and `kubectl get events` say why: a drain, a shutdown, a preemption by a more important pod.",
        source: "deskd's own record, Kubernetes: node shutdown, preemption, drain",
        ..BLANK
    },
    Rule {
        name: "stopped-by-node-said",
        cause: Cause::StoppedByNode,
        any: &[
            "Pod was terminated in response to imminent node shutdown",
            "Node is shutting down",
            "NodeShutdown",
            "Preempted by *",
            "Preempted in order to admit critical pod",
            "PreemptionByScheduler",
            "TerminationByKubelet",
            "Stopping container *",
            "Evicted by node drain",
            "DeletionByTaintManager",
            "TaintManagerEviction",
        ],
        unless: &[Fact::Stopped],
        confidence: Confidence::Likely,
        sentence: "The program was stopped by the machine it ran on, or by Kubernetes.",
        advice: "`kubectl describe node` and `kubectl get events` say why: a drain, a shutdown, a preemption by a more important pod.",
        source: "kubelet 1.34 nodeshutdown and preemption, kube-scheduler 1.34 preemption, taint-eviction-controller",
        ..BLANK
    },
    Rule {
        name: "killed-by-nobody-known",
        cause: Cause::StoppedByNode,
        needs: &[Fact::Signal(9), Fact::NotOomKilled],
        unless: &[Fact::Stopped],
        confidence: Confidence::Likely,
        sentence: "The program was killed from outside: neither a user nor deskd asked for it, and memory was not the reason.",
        advice: "Look at the node: `kubectl get events`, `kubectl describe node`, `journalctl -u kubelet`. When deskd's container \
                 restarts without `shareProcessNamespace: true`, Kubernetes kills the ephemeral containers in it.",
        source: "signal(7) SIGKILL; Kubernetes 1.34, ephemeral containers of a restarted target (measured)",
        ..BLANK
    },
    Rule {
        name: "killed-though-small",
        cause: Cause::StoppedByNode,
        needs: &[Fact::Signal(9), Fact::UsedLittleMemory],
        unless: &[Fact::Stopped, Fact::OomKilled, Fact::ClusterSpoke],
        confidence: Confidence::Likely,
        sentence: "The program was killed from outside: neither a user nor deskd asked for it, and it used little memory.",
        advice: "Look at the node: `kubectl get events`, `kubectl describe node`, `journalctl -u kubelet`, and at who may signal \
                 processes of the pod.",
        source: "signal(7) SIGKILL; getrusage(2)",
        ..BLANK
    },
    Rule {
        name: "terminated-by-nobody-known",
        cause: Cause::StoppedByNode,
        needs: &[Fact::Signal(15)],
        unless: &[Fact::Stopped, Fact::OomKilled],
        confidence: Confidence::Possible,
        sentence: "The program was asked to end from outside: neither a user nor deskd did it.",
        advice: "Look at the node: `kubectl get events`, `kubectl describe node`, `journalctl -u kubelet`. The pod may be deleted.",
        source: "signal(7) SIGTERM; Kubernetes pod termination",
        ..BLANK
    },
    Rule {
        name: "exited-at-once",
        cause: Cause::ExitedAtOnce,
        needs: &[Fact::ExitZero, Fact::NoWindow, Fact::AtOnce],
        unless: &[Fact::Stopped],
        confidence: Confidence::Likely,
        sentence: "The program ended at once, without an error and without ever showing a window.",
        advice: "It may have handed its work to a process that runs already (browsers and editors do: give them a profile of their \
                 own), wait for a terminal, or be a command that shows no window. Start it by hand in a terminal of the desktop.",
        source: "deskd's own look at windows",
        ..BLANK
    },
];
