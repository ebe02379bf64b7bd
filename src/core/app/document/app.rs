//! From an image to an application: what each label means.

use serde_json::Value;

use super::image::Image;
use super::labels::Labels;
use super::{DocumentError, host_config, icon, json_labels, name};
use crate::app::access::AccessList;
use crate::app::container::{ContainerApp, EntryPoint, HomeNeed, ShmNeed};
use crate::app::{App, AppSource, LocalProgram, Rlimits};
use crate::id::AppId;
use crate::plan::EngineKind;
use crate::restart::RestartPolicy;
use crate::wall::Sandbox;

/// The label that is too large to be kept twice: it becomes [`App::icon`].
const ICON_LABEL: &str = "oc.icondata";

/// Values of `oc.containerengine`.
const ENGINES: [(&str, EngineKind); 2] = [
    ("ephemeral_container", EngineKind::EphemeralContainer),
    ("pod_application", EngineKind::PodApplication),
];
/// Values of `io.deskd.shm`.
const SHM_NEEDS: [(&str, ShmNeed); 2] =
    [("required", ShmNeed::Required), ("preferred", ShmNeed::Preferred)];

/// Reads one image, the `index`th of its document.
pub(super) fn read(
    document: &Value,
    source: AppSource,
    index: Option<usize>,
) -> Result<App, DocumentError> {
    let mut problems = Vec::new();
    let mut image = Image::read(document, &mut problems).ok_or_else(|| other(document, index))?;
    let labels = std::mem::take(&mut image.labels);
    let mut reader = Labels { map: &labels, problems: &mut problems };
    let program = program(&mut image, &mut reader);
    let oc_name = reader.text("oc.name");
    let first = program.first().or(image.command.first()).map(String::as_str);
    let id = name::of(&image, oc_name, first).ok_or(DocumentError::Nameless(index))?;
    if !labels.keys().any(|name| name.starts_with("oc.")) {
        reader.problems.push(
            "its image has no oc.* label, so it may not be the image of an application".to_owned(),
        );
    }
    let icon = reader.text(ICON_LABEL).and_then(|text| {
        icon::data_url(text).map_err(|what| reader.complain(ICON_LABEL, &what)).ok()
    });
    let mut file_extensions = extensions(&reader.list("oc.fileextensions", &[';']));
    for extension in extensions(&reader.list("oc.legacyfileextensions", &[';'])) {
        if !file_extensions.contains(&extension) {
            file_extensions.push(extension);
        }
    }
    let display_name = reader.text("oc.displayname").or(oc_name).unwrap_or(id.as_str()).to_owned();
    let mut app = App {
        icon,
        keywords: reader.list("oc.keyword", &[',', ';']),
        categories: reader.list("oc.cat", &[',', ';']),
        wm_class: reader.string("oc.wm_class").or_else(|| reader.string("oc.launch")),
        mime_types: reader.list("oc.mimetype", &[';']),
        file_extensions,
        default_application: reader.boolean("oc.usedefaultapplication").unwrap_or(false),
        ..bare(id, &display_name, source)
    };
    app.local.command.clone_from(&program);
    let mut container =
        container(image, program, &mut reader).ok_or(DocumentError::Nameless(index))?;
    container.labels = labels;
    container.labels.remove(ICON_LABEL);
    app.container = Some(Box::new(container));
    app.problems = problems;
    Ok(app)
}

/// `oc.path` and the words of `oc.args`; nothing when no program is named.
fn program(image: &mut Image, labels: &mut Labels<'_>) -> Vec<String> {
    let args = labels.words("oc.args");
    let path = labels.text("oc.path").map(ToOwned::to_owned);
    let mut program: Vec<String> = path.into_iter().collect();
    if !program.is_empty() {
        program.extend(args);
    }
    for command in [&mut program, &mut image.command] {
        if command.iter().any(|word| word.contains('\0')) {
            labels.problems.push("its command has a NUL character and was ignored".to_owned());
            command.clear();
        }
    }
    program
}

/// With nothing but its names.
///
/// Of an image only the program is taken for this container, if it has it too: the image's
/// environment and directory would do harm here (its `PATH`, a switch that turns shared memory off).
pub(super) fn bare(id: AppId, display_name: &str, source: AppSource) -> App {
    App {
        id,
        display_name: display_name.to_owned(),
        icon: None,
        keywords: Vec::new(),
        categories: Vec::new(),
        wm_class: None,
        needs_display: true,
        restart: RestartPolicy::Never,
        local: LocalProgram {
            command: Vec::new(),
            cwd: None,
            env: std::collections::BTreeMap::new(),
            umask: None,
            rlimits: Rlimits::default(),
            nice: None,
            oom_score_adj: None,
            sandbox: Sandbox::Auto,
        },
        mime_types: Vec::new(),
        file_extensions: Vec::new(),
        default_application: false,
        container: None,
        source,
        problems: Vec::new(),
    }
}

/// What is needed to run the image; nothing when the document does not say which image it is.
fn container(
    mut image: Image,
    program: Vec<String>,
    labels: &mut Labels<'_>,
) -> Option<ContainerApp> {
    if image.tag.is_none() && image.digest.is_none() {
        labels.problems.push(
            "its document has neither a tag nor a digest, so only a node that already has the \
             image can run it: inspect the image by its tag"
                .to_owned(),
        );
    }
    let cwd = cwd(image.cwd.take(), labels);
    let (network_rules, home) = rules(labels);
    Some(ContainerApp {
        image: image.tag.or(image.digest).or_else(|| image.id.clone())?,
        image_id: image.id,
        size_bytes: image.size_bytes,
        architecture: image.architecture,
        image_command: image.command,
        args: labels.string("oc.args").filter(|args| !program.is_empty() && !args.contains('\0')),
        entrypoint: entrypoint(&program, labels),
        program,
        env: image.env,
        cwd,
        engine: labels.word("oc.containerengine", &ENGINES),
        execute_class: labels.string("oc.executeclassname"),
        access: access(labels),
        shm: labels.word("io.deskd.shm", &SHM_NEEDS).unwrap_or_default(),
        ports: labels
            .json(
                "io.deskd.ports",
                r#"[{"name": "http", "port": 8080}]"#,
                "the application gets no port",
                json_labels::ports,
            )
            .and_then(Result::ok)
            .unwrap_or_default(),
        probe: labels
            .json(
                "io.deskd.probe",
                r#"{"http_get": {"path": "/", "port": 8080}}"#,
                "the application gets no probe",
                json_labels::probe,
            )
            .and_then(Result::ok),
        network_rules,
        home,
        host_config: labels
            .json(
                "oc.host_config",
                r#"{"shm_size": "1g", "mem_limit": "2g"}"#,
                "the application gets none of these settings",
                host_config::read,
            )
            .and_then(Result::ok)
            .unwrap_or_default(),
        secrets: secrets(labels),
        unique_run_key: labels.string("oc.uniquerunkey"),
        show_in_view: labels.string("oc.showinview"),
        exec_mode: labels.string("oc.execmode"),
        grace_s: labels.seconds("io.deskd.grace", 0),
        deadline_s: labels.seconds("io.deskd.deadline", 1),
        labels: std::collections::BTreeMap::new(),
    })
}

/// An absolute path.
fn cwd(given: Option<String>, labels: &mut Labels<'_>) -> Option<String> {
    given.filter(|dir| {
        let absolute = dir.starts_with('/') && !dir.contains('\0');
        if !absolute {
            labels.problems.push(format!(
                "`WorkingDir` in its document is not an absolute path and was ignored: `{}`",
                dir.escape_debug()
            ));
        }
        absolute
    })
}

/// A program can be run directly only if it is named.
fn entrypoint(program: &[String], labels: &mut Labels<'_>) -> Option<EntryPoint> {
    const NAME: &str = "io.deskd.entrypoint";
    let entrypoint = labels.word(NAME, &EntryPoint::WORDS)?;
    if entrypoint == EntryPoint::Program && program.is_empty() {
        labels.complain(
            NAME,
            "is `program`, but no oc.path names a program, so the image's own command runs: add \
             oc.path",
        );
        return None;
    }
    Some(entrypoint)
}

/// `oc.rules`: the networks, and the home directory.
fn rules(labels: &mut Labels<'_>) -> (Vec<String>, HomeNeed) {
    let rules = |value: &Value| Ok((json_labels::network_rules(value)?, json_labels::home(value)?));
    labels
        .json(
            "oc.rules",
            r#"{"homedir": {"default": true}, "network": {"intranet": true}}"#,
            "its rules are ignored",
            rules,
        )
        .and_then(Result::ok)
        .unwrap_or_default()
}

/// Whom an unreadable list meant is unknown: it permits nobody.
fn access(labels: &mut Labels<'_>) -> AccessList {
    labels
        .json(
            "oc.acl",
            r#"{"permit": ["all"]}"#,
            "nobody may start the application until this is corrected",
            json_labels::access,
        )
        .unwrap_or_else(|| Ok(AccessList::default()))
        .unwrap_or_else(|()| AccessList { permit: Some(Vec::new()), deny: Vec::new() })
}

/// A lone name is written without quotes, too.
fn secrets(labels: &mut Labels<'_>) -> Vec<String> {
    const NAME: &str = "oc.secrets_requirement";
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '/' | '_');
    match labels.text(NAME) {
        Some("null") | None => Vec::new(),
        Some(name) if name.chars().all(plain) => vec![name.to_owned()],
        Some(_) => labels
            .json(NAME, r#"["vault"]"#, "the application gets no secrets", json_labels::secrets)
            .and_then(Result::ok)
            .unwrap_or_default(),
    }
}

/// Lower case, without the dot.
fn extensions(given: &[String]) -> Vec<String> {
    let mut extensions: Vec<String> = Vec::new();
    for extension in given {
        let extension = extension.trim_start_matches(['*', '.']).to_lowercase();
        if !extension.is_empty() && !extensions.contains(&extension) {
            extensions.push(extension);
        }
    }
    extensions
}

/// What a document is that is no image's: entries of abcdesktop's `applist.json` have these keys.
fn other(document: &Value, index: Option<usize>) -> DocumentError {
    let has = |key: &str| document.get(key).is_some();
    if has("launch") && has("template") {
        DocumentError::Recipe(index)
    } else {
        DocumentError::Shape(index)
    }
}
