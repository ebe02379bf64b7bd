//! From an application and facts to a complete plan, with reasons and rejected alternatives.

use serde::{Deserialize, Serialize};

pub mod facts;
pub mod remote;

pub use facts::{Facts, KubernetesFacts, LaunchSpec};
pub use remote::{EphemeralPlan, PodPlan};

use super::app::{App, LocalProgram};
use super::display::{DisplayStatus, EndpointState};

/// Where a task runs.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    utoipa::ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum EngineKind {
    /// A process of this container, through the keeper.
    Local,
    /// An ephemeral container of this pod.
    EphemeralContainer,
    /// A pod of its own.
    PodApplication,
}

impl EngineKind {
    /// The word used in `/v1`, labels and tables.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::EphemeralContainer => "ephemeral_container",
            Self::PodApplication => "pod_application",
        }
    }
}

/// Everything the local engine needs; it decides nothing itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct LocalPlan {
    /// argv.
    pub argv: Vec<String>,
    /// The whole environment, sorted by name, complete but for the task's own marker variable.
    pub env: Vec<(String, String)>,
    /// How it is started (cwd, limits, nice); its command and env are superseded by the fields above.
    pub program: LocalProgram,
}

/// What the chosen engine carries out; in JSON the field has the engine's name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Work {
    /// A process of this container.
    Local(Box<LocalPlan>),
    /// An ephemeral container of this pod.
    EphemeralContainer(Box<EphemeralPlan>),
    /// A pod of its own.
    PodApplication(Box<PodPlan>),
}

impl Work {
    /// argv; empty: the image's own.
    #[must_use]
    pub fn argv(&self) -> &[String] {
        match self {
            Self::Local(plan) => &plan.argv,
            Self::EphemeralContainer(plan) => &plan.container.argv,
            Self::PodApplication(plan) => &plan.container.argv,
        }
    }

    /// The environment.
    #[must_use]
    pub fn env(&self) -> &[(String, String)] {
        match self {
            Self::Local(plan) => &plan.env,
            Self::EphemeralContainer(plan) => &plan.container.env,
            Self::PodApplication(plan) => &plan.container.env,
        }
    }

    /// The same, to be changed: views redact it.
    pub fn env_mut(&mut self) -> &mut Vec<(String, String)> {
        match self {
            Self::Local(plan) => &mut plan.env,
            Self::EphemeralContainer(plan) => &mut plan.container.env,
            Self::PodApplication(plan) => &mut plan.container.env,
        }
    }
}

/// One engine that was not chosen, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Rejected {
    /// The engine.
    pub engine: EngineKind,
    /// One sentence.
    pub why: String,
}

/// A complete decision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Plan {
    /// The chosen engine.
    pub engine: EngineKind,
    /// What it carries out.
    #[serde(flatten)]
    pub work: Work,
    /// Why this engine, in sentences.
    pub reasons: Vec<String>,
    /// Why not the others.
    pub rejected: Vec<Rejected>,
}

/// No engine can run it now.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[error("{sentence}")]
pub struct Unplannable {
    /// Stable code, such as `display_unavailable`.
    pub code: UnplannableCode,
    /// One sentence for the user.
    pub sentence: String,
    /// Why not, per engine.
    pub rejected: Vec<Rejected>,
}

/// Why no plan could be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum UnplannableCode {
    /// The app needs the display and the display does not answer.
    DisplayUnavailable,
    /// The app's description has no command.
    NoCommand,
    /// The app's access list does not permit this user.
    NotPermitted,
    /// Another task with the same unique key runs.
    AlreadyRunning,
    /// As many remote tasks run as may.
    TooManyRemoteTasks,
    /// TCP 6000 is not listening, and only a pod of its own could run the app.
    DisplayNotOnNetwork,
    /// The Kubernetes API is needed and cannot be used.
    KubernetesUnavailable,
    /// deskd has not the right that the only possible engine needs.
    RightMissing,
    /// What the app asks for contradicts itself, the configuration, or what is left of a quota.
    CannotBePlaced,
}

/// Chooses the engine for `app`.
pub fn plan(app: &App, launch: &LaunchSpec, facts: &Facts) -> Result<Plan, Unplannable> {
    let kubernetes = not_configured();
    if app.local.command.is_empty() {
        return Err(Unplannable {
            code: UnplannableCode::NoCommand,
            sentence: format!("{} has no command to run", app.display_name),
            rejected: with_local(kubernetes, "its description has no command"),
        });
    }
    if app.needs_display && !facts.display.answers() {
        let why = display_sentence(&facts.display);
        return Err(Unplannable {
            code: UnplannableCode::DisplayUnavailable,
            sentence: format!("{} needs the display, and {why}", app.display_name),
            rejected: with_local(kubernetes, &why),
        });
    }
    let mut reasons = vec!["it is a program of this container".to_owned()];
    if app.needs_display {
        reasons.push(facts.display.shm.sysv.sentence());
    }
    let argv = app.local.command.iter().chain(&launch.args).cloned().collect();
    let mut program = app.local.clone();
    program.cwd = program.cwd.or_else(|| facts.home.clone());
    let local = LocalPlan { argv, env: environment(app, facts), program };
    Ok(Plan {
        engine: EngineKind::Local,
        work: Work::Local(Box::new(local)),
        reasons,
        rejected: kubernetes,
    })
}

fn not_configured() -> Vec<Rejected> {
    [EngineKind::EphemeralContainer, EngineKind::PodApplication]
        .map(|engine| Rejected { engine, why: "the app has no image, only a command".into() })
        .to_vec()
}

fn with_local(mut rejected: Vec<Rejected>, why: &str) -> Vec<Rejected> {
    rejected.insert(0, Rejected { engine: EngineKind::Local, why: why.to_owned() });
    rejected
}

/// Why the display cannot be drawn on, as the end of a sentence.
#[must_use]
pub fn display_sentence(display: &DisplayStatus) -> String {
    let name = &display.display;
    match &display.unix.state {
        EndpointState::Unchecked => format!("display {name} has not been looked at yet"),
        EndpointState::NotListening => format!("nothing listens on display {name}"),
        EndpointState::Refused(text) => {
            format!("display {name} refused the connection ({text}): check XAUTHORITY or XAUTH_KEY")
        }
        EndpointState::Hanging => {
            format!("display {name} accepts connections but does not answer: the X server hangs")
        }
        EndpointState::Answering => format!("display {name} answers"),
    }
}

/// Inherited, then the display, then the app's own: later ones win.
fn environment(app: &App, facts: &Facts) -> Vec<(String, String)> {
    let mut env: std::collections::BTreeMap<String, String> =
        facts.inherited_env.iter().cloned().collect();
    if app.needs_display {
        env.insert("DISPLAY".into(), facts.display.display.clone());
        if let Some(file) = &facts.xauthority {
            env.insert("XAUTHORITY".into(), file.clone());
        }
    }
    env.extend(app.local.env.clone());
    env.into_iter().collect()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::domain::app::{AppSource, Rlimits};
    use crate::domain::restart::RestartPolicy;
    use crate::domain::shm::{ShmVerdict, ShmVerdicts};
    use std::collections::BTreeMap;

    pub(crate) fn app(id: &str) -> App {
        App {
            id: id.parse().unwrap(),
            display_name: id.to_owned(),
            icon: None,
            keywords: vec![],
            categories: vec![],
            wm_class: None,
            needs_display: true,
            restart: RestartPolicy::Never,
            local: LocalProgram {
                command: vec![id.to_owned()],
                cwd: None,
                env: BTreeMap::new(),
                umask: None,
                rlimits: Rlimits::default(),
                nice: None,
                oom_score_adj: None,
            },
            container: None,
            mime_types: vec![],
            file_extensions: vec![],
            source: AppSource::Config,
            problems: vec![],
        }
    }

    pub(crate) fn facts() -> Facts {
        let mut display = DisplayStatus::unknown(":7", 7);
        display.unix.state = EndpointState::Answering;
        display.shm = ShmVerdicts { sysv: ShmVerdict::Works, fd: ShmVerdict::Works };
        Facts {
            display,
            inherited_env: [("HOME", "/home/b"), ("A", "1")]
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .into(),
            xauthority: Some("/run/deskd/Xauthority".into()),
            cookie: None,
            home: Some("/home/b".into()),
            program: facts::ProgramPresence::Unknown,
            headroom: facts::Headroom::default(),
            kubernetes: std::sync::Arc::default(),
            policy: std::sync::Arc::default(),
            remote_tasks: 0,
            unique_keys: BTreeMap::new(),
        }
    }

    pub(crate) fn plan_of(app: &App) -> Plan {
        plan(app, &LaunchSpec::default(), &facts()).unwrap()
    }

    #[test]
    fn a_plan_is_complete_and_says_why() {
        let mut app = app("xclock");
        app.local.env.insert("A".into(), "2".into());
        let launch = LaunchSpec { args: vec!["-update".into(), "1".into()], engine: None };
        let plan = plan(&app, &launch, &facts()).unwrap();
        let Work::Local(local) = plan.work else { panic!("{:?}", plan.work) };
        assert_eq!(plan.engine, EngineKind::Local);
        assert_eq!(local.argv, ["xclock", "-update", "1"]);
        let env: Vec<_> = local.env.iter().map(|(n, v)| format!("{n}={v}")).collect();
        assert_eq!(env, ["A=2", "DISPLAY=:7", "HOME=/home/b", "XAUTHORITY=/run/deskd/Xauthority"]);
        assert_eq!(local.program.cwd.as_deref(), Some("/home/b"));
        assert!(plan.reasons.iter().any(|r| r.contains("proved by pixels")));
        let rejected: Vec<_> = plan.rejected.iter().map(|r| r.engine).collect();
        assert_eq!(rejected, [EngineKind::EphemeralContainer, EngineKind::PodApplication]);
    }

    #[test]
    fn local_programs_get_nothing_that_turns_shared_memory_off() {
        let plan = plan_of(&app("x"));
        assert!(!plan.work.env().iter().any(|(name, _)| name.contains("MITSHM")));
    }

    #[test]
    fn without_a_display_the_refusal_says_what_is_wrong_with_it() {
        let mut facts = facts();
        for (state, word) in [
            (EndpointState::NotListening, "nothing listens"),
            (EndpointState::Refused("no cookie".into()), "no cookie"),
            (EndpointState::Hanging, "hangs"),
        ] {
            facts.display.unix.state = state;
            let refusal = plan(&app("x"), &LaunchSpec::default(), &facts).unwrap_err();
            assert_eq!(refusal.code, UnplannableCode::DisplayUnavailable);
            assert!(refusal.sentence.contains(word), "{}", refusal.sentence);
            assert_eq!(refusal.rejected.len(), 3);
        }
        let mut headless = app("x");
        headless.needs_display = false;
        assert!(plan(&headless, &LaunchSpec::default(), &facts).is_ok());
    }
}
