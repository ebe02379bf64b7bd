//! Stops an ephemeral container: SIGTERM to all its processes, then SIGKILL to what is left, in
//! rounds until nothing is. The API has no way to do it.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::members::{Process, of_container};
use crate::clock::now_ms;
use crate::engine::kubernetes::engine::Input;
use deskd_core::task::{StopStep, StopStepKind};
use deskd_core::text;
use deskd_core::text::Text;
use deskd_core::wire::StopRound;
use deskd_core::wire::{RunId, STOP_PIDS_MAX, STOP_ROUNDS_MAX};
use deskd_keeper::procfs;

/// Between two looks for processes that appear after SIGTERM was sent.
const LOOK_PAUSE: Duration = Duration::from_millis(100);
/// First pause between a SIGKILL round and the next look.
const KILL_PAUSE_FIRST: Duration = Duration::from_millis(10);
/// Longest such pause: something is in an uninterruptible sleep, or has not been started yet.
const KILL_PAUSE_MAX: Duration = Duration::from_secs(5);

/// One stop.
#[derive(Debug)]
pub struct StopWork {
    /// Of which run.
    pub run: RunId,
    /// Its first process.
    pub pid: Option<u32>,
    /// SIGTERM.
    pub term_at: Instant,
    /// SIGKILL.
    pub kill_at: Instant,
    /// Its container has ended.
    pub over: Arc<AtomicBool>,
    /// deskd sees the container's processes.
    pub sees: bool,
    /// Its pod is being deleted: kubelet ends it, and starts nothing any more.
    pub pod_ends: bool,
    /// Who is told.
    pub told: mpsc::Sender<Input>,
}

/// What became of one round.
#[derive(Debug, Default)]
struct Round {
    pids: Vec<u32>,
    refused: Vec<u32>,
}

impl StopWork {
    /// Returns when the container has ended and no process of it is left.
    pub async fn carry_out(self) {
        tokio::time::sleep_until(self.term_at).await;
        let mut signalled = HashSet::new();
        let mut rounds = 0;
        let mut said_nothing_found = false;
        while Instant::now() < self.kill_at {
            let members = of_container(self.pid, &self.run);
            if members.is_empty() && self.is_over() {
                return;
            }
            if members.is_empty() && self.pod_ends {
                self.no_process().await;
                break;
            }
            let new: Vec<_> = members.into_iter().filter(|p| signalled.insert(*p)).collect();
            if new.is_empty() && signalled.is_empty() && !said_nothing_found {
                said_nothing_found = true;
                self.step(StopStepKind::Term, self.nothing_found()).await;
            }
            if !new.is_empty() {
                self.round(StopStepKind::Term, send(&new, Signal::TERM), &mut rounds).await;
            }
            let next = (Instant::now() + LOOK_PAUSE).min(self.kill_at);
            tokio::time::sleep_until(next).await;
        }
        let mut pause = KILL_PAUSE_FIRST;
        loop {
            let members = of_container(self.pid, &self.run);
            if members.is_empty() && self.is_over() {
                return;
            }
            if members.is_empty() && (self.pod_ends || rounds == 0 && self.sees) {
                self.no_process().await;
            } else if !members.is_empty() {
                self.round(StopStepKind::Kill, send(&members, Signal::KILL), &mut rounds).await;
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(KILL_PAUSE_MAX);
        }
    }

    fn is_over(&self) -> bool {
        self.over.load(Ordering::Acquire)
    }

    async fn no_process(&self) {
        // The engine is gone when nobody listens.
        let _ = self.told.send(Input::NoProcess(self.run.clone())).await;
    }

    fn nothing_found(&self) -> Text {
        if self.sees {
            text!("no process of it is there yet: whatever is started still is ended at once")
        } else {
            text!(
                "deskd cannot see its processes, since it does not join deskd's container \
             (`kubernetes.target_container`), and Kubernetes cannot end an ephemeral container: \
             close its windows"
            )
        }
    }

    async fn round(&self, step: StopStepKind, round: Round, rounds: &mut usize) {
        *rounds += 1;
        if *rounds <= STOP_ROUNDS_MAX {
            self.step(step, detail(step, &round)).await;
        }
    }

    async fn step(&self, step: StopStepKind, detail: Text) {
        let step = StopStep { at: now_ms(), step, detail };
        // The engine is gone when nobody listens.
        let _ = self.told.send(Input::Step(self.run.clone(), step)).await;
    }
}

/// In the words of the local engine.
fn detail(step: StopStepKind, round: &Round) -> Text {
    let first = |pids: &[u32]| pids.iter().take(STOP_PIDS_MAX).copied().collect();
    let (pids, refused) = (first(&round.pids), first(&round.refused));
    let count = u32::try_from(round.pids.len()).unwrap_or(u32::MAX);
    StopRound { at: now_ms(), step, count, pids, refused, unclear: Vec::new() }.step().detail
}

fn send(processes: &[Process], signal: Signal) -> Round {
    let mut round = Round::default();
    for process in processes {
        match send_one(*process, signal) {
            Ok(()) => round.pids.push(process.pid),
            Err(Errno::PERM) => round.refused.push(process.pid),
            // Gone meanwhile.
            Err(_) => {}
        }
    }
    round
}

fn send_one(process: Process, signal: Signal) -> Result<(), Errno> {
    let pid = i32::try_from(process.pid).ok().and_then(Pid::from_raw).ok_or(Errno::SRCH)?;
    let fd = pidfd_open(pid, PidfdFlags::empty())?;
    // Only now is the pid pinned: is it still the process that was seen?
    let stat = procfs::read_stat(process.pid).ok_or(Errno::SRCH)?;
    if stat.start_ticks != process.start_ticks {
        return Err(Errno::SRCH);
    }
    pidfd_send_signal(&fd, signal)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_round_reads_as_the_local_engine_s() {
        let one = Round { pids: vec![7], refused: vec![] };
        assert_eq!(detail(StopStepKind::Term, &one), "SIGTERM to process 7");
        let more = Round { pids: vec![7, 8], refused: vec![9] };
        let expected = "SIGKILL to 2 processes: 7, 8; not permitted (they run as another user): 9";
        assert_eq!(detail(StopStepKind::Kill, &more), expected);
    }
}
