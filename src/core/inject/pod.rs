//! One pod: what is in it, and what becomes of it.

use serde_json::{Map, Value, json};

use super::sidecar::{self, ACCOUNT, ANNOTATION, API_LABEL, CONTAINER, VOLUME_PREFIX, variable};
use super::{Assumption, CookieSource, Options, PodName, Refused, graphical};

/// Where X servers put their sockets.
const SOCKET_DIR: &str = "/tmp/.X11-unix";
/// The service account of a pod that names none.
const ACCOUNT_DEFAULT: &str = "default";

/// Puts deskd into `pod` (an object with `metadata` and `spec`) in the place of an older one. On a
/// refusal it is as it was.
pub(super) fn inject(
    pod: &mut Value,
    name: &PodName,
    options: &Options,
) -> Result<Vec<Assumption>, Refused> {
    let containers = pod["spec"]["containers"].as_array().cloned().unwrap_or_default();
    let (at, signs) = graphical::find(&containers, options.container.as_deref(), name)?;
    let graphical = &containers[at];
    let container = graphical["name"].as_str().unwrap_or_default().to_owned();

    let spec = &mut pod["spec"];
    let uid = uid(graphical, spec);
    let tcp = variable(graphical, "X11LISTEN") == Some("tcp");
    let mut assumed = vec![
        Assumption::Graphical { container: container.clone(), signs },
        Assumption::Socket(socket(graphical)),
        Assumption::Cookie(cookie(graphical)),
        Assumption::User(uid),
        Assumption::Home(variable(graphical, "HOME").map(ToOwned::to_owned)),
        Assumption::Tcp(tcp),
    ];
    assumed.extend(account(spec));
    if remove_older(spec) {
        assumed.push(Assumption::Replaced);
    }
    let sidecar = sidecar::container(
        &sidecar::Pod {
            graphical,
            unprivileged: uid.is_some_and(|uid| uid != 0),
            grace_s: spec["terminationGracePeriodSeconds"].as_u64(),
            tcp,
        },
        options,
    );
    // Last, so that what the others prepare is there.
    list(spec, "initContainers").push(sidecar);
    list(spec, "volumes").extend(sidecar::volumes(options));
    let metadata = &mut pod["metadata"];
    map(metadata, "labels").insert(API_LABEL.into(), "true".into());
    map(metadata, "annotations").insert(ANNOTATION.into(), container.into());
    Ok(assumed)
}

fn uid(graphical: &Value, spec: &Value) -> Option<i64> {
    let of = |value: &Value| value["securityContext"]["runAsUser"].as_i64();
    of(graphical).or_else(|| of(spec))
}

/// The volume that has the X server's socket: mounted there, or above it.
fn socket(graphical: &Value) -> Option<String> {
    let mounts = graphical["volumeMounts"].as_array()?;
    let path = |mount: &Value| {
        mount["mountPath"].as_str().unwrap_or_default().trim_end_matches('/').to_owned()
    };
    let found = mounts.iter().find(|mount| path(mount) == SOCKET_DIR);
    let found = found.or_else(|| mounts.iter().find(|mount| path(mount) == "/tmp"));
    found?["name"].as_str().map(ToOwned::to_owned)
}

fn cookie(graphical: &Value) -> CookieSource {
    let env = graphical["env"].as_array().into_iter().flatten();
    // Also one that comes from a Secret.
    if env.into_iter().any(|entry| entry["name"] == "XAUTH_KEY") {
        return CookieSource::Key;
    }
    match variable(graphical, "XAUTHORITY") {
        Some(file) => CookieSource::File(file.to_owned()),
        None => CookieSource::Home,
    }
}

/// The pod's service account becomes deskd's, whose token only deskd's container gets. A pod with an
/// account of its own keeps it: its containers may need it.
fn account(spec: &mut Value) -> Vec<Assumption> {
    let own = spec["serviceAccountName"].as_str().or_else(|| spec["serviceAccount"].as_str());
    if let Some(own) = own.filter(|own| ![ACCOUNT, ACCOUNT_DEFAULT, ""].contains(own)) {
        return vec![Assumption::AccountKept(own.to_owned())];
    }
    let had_tokens = own != Some(ACCOUNT) && spec["automountServiceAccountToken"] != false;
    spec["serviceAccountName"] = ACCOUNT.into();
    spec["serviceAccount"] = ACCOUNT.into();
    spec["automountServiceAccountToken"] = false.into();
    let account = Assumption::Account(ACCOUNT.to_owned());
    let withdrawn = had_tokens.then_some(Assumption::TokensWithdrawn);
    std::iter::once(account).chain(withdrawn).collect()
}

fn remove_older(spec: &mut Value) -> bool {
    let mut removed = false;
    for key in ["initContainers", "containers"] {
        if let Some(containers) = spec[key].as_array_mut() {
            let before = containers.len();
            containers.retain(|container| container["name"] != CONTAINER);
            removed |= containers.len() < before;
        }
    }
    if let Some(volumes) = spec["volumes"].as_array_mut() {
        let ours = |volume: &Value| {
            volume["name"].as_str().is_some_and(|name| name.starts_with(VOLUME_PREFIX))
        };
        volumes.retain(|volume| !ours(volume));
    }
    removed
}

/// The list of this name, made where there is none.
fn list<'a>(value: &'a mut Value, key: &str) -> &'a mut Vec<Value> {
    let entry = &mut value[key];
    if !entry.is_array() {
        *entry = json!([]);
    }
    let Value::Array(list) = entry else { unreachable!("just made") };
    list
}

fn map<'a>(value: &'a mut Value, key: &str) -> &'a mut Map<String, Value> {
    let entry = &mut value[key];
    if !entry.is_object() {
        *entry = json!({});
    }
    let Value::Object(map) = entry else { unreachable!("just made") };
    map
}
