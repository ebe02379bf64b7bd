//! The keeper: the small parent that owns processes and pipes.
//!
//! # Theory of operation
//!
//! `deskd run` reads the configuration and becomes the keeper. It owns every application process and the read ends of their pipes,
//! so that the daemon, which talks HTTP, X11 and Kubernetes and may crash, can die at any moment:
//! no application notices, no byte of output and no exit status is lost, nothing is started twice.
//! For that the keeper must never crash itself, so it is small: one thread, one epoll loop, no
//! async, nothing read from a network, no configuration file, and it decides nothing about tasks. It is told what to
//! start and when to stop; what it decides alone is what must work without a daemon: deadlines of
//! stops, the end of the grace at a shutdown, and to start the daemon again.
//!
//! ```text
//!            signalfd    daemon's connection    pipes (an epoll of their own)
//!                \               |                /
//!                 +------------ epoll -----------+
//!                                |
//!        one turn:  signals, reap -> requests -> what is due -> survey -> one round of reading
//! ```
//!
//! - [`wire`]: the messages. Each daemon is told everything; coming back after a crash is the normal
//!   way of starting. [`link`] is its connection, which it inherits: nothing listens. A second one is
//!   only for word of logs that grew.
//! - [`spawn`]: starting a process, with a precise reason when that fails; [`starts`]: those under way.
//!   [`wall`] is what keeps programs from deskd.
//! - [`tree`]: which processes belong to a task, whatever they did to get away; [`signal`] reaches
//!   them; [`escalation`] says when. The keeper is PID 1 or a subreaper: everything orphaned comes to it.
//! - [`reap`]: exit statuses and resource use; no zombies.
//! - [`capture`]: pipes to the log store.
//! - [`custody`]: what the daemon holds should the keeper be killed.
//! - [`release`]: another program or configuration after SIGHUP. [`executable`]: the file that daemons are executed from. [`daemon`], [`heartbeat`], [`shutdown`], [`notify`]: the daemon as a child, whether it answers,
//!   the end, systemd. [`tcp`] is the
//!   socket on which the daemon answers.
//! - [`place`]: the same keeper as the first process of an ephemeral container, with its daemon elsewhere. [`door`]: how that
//!   daemon comes in. [`way`]: how a keeper in another pod gets to it; [`meeting`]: for the first time, or not at all.
//!   [`image`]: what programs get there. [`entry_points`]: the programs that images' own commands start.
//!   [`output`]: where captured bytes go.
//! - [`event_loop`]: the loop, which carries out what the others decide.
//!
//! **Invariant**: when nothing happens, the keeper does not wake up, but to ask the daemon. **Invariant**: whatever is held per task is small and
//! bounded (its record; see `META_BYTES_MAX`); buffers are shared.
//!
//! If the keeper itself is killed, its daemon becomes the next one, and the applications notice nothing.

mod capture;
pub mod clock;
pub mod custody;
mod daemon;
mod door;
pub mod elf;
mod entrance;
mod entry_points;
mod escalation;
mod event_loop;
mod executable;
pub mod files;
mod heartbeat;
mod image;
pub mod inherited;
mod link;
pub mod log;
pub mod logs;
mod meeting;
mod notify;
mod options;
mod output;
pub mod place;
pub mod procfs;
mod reap;
mod release;
pub mod seldom;
mod shutdown;
mod signal;
mod spawn;
mod standby;
mod starts;
mod table;
mod tcp;
mod tree;
pub mod wall;
mod way;

use std::error::Error;
use std::ffi::OsString;
use std::fs::File;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::prctl::set_dumpable;

use deskd_core::exit::Exit;
use deskd_core::wire;
use entrance::Entrance;
use meeting::Met;
pub use options::USAGE;
pub use spawn::serve_starter;
pub use spawn::starter::Kind as StarterKind;
pub use tcp::notice_silence;

/// Name of the lock in the state directory: one keeper at a time.
pub const LOCK_NAME: &str = "keeper.lock";
/// Name of the directory of logs in the state directory.
pub const LOGS_NAME: &str = "logs";

/// The descriptor that the connection to the keeper is in the daemon.
pub const DAEMON_LINK_FD: i32 = 3;
/// The descriptor that [`KeeperConfig::daemon_file`] is in the daemon.
pub const DAEMON_FILE_FD: i32 = 4;
/// The descriptor that the second connection to the keeper, for word of logs that grew, is in the daemon. Absent in one
/// without [`DAEMON_FILE_FD`].
pub const DAEMON_FEED_FD: i32 = 5;

/// What a keeper is told at its start.
#[derive(Debug)]
pub struct KeeperConfig {
    /// Where its lock and logs are; created (mode 0700) if missing.
    pub state_dir: PathBuf,
    /// Of the log store.
    pub limits: logs::Limits,
    /// From SIGTERM until everything is gone.
    pub grace: Duration,
    /// The daemon's argv; looked up in PATH unless it has a `/`.
    pub daemon_argv: Vec<OsString>,
    /// Address of the TCP socket that the daemon gets as its standard input; absent: it gets
    /// `/dev/null`. Every daemon gets the same socket.
    pub listen: Option<SocketAddr>,
    /// The daemon's descriptor [`DAEMON_FILE_FD`], such as a memory file with its configuration.
    /// Every daemon gets the same open file.
    pub daemon_file: Option<File>,
    /// Tasks kept, ended ones included.
    pub tasks_max: usize,
    /// What a keeper that was killed left: [`custody`].
    pub estate: Option<File>,
}

/// Why the keeper could not start or go on.
#[derive(Debug, thiserror::Error)]
pub enum KeeperError {
    /// The state directory cannot be used.
    #[error("cannot use the state directory {path}")]
    StateDir {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Another keeper runs.
    #[error(
        "another deskd already uses the state directory {0}: stop it, or set another `state_dir`"
    )]
    AlreadyRunning(PathBuf),
    /// The connection to the daemon cannot be made.
    #[error("cannot make a connection to the daemon")]
    Link(#[source] std::io::Error),
    /// The daemon's TCP socket cannot be made.
    #[error("cannot listen on {address}")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// The log store cannot be opened.
    #[error("cannot open the log store in {path}")]
    LogStore {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// What the keeper before left cannot be taken over.
    #[error("cannot take over what the keeper before left")]
    Estate(#[source] std::io::Error),
    /// `/proc` does not show the own process as what it is.
    #[error(
        "/proc is not mounted, or belongs to another PID namespace: mount the /proc of this \
     PID namespace"
    )]
    NoProc,
    /// A system call failed that must not.
    #[error("cannot {what}")]
    System {
        /// What was tried.
        what: &'static str,
        /// Why.
        source: Errno,
    },
    /// The daemon cannot be started at all.
    #[error("cannot start the daemon")]
    Daemon(#[source] wire::SpawnError),
}

impl KeeperError {
    /// What the process exits with: an address that cannot be had is for the operator.
    #[must_use]
    pub fn exit(&self) -> Exit {
        if matches!(self, Self::Listen { .. }) { Exit::Config } else { Exit::Internal }
    }

    /// The sentence with all its reasons.
    #[must_use]
    pub fn chain(&self) -> String {
        let mut text = self.to_string();
        let mut cause = self.source();
        while let Some(error) = cause {
            text.push_str(": ");
            text.push_str(&error.to_string());
            cause = error.source();
        }
        text
    }
}

/// A command line that is no keeper's.
#[derive(Debug, thiserror::Error)]
pub enum OptionError {
    /// There is no such option.
    #[error("unknown option `{0}`")]
    Unknown(String),
    /// An option at the end.
    #[error("`{0}` needs a value")]
    NoValue(String),
    /// A value of the wrong kind.
    #[error("`{value}` is not a valid value for `{option}`")]
    Value {
        /// The option.
        option: String,
        /// As given.
        value: String,
    },
    /// An option that every keeper needs.
    #[error("`{0}` is missing")]
    Missing(&'static str),
    /// No program to start.
    #[error("the command of the daemon is missing after `--`")]
    NoDaemon,
    /// What every keeper at a place needs.
    #[error(
        "`DESKD_PLACE_KEY` is missing or no key: only the deskd of a desktop starts a keeper at a place"
    )]
    NoKey,
    /// What a pod was made for cannot be read.
    #[error("`DESKD_PLACE_FIRST` is no request: only the deskd of a desktop writes it")]
    NoRequest(#[source] serde_json::Error),
    /// The descriptor was not inherited.
    #[error("cannot use file descriptor {fd} as `--daemon-file`")]
    DaemonFile {
        /// As given.
        fd: i32,
        /// Why.
        source: std::io::Error,
    },
}

/// Adds what was tried to an errno.
fn tried(what: &'static str) -> impl FnOnce(Errno) -> KeeperError {
    move |source| KeeperError::System { what, source }
}

/// Runs the keeper until it was asked to end, and returns what the process is to exit with. The
/// process must have one thread only: signals are blocked and read from a descriptor.
pub fn run(config: KeeperConfig) -> Result<Exit, KeeperError> {
    if config.estate.is_none()
        && let Some(exit) = standby::until_free(&config.state_dir)?
    {
        return Ok(exit);
    }
    event_loop::Keeper::start(config)?.run()
}

/// Runs the keeper of a place until it was asked to end, and returns what the process is to exit with.
/// The process must have one thread only. In a pod of its own it becomes the first program if it cannot
/// reach its daemon.
pub fn run_at_place(mut config: place::PlaceConfig) -> Result<Exit, KeeperError> {
    // Its environment has the key. Before anything else: programs that are there already may look.
    set_dumpable(false).map_err(tried("protect its memory from other processes"))?;
    let Some(mut far) = config.far.take() else {
        let door = door::Door::open(config.key.clone()).map_err(KeeperError::Link)?;
        return event_loop::Keeper::at_place(config, Entrance::Door(door))?.run();
    };
    let Some(first) = far.first.take() else {
        let way = way::Way::new(config.key.clone(), far.daemon, Instant::now());
        let way = way.map_err(KeeperError::Link)?;
        return event_loop::Keeper::at_place(config, Entrance::Way(Box::new(way)))?.run();
    };
    match meeting::meet(config.key.clone(), far.daemon, far.alone_after)? {
        Met::Daemon(met) => event_loop::Keeper::met_at_place(config, *met)?.run(),
        Met::Nobody => Ok(meeting::become_program(first)),
        Met::Ended => Ok(Exit::Ok),
    }
}
