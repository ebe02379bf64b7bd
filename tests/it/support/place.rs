//! A keeper as the first process of a PID namespace, as in an ephemeral container, and a daemon's end
//! of its socket.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, also in its helpers")]

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{SocketAddr, UnixStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use deskd_core::id::TaskId;
use deskd_core::wire::proof::{Bytes, Key};
use deskd_core::wire::{FromKeeper, ToKeeper, VERSION};
use deskd_keeper::logs::{Records, Tag};
use deskd_keeper::place::{FIRST_VARIABLE, KEY_VARIABLE, PlaceConfig};
use nix::sys::signal::Signal;

use super::binaries;
use super::keeper::{Client, Welcome};
use super::{proc, wait};

/// A place. Everything in it ends when it is dropped.
pub(crate) struct Place {
    unshare: Child,
    dir: tempfile::TempDir,
    pub(crate) key: Key,
}

/// How to start one.
#[derive(Default)]
pub(crate) struct Setup {
    pub(crate) env: Vec<(&'static str, &'static str)>,
    pub(crate) options: Vec<&'static str>,
    /// As an ordinary user, with the program as it is installed.
    pub(crate) unprivileged: bool,
    /// Whose programs get no privileges, as with `allowPrivilegeEscalation: false`.
    pub(crate) no_new_privs: bool,
    /// As in a pod of its own, with a daemon that listens there.
    pub(crate) daemon: Option<std::net::SocketAddr>,
    /// What is to run first there.
    pub(crate) first: Option<deskd_core::wire::SpawnRequest>,
    /// A network namespace.
    pub(crate) network: Option<String>,
}

impl Setup {
    pub(crate) fn start(self) -> Place {
        let place = self.start_with(&new_key());
        wait::until("the keeper listens", || place.dial().map(drop).ok());
        place
    }

    /// The same with a key that its daemon has already. Nothing is waited for.
    #[expect(clippy::disallowed_methods, reason = "the process under test")]
    pub(crate) fn start_with(self, key: &Key) -> Place {
        let (key, dir) = (key.clone(), tempfile::tempdir().unwrap());
        let output = File::create(dir.path().join("stdout")).unwrap();
        let log = File::create(dir.path().join("stderr")).unwrap();
        let keeper = if self.unprivileged {
            std::fs::set_permissions(dir.path(), PermissionsExt::from_mode(0o777)).unwrap();
            binaries::install(dir.path()).with_file_name("deskd-keeper")
        } else {
            binaries::keeper()
        };
        let user: &[&str] = match self.unprivileged {
            true => &["setpriv", "--reuid=4096", "--regid=4096", "--clear-groups", "--"],
            false => &[],
        };
        let restricted: &[&str] =
            if self.no_new_privs { &["setpriv", "--no-new-privs", "--"] } else { &[] };
        let (path, grace) = (keeper.to_str().unwrap(), Duration::from_secs(4));
        let command = match self.daemon {
            None => PlaceConfig::command(path, grace, 100),
            Some(daemon) => PlaceConfig::far_command(path, grace, 100, daemon),
        };
        let mut unshare = match &self.network {
            None => Command::new("unshare"),
            Some(name) => {
                let mut inside = Command::new("ip");
                inside.args(["netns", "exec", name, "unshare"]);
                inside
            }
        };
        unshare
            .args(["--pid", "--mount-proc", "--kill-child", "--fork", "--"])
            .args(user)
            .args(restricted)
            .args(command)
            .args(self.options)
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .env(KEY_VARIABLE, String::from(key.clone()))
            .envs(self.env)
            .envs(self.first.map(|it| (FIRST_VARIABLE, serde_json::to_string(&it).unwrap())))
            .current_dir(dir.path())
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(log);
        Place { unshare: unshare.spawn().unwrap(), dir, key }
    }
}

/// A key that nobody else has.
pub(crate) fn new_key() -> Key {
    let mut random = Bytes::default();
    File::open("/dev/urandom").unwrap().read_exact(&mut random).unwrap();
    Key::new(random)
}

impl Place {
    pub(crate) fn start() -> Self {
        Setup::default().start()
    }

    /// A connection that has said nothing.
    pub(crate) fn dial(&self) -> std::io::Result<UnixStream> {
        let stream =
            UnixStream::connect_addr(&SocketAddr::from_abstract_name(self.key.socket_name())?)?;
        stream.set_read_timeout(Some(Duration::from_secs(60)))?;
        Ok(stream)
    }

    /// Proves to be the daemon with this key; false when the connection is cut.
    pub(crate) fn prove(mut stream: &UnixStream, key: &Key) -> bool {
        let (mut challenge, own, mut proof) = (Bytes::default(), [7; 32], Bytes::default());
        let answered = stream
            .read_exact(&mut challenge)
            .and_then(|()| stream.write_all(&key.answer(&challenge, &own)))
            .and_then(|()| stream.read_exact(&mut proof));
        answered.is_ok() && key.is_keepers(&challenge, &own, &proof)
    }

    pub(crate) fn connect(&self) -> (Client, Welcome) {
        let stream = self.dial().unwrap();
        assert!(Self::prove(&stream, &self.key));
        let mut client = Client::over(stream);
        client.send(&ToKeeper::Hello { version: VERSION, oldest: None });
        let welcome = client.welcome();
        (client, welcome)
    }

    /// The keeper's pid out here.
    pub(crate) fn pid(&self) -> u32 {
        wait::until("the keeper runs", || Some(proc::children(self.unshare.id()).first()?.pid))
    }

    pub(crate) fn signal(&self, signal: Signal) {
        proc::signal(self.pid(), signal);
    }

    pub(crate) fn has_ended(&mut self) -> Option<i32> {
        wait::until("the keeper exits", || self.unshare.try_wait().unwrap()).code()
    }

    /// What went to its own standard output, which kubelet would keep.
    pub(crate) fn stdout(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("stdout")).unwrap()
    }

    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn stderr(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("stderr")).unwrap()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(keeper) = proc::children(self.unshare.id()).first() {
            proc::kill(keeper.pid);
        }
        let _ = self.unshare.wait();
        if std::thread::panicking() {
            eprintln!("--- the place's stderr:\n{}", self.stderr());
        }
    }
}

/// An entry of a pod that was started as kubelet would: its command in a PID namespace of its own.
pub(crate) struct Container(Child);

impl Container {
    pub(crate) fn of_entry(entry: &serde_json::Value) -> Self {
        Self::in_network(entry, None)
    }

    /// The same in a network namespace.
    #[expect(clippy::disallowed_methods, reason = "it plays kubelet")]
    pub(crate) fn in_network(entry: &serde_json::Value, network: Option<&str>) -> Self {
        let words = entry["command"].as_array().unwrap().iter().map(|word| word.as_str().unwrap());
        let env = entry["env"].as_array().unwrap().iter();
        let value = |var: &serde_json::Value| {
            let text = var["value"].as_str().unwrap_or_default();
            deskd_core::expansion::expand(text, |_| None)
        };
        let env = env.map(|var| (var["name"].as_str().unwrap(), value(var)));
        let mut unshare = match network {
            None => Command::new("unshare"),
            Some(name) => {
                let mut inside = Command::new("ip");
                inside.args(["netns", "exec", name, "unshare"]);
                inside
            }
        };
        unshare
            .args(["--pid", "--mount-proc", "--kill-child", "--fork", "--"])
            .args(words)
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .envs(env)
            .stdin(Stdio::null());
        Self(unshare.spawn().unwrap())
    }

    /// To its first process.
    pub(crate) fn signal(&self, signal: Signal) {
        let first = || Some(proc::children(self.0.id()).first()?.pid);
        proc::signal(wait::until("its first process", first), signal);
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        if let Some(keeper) = proc::children(self.0.id()).first() {
            proc::kill(keeper.pid);
        }
        let _ = self.0.wait();
    }
}

/// What a keeper gives away of a task.
#[derive(Debug, Default)]
pub(crate) struct Taken {
    pub(crate) output: Vec<u8>,
    pub(crate) missing: u64,
    pub(crate) next: u64,
    pub(crate) over: bool,
}

impl Taken {
    /// Takes what there is from where this ends.
    pub(crate) fn more(&mut self, client: &mut Client, task: &TaskId) {
        client.send(&ToKeeper::ReadLog { task: task.clone(), from: self.next });
        let (from, next, records, over) = client.wait("records", |message| match message {
            FromKeeper::LogRecords { task: of, from, next, records, over } if of == task => {
                Some((*from, *next, records.clone(), *over))
            }
            _ => None,
        });
        assert_eq!(from, self.next);
        let mut at = from;
        for record in Records::new(&records, from).map(Result::unwrap) {
            record.push_output(&mut self.output);
            if let Tag::Gap(gap) = &record.tag {
                self.missing += gap.dropped_bytes;
            }
            at = record.next;
        }
        assert_eq!(at, next);
        (self.next, self.over) = (next, over);
    }

    /// Takes until nothing more comes.
    pub(crate) fn rest(mut self, client: &mut Client, task: &TaskId) -> Self {
        while !self.over {
            self.more(client, task);
        }
        self
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.output).into_owned()
    }
}
