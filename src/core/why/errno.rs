//! Errors of system calls by number or name (`errno 28`, `err=EACCES`, `os error 24`): told once more at the
//! line's end in the C library's words, which is what rules read.

use memchr::memmem;

use super::pattern::find;

/// What comes before a number.
const BEFORE: [&str; 4] = ["errno", "os error ", "error code: ", "oserror("];
/// Numbers on Linux, names, and words (errno(3), glibc 2.36).
const ERRORS: [(u32, &str, &str); 16] = [
    (1, "EPERM", "Operation not permitted"),
    (2, "ENOENT", "No such file or directory"),
    (8, "ENOEXEC", "Exec format error"),
    (11, "EAGAIN", "Resource temporarily unavailable"),
    (12, "ENOMEM", "Cannot allocate memory"),
    (13, "EACCES", "Permission denied"),
    (13, "EACCESS", "Permission denied"),
    (23, "ENFILE", "Too many open files in system"),
    (24, "EMFILE", "Too many open files"),
    (28, "ENOSPC", "No space left on device"),
    (30, "EROFS", "Read-only file system"),
    (32, "EPIPE", "Broken pipe"),
    (98, "EADDRINUSE", "Address already in use"),
    (111, "ECONNREFUSED", "Connection refused"),
    (113, "EHOSTUNREACH", "No route to host"),
    (122, "EDQUOT", "Disk quota exceeded"),
];

/// Whether any line of the text can tell of an error so: most texts have none.
pub(super) fn may_tell(text: &[u8]) -> bool {
    let named = || ERRORS.iter().any(|(_, name, _)| memmem::find(text, name.as_bytes()).is_some());
    BEFORE.iter().any(|word| find(text, word.as_bytes()).is_some()) || named()
}

/// The words for the error that the line tells without them.
pub(super) fn told(line: &[u8]) -> Option<&'static str> {
    let by_name = || ERRORS.iter().find(|(_, name, _)| is_word(line, name));
    let by_number = || {
        let number = BEFORE.iter().find_map(|word| number_after(line, word))?;
        ERRORS.iter().find(|(known, ..)| *known == number)
    };
    let (.., words) = by_name().or_else(by_number)?;
    find(line, words.as_bytes()).is_none().then_some(*words)
}

fn is_word(line: &[u8], name: &str) -> bool {
    memmem::find_iter(line, name).any(|at| {
        let is_part =
            |byte: Option<&u8>| byte.is_some_and(|b| b.is_ascii_alphanumeric() || *b == b'_');
        !is_part(at.checked_sub(1).and_then(|before| line.get(before)))
            && !is_part(line.get(at + name.len()))
    })
}

/// The number behind this word, with a sign or bracket at most between them.
fn number_after(line: &[u8], word: &str) -> Option<u32> {
    let rest = &line[find(line, word.as_bytes())? + word.len()..];
    let between = rest.iter().take_while(|byte| b" :=([-".contains(byte)).count();
    let digits = rest[between..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    let number = rest.get(between..between + digits).filter(|_| between <= 3)?;
    std::str::from_utf8(number).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(line: &str, words: Option<&str>) {
        assert_eq!(told(line.as_bytes()), words, "{line}");
        assert!(words.is_none() || may_tell(line.as_bytes()), "{line}");
    }

    #[test]
    fn an_error_is_told_by_number_or_name() {
        check("Unable to add watch for path /data, errno 28", Some("No space left on device"));
        check("open failed (errno = 13)", Some("Permission denied"));
        check("bind: errno: -98", Some("Address already in use"));
        check("Err { code: EACCES }", Some("Permission denied"));
        check("watcher failed (os error 24)", Some("Too many open files"));
    }

    #[test]
    fn what_has_the_words_or_is_no_error_is_left_alone() {
        check("[Errno 13] Permission denied: '/data'", None);
        check("errno 0", None);
        check("errno is 13 lines long", None);
        check("the package ENOENTRY", None);
    }
}
