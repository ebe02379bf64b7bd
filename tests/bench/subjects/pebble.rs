//! Pebble: orders by its HTTP API over its unix socket, output from its log API (a ring of 100 KiB
//! per service).

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, bail};

use super::web::{WebFollow, message_lines};
use crate::http::Http;
use crate::subject::{Follow, HealthClient, Kind, Root, Setup, Subject, until_ready};

struct Pebble {
    root: Root,
    dir: PathBuf,
    http: Http,
    hold: bool,
}

fn spawn(dir: &Path, hold: bool) -> Result<Root> {
    let mut command = Command::new("pebble");
    command.arg("run").env("PEBBLE", dir);
    if hold {
        command.arg("--hold");
    }
    Root::spawn(&mut command, dir)
}

/// Boots it.
pub fn boot(dir: &Path, setup: &Setup) -> Result<Box<dyn Subject>> {
    let mut layer = "summary: bench\n".to_owned();
    if !setup.services.is_empty() {
        layer += "services:\n";
    }
    for service in &setup.services {
        let _ = write!(
            layer,
            "  {}:\n    override: replace\n    command: {}\n    startup: {}\n    \
             on-success: ignore\n    on-failure: ignore\n",
            service.name,
            service.argv.join(" "),
            if service.autostart { "enabled" } else { "disabled" }
        );
    }
    fs::create_dir_all(dir.join("layers"))?;
    fs::write(dir.join("layers/001-bench.yaml"), layer)?;
    let hold = !setup.services.iter().any(|service| service.autostart);
    let root = spawn(dir, hold)?;
    let socket = dir.join(".pebble.socket");
    until_ready(|| Http::connect(&socket).is_ok())?;
    let http = Http::connect(&socket)?;
    let mut subject = Pebble { root, dir: dir.to_owned(), http, hold };
    subject.health()?;
    Ok(Box::new(subject))
}

impl Pebble {
    fn order(&mut self, services: &[String]) -> Result<()> {
        let body = serde_json::json!({"action": "start", "services": services}).to_string();
        let answer = self.http.json("POST", "/v1/services", &body)?;
        if answer.status != 202 {
            bail!("start answered {}: {}", answer.status, String::from_utf8_lossy(&answer.body));
        }
        Ok(())
    }
}

impl Subject for Pebble {
    fn kind(&self) -> Kind {
        Kind::Pebble
    }

    fn root(&self) -> i32 {
        self.root.pid()
    }

    fn start(&mut self, service: &str) -> Result<()> {
        self.order(&[service.to_owned()])
    }

    fn start_all(&mut self, services: &[String]) -> Result<()> {
        self.order(services)
    }

    fn health(&mut self) -> Result<bool> {
        let answer = self.http.get("/v1/health")?;
        if answer.status != 200 {
            bail!("health answered {}", answer.status);
        }
        Ok(true)
    }

    fn health_client(&self) -> Result<Option<HealthClient>> {
        HealthClient::connect(&self.dir.join(".pebble.socket"), "/v1/health").map(Some)
    }

    fn follow(&mut self, service: &str) -> Result<Box<dyn Follow>> {
        let http = Http::connect(&self.dir.join(".pebble.socket"))?;
        let body = http.stream(&format!("/v1/logs?follow=true&services={service}"))?;
        Ok(Box::new(WebFollow::new(body, message_lines)))
    }

    fn kept(&mut self, service: &str, line: &mut dyn FnMut(&[u8])) -> Result<()> {
        let mut http = Http::connect(&self.dir.join(".pebble.socket"))?;
        let answer = http.get(&format!("/v1/logs?n=-1&services={service}"))?;
        answer.body.split(|&b| b == b'\n').for_each(|raw| message_lines(raw, line));
        Ok(())
    }

    fn revive(&mut self) -> Result<()> {
        self.root = spawn(&self.dir, self.hold)?;
        let socket = self.dir.join(".pebble.socket");
        until_ready(|| Http::connect(&socket).and_then(|mut http| http.get("/v1/health")).is_ok())?;
        self.http = Http::connect(&socket)?;
        Ok(())
    }
}
