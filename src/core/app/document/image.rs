//! What both formats say about an image, in one form. Nothing is known about labels here but that
//! they are texts.

use std::collections::BTreeMap;

use serde_json::Value;

/// An image as its document describes it.
#[derive(Debug, Default)]
pub(super) struct Image {
    /// The first tag.
    pub tag: Option<String>,
    /// The first digest.
    pub digest: Option<String>,
    /// `sha256:...`
    pub id: Option<String>,
    /// In bytes.
    pub size_bytes: Option<u64>,
    /// Such as `amd64`.
    pub architecture: Option<String>,
    /// Entry point and command.
    pub command: Vec<String>,
    /// Environment.
    pub env: BTreeMap<String, String>,
    /// Working directory.
    pub cwd: Option<String>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
}

/// Whether `value` looks like an element of what `docker inspect` prints about images
/// (Docker Engine API, `ImageInspect`).
pub(super) fn is_docker(value: &Value) -> bool {
    value.get("Config").is_some() || value.get("RepoTags").is_some()
}

/// Whether `value` looks like what `crictl inspecti` prints (CRI `ImageStatusResponse`, verbose).
pub(super) fn is_crictl(value: &Value) -> bool {
    let is_object = |key| value.get(key).is_some_and(Value::is_object);
    is_object("status") || value.pointer("/info/imageSpec").is_some()
}

impl Image {
    /// Reads one; nothing when it has neither format.
    pub(super) fn read(value: &Value, problems: &mut Vec<String>) -> Option<Self> {
        if is_docker(value) {
            let config = value.get("Config").unwrap_or(&Value::Null);
            Some(Self {
                tag: first(value.get("RepoTags"), "RepoTags", problems),
                digest: first(value.get("RepoDigests"), "RepoDigests", problems),
                id: text(value.get("Id"), "Id", problems),
                size_bytes: size(value.get("Size"), "Size", problems),
                architecture: text(value.get("Architecture"), "Architecture", problems),
                ..Self::of_config(config, problems)
            })
        } else if is_crictl(value) {
            let at = |pointer: &str| value.pointer(pointer);
            let config = at("/info/imageSpec/config").unwrap_or(&Value::Null);
            Some(Self {
                tag: first(at("/status/repoTags"), "repoTags", problems),
                digest: first(at("/status/repoDigests"), "repoDigests", problems),
                id: text(at("/status/id"), "id", problems),
                size_bytes: size(at("/status/size"), "size", problems),
                architecture: text(at("/info/imageSpec/architecture"), "architecture", problems),
                ..Self::of_config(config, problems)
            })
        } else {
            None
        }
    }

    /// Both have the OCI image configuration (image-spec, `config.md`).
    fn of_config(config: &Value, problems: &mut Vec<String>) -> Self {
        let mut command = strings(config.get("Entrypoint"), "Entrypoint", problems);
        command.extend(strings(config.get("Cmd"), "Cmd", problems));
        Self {
            command,
            env: environment(config.get("Env"), problems),
            cwd: text(config.get("WorkingDir"), "WorkingDir", problems)
                .filter(|dir| !dir.is_empty()),
            labels: labels(config.get("Labels"), problems),
            ..Self::default()
        }
    }
}

/// The value, unless it is absent or null.
fn present(value: Option<&Value>) -> Option<&Value> {
    value.filter(|value| !value.is_null())
}

fn wrong(name: &str, wanted: &str) -> String {
    format!("`{name}` in its document is not {wanted} and was ignored")
}

fn text(value: Option<&Value>, name: &str, problems: &mut Vec<String>) -> Option<String> {
    let text = present(value)?.as_str();
    if text.is_none() {
        problems.push(wrong(name, "a text"));
    }
    text.filter(|text| !text.is_empty()).map(ToOwned::to_owned)
}

fn strings(value: Option<&Value>, name: &str, problems: &mut Vec<String>) -> Vec<String> {
    let items = match present(value) {
        None => return Vec::new(),
        // Docker's own API takes one text too.
        Some(Value::String(text)) => Some(vec![text.clone()]),
        Some(Value::Array(items)) => {
            items.iter().map(|item| item.as_str().map(ToOwned::to_owned)).collect()
        }
        Some(_) => None,
    };
    items.unwrap_or_else(|| {
        problems.push(wrong(name, "a list of strings"));
        Vec::new()
    })
}

/// The first that can be pulled by: untagged images are called `<none>:<none>`.
fn first(value: Option<&Value>, name: &str, problems: &mut Vec<String>) -> Option<String> {
    let usable = |name: &String| {
        !name.is_empty() && !name.contains("<none>") && name.chars().all(|c| c.is_ascii_graphic())
    };
    strings(value, name, problems).into_iter().find(usable)
}

/// A number, or a number as text: protobuf's JSON writes 64-bit numbers so.
fn size(value: Option<&Value>, name: &str, problems: &mut Vec<String>) -> Option<u64> {
    let value = present(value)?;
    let size = value.as_u64().or_else(|| value.as_str()?.parse().ok());
    if size.is_none() {
        problems.push(wrong(name, "a number of bytes"));
    }
    size
}

fn environment(value: Option<&Value>, problems: &mut Vec<String>) -> BTreeMap<String, String> {
    let mut env = BTreeMap::new();
    for entry in strings(value, "Env", problems) {
        match entry.split_once('=') {
            Some((name, value)) if !name.is_empty() && !entry.contains('\0') => {
                env.insert(name.to_owned(), value.to_owned());
            }
            // The value is not shown: it may be a secret.
            _ => problems.push(
                "an entry of `Env` in its document does not have the form NAME=VALUE and was \
                 ignored"
                    .to_owned(),
            ),
        }
    }
    env
}

/// Labels are texts; whoever wrote another value meant its JSON.
fn labels(value: Option<&Value>, problems: &mut Vec<String>) -> BTreeMap<String, String> {
    match present(value) {
        None => BTreeMap::new(),
        Some(Value::Object(labels)) => labels
            .iter()
            .filter(|(_, value)| !value.is_null())
            .map(|(name, value)| {
                let text = value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned);
                (name.clone(), text)
            })
            .collect(),
        Some(_) => {
            problems.push(wrong("Labels", "a table"));
            BTreeMap::new()
        }
    }
}
