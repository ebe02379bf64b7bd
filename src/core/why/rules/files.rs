//! Files: a full disk.

use crate::why::cause::Cause;
use crate::why::fact::Fact;
use crate::why::rule::{BLANK, Confidence, Rule, Weight};

const FULL: &str = "Find which by `df -h; df -i` where it ran. Home: enlarge its volume claim. /tmp or the container's own files: an \
     emptyDir with a larger `sizeLimit`, or a higher `ephemeral-storage` limit (od.config: `executeclasses`, `resources`).";

/// ENOSPC of other things than disks: inotify(7), semget(2), shmget(2), keyrings(7), cgroups, V4L and USB bandwidth.
const NOT_A_DISK: &[&str] = &[
    "/dev/shm",
    "shared memory",
    "inotify",
    "file watch",
    "watcher",
    "semget",
    "shmget",
    "sem_open",
    "shm_open",
    "keyring",
    "keyctl",
    "cgroup",
    "VIDIOC",
    "usb",
    "epoll",
    "io_uring",
    "bpf(",
    "pull image",
];

pub(super) const RULES: &[Rule] = &[
    Rule {
        name: "no-space",
        cause: Cause::NoSpace,
        any: &[
            "No space left on device",
            "Disk quota exceeded",
            "ENOSPC: ",
            "EDQUOT: ",
            "errno 28)",
            "[Errno 28]",
            "[Errno 122]",
            "os error 28)",
            "os error 122)",
            "database or disk is full",
            "StorageFull",
            "NO_DEVICE_SPACE",
        ],
        never: NOT_A_DISK,
        weight: Weight::Always,
        unless: &[Fact::RanWell, Fact::EndedWell],
        confidence: Confidence::Certain,
        sentence: "A disk is full: the program could not write a file.",
        advice: FULL,
        source: "errno(3) ENOSPC, EDQUOT; SQLite 3.40",
        ..BLANK
    },
    Rule {
        name: "no-space-in-a-window",
        cause: Cause::NoSpace,
        // In the form of its own log: a terminal shows what other programs say, too.
        any: &[
            "CRITICAL **: *No space left on device",
            "WARNING **: *No space left on device",
            ":ERROR:*No space left on device",
            ":ERROR:*Disk quota exceeded",
            "CRITICAL **: *Disk quota exceeded",
        ],
        never: NOT_A_DISK,
        weight: Weight::Always,
        needs: &[Fact::RanWell],
        unless: &[Fact::EndedWell],
        confidence: Confidence::Likely,
        sentence: "A disk is full: the program showed a window, and could not write a file.",
        advice: FULL,
        source: "Chromium logging.cc, GLib 2.74 gmessages.c",
        ..BLANK
    },
    Rule {
        name: "no-space-said",
        cause: Cause::NoSpace,
        any: &[
            "There is not enough space",
            "not enough disk space",
            "not enough free disk space",
            "disk is full",
            "disk full",
            "no space left",
            "out of disk space",
            "no disk space",
            "insufficient disk space",
            "insufficient free space",
            "not enough free space",
            "not enough space on",
            "errno 28",
            "errno = 28",
            "errno=28",
            "file system full?",
            "File size limit exceeded",
            "echo: I/O error",
            "printf: I/O error",
            "unable to write file `*WriteImage",
        ],
        never: &[
            "/dev/shm",
            "inotify",
            "file watch",
            "semget",
            "shmget",
            "keyring",
            "Not enough space'",
            "address space",
        ],
        weight: Weight::Complaint,
        sentence: "The program says that a disk is full.",
        advice: FULL,
        source: "SQLite 3.40, LibreOffice 7.4, GIMP 2.10, dash 0.5 (no other word for a write that failed), ImageMagick 6.9",
        ..BLANK
    },
    Rule {
        name: "no-space-as-its-code-says",
        cause: Cause::NoSpace,
        any: &[
            "cannot write*",
            "can't write*",
            "could not write*",
            "couldn't write*",
            "unable to write*",
            "failed to write*",
        ],
        needs: &[Fact::ExitCode(28)],
        weight: Weight::Noise,
        confidence: Confidence::Possible,
        sentence: "The program could not write a file; its exit code is the one for a full disk.",
        advice: FULL,
        source: "perl 5.36 die: the exit code is errno(3), 28 is ENOSPC",
        ..BLANK
    },
    Rule {
        name: "no-space-perhaps",
        cause: Cause::NoSpace,
        any: &[
            "Failure writing output to destination",
            "Failed writing body (",
            "No usable temporary directory found",
        ],
        weight: Weight::Noise,
        confidence: Confidence::Possible,
        sentence: "The program could not write what it received: most often since a disk is full.",
        advice: FULL,
        source: "curl 7.88 code 23; a file that may not be opened has a line of its own",
        ..BLANK
    },
];
