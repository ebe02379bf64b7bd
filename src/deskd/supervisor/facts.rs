//! What a plan has to know of this machine.

use std::path::Path;

use super::settings::Settings;
use deskd_core::app::App;
use deskd_core::plan::facts::ProgramPresence;
use deskd_core::run::{self, LookedUp, Surroundings};
use deskd_keeper::procfs::MemoryCgroup;

/// PATH when the environment has none, as in `keeper::spawn`.
const PATH_DEFAULT: &str = "/usr/local/bin:/usr/bin:/bin";

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
        surroundings: Surroundings {
            inherited_env: settings.inherited_env.clone(),
            xauthority: settings.xauthority.clone(),
            cookie: settings.display.key().and_then(Result::ok).map(|cookie| cookie.hex()),
            uid: rustix::process::geteuid().as_raw(),
            architecture: architecture(),
            home: settings.home.clone(),
            home_is_writable: settings.home_is_writable,
            time_zone: settings.time_zone.clone(),
        },
    }
}

/// Whether an app's program is here, and what is left of deskd's memory.
pub(super) fn look_up(
    app: &App,
    inherited_env: &[(String, String)],
    cgroup: Option<&MemoryCgroup>,
) -> LookedUp {
    LookedUp {
        program: program(app, inherited_env),
        headroom: cgroup.map(MemoryCgroup::headroom).unwrap_or_default(),
    }
}

/// Whether the program of an app that comes in an image is in this container too. Other apps are
/// not looked up: the keeper says what is wrong with theirs.
fn program(app: &App, inherited: &[(String, String)]) -> ProgramPresence {
    if app.container.is_none() {
        return ProgramPresence::Unknown;
    }
    let Some(name) = app.local.command.first().filter(|name| !name.is_empty()) else {
        return ProgramPresence::Absent;
    };
    let of_env = |(key, value): &(String, String)| (key == "PATH").then(|| value.clone());
    let path = app.local.env.get("PATH").cloned().or_else(|| inherited.iter().find_map(of_env));
    let path = path.unwrap_or_else(|| PATH_DEFAULT.to_owned());
    let found = if name.contains('/') {
        is_executable(Path::new(name))
    } else {
        path.split(':').any(|directory| is_executable(&Path::new(directory).join(name)))
    };
    if found { ProgramPresence::Present } else { ProgramPresence::Absent }
}

fn is_executable(file: &Path) -> bool {
    let may = rustix::fs::access(file, rustix::fs::Access::EXEC_OK).is_ok();
    may && std::fs::metadata(file).is_ok_and(|metadata| metadata.is_file())
}

/// This machine's architecture in Go's words, which images use.
fn architecture() -> &'static str {
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
    use super::*;
    use deskd_core::samples::{app, container_app};

    fn look(command: &[&str], path: &str) -> ProgramPresence {
        let mut app = app("a");
        app.local.command = command.iter().map(ToString::to_string).collect();
        app.container = Some(Box::new(container_app()));
        program(&app, &[("PATH".to_owned(), path.to_owned())])
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
        assert_eq!(program(&app("sh"), &[]), ProgramPresence::Unknown);
    }
}
