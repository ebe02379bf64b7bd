//! Looks at everything that `deskd doctor` judges. Nothing is changed; what cannot be looked at is
//! absent.

use std::fs::{self, OpenOptions};
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sched::{CloneFlags, unshare};
use nix::unistd::{AccessFlags, access, getgid, getgroups, getuid};

use super::examined::{Examined, Port, User};
use super::subject::{Subject, ToldBy};
use super::{cgroup_limits, ways};
use crate::api::{RunningConfiguration, RunningDisplay};
use crate::cli::client::Client;
use crate::config::Env;
use crate::display::{self, DisplayConfig, Secret};
use crate::supervisor::Desktop;
use crate::wall;
use deskd_core::display::DisplayStatus;
use deskd_keeper::procfs::{MemoryCgroup, file_system_usage, sockets};

/// Where fonts are (fontconfig's `fonts.conf`), beside those in the home directory.
const FONT_DIRECTORIES: [&str; 3] =
    ["/usr/share/fonts", "/usr/local/share/fonts", "/usr/share/X11/fonts"];
/// Where libraries are.
const LIBRARY_DIRECTORIES: [&str; 4] =
    ["/usr/lib", "/usr/lib64", "/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu"];
/// Fonts counted.
const FONTS_MAX: usize = 1000;
/// Directories looked into for fonts.
const FONT_DIRECTORIES_MAX: usize = 500;
/// Time for a connection to the own port, and for each read from it, in milliseconds.
const CONNECT_MS: u64 = 500;
/// Read of `/metrics` to see whose they are, in bytes.
const METRICS_BYTES_MAX: u64 = 16 << 10;

/// Looks at everything.
pub async fn everything(client: &Client, subject: Subject, env: &Env) -> Examined {
    let desktop: Option<Desktop> = client.get("/v1/desktop").await.ok();
    let Subject { running, told_by } = subject;
    let display = display_config(&running.display, &told_by, env);
    let home = env.get("HOME").filter(|home| !home.is_empty());
    let host = ways::remote(&display.display).map(|(host, _)| host.to_owned());
    let cgroup = MemoryCgroup::own();
    let mut examined = Examined {
        configuration: (running.file.clone(), running.file_errors.is_some(), told_by),
        pods_wanted: running.display.require_tcp,
        dev_shm: file_system_usage("/dev/shm"),
        memory: cgroup.as_ref().map(MemoryCgroup::headroom).unwrap_or_default(),
        oom_kills: cgroup.as_ref().and_then(MemoryCgroup::oom_kills).unwrap_or(0),
        limits: cgroup_limits::own(),
        readable_programs: readable_programs(),
        api: port(running.listen, desktop.is_some(), host.as_deref()),
        ports: ports(),
        fonts: fonts(home.as_deref()),
        home: home.map(|home| {
            let writable = access(Path::new(&home), AccessFlags::W_OK | AccessFlags::X_OK).is_ok();
            (home, writable)
        }),
        gpus: gpus(),
        software_gl: software_gl(),
        nvidia_libraries: has_library("libGLX_nvidia.so.0") || has_library("libcuda.so.1"),
        wall: wall::here(secrets(&running), env, None),
        versions: desktop.as_ref().map(|it| (it.version.clone(), it.keeper.version.clone())),
        cluster: desktop.map(|desktop| (*desktop.kubernetes).clone()),
        ..of_display(&display)
    };
    // Last: it leaves this process in another user namespace.
    examined.user.user_namespaces = user_namespaces();
    examined
}

/// The display that the daemon supervises. The cookie file that it gives its applications has the
/// cookie that counts, whatever `XAUTH_KEY` is here.
fn display_config(display: &RunningDisplay, told_by: &ToldBy, env: &Env) -> DisplayConfig {
    let has_file = matches!(told_by, ToldBy::Daemon) && display.xauthority.is_some();
    DisplayConfig {
        display: display.name.clone(),
        xauthority: display.xauthority.clone(),
        xauth_key: env.get("XAUTH_KEY").filter(|_| !has_file).map(Secret),
        tcp: true,
        handshake_timeout: Duration::from_millis(display.handshake_timeout_ms),
        hang_timeout: Duration::from_millis(display.hang_timeout_ms),
    }
}

fn secrets(running: &RunningConfiguration) -> wall::Secrets<'_> {
    wall::Secrets {
        state_dir: &running.state_dir,
        token_file: &running.token_file,
        kubeconfig: running.kubeconfig.as_deref(),
    }
}

/// The display and this process; everything else is absent.
fn of_display(config: &DisplayConfig) -> Examined {
    let remote = ways::remote(&config.display);
    let status = match remote {
        None => display::probe(config),
        Some((_, number)) => DisplayStatus::unknown(&config.display, number),
    };
    let number = remote.map_or_else(|| display::name::parse(&config.display).ok(), |it| Some(it.1));
    let (cookie, note) = number.map_or((None, None), |number| display::find_cookie(config, number));
    let mut examined = Examined { cookie_note: note, ..Examined::of(status, user()) };
    match (remote, number) {
        (Some(remote), _) => {
            examined.own_address = ways::is_own(remote.0);
            examined.remote = Some(ways::to_remote(config, cookie.as_ref(), remote));
        }
        (None, Some(number)) => {
            examined.ways = ways::to_own(config, cookie.as_ref(), number);
            examined.server_uid = ways::server_uid(number);
        }
        (None, None) => {}
    }
    examined
}

fn user() -> User {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    // proc_pid_status(5).
    let of = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
    User {
        uid: getuid().as_raw(),
        gid: getgid().as_raw(),
        groups: getgroups().unwrap_or_default().into_iter().map(|group| group.as_raw()).collect(),
        capabilities: of("CapEff:").is_some_and(|set| set.bytes().any(|digit| digit != b'0')),
        no_new_privileges: of("NoNewPrivs:") == Some("1"),
        seccomp: of("Seccomp:").is_some_and(|mode| mode != "0"),
        user_namespaces: None,
    }
}

/// Root can read every file.
fn readable_programs() -> Vec<String> {
    let Ok(deskd) = std::env::current_exe() else { return Vec::new() };
    let programs = [deskd.with_file_name("deskd-keeper"), deskd];
    let readable = programs
        .iter()
        .filter(|path| !getuid().is_root() && access(*path, AccessFlags::R_OK).is_ok());
    readable.map(|path| path.display().to_string()).collect()
}

/// Tries it: neither a seccomp filter nor a security module says beforehand. The kernel admits it to
/// a process of one thread alone.
fn user_namespaces() -> Option<bool> {
    let threads = fs::read_dir("/proc/self/task").ok()?.count();
    (threads == 1).then(|| unshare(CloneFlags::CLONE_NEWUSER).is_ok())
}

fn ports() -> Vec<u16> {
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"].map(|table| fs::read_to_string(table).ok());
    let tables = tables.into_iter().flatten();
    let mut ports: Vec<u16> =
        tables.flat_map(|table| sockets::tcp_listeners(&table).collect::<Vec<_>>()).collect();
    ports.sort_unstable();
    ports.dedup();
    ports
}

fn port(listen: Option<SocketAddr>, daemon: bool, desktop: Option<&str>) -> Port {
    let Some(mut address) = listen else { return Port::Off };
    // From an application's pod: of the desktop's.
    let there = desktop.and_then(|host| host.parse().ok());
    if let Some(there) = there.map(|host| SocketAddr::new(host, address.port()))
        && is_deskd(there)
    {
        return Port::Elsewhere(there.to_string());
    }
    let name = address.to_string();
    if address.ip().is_unspecified() {
        address.set_ip(Ipv4Addr::LOCALHOST.into());
    }
    let limit = Duration::from_millis(CONNECT_MS);
    match (TcpStream::connect_timeout(&address, limit).is_ok(), daemon) {
        (true, true) => Port::Ours(name),
        (true, false) if is_deskd(address) => Port::Elsewhere(name),
        (true, false) => Port::Taken(name),
        (false, true) => Port::Silent(name),
        (false, false) => Port::Free(name),
    }
}

/// Its metrics are open to everybody.
fn is_deskd(address: SocketAddr) -> bool {
    let limit = Duration::from_millis(CONNECT_MS);
    let ask = || -> std::io::Result<Vec<u8>> {
        let mut stream = TcpStream::connect_timeout(&address, limit)?;
        stream.set_read_timeout(Some(limit))?;
        stream.set_write_timeout(Some(limit))?;
        write!(stream, "GET /metrics HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n")?;
        let mut answer = Vec::new();
        stream.take(METRICS_BYTES_MAX).read_to_end(&mut answer)?;
        Ok(answer)
    };
    ask().is_ok_and(|answer| String::from_utf8_lossy(&answer).contains("deskd_"))
}

fn fonts(home: Option<&str>) -> usize {
    let mut left: Vec<PathBuf> = FONT_DIRECTORIES.iter().map(PathBuf::from).collect();
    left.extend(home.map(|home| Path::new(home).join(".local/share/fonts")));
    let (mut fonts, mut looked) = (0, 0);
    while let Some(directory) = left.pop() {
        looked += 1;
        if looked > FONT_DIRECTORIES_MAX || fonts >= FONTS_MAX {
            break;
        }
        for entry in fs::read_dir(&directory).into_iter().flatten().flatten() {
            // Not through links: a circle of them would never end.
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                left.push(entry.path());
            } else if is_font(&entry.path()) {
                fonts += 1;
            }
        }
    }
    fonts.min(FONTS_MAX)
}

fn is_font(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or("");
    let name = name.strip_suffix(".gz").unwrap_or(name).to_ascii_lowercase();
    [".ttf", ".otf", ".ttc", ".pfb", ".pcf", ".t1"].iter().any(|end| name.ends_with(end))
}

fn gpus() -> Vec<(String, bool)> {
    let mut found: Vec<_> = [("/dev/dri", "renderD"), ("/dev/dri", "card"), ("/dev", "nvidia")]
        .into_iter()
        .flat_map(|(directory, start)| devices(directory, start))
        .collect();
    found.sort();
    found
        .into_iter()
        .map(|path| {
            let usable = OpenOptions::new().read(true).write(true).open(&path).is_ok();
            (path, usable)
        })
        .collect()
}

fn devices(directory: &str, start: &str) -> Vec<String> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    names
        .filter(|name| name.starts_with(start) && name != "nvidia-caps")
        .map(|name| format!("{directory}/{name}"))
        .collect()
}

/// Mesa's drivers are in `dri/` below a library directory; from 24.2 on in `libgallium-*.so`.
fn software_gl() -> bool {
    let classic = ["dri/swrast_dri.so", "dri/libdril_dri.so"];
    classic.into_iter().any(has_library)
        || LIBRARY_DIRECTORIES.iter().any(|root| !devices(root, "libgallium-").is_empty())
}

fn has_library(file: &str) -> bool {
    LIBRARY_DIRECTORIES.iter().any(|root| Path::new(root).join(file).exists())
}
