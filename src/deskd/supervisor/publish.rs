//! The snapshot that everybody but the driver sees, made anew when something changed.

use std::sync::Arc;

use super::driver::Driver;
use super::health::Health;
use super::snapshot::Snapshot;
use deskd_core::wire::ToKeeper;

impl Driver {
    /// The desktop anew, if anything that it is made from changed: most batches are about tasks.
    fn renew_desktop(&mut self) {
        let trouble = self.journal.trouble();
        let health = Health {
            keeper_connected: self.runs.keeper_connected(),
            predecessor: self.predecessor.clone(),
            keeper: self.keeper.clone(),
            looked: self.runs.looked(),
            log_trouble: self.log_trouble.clone(),
            draining: self.runs.draining(),
            named: self.named.clone(),
        };
        let (display, kubernetes) = (self.runs.display(), self.runs.kubernetes());
        let (shown_health, shown_trouble) = &self.shown;
        if self.desktop.display == *display
            && Arc::ptr_eq(&self.desktop.kubernetes, kubernetes)
            && *shown_health == health
            && shown_trouble.as_deref() == trouble
        {
            return;
        }
        // Of the change that is counted now.
        let generation = self.runs.table().generation() + 1;
        let desktop = health.desktop(&self.settings, display, kubernetes, trouble, generation);
        self.shown = (health, trouble.map(str::to_owned));
        self.runs.next_generation();
        if desktop.sentence != self.desktop.sentence {
            tracing::info!(ready = desktop.ready, "{}", desktop.sentence);
        }
        if desktop.started != self.desktop.started || desktop.sentence != self.desktop.sentence {
            let status = desktop.sentence.to_string();
            self.to_keeper.push(ToKeeper::Status { ready: desktop.started, status });
        }
        self.desktop = Arc::new(desktop);
    }

    pub(super) fn publish(&mut self) {
        self.renew_desktop();
        let table = self.runs.table();
        if self.snapshots.borrow().generation == table.generation() {
            return;
        }
        let (removed, removed_since) = table.shared_removed();
        let old = self.snapshots.borrow().clone();
        let apps = if old.apps_generation == self.apps_generation {
            old.apps.clone()
        } else {
            Arc::new(self.apps.all())
        };
        self.snapshots.send_replace(Arc::new(Snapshot {
            epoch: self.epoch,
            generation: table.generation(),
            desktop: self.desktop.clone(),
            tasks: table.shared(),
            apps,
            pulls: self.pulls.shared(),
            apps_generation: self.apps_generation,
            removed,
            removed_since,
        }));
    }
}
