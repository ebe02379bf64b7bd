//! The applications in their three layers, and changes to them.
//!
//! What the configuration file says wins over the watched directory, and the directory over what
//! was added over the API. A layer hides the ones below it and does not touch them: when a file of
//! the directory goes, what was added under the same id is there again.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use super::driver::Driver;
use super::handle::{AppChange, AppError};
use super::input::Reply;
use deskd_core::app::{App, DirectoryApp};
use deskd_core::id::AppId;
use deskd_core::run::{self, journal::Line};

type Layer = BTreeMap<AppId, Arc<App>>;

/// Applications added over the API, at most.
const ADDED_MAX: usize = 1000;
/// Their bytes in the journal, at most: the daemon has them in memory, and reads no journal that is too large.
const ADDED_BYTES_MAX: usize = 64 << 20;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Apps {
    configured: Layer,
    directory: Layer,
    /// The file of each application of the directory.
    files: BTreeMap<AppId, PathBuf>,
    added: Layer,
    /// Bytes of each of them.
    added_bytes: BTreeMap<AppId, usize>,
    /// Of the directory, but not used: the configuration file has them too.
    hidden: BTreeSet<AppId>,
}

fn bytes_of(apps: &[App]) -> impl Iterator<Item = (AppId, usize)> {
    apps.iter().map(|app| {
        let mut line = Vec::new();
        Line::App(Box::new(Cow::Borrowed(app))).write(&mut line);
        (app.id.clone(), line.len())
    })
}

fn layer(apps: impl IntoIterator<Item = App>) -> Layer {
    apps.into_iter().map(|app| (app.id.clone(), Arc::new(app))).collect()
}

impl Apps {
    /// Of the configuration file, and those that the journal remembers.
    pub(super) fn new(configured: &[App], remembered: Vec<App>) -> Self {
        Self {
            configured: layer(configured.iter().cloned()),
            added_bytes: bytes_of(&remembered).collect(),
            added: layer(remembered),
            ..Self::default()
        }
    }

    /// The one that counts.
    pub(super) fn get(&self, id: &AppId) -> Option<&Arc<App>> {
        [&self.configured, &self.directory, &self.added].into_iter().find_map(|apps| apps.get(id))
    }

    /// Those that count, by id.
    pub(super) fn all(&self) -> Vec<Arc<App>> {
        let weakest_first = [&self.added, &self.directory, &self.configured];
        let merged: BTreeMap<_, _> = weakest_first.into_iter().flatten().collect();
        merged.into_values().cloned().collect()
    }

    /// Of the directory: which image is whose.
    fn directory_images(&self) -> BTreeMap<String, AppId> {
        let image = |app: &Arc<App>| {
            app.container.as_ref().map(|container| (container.image.clone(), app.id.clone()))
        };
        self.directory.values().filter_map(image).collect()
    }

    /// Those that the journal remembers, for a journal that begins anew.
    pub(super) fn lines(&self) -> impl Iterator<Item = Line<'_>> {
        self.added.values().map(|app| Line::App(Box::new(Cow::Borrowed(&**app))))
    }

    /// Whether `id` may be changed over the API.
    fn changeable(&self, id: &AppId) -> Result<(), AppError> {
        if self.configured.contains_key(id) {
            return Err(AppError::FromConfig(id.clone()));
        }
        match self.files.get(id) {
            Some(file) => Err(AppError::FromDirectory { app: id.clone(), file: file.clone() }),
            None => Ok(()),
        }
    }

    /// Makes room for applications that are to be added, or replaced; false: there is not enough.
    fn make_room(&mut self, new: &[App]) -> bool {
        let mut bytes = self.added_bytes.clone();
        bytes.extend(bytes_of(new));
        let fits = bytes.len() <= ADDED_MAX && bytes.values().sum::<usize>() <= ADDED_BYTES_MAX;
        if fits {
            self.added_bytes = bytes;
        }
        fits
    }

    /// Replaces the layer of the directory; false when it was the same.
    fn set_directory(&mut self, apps: Vec<DirectoryApp>) -> bool {
        let mut files = BTreeMap::new();
        let mut directory = Layer::new();
        let mut hidden = BTreeSet::new();
        for DirectoryApp { app, file } in apps {
            if self.configured.contains_key(&app.id) {
                if !self.hidden.contains(&app.id) {
                    tracing::warn!(
                        "application {} of {} is not used: the configuration file has one of that \
                         name",
                        app.id,
                        file.display()
                    );
                }
                hidden.insert(app.id);
                continue;
            }
            files.insert(app.id.clone(), file);
            directory.insert(app.id.clone(), Arc::new(app));
        }
        let changed = self.directory != directory || self.files != files;
        self.directory = directory;
        self.files = files;
        self.hidden = hidden;
        changed
    }
}

impl Driver {
    pub(super) fn put_apps(
        &mut self,
        apps: Vec<App>,
        reply: Reply<Result<Vec<AppChange>, AppError>>,
    ) {
        let refused = apps.iter().find_map(|app| self.apps.changeable(&app.id).err());
        let result = match refused {
            Some(error) => Err(error),
            None if !self.apps.make_room(&apps) => Err(AppError::TooMany),
            None => Ok(apps.into_iter().map(|app| self.put_app(app)).collect()),
        };
        self.answer(reply, result);
    }

    fn put_app(&mut self, app: App) -> AppChange {
        let old = self.apps.added.get(&app.id);
        let change = if old.is_some() { AppChange::Updated } else { AppChange::Added };
        if old.is_none_or(|old| **old != app) {
            self.journal.push(&Line::App(Box::new(Cow::Borrowed(&app))));
            let id = app.id.clone();
            self.apps.added.insert(id.clone(), Arc::new(app));
            self.apps_changed();
            self.pull_if_wanted(&id);
        }
        change
    }

    /// `kubernetes.pull_on_add`: not for what is there when deskd starts, or every desktop would
    /// pull the whole catalogue.
    fn pull_if_wanted(&mut self, id: &AppId) {
        let has_image = self.apps.get(id).is_some_and(|app| app.container.is_some());
        if self.settings.kubernetes.policy.pull_on_add
            && has_image
            && let Err(error) = self.ask_for_pull(id)
        {
            tracing::warn!(app = %id, "its image is not pulled: {error}");
        }
    }

    pub(super) fn remove_app(&mut self, id: &AppId, reply: Reply<Result<(), AppError>>) {
        let removed = self.apps.changeable(id).and_then(|()| {
            self.apps.added_bytes.remove(id);
            let removed = self.apps.added.remove(id);
            removed.map(drop).ok_or_else(|| AppError::Unknown(id.clone()))
        });
        if removed.is_ok() {
            self.journal.push(&Line::AppRemoved(id.clone()));
            self.apps_changed();
        }
        self.answer(reply, removed);
    }

    pub(super) fn directory_apps(&mut self, apps: Vec<DirectoryApp>, reply: Reply<()>) {
        let before = self.apps.directory_images();
        if self.apps.set_directory(apps) {
            self.apps_changed();
            let mut new = self.apps.directory_images();
            new.retain(|image, _| !before.is_empty() && !before.contains_key(image));
            for id in new.values() {
                self.pull_if_wanted(id);
            }
        }
        self.answer(reply, ());
    }

    /// What can be launched.
    pub(super) fn give_apps(&mut self) {
        let apps = self.apps.all().into_iter().map(|app| (app.id.clone(), app)).collect();
        self.step(run::Input::Apps(Arc::new(apps)));
    }

    fn apps_changed(&mut self) {
        self.apps_generation = self.runs.next_generation();
        self.give_apps();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use deskd_core::app::AppSource;
    use deskd_core::samples::app;

    #[test]
    fn whoever_adds_without_end_is_refused_and_others_can_be_replaced() {
        let mut apps = Apps::new(&[], vec![app("first")]);
        let many = |count: usize| (0..count).map(|n| app(&format!("a{n}"))).collect::<Vec<_>>();
        assert!(apps.make_room(&many(ADDED_MAX - 1)));
        assert!(!apps.make_room(&[app("more")]));
        let of_bytes = |bytes: usize| App { icon: Some("x".repeat(bytes)), ..app("first") };
        assert!(!apps.make_room(&[of_bytes(ADDED_BYTES_MAX)]));
        assert!(apps.make_room(&[of_bytes(ADDED_BYTES_MAX / 2)]));
        assert!(
            !apps.make_room(&[App { id: "a1".parse().unwrap(), ..of_bytes(ADDED_BYTES_MAX / 2) }])
        );
        assert!(apps.make_room(&[of_bytes(1)]));
    }

    fn named(id: &str, name: &str, source: AppSource) -> App {
        App { display_name: name.to_owned(), source, ..app(id) }
    }

    #[test]
    fn a_stronger_layer_hides_a_weaker_one_and_gives_it_back() {
        let configured = [named("a", "config", AppSource::Config)];
        let added = ["a", "b", "c"].map(|id| named(id, "api", AppSource::Api));
        let mut apps = Apps::new(&configured, added.into());
        let names = |apps: &Apps| {
            let all = apps.all();
            all.iter().map(|app| format!("{} {}", app.id, app.display_name)).collect::<Vec<_>>()
        };
        let file = |id: &str| DirectoryApp {
            app: named(id, "file", AppSource::Directory),
            file: format!("/apps.d/{id}.json").into(),
        };
        assert!(apps.set_directory(vec![file("a"), file("b"), file("d")]));
        assert!(!apps.set_directory(vec![file("a"), file("b"), file("d")]));
        assert_eq!(names(&apps), ["a config", "b file", "c api", "d file"]);
        for app in apps.all() {
            assert_eq!(apps.get(&app.id), Some(&app));
        }
        let id = |text: &str| text.parse::<AppId>().unwrap();
        assert_eq!(apps.changeable(&id("a")), Err(AppError::FromConfig(id("a"))));
        let refused = apps.changeable(&id("b")).unwrap_err().to_string();
        assert!(refused.contains("/apps.d/b.json"), "{refused}");
        assert_eq!(apps.changeable(&id("c")), Ok(()));
        assert_eq!(apps.lines().count(), 3);
        assert!(apps.set_directory(Vec::new()));
        assert_eq!(names(&apps), ["a config", "b api", "c api"]);
    }
}
