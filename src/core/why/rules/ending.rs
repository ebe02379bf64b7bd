//! Ending: crashed, stopped, ended at once.

use super::display_words::CLOSED;
use crate::why::cause::Cause;
use crate::why::fact::Fact;
use crate::why::rule::{BLANK, Confidence, Rule, Weight};

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
            "Received signal 4 ILL*",
            "A fatal error has been detected by the Java Runtime Environment",
            "double free or corruption",
            "double free detected",
            "free(): invalid",
            "malloc(): *corrupt",
            "malloc(): invalid",
            "corrupted size vs. prev_size",
            "corrupted double-linked list",
            "malloc_consolidate(): *",
            "stack smashing detected",
            "buffer overflow detected",
            "pure virtual method called",
            "Aborted (core dumped)",
            "line *: * Aborted *",
            "line *: * Bus error *",
            "Trace/breakpoint trap",
            "Illegal instruction",
            "Floating point exception",
            "Bus error (core dumped)",
            "terminate called after throwing an instance of *",
            "terminate called without an active exception",
            "caught SIGSEGV",
            "Got a SIGSEGV while executing",
            "SIGSEGV: segmentation violation",
            "unexpected signal during runtime execution",
            "AddressSanitizer:DEADLYSIGNAL",
            "Unhandled exception: page fault",
            "Unhandled page fault on *",
            "Fatal Python error: *",
            "KCrash: Application '*' crashing",
            "KCrash: crashing*",
            "killed by signal: Segmentation fault",
            "killed by SIGSEGV",
            "signal SIGSEGV*",
        ],
        never: &["handler", "0 errors", "no errors"],
        unless: &[Fact::Stopped],
        weight: Weight::LastLine,
        sentence: "The program, or a process of it, crashed.",
        source: "bash 5.2 and dash 0.5 (siglist), Chromium stack_trace_posix.cc, OpenJDK 17 hs_err, glibc 2.36 malloc, libstdc++ 12, \
                 CPython 3.11 faulthandler, Go 1.22, wine 8, KCrash 5.103",
        ..CRASHED
    },
    Rule {
        name: "crash-own",
        any: &[
            "thread '*' panicked at*",
            "panic: runtime error: *",
            "ExceptionHandler::GenerateDump*",
            "assertion failed: *",
            ": Assertion `*' failed",
            "Unhandled exception. System.*",
            "FATAL EXCEPTION: *",
            "X Error of failed request:*",
            "received an X Window System error",
            "X Error: Bad*",
        ],
        weight: Weight::Noise,
        confidence: Confidence::Possible,
        sentence: "The program met a fault of its own and ended.",
        source: "Rust 1.80 std panic, Go 1.22, breakpad, glibc assert(3), GLib 2.74 gtestutils.c, .NET 8, libX11 1.8, GDK",
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
        name: "connection-ended-by-a-user",
        cause: Cause::StoppedByUser,
        any: CLOSED,
        weight: Weight::LastWords,
        needs: &[Fact::HadWindow, Fact::ServerStayed],
        unless: &[Fact::Stopped],
        confidence: Confidence::Likely,
        sentence: "The program's connection to the X server was closed while the X server stayed: its window was killed by force.",
        advice: "Nothing is wrong with the desktop. A window manager or `xkill` does it, when a window does not react or knows no \
                 WM_DELETE_WINDOW.",
        source: "X11 protocol, KillClient; libX11 1.8 XlibInt.c",
        ..BLANK
    },
    Rule {
        name: "closed-by-force-perhaps",
        cause: Cause::StoppedByUser,
        needs: &[Fact::BeganWell, Fact::ServerStayed, Fact::ExitCode(1)],
        unless: &[Fact::Stopped],
        confidence: Confidence::Possible,
        sentence: "The program showed a window and ended with code 1: most often its window was killed by force, or the code is its \
                   answer (a dialog that was closed).",
        advice: "Nothing is wrong with the desktop. A window manager or `xkill` does it, when a window does not react or knows no \
                 WM_DELETE_WINDOW.",
        source: "X11 protocol, KillClient: GTK 3, java.desktop 17 and gvim 9 end with code 1 and without a word (measured)",
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
            "failed liveness probe*",
            "failed startup probe*",
            "rejected as the node is shutting down",
            "Node is shutting, evicting pods",
            "preempting to accommodate a higher priority pod",
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
        name: "terminated-as-its-code-says",
        cause: Cause::StoppedByNode,
        needs: &[Fact::ExitCode(15), Fact::HadWindow],
        unless: &[Fact::Stopped, Fact::OomKilled],
        confidence: Confidence::Possible,
        sentence: "The program was asked to end from outside: neither a user nor deskd did it.",
        advice: "Look at the node: `kubectl get events`, `kubectl describe node`, `journalctl -u kubelet`. The pod may be deleted.",
        source: "programs that catch SIGTERM and exit with its number (xterm 379, Emacs 28)",
        ..BLANK
    },
    Rule {
        name: "quit-by-a-signal",
        cause: Cause::StoppedByNode,
        any: &["Exiting... (Quit)"],
        weight: Weight::Always,
        needs: &[Fact::ExitCode(4)],
        unless: &[Fact::Stopped, Fact::OomKilled],
        confidence: Confidence::Possible,
        sentence: "The program was asked to end from outside: neither a user nor deskd did it.",
        advice: "Look at the node: `kubectl get events`, `kubectl describe node`, `journalctl -u kubelet`. The pod may be deleted.",
        source: "mpv 0.35 manual, exit codes: 4 is a signal",
        ..BLANK
    },
    Rule {
        name: "interrupted-by-nobody-known",
        cause: Cause::StoppedByNode,
        needs: &[Fact::Hangup],
        unless: &[Fact::Stopped, Fact::OomKilled],
        confidence: Confidence::Possible,
        sentence: "The program was interrupted from outside: neither a user nor deskd did it.",
        advice: "Something in the pod sent it SIGHUP or SIGINT: a shell or terminal that started it and ended, most often. Start it by \
                 `setsid` or `nohup` there.",
        source: "signal(7) SIGHUP, SIGINT",
        ..BLANK
    },
    Rule {
        name: "handed-over",
        cause: Cause::ExitedAtOnce,
        any: &[
            "Opening in existing browser session",
            "is already running, but is not responding",
            "handing over to the running instance",
            "Already running, ",
            "another instance is already running",
            "already an instance running",
        ],
        needs: &[Fact::NoWindow],
        weight: Weight::Always,
        unless: &[Fact::Stopped],
        confidence: Confidence::Certain,
        sentence: "The program runs already, and this start gave its work to it and ended.",
        advice: "Look for its window, or end the other one. For a second one give it a profile of its own (Chromium `--user-data-dir`, \
                 Firefox `--no-remote -P`, LibreOffice `-env:UserInstallation`).",
        source: "Chromium process_singleton_posix.cc, Firefox 128 nsAppRunner.cpp",
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
