//! Time: limits that an application's own start gives it. Those of Kubernetes are in `kubernetes.rs`.

use crate::why::cause::Cause;
use crate::why::fact::Fact;
use crate::why::rule::{BLANK, Confidence, Rule, Weight};

const TIME_OVER: Rule = Rule {
    cause: Cause::DeadlineExceeded,
    confidence: Confidence::Likely,
    sentence: "The application's time was over: its own start gives it a limit.",
    advice: "Raise or remove the limit in the application's command (`timeout`, `ulimit -t`, `prlimit --cpu`; labels `oc.path`, \
             `oc.args`).",
    ..BLANK
};

pub(super) const RULES: &[Rule] = &[
    Rule {
        name: "timeout-over",
        cause: Cause::DeadlineExceeded,
        needs: &[Fact::ExitCode(124)],
        unless: &[Fact::Stopped],
        confidence: Confidence::Possible,
        sentence: "The application's time was over: its own start gives it a limit (exit code 124 of `timeout`).",
        advice: "Raise or remove the time that `timeout` has in the application's command (labels `oc.path`, `oc.args`).",
        source: "timeout(1) of coreutils 9.1",
        ..BLANK
    },
    Rule {
        name: "time-over-by-force",
        needs: &[Fact::TimeLimited, Fact::Signal(9)],
        unless: &[Fact::Stopped, Fact::OomKilled],
        source: "timeout(1) -s KILL and -k of coreutils 9.1; setrlimit(2) RLIMIT_CPU: SIGKILL at the hard limit",
        ..TIME_OVER
    },
    Rule {
        name: "time-over-by-request",
        needs: &[Fact::TimeLimited, Fact::Signal(15)],
        unless: &[Fact::Stopped],
        source: "timeout(1) --preserve-status of coreutils 9.1",
        ..TIME_OVER
    },
    Rule {
        name: "cpu-time-over",
        needs: &[Fact::Signal(24)],
        unless: &[Fact::Stopped],
        confidence: Confidence::Certain,
        source: "signal(7) SIGXCPU, setrlimit(2) RLIMIT_CPU",
        ..TIME_OVER
    },
    Rule {
        name: "cpu-time-over-said",
        any: &["CPU time limit exceeded", "Cputime limit exceeded"],
        weight: Weight::LastWords,
        unless: &[Fact::Stopped],
        source: "bash 5.2, dash 0.5, zsh 5.9: SIGXCPU of a child",
        ..TIME_OVER
    },
];
