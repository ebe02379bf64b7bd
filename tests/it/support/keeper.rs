//! A keeper to test, and a client that plays the daemon: the process that the keeper starts does nothing, and the test
//! takes a duplicate of the connection that it inherited (pidfd_getfd(2)).

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, also in its helpers")]

use std::cell::Cell;
use std::collections::VecDeque;
use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use deskd_core::task::UnixMs;
use deskd_core::wire::frame::{self, Decoder};
use deskd_core::wire::{
    Drain, FromKeeper, RunEnd, RunId, SpawnError, SpawnRequest, StopRound, TaskRecord, ToKeeper,
    VERSION,
};
use deskd_keeper::logs::{Limits, LogReader, Records, Stream, Tag};
use deskd_keeper::procfs::ProcessStat;
use deskd_keeper::{DAEMON_FEED_FD, DAEMON_LINK_FD, KeeperConfig};
use nix::sys::signal::Signal;
use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags, pidfd_getfd, pidfd_open};

use super::binaries;
use super::proc;
use super::wait::{self, PATIENCE};

/// A keeper in a process of its own. Killed when dropped, with everything below it.
pub(crate) struct Keeper {
    child: Child,
    dir: tempfile::TempDir,
    daemon_argv: Vec<String>,
    /// The daemon whose part the test played last.
    played: Cell<Option<u32>>,
}

/// How to start one.
pub(crate) struct Setup {
    pub(crate) grace_ms: u64,
    pub(crate) daemon_argv: Vec<String>,
    pub(crate) tasks_max: usize,
    pub(crate) env: Vec<(&'static str, String)>,
    /// Put in front of the command.
    pub(crate) wrapper: Vec<&'static str>,
    /// The daemon gets a file, which the wrapper opens under this number.
    pub(crate) daemon_file: Option<i32>,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            grace_ms: 8_000,
            daemon_argv: vec!["sleep".into(), "infinity".into()],
            tasks_max: 1000,
            env: Vec::new(),
            wrapper: Vec::new(),
            daemon_file: None,
        }
    }
}

impl Setup {
    pub(crate) fn start(self) -> Keeper {
        let keeper = self.start_in(tempfile::tempdir().unwrap());
        keeper.daemon();
        keeper
    }

    /// Does not wait.
    pub(crate) fn start_in(self, dir: tempfile::TempDir) -> Keeper {
        let daemon_argv = self.daemon_argv.clone();
        Keeper { child: self.process(dir.path()), dir, daemon_argv, played: Cell::default() }
    }

    /// In the directory of one that is dead.
    pub(crate) fn start_again(self, mut dead: Keeper) -> Keeper {
        dead.child = self.process(dead.dir.path());
        dead.daemon();
        dead
    }

    /// In the directory of one that runs.
    pub(crate) fn start_beside(self, other: &Keeper) -> Child {
        self.process(other.dir.path())
    }

    #[expect(clippy::disallowed_methods, reason = "the process under test")]
    fn process(self, dir: &Path) -> Child {
        let config = KeeperConfig {
            state_dir: dir.to_owned(),
            limits: Limits { task_bytes: 8 << 20, total_bytes: 64 << 20 },
            grace: Duration::from_millis(self.grace_ms),
            daemon_argv: self.daemon_argv.into_iter().map(Into::into).collect(),
            listen: None,
            daemon_file: None,
            tasks_max: self.tasks_max,
            estate: None,
        };
        let log = File::options().create(true).append(true).open(dir.join("stderr")).unwrap();
        let keeper = binaries::keeper().into_os_string();
        let mut words = self.wrapper.iter().map(|word| (*word).into()).chain([keeper]);
        Command::new(words.next().unwrap())
            .args(words)
            .args(config.to_options(self.daemon_file))
            .envs(self.env)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap()
    }
}

impl Keeper {
    pub(crate) fn start() -> Self {
        Setup::default().start()
    }

    /// Waits until its daemon runs.
    pub(crate) fn daemon(&self) -> u32 {
        wait::until("the daemon runs", || {
            let mut left = vec![self.pid()];
            while let Some(pid) = left.pop() {
                if proc::command_line(pid).strip_suffix(&[String::new()])
                    == Some(&self.daemon_argv[..])
                {
                    return Some(pid);
                }
                left.extend(proc::children(pid).iter().map(|child| child.pid));
            }
            None
        })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Its children but the starters: the daemon and programs.
    pub(crate) fn children(&self) -> Vec<ProcessStat> {
        let children = proc::children(self.pid()).into_iter();
        children.filter(|child| child.comm != "deskd-starter").collect()
    }

    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// What it and the daemon wrote to standard error.
    pub(crate) fn stderr(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("stderr")).unwrap()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        proc::signal(self.pid(), signal);
    }

    /// Plays the daemon, or its successor when it was played before, and says hello; the second value is everything
    /// that it was told.
    pub(crate) fn connect(&self) -> (Client, Welcome) {
        greet(self.link())
    }

    /// The same of a daemon that is asked whether it lives, and does not answer by itself.
    pub(crate) fn connect_silent(&self) -> (Client, Welcome) {
        greet(Client { is_silent: true, ..self.link() })
    }

    /// The connection of a daemon that has not said anything yet.
    pub(crate) fn link(&self) -> Client {
        if let Some(played) = self.played.get() {
            proc::kill(played);
            wait::until("the daemon before is gone", || proc::is_reaped(played).then_some(()));
        }
        let daemon = self.daemon();
        self.played.set(Some(daemon));
        Client::of(daemon, DAEMON_LINK_FD)
    }

    /// The second connection of the daemon that is played.
    pub(crate) fn feed(&self) -> Client {
        Client::of(self.played.get().unwrap(), DAEMON_FEED_FD)
    }

    /// Waits for its end.
    pub(crate) fn exit(&mut self) -> ExitStatus {
        wait::until("the keeper exits", || self.child.try_wait().unwrap())
    }

    /// A task's whole output of one stream.
    pub(crate) fn output(&self, task: &str, stream: Stream) -> Vec<u8> {
        let mut reader =
            LogReader::open(&self.dir.path().join("logs"), &task.parse().unwrap()).unwrap();
        let mut output = Vec::new();
        let mut cursor = reader.bounds().unwrap().first;
        loop {
            let mut bytes = Vec::new();
            let chunk = reader.read(cursor, 1 << 20, &mut bytes).unwrap();
            if chunk.next == chunk.from {
                return output;
            }
            for record in Records::new(&bytes, chunk.from).map(Result::unwrap) {
                if record.stream == stream && !matches!(record.tag, Tag::Gap(_)) {
                    output.extend_from_slice(record.content);
                    if record.tag == Tag::Full {
                        output.push(b'\n');
                    }
                }
            }
            cursor = chunk.next;
        }
    }

    /// Standard output as text.
    pub(crate) fn stdout(&self, task: &str) -> String {
        String::from_utf8(self.output(task, Stream::Stdout)).unwrap()
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        // Everything below it first: a killed keeper stops nothing.
        let mut doomed = vec![self.pid()];
        while let Some(pid) = doomed.pop() {
            doomed.extend(proc::children(pid).iter().map(|child| child.pid));
            proc::kill(pid);
        }
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("--- the keeper's stderr:\n{}", self.stderr());
        }
    }
}

/// Everything told in Welcome and what continues it.
#[derive(Debug)]
pub(crate) struct Welcome {
    pub(crate) tasks: Vec<TaskRecord>,
    pub(crate) draining: Option<Drain>,
    pub(crate) messages: usize,
    pub(crate) keeper_pid: u32,
}

impl Welcome {
    pub(crate) fn task(&self, id: &str) -> &TaskRecord {
        self.tasks.iter().find(|task| task.id.task.as_str() == id).unwrap()
    }
}

/// How long one read waits.
const READ_TIME: Duration = Duration::from_millis(200);

/// Plays the daemon.
pub(crate) struct Client {
    stream: UnixStream,
    decoder: Decoder,
    /// Messages that were read but not asked for yet.
    unclaimed: VecDeque<FromKeeper>,
    /// The keeper's question whether its daemon lives is answered by nobody but the test.
    is_silent: bool,
}

fn greet(mut client: Client) -> (Client, Welcome) {
    client.send(&ToKeeper::Hello { version: VERSION, oldest: None });
    let welcome = client.welcome();
    (client, welcome)
}

impl Client {
    /// With the end of a connection that a daemon inherited.
    fn of(daemon: u32, fd: i32) -> Self {
        let pid = Pid::from_raw(daemon.cast_signed()).unwrap();
        let daemon = pidfd_open(pid, PidfdFlags::empty()).unwrap();
        let end = pidfd_getfd(daemon, fd, PidfdGetfdFlags::empty()).unwrap();
        Self::over(UnixStream::from(end))
    }

    /// With a connection to the keeper of a place.
    pub(crate) fn over(stream: UnixStream) -> Self {
        stream.set_read_timeout(Some(READ_TIME)).unwrap();
        let (decoder, unclaimed) = Default::default();
        Self { stream, decoder, unclaimed, is_silent: false }
    }

    pub(crate) fn send_bytes(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }

    pub(crate) fn send(&mut self, message: &ToKeeper) {
        let mut bytes = Vec::new();
        frame::encode(message, &mut bytes).unwrap();
        self.stream.write_all(&bytes).unwrap();
    }

    /// Sends without waiting for room for long; false when the other side does not read.
    pub(crate) fn try_send(&mut self, message: &ToKeeper) -> bool {
        self.send_within(Duration::from_millis(500), message)
    }

    fn send_within(&mut self, limit: Duration, message: &ToKeeper) -> bool {
        let mut bytes = Vec::new();
        frame::encode(message, &mut bytes).unwrap();
        self.stream.set_write_timeout(Some(limit)).unwrap();
        let is_sent = self.stream.write_all(&bytes).is_ok();
        self.stream.set_write_timeout(None).unwrap();
        is_sent
    }

    /// Reads what there is, at most once; false at the end of the connection.
    fn read(&mut self) -> bool {
        let mut bytes = [0; 65536];
        match self.stream.read(&mut bytes) {
            Ok(0) => return false,
            Ok(count) => self.decoder.push(&bytes[..count]),
            Err(error)
                if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
            Err(_) => return false,
        }
        while let Some(message) = self.decoder.take().unwrap() {
            match message {
                FromKeeper::Ping { number } if !self.is_silent => {
                    // A keeper that ended does not read it. Half of it would be no message.
                    self.send_within(PATIENCE, &ToKeeper::Pong { number });
                }
                other => self.unclaimed.push_back(other),
            }
        }
        true
    }

    /// Reads what there is, and so answers the question whether it lives.
    pub(crate) fn keep_up(&mut self) {
        self.stream.set_read_timeout(Some(Duration::from_millis(1))).unwrap();
        assert!(self.read(), "the connection has ended");
        self.stream.set_read_timeout(Some(READ_TIME)).unwrap();
    }

    /// Takes the first message that `wanted` makes something of; the others keep their order.
    pub(crate) fn wait<T>(
        &mut self,
        what: &str,
        mut wanted: impl FnMut(&FromKeeper) -> Option<T>,
    ) -> T {
        let start = Instant::now();
        let mut looked_at = 0;
        loop {
            while let Some(message) = self.unclaimed.get(looked_at) {
                if let Some(found) = wanted(message) {
                    self.unclaimed.remove(looked_at);
                    return found;
                }
                looked_at += 1;
            }
            let more = self.read();
            assert!(
                more && start.elapsed() < PATIENCE,
                "waited in vain for {what}; told: {:?}",
                self.unclaimed
            );
        }
    }

    /// Waits for the end of the connection.
    pub(crate) fn wait_for_end(&mut self) {
        let start = Instant::now();
        while self.read() {
            assert!(start.elapsed() < PATIENCE, "the connection does not end");
        }
    }

    /// Every message that arrived and was not asked for.
    pub(crate) fn unclaimed(&mut self) -> Vec<FromKeeper> {
        self.read();
        self.unclaimed.drain(..).collect()
    }

    pub(crate) fn welcome(&mut self) -> Welcome {
        let (mut welcome, mut more) = self.wait("Welcome", |message| match message {
            FromKeeper::Welcome { tasks, more, draining, keeper_pid, .. } => {
                let (tasks, draining) = (tasks.clone(), *draining);
                let welcome = Welcome { tasks, draining, messages: 1, keeper_pid: *keeper_pid };
                Some((welcome, *more))
            }
            _ => None,
        });
        while more {
            let (next, again) = self.wait("MoreTasks", |message| match message {
                FromKeeper::MoreTasks { tasks, more } => Some((tasks.clone(), *more)),
                _ => None,
            });
            welcome.tasks.extend(next);
            welcome.messages += 1;
            more = again;
        }
        welcome
    }

    /// Asks for a process and waits for the answer.
    pub(crate) fn spawn(&mut self, request: SpawnRequest) -> Result<u32, SpawnError> {
        let wanted = request.id.clone();
        self.send(&ToKeeper::Spawn(Box::new(request)));
        self.spawned(&wanted)
    }

    pub(crate) fn spawned(&mut self, wanted: &RunId) -> Result<u32, SpawnError> {
        self.wait(&format!("the start of {wanted:?}"), |message| match message {
            FromKeeper::Spawned { id, pid, .. } if id == wanted => Some(Ok(*pid)),
            FromKeeper::SpawnRefused { id, error } if id == wanted => Some(Err(error.clone())),
            _ => None,
        })
    }

    /// Starts a shell script as a task's first run; its pid.
    pub(crate) fn sh(&mut self, task: &str, script: &str) -> u32 {
        self.spawn(request(task, &["/bin/sh", "-c", script])).unwrap()
    }

    pub(crate) fn exited(&mut self, task: &str) -> RunEnd {
        self.wait(&format!("the exit of {task}"), |message| match message {
            FromKeeper::Exited { id, end } if id.task.as_str() == task => Some(end.clone()),
            _ => None,
        })
    }

    pub(crate) fn tree_gone(&mut self, task: &str) {
        self.wait(&format!("the tree of {task} is gone"), |message| match message {
            FromKeeper::TreeGone { id } if id.task.as_str() == task => Some(()),
            _ => None,
        });
    }

    pub(crate) fn stop_round(&mut self, task: &str) -> StopRound {
        self.wait(&format!("a step of the stop of {task}"), |message| match message {
            FromKeeper::StopStep { id, round } if id.task.as_str() == task => Some(round.clone()),
            _ => None,
        })
    }

    pub(crate) fn stop(&mut self, task: &str, term_after_ms: u64, kill_after_ms: u64) {
        self.send(&ToKeeper::Stop { id: run(task, 1), term_after_ms, kill_after_ms });
    }
}

pub(crate) fn run(task: &str, run: u32) -> RunId {
    RunId { task: task.parse().unwrap(), run }
}

/// A first run with an ordinary environment.
pub(crate) fn request(task: &str, argv: &[&str]) -> SpawnRequest {
    SpawnRequest {
        env: vec![("PATH".into(), "/usr/bin:/bin".into()), ("LANG".into(), "C.UTF-8".into())],
        meta: format!("meta of {task}"),
        ..SpawnRequest::new(run(task, 1), argv.iter().map(|word| (*word).to_owned()).collect())
    }
}

/// Milliseconds since the Unix epoch.
pub(crate) fn unix_ms() -> UnixMs {
    std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_millis().try_into().unwrap()
}
