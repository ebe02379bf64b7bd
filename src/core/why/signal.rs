//! That a program was ended by a signal, as a line tells it: by the words of shells and supervisors
//! (siglist, signal(7)), by a name, or by the number behind words such as `crashed with signal`.

use super::pattern::{Needle, needles};

/// Words, and the signal that they mean.
const WORDS: [(&str, i32); 36] = [
    ("SIGSEGV", 11),
    ("SIGABRT", 6),
    ("SIGBUS", 7),
    ("SIGILL", 4),
    ("SIGFPE", 8),
    ("SIGTRAP", 5),
    ("SIGSYS", 31),
    ("Segmentation fault", 11),
    ("Segment Fault (", 11),
    ("segfault at ", 11),
    ("Memory fault", 11),
    ("Aborted (core", 6),
    ("Bus error (core", 7),
    ("Bad system call (core", 31),
    ("Illegal instruction (core", 4),
    ("Floating point exception (core", 8),
    ("Trace/breakpoint trap", 5),
    ("signal: aborted", 6),
    ("signal: killed", 9),
    ("signal: segmentation", 11),
    ("got signal SIGKILL", 9),
    ("signal SIGKILL", 9),
    ("signal \"SIGKILL\"", 9),
    ("Signals.SIGKILL", 9),
    ("was sent SIGKILL", 9),
    ("Killed signal terminated program", 9),
    ("compiler error: Killed", 9),
    ("munmap_chunk(): invalid", 6),
    ("realloc(): invalid", 6),
    ("free(): invalid", 6),
    ("free(): double", 6),
    ("malloc(): ", 6),
    ("double free or corruption", 6),
    ("corrupted double-linked", 6),
    ("corrupted size vs", 6),
    ("stack smashing detected", 6),
];
/// What is on a line that tells of an end by a number.
const ENDS: [&str; 14] = [
    "exited",
    "exit ",
    "terminated",
    "killed",
    "died",
    "crashed",
    "caught",
    "received",
    "core dumped",
    "fatal",
    "uncaught",
    "by signal",
    "segmentation",
    "abort",
];
/// Signals of a crash, their names, and what is told of them in one form.
const CRASHES: [(i32, &str, &str); 7] = [
    (4, "ILL", "[ended by SIGILL]"),
    (5, "TRAP", "[ended by SIGTRAP]"),
    (6, "ABRT", "[ended by SIGABRT]"),
    (7, "BUS", "[ended by SIGBUS]"),
    (8, "FPE", "[ended by SIGFPE]"),
    (11, "SEGV", "[ended by SIGSEGV]"),
    (31, "SYS", "[ended by SIGSYS]"),
];

static WORD_NEEDLES: [Needle<'_>; WORDS.len()] = needles(&first_of(&WORDS));
static END_NEEDLES: [Needle<'_>; ENDS.len()] = needles(&ENDS);
static CODE: Needle<'_> = Needle::new(b"exit code ");
static SIGNAL: Needle<'_> = Needle::new(b"signal");

const fn first_of<const N: usize>(pairs: &[(&'static str, i32); N]) -> [&'static str; N] {
    let mut all = [""; N];
    let mut place = 0;
    while place < N {
        all[place] = pairs[place].0;
        place += 1;
    }
    all
}

/// The signal that the line tells of.
pub(super) fn of(line: &[u8]) -> Option<i32> {
    let by_words = || {
        let place = WORD_NEEDLES.iter().position(|words| words.find(line).is_some())?;
        Some(WORDS[place].1)
    };
    by_words().or_else(|| by_number(line))
}

/// Whether any line of the text can tell of a signal by its number.
pub(super) fn may_tell(text: &[u8]) -> bool {
    SIGNAL.find(text).is_some() || CODE.find(text).is_some()
}

/// A crash that the line tells of by its number, in one form: rules read that.
pub(super) fn told(line: &[u8]) -> Option<&'static str> {
    let number = by_number(line).or_else(|| by_code(line))?;
    CRASHES.iter().find(|(it, ..)| *it == number).map(|(.., told)| *told)
}

/// The number of a crash behind the word `signal`, on a line that tells of an end or has the signal's name.
fn by_number(line: &[u8]) -> Option<i32> {
    let rest = &line[SIGNAL.find(line)? + SIGNAL.len()..];
    let between = rest.iter().take_while(|byte| b" :(=#".contains(byte)).count();
    let digits = rest[between..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    let number: i32 = std::str::from_utf8(&rest[between..between + digits]).ok()?.parse().ok()?;
    let (_, name, _) = CRASHES.iter().find(|(it, ..)| *it == number)?;
    let named = || memchr::memmem::find(line, name.as_bytes()).is_some();
    let ends = END_NEEDLES.iter().any(|words| words.find(line).is_some());
    ((1..=3).contains(&between) && (ends || named())).then_some(number)
}

/// The same by a code as shells tell it, of a program that others started.
fn by_code(line: &[u8]) -> Option<i32> {
    let rest = &line[CODE.find(line)? + CODE.len()..];
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let code: i32 = std::str::from_utf8(&rest[..digits]).ok()?.parse().ok()?;
    Some(code - 128).filter(|number| CRASHES.iter().any(|(it, ..)| it == number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_is_told_by_words_names_and_numbers() {
        for (line, number) in [
            ("zsh: segmentation fault  ./app", 11),
            ("app crashed with signal 7", 7),
            ("Fatal exception: Signal 11. Stack trace:", 11),
            ("        Signal: 6 (ABRT)", 6),
            ("signal (11): Segmentation", 11),
            ("INFO: Service exited with code 256 (by signal 11)", 11),
            ("qemu: uncaught target signal 4 (Illegal instruction) - core dumped", 4),
            ("error Command failed with signal \"SIGKILL\".", 9),
        ] {
            assert_eq!(of(line.as_bytes()), Some(number), "{line}");
        }
        for line in
            ["wifi: signal 5 dBm", "received signal 15", "signal11 killed", "signalled 6 times"]
        {
            assert_eq!(of(line.as_bytes()), None, "{line}");
        }
        assert_eq!(told(b"exited on signal 8"), Some("[ended by SIGFPE]"));
    }
}
