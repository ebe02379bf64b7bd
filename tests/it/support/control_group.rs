//! Control groups of whichever version this machine has.

use std::path::{Path, PathBuf};

use super::wait;

/// One that is empty at first, gone with the value.
pub(crate) struct ControlGroup(PathBuf);

impl ControlGroup {
    /// Of a controller (`memory`, `pids`). Nothing where none can be made.
    pub(crate) fn make(controller: &str, name: &str) -> Option<Self> {
        let first = Path::new("/sys/fs/cgroup").join(controller);
        let all = if first.is_dir() { &first } else { Path::new("/sys/fs/cgroup") };
        let path = all.join(name);
        std::fs::create_dir(&path).ok().map(|()| Self(path))
    }

    /// Sets the first of these files that it has.
    pub(crate) fn limit(&self, files: &[&str], value: u64) {
        let file = files.iter().map(|file| self.0.join(file)).find(|path| path.exists());
        std::fs::write(file.expect("its controller"), value.to_string()).expect("a limit");
    }

    pub(crate) fn take(&self, pid: u32) {
        std::fs::write(self.procs(), pid.to_string()).expect("a process moved");
    }

    /// The file to which a process writes its number to move there.
    pub(crate) fn procs(&self) -> PathBuf {
        self.0.join("cgroup.procs")
    }
}

impl Drop for ControlGroup {
    fn drop(&mut self) {
        let remove = || std::fs::remove_dir(&self.0).ok();
        if std::thread::panicking() {
            remove();
        } else {
            // Possible once its processes are gone.
            wait::until("an empty control group", remove);
        }
    }
}
