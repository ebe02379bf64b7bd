//! What a rule may ask of the evidence: a closed set of questions with three answers, yes, no, and
//! not known.

use super::cause::Cause;
use super::evidence::{DevShmEvidence, Evidence, Usage};
use super::reason::Actor;
use crate::plan::EngineKind;
use crate::task::Exit;
use crate::text;
use crate::text::Text;

/// A `/dev/shm` of less than this many bytes is small for a browser: 64 MiB is what container
/// runtimes give (`containerd`, `pkg/oci/mounts.go`).
pub const DEV_SHM_SMALL_BYTES: u64 = 64 << 20;
/// A program that ended within this many milliseconds ended at once.
pub const AT_ONCE_MS: u64 = 5_000;
/// A program without a window after this many milliseconds hangs rather than starts.
pub const HANGS_MS: u64 = 5_000;

/// A program whose window was there this many milliseconds after its start had begun well.
pub const SHOWN_MS: u64 = 2_000;
/// Peak resident set, in KiB, of a program that used little memory.
/// Of the processes of a container the kernel kills the largest, and a desktop's container has
/// gigabytes.
pub const LITTLE_MEMORY_KIB: u64 = 256 << 10;

/// The code after those by which shells tell signals: 128 and the highest signal, 64.
const SIGNAL_CODES_END: i32 = 128 + 64 + 1;

/// Signals by which somebody asks a program to end: SIGHUP, SIGINT, SIGKILL, SIGTERM.
const ASKING: [i32; 4] = [1, 2, 9, 15];

/// A question to the evidence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fact {
    /// It ended badly, or ended without a window, or never started.
    Failed,
    /// It showed a window, and did not fail by itself: it ended with 0, was stopped, or runs.
    RanWell,
    /// [`Self::RanWell`], or it ended by itself with 0 and nothing speaks against it: nobody looked
    /// for a window, or it had none and was at work for longer than [`AT_ONCE_MS`]. Or it was
    /// stopped, and nobody looked for a window.
    WorkedWell,
    /// It ended by itself with 0, and either not at once as far as is known, or it needs no display:
    /// there is one that answers, and nobody looked for a window. Or it was stopped there.
    WorkedOn,
    /// The same where nobody looked for a window: a program that shows none, whose errors are what it
    /// speaks of (tests, a report of an old log).
    WorkedUnseen,
    /// It showed a window, lived for [`SHOWN_MS`], and ended with a code of its own, or was asked to end
    /// by a signal: what was missing at its start did not end it, and the code may be an answer (a
    /// dialog's, a player's).
    BeganWell,
    /// It ended by itself with a code that is its own, not one by which shells tell a signal.
    EndedByItself,
    /// No window of it was ever mapped.
    NoWindow,
    /// A window of it was mapped.
    HadWindow,
    /// It ended, somehow.
    Ended,
    /// It ended with success.
    ExitZero,
    /// It ended within [`AT_ONCE_MS`].
    AtOnce,
    /// It was there longer than [`HANGS_MS`].
    Lasted,
    /// It ended with this code (or, of a shell: by the signal that the code stands for).
    ExitCode(i32),
    /// It ended by this signal, or with the code 128 + this by which shells and container
    /// runtimes tell it.
    Signal(i32),
    /// It ended by SIGHUP or SIGINT: what started it went away, or interrupted it.
    Hangup,
    /// It runs in a pod of its own: no shared memory with the X server, the display over TCP.
    Remote,
    /// It runs in the pod of the X server.
    InPod,
    /// What was run is the image's own command, which starts the program.
    EntryPoint,
    /// A `DISPLAY` was given.
    DisplayGiven,
    /// No `DISPLAY` was given, or an empty one.
    DisplayNotGiven,
    /// The display answers on the way that `DISPLAY` means (unix socket or TCP).
    DisplayAnswersThere,
    /// It does not.
    DisplayAway,
    /// It does, and the X server is the one that was there when the program began.
    ServerStayed,
    /// The X server does not answer on its unix socket.
    DisplaySilent,
    /// The X server went away or was restarted meanwhile.
    DisplayLost,
    /// `DISPLAY` names a host: TCP, where there is no shared memory.
    DisplayOverTcp,
    /// Its cgroup had an OOM kill.
    OomKilled,
    /// It had none.
    NotOomKilled,
    /// It never had more than [`LITTLE_MEMORY_KIB`]: hardly what the kernel kills for memory.
    UsedLittleMemory,
    /// `/dev/shm` is smaller than [`DEV_SHM_SMALL_BYTES`], or nine tenths of it are used.
    DevShmScarce,
    /// Its command line has a limit of time in it.
    TimeLimited,
    /// Somebody or something asked deskd to stop it.
    Stopped,
    /// A person asked for its end.
    StoppedByUser,
    /// deskd ended it by itself: its shutdown, a SIGKILL after the grace.
    StoppedByDeskd,
    /// The machine or Kubernetes asked for its end.
    StoppedByNode,
    /// The API server does not answer.
    ApiAway,
    /// The pod's status has a reason of its own: its end is Kubernetes' doing.
    ClusterSpoke,
    /// The engine reported this cause.
    Reported(Cause),
}

impl Fact {
    /// Yes, no, or not known.
    #[must_use]
    pub fn holds(self, e: &Evidence) -> Option<bool> {
        match self {
            Self::Failed => failed(e),
            Self::RanWell => Some(ran_well(e)),
            Self::WorkedWell => Some(ran_well(e) || worked_well(e)),
            Self::WorkedOn => Some(worked_on(e)),
            Self::WorkedUnseen => Some(e.had_window.is_none() && worked_on(e) && worked_well(e)),
            Self::BeganWell => Some(began_well(e)),
            Self::EndedByItself => e.exit.as_ref().map(|_| ended_by_itself(e)),
            Self::NoWindow => e.had_window.map(|had| !had),
            Self::HadWindow => e.had_window,
            Self::Ended => Some(e.exit.is_some()),
            Self::ExitZero => e.exit.as_ref().map(|exit| exit.code() == Some(0)),
            Self::AtOnce => e.ran_ms.map(|ms| ms <= AT_ONCE_MS),
            Self::Lasted => e.ran_ms.map(|ms| ms >= HANGS_MS),
            Self::ExitCode(code) => e.exit.as_ref().map(|exit| exit.code() == Some(code)),
            Self::Signal(number) => e.exit.as_ref().map(|exit| by_signal(exit, number)),
            Self::Hangup => e.exit.as_ref().map(|exit| by_signal(exit, 1) || by_signal(exit, 2)),
            Self::Remote => e.engine.map(|engine| engine == EngineKind::PodApplication),
            Self::InPod => e.engine.map(|engine| engine != EngineKind::PodApplication),
            Self::EntryPoint => Some(e.entry_point),
            Self::DisplayGiven => display_given(e),
            Self::DisplayNotGiven => display_given(e).map(|given| !given),
            Self::DisplayAnswersThere => match over_tcp(e) {
                Some(true) => e.display.answers_on_tcp,
                Some(false) => e.display.answers,
                None => None,
            },
            Self::DisplayAway => Self::DisplayAnswersThere.holds(e).map(|answers| !answers),
            Self::ServerStayed => {
                Self::DisplayAnswersThere.holds(e).map(|answers| answers && !e.display.lost)
            }
            Self::DisplaySilent => e.display.answers.map(|answers| !answers),
            Self::DisplayLost => Some(display_lost(e)),
            Self::DisplayOverTcp => over_tcp(e),
            Self::OomKilled => oom_killed(e),
            Self::NotOomKilled => oom_killed(e).map(|killed| !killed),
            Self::UsedLittleMemory => {
                max_rss_kib(e).map(|used| (1..=LITTLE_MEMORY_KIB).contains(&used))
            }
            Self::DevShmScarce => e.dev_shm.and_then(scarce),
            Self::TimeLimited => (!e.command.is_empty()).then(|| time_limited(&e.command)),
            Self::Stopped => Some(e.stopped_by.is_some() || e.killed_by_deskd),
            Self::StoppedByUser => {
                Some(matches!(e.stopped_by, Some(Actor::User(_) | Actor::PodDeleter)))
            }
            Self::StoppedByDeskd => Some(match e.stopped_by {
                Some(Actor::Deskd | Actor::Shutdown) => true,
                Some(_) => false,
                None => e.killed_by_deskd,
            }),
            Self::StoppedByNode => Some(e.stopped_by == Some(Actor::Node)),
            Self::ApiAway => Some(e.cluster.api_away),
            Self::ClusterSpoke => Some(e.cluster.pod_reason.is_some()),
            Self::Reported(cause) => Some(e.reported.or_else(|| of_pod(e)) == Some(cause)),
        }
    }

    /// The same as a line of proof: where in the evidence, and what it says. Nothing for what is
    /// no proof by itself.
    #[must_use]
    pub fn shown(self, e: &Evidence) -> Option<(&'static str, Text)> {
        let exit = || e.exit.as_ref().map(|exit| ("exit", exit.sentence()));
        match self {
            Self::ExitZero | Self::ExitCode(_) | Self::Signal(_) | Self::Hangup => exit(),
            Self::NoWindow => Some(("had_window", text!("it never showed a window"))),
            Self::AtOnce | Self::Lasted => {
                e.ran_ms.map(|ms| ("ran_ms", text!("it ran for {ms} ms", ms)))
            }
            Self::OomKilled => match &e.cluster.container_reason {
                Some(reason) if e.oom_killed != Some(true) => {
                    Some(("cluster.container_reason", Text::words(reason)))
                }
                _ => Some(("oom_killed", text!("the kernel killed a process of its container"))),
            },
            Self::UsedLittleMemory => max_rss_kib(e)
                .map(|used| ("rusage", text!("at most {used} KiB of memory were in use", used))),
            Self::DevShmScarce => e.dev_shm.and_then(|shm| {
                let size = shm.size?;
                let text = match shm.used {
                    Some(used) => text!("/dev/shm: {used} of {size} bytes are used", used, size),
                    None => text!("/dev/shm has {size} bytes", size),
                };
                Some(("dev_shm", text))
            }),
            Self::DisplayLost => {
                Some(("display.lost", text!("the X server was restarted or went away meanwhile")))
            }
            Self::DisplaySilent => {
                Some(("display.answers", text!("the X server does not answer on its unix socket")))
            }
            Self::DisplayAway => {
                Some(("display.answers", text!("the display it was given does not answer deskd")))
            }
            Self::ServerStayed => {
                Some(("display.answers", text!("the X server answers, and was not restarted")))
            }
            Self::DisplayAnswersThere => {
                Some(("display.answers", text!("the desktop's X server answers deskd")))
            }
            Self::DisplayNotGiven => Some(("env", text!("DISPLAY is not set"))),
            Self::Stopped | Self::StoppedByUser | Self::StoppedByDeskd | Self::StoppedByNode => {
                match &e.stopped_by {
                    Some(who) => Some(("stopped_by", who.text())),
                    None => e
                        .killed_by_deskd
                        .then(|| ("killed_by_deskd", text!("it took no SIGTERM: SIGKILL"))),
                }
            }
            Self::Reported(cause) => Some(("reported", Text::words(cause.as_str()))),
            Self::ApiAway => {
                Some(("cluster.api_away", text!("the Kubernetes API does not answer")))
            }
            _ => None,
        }
    }
}

fn failed(e: &Evidence) -> Option<bool> {
    if ran_well(e) {
        return Some(false);
    }
    if cluster_failed(e) {
        return Some(true);
    }
    match (&e.exit, e.had_window) {
        (Some(exit), _) if exit.is_failure() => Some(e.stopped_by.is_none()),
        (Some(_), Some(false)) => Some(e.ran_ms.is_none_or(|ms| ms <= AT_ONCE_MS)),
        (Some(_), _) => Some(false),
        (None, Some(false)) => e.ran_ms.map(|ms| ms >= HANGS_MS),
        (None, _) => None,
    }
}

/// Kubernetes says that it did not start, or why it ended; `Completed` is its word for code 0,
/// `Error` for every other one.
fn cluster_failed(e: &Evidence) -> bool {
    let c = &e.cluster;
    let told = c.container_reason.as_deref();
    let told = told.is_some_and(|reason| !matches!(reason, "Completed" | "Error"));
    told || c.pod_reason.is_some() || c.refusal.is_some() || c.unscheduled.is_some() || c.api_away
}

fn ran_well(e: &Evidence) -> bool {
    let ended_well = e.exit.as_ref().is_none_or(|exit| !exit.is_failure());
    e.had_window == Some(true) && (ended_well || e.stopped_by.is_some()) && !display_lost(e)
}

/// Without a window to go by.
fn worked_well(e: &Evidence) -> bool {
    let by_itself = (ended_with_0(e) || served(e)) && !e.display.lost;
    let nothing_against = match e.had_window {
        None => e.display.answers != Some(false),
        Some(false) => e.ran_ms.is_some_and(|ms| ms > AT_ONCE_MS),
        Some(true) => true,
    };
    by_itself && nothing_against && !cluster_failed(e) && oom_killed(e) != Some(true)
}

fn ended_with_0(e: &Evidence) -> bool {
    code(e) == Some(0) && ended_by_itself(e)
}

fn worked_on(e: &Evidence) -> bool {
    let at_once = e.ran_ms.is_some_and(|ms| ms <= AT_ONCE_MS);
    let no_need = e.had_window.is_none() && e.display.answers == Some(true);
    ended_with_0(e) && (!at_once || no_need) || served(e)
}

/// It was stopped where nobody looked for a window and the display, if it has one, answers: a
/// program of the console, which was at work until somebody had enough of it.
fn served(e: &Evidence) -> bool {
    let stopped = e.stopped_by.is_some() || e.killed_by_deskd;
    stopped && e.exit.is_some() && e.had_window.is_none() && e.display.answers != Some(false)
}

fn began_well(e: &Evidence) -> bool {
    let shown = e.had_window == Some(true) && e.ran_ms.is_some_and(|ms| ms >= SHOWN_MS);
    // Of a shell in a window 126 and 127 are its last command's.
    let command = matches!(code(e), Some(126 | 127)) && e.stopped_by.is_none();
    // What was asked to end from outside did not end for what it complained of at its start.
    let asked = e.exit.as_ref().is_some_and(|exit| ASKING.iter().any(|n| by_signal(exit, *n)));
    shown && (ended_by_itself(e) || command || asked) && !e.display.lost
}

/// The exit code. Of an entry point it may be that of `tee`: rules look at what was printed as well.
fn code(e: &Evidence) -> Option<i32> {
    e.exit.as_ref().and_then(Exit::code)
}

/// `timeout` (124), shells that could not start it (126, 127) and signals are not its own.
fn ended_by_itself(e: &Evidence) -> bool {
    let stopped = e.stopped_by.is_some() || e.killed_by_deskd;
    let own = |code: i32| !(124..SIGNAL_CODES_END).contains(&code);
    !stopped && code(e).is_some_and(own)
}

fn by_signal(exit: &Exit, number: i32) -> bool {
    match exit {
        Exit::Signal { number: by, .. } => *by == number,
        Exit::Code(code) | Exit::EntryPoint(code) => *code == 128 + number,
        Exit::Lost(_) => false,
    }
}

/// The value of `DISPLAY`: as noted, or in the environment that is known.
fn display(e: &Evidence) -> Option<&str> {
    let in_env = || e.env.iter().find(|(name, _)| name == "DISPLAY").map(|(_, value)| &**value);
    e.display.given.as_deref().or_else(in_env)
}

/// It was seen to go, or was there at the launch and is not any more.
fn display_lost(e: &Evidence) -> bool {
    let d = &e.display;
    d.lost || (d.answered_at_launch == Some(true) && d.answers == Some(false))
}

/// The pod's status names it, in a word of Kubernetes' API (`reason`).
fn of_pod(e: &Evidence) -> Option<Cause> {
    (e.cluster.pod_reason.as_deref() == Some("Evicted")).then_some(Cause::Evicted)
}

fn max_rss_kib(e: &Evidence) -> Option<u64> {
    e.rusage.and_then(|used| used.max_rss_kib)
}

/// Small, or nine tenths of it in use.
fn scarce(shm: DevShmEvidence) -> Option<bool> {
    let size = shm.size?;
    if size < DEV_SHM_SMALL_BYTES {
        return Some(true);
    }
    shm.used.map(|used| is_nearly_full(Usage { size, used }))
}

/// Nine tenths of it are in use.
#[must_use]
pub fn is_nearly_full(Usage { size, used }: Usage) -> bool {
    used >= size - size / 10
}

fn display_given(e: &Evidence) -> Option<bool> {
    match display(e) {
        Some(value) => Some(!value.is_empty()),
        None if e.env.is_empty() => None,
        None => Some(false),
    }
}

/// `host:0` goes over TCP; `:0` and `unix:0` do not (X(7), DISPLAY NAMES).
fn over_tcp(e: &Evidence) -> Option<bool> {
    match display(e).filter(|value| !value.is_empty()) {
        Some(value) => {
            let host = value.rsplit_once(':').map_or("", |(host, _)| host);
            Some(!host.is_empty() && host != "unix" && !host.starts_with("unix/"))
        }
        None => e.engine.map(|engine| engine == EngineKind::PodApplication),
    }
}

/// Container runtimes tell an OOM kill in their cgroup as the reason; another reason denies it.
fn oom_killed(e: &Evidence) -> Option<bool> {
    match e.cluster.container_reason.as_deref() {
        Some("OOMKilled") => Some(true),
        Some("Error" | "Completed") => e.oom_killed.or(Some(false)),
        _ => e.oom_killed,
    }
}

/// `timeout 5 app`, `sh -c "ulimit -t 60; exec app"`, `prlimit --cpu=60 app`.
fn time_limited(command: &[String]) -> bool {
    let program = |word: &str| word == "timeout" || word.ends_with("/timeout");
    let in_script = |word: &str| {
        let words = ["ulimit -t", "ulimit -St", "ulimit -Ht", "--cpu=", "timeout "];
        words.iter().any(|limit| word.contains(limit))
    };
    command.iter().any(|word| program(word) || in_script(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_display_with_a_host_goes_over_tcp() {
        for (value, tcp) in
            [(":0", false), ("unix:0", false), ("10.0.0.5:0", true), ("[::1]:0", true)]
        {
            let mut e = Evidence::default();
            e.display.given = Some(value.into());
            assert_eq!(Fact::DisplayOverTcp.holds(&e), Some(tcp), "{value}");
        }
    }

    #[test]
    fn what_is_not_known_is_neither_yes_nor_no() {
        let nothing = Evidence::default();
        for fact in
            [Fact::Failed, Fact::NoWindow, Fact::Remote, Fact::Signal(9), Fact::DisplayGiven]
        {
            assert_eq!(fact.holds(&nothing), None, "{fact:?}");
        }
    }

    #[test]
    fn a_program_with_a_window_that_was_stopped_ran_well() {
        let e = Evidence {
            had_window: Some(true),
            exit: Some(Exit::Code(143)),
            stopped_by: Some(Actor::a_user()),
            ..Evidence::default()
        };
        assert_eq!(Fact::RanWell.holds(&e), Some(true));
        assert_eq!(Fact::Failed.holds(&e), Some(false));
    }
}
