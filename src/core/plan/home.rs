//! Where an application in a container is at home: the volumes that it gets, its home and working
//! directory, its `XDG_RUNTIME_DIR`, and who it is there.

use serde_json::{Value, json};

use super::EngineKind;
use super::abcdesktop;
use super::ask::Ask;
use super::cookie::CookieFile;
use super::facts::{OwnPod, VolumeMount};
use super::remote::PrivateDirectory;
use super::volumes::{Shared, holds};
use crate::app::container::{ContainerApp, HomeNeed};
use crate::env_var::{EnvSource, EnvVar};
use crate::text;
use crate::text::Text;

/// The directory that every image has and everybody may write to.
const TMP: &str = "/tmp";
/// Name of the volume that is an application pod's own home.
const HOME_VOLUME: &str = "deskd-home";
/// What programs look for their sockets in: a directory of mode 0700 that belongs to their user (XDG
/// Base Directory Specification).
const RUNTIME_DIR: &str = "XDG_RUNTIME_DIR";

/// What surrounds an application in a container.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Surroundings {
    /// What runs it.
    pub(super) engine: EngineKind,
    /// What it mounts.
    pub(super) mounts: Vec<VolumeMount>,
    /// Volumes of a pod of its own, as in its spec.
    pub(super) volumes: Vec<Value>,
    /// Working directory; absent: the image's.
    pub(super) cwd: Option<String>,
    /// Directories that are made before it starts.
    pub(super) prepare: Vec<PrivateDirectory>,
    /// What is missing and why, in sentences.
    pub(super) notes: Vec<Text>,
    /// How it finds the display's cookie.
    pub(super) cookie: CookieFile,
    /// `HOME` and where it is said; absent: the image's.
    home: Option<(String, EnvSource)>,
    /// `XDG_RUNTIME_DIR` and where it is said.
    pub(super) runtime_dir: Option<(String, EnvSource)>,
}

impl Surroundings {
    /// In the desktop's own pod, or in a pod of its own, with the volumes that it gets there.
    pub(super) fn new(
        ask: &Ask<'_>,
        container: &ContainerApp,
        pod: &OwnPod,
        engine: EngineKind,
        shared: Shared,
    ) -> Self {
        let Shared { volumes, mounts, notes } = shared;
        let mut around = Self {
            engine,
            mounts,
            volumes,
            cwd: container.cwd.clone(),
            prepare: Vec::new(),
            notes,
            cookie: CookieFile::default(),
            home: None,
            runtime_dir: None,
        };
        if let Some(why) = missing_container(ask, pod) {
            around.notes.push(why);
        }
        around.set_home(ask, container, pod);
        around.set_runtime_dir(ask, pod);
        // Whoever makes a pod's cookie file makes its runtime directory too.
        around.set_cookie(ask, container, pod);
        around.runtime_dir_note();
        around.identity_note(ask);
        around
    }

    /// The variables that say where it is at home.
    pub(super) fn variables(&self) -> Vec<EnvVar> {
        let all = [("HOME", &self.home), (RUNTIME_DIR, &self.runtime_dir)].into_iter();
        let told = all.filter_map(|(name, found)| Some((name, found.clone()?)));
        told.map(|(name, (value, from))| EnvVar::new(name, value, from)).collect()
    }

    fn set_home(&mut self, ask: &Ask<'_>, container: &ContainerApp, pod: &OwnPod) {
        let desktop = desktop_home(pod);
        let in_pod = self.engine == EngineKind::PodApplication;
        let fallback = Some((TMP.to_owned(), EnvSource::Plan));
        match desktop {
            Some((home, from)) if in_pod && !shares_home(container) => {
                self.home = Some((home.to_owned(), from));
                self.own_home(home);
                self.note(text!(
                    "its document asks for no home directory of the user (oc.rules): it has an \
                     empty one of its own"
                ));
            }
            _ if !shares_home(container) => {
                self.home = fallback;
                self.note(text!(
                    "its document asks for no home directory of the user (oc.rules): HOME is /tmp"
                ));
                return;
            }
            Some((home, from)) if holds(&self.mounts, home) => {
                self.home = Some((home.to_owned(), from));
                self.unwritable_home_note(ask, home);
            }
            Some((home, from)) if in_pod => {
                self.home = Some((home.to_owned(), from));
                self.own_home(home);
                self.note(text!(
                    "it has a home directory of its own in {home}, which is deleted with its pod: \
                     to share the desktop's, name that volume in `pod_volumes`",
                    home
                ));
            }
            Some((home, _)) => {
                self.home = fallback;
                self.note(text!(
                    "it has no home directory: none of its volumes contains {home}, so HOME is \
                     /tmp; add that volume to `volumes` in [kubernetes]",
                    home
                ));
                return;
            }
            None => {
                let told =
                    container.env.contains_key("HOME") || ask.facts.policy.env.contains_key("HOME");
                if !told {
                    self.home = fallback;
                    self.note(text!(
                        "HOME is not set, so it is /tmp: set HOME in [kubernetes.env] or in the \
                         graphical container"
                    ));
                }
                return;
            }
        }
        // pyos starts every application in the home directory. An image of another make that names a
        // directory may need it: its command can be relative.
        let home = self.home.as_ref().map(|(home, _)| home.clone());
        if abcdesktop::hold(container, pod) || self.cwd.is_none() {
            self.cwd = home;
        }
    }

    /// /tmp is in every image.
    fn own_home(&mut self, home: &str) {
        if home == TMP {
            return;
        }
        self.volumes.push(json!({ "name": HOME_VOLUME, "emptyDir": {} }));
        let (name, path) = (HOME_VOLUME.to_owned(), home.to_owned());
        self.mounts.push(VolumeMount { name, path, read_only: false });
    }

    fn unwritable_home_note(&mut self, ask: &Ask<'_>, home: &str) {
        let facts = ask.facts;
        let here = facts.machine.home.as_deref() == Some(home);
        if innermost(&self.mounts, home).is_some_and(|mount| mount.read_only) {
            self.note(text!(
                "its home directory {home} is read-only, so it cannot save settings there",
                home
            ));
        } else if here
            && !facts.machine.home_is_writable
            && facts.machine.uid == facts.policy.run_as.uid
        {
            self.note(text!(
                "user {uid} may not write to the home directory {home}, so it cannot save settings \
                 there: make that user the owner of the directory",
                home,
                uid = facts.machine.uid
            ));
        }
    }

    /// A private directory in a volume that deskd's container has too, since only deskd can make it
    /// before the application starts: a volume itself belongs to root and is open to everybody.
    fn set_runtime_dir(&mut self, ask: &Ask<'_>, pod: &OwnPod) {
        let desktop = desktop_variable(pod, RUNTIME_DIR);
        let uid = ask.facts.policy.run_as.uid;
        if self.engine == EngineKind::PodApplication {
            // What lies directly in /tmp programs and entry points can make themselves.
            let in_tmp = |path: &str| {
                let name = path.strip_prefix("/tmp/");
                name.is_some_and(|name| !name.is_empty() && !name.contains('/'))
            };
            self.runtime_dir = desktop
                .filter(|(path, _)| in_tmp(path))
                .map(|(path, from)| (path.to_owned(), from));
        } else if uid == ask.facts.machine.uid {
            let usual = [format!("/run/user/{uid}"), format!("/tmp/runtime-{uid}")];
            let usual = usual.into_iter().map(|path| (path, EnvSource::Plan));
            let told = desktop.map(|(path, from)| (path.to_owned(), from));
            for (path, from) in told.into_iter().chain(usual) {
                if let Some(directory) = self.private_directory(pod, &path, uid, RUNTIME_DIR) {
                    self.prepare.push(directory);
                    self.runtime_dir = Some((path, from));
                    break;
                }
            }
        }
    }

    fn runtime_dir_note(&mut self) {
        if self.runtime_dir.is_none() {
            self.note(text!(
                "it gets no XDG_RUNTIME_DIR, because deskd cannot create a private directory \
                 before it starts: toolkits create one themselves"
            ));
        }
    }

    /// The same volume, in memory or on this node's disk, is mounted writable here and there.
    pub(super) fn private_directory(
        &self,
        pod: &OwnPod,
        path: &str,
        uid: u32,
        variable: &str,
    ) -> Option<PrivateDirectory> {
        let there = innermost(&self.mounts, path)?;
        let below = below(&there.path, path).filter(|below| !below.is_empty())?;
        let plain = below.split('/').all(|part| !matches!(part, "" | "." | ".."));
        let on_this_node = pod.volumes.get(&there.name)?.get("emptyDir").is_some();
        let here = |mount: &&VolumeMount| mount.name == there.name && !mount.read_only;
        let here = pod.own_mounts.iter().find(here)?;
        // Something else that is mounted there would hide it.
        let seen = format!("{}/{below}", here.path.trim_end_matches('/'));
        let same = innermost(&pod.own_mounts, &seen).is_some_and(|mount| mount.name == there.name);
        (plain && on_this_node && same && !there.read_only).then(|| PrivateDirectory {
            variable: variable.to_owned(),
            root: here.path.clone(),
            path: below.to_owned(),
            uid,
        })
    }

    /// No single file can be mounted into an ephemeral container, and one in the place of a pod's
    /// /etc/passwd would take the image's own users away.
    fn identity_note(&mut self, ask: &Ask<'_>) {
        if self.mounts.iter().any(|mount| mount.name.contains("localaccount")) {
            return;
        }
        let uid = ask.facts.policy.run_as.uid;
        self.note(text!(
            "it runs as user {uid}, which may be missing from the /etc/passwd of its image: USER \
             and HOME name the user, but /etc/passwd is the image's own",
            uid
        ));
    }

    pub(super) fn note(&mut self, note: Text) {
        self.notes.push(note);
    }
}

/// It is to have the user's home directory.
pub(super) fn shares_home(container: &ContainerApp) -> bool {
    container.home == HomeNeed::Shared
}

/// The home directory of the desktop, as its graphical container has it.
pub(super) fn desktop_home(pod: &OwnPod) -> Option<(&str, EnvSource)> {
    desktop_variable(pod, "HOME").filter(|(home, _)| home.len() > 1)
}

fn desktop_variable<'a>(pod: &'a OwnPod, name: &str) -> Option<(&'a str, EnvSource)> {
    let graphical = pod.graphical.as_ref()?;
    let value = graphical.env.get(name)?.trim_end_matches('/');
    value.starts_with('/').then(|| (value, EnvSource::Desktop(graphical.name.clone())))
}

/// The configured graphical container is not there.
fn missing_container(ask: &Ask<'_>, pod: &OwnPod) -> Option<Text> {
    let name = ask.facts.policy.graphical_container.as_ref()?;
    let found = pod.graphical.as_ref().is_some_and(|graphical| graphical.name == *name);
    (!found).then(|| {
        text!(
            "the desktop's pod has no container `{name}` (graphical_container), so it gets none of \
             its variables: set it to one of {containers}",
            name,
            containers = pod.containers.join(", ")
        )
    })
}

/// The mount that holds `path`.
pub(super) fn innermost<'a>(mounts: &'a [VolumeMount], path: &str) -> Option<&'a VolumeMount> {
    let holding = mounts.iter().filter(|mount| below(&mount.path, path).is_some());
    holding.max_by_key(|mount| mount.path.trim_end_matches('/').len())
}

/// The rest of `path` below `root`; empty: it is `root`.
pub(super) fn below<'a>(root: &str, path: &'a str) -> Option<&'a str> {
    let rest = path.strip_prefix(root.trim_end_matches('/'))?;
    match rest.strip_prefix('/') {
        Some(rest) => Some(rest.trim_matches('/')),
        None => rest.is_empty().then_some(rest),
    }
}
