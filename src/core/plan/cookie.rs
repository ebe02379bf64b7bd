//! The file that gives an application in a container the display's cookie. libX11 and libxcb read
//! nothing else: a cookie in a variable is for whoever makes a file of it.

use serde_json::json;

use super::EngineKind;
use super::abcdesktop;
use super::ask::Ask;
use super::facts::{OwnPod, VolumeMount};
use super::home::{Surroundings, below, innermost};
use super::remote::{CookieCopy, CookieMaker};
use crate::app::container::ContainerApp;
use crate::display::X11_TCP_PORT_BASE;
use crate::env_var::EnvSource;
use crate::policy::DeskdImage;
use crate::text;

/// The variable that names the file.
const XAUTHORITY: &str = "XAUTHORITY";
/// Where application pods find the file.
pub(super) const DIRECTORY: &str = "/run/deskd-x11";
/// Its name, and the key of the configured secret.
pub(super) const FILE: &str = CookieCopy::NAME;
/// Name of its volume in application pods.
pub(super) const VOLUME: &str = "deskd-x11";
/// Size of that volume where an init container writes the file, which has some 100 bytes: the rest is
/// for what programs keep in their runtime directory.
const VOLUME_SIZE: &str = "8Mi";
/// The `XDG_RUNTIME_DIR` that this init container makes.
const RUNTIME: &str = "/run/deskd-x11/runtime";
/// Where deskd is in its own image (`container/Containerfile`).
const PROGRAM: &str = "/usr/local/bin/deskd";

/// How an application finds the file.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct CookieFile {
    /// What `XAUTHORITY` says.
    pub(super) path: Option<String>,
    /// deskd copies it there before an ephemeral container starts.
    pub(super) copy: Option<CookieCopy>,
    /// An init container makes it before an application pod starts.
    pub(super) maker: Option<CookieMaker>,
}

impl CookieFile {
    /// Somebody other than deskd keeps the file: a cookie in a variable is not needed.
    pub(super) fn is_the_desktops(&self) -> bool {
        self.path.is_some() && self.copy.is_none() && self.maker.is_none()
    }
}

impl Surroundings {
    /// Looks for the file, or plans to make one.
    pub(super) fn set_cookie(&mut self, ask: &Ask<'_>, container: &ContainerApp, pod: &OwnPod) {
        if !ask.app.needs_display {
            return;
        }
        match self.engine {
            EngineKind::PodApplication => self.cookie_of_pod(ask, pod),
            _ => self.cookie_of_ephemeral(ask, container, pod),
        }
    }

    /// A file that is in a volume of the application's, else a copy in a directory of its user's.
    fn cookie_of_ephemeral(&mut self, ask: &Ask<'_>, container: &ContainerApp, pod: &OwnPod) {
        let facts = ask.facts;
        let file = facts.display.cookie_file.as_deref();
        let shared = file.and_then(|file| self.seen(pod, file));
        // An entry point of abcdesktop's writes to the file that it is given.
        let writes = abcdesktop::hold(container, pod);
        let kept = shared.as_ref().filter(|(mount, _)| !(writes && mount.read_only));
        if let Some((_, path)) = kept {
            self.cookie.path = Some(path.clone());
            return;
        }
        // The one that deskd makes from XAUTH_KEY has a record for each way to the display.
        let own = facts.machine.xauthority.as_deref().filter(|_| facts.machine.cookie.is_some());
        let Some(from) = own.or(file) else { return };
        let uid = facts.policy.run_as.uid;
        let runtime = self.prepare.first().and(self.runtime_dir.as_ref());
        let runtime = runtime.map(|(path, _)| path.clone());
        let roots = self.mounts.iter().map(|mount| mount.path.trim_end_matches('/'));
        let others: Vec<_> = roots.map(|root| format!("{root}/.deskd-{uid}")).collect();
        let found = runtime
            .into_iter()
            .chain(others)
            .find_map(|path| Some((self.private_directory(pod, &path, uid, XAUTHORITY)?, path)));
        match (found, shared) {
            (Some((directory, path)), _) if uid == facts.machine.uid => {
                self.cookie.path = Some(format!("{path}/{FILE}"));
                self.cookie.copy = Some(CookieCopy { from: from.to_owned(), directory });
            }
            (_, Some((_, path))) => self.cookie.path = Some(path),
            _ => self.no_cookie_file(ask, file),
        }
    }

    fn no_cookie_file(&mut self, ask: &Ask<'_>, file: Option<&str>) {
        let lacks = match file {
            Some(file) => text!("none of its volumes contains the cookie file {file}, and", file),
            None => text!("no file gives it the display's cookie:"),
        };
        let lacks = text!(
            "{lacks} deskd cannot keep a copy, since its container shares no writable emptyDir with it",
            lacks
        );
        self.note(match ask.facts.machine.cookie {
            Some(_) => text!(
                "{lacks}: let its image write a cookie file from the variable XAUTH_KEY, or mount \
                 such a volume (named in `volumes`) in both",
                lacks
            ),
            None => text!(
                "{lacks}, so the display may refuse it: mount such a volume (named in `volumes`) \
                 in both",
                lacks
            ),
        });
    }

    /// The file of the configured secret, else one that an init container makes of the cookie.
    fn cookie_of_pod(&mut self, ask: &Ask<'_>, pod: &OwnPod) {
        let path = format!("{DIRECTORY}/{FILE}");
        if ask.facts.policy.xauthority_secret.is_some() {
            self.cookie.path = Some(path);
            return;
        }
        if ask.facts.machine.cookie.is_none() {
            let given = abcdesktop::cookie(pod, "XAUTH_KEY", "xauthkey").is_some();
            if ask.facts.display.cookie_file.is_some() && !given {
                self.note(text!(
                    "it does not get the display's cookie, which is in a file of the desktop, so \
                     the display may refuse it: keep the cookie in a secret (`xauthority_secret`), \
                     or set XAUTH_KEY for deskd"
                ));
            }
            return;
        }
        if ask.facts.policy.deskd_image == DeskdImage::None {
            return;
        }
        let found = match &ask.facts.policy.deskd_image {
            DeskdImage::Named(image) => Some((image.clone(), PROGRAM.to_owned())),
            _ => pod.deskd.as_ref().map(|deskd| (deskd.image.clone(), deskd.path.clone())),
        };
        let Some((image, program)) = found else {
            self.note(text!(
                "it gets no file with the display's cookie, because deskd does not know which \
                 image contains deskd: let its image write one from the variable XAUTH_KEY, or set \
                 `image` in [kubernetes]"
            ));
            return;
        };
        let number = ask.facts.display.tcp.port.saturating_sub(X11_TCP_PORT_BASE);
        let display = ["--display".to_owned(), format!(":{number}")];
        let address = pod.ip.iter().flat_map(|ip| ["--address".to_owned(), ip.clone()]);
        let runtime = self.runtime_dir.is_none().then(|| RUNTIME.to_owned());
        let option = runtime.iter().flat_map(|dir| ["--runtime-dir".to_owned(), dir.clone()]);
        let argv = [program, "xauthority".to_owned()].into_iter().chain(display);
        let argv = argv.chain(address).chain(option);
        let mount = VolumeMount { name: VOLUME.into(), path: DIRECTORY.into(), read_only: false };
        self.volumes.push(json!({
            "name": VOLUME, "emptyDir": { "medium": "Memory", "sizeLimit": VOLUME_SIZE },
        }));
        self.mounts.push(mount.clone());
        self.cookie.maker =
            Some(CookieMaker { image, argv: argv.chain([path.clone()]).collect(), mount });
        self.cookie.path = Some(path);
        if let Some(dir) = runtime {
            self.runtime_dir = Some((dir, EnvSource::Plan));
        }
    }

    /// A file of deskd's container as the application has it: the mount, and the path there.
    fn seen(&self, pod: &OwnPod, file: &str) -> Option<(VolumeMount, String)> {
        let here = innermost(&pod.own_mounts, file)?;
        let below = below(&here.path, file)?;
        let there = self.mounts.iter().filter(|mount| mount.name == here.name);
        there
            .map(|mount| (mount.clone(), format!("{}/{below}", mount.path.trim_end_matches('/'))))
            // Something else that is mounted there would hide it.
            .find(|(mount, path)| innermost(&self.mounts, path) == Some(mount))
    }
}
