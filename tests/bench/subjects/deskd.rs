//! deskd, over the unix socket (`docs/api.md`): one keep-alive connection for requests, of which one can
//! launch many. The programs need no display; where a row starts none, `DISPLAY` names one that
//! nobody serves.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::web::WebFollow;
use crate::http::{Answer, Body, Http, request};
use crate::os;
use crate::subject::{Follow, HealthClient, Kind, Root, Setup, Subject, deskd_binary, until_ready};

/// Launches of one request (`docs/api.md`).
const LAUNCHES_MAX: usize = 256;
/// A display that nobody serves.
const DISPLAY_UNUSED: &str = ":6099";
/// Bytes of one application that makes the daemon big: under the API's limit of 1 MiB.
const APP_BYTES: usize = 1_000_000;
/// Bytes asked for in one read of a log.
const LOG_READ_BYTES: usize = 1 << 20;

struct Deskd {
    root: Root,
    dir: PathBuf,
    display: String,
    http: Http,
    tasks: HashMap<String, String>,
}

/// The configuration file's text.
fn config(setup: &Setup) -> String {
    let mut text = "listen = \"none\"\n".to_owned();
    if setup.tasks_max > 0 {
        let _ = writeln!(text, "tasks_max = {}", setup.tasks_max);
    }
    if setup.log_bytes > 0 {
        let bytes = setup.log_bytes;
        let _ =
            write!(text, "[log_store]\ntask_limit = \"{bytes} B\"\ntotal_limit = \"{bytes} B\"\n");
    }
    for service in &setup.services {
        let _ = write!(
            text,
            "[app.{}]\ncommand = {:?}\nneeds_display = false\n",
            service.name, service.argv
        );
    }
    text
}

/// The command that runs it, with an environment of its own.
fn command(dir: &Path, display: &str) -> Command {
    let mut command = Command::new(deskd_binary());
    command.arg("run").arg("--config").arg(dir.join("deskd.toml")).env_clear();
    command.envs(std::env::vars_os().filter(|(name, _)| name == "PATH" || name == "HOME"));
    command.env("DESKD_STATE_DIR", dir.join("state")).env("DISPLAY", display);
    command.env("DESKD_LISTEN", "none").env("DESKD_LOG", "warn");
    command
}

/// Boots it.
pub fn boot(dir: &Path, setup: &Setup) -> Result<Box<dyn Subject>> {
    fs::write(dir.join("deskd.toml"), config(setup))?;
    let display = setup.display.as_deref().unwrap_or(DISPLAY_UNUSED);
    let root = Root::spawn(&mut command(dir, display), dir)?;
    let socket = dir.join("state/deskd.sock");
    until_ready(|| alive(&socket))?;
    let http = Http::connect(&socket)?;
    let (dir, display) = (dir.to_owned(), display.to_owned());
    let mut subject = Deskd { root, dir, display, http, tasks: HashMap::new() };
    for service in setup.services.iter().filter(|service| service.autostart) {
        subject.start(&service.name)?;
    }
    Ok(Box::new(subject))
}

/// Whether a request on a fresh connection is answered by 200.
fn alive(socket: &Path) -> bool {
    Http::connect(socket)
        .and_then(|mut http| http.get("/livez"))
        .is_ok_and(|answer| answer.status == 200)
}

/// Of a task what the bench needs.
#[derive(serde::Deserialize)]
struct Task {
    id: String,
}

/// The id in a `Task`.
fn task_id(answer: &Answer) -> Result<String> {
    if answer.status != 201 {
        bail!("launch answered {}: {}", answer.status, String::from_utf8_lossy(&answer.body));
    }
    Ok(serde_json::from_slice::<Task>(&answer.body)?.id)
}

fn launch(service: &str) -> Vec<u8> {
    request("POST", "/v1/tasks", "application/json", &format!("{{\"app\":\"{service}\"}}"))
}

/// The data of `lines` events; other events and fields are passed over.
fn sse_lines(raw: &[u8], line: &mut dyn FnMut(&[u8])) {
    #[derive(serde::Deserialize)]
    struct Record {
        text: String,
    }
    let Some(data) = raw.strip_prefix(b"data: ").or_else(|| raw.strip_prefix(b"data:")) else {
        return;
    };
    for record in serde_json::from_slice::<Vec<Record>>(data).unwrap_or_default() {
        line(record.text.as_bytes());
    }
}

impl Deskd {
    fn socket(&self) -> PathBuf {
        self.dir.join("state/deskd.sock")
    }

    fn task(&self, service: &str) -> Result<&String> {
        self.tasks.get(service).with_context(|| format!("{service} was not started"))
    }
}

impl Subject for Deskd {
    fn kind(&self) -> Kind {
        Kind::Deskd
    }

    fn root(&self) -> i32 {
        self.root.pid()
    }

    fn start(&mut self, service: &str) -> Result<()> {
        self.http.send(&launch(service))?;
        let answer = self.http.answer()?;
        self.tasks.insert(service.to_owned(), task_id(&answer)?);
        Ok(())
    }

    fn start_all(&mut self, services: &[String]) -> Result<()> {
        #[derive(serde::Deserialize)]
        struct Launched {
            task: Task,
        }
        for services in services.chunks(LAUNCHES_MAX) {
            let launches: Vec<_> =
                services.iter().map(|app| serde_json::json!({"app": app})).collect();
            let launches = serde_json::Value::from(launches).to_string();
            let answer = self.http.json("POST", "/v1/tasks", &launches)?;
            let launched: Vec<Launched> = serde_json::from_slice(&answer.body)
                .with_context(|| format!("launches answered {}", answer.status))?;
            let ids = launched.into_iter().map(|launched| launched.task.id);
            self.tasks.extend(services.iter().cloned().zip(ids));
        }
        Ok(())
    }

    fn forget(&mut self) -> Result<()> {
        for (_, id) in std::mem::take(&mut self.tasks) {
            let path = format!("/v1/tasks/{id}");
            let http = &mut self.http;
            let mut status = 0;
            os::wait_until(5_000, || {
                status = http.json("DELETE", &path, "").map_or(0, |answer| answer.status);
                matches!(status, 204 | 404)
            });
            if !matches!(status, 204 | 404) {
                bail!("DELETE {path} answered {status}");
            }
        }
        Ok(())
    }

    fn health(&mut self) -> Result<bool> {
        let answer = self.http.get("/livez")?;
        if answer.status != 200 {
            bail!("health answered {}", answer.status);
        }
        Ok(true)
    }

    fn health_client(&self) -> Result<Option<HealthClient>> {
        HealthClient::connect(&self.socket(), "/livez").map(Some)
    }

    fn panel(&self) -> Result<Body> {
        Http::connect(&self.socket())?.stream("/v1/events")
    }

    fn follow(&mut self, service: &str) -> Result<Box<dyn Follow>> {
        let path = format!("/v1/tasks/{}/log/stream?follow=true&tail=0", self.task(service)?);
        let body = Http::connect(&self.socket())?.stream(&path)?;
        Ok(Box::new(WebFollow::new(body, sse_lines)))
    }

    fn kept(&mut self, service: &str, line: &mut dyn FnMut(&[u8])) -> Result<()> {
        let id = self.task(service)?.clone();
        let mut http = Http::connect(&self.socket())?;
        let mut text: Vec<u8> = Vec::new();
        let mut from = 0u64;
        loop {
            let path = format!("/v1/tasks/{id}/log?from={from}&bytes_max={LOG_READ_BYTES}");
            let mut answer = http.get(&path)?;
            if answer.status != 200 {
                bail!("{path} answered {}", answer.status);
            }
            let next = answer.header("deskd-log-next").and_then(|v| v.parse().ok());
            let next = next.context("no Deskd-Log-Next header")?;
            text.append(&mut answer.body);
            if let Some(end) = memchr::memrchr(b'\n', &text) {
                text.get(..end).unwrap_or_default().split(|&b| b == b'\n').for_each(&mut *line);
                text.drain(..=end);
            }
            if next == from {
                break;
            }
            from = next;
        }
        if !text.is_empty() {
            line(&text);
        }
        Ok(())
    }

    /// The keeper starts the daemon again by itself. Of a killed keeper its daemon takes the place, and what an init
    /// starts stands by.
    fn revive(&mut self) -> Result<()> {
        if !os::lives(self.root.pid()) {
            self.root = Root::spawn(&mut command(&self.dir, &self.display), &self.dir)?;
        }
        let socket = self.socket();
        until_ready(|| alive(&socket))?;
        self.reconnect()
    }

    fn reconnect(&mut self) -> Result<()> {
        let socket = self.socket();
        self.http = Http::connect(&socket)?;
        Ok(())
    }

    /// Applications with one very long keyword each, over `PUT /v1/apps`.
    fn fatten(&mut self, bytes: usize) -> Result<()> {
        let word = "x".repeat(APP_BYTES);
        for n in 0..bytes / APP_BYTES {
            let app = serde_json::json!({
                "id": format!("big-{n}"), "keywords": [word], "needs_display": false,
                "local": {"command": ["true"]},
            });
            let answer = self.http.json("PUT", "/v1/apps", &app.to_string())?;
            if answer.status != 201 {
                bail!("PUT answered {}: {}", answer.status, String::from_utf8_lossy(&answer.body));
            }
        }
        Ok(())
    }

    /// The daemon, the keeper's only child that is no application.
    fn victim(&self) -> i32 {
        os::own_processes(self.root()).get(1).copied().unwrap_or(self.root())
    }
}
