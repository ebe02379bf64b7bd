//! `deskd-keeper`: what `deskd run` becomes.

use std::ffi::OsStr;
use std::process::ExitCode;

use deskd_core::exit::Exit;
use deskd_keeper::{KeeperConfig, StarterKind, USAGE, log};

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
    let config = match KeeperConfig::from_options(options) {
        Ok(config) => config,
        Err(error) => return print(Exit::Usage, &format!("deskd-keeper: {error}\n\n{USAGE}")),
    };
    #[expect(clippy::disallowed_methods, reason = "the one variable that the keeper reads")]
    let filter = std::env::var_os("DESKD_LOG");
    log::init(filter.as_deref().and_then(OsStr::to_str));
    match deskd_keeper::run(config) {
        Ok(exit) => exit.into(),
        Err(error) => print(error.exit(), &format!("deskd: cannot start: {}\n", error.chain())),
    }
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
