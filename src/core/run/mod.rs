//! The life of tasks, for every engine, as a function: [`Runs::step`] takes one [`Input`] and says
//! which [`Effect`]s follow.
//!
//! ```text
//!  requests, events of the engines, display, clock --Input--> step --Effect--> journal, engines,
//!                                                              |               windows, answers
//!                                                            Runs: table, facts, what waits
//! ```
//!
//! Nothing here does anything: no clock, no random numbers but of a seed, no file. What a plan needs
//! to know about this machine is asked of [`Now::look_up`]. A task changes in [`Task::apply`] and
//! [`Table::change`], which nobody else can call.
//!
//! [`Task::apply`]: crate::task::Task::apply

mod adopt;
pub mod ask;
mod cluster;
mod drain;
mod effect;
mod evidence;
mod explain;
pub mod journal;
mod launch;
pub mod life;
mod notes;
mod others;
mod planning;
mod remedy;
mod restart;
mod stop;
mod table;
#[cfg(test)]
mod tests;
mod warm;
mod windows;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

pub use self::effect::{Answer, Effect, Question, ReplyId, Subject};
pub use self::notes::RunNotes;
pub use self::planning::LookedUp;
pub use self::table::{Entry, TOMBSTONES_MAX, Table};
pub use self::windows::Ancestry;

use self::ask::{LaunchRequest, StopRequest};
use self::cluster::Cluster;
use self::drain::Draining;
use self::journal::Remembered;
use self::others::Others;
use self::warm::WarmPlaces;
use self::windows::Windows;
use crate::app::App;
use crate::display::DisplayStatus;
use crate::id::{AppId, TaskId};
use crate::plan::facts::Machine;
use crate::plan::{KubernetesFacts, LaunchSpec, Plan};
use crate::policy::Policy;
use crate::port::{Command, Event, Link};
use crate::task::{Task, UnixMs};
use crate::why::{Diagnosis, RemedyMode};
use crate::window::WindowEvent;
use crate::wire::RunId;

/// What the operator decided, and where deskd runs.
#[derive(Debug, Clone)]
pub struct Config {
    /// The desktop's name: `POD_NAME`, else the host name.
    pub name: String,
    /// The host name, as X clients of this pod tell it in WM_CLIENT_MACHINE.
    pub host: String,
    /// How long windows that were asked to close get before SIGTERM.
    pub close_grace: Duration,
    /// How long SIGTERM gets before SIGKILL, of a run whose plan says nothing else.
    pub term_grace: Duration,
    /// Tasks kept at once, ended ones included.
    pub tasks_max: usize,
    /// What is done with the remedies of diagnoses.
    pub remedy: RemedyMode,
    /// Policy of the cluster.
    pub policy: Arc<Policy>,
    /// This machine.
    pub machine: Arc<Machine>,
}

/// Everything that can change a task.
#[derive(Debug, Clone)]
pub enum Input {
    /// Launch an app.
    Launch(LaunchRequest, ReplyId),
    /// Stop a task.
    Stop(TaskId, StopRequest, ReplyId),
    /// Apply the remedy of a task's diagnosis.
    Remedy(TaskId, ReplyId),
    /// Remove an ended task.
    Remove(TaskId, ReplyId),
    /// The applications, all of them, by id.
    Apps(Arc<BTreeMap<AppId, Arc<App>>>),
    /// An engine reported something.
    Engine(Event),
    /// The display was looked at.
    Display(Box<DisplayStatus>),
    /// Something happened to a window, with the processes above the one that owns it.
    Window(WindowEvent, Ancestry),
    /// Windows of a task were asked to close: so many of so many took it.
    WindowsAsked {
        /// The task.
        task: TaskId,
        /// Windows that were asked.
        asked: usize,
        /// Windows in all.
        of: usize,
    },
    /// The answer to [`Effect::Diagnose`].
    Diagnosed(Question, Box<Diagnosis>),
    /// The connection to the keeper ended.
    KeeperLost,
    /// Nothing happened but that time passed.
    Due,
}

/// The moment of a step, and what can be looked up in it.
pub struct Now<'a> {
    /// Wall clock; it can jump.
    pub unix_ms: UnixMs,
    /// A clock that never goes back, from any origin.
    pub clock: Duration,
    /// What this machine says about an app that is to be planned. Only asked of an app in an image:
    /// an app without one has nowhere else to run, and need not wait for a dozen files to be read.
    pub look_up: &'a dyn Fn(&App) -> LookedUp,
}

/// What the supervisor knows of tasks, and of what decides about them.
#[derive(Debug)]
pub struct Runs {
    config: Config,
    table: Table,
    apps: Arc<BTreeMap<AppId, Arc<App>>>,
    display: DisplayStatus,
    /// The display was looked at once.
    looked: bool,
    keeper_connected: bool,
    /// Start time of the keeper that told what it keeps; until one did, of an earlier daemon's.
    keeper_started_at: Option<UnixMs>,
    /// Start time of the one that answers.
    keeper_answering: Option<UnixMs>,
    /// The keeper is another one than the one before.
    keeper_is_new: bool,
    draining: Option<Draining>,
    cluster: Cluster,
    others: Others,
    windows: Windows,
    warm: WarmPlaces,
    /// Launches whose process or object is being made, and who waits for that.
    launching: HashMap<RunId, Vec<ReplyId>>,
    /// Tasks on record as starting that the keeper never heard of.
    unsent: Vec<TaskId>,
    /// Tasks that the keeper told of since it answered.
    kept: HashSet<TaskId>,
    /// When which task is due to run again.
    restarts: BTreeSet<(Duration, TaskId)>,
    /// State of the generator (splitmix64).
    seed: u64,
}

/// One step under way.
struct Step<'a> {
    runs: &'a mut Runs,
    now: &'a Now<'a>,
    out: &'a mut Vec<Effect>,
}

impl Runs {
    /// What an earlier daemon remembered; `seed` is any number that differs from daemon to daemon.
    #[must_use]
    pub fn new(config: Config, display: DisplayStatus, remembered: Remembered, seed: u64) -> Self {
        let mut table = Table::after(remembered.removed);
        for mut entry in remembered.tasks {
            // The display tells of every window again.
            Arc::make_mut(&mut entry.task).windows = 0;
            table.insert(entry);
        }
        Self {
            config,
            table,
            apps: Arc::default(),
            display,
            looked: false,
            keeper_connected: false,
            keeper_started_at: remembered.keeper,
            keeper_answering: None,
            keeper_is_new: false,
            draining: None,
            cluster: Cluster::default(),
            others: Others::new(remembered.hidden),
            windows: Windows::default(),
            warm: WarmPlaces::default(),
            launching: HashMap::new(),
            unsent: Vec::new(),
            kept: HashSet::new(),
            restarts: BTreeSet::new(),
            seed,
        }
    }

    /// Takes one input in. What is due by now is started too.
    pub fn step(&mut self, input: Input, now: &Now<'_>, out: &mut Vec<Effect>) {
        let mut step = Step { runs: self, now, out };
        step.take(input);
        step.run_due();
        step.keep_warm();
        step.report_drained();
        let changed = step.runs.table.take_changed();
        out.extend(changed.into_iter().map(Effect::Record));
    }

    /// When a task is due next, on the clock of [`Now::clock`]: [`Input::Due`] is wanted then.
    #[must_use]
    pub fn due(&self) -> Option<Duration> {
        let restart = self.restarts.first().map(|(at, _)| *at).filter(|_| self.keeper_connected);
        restart.into_iter().chain(self.news_due()).min()
    }

    /// The plan that a launch would have now.
    ///
    /// # Errors
    /// No such app, or no engine can run it.
    pub fn explain(
        &self,
        app: &AppId,
        spec: &LaunchSpec,
        now: &Now<'_>,
    ) -> Result<Plan, ask::LaunchError> {
        self.plan(app, spec, None, now)
    }

    /// All tasks.
    #[must_use]
    pub fn table(&self) -> &Table {
        &self.table
    }

    /// For what is shown with tasks: the number of a change that is not a task's.
    pub fn next_generation(&mut self) -> u64 {
        self.table.next_generation()
    }

    /// The display as it was seen last.
    #[must_use]
    pub fn display(&self) -> &DisplayStatus {
        &self.display
    }

    /// The cluster as it was seen last.
    #[must_use]
    pub fn kubernetes(&self) -> &Arc<KubernetesFacts> {
        &self.cluster.facts
    }

    /// The display was looked at once.
    #[must_use]
    pub fn looked(&self) -> bool {
        self.looked
    }

    /// The keeper answers and said what it keeps.
    #[must_use]
    pub fn keeper_connected(&self) -> bool {
        self.keeper_connected
    }

    /// deskd shuts down.
    #[must_use]
    pub fn draining(&self) -> bool {
        self.draining.is_some()
    }

    /// Tasks of others that are not shown.
    #[must_use]
    pub fn hidden(&self) -> &BTreeMap<TaskId, crate::plan::EngineKind> {
        self.others.hidden()
    }

    fn app(&self, id: &AppId) -> Option<&Arc<App>> {
        self.apps.get(id)
    }

    fn task(&self, id: &TaskId) -> Option<&Arc<Task>> {
        self.table.get(id).map(|entry| &entry.task)
    }

    fn is_current(&self, run: &RunId) -> bool {
        self.task(&run.task).is_some_and(|task| task.runs == run.run)
    }

    /// A uniformly distributed number (Steele, Lea, Flood: "Fast splittable pseudorandom number
    /// generators", 2014).
    fn random(&mut self) -> u32 {
        self.seed = self.seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.seed;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 32) as u32
    }
}

impl Step<'_> {
    fn take(&mut self, input: Input) {
        match input {
            Input::Launch(request, reply) => self.launch(request, reply),
            Input::Stop(task, request, reply) => self.stop(&task, request, reply),
            Input::Remedy(task, reply) => self.remedy(&task, reply),
            Input::Remove(task, reply) => self.remove(&task, reply),
            Input::Apps(apps) => {
                self.runs.apps = apps;
                self.name_others();
                self.warm_for_other_apps();
            }
            Input::Engine(event) => self.engine_reports(event),
            Input::Display(status) => {
                self.display_is(*status);
                self.warm_for_display();
            }
            Input::Window(event, ancestry) => self.window_event(event, ancestry),
            Input::WindowsAsked { task, asked, of } => self.windows_asked(&task, asked, of),
            Input::Diagnosed(question, diagnosis) => self.diagnosed(&question, *diagnosis),
            Input::KeeperLost => self.runs.keeper_connected = false,
            Input::Due => {}
        }
    }

    /// Applies an event to a task.
    fn apply(&mut self, id: &TaskId, event: crate::task::TaskEvent) -> Option<Arc<Task>> {
        self.runs.table.change(id, |task| task.apply(event, self.now.unix_ms))
    }

    fn answer(&mut self, reply: ReplyId, answer: Answer) {
        self.out.push(Effect::Answer(reply, answer));
    }

    /// Tells an engine.
    fn tell(&mut self, link: Link, command: Command) {
        self.out.push(Effect::Command(link, command));
    }
}
