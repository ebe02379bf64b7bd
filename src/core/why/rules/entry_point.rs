//! Starting: the image's own command, which starts the program, cannot be run itself.
//!
//! The runtime's words are those about any program; that the command was the image's own, which the
//! document's `oc.path` does not name, is what the evidence adds.

use crate::why::cause::Cause;
use crate::why::fact::Fact;
use crate::why::rule::{BLANK, Confidence, Offer, Rule};

const BASE: Rule = Rule {
    needs: &[Fact::EntryPoint],
    confidence: Confidence::Certain,
    advice: "Have the program run directly: label `io.deskd.entrypoint` = `program` (it needs `oc.path`), or \
             `entrypoint = \"program\"` in [kubernetes]. Or correct the image's ENTRYPOINT and CMD, which `docker inspect IMAGE` \
             shows: a file of the image, mode 755, that is a program or begins with `#!` and an interpreter that is there.",
    offer: Offer::RunProgram,
    source: "runc 1.1 to 1.3 (Go os/exec, libcontainer/standard_init_linux.go), crun 1.8",
    ..BLANK
};

pub(super) const RULES: &[Rule] = &[
    Rule {
        name: "entry-point-not-found",
        cause: Cause::ProgramNotFound,
        any: &[
            "exec: \"*\": stat *: no such file or directory",
            "exec: \"*\": executable file not found in $PATH",
            "exec: \"*\": no such file or directory",
            "executable file `*` not found in $PATH",
            "exec: \"*\": *no such file or directory",
            "^exec *: no such file or directory",
        ],
        sentence: "The image's own command {1} is not in the image, or the interpreter of its first line is not.",
        ..BASE
    },
    Rule {
        name: "entry-point-not-executable",
        cause: Cause::ProgramNotExecutable,
        any: &[
            "exec: \"*\": permission denied",
            "exec: \"*\": is a directory",
            "^exec *: permission denied",
        ],
        sentence: "The image's own command {1} is there, and may not be started by this user.",
        ..BASE
    },
    Rule {
        name: "entry-point-no-script",
        cause: Cause::WrongArchitecture,
        any: &["exec: \"*\": exec format error", "^exec *: exec format error"],
        sentence: "The image's own command {1} is neither a program for this machine nor a script: it does not begin with `#!`.",
        ..BASE
    },
];
