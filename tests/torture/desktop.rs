//! The tortured desktop: deskd with a state directory on a small disk of its own, an Xvnc, and what is
//! broken about them at the moment.

use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sys::signal::Signal;
use serde_json::Value;

use crate::fault::Fault;
use crate::program;
use crate::rng::Rng;
use crate::support::control_plane::ControlPlane;
use crate::support::desk::Desk;
use crate::support::http::{Ask, Events};
use crate::support::kube_desk::{KubeDesk, Particulars};
use crate::support::wait::{pause, until};
use crate::support::xvnc::{POD_UID, Place, Running, Xvnc};
use crate::support::{needs, proc};
use crate::user::User;

/// Bytes of the disk that holds the state directory.
const DISK_MIB: u64 = 192;
/// Pieces in which the disk is filled.
const PIECE_BYTES: usize = 1 << 20;
/// A daemon that is stopped, and not left to its keeper, goes on before this.
const STOPPED_MS_MAX: usize = 3000;
/// A daemon that answers no liveness probe for so long while nothing is broken fails the torture: hangs,
/// not speed.
const LIVE_S_MAX: u64 = 60;

/// See the module.
pub struct Desktop {
    cluster: KubeDesk<'static>,
    plane: &'static ControlPlane,
    xvnc: Xvnc,
    display_is_up: bool,
    /// How often the display went away.
    pub displays_lost: u64,
    disk: PathBuf,
    _programs: tempfile::TempDir,
}

/// What is to be mended, and how.
pub enum Broken {
    /// Whoever continues it.
    Stopped(std::thread::JoinHandle<()>),
    Display,
    DisplayStopped,
    Disk(PathBuf),
    /// Held until then.
    Connections(#[expect(dead_code, reason = "held open")] Vec<TcpStream>),
    Followers(#[expect(dead_code, reason = "held open")] Vec<Events>),
    ApiServer,
    /// A limit of a process, and what it was.
    Limit(u32, &'static str, String),
    Nothing,
}

impl Desktop {
    pub fn start() -> Self {
        assert!(needs::met(&["prlimit"], &[]), "prlimit is missing");
        let programs = tempfile::Builder::new().prefix("deskd-torture-").tempdir().unwrap();
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(programs.path(), mode).unwrap();
        let this = programs.path().join("torture");
        std::fs::copy(std::env::current_exe().unwrap(), &this).unwrap();
        let xvnc = Xvnc::start();
        let configuration = program::configuration(&this);
        // Its processes end with this one, whatever becomes of it.
        let plane: &ControlPlane = Box::leak(Box::new(ControlPlane::start()));
        let particulars = Particulars { prepare: &mount_disk, ..Particulars::default() };
        let cluster = KubeDesk::start_with(plane, &configuration, Some(&xvnc), &particulars);
        let disk = cluster.desk.dir.path().join("state");
        cluster.until_known();
        cluster.add(&program::pod());
        let (displays_lost, display_is_up) = (0, true);
        Self { cluster, plane, xvnc, display_is_up, displays_lost, disk, _programs: programs }
    }

    pub fn desk(&self) -> &Desk {
        &self.cluster.desk
    }

    /// Names of the application pods that there are.
    pub fn pods(&self) -> Vec<String> {
        let name = |pod: &Value| pod["metadata"]["name"].as_str().unwrap().to_owned();
        self.cluster.pods().iter().map(name).collect()
    }

    /// Breaks something; nothing if there is nothing to break.
    pub fn suffer(&mut self, fault: &Fault, user: &User, rng: &mut Rng) -> Option<Broken> {
        Some(match fault {
            Fault::DaemonKilled => {
                proc::kill(self.desk().daemon_pid()?);
                Broken::Nothing
            }
            Fault::DaemonStopped => stop_daemon(self.desk().daemon_pid()?, rng),
            Fault::DisplayKilled => {
                self.displays_lost += 1;
                self.display_is_up = false;
                self.xvnc.kill();
                Broken::Display
            }
            Fault::DisplayStopped => {
                if !self.display_is_up {
                    return None;
                }
                self.xvnc.running().signal(Signal::SIGSTOP);
                Broken::DisplayStopped
            }
            Fault::ApiServerKilled => {
                self.plane.stop_api_server();
                Broken::ApiServer
            }
            Fault::DiskFull => self.fill(),
            Fault::SilentConnections => {
                let connect = || TcpStream::connect(self.desk().tcp).ok();
                Broken::Connections((0..300).map_while(|_| connect()).collect())
            }
            Fault::StalledFollowers => {
                let ids = user.writers();
                let open = |id: &String| {
                    let path = format!("/v1/tasks/{id}/log/stream");
                    Ask::new(&self.desk().unix(), "GET", &path).try_events().ok()
                };
                Broken::Followers(ids.iter().cycle().take(20).filter_map(open).collect())
            }
            Fault::ProgramKilled => {
                proc::kill(user.kill_one(rng)?);
                Broken::Nothing
            }
            Fault::NoFileDescriptors => self.limit(self.desk().daemon_pid()?, "--nofile", rng)?,
            Fault::KeeperWithoutFileDescriptors => {
                self.limit(self.desk().keeper_pid(), "--nofile", rng)?
            }
            Fault::NoProcesses => self.limit(self.desk().keeper_pid(), "--nproc", rng)?,
            Fault::JournalTorn => {
                // As a kill in the middle of a write leaves it.
                let journal = self.disk.join("tasks.jsonl");
                let daemon = self.desk().daemon_pid()?;
                proc::kill(daemon);
                let torn = std::fs::OpenOptions::new().append(true).open(journal).ok()?;
                std::io::Write::write_all(&mut &torn, b"{\"task\":{\"id\":\"torn").ok()?;
                Broken::Nothing
            }
        })
    }

    /// Lowers a soft limit to about what is used, as the same user: root here has no right to it.
    fn limit(&self, pid: u32, which: &'static str, rng: &mut Rng) -> Option<Broken> {
        let (name, used) = match which {
            "--nofile" => {
                ("Max open files", std::fs::read_dir(format!("/proc/{pid}/fd")).ok()?.count())
            }
            _ => ("Max processes", 1),
        };
        let limits = std::fs::read_to_string(format!("/proc/{pid}/limits")).ok()?;
        let line = limits.lines().find_map(|line| line.strip_prefix(name))?;
        let before = line.split_ascii_whitespace().next()?.to_owned();
        prlimit(pid, &format!("{which}={}:", used + rng.below(4)));
        Some(Broken::Limit(pid, which, before))
    }

    fn fill(&self) -> Broken {
        let path = self.disk.join("filler");
        let mut file = std::fs::File::create(&path).unwrap();
        let piece = vec![0; PIECE_BYTES];
        while std::io::Write::write_all(&mut file, &piece).is_ok() {}
        // And the last bytes.
        while std::io::Write::write_all(&mut file, &[0; 512]).is_ok() {}
        Broken::Disk(path)
    }

    pub fn mend(&mut self, broken: Broken) {
        match broken {
            Broken::Stopped(continued) => continued.join().unwrap(),
            Broken::Display => {
                self.xvnc.restart();
                self.display_is_up = true;
            }
            Broken::DisplayStopped if self.display_is_up => {
                self.xvnc.running().signal(Signal::SIGCONT);
            }
            Broken::ApiServer => self.plane.start_api_server(),
            Broken::Disk(path) => std::fs::remove_file(path).unwrap(),
            Broken::Limit(pid, which, before) => prlimit(pid, &format!("{which}={before}:")),
            Broken::DisplayStopped
            | Broken::Connections(_)
            | Broken::Followers(_)
            | Broken::Nothing => {}
        }
    }

    /// Waits until deskd lives and is ready.
    pub fn until_whole(&self) {
        let begun = Instant::now();
        until("deskd is ready again", || {
            let answer = Ask::new(&self.desk().unix(), "GET", "/readyz").try_send().ok()?;
            (answer.status == 200).then_some(())
        });
        self.cluster.until_known();
        assert!(begun.elapsed() < Duration::from_secs(LIVE_S_MAX));
    }

    /// An answer of deskd's, which has one while nothing is broken.
    pub fn get(&self, path: &str) -> Option<Value> {
        let answer = Ask::new(&self.desk().unix(), "GET", path).try_send().ok()?;
        (answer.status == 200).then(|| answer.json())
    }
}

impl Drop for Desktop {
    fn drop(&mut self) {
        self.cluster.desk.end();
        let _ = umount2(&self.disk, MntFlags::MNT_DETACH);
    }
}

/// Some are left to the keeper, which replaces a daemon that is silent for too long; the others go on
/// meanwhile, since whoever asks a stopped daemon waits.
fn stop_daemon(pid: u32, rng: &mut Rng) -> Broken {
    proc::signal(pid, Signal::SIGSTOP);
    let after = (!rng.once_in(6)).then(|| Duration::from_millis(rng.below(STOPPED_MS_MAX) as u64));
    Broken::Stopped(std::thread::spawn(move || {
        let Some(after) = after else { return };
        pause(after);
        // It may have been killed meanwhile.
        let target = nix::unistd::Pid::from_raw(pid.cast_signed());
        let _ = nix::sys::signal::kill(target, Signal::SIGCONT);
    }))
}

fn mount_disk(state: &Path) {
    let options = format!("size={DISK_MIB}m,uid={POD_UID},gid={POD_UID},mode=700");
    let (kind, flags) = (Some("tmpfs"), MsFlags::empty());
    mount(kind, state, kind, flags, Some(options.as_str())).unwrap();
}

fn prlimit(pid: u32, limit: &str) {
    let pid = pid.to_string();
    let mut command = Place::pod().command(&["prlimit", "--pid", &pid, limit]);
    // It may have been replaced meanwhile.
    let _ = Running::start(&mut command).0.wait();
}
