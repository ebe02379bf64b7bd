//! `[kubernetes]` and `[user]`, with the classes and rules beside them: what the operator decided
//! about remote engines, as a [`Policy`].

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::classes::{self, word};
use super::cluster_names as names;
use super::keys;
use super::parse::Reader;
use super::section::{At, Section};
use super::values::{self, Complaint};
use deskd_core::app::access::Identity;
use deskd_core::app::container::EntryPoint;
use deskd_core::id::AppId;
use deskd_core::plan::EngineKind;
use deskd_core::policy::{
    DeskdImage, ExecuteClass, GPU_RESOURCE_DEFAULT, LocalApps, Policy, PullPolicy, RunAs, WARM_MAX,
};

/// Engines that `[kubernetes]` can turn on.
const REMOTE_ENGINES: [EngineKind; 2] =
    [EngineKind::EphemeralContainer, EngineKind::PodApplication];
/// Most launches on their way at once.
const LAUNCHES_AT_ONCE_MAX: i64 = 100;
/// Largest user or group id that Kubernetes takes (`core/v1 SecurityContext`).
const ID_MAX: i64 = i32::MAX as i64;
/// Most supplemental groups: NGROUPS_MAX of Linux is more than anybody configures.
const GROUPS_MAX: usize = 64;

/// `[kubernetes]` as far as it can be known without looking at this machine.
#[derive(Debug, Clone)]
pub struct PolicyDraft {
    /// Everything but the default of `run_as`.
    pub policy: Policy,
    /// As configured; absent: deskd's own user and group.
    pub run_as: Option<RunAs>,
    /// Credentials for the API server; absent: those of the pod's service account.
    pub kubeconfig: Option<PathBuf>,
}

impl<'t> Reader<'t> {
    /// Reads all sections about remote engines.
    pub(super) fn policy(&self, root: &Section<'t>) -> PolicyDraft {
        let table = root.table("kubernetes");
        let section = Section::new("kubernetes", table, keys::KUBERNETES, self.problems);
        let gpu_resource = section
            .parsed("gpu_resource", GPU_RESOURCE_DEFAULT, names::extended_resource)
            .map_or_else(|| GPU_RESOURCE_DEFAULT.to_owned(), |found| found.value);
        let classes = classes::classes(root, &gpu_resource);
        let default_class = default_class(&section, &classes);
        let defaults = Policy::default();
        let count = |key, most, default| {
            let found = section.integer(key, 1..=most);
            found.and_then(|found| u32::try_from(found.value).ok()).unwrap_or(default)
        };
        let name = |key, example, check: fn(&str) -> Result<String, Complaint>| {
            section.parsed(key, example, check).map(|found| found.value)
        };
        let policy = Policy {
            engines: self.engines(&section),
            entrypoint: entrypoint(&section),
            places: section.boolean("places").unwrap_or(defaults.places),
            places_port: section
                .integer("places_port", 1..=i64::from(u16::MAX))
                .and_then(|found| u16::try_from(found.value).ok()),
            linger_s: section
                .parsed("linger", "10m", values::whole_seconds_or_none)
                .map_or(defaults.linger_s, |found| found.value),
            warm: warm(&section),
            local: local(&section),
            apps_namespace: name("apps_namespace", "desktop-apps", names::dns_label),
            target_container: name("target_container", "deskd", names::dns_label),
            run_as: defaults.run_as,
            pull_policy: pull_policy(&section),
            pull_secrets: list(&section, "pull_secrets", "registry", names::subdomain),
            pull_on_add: section.boolean("pull_on_add").unwrap_or(defaults.pull_on_add),
            xauthority_secret: name("xauthority_secret", "desktop-xauthority", names::subdomain),
            deskd_image: deskd_image(&section),
            pod_volumes: list(&section, "pod_volumes", "home", names::dns_label),
            volumes: list_or(&section, "volumes", "home*", names::pattern, defaults.volumes),
            graphical_container: name("graphical_container", "x-graphical", names::dns_label),
            env: variables(&section),
            inherit_env: list_or(
                &section,
                "inherit_env",
                "LANG",
                names::variable,
                defaults.inherit_env,
            ),
            launches_at_once: count(
                "launches_at_once",
                LAUNCHES_AT_ONCE_MAX,
                defaults.launches_at_once,
            ),
            remote_tasks_max: count(
                "remote_tasks_max",
                super::TASKS_MAX_MAX.into(),
                defaults.remote_tasks_max,
            ),
            network_rules: classes::network_rules(root),
            identity: self.identity(root),
            grace_s: section
                .parsed("grace", "30s", whole_seconds)
                .map_or(defaults.grace_s, |found| found.value),
            gpu_resource,
            default_class,
            classes,
        };
        PolicyDraft {
            policy,
            run_as: run_as(&section),
            kubeconfig: self.path("KUBECONFIG", &section, "kubeconfig", "/etc/deskd/kubeconfig"),
        }
    }

    /// What the file says; the variable is what an injected deskd has without a file.
    fn engines(&self, section: &Section<'t>) -> Vec<EngineKind> {
        const VARIABLE: &str = "DESKD_ENGINES_DEFAULT";
        const REMEDY: &str = "write a list, such as [\"ephemeral_container\", \"pod_application\"]";
        let (mut in_file, mut in_env) = (Vec::new(), Vec::new());
        for item in section.strings("engines", REMEDY).into_iter().flat_map(|list| list.value) {
            if let Err(complaint) = add_engine(&mut in_file, item.value) {
                section.complain("engines", item.span, complaint);
            }
        }
        let text = (self.env)(VARIABLE).unwrap_or_default();
        for name in text.split(',').map(str::trim).filter(|name| !name.is_empty()) {
            if let Err(complaint) = add_engine(&mut in_env, name) {
                self.problems.env(VARIABLE, "kubernetes.engines", complaint);
            }
        }
        if section.raw("engines").is_some() { in_file } else { in_env }
    }

    fn identity(&self, root: &Section<'t>) -> Identity {
        let section = Section::new("user", root.table("user"), keys::USER, self.problems);
        let plain = |text: &str| {
            let name = text.trim();
            let bad = name.is_empty() || name == "all";
            if bad {
                let what = format!("is not a name of a user or group: `{}`", text.escape_debug());
                return Err(Complaint::new(what, "write the name that access lists use"));
            }
            Ok(name.to_owned())
        };
        let in_file = list(&section, "groups", "staff", plain);
        let in_env = (self.env)("DESKD_USER_GROUPS").map(|text| {
            let names = text.split(',').map(str::trim).filter(|name| !name.is_empty());
            names.map(ToOwned::to_owned).collect()
        });
        Identity {
            user: self.pick("DESKD_USER", &section, "name", "anna", plain),
            groups: in_env.unwrap_or(in_file),
        }
    }
}

/// `default_class`, which must be one of the classes.
fn default_class(
    section: &Section<'_>,
    classes: &BTreeMap<String, ExecuteClass>,
) -> Option<String> {
    section.string("default_class", "bronze").and_then(|class| {
        if classes.contains_key(class.value) {
            return Some(class.value.to_owned());
        }
        let known: Vec<_> = classes.keys().map(String::as_str).collect();
        let complaint = Complaint::new(
            format!("names the execute class `{}`, which is not configured", class.value),
            if known.is_empty() {
                format!("add a section [execute_class.{}]", class.value)
            } else {
                format!("add a section for it, or use one of {}", known.join(", "))
            },
        );
        section.complain("default_class", class.span, complaint);
        None
    })
}

/// Adds an engine by its name, once.
fn add_engine(engines: &mut Vec<EngineKind>, name: &str) -> Result<(), Complaint> {
    match REMOTE_ENGINES.into_iter().find(|engine| engine.as_str() == name) {
        Some(engine) if !engines.contains(&engine) => engines.push(engine),
        Some(_) => {}
        None => {
            return Err(Complaint::new(
                format!("has the unknown engine `{name}`"),
                format!("write one of {}", REMOTE_ENGINES.map(EngineKind::as_str).join(", ")),
            ));
        }
    }
    Ok(())
}

/// `auto` leaves it to the documents.
fn entrypoint(section: &Section<'_>) -> Option<EntryPoint> {
    const WORDS: [&str; 3] = ["auto", "image", "program"];
    let found = section.parsed("entrypoint", "image", |text| word(text, &WORDS))?;
    let chosen = EntryPoint::WORDS.into_iter().find(|(word, _)| *word == found.value);
    chosen.map(|(_, entrypoint)| entrypoint)
}

/// Numbers of places, by ids of applications.
fn warm(section: &Section<'_>) -> BTreeMap<AppId, u32> {
    let mut counts = BTreeMap::new();
    let Some(table) = section.table("warm") else { return counts };
    let path = section.key("warm");
    for (key, value) in table.iter() {
        let (name, span) = (key.get_ref().as_ref(), value.span());
        let place = format!("warm.{name}");
        let number = value.get_ref().as_integer();
        let count = number.and_then(|it| u32::from_str_radix(it.as_str(), it.radix()).ok());
        match (app_id(name), count.filter(|count| *count <= WARM_MAX)) {
            (Ok(id), Some(count)) => drop(counts.insert(id, count)),
            (Err(complaint), _) => section.complain(&place, span, complaint),
            (_, None) => {
                let what = format!("must be a number of pods from 0 to {WARM_MAX}");
                let remedy = format!("write it as in {path} = {{ \"2048-alpine\" = 1 }}");
                section.complain(&place, span, Complaint::new(what, remedy));
            }
        }
    }
    counts
}

fn app_id(text: &str) -> Result<AppId, Complaint> {
    const REMEDY: &str = "write ids as `deskd app list` shows them, such as \"2048-alpine\"";
    text.parse::<AppId>().map_err(|error| {
        let text = text.escape_debug();
        Complaint::new(
            format!("has `{text}`, which is not a valid application id: {error}"),
            REMEDY,
        )
    })
}

/// Ids of applications, or `*` for all.
fn local(section: &Section<'_>) -> LocalApps {
    const ALL: &str = "*";
    let id = |text: &str| match app_id(text) {
        Err(complaint) if text != ALL => {
            let remedy = format!("{}, or \"*\" for all", complaint.remedy);
            Err(Complaint { remedy, ..complaint })
        }
        _ => Ok(text.to_owned()),
    };
    let listed = list(section, "local", "2048-alpine", id);
    if listed.iter().any(|name| name == ALL) {
        return LocalApps::All;
    }
    LocalApps::Only(listed.iter().filter_map(|name| name.parse().ok()).collect())
}

fn pull_policy(section: &Section<'_>) -> PullPolicy {
    const WORDS: [&str; 3] = ["Always", "IfNotPresent", "Never"];
    let found = section.parsed("pull_policy", "IfNotPresent", |text| word(text, &WORDS));
    match found.as_ref().map(|found| found.value.as_str()) {
        Some("Always") => PullPolicy::Always,
        Some("Never") => PullPolicy::Never,
        _ => PullPolicy::IfNotPresent,
    }
}

/// `image`: empty for none.
fn deskd_image(section: &Section<'_>) -> DeskdImage {
    let found = section.parsed("image", "registry.example/deskd:1", |text| match text {
        "" => Ok(DeskdImage::None),
        _ => names::image(text).map(DeskdImage::Named),
    });
    found.map_or(DeskdImage::default(), |found| found.value)
}

/// A list of checked names, each once.
fn list(
    section: &Section<'_>,
    key: &str,
    example: &str,
    check: impl Fn(&str) -> Result<String, Complaint>,
) -> Vec<String> {
    let remedy = format!("write a list of names, such as [\"{example}\"]");
    let mut names = Vec::new();
    for item in section.strings(key, &remedy).into_iter().flat_map(|list| list.value) {
        match check(item.value) {
            Ok(name) if !names.contains(&name) => names.push(name),
            Ok(_) => {}
            Err(complaint) => section.complain(key, item.span, complaint),
        }
    }
    names
}

/// The same; the default where the key is absent.
fn list_or(
    section: &Section<'_>,
    key: &str,
    example: &str,
    check: impl Fn(&str) -> Result<String, Complaint>,
    default: Vec<String>,
) -> Vec<String> {
    if section.raw(key).is_none() { default } else { list(section, key, example, check) }
}

/// `[kubernetes.env]`.
fn variables(section: &Section<'_>) -> BTreeMap<String, String> {
    let mut variables = BTreeMap::new();
    for (name, At { value, span }) in section.string_map("env") {
        let checked = names::variable(name).and_then(|name| match value.contains('\0') {
            true => Err(Complaint::new("has a NUL character", "remove it")),
            false => Ok(name),
        });
        match checked {
            Ok(name) => drop(variables.insert(name, value.to_owned())),
            Err(complaint) => section.complain(&format!("env.{name}"), span, complaint),
        }
    }
    variables
}

fn run_as(parent: &Section<'_>) -> Option<RunAs> {
    let table = parent.table("run_as")?;
    let path = parent.key("run_as");
    let section = Section::new(&path, Some(table), keys::RUN_AS, parent.problems());
    let number = |key| {
        let found = section.integer(key, 0..=ID_MAX);
        if section.raw(key).is_none() {
            let span = parent.raw("run_as").map(|found| found.span).unwrap_or_default();
            let complaint = Complaint::new(
                format!("has no `{key}`"),
                "set both, such as { uid = 4096, gid = 4096 }",
            );
            parent.complain("run_as", span, complaint);
        }
        u32::try_from(found?.value).ok()
    };
    let (uid, gid) = (number("uid"), number("gid"));
    Some(RunAs { groups: groups(&section), uid: uid?, gid: gid? })
}

fn groups(section: &Section<'_>) -> Vec<u32> {
    let Some(At { value, span }) = section.raw("groups") else { return Vec::new() };
    let ids: Option<Vec<u32>> = value.as_array().and_then(|list| {
        let id = |item: &toml::Spanned<toml::de::DeValue<'_>>| {
            let number = item.get_ref().as_integer()?;
            let id = i64::from_str_radix(number.as_str(), number.radix()).ok()?;
            u32::try_from(id).ok().filter(|_| id <= ID_MAX)
        };
        list.iter().map(id).collect()
    });
    ids.filter(|ids| ids.len() <= GROUPS_MAX).unwrap_or_else(|| {
        let what = format!("must be a list of at most {GROUPS_MAX} group ids");
        section.complain("groups", span, Complaint::new(what, "write numbers, such as [100, 44]"));
        Vec::new()
    })
}

/// Kubernetes counts grace in whole seconds, and 0 would be SIGKILL at once.
fn whole_seconds(text: &str) -> Result<u32, Complaint> {
    let time = values::duration(text)?;
    if time.subsec_millis() != 0 || time.is_zero() {
        let what = format!("must be a whole number of seconds, at least one: `{text}`");
        return Err(Complaint::new(what, "write it with a unit, such as \"30s\""));
    }
    Ok(u32::try_from(time.as_secs()).unwrap_or(u32::MAX))
}
