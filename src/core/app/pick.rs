//! Which application somebody means who names it, or a file that it opens: what menu entries and
//! file managers know.

use super::App;

/// Why no application is meant.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PickError {
    /// None fits.
    #[error("no application has {0}")]
    None(String),
    /// Several fit equally.
    #[error("{what} is the same for several applications: {}", .ids.join(", "))]
    Several {
        /// What was asked for.
        what: String,
        /// Their ids.
        ids: Vec<String>,
    },
}

/// The application of this id, else image, display name (whatever its case), WM_CLASS, or path of
/// its program.
///
/// # Errors
/// When none is called so, or several are by the same kind of name.
pub fn named<'a>(apps: &'a [App], name: &str) -> Result<&'a App, PickError> {
    let container = |app: &'a App| app.container.as_deref();
    let kinds: [&dyn Fn(&'a App) -> bool; 5] = [
        &|app| app.id.as_str() == name,
        &|app| container(app).is_some_and(|it| it.image == name),
        &|app| app.display_name.to_lowercase() == name.to_lowercase(),
        &|app| app.wm_class.as_deref() == Some(name),
        &|app| {
            let program = container(app).and_then(|it| it.program.first());
            program.or(app.local.command.first()).is_some_and(|program| program == name)
        },
    ];
    let what = || format!("the name `{name}`");
    for kind in kinds {
        let found: Vec<_> = apps.iter().filter(|app| kind(app)).collect();
        match found.as_slice() {
            [] => {}
            [app] => return Ok(app),
            several => {
                let ids = several.iter().map(|app| app.id.to_string()).collect();
                return Err(PickError::Several { what: what(), ids });
            }
        }
    }
    Err(PickError::None(what()))
}

/// The application that opens a file of this media type, else of this extension: the default one,
/// else the first by id.
///
/// # Errors
/// When none opens it.
pub fn opening<'a>(
    apps: &'a [App],
    media_type: Option<&str>,
    file: &str,
) -> Result<&'a App, PickError> {
    let extension = file.rsplit('/').next().and_then(|name| name.rsplit_once('.'));
    let extension = extension.map(|(_, extension)| extension).filter(|it| !it.is_empty());
    let kinds = [media_type, extension];
    let of = |kind: &str| {
        let opening = apps.iter().filter(|app| app.opens(kind));
        opening.min_by_key(|app| (!app.default_application, &app.id))
    };
    let found = kinds.into_iter().flatten().find_map(of);
    found.ok_or_else(|| {
        let kind = kinds.into_iter().flatten().collect::<Vec<_>>().join("` or `");
        PickError::None(format!("the file type `{kind}`"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples::{app, container_app};

    fn apps() -> Vec<App> {
        let mut writer = app("writer");
        writer.display_name = "LibreOffice Writer".into();
        writer.wm_class = Some("libreoffice.libreoffice-writer".into());
        writer.mime_types = vec!["application/vnd.oasis.opendocument.text".into()];
        writer.file_extensions = vec!["odt".into(), "txt".into()];
        writer.container = Some(Box::new(container_app()));
        let mut edit = app("edit");
        edit.file_extensions = vec!["txt".into()];
        edit.mime_types = vec!["text/*".into()];
        let mut pad = app("pad");
        pad.file_extensions = vec!["txt".into()];
        pad.default_application = true;
        pad.display_name = "Editor".into();
        let mut other = app("other");
        other.display_name = "editor".into();
        vec![edit, other, pad, writer]
    }

    #[test]
    fn an_application_has_many_names() {
        let apps = apps();
        for name in [
            "writer",
            "libreoffice writer",
            "libreoffice.libreoffice-writer",
            "abcdesktopio/2048-alpine:4.1",
            "/usr/bin/gnome-2048",
        ] {
            assert_eq!(named(&apps, name).unwrap().id.as_str(), "writer", "{name}");
        }
        let several = named(&apps, "editor").unwrap_err().to_string();
        assert!(several.contains("other, pad"), "{several}");
        assert!(matches!(named(&apps, "nothing"), Err(PickError::None(_))));
    }

    #[test]
    fn a_file_is_opened_by_its_media_type_before_its_extension_and_by_the_default() {
        let apps = apps();
        let open = |kind: Option<&str>, file: &str| {
            opening(&apps, kind, file).map(|app| app.id.to_string()).map_err(|it| it.to_string())
        };
        assert_eq!(open(None, "/home/a/b.TXT"), Ok("pad".into()));
        assert_eq!(open(Some("text/plain"), "/home/a/b.txt"), Ok("edit".into()));
        assert_eq!(open(Some("x/unknown"), "letter.odt"), Ok("writer".into()));
        assert!(open(None, "/home/a.txt/README").unwrap_err().contains("file type"));
        assert!(open(Some("x/y"), "a.b").unwrap_err().contains("`x/y` or `b`"));
    }
}
