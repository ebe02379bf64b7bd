//! What can be hidden, and the ruleset that hides it.
//!
//! Landlock has no rule that forbids: everything but the secrets is permitted, by one rule for each
//! entry of the directories on the way to them. So what is made later in such a directory itself is
//! out of reach for programs that run already, and a secret can be hidden only where programs make
//! nothing there: in a volume of its own, or below directories that belong to somebody else.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use deskd_core::wall::{ABI_FILES, Exposed, Wall, WallFacts};
use nix::unistd::{AccessFlags, access, geteuid};

use super::landlock::{self, Ruleset};
use crate::files::{self, Links};

/// Entries of the directories on the way, together.
const ENTRIES_MAX: usize = 4096;
/// What file systems make by themselves in a new volume.
const OF_FILE_SYSTEM: &str = "lost+found";

/// What a wall can do here for `secrets`. `shown` are files among them that programs have to read;
/// `shared` are directories that others use too, however empty they are now (a home, `/tmp`).
#[must_use]
pub fn look(secrets: &[PathBuf], shown: &[PathBuf], shared: &[PathBuf]) -> WallFacts {
    let mut facts = WallFacts { abi: landlock::abi(), ..WallFacts::default() };
    let text = |path: &Path| path.to_string_lossy().into_owned();
    // What is not there is no secret. Links on the way are followed once, now.
    for path in secrets.iter().filter_map(|path| path.canonicalize().ok()) {
        if facts.hidden.iter().any(|hidden| path.starts_with(hidden)) {
            continue;
        }
        let path = whole_volume(&path, shared);
        match ancestors(&path).find(|directory| is_writable(directory)) {
            Some(above) => {
                facts.exposed.push(Exposed { path: text(&path), writable: Some(text(above)) })
            }
            None if path.to_str().is_none() => {
                facts.exposed.push(Exposed { path: text(&path), writable: None });
            }
            None => facts.hidden.push(text(&path)),
        }
    }
    let below = |file: &&PathBuf| facts.hidden.iter().any(|hidden| file.starts_with(hidden));
    let shown = shown.iter().filter_map(|file| file.canonicalize().ok());
    facts.shown = shown.filter(|file| below(&file)).map(|file| text(&file)).collect();
    facts
}

/// `path`, or the volume that has nothing else: then nobody else makes anything there either.
fn whole_volume<'a>(path: &'a Path, shared: &[PathBuf]) -> std::borrow::Cow<'a, Path> {
    let Some(parent) = path.parent() else { return path.into() };
    let device = |path: &Path| std::fs::metadata(path).map(|metadata| metadata.dev()).ok();
    let is_volume = parent.parent().is_some_and(|above| device(above) != device(parent));
    let is_shared =
        || shared.iter().filter_map(|path| path.canonicalize().ok()).any(|it| it == parent);
    let alone = || {
        std::fs::read_dir(parent).is_ok_and(|mut entries| {
            entries.all(|entry| {
                entry.is_ok_and(|it| it.path() == path || it.file_name() == OF_FILE_SYSTEM)
            })
        })
    };
    if is_writable(parent) && is_volume && !is_shared() && alone() {
        parent.into()
    } else {
        path.into()
    }
}

/// The directories on the way to `path`, the innermost first.
fn ancestors(path: &Path) -> impl Iterator<Item = &Path> {
    path.ancestors().skip(1)
}

/// Whether programs of this user make entries there, or can permit it to themselves.
fn is_writable(directory: &Path) -> bool {
    let own = std::fs::metadata(directory).is_ok_and(|it| it.uid() == geteuid().as_raw());
    let writable = access(directory, AccessFlags::W_OK).is_ok();
    // Of a read-only file system nobody makes anything, its owner neither.
    writable || own && access(directory, AccessFlags::W_OK) != Err(nix::errno::Errno::EROFS)
}

/// The ruleset for `wall`; nothing where it hides nothing, or this kernel cannot.
pub(super) fn ruleset(wall: &Wall) -> io::Result<Option<OwnedFd>> {
    let abi = landlock::abi();
    if wall.hidden.is_empty() || abi < ABI_FILES {
        return Ok(None);
    }
    let ruleset = Ruleset::of_files(abi)?;
    let mut left = ENTRIES_MAX;
    for directory in on_the_way(wall) {
        for entry in std::fs::read_dir(&directory)? {
            let path = entry?.path();
            left = left.checked_sub(1).ok_or_else(|| too_many(&directory))?;
            if !wall.hidden.iter().any(|hidden| Path::new(hidden).starts_with(&path)) {
                permit(&ruleset, &path)?;
            }
        }
    }
    for file in &wall.shown {
        if let Some(file) = open(Path::new(file))? {
            ruleset.permit_reading(file.as_fd())?;
        }
    }
    Ok(Some(ruleset.finish()))
}

/// Every directory on the way to a secret, each once.
fn on_the_way(wall: &Wall) -> std::collections::BTreeSet<PathBuf> {
    wall.hidden.iter().flat_map(|path| ancestors(Path::new(path))).map(Path::to_owned).collect()
}

fn too_many(directory: &Path) -> io::Error {
    let what = format!("more than {ENTRIES_MAX} entries on the way, in {}", directory.display());
    io::Error::new(io::ErrorKind::QuotaExceeded, what)
}

fn permit(ruleset: &Ruleset, path: &Path) -> io::Result<()> {
    let Some(file) = open(path)? else { return Ok(()) };
    let kind = file.metadata()?.file_type();
    match (kind.is_dir(), kind.is_symlink()) {
        (true, _) => ruleset.permit_directory(file.as_fd()),
        // Its target has a rule, or is a secret.
        (_, true) => Ok(()),
        _ => ruleset.permit_file(file.as_fd()),
    }
}

/// Without opening what it leads to; nothing when it is gone, or may not even be looked at.
fn open(path: &Path) -> io::Result<Option<File>> {
    match files::locate(path, Links::Refuse) {
        Ok(file) => Ok(Some(file)),
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied
            ) =>
        {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// What a ruleset depends on: a change of it means a new one.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Stamp(Vec<Option<(u64, u64, i64, i64)>>);

impl Stamp {
    /// As things are now.
    pub(super) fn of(wall: &Wall) -> Self {
        let stamp = |path: &Path, times: bool| {
            let it = std::fs::metadata(path).ok()?;
            let (s, ns) = if times { (it.mtime(), it.mtime_nsec()) } else { (0, 0) };
            Some((it.dev(), it.ino(), s, ns))
        };
        let ways = on_the_way(wall).into_iter().map(|path| stamp(&path, true));
        let shown = wall.shown.iter().map(|path| stamp(Path::new(path), false));
        Self(ways.chain(shown).collect())
    }
}
