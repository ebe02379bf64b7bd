//! Files: a full disk.

use crate::domain::diagnosis::cause::Cause;
use crate::domain::diagnosis::fact::Fact;
use crate::domain::diagnosis::rule::{BLANK, Confidence, Rule, Weight};

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
        // ENOSPC of other things than disks: inotify(7), semget(2), shmget(2), keyrings(7), cgroups, V4L and USB bandwidth.
        never: &[
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
        ],
        weight: Weight::Always,
        unless: &[Fact::EndedWell],
        confidence: Confidence::Certain,
        sentence: "A disk is full: the program could not write a file.",
        advice: "Find which by `df -h; df -i` where it ran. Home: enlarge its volume claim. /tmp or the container's own files: an \
                 emptyDir with a larger `sizeLimit`, or a higher `ephemeral-storage` limit (od.config: `executeclasses`, `resources`).",
        source: "errno(3) ENOSPC, EDQUOT; SQLite 3.40",
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
        advice: "Find which by `df -h; df -i` where it ran. Home: enlarge its volume claim. /tmp or the container's own files: an \
                 emptyDir with a larger `sizeLimit`, or a higher `ephemeral-storage` limit (od.config: `executeclasses`, `resources`).",
        source: "SQLite 3.40, LibreOffice 7.4, GIMP 2.10",
        ..BLANK
    },
];
