//! The files of the directory, and what each said when it could be read last.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use deskd_core::app::document;
use deskd_core::app::{App, AppSource, DirectoryApp};
use deskd_core::id::AppId;
use deskd_keeper::files;

/// Most files that are read; the rest is reported.
const FILES_MAX: usize = 1000;
/// Largest file, in bytes.
const FILE_BYTES_MAX: u64 = 16 << 20;

/// What is known of one file.
#[derive(Debug, Default)]
struct Known {
    /// Of the last time it could be read.
    apps: Vec<App>,
    /// Why it cannot be read now.
    error: Option<String>,
}

/// All files.
#[derive(Debug)]
pub(super) struct Files {
    dir: PathBuf,
    /// By path, which is the order in which they count.
    known: BTreeMap<PathBuf, Known>,
    /// What was said last about the directory itself.
    trouble: Option<String>,
}

impl Files {
    pub(super) fn new(dir: PathBuf) -> Self {
        Self { dir, known: BTreeMap::new(), trouble: None }
    }

    /// Reads the directory anew.
    pub(super) fn read(&mut self) -> Vec<DirectoryApp> {
        match self.list() {
            Ok(paths) => {
                self.known.retain(|path, _| paths.contains(path));
                for path in paths {
                    self.read_file(path);
                }
            }
            Err(error) => {
                if error.kind() == io::ErrorKind::NotFound {
                    self.known.clear();
                }
                self.say(Some(format!("cannot be read: {error}")));
            }
        }
        self.merged()
    }

    /// Files that cannot be read now, and why.
    pub(super) fn broken(&self) -> Vec<(PathBuf, String)> {
        let error = |(path, known): (&PathBuf, &Known)| Some((path.clone(), known.error.clone()?));
        self.known.iter().filter_map(error).collect()
    }

    fn list(&mut self) -> io::Result<Vec<PathBuf>> {
        let mut paths = Vec::new();
        for entry in std::fs::read_dir(&self.dir)? {
            let path = entry?.path();
            if super::watch::is_document(&path) {
                paths.push(path);
            }
        }
        paths.sort();
        let too_many = paths.len() > FILES_MAX;
        self.say(too_many.then(|| {
            format!("has {} files, and only the first {FILES_MAX} are read", paths.len())
        }));
        paths.truncate(FILES_MAX);
        Ok(paths)
    }

    /// Says what is wrong with the directory, once.
    fn say(&mut self, trouble: Option<String>) {
        if self.trouble != trouble {
            let dir = self.dir.display();
            match &trouble {
                Some(what) => tracing::warn!("the directory of applications {dir} {what}"),
                None => tracing::info!("the directory of applications {dir} is read"),
            }
            self.trouble = trouble;
        }
    }

    fn read_file(&mut self, path: PathBuf) {
        let text = match read_text(&path, FILE_BYTES_MAX) {
            // It was removed meanwhile, or kubelet is about to remove its link.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.known.remove(&path);
                return;
            }
            result => result.map_err(|error| error.to_string()),
        };
        let apps = text.and_then(|text| {
            document::parse(&text, AppSource::Directory).map_err(|error| error.to_string())
        });
        let known = self.known.entry(path.clone()).or_default();
        match apps {
            Ok(apps) => {
                if known.error.take().is_some() {
                    tracing::info!("{} can be read again", path.display());
                }
                known.apps = apps;
            }
            Err(error) if known.error.as_ref() == Some(&error) => {}
            Err(error) => {
                tracing::warn!("{} is not used: {error}", path.display());
                known.error = Some(error);
            }
        }
    }

    /// What all files say together: a later one counts more, a broken one without any applications
    /// stands for itself unless something real has its name.
    fn merged(&self) -> Vec<DirectoryApp> {
        let mut apps: BTreeMap<AppId, DirectoryApp> = BTreeMap::new();
        for (path, known) in &self.known {
            if let (true, Some(error)) = (known.apps.is_empty(), &known.error)
                && let Some(app) = placeholder(path, error)
            {
                apps.insert(app.id.clone(), DirectoryApp { app, file: path.clone() });
            }
        }
        for (path, known) in &self.known {
            for app in &known.apps {
                let mut app = app.clone();
                if let Some(error) = &known.error {
                    let file = path.display();
                    app.problems.insert(
                        0,
                        format!(
                            "{file} cannot be read any more, this is what it said before: {error}"
                        ),
                    );
                }
                let hidden = apps.get(&app.id).filter(|other| other.app.container.is_some());
                if let Some(other) = hidden {
                    app.problems.push(format!(
                        "{} describes it too; {} comes later and counts",
                        other.file.display(),
                        path.display()
                    ));
                }
                apps.insert(app.id.clone(), DirectoryApp { app, file: path.clone() });
            }
        }
        apps.into_values().collect()
    }
}

/// Stands for a file that never could be read, so that it is seen where applications are looked at.
fn placeholder(path: &Path, error: &str) -> Option<App> {
    let name = path.file_stem()?.to_string_lossy();
    let mut app = document::placeholder(&name, AppSource::Directory)?;
    app.problems.push(format!("{} cannot be read: {error}", path.display()));
    Some(app)
}

/// The text of a file of at most so many bytes.
///
/// # Errors
/// When it cannot be read, is larger, or is no UTF-8.
pub fn read_text(path: &Path, bytes_max: u64) -> io::Result<String> {
    let bytes = files::read_within(path, bytes_max)?;
    String::from_utf8(bytes).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

#[cfg(test)]
mod tests {
    use super::*;

    const IMAGE: &str =
        r#"{"Id": "1", "RepoTags": ["TAG:1"], "Config": {"Labels": {"oc.cat": "c"}}}"#;

    fn ids(apps: &[DirectoryApp]) -> Vec<String> {
        apps.iter().map(|found| found.app.id.to_string()).collect()
    }

    #[test]
    fn a_file_that_breaks_keeps_its_applications_and_says_so() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap();
        let mut files = Files::new(dir.path().to_owned());
        write("a.json", &IMAGE.replace("TAG", "a"));
        write("b.json", "{}");
        write(".hidden.json", "{}");
        write("notes.txt", "{}");
        let apps = files.read();
        assert_eq!(ids(&apps), ["a", "b"]);
        assert!(apps[0].app.problems.is_empty(), "{:?}", apps[0]);
        assert!(apps[1].app.problems[0].contains("b.json") && apps[1].app.container.is_none());

        write("a.json", "{");
        write("b.json", &IMAGE.replace("TAG", "real"));
        let apps = files.read();
        assert_eq!(ids(&apps), ["a", "real"]);
        assert!(apps[0].app.problems[0].contains("a.json cannot be read any more"));
        assert_eq!(apps[0].app.container.as_ref().unwrap().image, "a:1");

        std::fs::remove_file(dir.path().join("a.json")).unwrap();
        assert_eq!(ids(&files.read()), ["real"]);
        std::fs::remove_dir_all(dir.path()).unwrap();
        assert!(files.read().is_empty());
    }

    #[test]
    fn of_two_files_with_one_application_the_later_counts() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap();
        write("1.json", &IMAGE.replace("TAG", "registry/same"));
        write("2.json", &IMAGE.replace("TAG", "same"));
        write("same.json", "broken");
        let apps = Files::new(dir.path().to_owned()).read();
        assert_eq!(ids(&apps), ["same"]);
        assert!(apps[0].file.ends_with("2.json"));
        assert!(apps[0].app.problems[0].contains("1.json"), "{:?}", apps[0].app.problems);
    }

    #[test]
    fn what_is_no_readable_file_does_not_stop_the_others() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        std::fs::create_dir(path("dir.json")).unwrap();
        nix::unistd::mkfifo(&path("fifo.json"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        std::os::unix::fs::symlink("nowhere", path("link.json")).unwrap();
        std::fs::write(path("bytes.json"), b"\xff").unwrap();
        std::fs::write(path("good.json"), IMAGE.replace("TAG", "good")).unwrap();
        let apps = Files::new(dir.path().to_owned()).read();
        assert_eq!(ids(&apps), ["bytes", "dir", "fifo", "good"]);
    }
}
