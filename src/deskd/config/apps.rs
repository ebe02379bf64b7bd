//! `[app.NAME]`: a program of this container, with what a `.desktop` file adds to it.

use std::collections::BTreeMap;

use toml::Spanned;
use toml::de::{DeString, DeValue};

use super::desktop_files::Lookup;
use super::keys;
use super::parse::absolute_path;
use super::problem::did_you_mean;
use super::section::{At, Collector, Section};
use super::values::{self, Complaint};
use deskd_core::app::desktop_entry::DesktopEntry;
use deskd_core::app::{App, AppSource, LocalProgram, Rlimits};
use deskd_core::id::AppId;
use deskd_core::restart::RestartPolicy;
use deskd_core::wall::Sandbox;

/// A section as it was written; absent is absent, so that a `.desktop` file can fill it.
#[derive(Debug, Clone)]
pub struct AppDraft {
    id: AppId,
    desktop_entry: Option<String>,
    display_name: Option<String>,
    command: Option<Vec<String>>,
    cwd: Option<String>,
    icon: Option<String>,
    keywords: Option<Vec<String>>,
    categories: Option<Vec<String>>,
    wm_class: Option<String>,
    needs_display: bool,
    restart: RestartPolicy,
    env: BTreeMap<String, String>,
    umask: Option<u32>,
    rlimits: Rlimits,
    nice: Option<i32>,
    oom_score_adj: Option<i32>,
    sandbox: Sandbox,
}

/// What to write for a command.
const COMMAND_REMEDY: &str =
    "write it as a list of the program and its arguments, such as [\"xclock\", \"-update\", \"1\"]";

/// Reads one section; nothing when its name is no id (which was then reported).
pub fn read<'t>(
    name: &'t Spanned<DeString<'t>>,
    value: &'t Spanned<DeValue<'t>>,
    problems: &'t Collector<'t>,
) -> Option<AppDraft> {
    let path = format!("app.{}", name.get_ref());
    let id: Result<AppId, _> = name.get_ref().parse();
    if let Err(error) = &id {
        let suggestion = suggested_id(name.get_ref());
        let complaint = Complaint::new(
            format!("is not a valid application id: {error}"),
            format!(
                "rename the section to [app.{suggestion}] and put the readable name into \
                 `display_name`"
            ),
        );
        problems.file(name.span(), &path, complaint);
    }
    let Some(table) = value.get_ref().as_table() else {
        let complaint = Complaint::new("must be a table", format!("write a section [{path}]"));
        problems.file(value.span(), &path, complaint);
        return None;
    };
    let section = Section::new(&path, Some(table), keys::APP, problems);
    let command = command(&section);
    let desktop_entry = section.string("desktop_entry", "org.gnome.TwentyFortyEight.desktop");
    if section.raw("command").is_none() && section.raw("desktop_entry").is_none() {
        let complaint = Complaint::new(
            "has neither `command` nor `desktop_entry`, so deskd has nothing to start",
            "add command = [\"PROGRAM\", \"ARGUMENT\"] or desktop_entry = \"NAME.desktop\"",
        );
        problems.file(name.span(), &path, complaint);
    }
    let draft = AppDraft {
        id: id.unwrap_or_else(|_| placeholder()),
        desktop_entry: desktop_entry.map(|entry| entry.value.to_owned()),
        display_name: section.string("display_name", "Clock").map(|name| name.value.to_owned()),
        command,
        cwd: section
            .parsed("cwd", "/home/balloon", |text| {
                absolute_path(text, "/home/balloon").map(|_| text.to_owned())
            })
            .map(|cwd| cwd.value),
        icon: section.string("icon", "utilities-terminal").map(|icon| icon.value.to_owned()),
        keywords: words(&section, "keywords"),
        categories: words(&section, "categories"),
        wm_class: section.string("wm_class", "xclock.XClock").map(|class| class.value.to_owned()),
        needs_display: section.boolean("needs_display").unwrap_or(true),
        restart: section
            .parsed("restart", "never", restart)
            .map_or_else(RestartPolicy::default, |found| found.value),
        env: environment(&section),
        umask: umask(&section),
        rlimits: rlimits(&section),
        nice: small_integer(&section, "nice", -20, 19),
        oom_score_adj: small_integer(&section, "oom_score_adj", -1000, 1000),
        sandbox: section
            .parsed("sandbox", "auto", sandbox)
            .map_or_else(Sandbox::default, |found| found.value),
    };
    Some(draft)
}

/// Stands in for an id that was refused: the draft with it is never used.
fn placeholder() -> AppId {
    "invalid".parse().unwrap_or_else(|_| unreachable!("a literal id"))
}

fn suggested_id(name: &str) -> String {
    let mapped: String = name
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' })
        .take(deskd_core::id::ID_BYTES_MAX)
        .collect();
    let trimmed = mapped.trim_matches('-');
    if trimmed.is_empty() { "my-app".into() } else { trimmed.to_owned() }
}

fn command(section: &Section<'_>) -> Option<Vec<String>> {
    let list = section.strings("command", COMMAND_REMEDY)?;
    for item in &list.value {
        if item.value.contains('\0') {
            let complaint = Complaint::new("has a NUL character in an argument", "remove it");
            section.complain("command", item.span.clone(), complaint);
        }
    }
    if list.value.first().is_none_or(|program| program.value.is_empty()) {
        let complaint = Complaint::new("does not name a program", COMMAND_REMEDY);
        section.complain("command", list.span, complaint);
        return None;
    }
    Some(list.value.into_iter().map(|item| item.value.to_owned()).collect())
}

fn words(section: &Section<'_>, key: &str) -> Option<Vec<String>> {
    let list = section.strings(key, "write a list of words, such as [\"clock\", \"time\"]")?;
    Some(list.value.into_iter().map(|item| item.value.to_owned()).collect())
}

const RESTART_WORDS: [&str; 3] = ["never", "on-failure", "always"];

fn restart(text: &str) -> Result<RestartPolicy, Complaint> {
    match text {
        "never" => Ok(RestartPolicy::Never),
        "on-failure" => Ok(RestartPolicy::OnFailure),
        "always" => Ok(RestartPolicy::Always),
        _ => Err(Complaint::new(
            format!("is not a restart policy: `{text}`"),
            did_you_mean(text, &RESTART_WORDS).map_or_else(
                || format!("write one of {}", RESTART_WORDS.join(", ")),
                |word| format!("did you mean \"{word}\"?"),
            ),
        )),
    }
}

fn sandbox(text: &str) -> Result<Sandbox, Complaint> {
    match text {
        "auto" => Ok(Sandbox::Auto),
        "off" => Ok(Sandbox::Off),
        _ => Err(Complaint::new(
            format!("is not a sandbox: `{text}`"),
            "write \"auto\" (a wall between the program and deskd) or \"off\" (none)",
        )),
    }
}

fn environment(section: &Section<'_>) -> BTreeMap<String, String> {
    let mut env = BTreeMap::new();
    for (name, At { value, span }) in section.string_map("env") {
        let what = if name.is_empty() || name.contains(['=', '\0']) {
            "is not a valid name of an environment variable"
        } else if value.contains('\0') {
            "has a NUL character in its value"
        } else {
            env.insert(name.to_owned(), value.to_owned());
            continue;
        };
        let complaint =
            Complaint::new(what, "write a name without `=`, and leave out NUL characters");
        section.complain(&format!("env.{}", name.escape_debug()), span, complaint);
    }
    env
}

/// As text (`"0o022"`), or as a TOML octal number; a decimal number would be a trap.
fn umask(section: &Section<'_>) -> Option<u32> {
    let At { value, span } = section.raw("umask")?;
    let parsed = match value {
        DeValue::String(text) => values::umask(text),
        DeValue::Integer(number) if number.radix() == 8 => values::umask(number.as_str()),
        _ => Err(Complaint::new("must be an octal number", "write it as \"0o022\"")),
    };
    parsed.map_err(|complaint| section.complain("umask", span, complaint)).ok()
}

fn small_integer(section: &Section<'_>, key: &str, least: i64, most: i64) -> Option<i32> {
    section.integer(key, least..=most).and_then(|found| i32::try_from(found.value).ok())
}

fn rlimits(parent: &Section<'_>) -> Rlimits {
    let path = parent.key("rlimits");
    let section = Section::new(&path, parent.table("rlimits"), keys::RLIMITS, parent.problems());
    let number =
        |key| section.integer(key, 0..=i64::MAX).and_then(|found| u64::try_from(found.value).ok());
    let bytes = |key| match section.raw(key)?.value {
        DeValue::Integer(_) => number(key),
        _ => section.parsed(key, "1 GiB", values::size).map(|found| found.value),
    };
    Rlimits {
        open_files: number("open_files"),
        core_bytes: bytes("core_bytes"),
        address_space_bytes: bytes("address_space_bytes"),
        cpu_seconds: number("cpu_seconds"),
        file_bytes: bytes("file_bytes"),
        processes: number("processes"),
    }
}

impl AppDraft {
    /// Reads the `.desktop` file and finds the icon; what goes wrong is a problem of the app.
    pub fn resolve(self, lookup: &Lookup) -> App {
        let mut problems = Vec::new();
        let mut entry = DesktopEntry::default();
        let mut entry_command = None;
        if let Some(name) = &self.desktop_entry {
            match lookup.desktop_entry(name) {
                Ok(found) => {
                    problems.extend(found.entry.warnings());
                    // The section's own command wins: then the Exec line is nobody's business.
                    if self.command.is_none() {
                        match found.argv() {
                            Ok(argv) => entry_command = Some(argv),
                            Err(error) => {
                                problems.push(format!("{}: {error}", found.file.display()));
                            }
                        }
                    }
                    entry = found.entry;
                }
                Err(error) => problems.push(error.to_string()),
            }
        }
        let icon = self.icon.or(entry.icon).and_then(|icon| {
            lookup.icon(&icon).map_err(|error| problems.push(error.to_string())).ok()
        });
        App {
            display_name: self.display_name.or(entry.name).unwrap_or_else(|| self.id.to_string()),
            icon,
            keywords: self.keywords.unwrap_or(entry.keywords),
            categories: self.categories.unwrap_or(entry.categories),
            wm_class: self.wm_class.or(entry.wm_class),
            needs_display: self.needs_display,
            restart: self.restart,
            local: LocalProgram {
                command: self.command.or(entry_command).unwrap_or_default(),
                cwd: self.cwd.or(entry.path),
                env: self.env,
                umask: self.umask,
                rlimits: self.rlimits,
                nice: self.nice,
                oom_score_adj: self.oom_score_adj,
                sandbox: self.sandbox,
            },
            container: None,
            mime_types: Vec::new(),
            file_extensions: Vec::new(),
            default_application: false,
            source: AppSource::Config,
            problems,
            id: self.id,
        }
    }
}
