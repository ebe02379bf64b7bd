//! What is measured: deskd and its peers behind one interface, each driven through its own control
//! interface the way a careful user would script it (sockets and FIFOs kept open, no shell between).

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::http::{Body, Http};
use crate::os;
use crate::subjects;

/// A program under supervision, not started by itself.
#[derive(Debug, Clone)]
pub struct Service {
    /// `[a-z0-9-]+`.
    pub name: String,
    /// argv.
    pub argv: Vec<String>,
    /// Started with the supervisor.
    pub autostart: bool,
}

/// What a supervisor is booted with.
#[derive(Debug, Clone, Default)]
pub struct Setup {
    /// Its services.
    pub services: Vec<Service>,
    /// Output is kept: peers with separate loggers (s6, runit) get one per service.
    pub loggers: bool,
    /// Room for the log of a task, bytes; 0: the subject's default.
    pub log_bytes: u64,
    /// Tasks that deskd knows at most; 0: its default.
    pub tasks_max: u32,
    /// The display deskd looks at; absent: one that nobody serves.
    pub display: Option<String>,
}

/// Which supervisor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Ours.
    Deskd,
    /// dinit.
    Dinit,
    /// skarnet's s6 (s6-svscan, s6-supervise, s6-log).
    S6,
    /// runit (runsvdir, runsv, svlogd).
    Runit,
    /// supervisord.
    Supervisord,
    /// Canonical's Pebble.
    Pebble,
    /// process-compose.
    ProcessCompose,
}

impl Kind {
    /// All, in the order of the table.
    pub const ALL: [Self; 7] = [
        Self::Deskd,
        Self::Dinit,
        Self::S6,
        Self::Runit,
        Self::Supervisord,
        Self::Pebble,
        Self::ProcessCompose,
    ];

    /// Its name in the table.
    pub fn name(self) -> &'static str {
        match self {
            Self::Deskd => "deskd",
            Self::Dinit => "dinit",
            Self::S6 => "s6",
            Self::Runit => "runit",
            Self::Supervisord => "supervisord",
            Self::Pebble => "Pebble",
            Self::ProcessCompose => "process-compose",
        }
    }

    /// The programs it needs; the first is the supervisor.
    fn programs(self) -> &'static [&'static str] {
        match self {
            Self::Deskd => &[],
            Self::Dinit => &["dinit"],
            Self::S6 => &["s6-svscan", "s6-supervise", "s6-log"],
            Self::Runit => &["runsvdir", "runsv", "svlogd"],
            Self::Supervisord => &["supervisord"],
            Self::Pebble => &["pebble"],
            Self::ProcessCompose => &["process-compose"],
        }
    }

    /// The supervisor's binary, if everything it needs is installed.
    pub fn installed(self) -> Option<PathBuf> {
        if self == Self::Deskd {
            return Some(deskd_binary()).filter(|path| path.exists());
        }
        let found: Option<Vec<PathBuf>> =
            self.programs().iter().map(|name| in_path(name)).collect();
        found?.into_iter().next()
    }

    /// Starts it in a fresh directory and waits until it takes orders.
    pub fn boot(self, dir: &Path, setup: &Setup) -> Result<Box<dyn Subject>> {
        let dir = dir.join(self.name());
        let _ = std::fs::remove_dir_all(&dir);
        std::fs::create_dir_all(&dir)?;
        let subject: Result<Box<dyn Subject>> = match self {
            Self::Deskd => subjects::deskd::boot(&dir, setup),
            Self::Dinit => subjects::dinit::boot(&dir, setup),
            Self::S6 => subjects::supervise::boot(&subjects::s6::S6, &dir, setup),
            Self::Runit => subjects::supervise::boot(&subjects::runit::RUNIT, &dir, setup),
            Self::Supervisord => subjects::supervisord::boot(&dir, setup),
            Self::Pebble => subjects::pebble::boot(&dir, setup),
            Self::ProcessCompose => subjects::process_compose::boot(&dir, setup),
        };
        subject.with_context(|| format!("cannot start {}", self.name()))
    }
}

/// The release binary that cargo built for this bench, unless `DESKD_BIN` names another.
pub fn deskd_binary() -> PathBuf {
    std::env::var_os("DESKD_BIN").map_or(env!("CARGO_BIN_EXE_deskd").into(), PathBuf::from)
}

/// Looks a program up in PATH.
pub fn in_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|dir| dir.join(name)).find(|file| file.is_file())
}

/// A supervisor that runs.
pub trait Subject {
    /// Which.
    fn kind(&self) -> Kind;
    /// Its first process.
    fn root(&self) -> i32;
    /// Asks for a start; returns when the request is answered (or sent, where there is no answer).
    fn start(&mut self, service: &str) -> Result<()>;
    /// Asks for many at once, in the fastest way it offers.
    fn start_all(&mut self, services: &[String]) -> Result<()> {
        services.iter().try_for_each(|service| self.start(service))
    }
    /// Removes what has ended, where that is not automatic.
    fn forget(&mut self) -> Result<()> {
        Ok(())
    }
    /// One health request over a connection that stays open; nothing where there is none.
    fn health(&mut self) -> Result<bool> {
        Ok(false)
    }
    /// A client of the health interface with a connection of its own; nothing where there is none.
    fn health_client(&self) -> Result<Option<HealthClient>> {
        Ok(None)
    }
    /// Follows a service's output from now on.
    fn follow(&mut self, service: &str) -> Result<Box<dyn Follow>>;
    /// The stream of a panel that watches everything.
    fn panel(&self) -> Result<Body> {
        bail!("{} has no panel in this bench", self.kind().name())
    }
    /// Hands over every line kept of a service's output, as the program wrote it.
    fn kept(&mut self, service: &str, line: &mut dyn FnMut(&[u8])) -> Result<()>;
    /// Starts it again after its first process was killed, as an init would; what comes back by
    /// itself only waits.
    fn revive(&mut self) -> Result<()>;
    /// Opens connections anew that may have been idle for too long, where that matters.
    fn reconnect(&mut self) -> Result<()> {
        Ok(())
    }
    /// Makes the supervisor hold so many bytes by using it, without any back door.
    fn fatten(&mut self, _bytes: usize) -> Result<()> {
        bail!("{} is not fattened in this bench", self.kind().name())
    }
    /// The process that a careless `kill -9` of "the supervisor" hits.
    fn victim(&self) -> i32 {
        self.root()
    }
}

/// Asks whether a subject is healthy, over one connection that stays open.
pub struct HealthClient {
    http: Http,
    path: &'static str,
}

impl HealthClient {
    /// Connects.
    pub fn connect(socket: &Path, path: &'static str) -> Result<Self> {
        Ok(Self { http: Http::connect(socket)?, path })
    }

    /// One request and its answer.
    pub fn ask(&mut self) -> Result<()> {
        let answer = self.http.get(self.path)?;
        if answer.status != 200 {
            bail!("health answered {}", answer.status);
        }
        Ok(())
    }
}

/// Somebody who reads a service's output while it is written.
pub trait Follow {
    /// Waits for something new: the time at which it arrived, nothing after `limit_ms`.
    fn wait(&mut self, limit_ms: u64) -> Result<Option<u64>>;
    /// Hands over the whole lines that have arrived.
    fn take_lines(&mut self, line: &mut dyn FnMut(&[u8]));
    /// The connection behind it, to be polled with many others.
    fn body(&mut self) -> Option<&mut Body> {
        None
    }
}

/// The supervisor's first process; killed with all that it started when dropped.
pub struct Root {
    child: Child,
}

impl Root {
    /// Starts it with its output in `DIR/supervisor.out`, or in `/dev/null`.
    pub fn spawn(command: &mut Command, dir: &Path) -> Result<Self> {
        let out = File::options().create(true).append(true).open(dir.join("supervisor.out"))?;
        command.stdin(Stdio::null()).stdout(out.try_clone()?).stderr(out);
        let child = command.spawn().with_context(|| format!("cannot run {command:?}"))?;
        Ok(Self { child })
    }

    /// Its pid.
    pub fn pid(&self) -> i32 {
        self.child.id() as i32
    }
}

impl Drop for Root {
    fn drop(&mut self) {
        os::kill_tree(self.pid());
        let _ = self.child.wait();
    }
}

/// Waits up to 15 s until `ready` says yes.
pub fn until_ready(ready: impl FnMut() -> bool) -> Result<()> {
    if os::wait_until(15_000, ready) { Ok(()) } else { bail!("it took no orders within 15 s") }
}
