//! Argument parsing.

/// Runs the command line and returns its exit code.
pub fn main() -> std::process::ExitCode {
    crate::exit::Exit::Ok.into()
}
