//! Places that are made before anybody asks, and what is told of places.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::Engine;
use super::places::place_run;
use crate::engine::kubernetes::{Event, manifest, pods};
use deskd_core::id::{AppId, TaskId};
use deskd_core::kubernetes::{APP_CONTAINER, LABEL_USER, ObjectRef, pod_name};
use deskd_core::place::PlaceSpec;
use deskd_core::plan::EngineKind;
use deskd_core::plan::facts::PlaceFacts;

impl<T: From<Event> + Send + 'static> Engine<T> {
    /// Makes what is missing, and gives up what is in the way of a launch.
    pub(super) fn look_after_warm_places(&mut self) {
        if self.places.file.is_none() || self.known.terminating() {
            return;
        }
        for id in self.places.life.to_give_up() {
            tracing::info!(place = %id, "its quota is full: this pod, in which nothing runs, ends");
            self.end_pod(&id, Duration::ZERO);
            self.ask_rights.notify_one();
        }
        let (unfit, far) = (&self.places.unfit, self.pods_can_be_places());
        let may = |spec: &PlaceSpec| !unfit.contains(spec) && (spec.pod.is_none() || far);
        for (app, spec) in self.places.life.to_make(self.places.begun.elapsed(), may) {
            self.make_warm_place(&app, spec);
        }
    }

    fn pods_can_be_places(&self) -> bool {
        self.places.port.is_some() && self.places.barred_until.is_none()
    }

    fn make_warm_place(&mut self, app: &AppId, spec: PlaceSpec) {
        let Some(id) = self.fresh_place() else { return };
        self.places.life.make(id.clone(), spec.clone());
        let made = match &spec.pod {
            None => self.make_place(&id, &spec),
            Some(plan) => {
                let owner = self.known.label(LABEL_USER).unwrap_or(&self.own.name);
                let pod = pod_name(owner, app, &id, 0);
                let (namespace, container) = (plan.namespace.clone(), APP_CONTAINER.to_owned());
                let object = ObjectRef { namespace, pod, container };
                self.ask_rights.notify_one();
                let run = place_run(&id);
                plan.place.as_ref().is_some_and(|place| {
                    self.ask_for_pod(&id, pods::labels_of(&run), &object, |key| {
                        manifest::pod_place(&run, app, &object, plan, (&id, key, place))
                    })
                })
            }
        };
        if !made {
            self.places.life.dead(&id);
        }
    }

    /// When one is made although nothing happens.
    pub(super) fn next_warm_due(&self) -> Option<Instant> {
        let begun = self.places.begun;
        self.places.life.to_make_at(begun.elapsed()).map(|after| begun.at(after))
    }

    /// Deletes a pod that was made before anybody asked and of which no place is left.
    pub(super) fn delete_place(&mut self, object: ObjectRef) {
        let api = self.api.clone();
        self.workers.spawn(async move {
            pods::delete_unwanted(&api, &object).await;
        });
    }

    /// Tells which places there are, if that changed.
    pub(super) fn tell_places(&mut self) {
        let known = self.known.places();
        let count = self.places.life.iter().count();
        let same = |(id, spec): (&TaskId, &PlaceSpec)| {
            let told = known.iter().find(|told| told.name == *id);
            told.is_some_and(|told| self.is_as_told(id, spec, told))
        };
        if known.len() != count || !self.places.life.iter().all(same) {
            let all = self.places.life.iter();
            let all = all.filter_map(|(id, spec)| self.place_facts(id, spec)).collect();
            self.known.set_places(all);
        }
    }

    fn is_as_told(&self, id: &TaskId, spec: &PlaceSpec, told: &PlaceFacts) -> bool {
        let link = self.places.links.get(id);
        Some(told.state) == self.places.life.life(id)
            && link.is_some_and(|link| link.keeper_since == told.keeper_since)
            && told.idle == self.places.life.is_idle(id)
            && told.warm == self.is_warm(id, spec)
    }

    fn place_facts(&self, id: &TaskId, spec: &PlaceSpec) -> Option<PlaceFacts> {
        let link = self.places.links.get(id)?;
        let idle = self.places.life.is_idle(id);
        Some(PlaceFacts {
            name: id.clone(),
            image: spec.image.clone(),
            engine: match spec.pod {
                None => EngineKind::EphemeralContainer,
                Some(_) => EngineKind::PodApplication,
            },
            object: link.object.clone(),
            state: self.places.life.life(id)?,
            keeper_since: link.keeper_since,
            idle,
            warm: self.is_warm(id, spec),
            spec: (idle && spec.pod.is_some()).then(|| Arc::new(spec.clone())),
        })
    }

    /// Whether it waits for a launch for however long that takes.
    fn is_warm(&self, id: &TaskId, spec: &PlaceSpec) -> bool {
        spec.pod.is_some() && self.places.life.is_vacant(id) && self.places.life.is_kept(id)
    }
}
