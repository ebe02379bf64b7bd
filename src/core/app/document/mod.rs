//! Application documents: what `docker inspect` and `crictl inspecti` print about an image, with
//! abcdesktop's `oc.*` labels and deskd's own `io.deskd.*` ones, becomes applications.
//!
//! ```text
//!  JSON -- image: the two formats are one [`Image`] --+
//!                                                     +-- app: labels with a meaning --> App
//!          labels: text, lists, JSON in labels -------+
//! ```
//!
//! Every image becomes an application: what is malformed about it is a sentence in
//! [`App::problems`] and leaves that one setting at its default. Only an access list that cannot
//! be read closes: it permits nobody.
//!
//! Deliberately not here: whether the application can run (`plan`), and `oc.securitycontext`. An
//! image does not choose its own rights, the operator does; so that label is kept and shown like
//! any unknown one and is not even parsed: it is malformed in every document that abcdesktop
//! publishes, and a hundred applications with the same harmless complaint would hide a real one.

mod app;
mod host_config;
mod icon;
mod image;
mod json_labels;
mod labels;
mod name;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use serde_json::Value;

use crate::app::{App, AppSource};
use crate::id::AppId;

/// Most applications of one document.
pub const APPS_MAX: usize = 1000;

/// Why a text or value has no applications. One image more or less malformed is not among them.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DocumentError {
    /// Not JSON.
    #[error(
        "it is not JSON ({0}): give what `docker inspect IMAGE` or `crictl inspecti IMAGE` prints"
    )]
    Json(String),
    /// Nothing at all.
    #[error("it is empty: give what `docker inspect IMAGE` or `crictl inspecti IMAGE` prints")]
    Blank,
    /// What abcdesktop builds an image from, not what is known of the image.
    #[error(
        "{}is a recipe from which abcdesktop builds an image (it has `launch` and `template`): build the \
         image, and give what `docker inspect IMAGE` prints", place(*.0)
    )]
    Recipe(Option<usize>),
    /// Something else.
    #[error(
        "{}is neither what `docker inspect` prints about an image (it has no `Config`) nor what \
         `crictl inspecti` prints (it has no `status` and `info`)", place(*.0)
    )]
    Shape(Option<usize>),
    /// Nothing to call it by.
    #[error(
        "{}does not identify the image (it has no tag, no digest and no id)", place(*.0)
    )]
    Nameless(Option<usize>),
    /// An empty list.
    #[error("it is an empty list")]
    Empty,
    /// More than anybody has.
    #[error("it has more than {APPS_MAX} images")]
    TooMany,
}

fn place(index: Option<usize>) -> String {
    index.map_or_else(|| "it ".to_owned(), |index| format!("element {index} of the list "))
}

/// Whether `value` looks like a document (and not like an application as the API shows it).
#[must_use]
pub fn is_document(value: &Value) -> bool {
    match value {
        Value::Array(_) => true,
        _ => image::is_docker(value) || image::is_crictl(value),
    }
}

/// The applications of a text, sorted by id.
///
/// # Errors
/// When it is no JSON, or not of the two formats.
pub fn parse(text: &str, source: AppSource) -> Result<Vec<App>, DocumentError> {
    if text.trim().is_empty() {
        return Err(DocumentError::Blank);
    }
    let value =
        serde_json::from_str(text).map_err(|error| DocumentError::Json(error.to_string()))?;
    read(&value, source)
}

/// The applications of one image or a list of them, sorted by id. When two have the same id the
/// later one counts and says so.
///
/// # Errors
/// When it is not of the two formats.
pub fn read(document: &Value, source: AppSource) -> Result<Vec<App>, DocumentError> {
    let Value::Array(images) = document else {
        return Ok(vec![app::read(document, source, None)?]);
    };
    match images.len() {
        0 => return Err(DocumentError::Empty),
        1..=APPS_MAX => {}
        _ => return Err(DocumentError::TooMany),
    }
    let mut apps: BTreeMap<AppId, App> = BTreeMap::new();
    for (index, image) in images.iter().enumerate() {
        let mut app = app::read(image, source, Some(index))?;
        if apps.contains_key(&app.id) {
            app.problems.push(format!(
                "several images in this document have the name {}, and only the last one is used: \
                 give each its own label oc.name",
                app.id
            ));
        }
        apps.insert(app.id.clone(), app);
    }
    Ok(apps.into_values().collect())
}

/// An application that stands for a document which cannot be read: nothing of it can be started.
/// Nothing when `name` has neither a letter nor a digit.
#[must_use]
pub fn placeholder(name: &str, source: AppSource) -> Option<App> {
    Some(app::bare(name::label(name)?, name, source))
}
