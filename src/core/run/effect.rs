//! What a step wants done. Whoever drives [`Runs`](super::Runs) carries it out in this order: journal,
//! engines and windows, snapshot, answers; so whatever somebody was told is on record and visible, and
//! whatever an engine was asked for survives a `kill -9` of the daemon.

use std::sync::Arc;

use super::ask::{
    LaunchAdmission, LaunchError, RemedyError, RemoveError, StopAdmission, StopError,
};
use crate::id::TaskId;
use crate::plan::EngineKind;
use crate::port::{Command, Link};
use crate::task::{Task, UnixMs};
use crate::window::WindowId;

/// Who waits for an answer; given out by the driver.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReplyId(pub u64);

/// One thing to be done.
#[derive(Debug, Clone)]
pub enum Effect {
    /// On record: the task as it is at the end of the batch.
    Record(TaskId),
    /// On record: the task is removed.
    Removed(TaskId),
    /// On record: a task of others is not to be shown again.
    Hidden(TaskId, EngineKind),
    /// On record: its object is gone.
    Shown(TaskId),
    /// On record: which keeper is connected, by its start time.
    Keeper(UnixMs),
    /// Find out why a task ended or waits, now: [`Input::Diagnosed`](super::Input::Diagnosed) is to
    /// follow before anything else of the batch is carried out.
    Diagnose(Question),
    /// Tell an engine.
    Command(Link, Command),
    /// Ask windows to close: [`Input::WindowsAsked`](super::Input::WindowsAsked) is to follow.
    CloseWindows(TaskId, Vec<WindowId>),
    /// Tell whoever operates deskd.
    Warn(String),
    /// Answer.
    Answer(ReplyId, Answer),
}

/// What is to be diagnosed, and what depends on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// The task.
    pub task: TaskId,
    /// The run it is about.
    pub run: u32,
    /// What for.
    pub subject: Subject,
}

/// What a diagnosis is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject {
    /// Why it ended; what comes after the end (a remedy, a restart) waits for it.
    End,
    /// Why it ended, looked at once more.
    EndAgain,
    /// Why it does not start. There is no output to look at.
    Wait,
}

/// An answer.
#[derive(Debug, Clone)]
pub enum Answer {
    /// To a launch.
    Launch(Result<LaunchAdmission, LaunchError>),
    /// To a stop.
    Stop(Result<StopAdmission, StopError>),
    /// To a remedy.
    Remedy(Result<Arc<Task>, RemedyError>),
    /// To a removal.
    Remove(Result<(), RemoveError>),
}
