//! An application as clients write it, checked.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::error::ApiError;
use super::limits::ARGS_MAX;
use deskd_core::app::container::ContainerApp;
use deskd_core::app::{App, AppSource, LocalProgram, Rlimits};
use deskd_core::id::AppId;
use deskd_core::redact::REDACTED;
use deskd_core::restart::RestartPolicy;
use deskd_core::wall::Sandbox;

/// An application to add or replace. What `GET` answers can be sent back: `source` and `problems`
/// are accepted and ignored.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AppInput {
    /// Its id.
    id: AppId,
    /// For people; absent: the id.
    #[serde(default)]
    display_name: Option<String>,
    /// Absolute path of an svg or png file, or a `data:` URL.
    #[serde(default)]
    icon: Option<String>,
    /// Search words.
    #[serde(default)]
    keywords: Vec<String>,
    /// Categories.
    #[serde(default)]
    categories: Vec<String>,
    /// WM_CLASS `instance.Class` of its windows.
    #[serde(default)]
    wm_class: Option<String>,
    /// Whether it draws on the display (the default).
    #[serde(default = "yes")]
    needs_display: bool,
    /// What to do when it ends by itself.
    #[serde(default)]
    restart: RestartPolicy,
    /// How it is started in this container; may be left out when it comes in an image.
    #[serde(default)]
    local: LocalInput,
    /// The image it comes in.
    #[serde(default)]
    container: Option<Box<ContainerApp>>,
    /// Media types it opens.
    #[serde(default)]
    mime_types: Vec<String>,
    /// File name extensions it opens, without the dot.
    #[serde(default)]
    file_extensions: Vec<String>,
    /// Of several that open a file type, the one that opens it.
    #[serde(default)]
    default_application: bool,
    #[serde(default, rename = "source")]
    #[schema(ignore)]
    _source: Option<AppSource>,
    #[serde(default, rename = "problems")]
    #[schema(ignore)]
    _problems: Vec<String>,
}

/// How a process is started.
#[derive(Debug, Default, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LocalInput {
    /// argv, never a shell.
    #[serde(default)]
    command: Vec<String>,
    /// Working directory.
    #[serde(default)]
    cwd: Option<String>,
    /// Added to the inherited environment.
    #[serde(default)]
    env: BTreeMap<String, String>,
    /// umask.
    #[serde(default)]
    umask: Option<u32>,
    /// Resource limits.
    #[serde(default)]
    rlimits: Rlimits,
    /// Nice value.
    #[serde(default)]
    nice: Option<i32>,
    /// oom_score_adj.
    #[serde(default)]
    oom_score_adj: Option<i32>,
    /// Whether a wall keeps it from deskd: `auto`. Only the configuration file turns it off.
    #[serde(default)]
    sandbox: Sandbox,
}

fn yes() -> bool {
    true
}

impl AppInput {
    /// As an application, or everything that is wrong with it.
    pub fn check(self) -> Result<App, ApiError> {
        let mut problems = Vec::new();
        let mut must = |holds: bool, problem: &str| {
            if !holds {
                problems.push(problem.to_owned());
            }
        };
        let local = &self.local;
        let nul = |text: &String| text.contains('\0');
        let container = self.container.as_deref();
        must(
            local.command.first().map_or(container.is_some(), |program| !program.is_empty()),
            "local.command: empty",
        );
        must(!local.command.iter().any(nul), "local.command: a NUL character");
        must(local.command.len() <= ARGS_MAX, "local.command: too many arguments");
        must(
            is_env(&local.env),
            "local.env: a name is empty or has `=`, or there is a NUL character",
        );
        must(
            !has_redacted(&local.env),
            "local.env: a value was redacted when it was read; give the real one",
        );
        must(local.umask.is_none_or(|umask| umask <= 0o777), "local.umask: larger than 0o777");
        must(local.nice.is_none_or(|nice| (-20..=19).contains(&nice)), "local.nice: not -20 to 19");
        must(
            local.oom_score_adj.is_none_or(|score| (-1000..=1000).contains(&score)),
            "local.oom_score_adj: not -1000 to 1000",
        );
        must(
            local.sandbox.is_auto(),
            "local.sandbox: only the operator's configuration file turns the wall off",
        );
        must(
            local.cwd.as_ref().is_none_or(|cwd| cwd.starts_with('/') && !nul(cwd)),
            "local.cwd: not an absolute path",
        );
        must(
            self.icon
                .as_ref()
                .is_none_or(|icon| icon.starts_with('/') || icon.starts_with("data:image/")),
            "icon: neither an absolute path nor a data:image/ URL",
        );
        if let Some(container) = container {
            check_container(container, &mut must);
        }
        if !problems.is_empty() {
            return Err(ApiError::InvalidApp(problems));
        }
        let LocalInput { command, cwd, env, umask, rlimits, nice, oom_score_adj, sandbox } =
            self.local;
        Ok(App {
            display_name: self.display_name.unwrap_or_else(|| self.id.to_string()),
            id: self.id,
            icon: self.icon,
            keywords: self.keywords,
            categories: self.categories,
            wm_class: self.wm_class,
            needs_display: self.needs_display,
            restart: self.restart,
            local: LocalProgram { command, cwd, env, umask, rlimits, nice, oom_score_adj, sandbox },
            container: self.container,
            mime_types: self.mime_types,
            file_extensions: self.file_extensions,
            default_application: self.default_application,
            source: AppSource::Api,
            problems: Vec::new(),
        })
    }
}

fn is_env(env: &BTreeMap<String, String>) -> bool {
    env.iter().all(|(name, value)| {
        !name.is_empty() && !name.contains(['=', '\0']) && !value.contains('\0')
    })
}

fn has_redacted(env: &BTreeMap<String, String>) -> bool {
    env.values().any(|value| value.contains(REDACTED))
}

fn check_container(container: &ContainerApp, must: &mut impl FnMut(bool, &str)) {
    let image = &container.image;
    must(
        !image.is_empty() && image.chars().all(|c| c.is_ascii_graphic()),
        "container.image: empty, or a blank in it",
    );
    for (command, long, nul) in [
        (
            &container.image_command,
            "container.image_command: too many arguments",
            "container.image_command: a NUL character",
        ),
        (
            &container.program,
            "container.program: too many arguments",
            "container.program: a NUL character",
        ),
    ] {
        must(command.len() <= ARGS_MAX, long);
        must(!command.iter().any(|word| word.contains('\0')), nul);
    }
    must(
        container.args.as_ref().is_none_or(|args| !args.contains('\0')),
        "container.args: a NUL character",
    );
    must(
        is_env(&container.env),
        "container.env: a name is empty or has `=`, or there is a NUL character",
    );
    must(
        !has_redacted(&container.env),
        "container.env: a value was redacted when it was read; give the real one",
    );
    must(container.ports.iter().all(|port| port.port > 0), "container.ports: port 0");
}

#[cfg(test)]
mod tests {
    use super::super::apps::public;
    use super::*;
    use deskd_core::app::document;

    fn input(json: &str) -> Result<App, ApiError> {
        serde_json::from_str::<AppInput>(json).unwrap().check()
    }

    #[test]
    fn a_short_document_is_an_application() {
        let app = input(r#"{"id": "xclock", "local": {"command": ["xclock"]}}"#).unwrap();
        assert_eq!((app.display_name.as_str(), app.needs_display), ("xclock", true));
        assert_eq!(app.source, AppSource::Api);
    }

    #[test]
    fn every_problem_of_a_document_is_named_at_once() {
        let error = input(
            r#"{"id": "x", "icon": "x.png", "local": {"command": [], "nice": 20, "cwd": "tmp"}}"#,
        )
        .unwrap_err()
        .to_string();
        for field in ["local.command", "local.nice", "local.cwd", "icon"] {
            assert!(error.contains(field), "{error}");
        }
    }

    #[test]
    fn what_is_shown_can_be_sent_back_but_not_with_redacted_secrets() {
        let app =
            input(r#"{"id": "x", "local": {"command": ["x"], "env": {"TZ": "UTC"}}}"#).unwrap();
        let shown = serde_json::to_string(&public(&app)).unwrap();
        assert_eq!(input(&shown).unwrap(), app);
        let secret =
            input(r#"{"id": "x", "local": {"command": ["x"], "env": {"API_TOKEN": "s"}}}"#)
                .unwrap();
        let shown = serde_json::to_string(&public(&secret)).unwrap();
        assert!(!shown.contains("\"s\""), "{shown}");
        assert!(input(&shown).unwrap_err().to_string().contains("redacted"));
    }

    #[test]
    fn an_application_in_an_image_can_be_sent_back_too() {
        let labels = serde_json::json!({"oc.path": "/bin/x", "oc.mimetype": "text/plain"});
        let config = serde_json::json!({"Env": ["PASSWORD=p"], "Labels": labels});
        let image = serde_json::json!({"Id": "1", "RepoTags": ["x:1"], "Config": config});
        let mut app = document::read(&image, AppSource::Api).unwrap().remove(0);
        let shown = serde_json::to_string(&public(&app)).unwrap();
        assert!(!shown.contains("=p") && !shown.contains("\"p\""), "{shown}");
        assert!(input(&shown).unwrap_err().to_string().contains("container.env"));
        app.container.as_mut().unwrap().env.clear();
        assert_eq!(input(&serde_json::to_string(&public(&app)).unwrap()).unwrap(), app);
        app.container.as_mut().unwrap().image.clear();
        let error = input(&serde_json::to_string(&app).unwrap()).unwrap_err().to_string();
        assert!(error.contains("container.image"), "{error}");
    }
}
