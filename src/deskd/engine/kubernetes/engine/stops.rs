//! Stopping runs: a pod is deleted with a grace period; the processes of an ephemeral container are
//! signalled.

use std::time::Duration;

use tokio::time::Instant;

use super::{Engine, Input};
use crate::clock::now_ms;
use crate::engine::kubernetes::processes::StopWork;
use crate::engine::kubernetes::runs::{Creation, Stopping};
use crate::engine::kubernetes::{Event, Observation, pods};
use deskd_core::plan::EngineKind;
use deskd_core::task::{Exit, StopStep, StopStepKind};
use deskd_core::text;
use deskd_core::text::Text;
use deskd_core::why::reason::{EndReason, LostReason};
use deskd_core::wire::RunId;

impl<T: From<Event> + Send + 'static> Engine<T> {
    pub(super) fn stop(&mut self, run: &RunId, term_after: Duration, kill_after: Duration) {
        if self.stop_at_place(run, term_after, kill_after) {
            return;
        }
        let Some(known) = self.runs.get_mut(run) else { return };
        let now = Instant::now();
        let (mut term_at, mut kill_at) = (now + term_after, now + kill_after);
        if let Some(before) = &known.stop {
            // Asked for again it may only come sooner.
            if term_at >= before.term_at && kill_at >= before.kill_at {
                return;
            }
            (term_at, kill_at) = (term_at.min(before.term_at), kill_at.min(before.kill_at));
            before.worker.iter().for_each(tokio::task::AbortHandle::abort);
        }
        known.stop = Some(Stopping { term_at, kill_at, worker: None });
        match &known.creation {
            Creation::Pending(cancel) => cancel.cancel(),
            Creation::Done => self.carry_out_stop(run),
        }
    }

    /// Begins what was asked for, once there is something to stop.
    pub(super) fn carry_out_stop(&mut self, run: &RunId) {
        let Some(known) = self.runs.get_mut(run) else { return };
        let is_pod = known.engine == EngineKind::PodApplication;
        let is_over = known.is_over();
        let Some(stop) = &mut known.stop else { return };
        if is_pod && is_over {
            return;
        }
        let (term_at, kill_at, inputs) = (stop.term_at, stop.kill_at, self.inputs.clone());
        let worker = if is_pod {
            let (api, object, run) = (self.api.clone(), known.object.clone(), run.clone());
            self.workers.spawn(async move {
                tokio::time::sleep_until(term_at).await;
                let grace = kill_at.saturating_duration_since(Instant::now());
                let tell = |kind, detail| {
                    let step = StopStep { at: now_ms(), step: kind, detail };
                    // News that do not fit now are told with the next attempt.
                    let _ = inputs.try_send(Input::Step(run.clone(), step));
                };
                let kind = if grace.is_zero() { StopStepKind::Kill } else { StopStepKind::Term };
                let mut in_the_way = |why| tell(StopStepKind::Term, why);
                pods::delete_at_last(&api, &object, grace, &mut in_the_way).await;
                tell(kind, deleted(&object.pod, grace));
                if kind == StopStepKind::Term {
                    // It counts from when the API server was asked.
                    tokio::time::sleep(grace).await;
                    tell(StopStepKind::Kill, text!("its grace is over: the node sends SIGKILL"));
                }
            })
        } else {
            let work = StopWork {
                run: run.clone(),
                pid: known.pid,
                term_at,
                kill_at,
                over: known.over.clone(),
                sees: self.sees_processes,
                pod_ends: self.known.terminating(),
                told: inputs,
            };
            self.workers.spawn(work.carry_out())
        };
        stop.worker = Some(worker);
    }

    /// No process of it is there when its stop has come to an end. An ephemeral container that does
    /// not start cannot be removed either.
    pub(super) fn no_process(&mut self, run: &RunId) {
        let terminating = self.known.terminating();
        let Some(known) = self.runs.get_mut(run) else { return };
        if known.ran() {
            // kubelet ends it with its pod, and does not always say so any more.
            if terminating {
                let exit = Exit::Lost(LostReason::WithItsPod);
                self.observe(run, Observation::Ended { exit, reason: None, at: now_ms() });
            }
            return;
        }
        known.may_start_late = true;
        let exit = Exit::Lost(LostReason::BeforeItStarted);
        let reason = Some(EndReason::EntryLeft.into());
        self.observe(run, Observation::Ended { exit, reason, at: now_ms() });
    }

    /// One that was stopped and is started after all: it gets what its stop gave it.
    pub(super) fn ends_late_starter(&mut self, run: &RunId) {
        let of_pods = Duration::from_secs(u64::from(self.config.policy.grace_s));
        let Some(known) = self.runs.get_mut(run) else { return };
        if std::mem::take(&mut known.may_start_late) {
            let given = |stop: &Stopping| stop.kill_at.saturating_duration_since(stop.term_at);
            let grace = known.stop.as_ref().map_or(of_pods, given);
            let term_at = Instant::now();
            known.stop = Some(Stopping { term_at, kill_at: term_at + grace, worker: None });
            self.carry_out_stop(run);
        }
    }

    /// A pod that ended needs no stop any more. What is left of an ephemeral container does.
    pub(super) fn stop_is_over(&mut self, run: &RunId) {
        let Some(known) = self.runs.get_mut(run) else { return };
        if known.engine == EngineKind::PodApplication
            && let Some(worker) = known.stop.as_mut().and_then(|stop| stop.worker.take())
        {
            worker.abort();
        }
    }

    pub(super) fn step(&mut self, run: RunId, step: StopStep) {
        if self.runs.get(&run).is_some_and(|known| !known.forgotten) {
            self.out.push(Event::StopStep { run, step });
        }
    }
}

fn deleted(pod: &str, grace: Duration) -> Text {
    text!(
        "asked the API server to delete the pod {pod}: SIGTERM now, SIGKILL after {seconds} s",
        pod,
        seconds = pods::grace_s(grace)
    )
}
