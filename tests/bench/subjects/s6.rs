//! s6, of any version: without options, whose letters changed; its default of 500 services suffices. `run` scripts in sh
//! (Debian's execlineb is a chain of wrappers and slower), loggers by s6-log.

use std::process::Command;

use super::supervise::Flavor;
use crate::subject::Kind;

/// s6-log's largest size of one file, bytes.
const FILE_BYTES: u64 = 268_435_455;

/// s6.
pub static S6: Flavor = Flavor {
    kind: Kind::S6,
    root: |scan| {
        let mut command = Command::new("s6-svscan");
        command.arg(scan);
        command
    },
    logger: |log| Ok(format!("s6-log -b n100 s{FILE_BYTES} t {}", log.display())),
    ready: Some(".s6-svscan/control"),
};
