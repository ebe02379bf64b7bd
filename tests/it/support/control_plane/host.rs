//! The processes of one control plane and the directory they live in. Both are gone soon after the
//! test binary, however that ends.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, also in its helpers")]

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU16, Ordering::Relaxed};

/// Below the ports that the kernel hands out, so that nobody takes one while a server is down.
const PORT_FIRST: u16 = 20_000;
const PORT_COUNT: u16 = 12_000;
/// Keeps test binaries that run at the same time apart.
const PORTS_PER_PROCESS: u32 = 40;

/// A shell that starts, stops and cleans up.
pub(super) struct Host {
    dir: PathBuf,
    programs: PathBuf,
    shell: Child,
    pipes: Mutex<Pipes>,
}

struct Pipes {
    orders: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Host {
    /// With the programs of a directory.
    #[expect(clippy::disallowed_methods, reason = "the shell that owns the control plane")]
    pub(super) fn new(programs: &Path) -> Self {
        let dir = tempfile::Builder::new().prefix("deskd-control-plane-").tempdir().unwrap().keep();
        let mut shell = Command::new("sh")
            .args(["-c", include_str!("host.sh"), "sh"])
            .arg(&dir)
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .env("HOME", &dir)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // Ctrl-C ends the tests, and their end ends the shell in order.
            .process_group(0)
            .spawn()
            .unwrap();
        let orders = shell.stdin.take();
        let answers = BufReader::new(shell.stdout.take().unwrap());
        let pipes = Mutex::new(Pipes { orders, answers });
        Self { dir, programs: programs.to_owned(), shell, pipes }
    }

    /// Of everything that this control plane keeps.
    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    /// The path of one of the programs.
    pub(super) fn program(&self, name: &str) -> PathBuf {
        self.programs.join(name)
    }

    /// Starts a program for the first time.
    pub(super) fn run(&self, name: &str, arguments: &[String]) {
        let program = self.program(name).to_str().unwrap().to_owned();
        let words = [program].into_iter().chain(arguments.iter().cloned());
        let script = format!("exec {}\n", shell_words::join(words));
        std::fs::write(self.dir.join(format!("{name}.sh")), script).unwrap();
        self.start(name);
    }

    /// Starts a program again, as it was started first.
    pub(super) fn start(&self, name: &str) {
        self.order("start", name, "started");
    }

    /// Kills a program.
    pub(super) fn stop(&self, name: &str) {
        self.order("stop", name, "stopped");
    }

    /// Whether a program that was started is still there.
    pub(super) fn runs(&self, name: &str) -> bool {
        let pid = std::fs::read_to_string(self.dir.join(format!("{name}.pid"))).unwrap();
        crate::support::proc::is_alive(pid.trim().parse().unwrap())
    }

    /// The end of what a program printed.
    pub(super) fn log_tail(&self, name: &str) -> String {
        let log = std::fs::read(self.dir.join(format!("{name}.log"))).unwrap_or_default();
        let tail = &log[log.len().saturating_sub(4000)..];
        format!("--- {name}:\n{}\n", String::from_utf8_lossy(tail))
    }

    fn order(&self, verb: &str, name: &str, expected: &str) {
        let mut pipes = self.pipes.lock().unwrap();
        writeln!(pipes.orders.as_mut().unwrap(), "{verb} {name}").unwrap();
        let mut answer = String::new();
        pipes.answers.read_line(&mut answer).unwrap();
        assert_eq!(answer.trim_end(), expected, "{verb} {name}");
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        if let Ok(mut pipes) = self.pipes.lock() {
            pipes.orders = None;
        }
        let _ = self.shell.wait();
    }
}

/// A TCP port of the loopback address that nobody listens on.
pub fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let base = std::process::id() * PORTS_PER_PROCESS % u32::from(PORT_COUNT);
    let base = u16::try_from(base).unwrap();
    let mut candidates = std::iter::repeat_with(|| {
        PORT_FIRST + (base + NEXT.fetch_add(1, Relaxed) % PORT_COUNT) % PORT_COUNT
    });
    let free = |port: &u16| TcpListener::bind(("127.0.0.1", *port)).is_ok();
    candidates.by_ref().take(usize::from(PORT_COUNT)).find(free).unwrap()
}
