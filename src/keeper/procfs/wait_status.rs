//! What a wait status says, wait(2): of a child from `wait4`, of any process from its pidfd.

use nix::libc;
use nix::sys::signal::Signal;

use deskd_core::task::Exit;

/// Number of the first real-time signal that the libc leaves to programs (`SIGRTMIN`).
const SIGRTMIN: i32 = 34;

/// How a process ended whose wait status this is.
#[must_use]
pub fn exit_of(status: i32) -> Exit {
    if libc::WIFEXITED(status) {
        return Exit::Code(libc::WEXITSTATUS(status));
    }
    let number = libc::WTERMSIG(status);
    Exit::Signal { number, name: signal_name(number), core_dumped: libc::WCOREDUMP(status) }
}

fn signal_name(number: i32) -> String {
    match Signal::try_from(number) {
        Ok(signal) => signal.as_str().to_owned(),
        Err(_) if number >= SIGRTMIN => format!("SIGRTMIN+{}", number - SIGRTMIN),
        Err(_) => format!("signal {number}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_are_told_apart() {
        assert_eq!(exit_of(3 << 8), Exit::Code(3));
        let signal = |number, name: &str, core_dumped| Exit::Signal {
            number,
            name: name.to_owned(),
            core_dumped,
        };
        assert_eq!(exit_of(15), signal(15, "SIGTERM", false));
        assert_eq!(exit_of(11 | 0x80), signal(11, "SIGSEGV", true));
        assert_eq!(exit_of(36), signal(36, "SIGRTMIN+2", false));
    }
}
