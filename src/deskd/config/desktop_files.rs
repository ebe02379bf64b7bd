//! Finds and reads `.desktop` files and icons of this container.

use std::path::{Path, PathBuf};

use super::env::Env;
use deskd_core::app::desktop_entry::{self, DesktopEntry, EntryError, ExecError, Locale};
use deskd_keeper::files;

/// Largest `.desktop` file read, in bytes (the largest in Debian have about 100 kB of
/// translations).
const DESKTOP_FILE_BYTES_MAX: u64 = 1 << 20;
/// Dashes of an id that are tried as directories.
const ID_DASHES_MAX: usize = 8;
/// Directories of icons below `/usr/share`, best first: SVG scales, larger bitmaps shrink well.
const ICON_DIRS: [&str; 7] = [
    "icons/hicolor/scalable/apps",
    "icons/hicolor/256x256/apps",
    "icons/hicolor/128x128/apps",
    "icons/hicolor/64x64/apps",
    "icons/hicolor/48x48/apps",
    "icons/hicolor/32x32/apps",
    "pixmaps",
];
/// File types that browsers show, best first; XPM, common in pixmaps, is not one.
const ICON_TYPES: [&str; 2] = ["svg", "png"];

/// Where to look.
#[derive(Debug, Clone)]
pub struct Lookup {
    data_dirs: Vec<PathBuf>,
    icon_root: PathBuf,
    locale: Option<Locale>,
}

/// A `.desktop` file that was read.
#[derive(Debug)]
pub struct Found {
    /// Which.
    pub file: PathBuf,
    /// What it says.
    pub entry: DesktopEntry,
}

impl Found {
    /// Its command.
    pub fn argv(&self) -> Result<Vec<String>, ExecError> {
        self.entry.argv(&self.file.to_string_lossy())
    }
}

/// What could not be found or read.
#[derive(Debug, thiserror::Error)]
pub enum LookupError {
    /// No such id.
    #[error("desktop entry `{id}` is in none of {}", list(dirs))]
    NoEntry {
        /// As asked.
        id: String,
        /// The directories searched.
        dirs: Vec<PathBuf>,
    },
    /// A relative path.
    #[error("desktop entry `{0}` is neither an absolute path nor a name such as `xterm.desktop`")]
    NoPath(String),
    /// The file cannot be read.
    #[error("cannot read desktop entry {}: {source}", file.display())]
    Unreadable {
        /// Which.
        file: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It is no desktop entry.
    #[error("{}: {source}", file.display())]
    Malformed {
        /// Which.
        file: PathBuf,
        /// Why.
        source: EntryError,
    },
    /// No icon.
    #[error("icon `{0}` was not found as SVG or PNG in the hicolor theme or pixmaps")]
    NoIcon(String),
}

fn list(dirs: &[PathBuf]) -> String {
    dirs.iter().map(|dir| dir.display().to_string()).collect::<Vec<_>>().join(", ")
}

impl Lookup {
    /// The directories of the XDG base directory specification, and the user's language.
    #[must_use]
    pub fn of_system(env: &Env) -> Self {
        let home = || Some(PathBuf::from(env.get("HOME")?).join(".local/share"));
        let own = env.get("XDG_DATA_HOME").map(PathBuf::from).or_else(home);
        let shared =
            env.get("XDG_DATA_DIRS").unwrap_or_else(|| "/usr/local/share:/usr/share".into());
        let dirs = own.into_iter().chain(shared.split(':').map(PathBuf::from));
        let locale = ["LC_ALL", "LC_MESSAGES", "LANG"].into_iter().find_map(|name| env.get(name));
        Self {
            data_dirs: dirs.filter(|dir| dir.is_absolute()).collect(),
            icon_root: "/usr/share".into(),
            locale: locale.as_deref().and_then(Locale::parse),
        }
    }

    /// Reads the entry `name`: an absolute path, or an id with or without `.desktop`.
    pub fn desktop_entry(&self, name: &str) -> Result<Found, LookupError> {
        let file = if name.starts_with('/') {
            PathBuf::from(name)
        } else if name.contains('/') {
            return Err(LookupError::NoPath(name.to_owned()));
        } else {
            self.find(name)?
        };
        let bytes = files::read_within(&file, DESKTOP_FILE_BYTES_MAX)
            .map_err(|source| LookupError::Unreadable { file: file.clone(), source })?;
        let entry = desktop_entry::parse(&bytes, self.locale.as_ref())
            .map_err(|source| LookupError::Malformed { file: file.clone(), source })?;
        Ok(Found { file, entry })
    }

    /// An id's dashes may stand for directories: `kde-foo.desktop` is also `kde/foo.desktop`.
    fn find(&self, id: &str) -> Result<PathBuf, LookupError> {
        let name = id.strip_suffix(".desktop").unwrap_or(id);
        let dirs: Vec<_> = self.data_dirs.iter().map(|dir| dir.join("applications")).collect();
        for dir in &dirs {
            let mut candidate = format!("{name}.desktop");
            for _ in 0..=ID_DASHES_MAX {
                let file = dir.join(&candidate);
                if file.is_file() {
                    return Ok(file);
                }
                let Some(dash) = candidate.find('-') else { break };
                candidate.replace_range(dash..=dash, "/");
            }
        }
        Err(LookupError::NoEntry { id: id.to_owned(), dirs })
    }

    /// The icon as deskd serves it: a `data:` URL and an absolute path stay, a name is looked up.
    pub fn icon(&self, icon: &str) -> Result<String, LookupError> {
        let missing = || LookupError::NoIcon(icon.to_owned());
        if icon.starts_with("data:") {
            return Ok(icon.to_owned());
        }
        if icon.starts_with('/') {
            return Path::new(icon).is_file().then(|| icon.to_owned()).ok_or_else(missing);
        }
        if icon.is_empty() || icon.contains('/') {
            return Err(missing());
        }
        let known_type =
            icon.rsplit_once('.').filter(|(_, kind)| ICON_TYPES.contains(kind) || *kind == "xpm");
        let stem = known_type.map_or(icon, |(stem, _)| stem);
        ICON_TYPES
            .iter()
            .flat_map(|kind| ICON_DIRS.map(|dir| (dir, format!("{stem}.{kind}"))))
            .map(|(dir, name)| self.icon_root.join(dir).join(name))
            .find(|file| file.is_file())
            .and_then(|file| file.into_os_string().into_string().ok())
            .ok_or_else(missing)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lookup(root: &Path) -> Lookup {
        Lookup {
            data_dirs: vec![root.into()],
            icon_root: root.into(),
            locale: Locale::parse("de_DE"),
        }
    }

    fn write(file: &Path, text: &str) {
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, text).unwrap();
    }

    #[test]
    fn an_id_is_found_also_below_a_directory_named_by_its_dashes() {
        let root = tempfile::tempdir().unwrap();
        let text = "[Desktop Entry]\nType=Application\nName=Foo\nName[de]=Fuh\nExec=foo %k\n";
        write(&root.path().join("applications/kde/foo.desktop"), text);
        let found = lookup(root.path()).desktop_entry("kde-foo").unwrap();
        assert_eq!(found.entry.name.as_deref(), Some("Fuh"));
        assert_eq!(found.argv().unwrap()[1], found.file.display().to_string());
        let missing = lookup(root.path()).desktop_entry("bar.desktop").unwrap_err().to_string();
        assert!(missing.contains("bar.desktop") && missing.contains("applications"), "{missing}");
        assert!(lookup(root.path()).desktop_entry("../foo").is_err());
    }

    #[test]
    fn an_icon_name_prefers_svg_and_then_the_largest_bitmap() {
        let root = tempfile::tempdir().unwrap();
        let icons = root.path().join("icons/hicolor");
        write(&root.path().join("pixmaps/foo.png"), "");
        write(&icons.join("48x48/apps/foo.png"), "");
        let lookup = lookup(root.path());
        assert!(lookup.icon("foo").unwrap().ends_with("48x48/apps/foo.png"));
        write(&icons.join("scalable/apps/foo.svg"), "");
        assert!(lookup.icon("foo.png").unwrap().ends_with("scalable/apps/foo.svg"));
        assert_eq!(lookup.icon("data:image/png;base64,").unwrap(), "data:image/png;base64,");
        for bad in ["bar", "", "../foo", "/nowhere/foo.svg"] {
            assert!(lookup.icon(bad).is_err(), "{bad:?} was found");
        }
    }
}
