//! The file that daemons are executed from.
//!
//! It is opened once, so each daemon is the same program whatever becomes of its name; and it is one that the keeper's
//! user cannot read, if that is possible. The kernel makes the process of such a file undumpable before its first
//! instruction (`would_dump`, exec.c), so no other process of the same user reads its environment, descriptors and root
//! in `/proc/PID`, not even between its start and the moment at which it could forbid that itself (`PR_SET_DUMPABLE`,
//! which execve(2) resets). A file of mode 0111 is such a file for everybody but root. Of a file that can be read the keeper
//! makes a private copy which cannot: without a name, on a disk, since in memory it would cost that of every
//! desktop.

use std::ffi::CString;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt};
use std::path::{Path, PathBuf};

use nix::libc;
use nix::sys::statfs::{FsType, TMPFS_MAGIC, fstatfs};
use nix::sys::statvfs::{FsFlags, fstatvfs};
use nix::unistd::geteuid;

use crate::files::{self, Links};
use crate::link;

/// Executable, and not readable: for everybody but root.
const UNREADABLE: u32 = 0o111;
/// Largest program that is copied, in bytes; deskd has 12 MB, with debugging information ten times that.
const COPY_BYTES_MAX: u64 = 512 << 20;
/// ramfs, as `<linux/magic.h>` has it.
const RAMFS_MAGIC: FsType = FsType(0x8584_58f6);
/// Where a copy is made if the state directory is in memory.
const COPY_DIRECTORY: &str = "/var/tmp";

/// An open program.
#[derive(Debug)]
pub struct Program(File);

impl Program {
    /// Opens the program at `path`, or a private copy of it.
    pub fn open(path: &Path, state_dir: &Path) -> io::Result<Self> {
        // Its number is part of the path that is executed, when the daemon's files have got theirs.
        let pinned = File::from(link::inheritable(files::locate(path, Links::Follow)?.as_fd())?);
        // Root can read every file, and nothing is hidden from it.
        if geteuid().is_root() {
            return Ok(Self(pinned));
        }
        let Ok(source) = File::open(own_path(&pinned)) else { return Ok(Self(pinned)) };
        let copied = [state_dir.to_owned(), PathBuf::from(COPY_DIRECTORY)]
            .iter()
            .map(|directory| copy(&source, directory))
            .find_map(Result::ok);
        if copied.is_none() {
            tracing::warn!(
                "while a daemon starts, processes of the same user can read its files in /proc: {} can be read, and \
                 there is no directory on a disk for a private copy; give it mode 0111",
                path.display()
            );
        }
        Ok(Self(copied.unwrap_or(pinned)))
    }

    /// A path that is this file in the keeper and in a child that has not executed anything yet.
    #[must_use]
    pub fn path(&self) -> CString {
        let path = own_path(&self.0).into_os_string().into_encoded_bytes();
        // Digits and slashes.
        CString::new(path).unwrap_or_default()
    }
}

fn own_path(file: &File) -> PathBuf {
    format!("/proc/self/fd/{}", file.as_raw_fd()).into()
}

fn copy(mut source: &File, directory: &Path) -> io::Result<File> {
    use io::{Read as _, Seek as _};
    let mut options = OpenOptions::new();
    options.read(true).write(true).mode(0o700).custom_flags(libc::O_TMPFILE | libc::O_EXCL);
    let mut copy = options.open(directory)?;
    let kind = fstatfs(&copy)?.filesystem_type();
    let unfit = kind == TMPFS_MAGIC
        || kind == RAMFS_MAGIC
        || fstatvfs(&copy)?.flags().contains(FsFlags::ST_NOEXEC)
        || source.metadata()?.len() > COPY_BYTES_MAX;
    if unfit {
        return Err(io::ErrorKind::Unsupported.into());
    }
    source.rewind()?;
    io::copy(&mut source.take(COPY_BYTES_MAX), &mut copy)?;
    copy.set_permissions(PermissionsExt::from_mode(UNREADABLE))?;
    // What is open for writing is not executed.
    let located = files::locate(&own_path(&copy), Links::Follow)?;
    Ok(link::inheritable(located.as_fd())?.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_stays_what_it_was_when_its_name_is_given_to_another() {
        let dir = tempfile::tempdir().unwrap();
        let name = dir.path().join("program");
        std::fs::copy("/bin/true", &name).unwrap();
        let program = Program::open(&name, dir.path()).unwrap();
        std::fs::remove_file(&name).unwrap();
        std::fs::copy("/bin/false", &name).unwrap();
        let path = program.path().into_string().unwrap();
        let end = std::process::Command::new(path).status().unwrap();
        assert!(end.success());
    }

    #[test]
    fn a_copy_cannot_be_read_and_nothing_in_memory_is_one() {
        let dir = tempfile::tempdir().unwrap();
        let source = File::open("/bin/true").unwrap();
        let copied = copy(&source, dir.path()).unwrap();
        let metadata = std::fs::metadata(own_path(&copied)).unwrap();
        assert_eq!(metadata.permissions().mode() & 0o777, UNREADABLE);
        assert!(std::process::Command::new(own_path(&copied)).status().unwrap().success());
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "without a name");
        if Path::new("/dev/shm").is_dir() {
            assert!(copy(&source, Path::new("/dev/shm")).is_err());
        }
    }
}
