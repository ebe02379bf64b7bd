//! `deskd-keeper`: what `deskd run` becomes.

use std::ffi::{OsStr, OsString};
use std::process::ExitCode;

use deskd_core::exit::Exit;
use deskd_keeper::place::{self, PlaceConfig};
use deskd_keeper::{KeeperConfig, KeeperError, OptionError, StarterKind, USAGE, log};

/// With the C library that is linked in, where that is not the usual one.
const VERSION: &str = if cfg!(target_env = "musl") {
    concat!("deskd-keeper ", env!("CARGO_PKG_VERSION"), "\n")
} else {
    concat!("deskd-keeper ", env!("CARGO_PKG_VERSION"), " (glibc)\n")
};

fn main() -> ExitCode {
    let options: Vec<_> = std::env::args_os().skip(1).collect();
    if matches!(options.as_slice(), [only] if only == "--help") {
        return print(Exit::Ok, USAGE);
    }
    if matches!(options.as_slice(), [only] if only == "--version") {
        return print(Exit::Ok, VERSION);
    }
    if let [only] = options.as_slice()
        && let Some(kind) = StarterKind::of_option(only)
    {
        return match deskd_keeper::serve_starter(kind) {
            Ok(()) => Exit::Ok.into(),
            Err(error) => {
                print(Exit::Internal, &format!("deskd: cannot start programs: {error}\n"))
            }
        };
    }
    let place = options.first().is_some_and(|word| word == place::WORD);
    match if place { run_at_place(options) } else { run(options) } {
        Err(Failed::Options(error)) => {
            print(Exit::Usage, &format!("deskd-keeper: {error}\n\n{USAGE}"))
        }
        Ok(exit) => exit.into(),
        Err(Failed::Keeper(error)) => {
            print(error.exit(), &format!("deskd: cannot start: {}\n", error.chain()))
        }
    }
}

enum Failed {
    Options(OptionError),
    Keeper(KeeperError),
}

fn run(options: Vec<OsString>) -> Result<Exit, Failed> {
    let config = KeeperConfig::from_options(options).map_err(Failed::Options)?;
    init_log();
    deskd_keeper::run(config).map_err(Failed::Keeper)
}

fn run_at_place(options: Vec<OsString>) -> Result<Exit, Failed> {
    let key = variable(place::KEY_VARIABLE);
    let first = variable(place::FIRST_VARIABLE);
    let options = options.into_iter().skip(1);
    let config = PlaceConfig::from_options(options, key, first).map_err(Failed::Options)?;
    init_log();
    deskd_keeper::run_at_place(config).map_err(Failed::Keeper)
}

fn init_log() {
    log::init(variable("DESKD_LOG").as_deref().and_then(OsStr::to_str));
}

#[expect(clippy::disallowed_methods, reason = "the variables that the keeper reads")]
fn variable(name: &str) -> Option<OsString> {
    std::env::var_os(name)
}

/// To standard output if it went well; the exit code remains when nobody reads.
fn print(exit: Exit, text: &str) -> ExitCode {
    use std::io::Write as _;
    let _ = match exit {
        Exit::Ok => std::io::stdout().write_all(text.as_bytes()),
        _ => std::io::stderr().write_all(text.as_bytes()),
    };
    exit.into()
}
