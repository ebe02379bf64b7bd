//! A launch that is to be placed, and what stands in an engine's way.

use super::facts::{Facts, LaunchSpec};
use super::needs::Needs;
use super::{EngineKind, UnplannableCode, Work, display_sentence};
use crate::app::App;
use crate::app::container::ContainerApp;
use crate::text;
use crate::text::Text;

/// Who insists on an engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Insists {
    /// A remedy: what was asked for failed.
    Remedy(EngineKind),
    /// Whoever launches: it wins over the document.
    Launch(EngineKind),
    /// `oc.containerengine`.
    Document(EngineKind),
}

impl Insists {
    /// The engine.
    pub(super) fn engine(self) -> EngineKind {
        match self {
            Self::Remedy(engine) | Self::Launch(engine) | Self::Document(engine) => engine,
        }
    }

    /// One sentence.
    pub(super) fn sentence(self) -> Text {
        match self {
            Self::Remedy(engine) => {
                text!("the remedy for its failure asks for {engine}", engine = engine.as_str())
            }
            Self::Launch(engine) => {
                text!("this launch asks for {engine} (`--engine`)", engine = engine.as_str())
            }
            Self::Document(engine) => text!(
                "the application's document asks for {engine} (oc.containerengine)",
                engine = engine.as_str()
            ),
        }
    }
}

/// Everything an engine's check looks at.
#[derive(Debug)]
pub(super) struct Ask<'a> {
    /// What is launched.
    pub(super) app: &'a App,
    /// How.
    pub(super) launch: &'a LaunchSpec,
    /// As things are.
    pub(super) facts: &'a Facts,
    /// Who insists on an engine.
    pub(super) insists: Option<Insists>,
    /// What it needs.
    pub(super) needs: Needs,
}

impl<'a> Ask<'a> {
    /// Puts together what is asked.
    pub(super) fn new(app: &'a App, launch: &'a LaunchSpec, facts: &'a Facts) -> Self {
        let document = app.container.as_ref().and_then(|container| container.engine);
        let insists = (launch.change.engine.map(Insists::Remedy))
            .or_else(|| launch.engine.map(Insists::Launch))
            .or_else(|| document.map(Insists::Document));
        let engine = insists.map(Insists::engine);
        let needs = Needs::of(app, engine, launch.change.class.as_ref(), &facts.policy);
        Self { app, launch, facts, insists, needs }
    }

    /// The image's side of the app, if it comes in one.
    pub(super) fn container(&self) -> Option<&'a ContainerApp> {
        self.app.container.as_deref()
    }

    /// What is appended to the app's command.
    pub(super) fn args(&self) -> impl Iterator<Item = &'a String> {
        self.launch.args.iter().chain(&self.launch.change.args)
    }

    /// It draws, so the display must answer.
    pub(super) fn display_answers(&self) -> Result<(), Blocker> {
        if !self.app.needs_display || self.facts.display.answers() {
            return Ok(());
        }
        let why = display_sentence(&self.facts.display);
        Err(Blocker::now(UnplannableCode::DisplayUnavailable, why))
    }

    /// What only a pod can have, for the engines that are none.
    pub(super) fn nothing_for_pods_only(&self) -> Result<(), Blocker> {
        if self.needs.pod_only.is_empty() {
            return Ok(());
        }
        let what = Text::joined(self.needs.pod_only.iter().cloned(), ", ");
        Err(Blocker::never(text!("it asks for {what}, which only a pod of its own can have", what)))
    }

    /// In this pod: shared memory as it was proved.
    pub(super) fn shared_memory(&self) -> Result<(), Blocker> {
        let verdict = &self.facts.display.shm.sysv;
        if !self.needs.shm || verdict.works() {
            return Ok(());
        }
        Err(Blocker::now(
            UnplannableCode::CannotBePlaced,
            text!(
                "it needs shared memory with the X server (io.deskd.shm=required), and {verdict}",
                verdict = verdict.sentence()
            ),
        ))
    }
}

/// An engine can run it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fit {
    /// What it would carry out.
    pub(super) work: Work,
    /// Why it can, and what follows from it, in sentences.
    pub(super) reasons: Vec<Text>,
}

/// Why an engine cannot run it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Blocker {
    /// For the refusal, if this is what it is about.
    pub(super) code: UnplannableCode,
    /// One sentence.
    pub(super) why: Text,
    /// The engine is the right one and something can be done about it. Otherwise the app and the
    /// engine do not go together, and a refusal is rather about another engine.
    pub(super) passing: bool,
}

impl Blocker {
    /// The app and the engine do not go together.
    pub(super) fn never(why: Text) -> Self {
        Self { code: UnplannableCode::CannotBePlaced, why, passing: false }
    }

    /// As things are now.
    pub(super) fn now(code: UnplannableCode, why: Text) -> Self {
        Self { code, why, passing: true }
    }
}
