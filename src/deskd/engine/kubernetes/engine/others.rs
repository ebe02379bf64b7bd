//! What others started in this desktop: ephemeral containers of its pod without deskd's names, and
//! application pods of its user that another control plane (abcdesktop's pyos) made. They are seen,
//! read and, where that is possible, stopped like deskd's own; nothing is ever made of them.

use super::{Engine, Input};
use crate::clock::now_ms;
use crate::engine::kubernetes::objects::{self, Container, Pod};
use crate::engine::kubernetes::runs::{Creation, Run};
use crate::engine::kubernetes::watch::{Watch, Which};
use crate::engine::kubernetes::{Event, Stranger, pods};
use crate::engine::kubernetes::{own_pod, processes, status};
use deskd_core::env_var::{EnvSource, EnvVar};
use deskd_core::kubernetes::{
    LABEL_MANAGED_BY, LABEL_PROVIDER, LABEL_TYPE, LABEL_USER, MANAGED_BY, ObjectRef,
    TYPE_APPLICATION,
};
use deskd_core::origin::{Found, NoStopCode, ONLY_RUN, Origin};
use deskd_core::plan::EngineKind;
use deskd_core::wire::RunId;

/// Containers and pods of others that are followed, the first that were seen; of the entries in the
/// own pod, which are never removed, the newest.
const OTHERS_SEEN_MAX: usize = 1024;

impl<T: From<Event> + Send + 'static> Engine<T> {
    /// The ephemeral containers of the own pod that have no names of deskd's.
    pub(super) fn other_containers(&mut self, pod: &Pod, containers: &[&Container]) {
        let older = containers.len().saturating_sub(OTHERS_SEEN_MAX);
        for container in &containers[older..] {
            let object = ObjectRef {
                namespace: self.own.namespace.clone(),
                pod: self.own.name.clone(),
                container: container.name.clone(),
            };
            let Some(run) = self.other(&container.name, container, object.clone(), Which::Own)
            else {
                continue;
            };
            let seen = status::look(pod, &container.name, true, now_ms());
            self.see(&run, seen);
            self.look_for_its_process(&run, pod, container);
        }
    }

    /// Where deskd sees the processes of a container that runs, it can be stopped, and its windows
    /// are known.
    fn look_for_its_process(&mut self, run: &RunId, pod: &Pod, container: &Container) {
        let Some(known) = self.runs.get(run) else { return };
        let wanted = known.pid.is_none() && known.ran() && !known.is_over() && !known.forgotten;
        if !wanted || !own_pod::sees_processes_of(pod, container, &self.config) {
            return;
        }
        let statuses = &pod.status.ephemeral_container_statuses;
        let status = statuses.iter().find(|status| status.name == container.name);
        if let Some(pid) = status.and_then(|it| processes::first_of_container(&it.container_id)) {
            self.process_seen(run, pid);
            self.find_out_stoppable(run);
        }
    }

    /// An application pod of the user.
    pub(super) fn other_pod_is(&mut self, pod: Box<Pod>) {
        let Some(container) = pod.spec.containers.first() else { return };
        let object = ObjectRef {
            namespace: pod.metadata.namespace.clone(),
            pod: pod.metadata.name.clone(),
            container: container.name.clone(),
        };
        let run = self.other(&pod.metadata.name, container, object.clone(), Which::Others);
        let Some(run) = run else { return };
        let seen = status::look(&pod, &object.container, false, now_ms());
        let by_deskd = self.runs.get(&run).is_some_and(|known| known.stop.is_some());
        let by_others = pod.metadata.deletion_timestamp.is_some() && !by_deskd;
        if by_others {
            self.deleting(&run);
        }
        self.keep_to_look_again(&run, &seen, pod);
        self.see(&run, seen);
        if by_others {
            // Of one that is told of for the first time.
            self.deleting(&run);
        }
    }

    pub(super) fn other_pod_is_gone(&mut self, pod: &Pod) {
        let Some(run) = self.other_pod(pod) else { return };
        let container = pod.spec.containers.first().map_or("", |container| &container.name);
        let by_deskd = self.runs.get(&run).is_some_and(|known| known.stop.is_some());
        if !by_deskd {
            self.deleting(&run);
        }
        if let Some(what) = status::last_look(pod, container, now_ms()) {
            self.observe(&run, what);
        }
        self.gone(&run);
    }

    fn other_pod(&self, pod: &Pod) -> Option<RunId> {
        let run = only_run(&Found { name: pod.metadata.name.clone(), ..Found::default() });
        let known = self.runs.get(&run)?;
        (known.which() == Which::Others && known.object.pod == pod.metadata.name).then_some(run)
    }

    /// Somebody else deletes it, which ends it: told before the end is.
    fn deleting(&mut self, run: &RunId) {
        let Some(known) = self.runs.get(run) else { return };
        if !known.forgotten && !known.is_over() {
            self.out.push(Event::Deleting { run: run.clone() });
        }
    }

    /// The run of such an object, which is known from now on; nothing when there are too many, or when
    /// its name means something else already.
    fn other(
        &mut self,
        name: &str,
        container: &Container,
        object: ObjectRef,
        which: Which,
    ) -> Option<RunId> {
        let found = stranger(name, container);
        let run = only_run(&found.found);
        if let Some(known) = self.runs.get(&run) {
            return (known.which() == which
                && known.object == object
                && known.origin == Origin::Other)
                .then_some(run);
        }
        let others = self.runs.values().filter(|known| known.which() == which);
        if others.filter(|known| known.origin == Origin::Other).count() >= OTHERS_SEEN_MAX {
            return None;
        }
        let engine = match which {
            Which::Own => EngineKind::EphemeralContainer,
            Which::Apps | Which::Others => EngineKind::PodApplication,
        };
        let app = found.found.app_by_image();
        let mut new = Run::new(app, engine, object, Creation::Done);
        (new.known, new.origin, new.stranger) = (false, Origin::Other, Some(Box::new(found)));
        self.runs.insert(run.clone(), new);
        Some(run)
    }

    /// Watches the application pods of the desktop's user, once the own pod says who that is.
    pub(super) fn watch_others(&mut self, own: &Pod) {
        if std::mem::replace(&mut self.watches_others, true) {
            return;
        }
        let label = |name: &str| own.metadata.labels.get(name).filter(|value| !value.is_empty());
        let (Some(user), Some(provider)) = (label(LABEL_USER), label(LABEL_PROVIDER)) else {
            // What earlier desktops of this state directory saw is gone.
            return self.out.push(Event::Synced {
                engine: EngineKind::PodApplication,
                origin: Origin::Other,
                present: std::collections::BTreeSet::new(),
            });
        };
        // As pyos selects them.
        let labels = format!(
            "{LABEL_TYPE}={TYPE_APPLICATION},{LABEL_USER}={user},{LABEL_PROVIDER}={provider},\
             {LABEL_MANAGED_BY}!={MANAGED_BY}"
        );
        let watch = Watch {
            api: self.api.clone(),
            which: Which::Others,
            namespace: self.own.namespace.clone(),
            selector: format!("labelSelector={labels}"),
            told: self.inputs.clone(),
        };
        self.workers.spawn(watch.run());
    }

    /// Whether a run that others started can be stopped: asked of the API server, told to the driver.
    pub(super) fn find_out_stoppable(&mut self, run: &RunId) {
        let Some(known) = self.runs.get(run) else { return };
        if known.origin != Origin::Other || known.is_over() {
            return;
        }
        match known.engine {
            EngineKind::PodApplication => {
                let (api, object) = (self.api.clone(), known.object.clone());
                let (inputs, run) = (self.inputs.clone(), run.clone());
                self.workers.spawn(async move {
                    let no_stop = match pods::may_delete(&api, &object).await {
                        true => None,
                        false => Some(NoStopCode::NotPermitted),
                    };
                    // The engine is gone when nobody listens.
                    let _ = inputs.send(Input::Stoppable(run, no_stop)).await;
                });
            }
            _ => {
                let unseen = known.pid.is_none().then_some(NoStopCode::ProcessesUnseen);
                self.stoppable(run.clone(), unseen);
            }
        }
    }

    pub(super) fn stoppable(&mut self, run: RunId, no_stop: Option<NoStopCode>) {
        let Some(known) = self.runs.get_mut(&run) else { return };
        known.no_stop = no_stop;
        if known.known && !known.forgotten {
            self.out.push(Event::Stoppable { run, no_stop });
        }
    }

    /// Rights may have changed: asks again for what was not permitted.
    pub(super) fn find_out_stoppable_again(&mut self) {
        let refused = |known: &Run| known.no_stop == Some(NoStopCode::NotPermitted);
        let runs: Vec<_> = self
            .runs
            .iter()
            .filter(|(_, known)| refused(known) && known.known && !known.forgotten)
            .map(|(run, _)| run.clone())
            .collect();
        runs.iter().for_each(|run| self.find_out_stoppable(run));
    }
}

fn only_run(found: &Found) -> RunId {
    RunId { task: found.task(), run: ONLY_RUN }
}

/// What a container's spec says. Kubernetes has expanded nothing in it yet, and nor does deskd.
fn stranger(name: &str, container: &Container) -> Stranger {
    let env: Vec<_> = container.env.iter().filter_map(variable).collect();
    let argv = container.command.iter().chain(&container.args).cloned().collect();
    Stranger { found: Found::new(name, &container.image, argv, &env), env }
}

fn variable(var: &objects::EnvVar) -> Option<EnvVar> {
    let field = || var.value_from.as_ref()?.field_ref.as_ref();
    match (&var.value, field()) {
        (Some(value), _) => Some(EnvVar::new(&var.name, value, EnvSource::Specification)),
        (None, Some(field)) => Some(EnvVar::field(&var.name, &field.field_path)),
        (None, None) => None,
    }
}
