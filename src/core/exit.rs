//! Exit codes of every `deskd` command: documented numbers, assigned here and nowhere else.

/// What a `deskd` command ended as. The numbers are part of the outside contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// The command did what was asked.
    Ok = 0,
    /// What was asked about is not well: `probe`, `health`, `check-config`, `collect`, `doctor` found
    /// a problem, `diagnose` found no cause, `inject` no pod that it can change.
    Unhealthy = 1,
    /// The arguments do not fit (clap's own number).
    Usage = 2,
    /// The configuration is invalid; every problem was printed.
    Config = 3,
    /// The daemon does not answer on its unix socket; for `collect`, the API server.
    Unreachable = 4,
    /// The daemon (for `collect`, the API server) refused: the printed message says why (cannot
    /// launch, conflict).
    Refused = 5,
    /// The thing named does not exist.
    NotFound = 6,
    /// Time ran out while waiting.
    Timeout = 7,
    /// An unexpected failure of deskd itself.
    Internal = 70,
}

impl Exit {
    /// All of them, by number.
    pub const ALL: [Self; 9] = [
        Self::Ok,
        Self::Unhealthy,
        Self::Usage,
        Self::Config,
        Self::Unreachable,
        Self::Refused,
        Self::NotFound,
        Self::Timeout,
        Self::Internal,
    ];

    /// One line for `--help` and `docs/cli.md`.
    #[must_use]
    pub fn meaning(self) -> &'static str {
        match self {
            Self::Ok => "the command did what was asked",
            Self::Unhealthy => {
                "health, probe, check-config, collect, doctor found a problem; diagnose, inject found nothing"
            }
            Self::Usage => "the arguments are invalid",
            Self::Config => "the configuration is invalid",
            Self::Unreachable => {
                "the daemon does not answer on its unix socket (collect: the API server)"
            }
            Self::Refused => "the daemon (collect: the API server) refused; the message says why",
            Self::NotFound => "the thing named does not exist",
            Self::Timeout => "time ran out while waiting",
            Self::Internal => "deskd itself failed",
        }
    }
}

impl From<Exit> for std::process::ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}
