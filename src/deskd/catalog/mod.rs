//! The watched directory of application documents: reads it, watches it, remembers what its files
//! said last.
//!
//! ```text
//!  inotify --> quiet for a moment --> read all files --> Files (last good per file) --> DirectoryApps
//! ```
//!
//! A change is always answered by reading the whole directory: a ConfigMap that is mounted changes
//! by one rename of its `..data` link, which says nothing about single files. The watch begins
//! before the first read, so nothing is missed in between.
//!
//! One thread that sleeps in the kernel: reading many files would hold up the daemon's only event
//! loop. Deliberately not here: what the applications replace (`supervisor`), and the format of a
//! document (`deskd_core::app::document`).

mod files;
mod watch;

use std::io;
use std::path::{Path, PathBuf};

use deskd_core::app::DirectoryApp;
use files::Files;
pub use files::read_text;
use watch::Watch;

/// Stack of the thread, in bytes: JSON is read recursively, at most 128 levels deep.
const STACK_BYTES: usize = 512 << 10;

/// What a look at a directory finds.
#[derive(Debug, Default)]
pub struct Found {
    /// The applications.
    pub apps: Vec<DirectoryApp>,
    /// Files that cannot be read as documents, and why.
    pub broken: Vec<(PathBuf, String)>,
}

/// Reads all files of `dir` once.
///
/// # Errors
/// When the directory cannot be read.
pub fn look(dir: &Path) -> io::Result<Found> {
    std::fs::read_dir(dir)?;
    let mut files = Files::new(dir.to_owned());
    let mut apps = files.read();
    let broken = files.broken();
    apps.retain(|app| broken.iter().all(|(file, _)| *file != app.file));
    Ok(Found { apps, broken })
}

/// An open directory.
#[derive(Debug)]
pub struct Catalog {
    watch: Watch,
    files: Files,
}

impl Catalog {
    /// Begins to watch `dir`, which need not exist yet.
    #[must_use]
    pub fn open(dir: PathBuf) -> Self {
        let mut watch = Watch::new(dir.clone());
        watch.renew();
        Self { watch, files: Files::new(dir) }
    }

    /// Reads all files.
    pub fn read(&mut self) -> Vec<DirectoryApp> {
        self.files.read()
    }

    /// Reads all files after each change and tells `changed`, on a thread of its own, until that
    /// says that nobody listens any more.
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub fn follow(
        mut self,
        mut changed: impl FnMut(Vec<DirectoryApp>) -> bool + Send + 'static,
    ) -> io::Result<()> {
        let thread = std::thread::Builder::new().name("catalog".into()).stack_size(STACK_BYTES);
        thread.spawn(move || {
            loop {
                if let Err(error) = self.watch.wait() {
                    tracing::error!(
                        "the directory of applications is not watched any more: {error}"
                    );
                    return;
                }
                if !changed(self.files.read()) {
                    return;
                }
            }
        })?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{RecvTimeoutError, channel};
    use std::time::Duration;

    use super::*;

    /// How long a change may take to be seen.
    const PATIENCE: Duration = Duration::from_secs(20);

    #[test]
    fn a_directory_that_comes_later_with_all_above_it_is_seen_and_the_follower_can_leave() {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join("not/yet/there");
        let mut catalog = Catalog::open(dir.clone());
        assert!(catalog.read().is_empty());
        let (found, seen) = channel();
        catalog
            .follow(move |apps| {
                let last = !apps.is_empty();
                found.send(apps).unwrap();
                !last
            })
            .unwrap();
        // Next to the way there: of no interest.
        std::fs::write(root.path().join("other"), "").unwrap();
        std::fs::create_dir_all(&dir).unwrap();
        let image = r#"{"Id": "1", "RepoTags": ["game:1"], "Config": {}}"#;
        std::fs::write(dir.join("game.json"), image).unwrap();
        let apps = std::iter::repeat_with(|| seen.recv_timeout(PATIENCE).unwrap());
        let apps = apps.skip_while(Vec::is_empty).take(1).flatten().collect::<Vec<_>>();
        assert_eq!(apps[0].app.id.as_str(), "game");
        assert_eq!(apps[0].file, dir.join("game.json"));
        // Its thread ends, and with it the sender.
        assert_eq!(seen.recv_timeout(PATIENCE), Err(RecvTimeoutError::Disconnected));
    }
}
