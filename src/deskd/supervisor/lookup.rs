//! What a plan has to know of this machine.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::settings::Settings;
use deskd_core::app::App;
use deskd_core::plan::facts::{Machine, ProgramPresence};
use deskd_core::run::{self, LookedUp};
use deskd_core::wall::Need;
use deskd_keeper::procfs::MemoryCgroup;

/// PATH when the environment has none, as in `keeper::spawn`.
const PATH_DEFAULT: &str = "/usr/local/bin:/usr/bin:/bin";

/// Set-user-id and set-group-id.
const SET_ID_BITS: u32 = 0o6000;
/// Room for `security.capability` (`struct vfs_ns_cap_data` has 24 bytes).
const CAPABILITY_BYTES_MAX: usize = 64;
/// Programs that make a sandbox or a container with mounts of their own.
const SANDBOXES: [&str; 5] = ["bwrap", "flatpak", "snap", "podman", "buildah"];

/// What the life of tasks depends on and does not change.
pub(super) fn config(settings: &Settings) -> run::Config {
    run::Config {
        name: settings.name.clone(),
        host: settings.host.clone(),
        close_grace: settings.close_grace,
        term_grace: settings.term_grace,
        tasks_max: settings.tasks_max,
        remedy: settings.remedy,
        policy: settings.kubernetes.policy.clone(),
        machine: Arc::new(Machine {
            inherited_env: settings.inherited_env.clone(),
            xauthority: settings.xauthority.clone(),
            cookie: settings.display.key().and_then(Result::ok).map(|cookie| cookie.hex()),
            uid: rustix::process::geteuid().as_raw(),
            architecture: architecture(),
            home: settings.home.clone(),
            home_is_writable: settings.home_is_writable,
            time_zone: settings.time_zone.clone(),
            wall: settings.wall.clone(),
        }),
    }
}

/// Whether an app's program is here, and what it needs. Only of an app in an image, which can run
/// elsewhere, what is left of deskd's memory.
pub(super) fn look_up(
    app: &App,
    inherited_env: &[(String, String)],
    cgroup: Option<&MemoryCgroup>,
) -> LookedUp {
    let cgroup = cgroup.filter(|_| app.container.is_some());
    let file = file(app, inherited_env);
    LookedUp {
        program: program(app, file.as_ref()),
        need: file.as_ref().and_then(need),
        headroom: cgroup.map(MemoryCgroup::headroom).unwrap_or_default(),
    }
}

/// Whether the program of an app that comes in an image is in this container too. Of other apps it
/// is not said: the keeper says what is wrong with theirs.
fn program(app: &App, file: Option<&Executable>) -> ProgramPresence {
    match (&app.container, file) {
        (None, _) => ProgramPresence::Unknown,
        (Some(_), Some(_)) => ProgramPresence::Present,
        (Some(_), None) => ProgramPresence::Absent,
    }
}

/// The file of an app's program.
fn file(app: &App, inherited: &[(String, String)]) -> Option<Executable> {
    let name = app.local.command.first().filter(|name| !name.is_empty())?;
    if name.contains('/') {
        return executable(PathBuf::from(name));
    }
    let of_env = |(key, value): &(String, String)| (key == "PATH").then(|| value.clone());
    let path = app.local.env.get("PATH").cloned().or_else(|| inherited.iter().find_map(of_env));
    let path = path.unwrap_or_else(|| PATH_DEFAULT.to_owned());
    path.split(':').find_map(|directory| executable(Path::new(directory).join(name)))
}

/// A file that may be executed.
#[derive(Debug)]
struct Executable {
    path: PathBuf,
    mode: u32,
}

fn executable(path: PathBuf) -> Option<Executable> {
    rustix::fs::access(&path, rustix::fs::Access::EXEC_OK).ok()?;
    let metadata = std::fs::metadata(&path).ok().filter(std::fs::Metadata::is_file)?;
    Some(Executable { path, mode: metadata.mode() })
}

/// What a program needs that a wall takes away, as far as its file shows.
fn need(Executable { path, mode }: &Executable) -> Option<Need> {
    let mut value = [0; CAPABILITY_BYTES_MAX];
    let has_capabilities = rustix::fs::getxattr(path, "security.capability", &mut value).is_ok();
    if mode & SET_ID_BITS != 0 || has_capabilities {
        return Some(Need::Privileges);
    }
    // Where the file itself is no link, only its directories can be, and its name stays.
    let target = std::fs::read_link(path).is_ok().then(|| path.canonicalize());
    let target = target.transpose().ok()?;
    let name = target.as_deref().unwrap_or(path).file_name()?.to_str()?;
    SANDBOXES.contains(&name).then_some(Need::Mounts)
}

/// This machine's architecture in Go's words, which images use.
#[must_use]
pub fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "x86" => "386",
        "powerpc64" => "ppc64le",
        "loongarch64" => "loong64",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use deskd_core::samples::{app, container_app};

    fn look(command: &[&str], path: &str) -> ProgramPresence {
        let mut app = app("a");
        app.local.command = command.iter().map(ToString::to_string).collect();
        app.container = Some(Box::new(container_app()));
        let env = [("PATH".to_owned(), path.to_owned())];
        program(&app, file(&app, &env).as_ref())
    }

    #[test]
    fn an_image_s_program_is_looked_up_in_this_container() {
        use ProgramPresence::{Absent, Present};
        assert_eq!(look(&["/bin/sh"], ""), Present);
        assert_eq!(look(&["sh", "-c"], "/nowhere:/bin"), Present);
        assert_eq!(look(&["sh"], "/nowhere"), Absent);
        assert_eq!(look(&["/bin"], "/bin"), Absent);
        assert_eq!(look(&["/etc/passwd"], "/bin"), Absent);
        assert_eq!(look(&[], "/bin"), Absent);
        assert_eq!(program(&app("sh"), None), ProgramPresence::Unknown);
    }

    #[test]
    fn what_could_not_work_behind_a_wall_shows_in_its_file() {
        let dir = tempfile::tempdir().unwrap();
        let file = |name: &str, mode: u32| {
            let path = dir.path().join(name);
            std::fs::write(&path, "").unwrap();
            std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
            path
        };
        let need = |path: PathBuf| super::need(&executable(path).unwrap());
        assert_eq!(need(file("su", 0o4755)), Some(Need::Privileges));
        assert_eq!(need(file("locate", 0o2755)), Some(Need::Privileges));
        let flatpak = file("flatpak", 0o755);
        std::os::unix::fs::symlink(&flatpak, dir.path().join("app")).unwrap();
        assert_eq!(need(dir.path().join("app")), Some(Need::Mounts));
        assert_eq!(need(flatpak), Some(Need::Mounts));
        assert_eq!(need(file("xterm", 0o755)), None);
    }
}
