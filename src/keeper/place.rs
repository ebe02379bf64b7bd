//! What a keeper at a place is told: `deskd-keeper place OPTION...`, and its key in the environment.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::time::Duration;

use crate::OptionError;
use crate::logs::SpoolLimits;
use crate::options::parse;
use deskd_core::wire::SpawnRequest;
use deskd_core::wire::proof::Key;

/// First word of the command line.
pub const WORD: &str = "place";
/// The variable that has the key. Programs do not get it.
pub const KEY_VARIABLE: &str = "DESKD_PLACE_KEY";
/// The variable that has the request for the first program of a pod, as JSON: it starts even if no
/// daemon can be reached. Programs do not get it.
pub const FIRST_VARIABLE: &str = "DESKD_PLACE_FIRST";
/// Variables that are for the keeper alone.
pub const OWN_VARIABLES: [&str; 3] = [KEY_VARIABLE, FIRST_VARIABLE, "DESKD_LOG"];
/// How long the first program of a pod waits for a daemon.
pub const ALONE_AFTER: Duration = Duration::from_secs(5);
/// How long a place in which nothing runs waits for a daemon before it ends: its desktop may be gone, and
/// it has memory, perhaps a GPU.
pub const ORPHAN_AFTER: Duration = Duration::from_secs(2 * 3600);
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
    /// In a pod of its own: where its daemon listens.
    pub far: Option<Far>,
}

/// What a keeper in a pod of its own is told besides.
#[derive(Debug)]
pub struct Far {
    /// Where its daemon listens.
    pub daemon: SocketAddr,
    /// How long the first program waits for it.
    pub alone_after: Duration,
    /// What runs first, if the pod was made for it.
    pub first: Option<SpawnRequest>,
}

impl PlaceConfig {
    /// The command line with which a keeper at `path` is started.
    #[must_use]
    pub fn command(path: &str, grace: Duration, tasks_max: usize) -> Vec<String> {
        let grace_ms = grace.as_millis().to_string();
        let words = [path, WORD, "--grace-ms", &grace_ms, "--tasks-max", &tasks_max.to_string()];
        words.map(str::to_owned).to_vec()
    }

    /// The same in a pod of its own, with a daemon that listens at `daemon`.
    #[must_use]
    pub fn far_command(
        path: &str,
        grace: Duration,
        tasks_max: usize,
        daemon: SocketAddr,
    ) -> Vec<String> {
        let mut command = Self::command(path, grace, tasks_max);
        command.extend(["--daemon".to_owned(), daemon.to_string()]);
        command
    }

    /// Reads the options after [`WORD`], the key, and the first request.
    ///
    /// # Errors
    /// An option is unknown, has no value or a wrong one, or is missing; the key is missing or none;
    /// the request is none.
    pub fn from_options(
        options: impl IntoIterator<Item = OsString>,
        key: Option<OsString>,
        first: Option<OsString>,
    ) -> Result<Self, OptionError> {
        let (mut grace_ms, mut tasks_max, mut daemon) = (None, None, None);
        let mut alone_after = ALONE_AFTER;
        let mut spool =
            SpoolLimits { disk_bytes: SPOOL_DISK_BYTES_MAX, memory_bytes: SPOOL_MEMORY_BYTES_MAX };
        let mut options = options.into_iter();
        while let Some(name) = options.next() {
            let name = name.to_string_lossy().into_owned();
            let value = options.next().ok_or_else(|| OptionError::NoValue(name.clone()))?;
            match name.as_str() {
                "--grace-ms" => grace_ms = Some(parse(&name, &value)?),
                "--tasks-max" => tasks_max = Some(parse(&name, &value)?),
                "--daemon" => daemon = Some(parse(&name, &value)?),
                "--alone-ms" => alone_after = Duration::from_millis(parse(&name, &value)?),
                "--spool-bytes" => spool.disk_bytes = parse(&name, &value)?,
                "--spool-memory-bytes" => spool.memory_bytes = parse(&name, &value)?,
                _ => return Err(OptionError::Unknown(name)),
            }
        }
        let first = first.map(|text| serde_json::from_slice(text.as_encoded_bytes()));
        let first = first.transpose().map_err(OptionError::NoRequest)?;
        let key = key.and_then(|key| key.into_string().ok()).and_then(|key| key.parse().ok());
        Ok(Self {
            key: key.ok_or(OptionError::NoKey)?,
            grace: Duration::from_millis(grace_ms.ok_or(OptionError::Missing("--grace-ms"))?),
            tasks_max: tasks_max.ok_or(OptionError::Missing("--tasks-max"))?,
            spool,
            far: daemon.map(|daemon| Far { daemon, alone_after, first }),
        })
    }
}
