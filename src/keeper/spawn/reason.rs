//! Why execve(2) refused, in words: errno alone is ambiguous (ENOENT is also a missing
//! interpreter, EACCES also a directory), so the file is looked at.

use std::ffi::{CStr, CString, OsStr};
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::sys::statvfs::{FsFlags, statvfs};

use super::command::Command;
use crate::elf;
use deskd_core::wire::SpawnError;

/// Bytes of a file that are looked at; the kernel itself looks at 256, a loader's name comes soon
/// after an ELF file's header.
const HEAD_BYTES: u64 = 4096;

/// Explains why none of a command's candidates could be executed; `index` is the one whose errno
/// counts (execvp(3): the last one, but one that was forbidden is remembered).
pub(super) fn of_exec(command: &Command, index: usize, errno: Errno) -> SpawnError {
    let cwd = command.cwd.as_deref().unwrap_or(c".");
    let mut tried = command.candidates.get(index).map(CString::as_c_str);
    if errno == Errno::ENOENT && command.searched.is_some() {
        // A file that is there but could not be loaded looks like one that is not there.
        tried = command.candidates.iter().map(CString::as_c_str).find(|file| {
            std::fs::metadata(resolve(cwd, file)).is_ok_and(|metadata| metadata.is_file())
        });
    }
    let program = command.argv.first().map_or(c"", |program| program.as_c_str());
    match (tried, &command.searched) {
        (Some(file), _) => SpawnError::Exec {
            file: file.to_string_lossy().into_owned(),
            errno: errno as i32,
            reason: describe(&resolve(cwd, file), errno, command.argument_bytes()),
        },
        (None, searched) => SpawnError::NotInPath {
            program: program.to_string_lossy().into_owned(),
            path: searched.clone().unwrap_or_default(),
        },
    }
}

fn resolve(cwd: &CStr, file: &CStr) -> PathBuf {
    Path::new(OsStr::from_bytes(cwd.to_bytes())).join(OsStr::from_bytes(file.to_bytes()))
}

fn describe(file: &Path, errno: Errno, argument_bytes: usize) -> String {
    match errno {
        Errno::ENOENT => not_found(file),
        Errno::EACCES => forbidden(file),
        Errno::ENOEXEC => not_executable(file),
        Errno::ETXTBSY => "another process has it open for writing".to_owned(),
        Errno::E2BIG => format!("arguments and environment are too long ({argument_bytes} bytes)"),
        Errno::ENOTDIR => "a part of its path is not a directory".to_owned(),
        Errno::ELOOP => "too many symbolic links".to_owned(),
        other => other.desc().to_lowercase(),
    }
}

fn not_found(file: &Path) -> String {
    if let Ok(target) = std::fs::read_link(file)
        && !file.exists()
    {
        return format!("it is a symbolic link to {}, which does not exist", target.display());
    }
    let Some(head) = head(file) else { return "no such file".to_owned() };
    if let Some(interpreter) = interpreter(&head) {
        return format!("its interpreter {} does not exist", lossy(interpreter));
    }
    match elf::parse(&head).and_then(|elf| elf.loader) {
        Some(loader) => format!(
            "its loader {} does not exist (it may be built for another C library or machine)",
            lossy(loader)
        ),
        None => "a file that it needs to start does not exist".to_owned(),
    }
}

fn forbidden(file: &Path) -> String {
    let Ok(metadata) = std::fs::metadata(file) else {
        return "permission denied: this user may not enter a directory of its path".to_owned();
    };
    let kind = metadata.file_type();
    if kind.is_dir() {
        return "it is a directory".to_owned();
    }
    if !kind.is_file() {
        let what = if kind.is_socket() { "a socket" } else { "a device or pipe" };
        return format!("it is {what}, not a regular file");
    }
    if statvfs(file).is_ok_and(|fs| fs.flags().contains(FsFlags::ST_NOEXEC)) {
        return "it is on a file system that is mounted noexec".to_owned();
    }
    let mode = metadata.permissions().mode() & 0o7777;
    if mode & 0o111 == 0 {
        return format!("permission denied: it has no execute permission (mode {mode:04o})");
    }
    if let Some(interpreter) = head(file).as_deref().and_then(interpreter) {
        return format!(
            "permission denied: this user may not execute it or its interpreter {} (mode \
             {mode:04o})",
            lossy(interpreter)
        );
    }
    format!("permission denied: this user may not execute it (mode {mode:04o})")
}

fn not_executable(file: &Path) -> String {
    let Some(head) = head(file) else { return Errno::ENOEXEC.desc().to_lowercase() };
    if head.is_empty() {
        return "it is empty".to_owned();
    }
    match elf::parse(&head) {
        Some(elf) => {
            let built_for = elf::machine_name(elf.machine, elf.bits);
            let this = std::env::consts::ARCH;
            if built_for == this {
                "its ELF header is damaged".to_owned()
            } else {
                format!("it is built for {built_for}, and this machine is {this}")
            }
        }
        None => "it is not a program (no ELF header) and has no `#!` line".to_owned(),
    }
}

/// The first bytes of a regular file. Anything else is not opened: a pipe would block.
fn head(file: &Path) -> Option<Vec<u8>> {
    if !std::fs::metadata(file).ok()?.is_file() {
        return None;
    }
    let nonblocking = nix::libc::O_NONBLOCK | nix::libc::O_NOCTTY;
    let opened =
        std::fs::OpenOptions::new().read(true).custom_flags(nonblocking).open(file).ok()?;
    let mut head = Vec::new();
    opened.take(HEAD_BYTES).read_to_end(&mut head).ok()?;
    Some(head)
}

/// The interpreter of a script's first line, as the kernel reads it.
fn interpreter(head: &[u8]) -> Option<&[u8]> {
    let line = head.strip_prefix(b"#!")?.split(|byte| *byte == b'\n').next()?;
    line.split(|byte| matches!(byte, b' ' | b'\t' | 0)).find(|word| !word.is_empty())
}

fn lossy(bytes: &[u8]) -> std::borrow::Cow<'_, str> {
    String::from_utf8_lossy(bytes)
}
