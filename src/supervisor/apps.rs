//! Changes to the applications.

use std::sync::Arc;

use super::driver::Driver;
use super::handle::AppChange;
use super::input::Reply;
use crate::domain::app::{App, AppSource};
use crate::domain::id::AppId;

/// Whether an app was added over the API, and so is remembered by the journal.
pub(super) fn is_added(app: &App) -> bool {
    app.source == AppSource::Api
}

impl Driver {
    pub(super) fn put_app(&mut self, app: App, reply: Reply<AppChange>) {
        let change = match self.apps.get(&app.id) {
            Some(old) if !is_added(old) => AppChange::FromConfig,
            Some(old) if **old == app => AppChange::Updated,
            old => {
                let change = if old.is_some() { AppChange::Updated } else { AppChange::Added };
                self.journal.app(&app);
                self.apps.insert(app.id.clone(), Arc::new(app));
                self.apps_changed();
                change
            }
        };
        self.answer(reply, change);
    }

    pub(super) fn remove_app(&mut self, id: &AppId, reply: Reply<AppChange>) {
        let change = match self.apps.get(id) {
            None => AppChange::NotFound,
            Some(app) if !is_added(app) => AppChange::FromConfig,
            Some(_) => {
                self.journal.app_removed(id);
                self.apps.remove(id);
                self.apps_changed();
                AppChange::Removed
            }
        };
        self.answer(reply, change);
    }

    fn apps_changed(&mut self) {
        self.table.generation += 1;
        self.apps_generation = self.table.generation;
    }
}
