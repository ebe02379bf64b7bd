//! What programs write, and what it means.

use super::*;

#[track_caller]
fn check(cases: &[(&str, Cause)]) {
    for (log, cause) in cases {
        let diagnosis = cause_of(log, &failed());
        assert_eq!(diagnosis.cause, Some(*cause), "{log:?}: {diagnosis:#?}");
        assert!(!diagnosis.proof.is_empty(), "{log:?}");
    }
}

/// What the cluster says: as an event, and as a text of which nobody knows more.
#[track_caller]
fn said(cases: &[(&str, Cause)]) {
    for (words, cause) in cases {
        let mut e = Evidence::default();
        assert_eq!(cause_of(words, &e).cause, Some(*cause), "{words:?}");
        e.cluster.events = vec![format!("Failed: {words}")];
        let diagnosis = cause_of("", &e);
        assert_eq!(diagnosis.cause, Some(*cause), "{words:?}: {diagnosis:#?}");
    }
}

#[test]
fn shared_memory() {
    use Cause::{ShmRefused, ShmWrongMemory};
    check(&[
        (
            "The program 'gnome-2048' received an X Window System error.\nThis probably reflects a bug in the \
             program.\nThe error was 'BadShmSeg (invalid shared segment parameter)'.\n  (Details: serial 341 \
             error_code 128 request_code 131 (MIT-SHM) minor_code 3)\n",
            ShmRefused,
        ),
        (
            "X Error of failed request:  BadAccess (attempt to access private resource denied)\n  Major opcode of \
             failed request:  131 (MIT-SHM)\n  Minor opcode of failed request:  1 (X_ShmAttach)\n",
            ShmRefused,
        ),
        (
            "X Error of failed request:  BadValue (integer parameter out of range for operation)\n  Major opcode of \
             failed request:  131 (MIT-SHM)\n  Minor opcode of failed request:  3 (X_ShmPutImage)\n",
            ShmWrongMemory,
        ),
        (
            "X Error: BadShmSeg (invalid shared segment parameter) 128\n  Extension:    131 (MIT-SHM)\n  Minor \
             opcode: 3 (Unknown request)\n  Resource id:  0x2800013\n",
            ShmRefused,
        ),
    ]);
}

#[test]
fn displays() {
    use Cause::{
        DisplayCookieRefused, DisplayLost, DisplayNotListening, DisplayWrong, XClientsLimit,
    };
    check(&[
        ("xterm: Xt error: Can't open display: :7\n", DisplayNotListening),
        ("Cannot open display: \n", DisplayWrong),
        ("No protocol specified\nError: cannot open display: :0\n", DisplayCookieRefused),
        ("Invalid MIT-MAGIC-COOKIE-1 keyError: Can't open display: :0\n", DisplayCookieRefused),
        (
            "Maximum number of clients reachedxterm: Xt error: Can't open display: :0\n",
            XClientsLimit,
        ),
        ("_tkinter.TclError: no display name and no $DISPLAY environment variable\n", DisplayWrong),
        (
            "XIO:  fatal IO error 11 (Resource temporarily unavailable) on X server \":0\"\n      after 1081 requests\n",
            DisplayLost,
        ),
        ("The X11 connection broke (error 1). Did the X11 server die?\n", DisplayLost),
        ("app: cannot connect to X server 172.17.0.10:0\n", DisplayNotListening),
        ("pygame.error: No available video device\n", DisplayNotListening),
    ]);
}

#[test]
fn toolkits_and_browsers() {
    use Cause::{
        ChromiumGpu, ChromiumSandbox, DbusMissing, DevShmTooSmall, GlMissing, QtPluginMissing,
    };
    check(&[
        (
            "qt.qpa.plugin: Could not load the Qt platform plugin \"xcb\" in \"\" even though it was found.\nThis \
             application failed to start because no Qt platform plugin could be initialized.\n",
            QtPluginMissing,
        ),
        (
            "[1:1:0101/0:FATAL:zygote_host_impl_linux.cc(126)] No usable sandbox! Update your kernel\n",
            ChromiumSandbox,
        ),
        (
            "[1:1:0101/0:ERROR:zygote_host_impl_linux.cc(100)] Running as root without --no-sandbox is not supported.\n",
            ChromiumSandbox,
        ),
        (
            "[9:9:0101/0:ERROR:platform_shared_memory_region_posix.cc(214)] Creating shared memory in \
             /dev/shm/.org.chromium.Chromium.a1b2c3 failed: No space left on device (28)\n",
            DevShmTooSmall,
        ),
        (
            "[1:1:FATAL:gpu_data_manager_impl_private.cc(415)] GPU process isn't usable. Goodbye.\n",
            ChromiumGpu,
        ),
        ("Error: couldn't get an RGB, Double-buffered visual\n", GlMissing),
        ("Failed to register: Could not connect: No such file or directory\n", DbusMissing),
    ]);
}

#[test]
fn processes_files_and_memory() {
    use Cause::{
        AllocationFailed, Crashed, HomePermission, LibraryMissing, NoSpace, OutOfMemory,
        ProgramNotExecutable, ProgramNotFound, WrongArchitecture,
    };
    check(&[
        (
            "app: error while loading shared libraries: libfoo.so.1: cannot open shared object file: No such file\n",
            LibraryMissing,
        ),
        (
            "/entry.sh: line 3: /opt/app: cannot execute binary file: Exec format error\n",
            WrongArchitecture,
        ),
        ("exec: \"/nope\": stat /nope: no such file or directory", ProgramNotFound),
        ("env: 'nope': No such file or directory\n", ProgramNotFound),
        ("env: '/etc/passwd': Permission denied\n", ProgramNotExecutable),
        (
            "mkdir: cannot create directory '/home/balloon/.config': Permission denied\n",
            HomePermission,
        ),
        ("cp: error writing 'x': No space left on device\n", NoSpace),
        (
            "terminate called after throwing an instance of 'std::bad_alloc'\n  what():  std::bad_alloc\n",
            AllocationFailed,
        ),
        ("/entry.sh: line 7:    12 Segmentation fault      (core dumped) app\n", Crashed),
        ("/entry.sh: line 7:    12 Killed                  app\n", OutOfMemory),
    ]);
}

#[test]
fn clusters() {
    use Cause::{
        AdmissionDenied, ContainerConfig, Evicted, ImageAuth, ImageNameInvalid, ImageNeverPulled,
        ImageNotFound, ImageRateLimit, QuotaExceeded, RegistryAway, RightMissing,
        UnschedulableResource, UnschedulableSelector, UnschedulableTaint,
    };
    said(&[
        (
            "pods \"q4\" is forbidden: exceeded quota: cap, requested: pods=1, used: pods=3, limited: pods=3",
            QuotaExceeded,
        ),
        (
            "0/1 nodes are available: 1 Insufficient nvidia.com/gpu. preemption: 0/1 nodes are available",
            UnschedulableResource,
        ),
        (
            "0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector.",
            UnschedulableSelector,
        ),
        (
            "0/2 nodes are available: 2 node(s) had untolerated taint {gpu: true}.",
            UnschedulableTaint,
        ),
        (
            "failed to pull and unpack image \"r/a:b\": failed to resolve reference \"r/a:b\": r/a:b: not found",
            ImageNotFound,
        ),
        ("Failed to pull image \"r/a\": failed to authorize: 401 Unauthorized", ImageAuth),
        (
            "Failed to pull image \"a\": 429 Too Many Requests - toomanyrequests: You have reached your pull rate limit",
            ImageRateLimit,
        ),
        (
            "Failed to pull image \"r/a\": failed to do request: Head \"https://r/v2\": dial tcp: lookup r: no such host",
            RegistryAway,
        ),
        (
            "Failed to apply default image tag \"A:b\": couldn't parse image name \"A:b\": invalid reference format",
            ImageNameInvalid,
        ),
        ("Container image \"a\" is not present with pull policy of Never", ImageNeverPulled),
        ("Error: secret \"vnc\" not found", ContainerConfig),
        ("The node was low on resource: memory. Threshold quantity: 100Mi", Evicted),
        (
            "pods \"a\" is forbidden: violates PodSecurity \"restricted:latest\": allowPrivilegeEscalation != false",
            AdmissionDenied,
        ),
        (
            "pods is forbidden: User \"system:serviceaccount:d:deskd\" cannot create resource \"pods\" in API group \"\"",
            RightMissing,
        ),
    ]);
}

#[test]
fn every_family_is_read_without_a_mistake_and_each_rule_has_a_name_of_its_own() {
    let mut names = std::collections::BTreeSet::new();
    for (family, text) in rules::FAMILIES {
        // Also: each fires on the lines on which it must, and not on those on which it must not.
        let read = rules::read(text).unwrap_or_else(|problems| panic!("{family}: {problems:#?}"));
        assert!(!read.is_empty(), "{family}");
        for rule in read {
            assert!(names.insert(rule.id.clone()), "two rules are called {}", rule.id);
            let quiet = rule.patterns.is_empty() || !rule.silent.is_empty();
            assert!(quiet, "{} has no line on which it must not fire", rule.id);
        }
    }
}

#[test]
fn every_sentence_has_what_it_tells() {
    for rule in Rules::built_in().all() {
        assert!(!rule.sentence.is_empty() && !rule.advice.is_empty(), "{}", rule.id);
        for number in (1..=9)
            .filter(|n| format!("{} {}", rule.sentence, rule.advice).contains(&format!("{{{n}}}")))
        {
            for pattern in &rule.patterns {
                let stars = pattern.matches('*').count();
                assert!(stars >= number, "{}: {pattern:?} has no {{{number}}}", rule.id);
            }
        }
    }
}

#[test]
fn every_cause_has_a_rule_and_words() {
    for cause in Cause::ROOTS_FIRST {
        assert!(Rules::built_in().all().any(|rule| rule.cause == cause), "{cause:?}");
        assert!(rules::text(cause).is_some(), "{cause:?}");
    }
}
