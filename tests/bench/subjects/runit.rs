//! runit: `run` scripts in sh, orders by writing to `supervise/control` (what `sv` does), loggers by
//! svlogd with a timestamp per line.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::files::{FileFollow, archives, each_line};
use super::s6::{open_control, script};
use crate::subject::{Follow, Kind, Root, Setup, Subject, until_ready};

/// `@` + 24 hex digits + space.
const TIMESTAMP_BYTES: usize = 26;

struct Runit {
    root: Root,
    dir: PathBuf,
    control: HashMap<String, File>,
}

fn spawn(dir: &Path) -> Result<Root> {
    Root::spawn(Command::new("runsvdir").arg(dir.join("scan")), dir)
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
            fs::write(log.join("config"), "s1000000000\nn100\n")?;
            let run = format!("#!/bin/sh\nexec svlogd -b 65536 -t {}\n", log.display());
            script(&home.join("log/run"), &run)?;
        }
    }
    let root = spawn(dir)?;
    let mut subject = Runit { root, dir: dir.to_owned(), control: HashMap::new() };
    for service in &setup.services {
        let path = scan.join(&service.name).join("supervise/control");
        let current = dir.join("log").join(&service.name).join("current");
        until_ready(|| open_control(&path).is_ok())?;
        until_ready(|| !setup.loggers || current.exists())?;
        subject.control.insert(service.name.clone(), open_control(&path)?);
    }
    Ok(Box::new(subject))
}

impl Subject for Runit {
    fn kind(&self) -> Kind {
        Kind::Runit
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
