//! What was assumed and why something was refused, in words.

use deskd_core::inject::{Assumption, Binary, CookieSource, Options, PodName, Refused, Sign};

/// `pod anna`, `Deployment desktops`.
pub fn pod(pod: &PodName) -> String {
    let kind = if pod.kind == "Pod" { "pod" } else { &pod.kind };
    match pod.name.as_str() {
        "" => format!("{kind} without a name"),
        name => format!("{kind} {name}"),
    }
}

/// One line.
pub fn assumption(assumption: &Assumption) -> String {
    match assumption {
        Assumption::Graphical { container, signs } => {
            let signs: Vec<_> = signs.iter().map(|sign| sign_words(*sign)).collect();
            format!("the X server is in container {container}: {}", signs.join(", "))
        }
        Assumption::Socket(Some(volume)) => {
            format!("the X server's socket is in volume {volume}")
        }
        Assumption::Socket(None) => {
            "no volume has the X server's socket: deskd uses the server's abstract socket, and \
             applications in ephemeral containers use that or TCP"
                .into()
        }
        Assumption::Cookie(CookieSource::Key) => "the display's cookie is in XAUTH_KEY".into(),
        Assumption::Cookie(CookieSource::File(file)) => {
            format!("the display's cookie is in {file} (XAUTHORITY)")
        }
        Assumption::Cookie(CookieSource::Home) => {
            "the display's cookie is in ~/.Xauthority: neither XAUTH_KEY nor XAUTHORITY is set"
                .into()
        }
        Assumption::User(Some(0)) => {
            "deskd runs as root, as the X server does: shared memory works only between processes \
             of one user"
                .into()
        }
        Assumption::User(Some(uid)) => format!("deskd runs as user {uid}, as the X server does"),
        Assumption::User(None) => {
            "deskd runs as the user of its image: no securityContext has runAsUser".into()
        }
        Assumption::Home(Some(home)) => format!("the home directory is {home}"),
        Assumption::Home(None) => "the home directory is the image's: HOME is not set".into(),
        Assumption::Tcp(true) => "applications run in ephemeral containers and in pods: the X \
             server listens on TCP (X11LISTEN=tcp)"
            .into(),
        Assumption::Tcp(false) => {
            "applications run in ephemeral containers, not in pods: X11LISTEN is not tcp; to \
             change that, set `kubernetes.engines` in the ConfigMap deskd"
                .into()
        }
        Assumption::Account(account) => {
            format!(
                "the pod's service account is {account}, and only deskd's container gets its token"
            )
        }
        Assumption::AccountKept(account) => format!(
            "the pod keeps its service account {account}: bind the roles of container/base/rbac.yaml to it"
        ),
        Assumption::TokensWithdrawn => {
            "the other containers no longer get a service account token \
         (automountServiceAccountToken: false), because it would be deskd's"
                .into()
        }
        Assumption::Replaced => "it replaces the deskd that was there".into(),
    }
}

/// How deskd gets there.
pub fn binary(options: &Options) -> String {
    let image = &options.image;
    match options.binary {
        Binary::ImageVolume => {
            format!("deskd comes from an image volume of {image}, which needs Kubernetes 1.36")
        }
        Binary::OwnImage => format!(
            "deskd's container uses the image {image}, so it cannot start programs of the \
             desktop's image"
        ),
    }
}

fn sign_words(sign: Sign) -> &'static str {
    match sign {
        Sign::Asked => "you chose it with --container",
        Sign::Name => "its name begins with x",
        Sign::Command => "its command starts an X server",
        Sign::Image => "its image is named after an X server",
        Sign::Port => "it has a port of X11, VNC or websockify",
        Sign::Variable => "it has XAUTH_KEY or X11LISTEN",
    }
}

/// One sentence without its full stop.
pub fn refused(refused: &Refused) -> String {
    match refused {
        Refused::NoGraphical { pod: name, .. } => {
            format!("no container of {} looks like an X server", pod(name))
        }
        Refused::Several { pod: name, containers } => format!(
            "several containers of {} look like an X server: {}",
            pod(name),
            containers.join(", ")
        ),
        Refused::NoContainer { pod: name, wanted, .. } => {
            format!("{} has no container {wanted}", pod(name))
        }
    }
}

/// What to do about it.
pub fn remedy(refused: &Refused) -> String {
    match refused {
        Refused::NoGraphical { containers, .. } | Refused::NoContainer { containers, .. } => {
            match &containers[..] {
                [] => "add a container with the X server to the pod".into(),
                containers => {
                    format!("choose the one with Xvnc: --container {}", containers.join(" or "))
                }
            }
        }
        Refused::Several { containers, .. } => {
            format!("choose the one with Xvnc: --container {}", containers.join(" or "))
        }
    }
}
