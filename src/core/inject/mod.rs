//! deskd into a manifest of somebody else's: the same manifest with deskd as a native sidecar of
//! each desktop pod in it.
//!
//! `container/inject/policy.yaml` does the same at the API server; a test compares the two. What is
//! not said in a pod is assumed, and each assumption is a value that `deskd inject` shows.
//!
//! Deliberately not here: YAML, files and sentences.

mod graphical;
mod pod;
mod sidecar;

#[cfg(test)]
mod tests;

use serde_json::Value;

pub use graphical::Sign;
pub use sidecar::{CONTAINER, IMAGE_DEFAULT, VOLUME_PREFIX};

/// Kinds with a pod's template, and where in them it is.
const TEMPLATES: [(&str, &str); 8] = [
    ("Deployment", "/spec/template"),
    ("StatefulSet", "/spec/template"),
    ("DaemonSet", "/spec/template"),
    ("ReplicaSet", "/spec/template"),
    ("ReplicationController", "/spec/template"),
    ("Job", "/spec/template"),
    ("CronJob", "/spec/jobTemplate/spec/template"),
    ("PodTemplate", "/template"),
];

/// What is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// The graphical container; absent: the one that can be it.
    pub container: Option<String>,
    /// The image that has deskd.
    pub image: String,
    /// How deskd gets into its container.
    pub binary: Binary,
}

/// How deskd gets into its container.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Binary {
    /// By an image volume, into a container of the graphical container's image: programs of that
    /// image can be started beside deskd. Needs Kubernetes 1.36, where image volumes are stable.
    #[default]
    ImageVolume,
    /// The container is made from deskd's image: nothing but deskd is there.
    OwnImage,
}

/// Which pod, as people find it in the manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PodName {
    /// Such as `Deployment`.
    pub kind: String,
    /// Its name, or what its name will begin with.
    pub name: String,
}

/// What was assumed about a pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Assumption {
    /// Which container has the X server.
    Graphical {
        /// Its name.
        container: String,
        /// Why it is taken for that.
        signs: Vec<Sign>,
    },
    /// The volume at `/tmp/.X11-unix`, by name; absent: none, so that only the abstract socket and
    /// TCP lead to the X server.
    Socket(Option<String>),
    /// Where the cookie is.
    Cookie(CookieSource),
    /// As whom deskd runs; absent: as the image says.
    User(Option<i64>),
    /// The home directory; absent: as the image says.
    Home(Option<String>),
    /// Whether the X server listens on TCP (`X11LISTEN=tcp`), which applications in pods of their own
    /// need.
    Tcp(bool),
    /// The service account that the pod has now.
    Account(String),
    /// The service account that the pod had and keeps: deskd's rights have to be given to it.
    AccountKept(String),
    /// The pod's containers had a token and have it no longer: it would now be deskd's.
    TokensWithdrawn,
    /// An older deskd was there.
    Replaced,
}

/// Where the display's cookie is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CookieSource {
    /// `XAUTH_KEY`.
    Key,
    /// The file that `XAUTHORITY` names.
    File(String),
    /// `~/.Xauthority`.
    Home,
}

/// A pod that deskd was put into.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Injected {
    /// Which.
    pub pod: PodName,
    /// What was assumed, in the order in which it is worth reading.
    pub assumed: Vec<Assumption>,
}

/// Why deskd was not put into a pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refused {
    /// No container looks as if it had an X server.
    NoGraphical {
        /// Which pod.
        pod: PodName,
        /// Its containers.
        containers: Vec<String>,
    },
    /// Several do.
    Several {
        /// Which pod.
        pod: PodName,
        /// Those containers.
        containers: Vec<String>,
    },
    /// The container that was asked for is not there.
    NoContainer {
        /// Which pod.
        pod: PodName,
        /// What was asked for.
        wanted: String,
        /// Its containers.
        containers: Vec<String>,
    },
}

/// All that was done to one document.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Pods that have deskd now.
    pub injected: Vec<Injected>,
    /// Pods that are as they were.
    pub refused: Vec<Refused>,
}

impl Outcome {
    /// Adds what was done to another document.
    pub fn append(&mut self, other: Self) {
        self.injected.extend(other.injected);
        self.refused.extend(other.refused);
    }
}

/// Puts deskd into every pod of `document`: a pod, something with a pod's template, or a list of
/// those. Everything else stays as it is. Doing it again changes nothing.
pub fn inject(document: &mut Value, options: &Options) -> Outcome {
    let kind = document["kind"].as_str().unwrap_or_default().to_owned();
    if let Some(item_kind) = kind.strip_suffix("List") {
        return inject_list(document, item_kind, options);
    }
    let template = TEMPLATES.iter().find(|(known, _)| *known == kind).map(|(_, at)| *at);
    let at = match (kind.as_str(), template) {
        ("Pod", _) => "",
        (_, Some(at)) => at,
        _ => return Outcome::default(),
    };
    let metadata = &document["metadata"];
    let name = metadata["name"].as_str().or_else(|| metadata["generateName"].as_str());
    let name = PodName { kind, name: name.unwrap_or_default().to_owned() };
    let mut outcome = Outcome::default();
    let is_pod = |pod: &&mut Value| {
        pod["spec"].is_object() && (pod["metadata"].is_object() || pod["metadata"].is_null())
    };
    if let Some(pod) = document.pointer_mut(at).filter(is_pod) {
        match pod::inject(pod, &name, options) {
            Ok(assumed) => outcome.injected.push(Injected { pod: name, assumed }),
            Err(refused) => outcome.refused.push(refused),
        }
    }
    outcome
}

/// The items of a `PodList` need not say that they are pods.
fn inject_list(document: &mut Value, item_kind: &str, options: &Options) -> Outcome {
    let mut outcome = Outcome::default();
    let items = document.get_mut("items").and_then(Value::as_array_mut);
    for item in items.into_iter().flatten() {
        let mute = item.get("kind").is_none() && !item_kind.is_empty();
        if mute && let Some(item) = item.as_object_mut() {
            item.insert("kind".into(), item_kind.into());
        }
        outcome.append(inject(item, options));
        if mute && let Some(item) = item.as_object_mut() {
            item.remove("kind");
        }
    }
    outcome
}
