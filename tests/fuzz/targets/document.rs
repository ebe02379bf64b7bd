//! Application documents: what `docker inspect` and `crictl inspecti` print of an image that anybody made.

use deskd_core::app::document::{APPS_MAX, parse};
use deskd_core::app::{App, AppSource};
use deskd_core::id::ID_BYTES_MAX;

use super::text;

pub fn run(data: &[u8]) {
    let Some(text) = text(data) else { return };
    match parse(text, AppSource::Directory) {
        Ok(apps) => {
            assert!((1..=APPS_MAX).contains(&apps.len()), "{} applications", apps.len());
            assert!(apps.is_sorted_by(|a, b| a.id < b.id), "not sorted, or an id twice");
            apps.iter().for_each(check);
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

fn check(app: &App) {
    assert!((1..=ID_BYTES_MAX).contains(&app.id.as_str().len()));
    assert!(app.problems.iter().all(|problem| !problem.is_empty()));
    // As the journal and the API keep it.
    let json = serde_json::to_string(app).expect("an application is JSON");
    let back: App = serde_json::from_str(&json).expect("and is read back");
    assert_eq!(*app, back, "the journal loses something");
    // As the panel searches it.
    assert!(app.matches(app.id.as_str()));
    for category in &app.categories {
        assert!(app.is_in(category), "not in its category {category:?}");
    }
    for extension in &app.file_extensions {
        assert!(app.opens(extension), "does not open {extension:?}");
    }
}
