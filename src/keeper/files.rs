//! Opening files that somebody else may have put there: of users, of volumes, of a damaged state
//! directory.
//!
//! A name may lead to a FIFO, a device, a directory, a link, or a file larger than memory; a network
//! home may not answer at all. So nothing is opened that waits, nothing is read that is no regular
//! file, nothing without a limit; and where a file system can hang, a thread waits for it and nobody
//! else ([`read_within`]).

use std::collections::BTreeMap;
use std::fs::{DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, ErrorKind, Read as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{
    DirBuilderExt as _, FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _,
    PermissionsExt as _,
};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use nix::fcntl::OFlag;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// Reads that may hang at once; a file system that hangs is not asked again before it answered.
const HANGING_MAX: usize = 16;
/// How long a file system may take for one file.
pub const ANSWER_TIME_MAX: Duration = Duration::from_secs(3);
/// How long a pipe that a person named may give nothing.
pub const PIECE_TIME_MAX: Timespec = Timespec { tv_sec: 10, tv_nsec: 0 };
/// Names tried for what is set aside; the oldest makes room after that.
const ASIDE_MAX: u32 = 10;
/// Stack of a reading thread, in bytes.
const STACK_BYTES: usize = 64 << 10;

/// Files that are being read by [`read_within`], since when; one of them was read.
static READS: Mutex<BTreeMap<PathBuf, Instant>> = Mutex::new(BTreeMap::new());
static READ: Condvar = Condvar::new();

/// Whether a name may be a symbolic link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Links {
    /// Files of users and volumes: a mounted Secret is links.
    Follow,
    /// deskd's own files are none.
    Refuse,
}

/// Opens with `options`, without waiting; only a regular file.
///
/// # Errors
/// As open(2); `InvalidInput` when it is no regular file.
pub fn open_with(options: &OpenOptions, path: &Path, links: Links) -> io::Result<File> {
    let mut flags = OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
    if links == Links::Refuse {
        flags |= OFlag::O_NOFOLLOW;
    }
    let mut options = options.clone();
    let file = options.custom_flags(flags.bits()).open(path).map_err(|error| {
        // ELOOP says no more than "too many levels"; ENXIO is a FIFO or a socket without a reader.
        match error.raw_os_error() {
            Some(nix::libc::ELOOP) if links == Links::Refuse => no_file("it is a symbolic link"),
            Some(nix::libc::ENXIO) => no_file("it is not a regular file"),
            Some(nix::libc::EISDIR) => no_file("it is a directory"),
            _ => error,
        }
    })?;
    let kind = file.metadata()?.file_type();
    if kind.is_file() {
        return Ok(file);
    }
    Err(no_file(if kind.is_dir() {
        "it is a directory"
    } else if kind.is_fifo() {
        "it is a FIFO"
    } else if kind.is_char_device() || kind.is_block_device() {
        "it is a device"
    } else {
        "it is not a regular file"
    }))
}

/// A descriptor of whatever is at `path`, which is not opened itself (`O_PATH`): for what asks about it,
/// executes it, or makes a rule about it. [`Links::Refuse`]: of a link itself.
///
/// Not by [`OpenOptions`]: with musl that takes `O_PATH`, which is also its `O_SEARCH`, for a mode of
/// access, and leaves it out.
///
/// # Errors
/// As open(2).
pub fn locate(path: &Path, links: Links) -> io::Result<File> {
    let mut flags = OFlag::O_PATH | OFlag::O_CLOEXEC;
    if links == Links::Refuse {
        flags |= OFlag::O_NOFOLLOW;
    }
    Ok(nix::fcntl::open(path, flags, nix::sys::stat::Mode::empty())?.into())
}

/// Opens for reading; see [`open_with`].
///
/// # Errors
/// The same.
pub fn open(path: &Path, links: Links) -> io::Result<File> {
    open_with(OpenOptions::new().read(true), path, links)
}

/// Reads a whole file of at most `bytes_max`.
///
/// # Errors
/// As [`open`]; `FileTooLarge`.
pub fn read(path: &Path, bytes_max: u64, links: Links) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    open(path, links)?.take(bytes_max.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > bytes_max {
        return Err(too_large(bytes_max));
    }
    Ok(bytes)
}

/// The same for files of users, on a thread that may be left behind: fails after [`ANSWER_TIME_MAX`], and
/// at once while an earlier read of the same file has not come back in that time.
///
/// # Errors
/// As [`read`]; `TimedOut`.
pub fn read_within(path: &Path, bytes_max: u64) -> io::Result<Vec<u8>> {
    let hangs = || io::Error::new(ErrorKind::TimedOut, "its file system does not answer");
    {
        let mut reads = READS.lock().unwrap_or_else(PoisonError::into_inner);
        // Somebody else who reads it now is no sign that it hangs.
        while let Some(begun) = reads.get(path) {
            let left = ANSWER_TIME_MAX.saturating_sub(begun.elapsed());
            if left.is_zero() {
                return Err(hangs());
            }
            reads = READ.wait_timeout(reads, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        if reads.len() >= HANGING_MAX {
            return Err(hangs());
        }
        reads.insert(path.to_owned(), Instant::now());
    }
    let (done, outcome) = channel();
    let own = path.to_owned();
    let back = |path: &Path| {
        READS.lock().unwrap_or_else(PoisonError::into_inner).remove(path);
        READ.notify_all();
    };
    let thread = std::thread::Builder::new().name("file".into()).stack_size(STACK_BYTES);
    let started = thread.spawn(move || {
        let bytes = read(&own, bytes_max, Links::Follow);
        back(&own);
        // Nobody waits any more.
        let _ = done.send(bytes);
    });
    if let Err(error) = started {
        back(path);
        return Err(error);
    }
    outcome.recv_timeout(ANSWER_TIME_MAX).map_err(|error| match error {
        RecvTimeoutError::Timeout => hangs(),
        RecvTimeoutError::Disconnected => io::Error::other("the reading thread ended"),
    })?
}

/// Reads what a person named. It may be a pipe (`<(...)`), of which each next piece is waited for
/// [`PIECE_TIME_MAX`] at most.
///
/// # Errors
/// As open(2) and read(2); `FileTooLarge`; `TimedOut`.
pub fn read_named(path: &Path, bytes_max: u64) -> io::Result<Vec<u8>> {
    read_pieces(path, bytes_max, &PIECE_TIME_MAX)
}

fn read_pieces(path: &Path, bytes_max: u64, piece_time: &Timespec) -> io::Result<Vec<u8>> {
    let flags = OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
    let mut file = OpenOptions::new().read(true).custom_flags(flags.bits()).open(path)?;
    let mut bytes = Vec::new();
    loop {
        let mut ready = [PollFd::new(&file, PollFlags::IN)];
        match poll(&mut ready, Some(piece_time)) {
            Ok(0) => {
                return Err(io::Error::new(ErrorKind::TimedOut, "nobody writes into this pipe"));
            }
            Ok(_) => {}
            Err(rustix::io::Errno::INTR) => continue,
            Err(error) => return Err(error.into()),
        }
        // Up to the end, or to where there is nothing yet.
        let read = (&mut file).take(bytes_max + 1 - bytes.len() as u64).read_to_end(&mut bytes);
        match read {
            _ if bytes.len() as u64 > bytes_max => return Err(too_large(bytes_max)),
            Ok(_) => return Ok(bytes),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
}

fn too_large(bytes_max: u64) -> io::Error {
    let text = match bytes_max >> 20 {
        0 => format!("it is larger than {} KiB", bytes_max >> 10),
        mib => format!("it is larger than {mib} MiB"),
    };
    io::Error::new(ErrorKind::FileTooLarge, text)
}

/// Renames what cannot be used, whatever it is, so that deskd can go on and somebody can look at it:
/// `NAME.damaged-1`. The log says so.
///
/// # Errors
/// As rename(2).
pub fn set_aside(path: &Path, why: &io::Error) -> io::Result<()> {
    let aside = |number: u32| {
        let mut name = path.as_os_str().to_owned();
        name.push(format!(".damaged-{number}"));
        PathBuf::from(name)
    };
    let free = (1..=ASIDE_MAX).map(aside).find(|to| to.symlink_metadata().is_err());
    let to = free.unwrap_or_else(|| aside(ASIDE_MAX));
    std::fs::rename(path, &to)?;
    tracing::warn!(
        "{} could not be used ({why}) and was renamed to {}: check it, then remove it",
        path.display(),
        to.display()
    );
    Ok(())
}

/// Gives deskd back what the mode of a file or directory of its own keeps from it, and says so; whether it
/// did.
pub fn regain(path: &Path) -> bool {
    let regained = || -> io::Result<bool> {
        let file = locate(path, Links::Refuse)?;
        let metadata = file.metadata()?;
        let wanted = match metadata.file_type() {
            kind if kind.is_dir() => 0o700,
            kind if kind.is_file() => 0o600,
            _ => return Ok(false),
        };
        let mode = metadata.mode() & 0o777;
        let own = metadata.uid() == nix::unistd::geteuid().as_raw();
        if !own || mode & wanted == wanted {
            return Ok(false);
        }
        // fchmod(2) does not take a descriptor that only locates.
        let itself = format!("/proc/self/fd/{}", file.as_raw_fd());
        std::fs::set_permissions(itself, Permissions::from_mode(wanted))?;
        let path = path.display();
        tracing::warn!(
            "{path} had mode {mode:04o}, with which deskd cannot use it; it has {wanted:04o} now"
        );
        Ok(true)
    };
    regained().unwrap_or(false)
}

/// Opens a file of deskd's own; what cannot be one is set aside first.
///
/// # Errors
/// As [`open_with`], [`set_aside`].
pub fn open_own(options: &OpenOptions, path: &Path) -> io::Result<File> {
    match open_with(options, path, Links::Refuse) {
        Err(error) if error.kind() == ErrorKind::PermissionDenied && regain(path) => {
            open_with(options, path, Links::Refuse)
        }
        Err(error) if error.kind() == ErrorKind::InvalidInput => {
            set_aside(path, &error)?;
            open_with(options, path, Links::Refuse)
        }
        other => other,
    }
}

/// Makes a directory of mode 0700 and those above it; what stands in its place is set aside, and one that
/// deskd cannot use is mended. False: it was there.
///
/// # Errors
/// As mkdir(2), [`set_aside`].
pub fn make_dir(path: &Path) -> io::Result<bool> {
    let make = || DirBuilder::new().mode(0o700).create(path).map(|()| true);
    match make() {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            DirBuilder::new().recursive(true).mode(0o700).create(path).map(|()| true)
        }
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            if path.metadata().is_ok_and(|it| it.is_dir()) {
                regain(path);
                return Ok(false);
            }
            set_aside(path, &error)?;
            make()
        }
        other => other,
    }
}

/// Removes what is at `path`; a directory is set aside instead.
///
/// # Errors
/// As unlink(2), [`set_aside`].
pub fn clear(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) if path.symlink_metadata().is_ok_and(|it| it.is_dir()) => {
            set_aside(path, &error)?;
            Ok(())
        }
        other => other,
    }
}

/// Renames over what is at `to`; a directory is set aside first.
///
/// # Errors
/// As rename(2), [`set_aside`].
pub fn replace(from: &Path, to: &Path) -> io::Result<()> {
    if to.symlink_metadata().is_ok_and(|it| it.is_dir()) {
        set_aside(to, &no_file("it is a directory"))?;
    }
    std::fs::rename(from, to)
}

fn no_file(what: &'static str) -> io::Error {
    io::Error::new(ErrorKind::InvalidInput, what)
}

#[cfg(test)]
mod tests {
    use nix::sys::stat::Mode;

    use super::*;

    /// Everything that may stand where a file should.
    fn others(dir: &Path) -> Vec<PathBuf> {
        let path = |name: &str| dir.join(name);
        std::fs::create_dir(path("directory")).unwrap();
        nix::unistd::mkfifo(&path("fifo"), Mode::S_IRWXU).unwrap();
        std::os::unix::net::UnixListener::bind(path("socket")).unwrap();
        std::os::unix::fs::symlink("/dev/zero", path("device")).unwrap();
        ["directory", "fifo", "socket", "device"].map(path).to_vec()
    }

    #[test]
    fn what_a_person_named_may_be_a_pipe_and_a_silent_one_is_given_up() {
        let dir = tempfile::tempdir().unwrap();
        let fifo = dir.path().join("fifo");
        nix::unistd::mkfifo(&fifo, Mode::S_IRWXU).unwrap();
        let silent = read_pieces(&fifo, 10, &Timespec { tv_sec: 0, tv_nsec: 1_000_000 });
        assert_eq!(silent.unwrap_err().kind(), ErrorKind::TimedOut);
        let write = |text: &'static [u8]| {
            let fifo = fifo.clone();
            std::thread::spawn(move || std::fs::write(fifo, text))
        };
        let writer = write(b"0123456789");
        assert_eq!(read_named(&fifo, 10).unwrap(), b"0123456789");
        writer.join().unwrap().unwrap();
        let writer = write(b"0123456789a");
        assert_eq!(read_named(&fifo, 10).unwrap_err().kind(), ErrorKind::FileTooLarge);
        writer.join().unwrap().unwrap();
        assert_eq!(read_named(Path::new("/dev/null"), 10).unwrap(), b"");
        let endless = read_named(Path::new("/dev/zero"), 10).unwrap_err();
        assert_eq!(endless.kind(), ErrorKind::FileTooLarge);
        assert!(read_named(dir.path(), 10).is_err());
    }

    #[test]
    fn a_file_that_many_read_at_once_does_not_hang() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        std::fs::write(&path, "text").unwrap();
        let read = || (0..100).all(|_| read_within(&path, 10).is_ok_and(|it| it == b"text"));
        std::thread::scope(|scope| {
            let readers: Vec<_> = (0..8).map(|_| scope.spawn(read)).collect();
            assert!(readers.into_iter().all(|reader| reader.join().unwrap()));
        });
    }

    #[test]
    fn what_is_no_regular_file_is_refused_at_once_and_can_be_set_aside() {
        let dir = tempfile::tempdir().unwrap();
        for path in others(dir.path()) {
            let begun = Instant::now();
            let why = read_within(&path, 10).unwrap_err();
            assert_eq!(why.kind(), ErrorKind::InvalidInput, "{}: {why}", path.display());
            assert!(open(&path, Links::Refuse).is_err());
            assert!(begun.elapsed() < Duration::from_secs(30));
            set_aside(&path, &why).unwrap();
            assert!(path.symlink_metadata().is_err());
        }
    }

    #[test]
    fn a_limit_and_links_are_kept() {
        let dir = tempfile::tempdir().unwrap();
        let (file, link) = (dir.path().join("file"), dir.path().join("link"));
        std::fs::write(&file, "12345").unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        assert_eq!(read(&file, 5, Links::Refuse).unwrap(), b"12345");
        assert_eq!(read(&file, 4, Links::Refuse).unwrap_err().kind(), ErrorKind::FileTooLarge);
        assert_eq!(read(&link, 5, Links::Follow).unwrap(), b"12345");
        assert!(read(&link, 5, Links::Refuse).unwrap_err().to_string().contains("link"));
    }

    #[test]
    fn only_so_much_is_set_aside() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        for _ in 0..15 {
            std::fs::write(&path, "").unwrap();
            set_aside(&path, &no_file("broken")).unwrap();
        }
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), ASIDE_MAX as usize);
    }
}
