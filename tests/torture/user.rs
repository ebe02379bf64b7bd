//! A user who launches, stops and removes whatever the state of the desktop, and repeats what was not
//! answered; and what that user therefore expects.

use std::time::Instant;

use serde_json::{Value, json};

use crate::desktop::Desktop;
use crate::rng::Rng;
use crate::support::http::{Answer, Ask};
use crate::support::wait::until;

/// Writers at the same time.
const WRITERS: usize = 8;
/// Other programs that run until they are stopped, at the same time.
const OTHERS: usize = 6;
/// A user of a desktop that does not answer gives up for this round, seconds.
const PATIENCE_S: u64 = 5;
/// Short programs of one round.
const SHORT_MAX: usize = 24;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Numbered lines for ever.
    Writer,
    /// One line, and this exit code.
    Short(i64),
    /// Does not mind SIGTERM, and has processes in other sessions.
    Stubborn,
    /// Writes as fast as it can.
    Flood,
    /// Makes processes until it has no more.
    Bomb,
    /// Draws: it ends with its display.
    Clock,
    /// An object in the cluster.
    Pod,
}

impl Kind {
    pub fn app(self) -> &'static str {
        match self {
            Self::Writer => "writer",
            Self::Short(_) => "short",
            Self::Stubborn => "stubborn",
            Self::Flood => "flood",
            Self::Bomb => "bomb",
            Self::Clock => "clock",
            Self::Pod => "pod",
        }
    }
}

/// What a user started.
#[derive(Debug)]
pub struct Program {
    pub kind: Kind,
    pub token: String,
    /// Of the request: a repeated one is the same launch.
    key: u64,
    /// The task, once an answer arrived.
    pub id: Option<String>,
    /// The main process of a program that was seen running.
    pub pid: Option<u32>,
    pub displays_lost: u64,
    pub stop: bool,
    pub killed: std::cell::Cell<bool>,
    pub read: Read,
}

/// How far the log of a writer was read and found right.
#[derive(Debug, Default)]
pub struct Read {
    pub cursor: u64,
    /// The number that the next line has.
    pub next: u64,
    /// Bytes of all lines before that.
    pub bytes: u64,
    /// The beginning of a line whose end was not written yet.
    pub begun: String,
    /// Bytes after that which the log says are missing, and pieces of lines among them.
    pub missing: u64,
    pub torn: bool,
}

#[derive(Debug, Default)]
pub struct User {
    pub programs: Vec<Program>,
    keys: u64,
    /// Tasks that were over, checked and removed: nothing of them may come back.
    pub removed: Vec<String>,
}

impl User {
    /// What a user does while things are broken; answers may be refusals, or never come.
    pub fn act(&mut self, desktop: &Desktop, rng: &mut Rng) {
        let begun = Instant::now();
        for _ in 0..rng.below(SHORT_MAX) {
            self.add(desktop, Kind::Short(rng.below(5).cast_signed() as i64));
        }
        if self.count(|kind| kind == Kind::Writer) < WRITERS {
            self.add(desktop, Kind::Writer);
        }
        let kinds = [Kind::Stubborn, Kind::Flood, Kind::Bomb, Kind::Clock, Kind::Pod, Kind::Pod];
        let other = |kind| !matches!(kind, Kind::Writer | Kind::Short(_));
        if self.count(other) < OTHERS
            && let Some(kind) = rng.pick(&kinds)
        {
            self.add(desktop, kind);
        }
        for program in &mut self.programs {
            let often = if program.kind == Kind::Writer { 20 } else { 3 };
            if !matches!(program.kind, Kind::Short(_)) && rng.once_in(often) {
                program.stop = true;
            }
        }
        for program in &mut self.programs {
            if begun.elapsed().as_secs() > PATIENCE_S {
                return;
            }
            program.launch(desktop);
            if program.stop {
                program.ask_stop(desktop);
            }
        }
    }

    /// What was not answered is asked again, now that nothing is broken.
    pub fn settle(&mut self, desktop: &Desktop) {
        for program in &mut self.programs {
            until("a launch is answered", || program.launch(desktop));
            if program.stop {
                until("a stop is answered", || program.ask_stop(desktop));
            }
        }
    }

    pub fn stop_all(&mut self, desktop: &Desktop) {
        self.programs.iter_mut().for_each(|program| program.stop = true);
        self.settle(desktop);
    }

    /// Tasks of writers.
    pub fn writers(&self) -> Vec<String> {
        let writers = self.programs.iter().filter(|it| it.kind == Kind::Writer);
        writers.filter_map(|it| it.id.clone()).collect()
    }

    /// The process of a program that is to be killed.
    pub fn kill_one(&self, rng: &mut Rng) -> Option<u32> {
        let running: Vec<_> = self.programs.iter().filter(|it| it.pid.is_some()).collect();
        let program = rng.pick(&running)?;
        program.killed.set(true);
        program.pid
    }

    fn count(&self, of: impl Fn(Kind) -> bool) -> usize {
        self.programs.iter().filter(|it| of(it.kind) && !it.stop).count()
    }

    fn add(&mut self, desktop: &Desktop, kind: Kind) {
        self.keys += 1;
        self.programs.push(Program {
            kind,
            token: format!("t{}-{}", std::process::id(), self.keys),
            key: self.keys * 1000,
            id: None,
            pid: None,
            displays_lost: desktop.displays_lost,
            stop: false,
            killed: std::cell::Cell::new(false),
            read: Read::default(),
        });
    }
}

impl Program {
    /// Asks for the launch until it is known; a refusal is final for its key, and asked for anew.
    fn launch(&mut self, desktop: &Desktop) -> Option<()> {
        if self.id.is_some() {
            return Some(());
        }
        let args = match self.kind {
            Kind::Writer => vec![self.token.clone(), "2000".into()],
            Kind::Short(code) => vec![self.token.clone(), code.to_string()],
            Kind::Pod => Vec::new(),
            _ => vec![self.token.clone()],
        };
        self.displays_lost = desktop.displays_lost;
        let key = format!("{}-{}", self.token, self.key);
        let launch = Ask::new(&desktop.desk().unix(), "POST", "/v1/tasks")
            .json(&json!({ "app": self.kind.app(), "args": args }))
            .header("idempotency-key", &key);
        let answer = launch.try_send().ok()?;
        if !matches!(answer.status, 200 | 201) {
            assert_refusal(&answer);
            self.key += 1;
            return None;
        }
        self.id = Some(answer.json()["id"].as_str().unwrap().to_owned());
        Some(())
    }

    fn ask_stop(&mut self, desktop: &Desktop) -> Option<()> {
        let id = self.id.as_ref()?;
        let stop = Ask::new(&desktop.desk().unix(), "POST", &format!("/v1/tasks/{id}/stop"));
        let answer = stop.try_send().ok()?;
        matches!(answer.status, 200 | 202).then_some(()).or_else(|| {
            assert_refusal(&answer);
            None
        })
    }

    pub fn task(&self, desktop: &Desktop) -> Option<Value> {
        desktop.get(&format!("/v1/tasks/{}", self.id.as_ref()?))
    }
}

/// Whatever is broken, a refusal is one that a user can understand.
fn assert_refusal(answer: &Answer) {
    let body = answer.text();
    assert!(matches!(answer.status, 409 | 422 | 503), "{} {body}", answer.status);
    let message = answer.json()["message"].as_str().map(str::len);
    assert!(message > Some(0), "{} {body}", answer.status);
}
