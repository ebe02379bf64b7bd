//! What all rows share: the working directory, the probe program, the FIFO, the subjects.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::fifo::Fifo;
use crate::os;
use crate::report::Row;
use crate::subject::{Kind, Service, Setup, Subject};

/// Free space that makes `/dev/shm` the place for the bench's files, bytes: the capture row writes
/// up to 1.6 GiB, and a disk's writeback would be measured instead of the supervisors.
const SHM_BYTES_MIN: u64 = 6 << 30;

/// The bench's state.
pub struct Bench {
    /// Working directory, removed at the end.
    pub dir: PathBuf,
    /// The probe's path.
    pub probe: String,
    /// The probe as an ordinary, dynamically linked program.
    pub ordinary: String,
    /// Its reports.
    pub fifo: Fifo,
    /// Who is measured.
    pub kinds: Vec<Kind>,
    _temporary: tempfile::TempDir,
}

/// Where the files go: `BENCH_DIR`, or memory when there is enough, or the temporary directory.
fn place() -> PathBuf {
    if let Some(dir) = std::env::var_os("BENCH_DIR") {
        return dir.into();
    }
    let shm = Path::new("/dev/shm");
    let free = nix::sys::statvfs::statvfs(shm).map(|fs| fs.blocks_available() * fs.fragment_size());
    if free.is_ok_and(|bytes| bytes >= SHM_BYTES_MIN) { shm.into() } else { std::env::temp_dir() }
}

/// Compiler flags of a program without libc.
const BARE: [&str; 7] =
    ["-O2", "-static", "-nostdlib", "-ffreestanding", "-fno-builtin", "-fno-stack-protector", "-s"];

/// Compiles the probe; its path.
fn compile(dir: &Path, name: &str, flags: &[&str]) -> Result<String> {
    let probe = dir.join(name);
    let source = Path::new(env!("DESKD_ROOT")).join("tests/bench/probe.c");
    let mut command = Command::new("cc");
    command.args(flags).arg("-o").args([&probe, &source]);
    if !command.status().context("cannot run cc")?.success() {
        bail!("cc could not compile {}", source.display());
    }
    Ok(probe.display().to_string())
}

impl Bench {
    /// Makes the directory and compiles the probe.
    pub fn prepare(kinds: Vec<Kind>) -> Result<Self> {
        let temporary = tempfile::Builder::new().prefix("deskd-bench-").tempdir_in(place())?;
        let dir = temporary.path().to_owned();
        let probe = compile(&dir, "probe", &BARE)?;
        let ordinary = compile(&dir, "probe-ordinary", &["-O2", "-DORDINARY"])?;
        let fifo = Fifo::create(&dir.join("fifo"))?;
        Ok(Self { dir, probe, ordinary, fifo, kinds, _temporary: temporary })
    }

    /// argv of the probe in `mode`.
    pub fn argv(&self, mode: &str, tag: u32, more: &[&str]) -> Vec<String> {
        let mut argv = vec![self.probe.clone(), mode.to_owned(), self.fifo.path(), tag.to_string()];
        argv.extend(more.iter().map(|&arg| arg.to_owned()));
        argv
    }

    /// `count` services of the same mode, tagged from `first_tag` on.
    pub fn services(&self, count: u32, mode: &str, first_tag: u32, more: &[&str]) -> Vec<Service> {
        (0..count)
            .map(|n| Service {
                name: format!("{mode}-{n}"),
                argv: self.argv(mode, first_tag + n, more),
                autostart: false,
            })
            .collect()
    }

    /// Boots one subject; a failure is printed and shown in the row instead of a figure.
    pub fn boot(&self, kind: Kind, setup: &Setup, row: &mut Row) -> Option<Box<dyn Subject>> {
        kind.installed()?;
        match kind.boot(&self.dir, setup) {
            Ok(subject) => Some(subject),
            Err(error) => {
                eprintln!("{}: {error:#}", kind.name());
                let out = self.dir.join(kind.name()).join("supervisor.out");
                let text = std::fs::read_to_string(out).unwrap_or_default();
                text.lines().rev().take(5).for_each(|line| eprintln!("    {line}"));
                row.cell(kind, "failed");
                None
            }
        }
    }

    /// Boots every subject of the run.
    pub fn boot_all(&self, setup: &Setup, row: &mut Row) -> Vec<Box<dyn Subject>> {
        self.kinds.iter().filter_map(|&kind| self.boot(kind, setup, row)).collect()
    }

    /// Kills whatever a row left behind and empties the FIFO.
    pub fn clean(&mut self) {
        os::kill_tree(nix::unistd::getpid().as_raw());
        self.fifo.drain();
        for kind in Kind::ALL {
            let _ = std::fs::remove_dir_all(self.dir.join(kind.name()));
        }
    }
}
