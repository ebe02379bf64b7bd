//! Everything that can fail at the start.

use std::cell::OnceCell;
use std::collections::HashSet;
use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::time::Instant;

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags};
use nix::sys::prctl::{set_child_subreaper, set_dumpable};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::unistd::geteuid;

use super::adopted::Adopted;
use super::container_logs::ContainerLogs;
use super::{Keeper, Source, unix_ms};
use crate::capture::{Capture, Round};
use crate::custody::Estate;
use crate::daemon::Daemon;
use crate::executable::Program;
use crate::files;
use crate::heartbeat::Heartbeat;
use crate::logs::LogStore;
use crate::notify::{self, Notify};
use crate::output::Output;
use crate::procfs;
use crate::release::{Release, Reload};
use crate::spawn::{Command, Spawner};
use crate::starts::Starts;
use crate::table::Table;
use crate::tree::ProcEvidence;
use crate::{KeeperConfig, KeeperError, LOCK_NAME, LOGS_NAME, reap, standby, tcp, tried};

/// Bit that every tag has: far beyond any real-time limit that somebody sets on purpose.
const TAG_BIT: u64 = 1 << 60;
/// Low bits of a tag: they number the keeper's starts.
const TAG_NUMBER_BITS: u32 = 32;

impl Keeper {
    /// Makes a keeper ready to run; the daemon is not started yet.
    pub(crate) fn start(mut config: KeeperConfig) -> Result<Self, KeeperError> {
        let estate = config.estate.take().map(Estate::inherit).transpose();
        let mut estate = estate.map_err(KeeperError::Estate)?;
        let inherited = estate.as_mut().and_then(|estate| estate.lock.take());
        let lock = lock_state_dir(&config.state_dir, inherited)?;
        standby::declare(&lock, estate.is_some());
        let daemon_tcp = config.listen.map(tcp::bind).transpose()?;
        let file = config.daemon_file.take().map(OwnedFd::from);
        let daemon = Daemon::new(release(&config, None, file)?, Instant::now());
        let logs_dir = config.state_dir.join(LOGS_NAME);
        let store = LogStore::open(logs_dir.clone(), config.limits)
            .map_err(|source| KeeperError::LogStore { path: logs_dir, source })?;
        let capture = capture(estate.as_mut())?;
        let mut keeper = Self::without_daemon(config, Output::Logs(store), capture)?;
        keeper.daemon = daemon;
        keeper.daemon_tcp = daemon_tcp;
        keeper.lock = Some(lock);
        if let Some(estate) = estate {
            keeper.adopt(estate);
        }
        Ok(keeper)
    }

    /// What every keeper has.
    pub(super) fn without_daemon(
        config: KeeperConfig,
        store: Output,
        capture: Capture,
    ) -> Result<Self, KeeperError> {
        let pid = std::process::id();
        own_proc(pid)?;
        let signals = block_signals().map_err(tried("receive signals through a descriptor"))?;
        set_child_subreaper(true).map_err(tried("become the parent of orphaned processes"))?;
        let spawner = Spawner::new().map_err(tried("prepare to start processes"))?;
        // Applications of the same user could read the token in /proc/PID/root and what is in memory.
        set_dumpable(false).map_err(tried("protect its memory from other processes"))?;
        let notify = Notify::from_environment();
        let heartbeat = Heartbeat::new(notify.watchdog());
        let epoll = watch(&signals, &capture)?;
        Ok(Self {
            config,
            started_at: unix_ms(),
            pid,
            tag_base: tag_base(pid),
            tags: 0,
            epoll,
            signals,
            connection: None,
            feed: None,
            interest: EpollFlags::empty(),
            requests_left: false,
            welcome: None,
            spoken: None,
            table: Table::default(),
            spawner,
            starts: Starts::default(),
            memory: OnceCell::new(),
            oom_kills_at_start: None,
            evidence: ProcEvidence::new(),
            capture,
            store,
            container_logs: ContainerLogs::default(),
            log_trouble: None,
            log_retry_at: None,
            roots: HashSet::new(),
            survey_wanted: false,
            survey_retry_at: None,
            reap_again: false,
            daemon: Daemon::none(),
            heartbeat,
            given_up: None,
            predecessor: None,
            reload: Reload::default(),
            daemon_tcp: None,
            notify,
            place: None,
            shutdown: None,
            terminated: None,
            drained: false,
            strays: Vec::new(),
            exit: None,
            adopted: Adopted::default(),
            custody: None,
            lock: None,
        })
    }

    /// The tag of the next process.
    pub(super) fn next_tag(&mut self) -> u64 {
        self.tags = self.tags.wrapping_add(1);
        self.tag_base | u64::from(self.tags)
    }
}

/// Goes on with what the keeper before had under way to a log.
pub(super) fn capture(estate: Option<&mut Estate>) -> Result<Capture, KeeperError> {
    let round = estate.and_then(|estate| estate.round.take());
    let round = round.map_or_else(Round::create, Round::of).map_err(KeeperError::Estate)?;
    Capture::new(round).map_err(tried("create an epoll descriptor"))
}

/// Watches what there is from the start.
fn watch(signals: &SignalFd, capture: &Capture) -> Result<Epoll, KeeperError> {
    let epoll =
        Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).map_err(tried("create an epoll descriptor"))?;
    for (fd, source) in [(signals.as_fd(), Source::Signals), (capture.as_fd(), Source::Pipes)] {
        epoll
            .add(fd, EpollEvent::new(EpollFlags::EPOLLIN, source as u64))
            .map_err(tried("watch a descriptor"))?;
    }
    Ok(epoll)
}

/// Whether `/proc` shows this process as what it is.
fn own_proc(pid: u32) -> Result<(), KeeperError> {
    // A /proc of another PID namespace would show the own pid as somebody else's.
    let own = std::fs::read_link("/proc/self").is_ok_and(|to| *to == *pid.to_string());
    if !own || procfs::read_stat(pid).is_none() {
        return Err(KeeperError::NoProc);
    }
    Ok(())
}

/// What distinguishes this keeper's tags from those of another one above or below it.
fn tag_base(pid: u32) -> u64 {
    let random = getrandom::u32().unwrap_or(pid);
    TAG_BIT | u64::from(random >> 5) << TAG_NUMBER_BITS
}

/// SIGPIPE and SIGXFSZ are only blocked: a write to a closed connection fails with EPIPE, and one
/// beyond an inherited limit of file sizes with EFBIG, which the log store reports. A signal that is
/// blocked reaches the descriptor also when the keeper is PID 1, whose signals have no default
/// effect.
fn block_signals() -> nix::Result<SignalFd> {
    reap::keep_exit_statuses()?;
    let mut mask = SigSet::empty();
    for signal in [Signal::SIGCHLD, Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP] {
        mask.add(signal);
    }
    let mut blocked = mask;
    blocked.add(Signal::SIGPIPE);
    blocked.add(Signal::SIGXFSZ);
    blocked.thread_block()?;
    SignalFd::with_flags(&mask, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)
}

/// `inherited` is locked already, by the keeper before: the lock was never free meanwhile.
fn lock_state_dir(dir: &Path, inherited: Option<OwnedFd>) -> Result<Flock<File>, KeeperError> {
    let failed = |source| KeeperError::StateDir { path: dir.to_owned(), source };
    make_private(dir).map_err(failed)?;
    let mut options = File::options();
    options.create(true).truncate(false).write(true).mode(0o600);
    let file = match inherited {
        Some(lock) => lock.into(),
        None => files::open_own(&options, &dir.join(LOCK_NAME)).map_err(failed)?,
    };
    Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|(_, errno)| match errno {
        Errno::EWOULDBLOCK => KeeperError::AlreadyRunning(dir.to_owned()),
        other => failed(other.into()),
    })
}

/// A directory of another owner is left as it is (a volume mounted for this user): the socket
/// itself admits by uid.
fn make_private(dir: &Path) -> io::Result<()> {
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
    let metadata = std::fs::metadata(dir)?;
    if metadata.uid() == geteuid().as_raw() && metadata.mode() & 0o777 != 0o700 {
        std::fs::set_permissions(dir, std::fs::Permissions::from_mode(0o700))?;
    }
    Ok(())
}

/// What the daemon's command means now, with one word more. The daemon gets the keeper's environment without what is
/// between the keeper and systemd.
pub(super) fn release(
    config: &KeeperConfig,
    word: Option<&str>,
    file: Option<OwnedFd>,
) -> Result<Release, KeeperError> {
    let own = |key: &OsString| notify::VARIABLES.iter().any(|name| key == name);
    let env = std::env::vars_os().filter(|(key, _)| !own(key));
    let mut argv = config.daemon_argv.clone();
    argv.extend(word.map(OsString::from));
    let command = Command::of_program(&argv, env).map_err(KeeperError::Daemon)?;
    let path = config.daemon_argv.first().map(Path::new).filter(|path| path.is_absolute());
    // A path that cannot be opened is executed, which says why it cannot.
    Ok(match path.and_then(|path| Program::open(path, &config.state_dir).ok()) {
        Some(program) => {
            let command = command.executed_from(program.path());
            Release { command, _program: Some(program), file }
        }
        None => Release { command, _program: None, file },
    })
}
