//! Ends and signals: what the reaper, the stops and the surveys have to do with tasks.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::{Keeper, SURVEY_RETRY_MS, unix_ms};
use crate::escalation::{Due, Stop};
use crate::procfs::MemoryCgroup;
use crate::reap::{self, Ended};
use crate::signal::{self, Sent};
use crate::table::TaskKey;
use crate::tree::{self, Family, Process, Survey};
use deskd_core::task::{Exit, Rusage, StopStepKind};
use deskd_core::wire::{FromKeeper, RunEnd, STOP_PIDS_MAX, StopRound};

/// Children reaped in one turn.
const REAPS_PER_TURN: usize = 1024;
/// Surveys in one kill: what is found new is frozen, until nothing new is found. A process with
/// SIGSTOP pending cannot fork any more (fork(2) restarts), so this ends even for a fork bomb,
/// unless its processes also continue each other.
const FREEZE_SURVEYS_MAX: usize = 16;

impl Keeper {
    pub(super) fn reap(&mut self) {
        self.reap_again = true;
        for _ in 0..REAPS_PER_TURN {
            let Some(ended) = reap::reap() else {
                self.reap_again = false;
                return;
            };
            self.ended(ended);
        }
    }

    pub(super) fn ended(&mut self, ended: Ended) {
        if self.daemon.pid() == Some(ended.pid) {
            return self.daemon_ended(&ended.exit);
        }
        if self.reload.checker() == Some(ended.pid) {
            return self.checked(&ended.exit);
        }
        if self.starts.starter_reaped(ended.pid, Instant::now()) {
            // One that had nothing to do ends by itself.
            if ended.exit != Exit::Code(0) {
                let how = ended.exit.sentence();
                tracing::warn!(
                    "the process that starts programs ended ({how}); the next start replaces it"
                );
            }
            return;
        }
        if let Some(under_way) = self.starts.of_pid(ended.pid) {
            under_way.ended = Some(ended);
            return;
        }
        // During a shutdown also processes that belong to no task count.
        self.survey_wanted |= self.roots.contains(&ended.pid) || self.shutdown.is_some();
        let Some(key) = self.table.reaped(ended.pid) else { return };
        self.survey_wanted = true;
        self.drain_pipes(key);
        self.end_rest_at_place(key);
        let exit = self.exit_at_place(key, ended.exit);
        let end = self.end_of(key, exit, ended.rusage);
        if let Some(task) = self.table.get_mut(key) {
            task.end = Some(end.clone());
            let id = task.id.clone();
            self.tell_about(key, &FromKeeper::Exited { id, end });
        }
        self.custody_changed(key);
    }

    /// How a run ended. Only of what failed somebody asks whether there was no memory.
    pub(super) fn end_of(&self, key: TaskKey, exit: Exit, rusage: Rusage) -> RunEnd {
        let before = self.table.get(key).and_then(|task| task.oom_kills);
        let before = before.filter(|_| exit.is_failure());
        let oom_killed = before.and_then(|before| Some(self.oom_kills()? > before));
        RunEnd { exit, rusage, at: unix_ms(), oom_killed }
    }

    /// OOM kills that the keeper's control group has had, which is that of all programs here.
    pub(super) fn oom_kills(&self) -> Option<u64> {
        self.memory.get_or_init(MemoryCgroup::own).as_ref().and_then(MemoryCgroup::oom_kills)
    }

    /// Carries out the stops' steps that are due.
    pub(super) fn signal_what_is_due(&mut self, now: Instant) {
        let mut terms = Vec::new();
        let mut kills = Vec::new();
        for (key, due) in self.table.take_due(now) {
            match due {
                Due::Term => terms.push(key),
                Due::Kill => {
                    // Time has passed: those that were reached before are reached for again.
                    if let Some(task) = self.table.get_mut(key) {
                        task.killed.clear();
                    }
                    kills.push(key);
                }
            }
        }
        if terms.is_empty() && kills.is_empty() {
            return;
        }
        let Some(survey) = self.survey(now) else { return };
        for key in terms {
            // SIGCONT, so that a stopped process takes its SIGTERM.
            let sent = signal::send(survey.of(key), &[Signal::TERM, Signal::CONT]);
            self.add_round(key, StopStepKind::Term, sent);
        }
        self.kill(&kills, survey, now);
    }

    /// SIGKILL to everything of these tasks, after a freeze so that none gets away by forking.
    fn kill(&mut self, keys: &[TaskKey], mut survey: Survey, now: Instant) {
        let mut frozen = HashSet::new();
        for _ in 0..FREEZE_SURVEYS_MAX {
            let found = keys.iter().flat_map(|key| self.doomed(&survey, *key));
            let new = signal::only_new(&found.collect::<Vec<_>>(), &mut frozen);
            if new.is_empty() {
                break;
            }
            // One that ignores SIGSTOP there is not; one of another user is reported below.
            signal::send(&new, &[Signal::STOP]);
            let Some(next) = self.survey(now) else { break };
            survey = next;
        }
        for key in keys {
            let doomed = self.doomed(&survey, *key);
            let Some(task) = self.table.get_mut(*key) else { continue };
            let new = signal::only_new(&doomed, &mut task.killed);
            let sent = signal::send(&new, &[Signal::KILL]);
            self.add_round(*key, StopStepKind::Kill, sent);
        }
        self.chase(keys);
        self.survey_wanted = true;
    }

    /// What a kill of a task reaches: its processes, and those that can only be its or another's that
    /// is being killed too.
    fn doomed(&self, survey: &Survey, key: TaskKey) -> Vec<Process> {
        let is_killing = |key: &TaskKey| {
            let stop = self.table.get(*key).and_then(|task| task.stop.as_ref());
            stop.is_some_and(Stop::is_killing)
        };
        let shared = survey.unclear.iter().filter(|(_, of)| of.contains(&key));
        let shared =
            shared.filter(|(_, of)| of.iter().all(is_killing)).map(|(process, _)| *process);
        survey.of(key).iter().copied().chain(shared).collect()
    }

    /// Says that these may be left of a task.
    fn say_doubt(&mut self, key: TaskKey, processes: &[Process]) {
        let unclear = processes.iter().map(|it| it.pid).take(STOP_PIDS_MAX).collect();
        let at = unix_ms();
        let (pids, refused) = (Vec::new(), Vec::new());
        let round = StopRound { at, step: StopStepKind::Kill, count: 0, pids, refused, unclear };
        self.tell_round(key, round);
    }

    fn tell_round(&mut self, key: TaskKey, round: StopRound) {
        let Some(task) = self.table.get_mut(key) else { return };
        if task.add_round(&round) {
            let id = task.id.clone();
            self.tell_about(key, &FromKeeper::StopStep { id, round });
        }
    }

    fn add_round(&mut self, key: TaskKey, step: StopStepKind, mut sent: Sent) {
        if sent == Sent::default() && step == StopStepKind::Kill {
            return;
        }
        let count = u32::try_from(sent.pids.len()).unwrap_or(u32::MAX);
        sent.pids.truncate(STOP_PIDS_MAX);
        sent.refused.truncate(STOP_PIDS_MAX);
        let Sent { pids, refused } = sent;
        let unclear = Vec::new();
        self.tell_round(key, StopRound { at: unix_ms(), step, count, pids, refused, unclear });
    }

    pub(super) fn survey_if_wanted(&mut self, now: Instant) {
        let retry = self.survey_retry_at.is_some_and(|at| now >= at);
        if !self.survey_wanted && !retry {
            return;
        }
        self.survey_wanted = false;
        if self.has_no_orphans() {
            self.survey_retry_at = None;
            return self.settle(&Survey::default(), now);
        }
        let Some(survey) = self.survey(now) else { return };
        self.settle(&survey, now);
    }

    /// Whether each child of the keeper is the main process of a run or the keeper's own. What is left of a
    /// run descends from a child that is neither, so then nothing is left of those whose main process ended;
    /// and the many short programs cost one read instead of one per process of the machine.
    fn has_no_orphans(&mut self) -> bool {
        // Then it is about more than runs whose main process ended and is this keeper's child.
        if self.shutdown.is_some() || self.adopted.any || self.table.stops().any(Stop::is_killing) {
            return false;
        }
        self.orphans().is_ok_and(|orphans| orphans.is_empty())
    }

    fn survey(&mut self, now: Instant) -> Option<Survey> {
        let own: Vec<u32> = self.daemon.pid().into_iter().chain(self.starts.pids()).collect();
        let marks = self.table.marks();
        let family = Family { keeper: self.pid, own: &own, adopted: self.adopted.any };
        match tree::survey(family, &marks, &mut self.evidence) {
            Ok(survey) => {
                self.survey_retry_at = None;
                Some(survey)
            }
            Err(error) => {
                tracing::warn!(%error, "cannot read the processes in /proc; trying again");
                self.survey_retry_at = Some(now + Duration::from_millis(SURVEY_RETRY_MS));
                None
            }
        }
    }

    /// Draws the conclusions: which trees are gone, which processes to wait for, and what showed up
    /// after its task was killed.
    fn settle(&mut self, survey: &Survey, now: Instant) {
        let mut escaped = Vec::new();
        self.roots.clear();
        // A zombie may have been the parent of a process when that was looked at.
        self.roots.extend(&survey.zombies);
        self.roots.extend(survey.unclear.iter().map(|(process, _)| process.pid));
        let open = self.table.iter().filter(|(_, task)| !task.tree_gone).map(|(key, _)| key);
        let left: Vec<(TaskKey, Vec<Process>)> =
            open.map(|key| (key, self.doomed(survey, key))).collect();
        // Of a run that seems to be gone there may be what no look finds.
        let over = |(key, left): &(TaskKey, Vec<Process>)| {
            left.is_empty() && self.table.get(*key).is_some_and(|task| task.end.is_some())
        };
        let missed = match left.iter().any(over) {
            true => self.missed(survey),
            false => HashSet::new(),
        };
        self.survey_wanted |= !missed.is_empty();
        let mut gone = Vec::new();
        for (key, left) in left {
            let Some(task) = self.table.get(key) else { continue };
            if task.end.is_some() {
                self.roots.extend(left.iter().filter(|p| p.ppid == self.pid).map(|p| p.pid));
            }
            let is_new = |p: &Process| !task.killed.contains(&(p.pid, p.start_ticks));
            if left.is_empty() && task.end.is_some() && !missed.contains(&key) {
                gone.push(key);
            } else if task.stop.as_ref().is_some_and(Stop::is_killing)
                && (missed.contains(&key) || left.iter().any(is_new))
            {
                escaped.push(key);
            }
        }
        self.close(gone, survey);
        self.settle_strays(survey);
        if !escaped.is_empty()
            && let Some(survey) = self.survey(now)
        {
            self.kill(&escaped, survey, now);
        }
    }

    /// Nothing is left of these tasks, or what may be is said. Of several that one process may be of,
    /// one goes at a time: for the last of them it is clear.
    fn close(&mut self, gone: Vec<TaskKey>, survey: &Survey) {
        let mut doubted = HashSet::new();
        for key in gone {
            let unclear: Vec<Process> = survey.unclear_of(key).copied().collect();
            if unclear.iter().any(|process| doubted.contains(&process.pid)) {
                self.survey_wanted = true;
                continue;
            }
            if !unclear.is_empty() {
                doubted.extend(unclear.iter().map(|process| process.pid));
                self.say_doubt(key, &unclear);
            }
            self.drain_pipes(key);
            if let Some(task) = self.table.get_mut(key) {
                task.mark_gone();
                let id = task.id.clone();
                self.tell_about(key, &FromKeeper::TreeGone { id });
            }
            self.custody_changed(key);
            self.remove_if_forgotten(key);
        }
    }

    fn settle_strays(&mut self, survey: &Survey) {
        let unclear = survey.unclear.iter().map(|(process, _)| *process);
        let strays: Vec<Process> = survey.strays.iter().copied().chain(unclear).collect();
        if let Some(shutdown) = &self.shutdown {
            self.roots.extend(strays.iter().map(|process| process.pid));
            if shutdown.is_killing() {
                signal::send(&strays, &[Signal::KILL]);
            }
            self.strays = strays;
        }
    }
}
