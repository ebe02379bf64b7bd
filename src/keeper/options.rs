//! The keeper's command line: what `deskd run` tells it. Plain options, so that `ps` shows them and a
//! person can start one.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::os::fd::AsFd as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use crate::link;
use crate::logs::Limits;
use crate::{KeeperConfig, OptionError};

/// What `--help` and a wrong option print.
pub const USAGE: &str = "usage: deskd-keeper OPTION... -- DAEMON ARGUMENT...

Started by `deskd \
 run`. Owns every application's process and output, and starts the daemon again
when it dies.

  \
 --state-dir DIR         directory of its lock and the logs
  --task-log-bytes N      \
 most output kept of one task
  --total-log-bytes N     most output kept of all tasks
  --grace-ms \
 N            time from SIGTERM until every process has ended
  --tasks-max N           most tasks \
 kept, ended ones included
  --listen ADDRESS:PORT   TCP socket that each daemon gets as its \
 standard input
  --daemon-file FD        inherited descriptor that each daemon gets as its \
 descriptor 4
  --estate FD             inherited descriptor of what a keeper that was \
 killed left

At a place (an ephemeral container), started by its desktop's deskd, with the place's key in  DESKD_PLACE_KEY:
  deskd-keeper place --grace-ms N --tasks-max N
  --spool-bytes N         most  output kept on a disk until the desktop has stored it
  --spool-memory-bytes N  the same where there is no  disk to write to
  --daemon ADDRESS:PORT   in a pod of its own:  where its deskd listens
  --alone-ms N            how long its first program waits  for that
";

impl KeeperConfig {
    /// The options that [`KeeperConfig::from_options`] reads. `daemon_file` is the number under which
    /// the new process inherits it.
    #[must_use]
    pub fn to_options(&self, daemon_file: Option<i32>) -> Vec<OsString> {
        let numbers = [
            ("--task-log-bytes", self.limits.task_bytes),
            ("--total-log-bytes", self.limits.total_bytes),
            ("--grace-ms", u64::try_from(self.grace.as_millis()).unwrap_or(u64::MAX)),
            ("--tasks-max", self.tasks_max as u64),
        ];
        let mut options = vec!["--state-dir".into(), self.state_dir.clone().into_os_string()];
        for (name, number) in numbers {
            options.extend([name.into(), number.to_string().into()]);
        }
        if let Some(address) = self.listen {
            options.extend(["--listen".into(), address.to_string().into()]);
        }
        if let Some(fd) = daemon_file {
            options.extend(["--daemon-file".into(), fd.to_string().into()]);
        }
        options.push("--".into());
        options.extend(self.daemon_argv.iter().cloned());
        options
    }

    /// Reads the options. An inherited descriptor is opened anew and closed, so that nothing else
    /// inherits it.
    pub fn from_options(options: impl IntoIterator<Item = OsString>) -> Result<Self, OptionError> {
        let mut options = options.into_iter();
        let mut read = Read::default();
        while let Some(name) = options.next() {
            if name == "--" {
                return read.config(options.collect());
            }
            let name = name.to_string_lossy().into_owned();
            let value = options.next().ok_or_else(|| OptionError::NoValue(name.clone()))?;
            read.take(name, &value)?;
        }
        Err(OptionError::NoDaemon)
    }
}

#[derive(Default)]
struct Read {
    state_dir: Option<PathBuf>,
    task_bytes: Option<u64>,
    total_bytes: Option<u64>,
    grace_ms: Option<u64>,
    tasks_max: Option<usize>,
    listen: Option<std::net::SocketAddr>,
    daemon_file: Option<i32>,
    estate: Option<i32>,
}

impl Read {
    fn take(&mut self, name: String, value: &OsStr) -> Result<(), OptionError> {
        match name.as_str() {
            "--state-dir" => self.state_dir = Some(value.into()),
            "--task-log-bytes" => self.task_bytes = Some(parse(&name, value)?),
            "--total-log-bytes" => self.total_bytes = Some(parse(&name, value)?),
            "--grace-ms" => self.grace_ms = Some(parse(&name, value)?),
            "--tasks-max" => self.tasks_max = Some(parse(&name, value)?),
            "--listen" => self.listen = Some(parse(&name, value)?),
            "--daemon-file" => self.daemon_file = Some(parse(&name, value)?),
            "--estate" => self.estate = Some(parse(&name, value)?),
            _ => return Err(OptionError::Unknown(name)),
        }
        Ok(())
    }

    fn config(self, daemon_argv: Vec<OsString>) -> Result<KeeperConfig, OptionError> {
        if daemon_argv.is_empty() {
            return Err(OptionError::NoDaemon);
        }
        let missing = OptionError::Missing;
        Ok(KeeperConfig {
            state_dir: self.state_dir.ok_or(missing("--state-dir"))?,
            limits: Limits {
                task_bytes: self.task_bytes.ok_or(missing("--task-log-bytes"))?,
                total_bytes: self.total_bytes.ok_or(missing("--total-log-bytes"))?,
            },
            grace: Duration::from_millis(self.grace_ms.ok_or(missing("--grace-ms"))?),
            tasks_max: self.tasks_max.ok_or(missing("--tasks-max"))?,
            daemon_argv,
            listen: self.listen,
            daemon_file: self.daemon_file.map(inherit).transpose()?,
            estate: self.estate.map(inherit).transpose()?,
        })
    }
}

pub(crate) fn parse<T: FromStr>(name: &str, value: &OsStr) -> Result<T, OptionError> {
    let text = std::str::from_utf8(value.as_bytes()).ok();
    text.and_then(|text| text.parse().ok()).ok_or_else(|| OptionError::Value {
        option: name.to_owned(),
        value: value.to_string_lossy().into_owned(),
    })
}

fn inherit(fd: i32) -> Result<File, OptionError> {
    let file = File::open(format!("/proc/self/fd/{fd}"))
        .and_then(|file| link::inheritable(file.as_fd()))
        .map_err(|source| OptionError::DaemonFile { fd, source })?;
    // It exists: it was just opened.
    let _ = nix::unistd::close(fd);
    Ok(file.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..Default::default() })]
        #[test]
        fn what_is_written_is_read_again(
            dir in "/[a-z /-]{1,20}", task_bytes: u64, total_bytes: u64, grace_ms: u64,
            tasks_max: usize, listen: Option<(std::net::IpAddr, u16)>,
            daemon_argv in prop::collection::vec(".{0,9}", 1..4),
        ) {
            let config = KeeperConfig {
                state_dir: dir.into(),
                limits: Limits { task_bytes, total_bytes },
                grace: Duration::from_millis(grace_ms),
                daemon_argv: daemon_argv.into_iter().map(OsString::from).collect(),
                listen: listen.map(Into::into),
                daemon_file: None,
                estate: None,
                tasks_max,
            };
            let options = config.to_options(None);
            let again = KeeperConfig::from_options(options.clone()).unwrap();
            prop_assert_eq!(again.to_options(None), options);
        }

        #[test]
        fn no_options_panic(options in prop::collection::vec("(--[a-z-]{0,12}|[0-9]{1,20}|--|.{0,5})", 0..12)) {
            let _ = KeeperConfig::from_options(options.into_iter().map(OsString::from));
        }
    }

    #[test]
    fn each_mistake_names_the_option() {
        let wrong = |options: &[&str]| {
            let options = options.iter().map(OsString::from);
            KeeperConfig::from_options(options).unwrap_err().to_string()
        };
        assert!(wrong(&["--nice", "1"]).contains("`--nice`"));
        assert!(wrong(&["--grace-ms", "soon"]).contains("`soon`"));
        assert!(wrong(&["--grace-ms"]).contains("`--grace-ms` needs a value"));
        assert!(wrong(&["--", "true"]).contains("`--state-dir` is missing"));
        assert!(wrong(&["--state-dir", "/x"]).contains("after `--`"));
    }
}
