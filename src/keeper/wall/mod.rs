//! The wall between programs and deskd: Landlock for files, signals and memory, and a filter that
//! keeps a program's mark ([`crate::tree`]) as it is. It needs no rights but `no_new_privs`, and what
//! the kernel does not have is left out.
//!
//! Signals: all programs are in one domain, so that they can signal each other and nothing else. It is
//! that of the starter ([`crate::spawn`]), in which they begin. Files: each program has a domain of its
//! own inside that one, made from a ruleset that all of them share.

mod landlock;
mod paths;
mod pin;

use std::fs::File;
use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::sync::Arc;

use deskd_core::wall::{ABI_SIGNALS, Wall};
use nix::sys::prctl::set_no_new_privs;

pub(crate) use landlock::restrict_self;
pub use paths::look;
pub(crate) use pin::pin_limits;

/// Puts this process behind the wall that all programs share: no privileges by set-user-id files, no
/// signals to what is outside.
/// Some of them have files hidden from them (`files`), or none.
pub(crate) fn enter_shared(files: bool) -> io::Result<()> {
    set_no_new_privs()?;
    if landlock::abi() >= ABI_SIGNALS {
        let ruleset = landlock::Ruleset::of_signals(files)?;
        if files {
            ruleset.permit_directory(File::open("/")?.as_fd())?;
        }
        if !restrict_self(ruleset.finish().as_raw_fd()) {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

/// The ruleset of the last program: the next one's is the same, unless something changed.
#[derive(Debug, Default)]
pub(crate) struct Rulesets {
    last: Option<(Wall, paths::Stamp, Option<Arc<OwnedFd>>)>,
}

impl Rulesets {
    /// The ruleset that hides what `wall` says; nothing where that is nothing. The stamp is taken
    /// first: what changes meanwhile makes the next one anew.
    pub(crate) fn of(&mut self, wall: &Wall) -> io::Result<Option<Arc<OwnedFd>>> {
        let stamp = paths::Stamp::of(wall);
        let fresh = self.last.as_ref().is_some_and(|(of, at, _)| of == wall && *at == stamp);
        if !fresh {
            self.last = Some((wall.clone(), stamp, paths::ruleset(wall)?.map(Arc::new)));
        }
        Ok(self.last.as_ref().and_then(|(.., fd)| fd.clone()))
    }
}
