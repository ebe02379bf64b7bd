//! The system calls of Landlock, as `linux/landlock.h` declares them. An unknown one is ENOSYS; a
//! kernel that has it turned off says EOPNOTSUPP.

#![expect(unsafe_code, reason = "Landlock's system calls, which no C library has")]

use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd, RawFd};
use std::ptr;

use nix::libc::{self, c_int, c_long, c_uint};

const CREATE_RULESET: c_long = 444;
const ADD_RULE: c_long = 445;
const RESTRICT_SELF: c_long = 446;

const CREATE_RULESET_VERSION: c_uint = 1;
const RULE_PATH_BENEATH: c_int = 1;

const WRITE_FILE: u64 = 1 << 1;
const READ_FILE: u64 = 1 << 2;
/// REMOVE_DIR, REMOVE_FILE, the seven MAKE_* and REFER: bits 4 to 13.
const CHANGE_DIRECTORY: u64 = 0x3ff0;
const REFER: u64 = 1 << 13;
const TRUNCATE: u64 = 1 << 14;
/// Version of [`TRUNCATE`]: Linux 6.2.
const ABI_TRUNCATE: u32 = 3;
const SCOPE_SIGNAL: u64 = 1 << 1;

/// `struct landlock_ruleset_attr` of ABI 6; a shorter one is what older kernels know.
#[repr(C)]
struct Attributes {
    files: u64,
    network: u64,
    scoped: u64,
}

/// `struct landlock_path_beneath_attr`, which is packed.
#[repr(C, packed)]
struct PathBeneath {
    access: u64,
    parent: RawFd,
}

/// The version that this kernel has; 0: none.
pub(super) fn abi() -> u32 {
    let none = ptr::null::<Attributes>();
    // SAFETY: with this flag both others must be zero; nothing is written.
    let version = unsafe { libc::syscall(CREATE_RULESET, none, 0_usize, CREATE_RULESET_VERSION) };
    u32::try_from(version).unwrap_or(0)
}

/// What a program may do to files where a ruleset permits it. Names can be listed everywhere.
fn files(abi: u32) -> u64 {
    let truncate = if abi >= ABI_TRUNCATE { TRUNCATE } else { 0 };
    WRITE_FILE | READ_FILE | CHANGE_DIRECTORY | truncate
}

/// A ruleset under construction.
pub(super) struct Ruleset {
    fd: OwnedFd,
    files: u64,
}

impl Ruleset {
    /// Forbids all use of files that no rule permits.
    pub(super) fn of_files(abi: u32) -> io::Result<Self> {
        let files = files(abi);
        Ok(Self {
            fd: create(&Attributes { files, network: 0, scoped: 0 }, size_of::<u64>())?,
            files,
        })
    }

    /// Forbids signals to what is outside, and nothing else.
    ///
    /// Where a ruleset of files follows inside, moving files between directories is permitted here
    /// too: a kernel takes what is not mentioned for forbidden then. That costs the right to mount,
    /// which the inner ruleset takes anyway.
    pub(super) fn of_signals(files_follow: bool) -> io::Result<Self> {
        let files = if files_follow { REFER } else { 0 };
        let attributes = Attributes { files, network: 0, scoped: SCOPE_SIGNAL };
        Ok(Self { fd: create(&attributes, size_of::<Attributes>())?, files })
    }

    /// Permits everything below a directory.
    pub(super) fn permit_directory(&self, directory: BorrowedFd<'_>) -> io::Result<()> {
        self.permit(directory, self.files)
    }

    /// Permits to read and write what is no directory.
    pub(super) fn permit_file(&self, file: BorrowedFd<'_>) -> io::Result<()> {
        self.permit(file, self.files & (READ_FILE | WRITE_FILE | TRUNCATE))
    }

    /// Permits to read a file.
    pub(super) fn permit_reading(&self, file: BorrowedFd<'_>) -> io::Result<()> {
        self.permit(file, READ_FILE)
    }

    fn permit(&self, at: BorrowedFd<'_>, access: u64) -> io::Result<()> {
        let rule = PathBeneath { access, parent: at.as_raw_fd() };
        let (fd, no_flags) = (self.fd.as_raw_fd(), 0);
        // SAFETY: both descriptors are open, and `rule` is of the type that the number names.
        let done =
            unsafe { libc::syscall(ADD_RULE, fd, RULE_PATH_BENEATH, &raw const rule, no_flags) };
        if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }

    pub(super) fn finish(self) -> OwnedFd {
        self.fd
    }
}

fn create(attributes: &Attributes, bytes: usize) -> io::Result<OwnedFd> {
    // SAFETY: `bytes` is at most the size of `attributes`; the kernel returns a new descriptor.
    unsafe {
        let fd = libc::syscall(CREATE_RULESET, ptr::from_ref(attributes), bytes, 0);
        match c_int::try_from(fd) {
            Ok(fd) if fd >= 0 => Ok(OwnedFd::from_raw_fd(fd)),
            _ => Err(io::Error::last_os_error()),
        }
    }
}

/// Puts this thread, and what it will start, behind the ruleset; needs no_new_privs. Only a system
/// call: a child that borrows its parent's memory may make it. False: errno says why not.
pub(crate) fn restrict_self(ruleset: RawFd) -> bool {
    // SAFETY: no pointers; a wrong descriptor is EBADF.
    unsafe { libc::syscall(RESTRICT_SELF, ruleset, 0) == 0 }
}
