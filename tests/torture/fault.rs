//! What happens to a desktop.

use crate::rng::Rng;

/// One thing that goes wrong, until it is mended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    DaemonKilled,
    DaemonStopped,
    DisplayKilled,
    DisplayStopped,
    ApiServerKilled,
    DiskFull,
    SilentConnections,
    StalledFollowers,
    ProgramKilled,
    NoFileDescriptors,
    KeeperWithoutFileDescriptors,
    NoProcesses,
    JournalTorn,
}

impl Fault {
    const ALL: [(Self, &str); 13] = [
        (Self::DaemonKilled, "kill -9 of the daemon"),
        (Self::DaemonStopped, "SIGSTOP of the daemon"),
        (Self::DisplayKilled, "kill -9 of Xvnc"),
        (Self::DisplayStopped, "SIGSTOP of Xvnc"),
        (Self::ApiServerKilled, "kill -9 of the API server"),
        (Self::DiskFull, "full disk"),
        (Self::SilentConnections, "300 silent connections"),
        (Self::StalledFollowers, "20 followers that do not read"),
        (Self::ProgramKilled, "kill -9 of a program"),
        (Self::NoFileDescriptors, "no file descriptors for the daemon"),
        (Self::KeeperWithoutFileDescriptors, "no file descriptors for the keeper"),
        (Self::NoProcesses, "no processes for the keeper"),
        (Self::JournalTorn, "daemon killed in the middle of a record"),
    ];

    pub fn any(rng: &mut Rng) -> Self {
        Self::ALL[rng.below(Self::ALL.len())].0
    }

    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(fault, _)| *fault == self).unwrap().1
    }
}
