//! How a program ended, as far as its log tells it: of a pasted log nothing else is known.

use super::evidence::{ClusterEvidence, Evidence};
use super::log::{self, Log};
use super::pattern::{Needle, find, needles};
use super::signal;
use super::unknown;
use crate::task::Exit;

/// Bytes of the log's end in which words about its end are looked for.
const LOOK_BYTES_MAX: usize = 64 << 10;
/// A complaint among so many last lines that say something may be why the log ends there.
pub(super) const LAST_LINES: usize = 4;
/// The same where what follows it says what to do about it.
const ADVISED_LINES: usize = 12;
/// What such advice has.
const ADVICE: [&str; 16] = [
    "http://",
    "https://",
    "install ",
    "please ",
    "try ",
    "make sure ",
    "check ",
    "ensure ",
    "see ",
    "read our ",
    "you need to ",
    "you must ",
    "you may ",
    "you can ",
    "if you ",
    "--help",
];
/// The code of a failure of which no code is told.
const SOME_FAILURE: i32 = 1;
/// Words of a line that tells how a helper ended: the program may go on.
const OF_CHILDREN: [&str; 3] = ["Child process exited", "g-spawn-exit-error", "dbus-launch"];
/// What comes before an exit code.
const CODES: [&str; 22] = [
    "exited with code ",
    "exited with code: ",
    "exited with status ",
    "exited with error code ",
    "exited with exit code ",
    "exited with ",
    "exit code ",
    "exit code:",
    "exit code is ",
    "exit code = ",
    "exit status ",
    "exit status: ",
    "exitcode: ",
    "exit_code=",
    "terminated with error ",
    "npm ERR! errno ",
    "npm error errno ",
    "return code ",
    "status code was: ",
    "exitcode\": ",
    "exit value ",
    "exited ",
];
/// Words of a program, or of who started it, that gave up.
const GIVEN_UP: [&str; 35] = [
    "panic: ",
    "DBusException: ",
    "GPU process exited unexpectedly",
    "GPU process launch failed",
    "-ERROR **",
    "core' dumped",
    "[FATAL ",
    "uncaught error",
    "CRITICAL: ",
    ": fatal: ",
    "throw err",
    "node:internal/",
    "internal/modules/cjs/",
    "core dumped",
    "terminate called",
    "Failed to launch the browser",
    "Failed to launch chrome",
    "ELIFECYCLE",
    "npm ERR!",
    "Traceback (most recent call last)",
    "panicked at",
    "Exception in thread \"main\"",
    "Unhandled exception",
    "Uncaught exception",
    "UnhandledPromiseRejection",
    "CrashLoopBackOff",
    "Back-off restarting failed",
    "gave up: ",
    "; not expected)",
    "Fatal server error",
    "fatal IO error",
    ":FATAL:",
    "X Error of failed request",
    "(Details: serial ",
    "s6-svscan: fatal",
];

/// The same, as they are looked for in every line.
static HANDLER: Needle<'_> = Needle::new(b"handler");
static OF_GPU: Needle<'_> = Needle::new(b"GPU process");
static CHILD_NEEDLES: [Needle<'_>; OF_CHILDREN.len()] = needles(&OF_CHILDREN);
static CODE_NEEDLES: [Needle<'_>; CODES.len()] = needles(&CODES);
static ADVICE_NEEDLES: [Needle<'_>; ADVICE.len()] = needles(&ADVICE);
static GIVEN_UP_NEEDLES: [Needle<'_>; GIVEN_UP.len()] = needles(&GIVEN_UP);

/// How it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    /// The text says that it failed, there, by this code.
    Failed { code: i32, at: usize },
    /// It ends with a complaint.
    Complaint { since: usize },
}

/// Nothing is known but a text.
pub(super) fn is_open(e: &Evidence) -> bool {
    e.exit.is_none()
        && e.had_window.is_none()
        && e.stopped_by.is_none()
        && e.reported.is_none()
        && e.cluster == ClusterEvidence::default()
}

/// What the end of the log tells.
pub(super) fn of(log: &Log<'_>) -> Option<Ending> {
    let text = log.tail();
    let mut end = text.trim_ascii_end().len();
    let floor = end.saturating_sub(LOOK_BYTES_MAX);
    let (mut failed, mut complaint) = (None::<(i32, usize)>, None);
    let (mut lines, mut advised) = (0, false);
    while end > 0 {
        let (from, line) = log::line_at(text, end);
        if !line.trim_ascii().is_empty() && !is_frame(line) {
            lines += 1;
            if let Some(code) = code_in(line) {
                match failed {
                    // A code of its own tells more than that it gave up.
                    Some((SOME_FAILURE, at)) if code > SOME_FAILURE => failed = Some((code, at)),
                    Some(_) => {}
                    None => failed = Some((code, from)),
                }
            }
            let most = if advised { ADVISED_LINES } else { LAST_LINES };
            if lines <= most && unknown::is_telling(line) {
                complaint = Some(from);
            }
            advised |=
                lines <= ADVISED_LINES && ADVICE_NEEDLES.iter().any(|it| it.find(line).is_some());
        }
        if from <= floor {
            break;
        }
        end = from - 1;
    }
    failed
        .map(|(code, at)| Ending::Failed { code, at })
        .or_else(|| complaint.map(|since| Ending::Complaint { since }))
}

/// A line of a stack trace, of a planner's context (Terraform's diagnostics), a rule without words, or make's word that a
/// command failed.
fn is_frame(line: &[u8]) -> bool {
    let line = line.trim_ascii_start();
    let line = line.strip_prefix("\u{2502}".as_bytes()).map_or(line, <[u8]>::trim_ascii_start);
    let starts =
        [&b"at "[..], b"File \"", b"from ", b"with module.", b"on ", b"make: ***", b"make["];
    !line.iter().any(u8::is_ascii_alphanumeric)
        || starts.iter().any(|start| line.starts_with(start))
}

/// The exit code of a failure that the line tells, as a shell does: 128 and the number of a signal.
fn code_in(line: &[u8]) -> Option<i32> {
    let has = |needle: &Needle<'_>| needle.find(line).is_some();
    let gave_up = || GIVEN_UP_NEEDLES.iter().any(has).then_some(SOME_FAILURE);
    if has(&HANDLER) || CHILD_NEEDLES.iter().any(has) {
        return None;
    }
    if let Some(code) = by_systemd(line) {
        return (code != 0).then_some(code);
    }
    // A child's code is not the program's.
    if has(&OF_GPU) {
        return gave_up();
    }
    if is_failed_assertion(line) {
        return Some(128 + 6);
    }
    if let Some(signal) = signal::of(line) {
        return Some(128 + signal);
    }
    let codes = CODE_NEEDLES.iter().filter_map(|it| Some(&line[it.find(line)? + it.len()..]));
    match codes.filter_map(number).next() {
        Some(0) => None,
        Some(code) => Some(code),
        None => gave_up(),
    }
}

/// glibc's assert(3); GTK, which goes on, has no full stop at the end (GLib 2.74 gmessages.c).
fn is_failed_assertion(line: &[u8]) -> bool {
    line.trim_ascii_end().ends_with(b"' failed.") && find(line, b": Assertion `").is_some()
}

/// The code of `code=exited, status=203/EXEC` and `code=killed, status=9/KILL`: systemd.exec(5),
/// "Process Exit Codes".
fn by_systemd(line: &[u8]) -> Option<i32> {
    let number = |words: &str| {
        let rest = &line[find(line, words.as_bytes())? + words.len()..];
        let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        std::str::from_utf8(&rest[..digits]).ok()?.parse::<i32>().ok().filter(|code| *code < 256)
    };
    let by_signal = || number("code=dumped, status=").or_else(|| number("code=killed, status="));
    number("code=exited, status=").or_else(|| by_signal().map(|signal| 128 + signal))
}

/// The number, of those that are exit codes, that the text begins with.
///
/// A negative one is a signal's number: Python's subprocess, and what is made with it (ROS).
fn number(text: &[u8]) -> Option<i32> {
    let text = text.trim_ascii_start();
    if let Some(text) = text.strip_prefix(b"-") {
        return number(text).filter(|signal| (1..=31).contains(signal)).map(|signal| 128 + signal);
    }
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let ends = !matches!(text.get(digits), Some(b':' | b'-' | b'/' | b'a'..=b'z'));
    let number: i32 = std::str::from_utf8(&text[..digits]).ok()?.parse().ok()?;
    (ends && number < 256).then_some(number)
}

impl Ending {
    /// The same in the text that another reading is of.
    pub(super) fn in_original(self, original: impl Fn(usize) -> usize) -> Self {
        match self {
            Self::Failed { code, at } => Self::Failed { code, at: original(at) },
            Self::Complaint { since } => Self::Complaint { since: original(since) },
        }
    }

    /// Where the complaint begins that may be why it ended.
    pub(super) fn complaint_since(self) -> Option<usize> {
        match self {
            Self::Failed { .. } => None,
            Self::Complaint { since } => Some(since),
        }
    }

    /// What is known then.
    pub(super) fn evidence(self) -> Evidence {
        let code = match self {
            Self::Failed { code, .. } => code,
            Self::Complaint { .. } => SOME_FAILURE,
        };
        Evidence { exit: Some(Exit::Code(code)), ..Evidence::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Option<Ending>) {
        assert_eq!(of(&Log::whole(text.as_bytes())), expected, "{text}");
    }

    #[test]
    fn codes_and_signals_are_told_in_many_ways() {
        let failed = |code| Some(Ending::Failed { code, at: 0 });
        check("exited: novnc (exit status 127; not expected)", failed(127));
        check("error Command failed with exit code 1.", failed(1));
        check("npm ERR! Exit status 126\nend", failed(126));
        check("10-nginx.sh: exited 1.", failed(1));
        check("exited: openbox (terminated by SIGABRT; not expected)", failed(134));
        check("[1]    5762 segmentation fault (core dumped)  ./editor", failed(139));
        check("app: a.cc:9: void f(): Assertion `p && \"no\"' failed.", failed(134));
        check("gtk_show: assertion `GTK_IS_WIDGET (w)' failed\na\nb\nc\nd", None);
        check("        Signal: 11 (SEGV)", failed(139));
        check("[viewer-3] process has died [pid 3, exit code -11, cmd /opt/viewer]", failed(139));
        check("exited with code 0", None);
        check("exited: app (exit status 0; expected)", None);
        check("a.service: Main process exited, code=exited, status=203/EXEC", failed(203));
        check("a.service: Main process exited, code=dumped, status=6/ABRT", failed(134));
        check("Process: 1 ExecStartPre=x (code=exited, status=0/SUCCESS)", None);
        check("INFO: Service exited with code 256 (by signal 11)", failed(139));
        check("Error spawning dbus-launch: Child process exited with code 1", None);
    }

    #[test]
    fn a_complaint_at_the_end_may_be_why_it_ended() {
        check("ok\nmkdir: cannot create directory 'x'", Some(Ending::Complaint { since: 3 }));
        check("mkdir: cannot create directory 'x'\na\nb\nc\nd\ne", None);
        check(
            "the server is missing\na\nb\nc\nInstall it.\nd\nif you use a container\n",
            Some(Ending::Complaint { since: 0 }),
        );
        check("all is well", None);
        check("", None);
    }
}
