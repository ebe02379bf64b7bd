//! What a keeper at a place is told: `deskd-keeper place OPTION...`, and its key in the environment.

use std::ffi::OsString;
use std::time::Duration;

use crate::OptionError;
use crate::logs::SpoolLimits;
use crate::options::parse;
use deskd_core::wire::proof::Key;

/// First word of the command line.
pub const WORD: &str = "place";
/// The variable that has the key. Programs do not get it.
pub const KEY_VARIABLE: &str = "DESKD_PLACE_KEY";
/// Where output may wait that nobody has taken yet, in files without a name; the first that is on a
/// disk and can be written. A container of an image without either has its output in memory.
pub const SPOOL_DIRECTORIES: [&str; 3] = ["/var/tmp", "/tmp", "."];
/// Most output that waits on a disk, in bytes.
pub const SPOOL_DISK_BYTES_MAX: u64 = 64 << 20;
/// Most output that waits in memory, which is the container's, in bytes.
pub const SPOOL_MEMORY_BYTES_MAX: u64 = 4 << 20;

/// What a keeper at a place is told at its start.
#[derive(Debug)]
pub struct PlaceConfig {
    /// Shared with its daemon.
    pub key: Key,
    /// From SIGTERM until everything is gone.
    pub grace: Duration,
    /// Tasks kept, ended ones included.
    pub tasks_max: usize,
    /// Of what waits to be stored.
    pub spool: SpoolLimits,
}

impl PlaceConfig {
    /// The command line with which a keeper at `path` is started.
    #[must_use]
    pub fn command(path: &str, grace: Duration, tasks_max: usize) -> Vec<String> {
        let grace_ms = grace.as_millis().to_string();
        let words = [path, WORD, "--grace-ms", &grace_ms, "--tasks-max", &tasks_max.to_string()];
        words.map(str::to_owned).to_vec()
    }

    /// Reads the options after [`WORD`], and the key.
    ///
    /// # Errors
    /// An option is unknown, has no value or a wrong one, or is missing; the key is missing or none.
    pub fn from_options(
        options: impl IntoIterator<Item = OsString>,
        key: Option<OsString>,
    ) -> Result<Self, OptionError> {
        let (mut grace_ms, mut tasks_max) = (None, None);
        let mut spool =
            SpoolLimits { disk_bytes: SPOOL_DISK_BYTES_MAX, memory_bytes: SPOOL_MEMORY_BYTES_MAX };
        let mut options = options.into_iter();
        while let Some(name) = options.next() {
            let name = name.to_string_lossy().into_owned();
            let value = options.next().ok_or_else(|| OptionError::NoValue(name.clone()))?;
            match name.as_str() {
                "--grace-ms" => grace_ms = Some(parse(&name, &value)?),
                "--tasks-max" => tasks_max = Some(parse(&name, &value)?),
                "--spool-bytes" => spool.disk_bytes = parse(&name, &value)?,
                "--spool-memory-bytes" => spool.memory_bytes = parse(&name, &value)?,
                _ => return Err(OptionError::Unknown(name)),
            }
        }
        let key = key.and_then(|key| key.into_string().ok()).and_then(|key| key.parse().ok());
        Ok(Self {
            key: key.ok_or(OptionError::NoKey)?,
            grace: Duration::from_millis(grace_ms.ok_or(OptionError::Missing("--grace-ms"))?),
            tasks_max: tasks_max.ok_or(OptionError::Missing("--tasks-max"))?,
            spool,
        })
    }
}
