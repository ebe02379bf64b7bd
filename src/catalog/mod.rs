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
//! document (`domain::document`).

mod files;
mod watch;

use std::io;
use std::path::PathBuf;

use crate::domain::app::DirectoryApp;
use files::Files;
use watch::Watch;

/// Stack of the thread, in bytes: JSON is read recursively, at most 128 levels deep.
const STACK_BYTES: usize = 512 << 10;

/// An open directory.
#[derive(Debug)]
pub struct Catalog {
    watch: Watch,
    files: Files,
}

impl Catalog {
    /// Begins to watch `dir`, which need not exist yet.
    ///
    /// # Errors
    /// When the kernel has no inotify instance left (`fs.inotify.max_user_instances`).
    pub fn open(dir: PathBuf) -> io::Result<Self> {
        let mut watch = Watch::new(dir.clone())?;
        watch.renew();
        Ok(Self { watch, files: Files::new(dir) })
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
