//! A whole deskd in a directory of its own: keeper, daemon, both doors, as the pod's user.

use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use super::binaries;
use super::http::{Answer, Ask, Door};
use super::xvnc::{POD_UID, Place, Running, Xvnc, eventually};

/// A running deskd.
#[derive(Debug)]
pub struct Desk {
    keeper: Option<Running>,
    pub dir: tempfile::TempDir,
    pub tcp: SocketAddr,
}

impl Desk {
    /// With these applications (TOML) and, if given, this display.
    pub fn start(config: &str, display: Option<&Xvnc>) -> Self {
        Self::start_with(config, display, &[])
    }

    /// With more variables.
    pub fn start_with(config: &str, display: Option<&Xvnc>, env: &[(&str, String)]) -> Self {
        Self::start_in(config, display, env, |_| {})
    }

    /// With a state directory in which `prepare` put something.
    pub fn start_in(
        config: &str,
        display: Option<&Xvnc>,
        env: &[(&str, String)],
        prepare: impl FnOnce(&Path),
    ) -> Self {
        Self::start_as(&std::env::temp_dir(), "deskd-it-", &[], config, display, env, prepare)
    }

    /// In a directory whose name begins with `name`, with `wrapper` in front of the command.
    pub fn start_called(name: &str, wrapper: &[&str], config: &str) -> Self {
        Self::start_as(&std::env::temp_dir(), name, wrapper, config, None, &[], |_| {})
    }

    /// With its own directory, which belongs to root, in `parent`.
    pub fn start_at(
        parent: &Path,
        config: &str,
        display: Option<&Xvnc>,
        env: &[(&str, String)],
        prepare: impl FnOnce(&Path),
    ) -> Self {
        Self::start_as(parent, "deskd-it-", &[], config, display, env, prepare)
    }

    fn start_as(
        parent: &Path,
        name: &str,
        wrapper: &[&str],
        config: &str,
        display: Option<&Xvnc>,
        env: &[(&str, String)],
        prepare: impl FnOnce(&Path),
    ) -> Self {
        let dir = tempfile::Builder::new().prefix(name).tempdir_in(parent);
        let dir = dir.expect("a directory");
        std::fs::set_permissions(dir.path(), PermissionsExt::from_mode(0o755)).expect("chmod");
        let state = dir.path().join("state");
        std::fs::create_dir(&state).expect("a state directory");
        chown(&state, Some(POD_UID), Some(POD_UID)).expect("chown");
        prepare(&state);
        let file = dir.path().join("deskd.toml");
        std::fs::write(&file, config).expect("a configuration");
        let binary = binaries::install(dir.path());
        let tcp = free_address();
        let mut desk = Self { keeper: None, dir, tcp };
        let words = [wrapper, &[binary.to_str().expect("a path"), "run"]].concat();
        let mut command = Place::pod().command(&words);
        command.env("DESKD_CONFIG", &file).env("DESKD_STATE_DIR", &state);
        command.env("DESKD_LISTEN", tcp.to_string()).env("HOME", desk.dir.path());
        let number = display.map_or("999".to_owned(), |server| server.number.to_string());
        command.env("DISPLAY", format!(":{number}"));
        if let Some(server) = display {
            command.env("XAUTH_KEY", &server.key);
        }
        command.envs(env.iter().map(|(name, value)| (name, value)));
        let log = std::fs::File::create(desk.dir.path().join("deskd.log")).expect("a log file");
        command.stdout(Stdio::null()).stderr(log);
        desk.keeper = Some(Running::start(&mut command));
        desk.until_started();
        desk
    }

    pub fn socket(&self) -> PathBuf {
        self.dir.path().join("state/deskd.sock")
    }

    pub fn unix(&self) -> Door {
        Door::Unix(self.socket())
    }

    pub fn tcp(&self) -> Door {
        Door::Tcp(self.tcp)
    }

    pub fn token(&self) -> String {
        let text = std::fs::read_to_string(self.dir.path().join("state/token")).expect("a token");
        text.trim().to_owned()
    }

    /// Waits until the first full look is over.
    pub fn until_started(&self) {
        eventually("deskd's start", || {
            let answer = Ask::new(&self.unix(), "GET", "/startupz").try_send();
            answer.is_ok_and(|answer| answer.status == 200).then_some(())
        });
    }

    pub fn ask(&self, method: &str, path: &str) -> Ask {
        Ask::new(&self.unix(), method, path)
    }

    pub fn get(&self, path: &str) -> Value {
        self.ask("GET", path).send().expect(200)
    }

    /// Launches and gives the task's id.
    pub fn launch(&self, app: &str) -> String {
        let task = self.ask("POST", "/v1/tasks").json(&json!({ "app": app })).send().expect(201);
        task["id"].as_str().expect("an id").to_owned()
    }

    /// Waits until the task has ended.
    pub fn ended(&self, task: &str) -> Value {
        self.get(&format!("/v1/tasks/{task}/wait?timeout_ms=20000"))
    }

    pub fn stop(&self, task: &str) -> Answer {
        self.ask("POST", &format!("/v1/tasks/{task}/stop")).send()
    }

    /// The one-time login of the panel.
    pub fn login_url(&self) -> String {
        let login = self.ask("POST", "/v1/panel/login").send().expect(200);
        login["url"].as_str().expect("a url").to_owned()
    }

    pub fn keeper_pid(&self) -> u32 {
        self.keeper.as_ref().expect("a running keeper").pid()
    }

    pub fn daemon_pid(&self) -> Option<u32> {
        let keeper = self.keeper.as_ref()?.pid();
        let children = format!("/proc/{keeper}/task/{keeper}/children");
        let children = std::fs::read_to_string(children).ok()?;
        children.split_whitespace().filter_map(|pid| pid.parse().ok()).find(|pid: &u32| {
            let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            line.split(|byte| *byte == 0).any(|word| word == b"daemon")
        })
    }

    /// `kill -9` of the daemon; the keeper starts another.
    pub fn kill_daemon(&self) -> u32 {
        let pid = eventually("a daemon", || self.daemon_pid());
        let target = nix::unistd::Pid::from_raw(pid.cast_signed());
        nix::sys::signal::kill(target, Signal::SIGKILL).expect("a running daemon");
        pid
    }

    /// Waits for another daemon than `old` that answers.
    pub fn until_back(&self, old: u32) {
        eventually("another daemon", || self.daemon_pid().filter(|pid| *pid != old));
        self.until_started();
    }

    /// SIGTERM to the keeper; gives how long its end took.
    pub fn end(&mut self) -> std::time::Duration {
        let begun = std::time::Instant::now();
        if let Some(mut keeper) = self.keeper.take() {
            keeper.signal(Signal::SIGTERM);
            eventually("the keeper's end", || keeper.0.try_wait().expect("its status"));
        }
        begun.elapsed()
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("deskd.log")).unwrap_or_default()
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = self.log();
            let last: Vec<_> = log.lines().rev().take(20).collect();
            println!("the last lines of deskd's log, newest first:\n{}", last.join("\n"));
        }
        // Twice: the second says to hurry.
        if let Some(keeper) = &self.keeper {
            keeper.signal(Signal::SIGTERM);
            keeper.signal(Signal::SIGTERM);
        }
        if !std::thread::panicking() {
            let keeper = self.keeper.take();
            if let Some(mut keeper) = keeper {
                eventually("the keeper's end", || keeper.0.try_wait().expect("its status"));
            }
        }
    }
}

fn free_address() -> SocketAddr {
    let probe = TcpListener::bind("127.0.0.1:0").expect("a free port");
    probe.local_addr().expect("an address")
}
