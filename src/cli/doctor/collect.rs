//! Looks at everything that `deskd doctor` judges. Nothing is changed; what cannot be looked at is
//! absent.

use std::fs::{self, OpenOptions};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::unistd::{AccessFlags, access};

use super::facts::{Facts, Port};
use crate::cli::client::Client;
use crate::config::{Config, Env};
use crate::daemon::display_config;
use crate::procfs::{MemoryCgroup, file_system_usage};
use crate::supervisor::Desktop;

/// Where fonts are (fontconfig's `fonts.conf`), beside those in the home directory.
const FONT_DIRECTORIES: [&str; 3] =
    ["/usr/share/fonts", "/usr/local/share/fonts", "/usr/share/X11/fonts"];
/// Fonts counted.
const FONTS_MAX: usize = 1000;
/// Directories looked into for fonts.
const FONT_DIRECTORIES_MAX: usize = 500;
/// Time for a connection to the own port, in milliseconds.
const CONNECT_MS: u64 = 500;

/// Looks at everything.
pub async fn facts(client: &Client, config: &Config, env: &Env) -> Facts {
    let desktop: Option<Desktop> = client.get("/v1/desktop").await.ok();
    let mut display = display_config(&config.display, env);
    display.tcp = true;
    let home = env.get("HOME").filter(|home| !home.is_empty());
    Facts {
        display: crate::display::probe(&display),
        pods_wanted: config.display.require_tcp,
        dev_shm: file_system_usage("/dev/shm"),
        memory: MemoryCgroup::own().map(|group| group.headroom()).unwrap_or_default(),
        api: port(config.listen, desktop.is_some()),
        fonts: fonts(home.as_deref()),
        home: home.map(|home| {
            let writable = access(Path::new(&home), AccessFlags::W_OK | AccessFlags::X_OK).is_ok();
            (home, writable)
        }),
        gpus: gpus(),
        software_gl: software_gl(),
        cluster: desktop.map(|desktop| (*desktop.kubernetes).clone()),
    }
}

fn port(listen: Option<SocketAddr>, daemon: bool) -> Port {
    let Some(mut address) = listen else { return Port::Off };
    let name = address.to_string();
    if address.ip().is_unspecified() {
        address.set_ip(Ipv4Addr::LOCALHOST.into());
    }
    let limit = Duration::from_millis(CONNECT_MS);
    match (TcpStream::connect_timeout(&address, limit).is_ok(), daemon) {
        (true, true) => Port::Ours(name),
        (true, false) => Port::Taken(name),
        (false, true) => Port::Silent(name),
        (false, false) => Port::Free(name),
    }
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
    let roots =
        ["/usr/lib", "/usr/lib64", "/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu"];
    roots.iter().any(|root| {
        let classic = ["dri/swrast_dri.so", "dri/libdril_dri.so"];
        classic.iter().any(|file| Path::new(root).join(file).exists())
            || !devices(root, "libgallium-").is_empty()
    })
}
