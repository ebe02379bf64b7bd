//! Waits until something changed in a directory, which may come and go itself.

use std::ffi::OsString;
use std::io;
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify, InotifyEvent, WatchDescriptor};

/// A change is over when nothing happened for this long, in milliseconds: a file is written in many
/// steps, and many files are copied one by one.
const QUIET_MS: u8 = 50;
/// Changes after which it is read anyway.
const BURSTS_MAX: usize = 20;
/// Between two looks at a directory that cannot be watched, in milliseconds. Instances and watches of inotify are counted
/// for all processes of a user together, in all pods of a node.
const UNWATCHED_LOOK_MS: u16 = 10_000;

/// A directory and what is watched for its sake.
#[derive(Debug)]
pub(super) struct Watch {
    dir: PathBuf,
    /// Absent while the user has as many as may be.
    inotify: Option<Inotify>,
    /// Why it is not watched.
    unwatched: Option<Errno>,
    /// The directory itself, while it exists.
    own: Option<WatchDescriptor>,
    /// The nearest directory above it that exists, and the name in it that leads to ours.
    above: Option<(WatchDescriptor, OsString)>,
}

impl Watch {
    pub(super) fn new(dir: PathBuf) -> Self {
        Self { dir, inotify: None, unwatched: None, own: None, above: None }
    }

    /// Watches what is there now.
    pub(super) fn renew(&mut self) {
        let unwatched = self.watch().err();
        if unwatched != self.unwatched {
            let dir = self.dir.display();
            match unwatched {
                Some(errno) => tracing::warn!(
                    "the directory of applications {dir} cannot be watched ({}), so deskd looks at it every {} s: raise \
                     fs.inotify.max_user_instances and max_user_watches of the node",
                    errno.desc(),
                    UNWATCHED_LOOK_MS / 1000
                ),
                None => tracing::info!("the directory of applications {dir} is watched"),
            }
            self.unwatched = unwatched;
        }
    }

    fn watch(&mut self) -> Result<(), Errno> {
        let flags = InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK;
        let inotify = match self.inotify.take() {
            Some(inotify) => inotify,
            None => Inotify::init(flags)?,
        };
        let inotify = self.inotify.insert(inotify);
        // A directory that is given permissions later (IN_ATTRIB) can be read from then on.
        let entries = AddWatchFlags::IN_CREATE
            | AddWatchFlags::IN_CLOSE_WRITE
            | AddWatchFlags::IN_DELETE
            | AddWatchFlags::IN_MOVE
            | AddWatchFlags::IN_ATTRIB
            | AddWatchFlags::IN_ONLYDIR;
        let itself = AddWatchFlags::IN_DELETE_SELF | AddWatchFlags::IN_MOVE_SELF;
        let above = self.dir.ancestors().zip(self.dir.ancestors().skip(1));
        let above = above.filter(|(_, parent)| !parent.as_os_str().is_empty()).find_map(
            |(child, parent)| {
                let flags = AddWatchFlags::IN_CREATE | AddWatchFlags::IN_MOVE | itself;
                let descriptor = inotify.add_watch(parent, flags | AddWatchFlags::IN_ONLYDIR);
                Some((descriptor.ok()?, child.file_name()?.to_owned()))
            },
        );
        let before = [self.own, self.above.as_ref().map(|(descriptor, _)| *descriptor)];
        self.above = above;
        // After the one above it: whatever happens from here on is seen.
        let own = inotify.add_watch(self.dir.as_path(), entries | itself);
        self.own = own.ok();
        let now = [self.own, self.above.as_ref().map(|(descriptor, _)| *descriptor)];
        for gone in before.into_iter().flatten().filter(|before| !now.contains(&Some(*before))) {
            // The kernel has ended it already when its directory was removed.
            let _ = inotify.rm_watch(gone);
        }
        match own {
            Err(Errno::ENOENT | Errno::ENOTDIR) if self.above.is_some() => Ok(()),
            own => own.map(drop),
        }
    }

    /// Returns when something changed and it is quiet again.
    pub(super) fn wait(&mut self) -> io::Result<()> {
        let timeout = match self.unwatched {
            None => PollTimeout::NONE,
            Some(_) => PollTimeout::from(UNWATCHED_LOOK_MS),
        };
        while self.changed(timeout)? == Some(false) {}
        for _ in 0..BURSTS_MAX {
            if self.changed(PollTimeout::from(QUIET_MS))?.is_none() {
                break;
            }
        }
        self.renew();
        Ok(())
    }

    /// Whether the next events are about the directory; nothing when there are none in time.
    fn changed(&self, timeout: PollTimeout) -> io::Result<Option<bool>> {
        let mut fd = self.inotify.as_ref().map(|it| PollFd::new(it.as_fd(), PollFlags::POLLIN));
        match poll(fd.as_mut_slice(), timeout) {
            Ok(0) => return Ok(None),
            Ok(_) | Err(Errno::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
        let Some(inotify) = &self.inotify else { return Ok(None) };
        match inotify.read_events() {
            Ok(events) => Ok(Some(events.iter().any(|event| self.concerns(event)))),
            Err(Errno::EAGAIN | Errno::EINTR) => Ok(Some(false)),
            Err(error) => Err(error.into()),
        }
    }

    fn concerns(&self, event: &InotifyEvent) -> bool {
        if event.mask.contains(AddWatchFlags::IN_Q_OVERFLOW) || Some(event.wd) == self.own {
            return true;
        }
        self.above.as_ref().is_some_and(|(above, name)| {
            // Without a name it is about the directory above itself.
            *above == event.wd && event.name.as_ref().is_none_or(|changed| changed == name)
        })
    }
}

/// Whether `path` is one of the files that are read: a ConfigMap's own entries begin with dots.
pub(super) fn is_document(path: &Path) -> bool {
    let hidden = path.file_name().is_none_or(|name| name.as_encoded_bytes().starts_with(b"."));
    !hidden && path.extension().is_some_and(|extension| extension == "json")
}
