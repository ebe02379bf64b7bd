//! The environment of an application, per engine: each variable with where it comes from.
//!
//! What an image's configuration sets is not repeated: the runtime gives it to the container
//! anyway, and a document that is older than its image must not win over it.

use std::collections::BTreeMap;

use super::EngineKind;
use super::abcdesktop;
use super::ask::Ask;
use super::command::Command;
use super::facts::OwnPod;
use super::home::Surroundings;
use super::language;
use super::volumes::holds;
use crate::app::container::ContainerApp;
use crate::display::X11_TCP_PORT_BASE;
use crate::env_var::{EnvSource, EnvVar, is_name};
use crate::text;
use crate::text::Text;

/// What turns MIT-SHM off, per toolkit, for displays over the network. Measured: Qt 5 and 6 read
/// the first (set to anything), Qt 4 and Chromium the second, Java the other two. GTK, SDL and
/// Firefox have no switch.
pub const SHM_OFF: [(&str, &str); 4] = [
    ("QT_XCB_NO_MITSHM", "1"),
    ("QT_X11_NO_MITSHM", "1"),
    ("J2D_USE_MITSHM", "false"),
    ("NO_AWT_MITSHM", "1"),
];
/// Variables of the graphical container that `home` decides about.
const DECIDED_ELSEWHERE: [&str; 2] = ["HOME", "XDG_RUNTIME_DIR"];

/// Variables, and what is to be said about them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Environment {
    /// Sorted by name.
    pub(super) vars: Vec<EnvVar>,
    /// What is missing and why, in sentences.
    pub(super) notes: Vec<Text>,
}

/// Inherited, then the display, then the app's own: later ones win.
pub(super) fn local(ask: &Ask<'_>) -> Environment {
    let facts = ask.facts;
    let inherited = facts.machine.inherited_env.iter();
    let inherited = inherited.map(|(name, value)| EnvVar::new(name, value, EnvSource::Deskd));
    let mut display = Vec::new();
    if ask.app.needs_display {
        display.push(EnvVar::new("DISPLAY", &facts.display.display, EnvSource::Display));
        let file = facts.machine.xauthority.as_ref();
        display.extend(file.map(|file| EnvVar::new("XAUTHORITY", file, EnvSource::Display)));
    }
    let own = ask.app.local.env.iter();
    let own = own.map(|(name, value)| EnvVar::new(name, value, EnvSource::Application));
    let mut env = merged([inherited.collect(), display, own.collect(), remedy(ask)]);
    let (messages, note) = language::of_messages(&env, &BTreeMap::new());
    env.extend(messages.map(|var| (var.name.clone(), var)));
    Environment { vars: env.into_values().collect(), notes: note.into_iter().collect() }
}

/// The environment of an application in a container: of each list the later wins over the earlier.
pub(super) fn of_container(
    ask: &Ask<'_>,
    container: &ContainerApp,
    command: &Command,
    pod: &OwnPod,
    around: &Surroundings,
) -> Environment {
    let (inherited, unreachable) = inherited(ask, pod, around);
    let mut env = merged([
        user(ask),
        inherited,
        around.variables(),
        abcdesktop::variables(ask, container, pod, around.engine),
        command.variables.clone(),
        application(ask),
        display(ask, container, pod, around),
        configuration(ask),
        remedy(ask),
    ]);
    let (messages, language) = language::of_messages(&env, &container.env);
    env.extend(messages.map(|var| (var.name.clone(), var)));
    let mut notes: Vec<Text> = unreachable
        .into_iter()
        .filter(|(name, _)| !env.contains_key(name))
        .map(|(name, why)| {
            text!(
                "it does not get the variable {name} of the graphical container: {why}",
                name,
                why
            )
        })
        .chain(all_untold(pod))
        .chain(language)
        .collect();
    env.retain(|name, var| {
        let holds = is_name(name) && !var.value.contains('\0');
        if !holds {
            let from = &var.from;
            let name = name.escape_debug().to_string();
            notes.push(text!(
                "it does not get `{name}` ({from}): Kubernetes does not accept this variable",
                name,
                from
            ));
        }
        holds
    });
    Environment { vars: env.into_values().collect(), notes }
}

/// What the graphical container has all of, and the pod does not tell.
fn all_untold(pod: &OwnPod) -> Option<Text> {
    let from = &pod.graphical.as_ref()?.env_from;
    (!from.is_empty()).then(|| {
        text!(
            "it gets no variable that the graphical container has from {sources} (envFrom), which \
             deskd does not read: set those that it needs in [kubernetes.env]",
            sources = from.join(", ")
        )
    })
}

fn merged<const N: usize>(layers: [Vec<EnvVar>; N]) -> BTreeMap<String, EnvVar> {
    layers.into_iter().flatten().map(|var| (var.name.clone(), var)).collect()
}

/// Who the user is, by `[user]`.
fn user(ask: &Ask<'_>) -> Vec<EnvVar> {
    let user = ask.facts.policy.identity.user.iter();
    let from = || EnvSource::Configuration("user.name".to_owned());
    user.flat_map(|user| ["USER", "LOGNAME"].map(|name| EnvVar::new(name, user, from()))).collect()
}

/// What the graphical container has and applications are to have; and what of that leads nowhere.
fn inherited(
    ask: &Ask<'_>,
    pod: &OwnPod,
    around: &Surroundings,
) -> (Vec<EnvVar>, Vec<(String, Text)>) {
    let (mut env, mut unreachable) = (Vec::new(), Vec::new());
    let named = |name: &String| ask.facts.policy.inherit_env.contains(name);
    let zone = "TZ".to_owned();
    if let Some(value) = ask.facts.machine.time_zone.as_ref().filter(|_| named(&zone)) {
        env.push(EnvVar::new(zone, value, EnvSource::Deskd));
    }
    let Some(graphical) = &pod.graphical else { return (env, unreachable) };
    let abcdesktop = abcdesktop::is_desktop(pod);
    for (name, value) in &graphical.env {
        let wanted = named(name) || abcdesktop && abcdesktop::hands_on(name);
        if !wanted || value.is_empty() || DECIDED_ELSEWHERE.contains(&name.as_str()) {
            continue;
        }
        match leads_nowhere(name, value, around) {
            Some(why) => unreachable.push((name.clone(), why)),
            None => {
                let from = EnvSource::Desktop(graphical.name.clone());
                env.push(EnvVar::new(name, value, from));
            }
        }
    }
    let untold = graphical
        .untold_env
        .iter()
        .filter(|name| named(name) || abcdesktop && abcdesktop::hands_on(name));
    unreachable.extend(untold.map(|name| (name.clone(), untold_note())));
    (env, unreachable)
}

/// Why a variable is not handed on whose value is in a Secret or a ConfigMap.
fn untold_note() -> Text {
    text!(
        "its value is in a Secret or a ConfigMap, which deskd does not read: set it in [kubernetes.env]"
    )
}

/// Why the address of a service that works in the graphical container does not in the application's.
fn leads_nowhere(name: &str, value: &str, around: &Surroundings) -> Option<Text> {
    let service = matches!(name, "PULSE_SERVER" | "CUPS_SERVER");
    let unix = value
        .strip_prefix("unix:")
        .or_else(|| value.strip_prefix('/').filter(|_| service).map(|_| value));
    let in_other_pod = around.engine == EngineKind::PodApplication;
    if let Some(address) = unix {
        // `unix:/path` (PulseAudio), `unix:path=/path,guid=...` (D-Bus specification, "Server Addresses").
        let path = address.strip_prefix("path=").unwrap_or(address);
        let path = path.split([',', ';']).next().unwrap_or(path);
        return match path.starts_with('/') {
            _ if in_other_pod => Some(text!("this is a socket in the desktop's pod")),
            true if !holds(&around.mounts, path) => {
                Some(text!("none of its volumes contains the socket {path}", path))
            }
            // An abstract socket belongs to the pod's network.
            _ => None,
        };
    }
    let address = value.strip_prefix("tcp:").unwrap_or(value);
    let loopback = ["localhost", "127.", "[::1]"].iter().any(|own| address.starts_with(own));
    (in_other_pod && service && loopback)
        .then(|| text!("this is a port on localhost in the desktop's pod"))
}

/// What the app's description adds to its image.
fn application(ask: &Ask<'_>) -> Vec<EnvVar> {
    let image = ask.container().map(|container| &container.env);
    let of_image =
        |name: &String, value: &String| image.is_some_and(|env| env.get(name) == Some(value));
    let own = ask.app.local.env.iter();
    own.filter(|(name, value)| !of_image(name, value))
        .map(|(name, value)| EnvVar::new(name, value, EnvSource::Application))
        .collect()
}

/// The display: that of the pod that the container is in, or over the network without shared memory.
fn display(
    ask: &Ask<'_>,
    container: &ContainerApp,
    pod: &OwnPod,
    around: &Surroundings,
) -> Vec<EnvVar> {
    let facts = ask.facts;
    if !ask.app.needs_display {
        return Vec::new();
    }
    let conventions = abcdesktop::hold(container, pod);
    let mut env = Vec::new();
    let name = if around.engine == EngineKind::PodApplication {
        env.extend(SHM_OFF.map(|(name, value)| EnvVar::new(name, value, EnvSource::Plan)));
        let number = facts.display.tcp.port.saturating_sub(X11_TCP_PORT_BASE);
        format!("{}:{number}", pod.ip.as_deref().map(host).unwrap_or_default())
    } else {
        let name = &facts.display.display;
        // abcdesktop names the screen too.
        let screen = if conventions && !name.contains('.') { ".0" } else { "" };
        format!("{name}{screen}")
    };
    env.push(EnvVar::new("DISPLAY", name, EnvSource::Display));
    // An entry point of abcdesktop makes a file of its own from the variable. Who keeps the cookie in a
    // secret does not want it in the pod's specification.
    let of_secret = around.engine == EngineKind::PodApplication && around.cookie.is_the_desktops();
    let variable = !around.cookie.is_the_desktops() || conventions && !of_secret;
    env.extend(
        around.cookie.path.as_ref().map(|file| EnvVar::new("XAUTHORITY", file, EnvSource::Display)),
    );
    if variable {
        let proved = facts.machine.cookie.as_ref();
        let proved = proved.map(|cookie| EnvVar::new("XAUTH_KEY", cookie, EnvSource::Display));
        env.extend(proved.or_else(|| abcdesktop::cookie(pod, "XAUTH_KEY", "xauthkey")));
    }
    env
}

/// `[kubernetes.env]`.
fn configuration(ask: &Ask<'_>) -> Vec<EnvVar> {
    let env = ask.facts.policy.env.iter();
    let from = || EnvSource::Configuration("kubernetes.env".to_owned());
    env.map(|(name, value)| EnvVar::new(name, value, from())).collect()
}

/// What a remedy changes.
fn remedy(ask: &Ask<'_>) -> Vec<EnvVar> {
    let env = ask.launch.change.env.iter();
    env.map(|(name, value)| EnvVar::new(name, value, EnvSource::Remedy)).collect()
}

/// An address of the pod network as the part before a port: libxcb's `_xcb_open_tcp` and URLs take an
/// IPv6 address in brackets.
pub(super) fn host(ip: &str) -> String {
    if ip.contains(':') { format!("[{ip}]") } else { ip.to_owned() }
}

/// The image's variables that turn shared memory off where it would work.
pub(super) fn shm_off_note(ask: &Ask<'_>) -> Option<Text> {
    let env = &ask.container()?.env;
    let turns_off = |name: &&str| env.get(*name).is_some_and(|value| value != "true");
    let off: Vec<_> = SHM_OFF.iter().map(|(name, _)| *name).filter(turns_off).collect();
    (ask.app.needs_display && !off.is_empty()).then(|| {
        text!(
            "its image sets {off}, which turns shared memory off, so it draws more slowly",
            off = off.join(", ")
        )
    })
}
