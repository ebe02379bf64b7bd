//! What deskd can do about a cause by itself: a value that says what the next launch has more.

use serde::{Deserialize, Serialize};

use super::diagnose::Diagnosis;
use super::evidence::Evidence;
use super::fact::Fact;
use super::reason::Actor;
use super::rule::Offer;
use crate::app::container::EntryPoint;
use crate::plan::facts::{Change, ClassChange};
use crate::plan::{EngineKind, SHM_OFF};
use crate::text;
use crate::text::Text;

/// The switch of Chromium, Electron and QtWebEngine that puts shared memory into files of `/tmp`
/// (`base/base_switches.cc`).
pub const DISABLE_DEV_SHM: &str = "--disable-dev-shm-usage";

/// The switch of Chromium and Electron that draws without the GPU (`content/public/common/content_switches.cc`).
pub const DISABLE_GPU: &str = "--disable-gpu";
/// The variable by which an AppImage unpacks itself in place of mounting itself (its type 2 runtime,
/// since 2019).
pub const EXTRACT_APP_IMAGE: (&str, &str) = ("APPIMAGE_EXTRACT_AND_RUN", "1");

/// What to launch otherwise. At most one is proposed; applying it is somebody else's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Remedy {
    /// On another engine.
    OtherEngine {
        /// Which.
        engine: EngineKind,
    },
    /// With the switches that make toolkits do without MIT-SHM.
    ShmSwitches,
    /// With Chromium's switch that does without `/dev/shm`.
    DisableDevShm,
    /// With Chromium's switch that does without the GPU.
    DisableGpu,
    /// With the variable by which an AppImage does without FUSE.
    ExtractAppImage,
    /// With another class of resources.
    OtherClass {
        /// The resource it is about, as Kubernetes names it (`memory`, `nvidia.com/gpu`).
        resource: String,
        /// More of it; otherwise less, or none.
        more: bool,
    },
    /// With its program run directly, without the image's own command.
    RunProgram,
}

/// A remedy that deskd can apply, in words too.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Proposal {
    /// What it is.
    #[serde(flatten)]
    pub remedy: Remedy,
    /// What it does, as a button or a line says it: `start it again as an ephemeral container`.
    pub sentence: Text,
}

/// What deskd does with remedies (`remedy` of the configuration).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RemedyMode {
    /// None is proposed.
    Off,
    /// They are proposed: somebody has to ask for them.
    #[default]
    Suggest,
    /// Applied to a run that ended by itself, once per task; otherwise proposed.
    Auto,
}

impl Applied {
    /// What it did, in one line.
    #[must_use]
    pub fn sentence(&self) -> Text {
        let Self { proposal, before, after, .. } = self;
        text!(
            "{proposal}; before: {before}, after: {after}",
            before,
            after,
            proposal = proposal.sentence
        )
    }
}

impl RemedyMode {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Off, Self::Suggest, Self::Auto];

    /// The word in the configuration and in `/v1`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Suggest => "suggest",
            Self::Auto => "auto",
        }
    }
}

/// A remedy that was applied: at most one per task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Applied {
    /// When, in milliseconds since the Unix epoch.
    pub at: i64,
    /// By whom: `deskd`, `a user`.
    #[schema(value_type = String)]
    pub by: Actor,
    /// The first run that has it.
    pub run: u32,
    /// What was done.
    #[serde(flatten)]
    pub proposal: Proposal,
    /// How it ran before, as after `it failed`: `as a pod of its own`, `without shared memory`.
    pub before: Text,
    /// How it runs since, as after `it runs`.
    pub after: Text,
    /// Why the run before it failed.
    pub diagnosis: Box<Diagnosis>,
}

impl Remedy {
    /// What it changes of the next launch.
    #[must_use]
    pub fn change(&self) -> Change {
        let mut change = Change::default();
        match self {
            Self::OtherEngine { engine } => change.engine = Some(*engine),
            Self::ShmSwitches => {
                change.env = SHM_OFF.map(|(name, value)| (name.into(), value.into())).into();
            }
            Self::DisableDevShm => change.args = vec![DISABLE_DEV_SHM.into()],
            Self::DisableGpu => change.args = vec![DISABLE_GPU.into()],
            Self::ExtractAppImage => {
                let (name, value) = EXTRACT_APP_IMAGE;
                change.env = [(name.into(), value.into())].into();
            }
            Self::OtherClass { resource, more } => {
                change.class = Some(ClassChange { resource: resource.clone(), more: *more });
            }
            Self::RunProgram => change.entrypoint = Some(EntryPoint::Program),
        }
        change
    }

    /// With its words.
    #[must_use]
    pub fn proposal(self) -> Proposal {
        let sentence = self.sentence();
        Proposal { remedy: self, sentence }
    }

    /// What it does, as a button says it.
    #[must_use]
    pub fn sentence(&self) -> Text {
        match self {
            Self::OtherEngine { engine } => {
                text!("start it again as {engine}", engine = engine.phrase())
            }
            Self::ShmSwitches => text!("start it again without shared memory (MIT-SHM)"),
            Self::DisableDevShm => text!("start it again with {switch}", switch = DISABLE_DEV_SHM),
            Self::DisableGpu => text!("start it again with {switch}", switch = DISABLE_GPU),
            Self::ExtractAppImage => text!("start it again without FUSE (it unpacks itself)"),
            Self::OtherClass { resource, more: true } => {
                text!("start it again with a class that has more {resource}", resource)
            }
            Self::OtherClass { resource, more: false } => {
                text!("start it again with a class that asks for less {resource}", resource)
            }
            Self::RunProgram => text!("start it again with its program run directly"),
        }
    }
}

/// What can be done here: nothing where it was done already, or where deskd is not the one who
/// launched it (the engine is not known).
pub(super) fn propose(offer: Offer, captures: &[String], e: &Evidence) -> Option<Remedy> {
    let engine = e.engine?;
    let remote = engine == EngineKind::PodApplication;
    match offer {
        Offer::Nothing => None,
        Offer::SharedMemory => remote.then_some(in_the_pod()),
        Offer::ShmSwitch if switches_help(e) => Some(Remedy::ShmSwitches),
        Offer::ShmSwitch => remote.then_some(in_the_pod()),
        Offer::DisableDevShm => (!is_given(e, DISABLE_DEV_SHM)).then_some(Remedy::DisableDevShm),
        Offer::DisableGpu => (!is_given(e, DISABLE_GPU)).then_some(Remedy::DisableGpu),
        Offer::ExtractAppImage => {
            let set = e.env.iter().any(|(name, _)| name == EXTRACT_APP_IMAGE.0);
            (!set).then_some(Remedy::ExtractAppImage)
        }
        // Local programs and ephemeral containers share a container's or the pod's memory: a class
        // means something for pods alone.
        Offer::MoreMemory => {
            remote.then(|| Remedy::OtherClass { resource: "memory".into(), more: true })
        }
        // An image's own command is all there is where no program is named.
        Offer::RunProgram => (e.entry_point && !e.command.is_empty()).then_some(Remedy::RunProgram),
        Offer::LessOf => {
            let resource = captures.last().filter(|_| remote)?.split([' ', ',']).next()?;
            let resource = resource.trim_end_matches('.').to_owned();
            Some(Remedy::OtherClass { resource, more: false })
        }
    }
}

fn is_given(e: &Evidence, switch: &str) -> bool {
    e.command.iter().any(|arg| arg == switch)
}

fn in_the_pod() -> Remedy {
    Remedy::OtherEngine { engine: EngineKind::EphemeralContainer }
}

/// On the unix socket of the own pod the switches would only hide what is wrong.
fn switches_help(e: &Evidence) -> bool {
    let given = |name: &str| e.env.iter().any(|(given, _)| given == name);
    Fact::DisplayOverTcp.holds(e) == Some(true) && !SHM_OFF.iter().all(|(name, _)| given(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_remedy_says_what_it_changes() {
        assert_eq!(in_the_pod().change().engine, Some(EngineKind::EphemeralContainer));
        assert_eq!(Remedy::DisableDevShm.change().args, [DISABLE_DEV_SHM]);
        assert_eq!(Remedy::DisableGpu.change().args, [DISABLE_GPU]);
        let unpacked = [("APPIMAGE_EXTRACT_AND_RUN".to_owned(), "1".to_owned())];
        assert_eq!(Remedy::ExtractAppImage.change().env, unpacked);
        assert_eq!(Remedy::ShmSwitches.change().env.len(), SHM_OFF.len());
        let class = Remedy::OtherClass { resource: "memory".into(), more: true };
        let more = ClassChange { resource: "memory".into(), more: true };
        assert_eq!(class.change().class, Some(more));
        assert_eq!(Remedy::RunProgram.change().entrypoint, Some(EntryPoint::Program));
    }

    #[test]
    fn nothing_is_proposed_for_a_log_of_nobody_knows_where() {
        let offers = [
            Offer::SharedMemory,
            Offer::ShmSwitch,
            Offer::DisableDevShm,
            Offer::DisableGpu,
            Offer::ExtractAppImage,
        ];
        for offer in offers {
            assert_eq!(propose(offer, &[], &Evidence::default()), None);
        }
    }

    #[test]
    fn switches_are_proposed_once_and_then_another_engine() {
        let mut e = Evidence {
            engine: Some(EngineKind::PodApplication),
            env: vec![("DISPLAY".into(), "10.0.0.5:0".into())],
            ..Evidence::default()
        };
        let ask = |e: &Evidence| propose(Offer::ShmSwitch, &[], e);
        assert_eq!(ask(&e), Some(Remedy::ShmSwitches));
        e.env.extend(Remedy::ShmSwitches.change().env);
        assert_eq!(ask(&e), Some(in_the_pod()));
    }
}
