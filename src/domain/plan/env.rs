//! The environment of an application, per engine.
//!
//! What an image's configuration sets is not repeated: the runtime gives it to the container
//! anyway, and a document that is older than its image must not win over it.

use std::collections::BTreeMap;

use super::ask::Ask;
use super::facts::OwnPod;
use crate::domain::display::X11_TCP_PORT_BASE;

/// What turns MIT-SHM off, per toolkit, for displays over the network. Measured: Qt 5 and 6 read
/// the first (set to anything), Qt 4 and Chromium the second, Java the other two. GTK, SDL and
/// Firefox have no switch.
pub const SHM_OFF: [(&str, &str); 4] = [
    ("QT_XCB_NO_MITSHM", "1"),
    ("QT_X11_NO_MITSHM", "1"),
    ("J2D_USE_MITSHM", "false"),
    ("NO_AWT_MITSHM", "1"),
];
/// Where application pods find the cookie, if it comes from a secret.
pub(super) const XAUTHORITY_DIR: &str = "/run/deskd-x11";
/// Key of that secret, and the file's name.
pub(super) const XAUTHORITY_FILE: &str = "Xauthority";

/// Inherited, then the display, then the app's own: later ones win.
pub(super) fn local(ask: &Ask<'_>) -> Vec<(String, String)> {
    let facts = ask.facts;
    let mut env: BTreeMap<String, String> = facts.inherited_env.iter().cloned().collect();
    if ask.app.needs_display {
        env.insert("DISPLAY".into(), facts.display.display.clone());
        if let Some(file) = &facts.xauthority {
            env.insert("XAUTHORITY".into(), file.clone());
        }
    }
    env.extend(ask.app.local.env.clone());
    with_change(env, ask)
}

/// The app's own, then the display of the pod that the container is in.
pub(super) fn ephemeral(ask: &Ask<'_>, pod: &OwnPod) -> Vec<(String, String)> {
    let facts = ask.facts;
    let mut env = own(ask);
    if ask.app.needs_display {
        env.insert("DISPLAY".into(), facts.display.display.clone());
        match (mounted_xauthority(ask, pod), &facts.cookie) {
            (Some(file), _) => drop(env.insert("XAUTHORITY".into(), file.to_owned())),
            (None, Some(cookie)) => drop(env.insert("XAUTH_KEY".into(), cookie.clone())),
            (None, None) => {}
        }
    }
    with_change(env, ask)
}

/// The app's own, then the display over the network, without shared memory.
pub(super) fn pod(ask: &Ask<'_>, ip: Option<&str>) -> Vec<(String, String)> {
    let facts = ask.facts;
    let mut env = own(ask);
    if ask.app.needs_display {
        let number = facts.display.tcp.port.saturating_sub(X11_TCP_PORT_BASE);
        // libxcb's `_xcb_open_tcp` takes an IPv6 address in brackets.
        let host = ip.map(|ip| if ip.contains(':') { format!("[{ip}]") } else { ip.to_owned() });
        env.insert("DISPLAY".into(), format!("{}:{number}", host.unwrap_or_default()));
        env.extend(SHM_OFF.map(|(name, value)| (name.to_owned(), value.to_owned())));
        if facts.policy.xauthority_secret.is_some() {
            env.insert("XAUTHORITY".into(), format!("{XAUTHORITY_DIR}/{XAUTHORITY_FILE}"));
        } else if let Some(cookie) = &facts.cookie {
            env.insert("XAUTH_KEY".into(), cookie.clone());
        }
    }
    with_change(env, ask)
}

/// A remedy wins over everything.
fn with_change(mut env: BTreeMap<String, String>, ask: &Ask<'_>) -> Vec<(String, String)> {
    env.extend(ask.launch.change.env.iter().cloned());
    env.into_iter().collect()
}

/// What the app's description adds to its image.
fn own(ask: &Ask<'_>) -> BTreeMap<String, String> {
    let image = ask.container().map(|container| &container.env);
    let of_image =
        |name: &String, value: &String| image.is_some_and(|env| env.get(name) == Some(value));
    let own = ask.app.local.env.iter();
    own.filter(|(name, value)| !of_image(name, value))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

/// The cookie file, if whoever mounts what the target container mounts can read it there.
fn mounted_xauthority<'a>(ask: &Ask<'a>, pod: &OwnPod) -> Option<&'a str> {
    let file = ask.facts.xauthority.as_deref()?;
    super::volumes::is_mounted(pod, file).then_some(file)
}

/// What is doubtful about the cookie of an ephemeral container.
pub(super) fn ephemeral_note(ask: &Ask<'_>, pod: &OwnPod) -> Option<String> {
    let file = ask.facts.xauthority.as_deref()?;
    if !ask.app.needs_display || mounted_xauthority(ask, pod).is_some() {
        return None;
    }
    let lacks = format!("the cookie file {file} is in no volume that the container gets");
    Some(match ask.facts.cookie {
        Some(_) => format!(
            "{lacks}: it has the cookie in XAUTH_KEY, of which its image has to make a file; \
             otherwise give deskd XAUTHORITY, a file in a volume of the pod, instead of XAUTH_KEY"
        ),
        None => format!(
            "{lacks}: the display may refuse it; keep it in a volume of the pod, or give deskd \
             XAUTH_KEY"
        ),
    })
}

/// The image's variables that turn shared memory off where it would work.
pub(super) fn shm_off_note(ask: &Ask<'_>) -> Option<String> {
    let env = &ask.container()?.env;
    let turns_off = |name: &&str| env.get(*name).is_some_and(|value| value != "true");
    let off: Vec<_> = SHM_OFF.iter().map(|(name, _)| *name).filter(turns_off).collect();
    (ask.app.needs_display && !off.is_empty()).then(|| {
        format!("its image sets {}, which turns shared memory off: it draws slower", off.join(", "))
    })
}
