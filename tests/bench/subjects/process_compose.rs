//! process-compose: orders by its HTTP API over its unix socket, programs by `entrypoint` (no shell
//! between), output followed over its WebSocket and kept in its log file (JSON lines).

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, bail};

use super::files::each_line;
use super::web::{WebFollow, message_lines};
use crate::http::Http;
use crate::os::wait_until;
use crate::subject::{Follow, HealthClient, Kind, Root, Setup, Subject, until_ready};

/// Longest time from an answering socket to a loaded project, milliseconds.
const LOADING_MS_MAX: u64 = 10_000;

struct ProcessCompose {
    root: Root,
    dir: PathBuf,
    http: Http,
}

fn spawn(dir: &Path) -> Result<Root> {
    let mut command = Command::new("process-compose");
    command.args(["up", "-t=false", "--keep-project", "--disable-dotenv", "--no-watch", "-U"]);
    command.arg("-u").arg(dir.join("sock")).arg("-L").arg(dir.join("log"));
    command.arg("-f").arg(dir.join("process-compose.yaml")).env("XDG_CONFIG_HOME", dir);
    Root::spawn(&mut command, dir)
}

/// Boots it.
pub fn boot(dir: &Path, setup: &Setup) -> Result<Box<dyn Subject>> {
    let mut text = "version: \"0.5\"\nis_tui_disabled: true\nprocesses:\n".to_owned();
    for service in &setup.services {
        let argv = serde_json::to_string(&service.argv)?;
        let _ = write!(
            text,
            "  {}:\n    entrypoint: {argv}\n    disabled: {}\n    namespace: bench\n",
            service.name, !service.autostart
        );
        if setup.loggers {
            let _ = write!(
                text,
                "    log_location: {}/{}.log\n    log_configuration:\n      flush_each_line: true\n",
                dir.display(),
                service.name
            );
        }
    }
    if setup.services.is_empty() {
        text += "  none:\n    entrypoint: [\"/bin/true\"]\n    disabled: true\n";
    }
    fs::write(dir.join("process-compose.yaml"), text)?;
    let root = spawn(dir)?;
    let socket = dir.join("sock");
    until_ready(|| Http::connect(&socket).is_ok())?;
    let http = Http::connect(&socket)?;
    let mut subject = ProcessCompose { root, dir: dir.to_owned(), http };
    // The socket answers before the project is loaded; a start then is a 500.
    let last = setup.services.last().map_or("none", |service| service.name.as_str());
    let last = format!("\"{last}\"");
    until_ready(|| {
        let answer = subject.http.get("/processes");
        answer.is_ok_and(|answer| String::from_utf8_lossy(&answer.body).contains(&last))
    })?;
    Ok(Box::new(subject))
}

impl ProcessCompose {
    /// Until everything is loaded an order is answered by an empty 500: it is given again then.
    fn order(&mut self, path: &str) -> Result<()> {
        let mut answer = self.http.json("POST", path, "")?;
        wait_until(LOADING_MS_MAX, || {
            if answer.status != 500 || !answer.body.is_empty() {
                return true;
            }
            self.http.json("POST", path, "").is_ok_and(|again| {
                answer = again;
                answer.status == 200
            })
        });
        if answer.status != 200 {
            bail!("{path} answered {}: {}", answer.status, String::from_utf8_lossy(&answer.body));
        }
        Ok(())
    }
}

impl Subject for ProcessCompose {
    fn kind(&self) -> Kind {
        Kind::ProcessCompose
    }

    fn root(&self) -> i32 {
        self.root.pid()
    }

    fn start(&mut self, service: &str) -> Result<()> {
        self.order(&format!("/process/start/{service}"))
    }

    fn start_all(&mut self, _services: &[String]) -> Result<()> {
        self.order("/namespace/start/bench")
    }

    fn health(&mut self) -> Result<bool> {
        let answer = self.http.get("/live")?;
        if answer.status != 200 {
            bail!("health answered {}", answer.status);
        }
        Ok(true)
    }

    fn health_client(&self) -> Result<Option<HealthClient>> {
        HealthClient::connect(&self.dir.join("sock"), "/live").map(Some)
    }

    fn follow(&mut self, service: &str) -> Result<Box<dyn Follow>> {
        let http = Http::connect(&self.dir.join("sock"))?;
        let body =
            http.websocket(&format!("/process/logs/ws?name={service}&offset=0&follow=true"))?;
        Ok(Box::new(WebFollow::new(body, message_lines)))
    }

    fn kept(&mut self, service: &str, line: &mut dyn FnMut(&[u8])) -> Result<()> {
        each_line(&[self.dir.join(format!("{service}.log"))], 0, &mut |raw| {
            message_lines(raw, line)
        })
    }

    fn revive(&mut self) -> Result<()> {
        let _ = fs::remove_file(self.dir.join("sock"));
        self.root = spawn(&self.dir)?;
        let socket = self.dir.join("sock");
        until_ready(|| Http::connect(&socket).and_then(|mut http| http.get("/live")).is_ok())?;
        self.http = Http::connect(&socket)?;
        Ok(())
    }
}
