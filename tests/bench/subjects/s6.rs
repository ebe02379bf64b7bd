//! s6: `run` scripts in sh (Debian's execlineb is a chain of wrappers and slower), orders by writing to `supervise/control` (what `s6-svc` does,
//! without starting a process for it), loggers by s6-log with a TAI64N timestamp per line.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::Write;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::files::{FileFollow, archives, each_line};
use crate::subject::{Follow, Kind, Root, Setup, Subject, until_ready};

/// `@` + 24 hex digits + space.
const TIMESTAMP_BYTES: usize = 26;
/// s6-log's largest size of one file, bytes.
const FILE_BYTES: u64 = 268_435_455;

struct S6 {
    root: Root,
    dir: PathBuf,
    control: HashMap<String, File>,
}

/// Writes a script that can be executed.
pub fn script(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text)?;
    Ok(fs::set_permissions(path, Permissions::from_mode(0o755))?)
}

/// Opens a FIFO that somebody must be reading.
pub fn open_control(path: &Path) -> std::io::Result<File> {
    OpenOptions::new().write(true).custom_flags(nix::libc::O_NONBLOCK).open(path)
}

fn spawn(dir: &Path) -> Result<Root> {
    let scan = dir.join("scan");
    Root::spawn(Command::new("s6-svscan").args(["-c", "1000"]).arg(&scan), dir)
}

/// Boots it.
pub fn boot(dir: &Path, setup: &Setup) -> Result<Box<dyn Subject>> {
    let scan = dir.join("scan");
    fs::create_dir_all(&scan)?;
    for service in &setup.services {
        let home = scan.join(&service.name);
        fs::create_dir_all(&home)?;
        script(&home.join("run"), &format!("#!/bin/sh\nexec {}\n", service.argv.join(" ")))?;
        if !service.autostart {
            fs::write(home.join("down"), "")?;
        }
        if setup.loggers {
            let log = dir.join("log").join(&service.name);
            fs::create_dir_all(home.join("log"))?;
            fs::create_dir_all(&log)?;
            let run = format!("#!/bin/sh\nexec s6-log -b n100 s{FILE_BYTES} t {}\n", log.display());
            script(&home.join("log/run"), &run)?;
        }
    }
    let root = spawn(dir)?;
    let mut subject = S6 { root, dir: dir.to_owned(), control: HashMap::new() };
    let svscan = scan.join(".s6-svscan/control");
    until_ready(|| open_control(&svscan).is_ok())?;
    for service in &setup.services {
        let path = scan.join(&service.name).join("supervise/control");
        let current = dir.join("log").join(&service.name).join("current");
        until_ready(|| open_control(&path).is_ok())?;
        until_ready(|| !setup.loggers || current.exists())?;
        subject.control.insert(service.name.clone(), open_control(&path)?);
    }
    Ok(Box::new(subject))
}

impl Subject for S6 {
    fn kind(&self) -> Kind {
        Kind::S6
    }

    fn root(&self) -> i32 {
        self.root.pid()
    }

    fn start(&mut self, service: &str) -> Result<()> {
        Ok(self.control.get_mut(service).context("no such service")?.write_all(b"o")?)
    }

    fn follow(&mut self, service: &str) -> Result<Box<dyn Follow>> {
        let path = self.dir.join("log").join(service).join("current");
        Ok(Box::new(FileFollow::open(&path, TIMESTAMP_BYTES)?))
    }

    fn kept(&mut self, service: &str, line: &mut dyn FnMut(&[u8])) -> Result<()> {
        let files = archives(&self.dir.join("log").join(service))?;
        each_line(&files, TIMESTAMP_BYTES, line)
    }

    fn revive(&mut self) -> Result<()> {
        self.root = spawn(&self.dir)?;
        Ok(())
    }
}
