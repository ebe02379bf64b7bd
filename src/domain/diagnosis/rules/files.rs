//! Files: a full disk, a home that cannot be written, secrets that cannot be read.

use crate::domain::diagnosis::cause::Cause;
use crate::domain::diagnosis::rule::{BLANK, Confidence, Rule, Weight};

const HOME: &str = "The home must belong to the uid that the application runs as: od.config `desktop.homedirectorytype` and the volume's \
     owner, `securityContext` `runAsUser`, `fsGroup`; set HOME to a directory that is there (label `oc.path` wrappers, `environment`). \
     `id; ls -ld $HOME; touch $HOME/x` shows it.";

const NOT_HOME: &[&str] = &[
    "dconf",
    "recently-used",
    "/dev/",
    "/run/user",
    "xauth",
    "ICEauthority",
    ".X11-unix",
    "/proc/",
    "/sys/",
];

pub(super) const RULES: &[Rule] = &[
    Rule {
        name: "no-space",
        cause: Cause::NoSpace,
        any: &[
            "No space left on device",
            "Disk quota exceeded",
            "ENOSPC: ",
            "database or disk is full",
        ],
        never: &["/dev/shm", "inotify", "file watchers"],
        weight: Weight::Always,
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
        ],
        never: &["/dev/shm"],
        sentence: "The program says that a disk is full.",
        advice: "Find which by `df -h; df -i` where it ran. Home: enlarge its volume claim. /tmp or the container's own files: an \
                 emptyDir with a larger `sizeLimit`, or a higher `ephemeral-storage` limit (od.config: `executeclasses`, `resources`).",
        source: "SQLite 3.40, LibreOffice 7.4, GIMP 2.10",
        ..BLANK
    },
    Rule {
        name: "home-permission-said",
        cause: Cause::HomePermission,
        any: &[
            "User installation could not be completed",
            "Your * profile cannot be loaded. It may be missing or inaccessible",
            "Failed to create *SingletonLock: Permission denied",
            "Failed to create *SingletonLock: Read-only file system",
            "Failed to create a ProcessSingleton for your profile directory",
            "chrome_crashpad_handler: --database is required",
            "Failed To Create Data Directory",
            "Cannot create directory*profile*",
            "Could not create the profile*",
            "cannot read and write to its data directory",
            "Unable to write to the home directory",
            "home directory*not writable",
            "HOME is not writable",
            "Could not create user data directory",
            "Unable to create user data directory",
            "Could not create configuration directory",
        ],
        weight: Weight::Complaint,
        confidence: Confidence::Certain,
        sentence: "The program may not write into its home directory.",
        advice: HOME,
        source: "LibreOffice 7.4, Firefox 128, Chromium process_singleton_posix.cc and crashpad, VLC 3",
        ..BLANK
    },
    Rule {
        name: "home-permission",
        cause: Cause::HomePermission,
        any: &[
            "/home/*Permission denied",
            "Permission denied*/home/",
            "/root*Permission denied",
            "Permission denied*/root",
            "/.config*Permission denied",
            "Permission denied*/.config",
            "/.cache/*Permission denied",
            "Permission denied*/.cache",
            "/.local*Permission denied",
            "Permission denied*/.local",
            "/.mozilla*Permission denied",
            "/.*rc*Permission denied",
            "/home/*Read-only file system",
            "Read-only file system*/home/",
            "/.config*Read-only file system",
            "/.cache*Read-only file system",
            "/.local*Read-only file system",
            "AccessDeniedException: /home/",
            "/home/*Operation not permitted",
            "home directory*Permission denied",
            "/home/*Access denied",
        ],
        never: NOT_HOME,
        weight: Weight::Noise,
        confidence: Confidence::Likely,
        sentence: "The program may not read or write its home directory.",
        advice: HOME,
        source: "errno(3) EACCES, EROFS as told by coreutils 9.1, GLib 2.74, CPython 3.11, Node 20 (EACCES), OpenJDK 17",
        ..BLANK
    },
    Rule {
        name: "secret-permission",
        cause: Cause::FilePermission,
        any: &[
            "/secrets/*Permission denied",
            "/run/secrets*Permission denied",
            "Permission denied*/secrets/",
            "/etc/*Permission denied",
            "Permission denied*/etc/",
            "/opt/*Permission denied",
            "/mnt/*Permission denied",
            "/var/*Permission denied",
            "Permission denied*/var/",
            "Permission denied*/opt/",
            "/srv/*Permission denied",
            "/usr/*Permission denied",
            "/tmp/*Permission denied",
            "/data/*Permission denied",
        ],
        never: NOT_HOME,
        weight: Weight::Noise,
        confidence: Confidence::Likely,
        sentence: "The program may not read or write a file that it needs.",
        advice: "Give the file to the uid that the application runs as: `defaultMode: 0444` or `fsGroup` for a secret or ConfigMap (od.config: \
                 `secrets_requirement`, label `oc.secrets_requirement`), `chmod` in the image otherwise. `id; namei -l FILE` shows it.",
        source: "errno(3) EACCES as told by coreutils 9.1, GLib 2.74, CPython 3.11",
        ..BLANK
    },
    Rule {
        name: "file-permission",
        cause: Cause::FilePermission,
        any: &[
            "Permission denied",
            "EACCES: ",
            "AccessDeniedException",
            "Operation not permitted",
            "Access is denied",
        ],
        never: &[
            "dconf",
            "recently-used",
            "/dev/dri",
            "/dev/nvidia",
            "/dev/snd",
            "/run/user",
            "dbus",
            "D-Bus",
            "exec",
            "nice",
            "oom_score",
            "rlimit",
            "rtkit",
            "sched",
            "ICEauthority",
            "pulse",
            "udev",
            "inotify",
            "libEGL",
            "MESA",
        ],
        weight: Weight::Noise,
        confidence: Confidence::Possible,
        sentence: "The program was refused access to a file or device.",
        advice: "`id; namei -l FILE` where it ran shows who may; set `runAsUser`, `fsGroup` or `supplementalGroups` in the \
                 securityContext (od.config: `desktop.pod`; label `oc.securitycontext`), or the file's mode in the image.",
        source: "errno(3) EACCES, EPERM",
        ..BLANK
    },
];
