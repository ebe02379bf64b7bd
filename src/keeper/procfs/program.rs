//! Which process is the program that an entry point starts.

use std::path::Path;

use super::{read_arguments, read_children, read_exe};

/// Processes below an entry point that are looked at.
const DESCENDANTS_MAX: usize = 256;
/// Programs that run a script, by the beginning of their file's name.
const INTERPRETERS: [&str; 9] =
    ["sh", "bash", "dash", "ash", "busybox", "python", "perl", "ruby", "node"];

/// The process that is `program`, a path or a name, among `first` and what descends from it.
#[must_use]
pub fn find_program(first: u32, program: &str) -> Option<u32> {
    descendants(first).into_iter().find(|pid| {
        let exe = read_exe(*pid);
        is_program(exe.as_deref(), &read_arguments(*pid), program)
    })
}

/// A process and what descends from it, parents first.
fn descendants(first: u32) -> Vec<u32> {
    let mut all = vec![first];
    let mut next = 0;
    while next < all.len() && all.len() < DESCENDANTS_MAX {
        all.extend(read_children(all[next]));
        next += 1;
    }
    all
}

/// Whether a process with this file and these arguments is `program`, a path or a name: it is
/// called so, or a script of this name is run.
fn is_program(exe: Option<&Path>, arguments: &[String], program: &str) -> bool {
    let called = |word: &str| {
        word == program || !program.contains('/') && word.rsplit('/').next() == Some(program)
    };
    if exe.is_some_and(|exe| exe.to_str() == Some(program)) {
        return true;
    }
    let Some((own, rest)) = arguments.split_first() else { return false };
    let name = own.rsplit('/').next().unwrap_or(own);
    let script = rest.iter().find(|word| !word.starts_with('-'));
    called(own)
        || INTERPRETERS.iter().any(|interpreter| name.starts_with(interpreter))
            && script.is_some_and(|word| called(word))
}
#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_known_by_its_file_its_name_or_its_script() {
        let table: [(&str, &str, &str, bool); 9] = [
            ("/usr/games/gnome-2048", "gnome-2048", "/usr/games/gnome-2048", true),
            ("/usr/games/gnome-2048", "/usr/bin/gnome-2048 --x", "/usr/bin/gnome-2048", true),
            ("/usr/lib/firefox/firefox", "firefox -P", "firefox", true),
            ("/usr/bin/python3.11", "/usr/bin/python3 -u /opt/app.py", "/opt/app.py", true),
            ("/usr/bin/bash", "/bin/bash /usr/bin/wine x.exe", "/usr/bin/wine", true),
            ("/usr/bin/bash", "/bin/bash /composer/entry.sh", "/usr/bin/wine", false),
            ("/usr/bin/dbus-launch", "dbus-launch /usr/bin/wine", "/usr/bin/wine", false),
            ("/usr/bin/tee", "tee /tmp/wine.log", "/usr/bin/wine", false),
            ("/usr/bin/bash", "sh -c /usr/bin/wine", "/usr/bin/vine", false),
        ];
        for (exe, arguments, program, expected) in table {
            let words: Vec<_> = arguments.split(' ').map(str::to_owned).collect();
            assert_eq!(is_program(Some(Path::new(exe)), &words, program), expected, "{arguments}");
        }
        assert!(!is_program(None, &[], "/usr/bin/wine"));
    }
}
