//! dinit, over its control socket: the packets of `control-cmds.h`, protocol version 5 (dinit 0.19) and later.
//!
//! Its services write their log files themselves (`logfile`), which is how dinit keeps output on disk: no byte passes
//! through the supervisor.

use std::collections::HashMap;
use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::files::{FileFollow, each_line};
use crate::subject::{Follow, Kind, Root, Setup, Subject, until_ready};

/// Requests.
const LOAD_SERVICE: u8 = 2;
const START_SERVICE: u8 = 3;
/// Replies.
const ACK: u8 = 50;
const SERVICE_RECORD: u8 = 59;
const ALREADY_STARTED: u8 = 61;
/// Replies from here on are news of services, of which nobody asked: type, length of the whole, the rest.
const NEWS_MIN: u8 = 100;
/// Longest wait for a reply, seconds.
const REPLY_S_MAX: u64 = 30;

/// Orders that are not answered yet: those fit into the 1,024 bytes that dinit reads ahead, of which more make it
/// stop answering.
const ORDERS_MAX: usize = 64;

struct Dinit {
    root: Root,
    dir: PathBuf,
    control: UnixStream,
    handles: HashMap<String, [u8; 4]>,
}

fn spawn(dir: &Path) -> Result<Root> {
    let mut command = Command::new("dinit");
    command.args(["--user", "--quiet", "--services-dir"]).arg(dir.join("services"));
    command.arg("--socket-path").arg(dir.join("control")).arg("boot");
    Root::spawn(&mut command, dir)
}

fn connect(dir: &Path) -> std::io::Result<UnixStream> {
    let control = UnixStream::connect(dir.join("control"))?;
    control.set_read_timeout(Some(Duration::from_secs(REPLY_S_MAX)))?;
    Ok(control)
}

/// Boots it.
pub fn boot(dir: &Path, setup: &Setup) -> Result<Box<dyn Subject>> {
    let services = dir.join("services");
    fs::create_dir_all(&services)?;
    let mut boot = "type = internal\n".to_owned();
    for service in &setup.services {
        let mut text = format!("type = process\ncommand = {}\n", service.argv.join(" "));
        text += "restart = false\n";
        if setup.loggers {
            let log = dir.join(&service.name).with_extension("log");
            fs::write(&log, "")?;
            text += &format!("logfile = {}\n", log.display());
        }
        fs::write(services.join(&service.name), text)?;
        if service.autostart {
            boot += &format!("waits-for = {}\n", service.name);
        }
    }
    fs::write(services.join("boot"), boot)?;
    let root = spawn(dir)?;
    until_ready(|| connect(dir).is_ok())?;
    let control = connect(dir)?;
    let mut subject = Dinit { root, dir: dir.to_owned(), control, handles: HashMap::new() };
    for service in &setup.services {
        subject.load(&service.name)?;
    }
    Ok(Box::new(subject))
}

impl Dinit {
    fn read<const N: usize>(&mut self) -> Result<[u8; N]> {
        let mut bytes = [0; N];
        self.control.read_exact(&mut bytes).context("dinit's reply")?;
        Ok(bytes)
    }

    /// The type of the next reply; news are passed over.
    fn reply(&mut self) -> Result<u8> {
        loop {
            let [kind] = self.read()?;
            if kind < NEWS_MIN {
                return Ok(kind);
            }
            let [length] = self.read()?;
            let mut rest = vec![0; usize::from(length).saturating_sub(2)];
            self.control.read_exact(&mut rest)?;
        }
    }

    fn load(&mut self, service: &str) -> Result<()> {
        let mut packet = vec![LOAD_SERVICE];
        packet.extend_from_slice(&u16::try_from(service.len())?.to_ne_bytes());
        packet.extend_from_slice(service.as_bytes());
        self.control.write_all(&packet)?;
        match self.reply()? {
            SERVICE_RECORD => {
                let [_state, a, b, c, d, _target] = self.read()?;
                self.handles.insert(service.to_owned(), [a, b, c, d]);
                Ok(())
            }
            other => bail!("dinit answered {other} to LOADSERVICE {service}"),
        }
    }

    fn order(&mut self, service: &str) -> Result<()> {
        let [a, b, c, d] = *self.handles.get(service).context("no such service")?;
        Ok(self.control.write_all(&[START_SERVICE, 0, a, b, c, d])?)
    }

    fn answered(&mut self) -> Result<()> {
        match self.reply()? {
            ACK | ALREADY_STARTED => Ok(()),
            other => bail!("dinit answered {other} to STARTSERVICE"),
        }
    }

    fn log(&self, service: &str) -> PathBuf {
        self.dir.join(service).with_extension("log")
    }
}

impl Subject for Dinit {
    fn kind(&self) -> Kind {
        Kind::Dinit
    }

    fn root(&self) -> i32 {
        self.root.pid()
    }

    fn start(&mut self, service: &str) -> Result<()> {
        self.order(service)?;
        self.answered()
    }

    fn start_all(&mut self, services: &[String]) -> Result<()> {
        for services in services.chunks(ORDERS_MAX) {
            services.iter().try_for_each(|service| self.order(service))?;
            services.iter().try_for_each(|_| self.answered())?;
        }
        Ok(())
    }

    fn follow(&mut self, service: &str) -> Result<Box<dyn Follow>> {
        Ok(Box::new(FileFollow::open(&self.log(service), 0)?))
    }

    fn kept(&mut self, service: &str, line: &mut dyn FnMut(&[u8])) -> Result<()> {
        each_line(&[self.log(service)], 0, line)
    }

    fn revive(&mut self) -> Result<()> {
        self.root = spawn(&self.dir)?;
        let dir = self.dir.clone();
        until_ready(|| connect(&dir).is_ok())?;
        self.reconnect()
    }

    /// News of services that end, between two rounds, make dinit forget orders that it has read.
    fn reconnect(&mut self) -> Result<()> {
        self.control = connect(&self.dir)?;
        let services: Vec<String> = self.handles.keys().cloned().collect();
        services.iter().try_for_each(|service| self.load(service))
    }
}
