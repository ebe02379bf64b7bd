//! What the same work costs with nothing around it: posix_spawn, a plain pipe reader that writes to
//! a file, a bare axum server on a unix socket.

use std::ffi::CString;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use nix::spawn::{PosixSpawnAttr, PosixSpawnFileActions, posix_spawn};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;

use crate::fifo::{Fifo, readable};
use crate::os::{self, now_ns};
use crate::subject::{Root, until_ready};

/// Bytes read from the pipe at once: its default capacity, pipe(7).
const READ_BYTES: usize = 64 << 10;

/// Starts a program the cheapest way there is; its output goes to `stdout`, if given.
pub fn spawn(argv: &[String], stdout: Option<&OwnedFd>) -> Result<i32> {
    let argv: Vec<CString> =
        argv.iter().map(|arg| CString::new(arg.as_bytes())).collect::<Result<_, _>>()?;
    let program = argv.first().context("empty argv")?.as_c_str();
    let mut actions = PosixSpawnFileActions::init()?;
    if let Some(fd) = stdout {
        actions.add_dup2(fd.as_raw_fd(), 1)?;
    }
    let environment: [CString; 0] = [];
    let pid = posix_spawn(program, &actions, &PosixSpawnAttr::init()?, &argv, &environment)?;
    Ok(pid.as_raw())
}

/// A program whose output a plain reader takes.
pub struct Pipe {
    read: File,
    pid: i32,
}

impl Pipe {
    /// Starts it.
    pub fn spawn(argv: &[String]) -> Result<Self> {
        let (read, write) = nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC)?;
        let pid = spawn(argv, Some(&write))?;
        Ok(Self { read: read.into(), pid })
    }

    /// Waits for a line: when it came, and what it says.
    pub fn line(&mut self, limit_ms: u64) -> Result<Option<(u64, Vec<u8>)>> {
        if !readable(&self.read, limit_ms) {
            return Ok(None);
        }
        let mut text = vec![0; 4096];
        let read = self.read.read(&mut text)?;
        let at = now_ns();
        text.truncate(read);
        Ok(Some((at, text.trim_ascii_end().to_vec())))
    }

    /// Copies everything to `file` until the program ends; the CPU seconds that took.
    pub fn copy_to(&mut self, file: &Path) -> Result<f64> {
        let cpu = || -> Result<i64> {
            let usage = getrusage(UsageWho::RUSAGE_THREAD)?;
            Ok(usage.user_time().num_microseconds() + usage.system_time().num_microseconds())
        };
        let before = cpu()?;
        let mut out = File::create(file)?;
        let mut buffer = vec![0; READ_BYTES];
        loop {
            let read = self.read.read(&mut buffer)?;
            if read == 0 {
                break;
            }
            out.write_all(buffer.get(..read).unwrap_or_default())?;
        }
        Ok((cpu()? - before) as f64 / 1e6)
    }
}

impl Drop for Pipe {
    fn drop(&mut self) {
        os::kill_9(self.pid);
        os::wait_until(2_000, || {
            os::reap();
            !os::lives(self.pid)
        });
    }
}

/// One start: from just before posix_spawn to the program's first instruction, nanoseconds.
pub fn start_ns(argv: &[String], tag: u32, fifo: &mut Fifo) -> Result<u64> {
    let asked = now_ns();
    let pid = spawn(argv, None)?;
    let report = fifo.next_of(tag, 5_000)?;
    os::wait_until(2_000, || {
        os::reap();
        !os::lives(pid)
    });
    Ok(report.ns.saturating_sub(asked))
}

/// Serves `/livez` on a unix socket with axum and nothing else; for a process of its own.
pub fn serve_axum(socket: &Path) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = tokio::net::UnixListener::bind(socket)?;
        let app = axum::Router::new().route("/livez", axum::routing::get(|| async { "ok\n" }));
        Ok(axum::serve(listener, app).await?)
    })
}

/// Starts this program again as the bare axum server.
pub fn boot_axum(dir: &Path) -> Result<Root> {
    let socket = dir.join("axum.sock");
    let _ = std::fs::remove_file(&socket);
    let me = std::env::current_exe()?;
    let root = Root::spawn(Command::new(me).arg("--axum").arg(&socket), dir)?;
    until_ready(|| std::os::unix::net::UnixStream::connect(&socket).is_ok())?;
    Ok(root)
}
