//! abcdesktop's conventions: what its control plane (pyos, 3.x and 4.x) puts into the environment of an
//! application, and the entry points of its images read.
//!
//! They hold where the desktop's pod is abcdesktop's (label `type=x11server`) or the application's
//! document is written for it (a label `oc.*`); what needs a service of its desktops holds in its pods
//! alone.

use serde_json::Value;

use super::EngineKind;
use super::ask::Ask;
use super::env::host;
use super::facts::OwnPod;
use crate::app::container::ContainerApp;
use crate::env_var::{EnvSource, EnvVar};
use crate::kubernetes::LABEL_TYPE;
use crate::redact::is_secret;

/// Value of the label `type` of its desktops.
const TYPE_DESKTOP: &str = "x11server";
/// Where its sound server listens in the desktop's pod.
const PULSE_SOCKET: &str = "unix:/tmp/.pulse.sock";
/// TCP port of its sound server.
const PULSE_PORT: u16 = 4713;
/// TCP port of its printing service.
const CUPS_PORT: u16 = 631;
/// What Python makes of a key that the application does not have.
const NO_KEY: &str = "None";
/// Variable and pod label of each cookie but the display's.
const COOKIES: [(&str, &str); 2] =
    [("BROADCAST_COOKIE", "broadcast_cookie"), ("PULSEAUDIO_COOKIE", "pulseaudio_cookie")];
/// Variables that kubelet fills from the pod that the container is in.
const FIELDS: [(&str, &str); 4] = [
    ("NODE_NAME", "spec.nodeName"),
    ("POD_NAME", "metadata.name"),
    ("POD_NAMESPACE", "metadata.namespace"),
    ("POD_IP", "status.podIP"),
];
/// Variables that are about the graphical container or whoever logged in, not about applications: pyos
/// makes them beside `desktop.envlocal`, and only that is for applications too. `PATH` and the
/// loader's are about an image; the display's are set by the plan.
const NOT_HANDED_ON: [&str; 7] =
    ["USERNAME", "LOCALACCOUNT_PATH", "DISPLAY", "XAUTHORITY", "PATH", "HOSTNAME", "PWD"];
/// The same by how they begin.
const NOT_HANDED_ON_PREFIXES: [&str; 5] =
    ["ABCDESKTOP_", "WEBCLIENT_", "KUBERNETES_", "DESKD_", "LD_"];

/// Whether the desktop's pod is abcdesktop's.
pub(super) fn is_desktop(pod: &OwnPod) -> bool {
    pod.labels.get(LABEL_TYPE).is_some_and(|value| value == TYPE_DESKTOP)
}

/// Whether the conventions hold for an application.
pub(super) fn hold(container: &ContainerApp, pod: &OwnPod) -> bool {
    is_desktop(pod) || container.labels.keys().any(|label| label.starts_with("oc."))
}

/// Whether a variable of the graphical container is one of `desktop.envlocal`, whose names are the
/// operator's: whatever is none of pyos's own, and no secret.
pub(super) fn hands_on(name: &str) -> bool {
    !NOT_HANDED_ON.contains(&name)
        && !NOT_HANDED_ON_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
        && !FIELDS.iter().any(|(field, _)| *field == name)
        && !is_secret(name)
}

/// A cookie as the graphical container has it, else as the pod's label says.
pub(super) fn cookie(pod: &OwnPod, variable: &str, label: &str) -> Option<EnvVar> {
    let desktop = pod.graphical.as_ref().and_then(|graphical| {
        let from = EnvSource::Desktop(graphical.name.clone());
        Some((graphical.env.get(variable)?, from))
    });
    let labelled = || Some((pod.labels.get(label)?, EnvSource::PodLabel(label.to_owned())));
    let (value, from) = desktop.filter(|(value, _)| !value.is_empty()).or_else(labelled)?;
    Some(EnvVar::new(variable, value, from))
}

/// Its variables for an application that runs by `engine`; the display's are set elsewhere.
pub(super) fn variables(
    ask: &Ask<'_>,
    container: &ContainerApp,
    pod: &OwnPod,
    engine: EngineKind,
) -> Vec<EnvVar> {
    if !hold(container, pod) {
        return Vec::new();
    }
    let mut env = Vec::new();
    let mut of_pod = |name: &str, value: Option<String>| {
        env.extend(value.map(|value| EnvVar::new(name, value, EnvSource::Pod)));
    };
    let ip = pod.ip.as_deref();
    of_pod("CONTAINER_IP_ADDR", ip.map(str::to_owned));
    of_pod("PARENT_ID", Some(pod.name.clone()));
    of_pod("PARENT_HOSTNAME", pod.node.clone());
    if is_desktop(pod) {
        let at = |port: u16| ip.map(|ip| format!("{}:{port}", host(ip)));
        of_pod("CUPS_SERVER", at(CUPS_PORT));
        let sound = match engine {
            EngineKind::PodApplication => at(PULSE_PORT),
            _ => Some(PULSE_SOCKET.to_owned()),
        };
        of_pod("PULSE_SERVER", sound);
    }
    env.extend(COOKIES.iter().filter_map(|(variable, label)| cookie(pod, variable, label)));
    env.extend(FIELDS.map(|(name, path)| EnvVar::field(name, path)));
    let key = container.unique_run_key.as_deref().unwrap_or(NO_KEY);
    let from = EnvSource::DocumentLabel("oc.uniquerunkey".to_owned());
    env.push(EnvVar::new("UNIQUERUNKEY", key, from));
    env.extend(execution(ask, pod, engine));
    env
}

/// `ABCDESKTOP_EXECUTE_*`: an ephemeral container uses what the graphical one may.
fn execution(ask: &Ask<'_>, pod: &OwnPod, engine: EngineKind) -> [EnvVar; 2] {
    let class = serde_json::json!({ "limits": ask.needs.limits, "requests": ask.needs.requests });
    let resources = match engine {
        EngineKind::PodApplication => class,
        _ => {
            let resources = pod.graphical.as_ref().map(|graphical| &graphical.resources);
            let of = |key: &str| resources.and_then(|all| all.get(key)).unwrap_or(&Value::Null);
            serde_json::json!({
                "claims": of("claims"), "limits": of("limits"), "requests": of("requests"),
            })
        }
    };
    [("RUNTIME", engine.as_str().to_owned()), ("RESOURCES", spaced(&resources))].map(
        |(name, value)| EnvVar::new(format!("ABCDESKTOP_EXECUTE_{name}"), value, EnvSource::Plan),
    )
}

/// JSON with a blank after each comma and colon, as Python's `json.dumps` writes it: scripts compare it
/// as text.
fn spaced(value: &Value) -> String {
    let join = |items: Vec<String>| items.join(", ");
    match value {
        Value::Object(fields) => {
            let field = |(key, value): (&String, &Value)| {
                format!("{}: {}", Value::from(key.as_str()), spaced(value))
            };
            format!("{{{}}}", join(fields.iter().map(field).collect()))
        }
        Value::Array(items) => format!("[{}]", join(items.iter().map(spaced).collect())),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_written_as_python_writes_it() {
        let value = serde_json::json!({ "b": [1, null], "a": { "x\"y": "z" }, "c": {} });
        assert_eq!(spaced(&value), r#"{"a": {"x\"y": "z"}, "b": [1, null], "c": {}}"#);
    }

    #[test]
    fn only_the_operators_own_variables_are_handed_on() {
        for name in ["X11LISTEN", "SAMPLEENV", "LIBOVERLAY_SCROLLBAR", "LANG"] {
            assert!(hands_on(name), "{name}");
        }
        for name in [
            "ABCDESKTOP_USERID",
            "WEBCLIENT_SOURCEIPADDR",
            "LOCALACCOUNT_PATH",
            "USERNAME",
            "PATH",
            "LD_PRELOAD",
            "POD_IP",
            "XAUTH_KEY",
            "LDAP_PASSWORD",
        ] {
            assert!(!hands_on(name), "{name}");
        }
    }
}
