//! What s6 and runit have in common, as daemontools made it: a scan directory of services with `run`
//! scripts in sh, orders as bytes into `supervise/control` (what `s6-svc` and `sv` do, without
//! starting a process for it), loggers that put a TAI64N timestamp before each line.

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

/// Where the two differ.
pub struct Flavor {
    /// Which.
    pub kind: Kind,
    /// The first process, for a scan directory.
    pub root: fn(&Path) -> Command,
    /// Prepares a log directory and says the command of its logger.
    pub logger: fn(&Path) -> Result<String>,
    /// A FIFO below the scan directory that the first process reads once it takes orders.
    pub ready: Option<&'static str>,
}

struct Supervise {
    flavor: &'static Flavor,
    root: Root,
    dir: PathBuf,
    control: HashMap<String, File>,
}

/// Writes a script that can be executed.
fn script(path: &Path, command: &str) -> Result<()> {
    fs::write(path, format!("#!/bin/sh\nexec {command}\n"))?;
    Ok(fs::set_permissions(path, Permissions::from_mode(0o755))?)
}

/// Opens a FIFO that somebody must be reading.
fn open_control(path: &Path) -> std::io::Result<File> {
    OpenOptions::new().write(true).custom_flags(nix::libc::O_NONBLOCK).open(path)
}

fn spawn(flavor: &Flavor, dir: &Path) -> Result<Root> {
    Root::spawn(&mut (flavor.root)(&dir.join("scan")), dir)
}

/// Boots it.
pub fn boot(flavor: &'static Flavor, dir: &Path, setup: &Setup) -> Result<Box<dyn Subject>> {
    let scan = dir.join("scan");
    fs::create_dir_all(&scan)?;
    for service in &setup.services {
        let home = scan.join(&service.name);
        fs::create_dir_all(&home)?;
        script(&home.join("run"), &service.argv.join(" "))?;
        if !service.autostart {
            fs::write(home.join("down"), "")?;
        }
        if setup.loggers {
            let log = dir.join("log").join(&service.name);
            fs::create_dir_all(home.join("log"))?;
            fs::create_dir_all(&log)?;
            script(&home.join("log/run"), &(flavor.logger)(&log)?)?;
        }
    }
    let root = spawn(flavor, dir)?;
    let mut subject = Supervise { flavor, root, dir: dir.to_owned(), control: HashMap::new() };
    if let Some(fifo) = flavor.ready {
        until_ready(|| open_control(&scan.join(fifo)).is_ok())?;
    }
    for service in &setup.services {
        let path = scan.join(&service.name).join("supervise/control");
        let current = dir.join("log").join(&service.name).join("current");
        until_ready(|| open_control(&path).is_ok())?;
        until_ready(|| !setup.loggers || current.exists())?;
        subject.control.insert(service.name.clone(), open_control(&path)?);
    }
    Ok(Box::new(subject))
}

impl Subject for Supervise {
    fn kind(&self) -> Kind {
        self.flavor.kind
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
        self.root = spawn(self.flavor, &self.dir)?;
        Ok(())
    }
}
