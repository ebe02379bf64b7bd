//! The command lines that a start consists of, read without building the grammar of all commands: that takes a tenth of
//! the time from `deskd run` to an answer, twice, since the daemon is this program too.
//!
//! Nothing is understood here that the grammar does not understand in the same way; everything else is left to it.

use std::ffi::OsString;

use super::args::{Args, Command, Format};

/// What `words`, all but the program's name, ask for, if they are one of a few.
pub fn read(words: &[OsString]) -> Option<Args> {
    let texts: Option<Vec<&str>> = words.iter().map(|word| word.to_str()).collect();
    let command = match *texts?.as_slice() {
        ["run"] => Command::Run { config: None, lenient: false },
        ["run", "--config", file] if is_value(file) => {
            Command::Run { config: Some(file.into()), lenient: false }
        }
        ["daemon", "--config-fd", fd] if is_value(fd) => {
            Command::Daemon { config_fd: fd.parse().ok()?, reload: false }
        }
        _ => return None,
    };
    Some(Args { socket: None, output: Format::default(), command })
}

/// No option, nor nothing.
fn is_value(word: &str) -> bool {
    !word.is_empty() && !word.starts_with('-')
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;
    use proptest::prelude::*;

    use super::*;

    fn check(words: &[&str]) -> bool {
        let words: Vec<OsString> = words.iter().map(OsString::from).collect();
        let Some(args) = read(&words) else { return false };
        let all = std::iter::once("deskd".into()).chain(words);
        let by_grammar = Args::try_parse_from(all).unwrap();
        assert_eq!(format!("{args:?}"), format!("{by_grammar:?}"));
        true
    }

    #[test]
    fn what_starts_deskd_takes_the_short_way() {
        assert!(check(&["run"]));
        assert!(check(&["run", "--config", "/etc/deskd/deskd.toml"]));
        assert!(check(&["daemon", "--config-fd", "4"]));
        assert!(!check(&["run", "--lenient"]));
        assert!(!check(&["daemon", "--config-fd", "4", "--reload"]));
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..Default::default() })]

        #[test]
        fn the_short_way_reads_nothing_that_the_grammar_reads_differently(
            command in "run|daemon|Run", option in "--config|--config-fd|--config=x|-c|--", value in ".{0,3}|[0-9+-]{0,12}",
        ) {
            check(&[&command]);
            check(&[&command, &option]);
            check(&[&command, &option, &value]);
        }
    }
}
