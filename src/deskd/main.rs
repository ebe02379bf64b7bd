//! The `deskd` binary: parse the arguments, run the command, exit with its documented code.

fn main() -> std::process::ExitCode {
    deskd::cli::main()
}
