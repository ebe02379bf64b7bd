//! supervisord: orders by XML-RPC over its unix socket, one connection kept open; output into a raw
//! file per program (no timestamps), no rotation.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, bail};

use super::files::{FileFollow, each_line};
use crate::http::{Http, request};
use crate::subject::{Follow, Kind, Root, Setup, Subject, until_ready};

struct Supervisord {
    root: Root,
    dir: PathBuf,
    http: Http,
}

fn call(method: &str, arguments: &[String]) -> String {
    let mut body =
        format!("<?xml version='1.0'?><methodCall><methodName>{method}</methodName><params>");
    for argument in arguments {
        let _ = write!(body, "<param><value>{argument}</value></param>");
    }
    body + "</params></methodCall>"
}

fn spawn(dir: &Path) -> Result<Root> {
    let config = dir.join("supervisord.conf");
    Root::spawn(Command::new("supervisord").arg("-n").arg("-c").arg(config), dir)
}

fn config(dir: &Path, setup: &Setup) -> String {
    let mut text = format!(
        "[unix_http_server]\nfile={0}/sock\n[supervisord]\nnodaemon=true\nlogfile={0}/log\n\
         logfile_maxbytes=0\npidfile={0}/pid\nloglevel=warn\nminfds=8192\nchildlogdir={0}\n\
         [rpcinterface:supervisor]\n\
         supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface\n",
        dir.display()
    );
    for service in &setup.services {
        let _ = write!(
            text,
            "[program:{0}]\ncommand={1}\nautostart={2}\nautorestart=false\nstartsecs=0\n\
             stdout_logfile={3}/{0}.log\nstdout_logfile_maxbytes=0\n",
            service.name,
            service.argv.join(" "),
            service.autostart,
            dir.display()
        );
    }
    text
}

/// Boots it.
pub fn boot(dir: &Path, setup: &Setup) -> Result<Box<dyn Subject>> {
    fs::write(dir.join("supervisord.conf"), config(dir, setup))?;
    let root = spawn(dir)?;
    let socket = dir.join("sock");
    until_ready(|| Http::connect(&socket).is_ok())?;
    let http = Http::connect(&socket)?;
    let mut subject = Supervisord { root, dir: dir.to_owned(), http };
    subject.call("supervisor.getState", &[])?;
    Ok(Box::new(subject))
}

impl Supervisord {
    fn call(&mut self, method: &str, arguments: &[String]) -> Result<()> {
        self.http.send(&request("POST", "/RPC2", "text/xml", &call(method, arguments)))?;
        let answer = self.http.answer()?;
        let text = String::from_utf8_lossy(&answer.body);
        if answer.status != 200 || text.contains("<fault>") {
            bail!("{method} answered {} {text}", answer.status);
        }
        Ok(())
    }
}

impl Subject for Supervisord {
    fn kind(&self) -> Kind {
        Kind::Supervisord
    }

    fn root(&self) -> i32 {
        self.root.pid()
    }

    fn start(&mut self, service: &str) -> Result<()> {
        let name = format!("<string>{service}</string>");
        self.call("supervisor.startProcess", &[name, "<boolean>0</boolean>".to_owned()])
    }

    fn start_all(&mut self, _services: &[String]) -> Result<()> {
        self.call("supervisor.startAllProcesses", &["<boolean>0</boolean>".to_owned()])
    }

    fn follow(&mut self, service: &str) -> Result<Box<dyn Follow>> {
        let path = self.dir.join(format!("{service}.log"));
        Ok(Box::new(FileFollow::open(&path, 0)?))
    }

    fn kept(&mut self, service: &str, line: &mut dyn FnMut(&[u8])) -> Result<()> {
        each_line(&[self.dir.join(format!("{service}.log"))], 0, line)
    }

    fn revive(&mut self) -> Result<()> {
        self.root = spawn(&self.dir)?;
        Ok(())
    }
}
