//! A new program in the place of another, and back.
//!
//! ```text
//!  FILE --copy--> DIR/.deskd.new --runs, right kind--> rename --> DIR/deskd --keep--> done
//!                                  DIR/deskd --link--> DIR/.deskd.old ---- dropped: rename back
//! ```
//!
//! There is a whole program under the name at each moment. Each error names the file.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, ErrorKind, Read as _, Seek as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::fcntl::{FcntlArg, SealFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use super::DOING;
use crate::cli::failure::Failure;
use deskd_core::exit::Exit;
use deskd_keeper::elf;

/// The two programs: what `--version` of each begins with is its name.
const DAEMON: &str = "deskd";
const KEEPER: &str = "deskd-keeper";
/// Largest program, in bytes; deskd has 12 MB, with debugging information ten times that.
const PROGRAM_BYTES_MAX: u64 = 512 << 20;
/// Time for `--version`.
const VERSION_TIME_MAX: Timespec = Timespec { tv_sec: 10, tv_nsec: 0 };
/// Longest answer, in bytes: it has no room for more, which would be memory.
const VERSION_BYTES_MAX: u64 = 4 << 10;
/// Mode of a program that replaces none: executable, not readable.
const MODE: u32 = 0o111;

/// Bytes of a file that have all that is asked of an ELF header (elf(5)).
const ELF_BYTES: usize = 64;
/// `e_machine` of the machines that deskd is built for.
const MACHINES: [(u16, &str); 2] = [(62, "x86_64"), (183, "aarch64")];

/// Programs that were checked and lie beside those that they are to replace.
#[derive(Debug)]
pub(super) struct Staged(Vec<Files>);

/// Programs in their places. Dropped, what was there before comes back.
#[derive(Debug)]
pub(super) struct Installed(Vec<Files>);

/// Names of one program.
#[derive(Debug)]
struct Files {
    installed: PathBuf,
    new: PathBuf,
    /// The one of before, if there was one.
    old: Option<PathBuf>,
    in_place: bool,
}

/// Whether both are one file.
pub(super) fn is_same(new: &Path, installed: &Path) -> bool {
    let of = |path: &Path| fs::metadata(path).map(|file| (file.dev(), file.ino()));
    matches!((of(new), of(installed)), (Ok(new), Ok(installed)) if new == installed)
}

impl Staged {
    /// Copies and checks `new`, which is to replace `installed`, and a keeper beside it.
    pub(super) fn copy(new: &Path, installed: &Path) -> Result<Self, Failure> {
        let keeper = new.with_file_name(KEEPER);
        let mut staged = Self(Vec::new());
        staged.add(new, installed, DAEMON)?;
        if keeper.exists() {
            staged.add(&keeper, &installed.with_file_name(KEEPER), KEEPER)?;
        }
        Ok(staged)
    }

    fn add(&mut self, from: &Path, installed: &Path, name: &str) -> Result<(), Failure> {
        check_kind(from)?;
        let new = installed.with_file_name(format!(".{name}.new"));
        let old = installed.with_file_name(format!(".{name}.old"));
        let failed = |error: io::Error| not_installed(&new, &error);
        let mode = fs::metadata(installed).map_or(MODE, |file| file.permissions().mode());
        let _ = fs::remove_file(&new);
        let files =
            Files { installed: installed.to_owned(), new: new.clone(), old: None, in_place: false };
        self.0.push(files);
        copy(from, &new, mode).map_err(failed)?;
        check_runs(&new, from, name)?;
        if installed.exists() {
            let _ = fs::remove_file(&old);
            fs::hard_link(installed, &old).map_err(failed)?;
            if let Some(files) = self.0.last_mut() {
                files.old = Some(old);
            }
        }
        Ok(())
    }

    /// Gives them the names of what they replace.
    pub(super) fn install(mut self) -> Result<Installed, Failure> {
        let mut installed = Installed(std::mem::take(&mut self.0));
        for files in &mut installed.0 {
            fs::rename(&files.new, &files.installed)
                .map_err(|error| not_installed(&files.installed, &error))?;
            files.in_place = true;
        }
        Ok(installed)
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        self.0.iter().for_each(Files::put_back);
    }
}

impl Installed {
    /// They stay.
    pub(super) fn keep(mut self) {
        for old in std::mem::take(&mut self.0).iter().filter_map(|files| files.old.as_ref()) {
            // Nothing depends on it.
            let _ = fs::remove_file(old);
        }
    }
}

impl Drop for Installed {
    fn drop(&mut self) {
        self.0.iter().for_each(Files::put_back);
    }
}

impl Files {
    /// What cannot be put back is complained of by whoever starts it next; the daemon that runs has its program open.
    fn put_back(&self) {
        let _ = match (&self.old, self.in_place) {
            (Some(old), true) => fs::rename(old, &self.installed),
            (None, true) => fs::remove_file(&self.installed),
            (old, false) => {
                let _ = old.as_ref().map(fs::remove_file);
                fs::remove_file(&self.new)
            }
        };
    }
}

fn copy(from: &Path, to: &Path, mode: u32) -> io::Result<()> {
    let mut source = File::open(from)?.take(PROGRAM_BYTES_MAX + 1);
    let mut target = OpenOptions::new().write(true).create_new(true).mode(0o600).open(to)?;
    if io::copy(&mut source, &mut target)? > PROGRAM_BYTES_MAX {
        return Err(ErrorKind::FileTooLarge.into());
    }
    target.set_permissions(Permissions::from_mode(mode & 0o7777))?;
    target.sync_all()
}

fn not_installed(path: &Path, error: &io::Error) -> Failure {
    let failure = Failure::new(Exit::Refused, DOING, format!("{}: {error}", path.display()));
    match error.kind() {
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => failure.remedy(
            "run this as who may write the directory; where nobody may, as in most containers, start deskd anew from \
             the new image",
        ),
        _ => failure,
    }
}

/// An executable of this machine.
fn check_kind(file: &Path) -> Result<(), Failure> {
    let wrong =
        |why: String| Failure::new(Exit::Refused, DOING, format!("{}: {why}", file.display()));
    let mut head = Vec::with_capacity(ELF_BYTES);
    // A pipe would never say anything.
    let open = |file: &Path| match fs::metadata(file)?.is_file() {
        true => File::open(file),
        false => Err(io::Error::other("is no file")),
    };
    open(file)
        .and_then(|file| file.take(ELF_BYTES as u64).read_to_end(&mut head))
        .map_err(|error| wrong(error.to_string()))?;
    let Some(elf::Elf { machine, .. }) = elf::parse(&head) else {
        return Err(wrong("is not a program (no ELF file)".to_owned()));
    };
    let name = MACHINES.iter().find(|(number, _)| *number == machine).map(|(_, name)| *name);
    let own = std::env::consts::ARCH;
    if name != Some(own) {
        let other = name.map_or_else(|| format!("machine number {machine}"), str::to_owned);
        return Err(wrong(format!("is for {other}, and this deskd is for {own}")));
    }
    Ok(())
}

/// It runs here, and is what its name says.
fn check_runs(staged: &Path, from: &Path, name: &str) -> Result<(), Failure> {
    let why = match version(staged) {
        Err(error) => format!("does not run here: {error}"),
        Ok(text) if text.split_whitespace().next() == Some(name) => return Ok(()),
        Ok(_) => format!("is not {name}: its `--version` does not say so"),
    };
    Err(Failure::new(Exit::Refused, DOING, format!("{}: {why}", from.display())))
}

/// What it says of itself.
#[expect(
    clippy::disallowed_methods,
    reason = "a person asks for this program to be tried, before it is deskd's"
)]
fn version(program: &Path) -> io::Result<String> {
    let flags = MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING;
    let mut answer = File::from(memfd_create(c"version", flags)?);
    answer.set_len(VERSION_BYTES_MAX)?;
    fcntl(&answer, FcntlArg::F_ADD_SEALS(SealFlag::F_SEAL_GROW | SealFlag::F_SEAL_SHRINK))?;
    let mut child = Command::new(program)
        .arg("--version")
        .stdin(Stdio::null())
        .stdout(answer.try_clone()?)
        .stderr(Stdio::null())
        .spawn()?;
    let ended = pidfd_open(Pid::from_child(&child), PidfdFlags::empty())?;
    let ends = poll(&mut [PollFd::new(&ended, PollFlags::IN)], Some(&VERSION_TIME_MAX))?;
    if ends == 0 {
        child.kill()?;
    }
    let status = child.wait()?;
    if ends == 0 {
        return Err(ErrorKind::TimedOut.into());
    }
    if !status.success() {
        return Err(io::Error::other(status.to_string()));
    }
    answer.rewind()?;
    let mut bytes = Vec::new();
    answer.read_to_end(&mut bytes)?;
    let answer = bytes.split(|byte| *byte == 0).next().unwrap_or_default();
    Ok(String::from_utf8_lossy(answer).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn script(text: &str) -> tempfile::TempPath {
        let path = tempfile::NamedTempFile::new().unwrap().into_temp_path();
        fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o700)).unwrap();
        path
    }

    #[test]
    fn a_program_says_who_it_is_and_has_no_room_for_more() {
        assert_eq!(version(&script("echo deskd 1")).unwrap(), "deskd 1\n");
        assert_eq!(version(&script("exit 0")).unwrap(), "");
        // It would fill the memory for as long as it is waited for.
        let endless = version(&script("exec yes deskd")).unwrap_err();
        assert_eq!(endless.to_string(), "exit status: 1");
    }
}
