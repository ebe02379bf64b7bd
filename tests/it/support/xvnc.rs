//! A real Xvnc as an unprivileged user, in the namespaces a test asks for, and other processes
//! beside it: applications and this test binary itself in another role.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::AtomicU16;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Instant;

use deskd::display::Cookie;
use deskd::display::handshake::{Address, Handshake, ServerConnection, connect};

pub(crate) use super::wait::{PATIENCE, until as eventually};

/// The uid and gid of every process of a desktop pod.
pub const POD_UID: u32 = 4096;
/// Displays of the tests: far from those that servers choose for themselves, so that nobody else
/// takes the number while a killed server is down.
static NEXT_DISPLAY: AtomicU16 = AtomicU16::new(100);
/// Numbers tried until one is free.
const DISPLAY_ATTEMPTS_MAX: usize = 20;

/// Keeps test binaries that run at the same time apart.
fn pid_offset() -> u16 {
    u16::try_from(std::process::id() % 8 * 70).expect("a small number")
}

/// Whether tests with a server and applications can run; under CI what is missing is a failure.
pub fn available() -> bool {
    let programs = ["Xvnc", "xterm", "xclock", "xeyes", "setpriv", "unshare", "ip"];
    super::needs::met(&programs, &[])
}

/// How a process is started: the words before its own command line.
#[derive(Debug, Clone, Default)]
pub struct Place(Vec<String>);

impl Place {
    /// In the namespaces of the tests, as the pod's user.
    pub fn pod() -> Self {
        Self::default().uid(POD_UID)
    }

    /// As another user.
    pub fn uid(mut self, uid: u32) -> Self {
        let id = uid.to_string();
        self.0.extend(
            ["setpriv", "--reuid", &id, "--regid", &id, "--clear-groups"].map(str::to_owned),
        );
        self
    }

    /// As root in a fresh IPC namespace; continue with [`Self::uid`].
    pub fn new_ipc() -> Self {
        Self(vec!["unshare".into(), "--ipc".into()])
    }

    /// As root in the IPC namespace of a process.
    pub fn ipc_of(pid: u32) -> Self {
        Self(vec!["nsenter".into(), format!("--ipc=/proc/{pid}/ns/ipc")])
    }

    /// As root in a named network namespace.
    pub fn network(name: &str) -> Self {
        Self(["ip", "netns", "exec", name].map(str::to_owned).to_vec())
    }

    /// In a fresh PID namespace, as the pod's user.
    pub fn new_pid() -> Self {
        let words = ["unshare", "--pid", "--fork", "--kill-child=SIGKILL", "--mount-proc"];
        let mut place = Self(words.map(str::to_owned).to_vec()).uid(POD_UID);
        // Changing the uid cleared what --kill-child had asked for: once more, after it.
        place.0.extend(["setpriv", "--pdeathsig", "KILL"].map(str::to_owned));
        place
    }

    /// After a shell script, which must end in `exec "$@"`.
    pub fn shell(script: &str) -> Self {
        Self(["sh", "-c", script, "sh"].map(str::to_owned).to_vec())
    }

    /// Both, this one first.
    pub fn then(mut self, other: Self) -> Self {
        self.0.extend(other.0);
        self
    }

    /// A command in this place with an empty environment but for PATH.
    pub fn command(&self, argv: &[&str]) -> Command {
        let mut words = self.0.iter().map(String::as_str).chain(argv.iter().copied());
        let mut command = Command::new(words.next().expect("a program"));
        command.args(words).env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        command.stdin(Stdio::null());
        command
    }
}

/// A process that ends with the value.
#[derive(Debug)]
pub struct Running(pub Child);

impl Running {
    #[expect(clippy::disallowed_methods, reason = "tests start servers and applications")]
    pub fn start(command: &mut Command) -> Self {
        Self(command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}")))
    }

    pub fn pid(&self) -> u32 {
        self.0.id()
    }

    pub fn signal(&self, signal: nix::sys::signal::Signal) {
        let pid = nix::unistd::Pid::from_raw(self.pid().cast_signed());
        nix::sys::signal::kill(pid, signal).expect("a running process");
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// One Xvnc.
#[derive(Debug)]
pub struct Xvnc {
    process: Option<Running>,
    place: Place,
    options: Vec<String>,
    pub number: u16,
    /// The cookie's hexadecimal digits.
    pub key: String,
    dir: tempfile::TempDir,
}

/// The next display of which nothing is left: the pod's user cannot remove what a server of another
/// user left behind when it was killed.
fn free_number() -> u16 {
    loop {
        let number = NEXT_DISPLAY.fetch_add(1, Relaxed) + pid_offset();
        let left = [format!("/tmp/.X{number}-lock"), format!("/tmp/.X11-unix/X{number}")];
        if !left.iter().any(|path| Path::new(path).exists()) {
            return number;
        }
    }
}

impl Xvnc {
    /// In the tests' namespaces, over unix sockets and TCP.
    pub fn start() -> Self {
        Self::start_in(Place::pod(), &["-listen", "tcp"])
    }

    /// On a free display; `place` must end as the pod's user.
    pub fn start_in(place: Place, options: &[&str]) -> Self {
        Self::start_with(place, options, fresh_key())
    }

    /// The same, with a cookie of the test's own.
    pub fn start_with(place: Place, options: &[&str], key: String) -> Self {
        let dir = tempfile::Builder::new().prefix("deskd-xvnc-").tempdir().expect("a directory");
        let options = options.iter().map(|&option| option.to_owned()).collect();
        let mut server = Self { process: None, place, options, number: 0, key, dir };
        std::os::unix::fs::chown(server.dir.path(), Some(POD_UID), Some(POD_UID)).expect("chown");
        make_socket_dir();
        let cookie = Cookie::from_hex(&server.key).expect("a key");
        // The server takes every cookie of the file, whatever number it is for.
        server.write_authority(&cookie, 0);
        for _ in 0..DISPLAY_ATTEMPTS_MAX {
            server.number = free_number();
            if server.launch() {
                server.write_authority(&cookie, server.number);
                return server;
            }
        }
        panic!("Xvnc did not start: {}", server.log());
    }

    /// Starts on its display and waits until it is ready; false when it ends instead.
    fn launch(&mut self) -> bool {
        let mut command = self.command(&[&self.display(), "-displayfd", "1"]);
        let mut process = Running::start(command.stdout(Stdio::piped()));
        let mut line = String::new();
        let stdout = process.0.stdout.take().expect("a pipe");
        BufReader::new(stdout).read_line(&mut line).expect("Xvnc's display number");
        let ready = line.trim() == self.number.to_string();
        self.process = ready.then_some(process);
        ready
    }

    fn command(&self, more: &[&str]) -> Command {
        let authority = self.authority();
        let mut argv = vec!["Xvnc"];
        argv.extend(more);
        argv.extend(["-auth", authority.to_str().expect("a path")]);
        argv.extend("-SecurityTypes None -rfbport -1 -geometry 640x480".split(' '));
        argv.extend(self.options.iter().map(String::as_str));
        let mut command = self.place.command(&argv);
        command.stderr(File::create(self.dir.path().join("log")).expect("a log file"));
        command.stdout(Stdio::null());
        command
    }

    fn write_authority(&self, cookie: &Cookie, number: u16) {
        let servers = deskd::display::Servers::default();
        deskd::display::write_xauthority(&self.authority(), cookie, number, servers)
            .expect("Xauthority");
        std::os::unix::fs::chown(self.authority(), Some(POD_UID), Some(POD_UID)).expect("chown");
    }

    /// The Xauthority file of its applications.
    pub fn authority(&self) -> PathBuf {
        self.dir.path().join("Xauthority")
    }

    pub fn display(&self) -> String {
        format!(":{}", self.number)
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }

    pub fn running(&self) -> &Running {
        self.process.as_ref().expect("a running server")
    }

    /// SIGKILL, and waits until it is gone.
    pub fn kill(&mut self) {
        self.process = None;
    }

    /// Again on the same display, with the same cookie.
    pub fn restart(&mut self) {
        self.process = None;
        assert!(self.launch(), "Xvnc did not start again: {}", self.log());
    }

    /// An X client as the pod's user.
    pub fn application(&self, argv: &[&str]) -> Running {
        let mut command = Place::pod().command(argv);
        command.env("DISPLAY", self.display()).env("XAUTHORITY", self.authority());
        command.env("HOME", self.dir.path()).stdout(Stdio::null()).stderr(Stdio::null());
        Running::start(&mut command)
    }
}

impl Drop for Xvnc {
    fn drop(&mut self) {
        self.process = None;
        // A killed server leaves its socket behind (with -displayfd there is no lock file).
        let _ = std::fs::remove_file(format!("/tmp/.X11-unix/X{}", self.number));
    }
}

/// A connection as root, to look at the server from outside.
pub fn observer(server: &Xvnc) -> ServerConnection {
    let path = Address::Path(format!("/tmp/.X11-unix/X{}", server.number));
    match connect(&path, Cookie::from_hex(&server.key).ok().as_ref(), PATIENCE) {
        Handshake::Answering(connection) => *connection,
        Handshake::Failed(state) => panic!("the server does not answer: {state:?}"),
    }
}

/// 32 random hex digits.
pub fn fresh_key() -> String {
    let mut bytes = [0_u8; 16];
    getrandom::fill(&mut bytes).expect("random bytes");
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// As the X server's package makes it at boot.
fn make_socket_dir() {
    use std::os::unix::fs::PermissionsExt;
    let dir = std::path::Path::new("/tmp/.X11-unix");
    if std::fs::create_dir(dir).is_ok() {
        std::fs::set_permissions(dir, PermissionsExt::from_mode(0o1777)).expect("chmod");
    }
}

/// This test binary, reachable for every user: a descriptor that children inherit.
fn this_binary() -> String {
    static BINARY: OnceLock<File> = OnceLock::new();
    let file = BINARY.get_or_init(|| {
        let file = File::open(std::env::current_exe().expect("a path")).expect("this binary");
        let flags = nix::fcntl::FcntlArg::F_SETFD(nix::fcntl::FdFlag::empty());
        nix::fcntl::fcntl(&file, flags).expect("a descriptor");
        file
    });
    format!("/proc/self/fd/{}", file.as_raw_fd())
}

/// This test binary in another role (see `display_helper.rs`) in another place.
pub struct Helper {
    pub process: Running,
    said: Receiver<serde_json::Value>,
    /// What it said last.
    heard: serde_json::Value,
}

/// Marks the helper's lines among those of the test harness.
pub const HELPER_MARK: &str = "@@";

impl Helper {
    pub fn start(place: &Place, role: &serde_json::Value) -> Self {
        let argv = ["--exact", "display_helper::plays_its_role", "--nocapture", "--quiet"];
        let binary = this_binary();
        let mut command = place.command(&[&[binary.as_str()], &argv[..]].concat());
        command.env("DESKD_TEST_ROLE", role.to_string()).stdin(Stdio::piped());
        let mut process = Running::start(command.stdout(Stdio::piped()));
        let stdout = process.0.stdout.take().expect("a pipe");
        let (sender, said) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                let Some((_, text)) = line.split_once(HELPER_MARK) else { continue };
                let value = serde_json::from_str(text).expect("JSON from the helper");
                if sender.send(value).is_err() {
                    return;
                }
            }
        });
        Self { process, said, heard: serde_json::Value::Null }
    }

    /// What a helper that says one thing says.
    pub fn answer(place: &Place, role: &serde_json::Value) -> serde_json::Value {
        Self::start(place, role).next()
    }

    /// The next thing it says.
    pub fn next(&mut self) -> serde_json::Value {
        self.try_next().expect("the helper says something")
    }

    /// The same; nothing when it has ended.
    pub fn try_next(&mut self) -> Option<serde_json::Value> {
        match self.said.recv_timeout(PATIENCE) {
            Ok(said) => {
                self.heard = said.clone();
                Some(said)
            }
            Err(RecvTimeoutError::Disconnected) => None,
            Err(RecvTimeoutError::Timeout) => {
                panic!("the helper said nothing for {PATIENCE:?} after {}", self.heard)
            }
        }
    }

    /// Skips to something it says.
    pub fn until(
        &mut self,
        mut wanted: impl FnMut(&serde_json::Value) -> bool,
    ) -> serde_json::Value {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let said = self.next();
            if wanted(&said) {
                return said;
            }
            assert!(Instant::now() < deadline, "the helper only says {said}");
        }
    }

    /// Tells it something.
    pub fn tell(&mut self, line: &str) {
        let stdin = self.process.0.stdin.as_mut().expect("a pipe");
        writeln!(stdin, "{line}").expect("a listening helper");
    }
}
