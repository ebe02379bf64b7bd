//! runit: loggers by svlogd.

use std::fs;
use std::process::Command;

use super::supervise::Flavor;
use crate::subject::Kind;

/// runit.
pub static RUNIT: Flavor = Flavor {
    kind: Kind::Runit,
    root: |scan| {
        let mut command = Command::new("runsvdir");
        command.arg(scan);
        command
    },
    logger: |log| {
        fs::write(log.join("config"), "s1000000000\nn100\n")?;
        Ok(format!("svlogd -b 65536 -t {}", log.display()))
    },
    ready: None,
};
