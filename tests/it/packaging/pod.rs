//! Both images as the containers of one pod: Xvnc in one, deskd in the other, one user, shared IPC
//! and network namespaces.

use std::process::Command;

use serde_json::Value;

use super::containers::{Container, Image, Pod, RunningContainer, build_images};
use super::{delivered, eventually, repository, stdout_of};

/// Stripped size the binary may have, in bytes.
const DESKD_BYTES_MAX: u64 = 12_000_000;
/// The same, of the keeper.
const KEEPER_BYTES_MAX: u64 = 1_200_000;
/// The same, built where Rust has no musl target (`Makefile`).
const KEEPER_WITH_GLIBC_BYTES_MAX: u64 = 1_800_000;
/// What the containers share: the X server's socket, and its cookie.
const SHARED: [(&str, &str); 2] = [("x11", "/tmp/.X11-unix"), ("xauthority", "/run/xauthority")];
const COOKIE: (&str, &str) = ("XAUTHORITY", "/run/xauthority/Xauthority");
const PATH: (&str, &str) = ("PATH", "/usr/local/bin:/usr/bin:/bin:/usr/games");
const TOOLS: [&str; 6] = ["buildah", "runc", "debootstrap", "unshare", "nsenter", "ip"];

/// The variables of container/pod.yaml.
const DESKD: [(&str, &str); 8] = [
    PATH,
    COOKIE,
    ("DISPLAY", ":0"),
    ("X11LISTEN", "tcp"),
    ("DESKD_LISTEN", "0.0.0.0:29791"),
    ("DESKD_STATE_DIR", "/run/deskd/state"),
    ("TERMINATION_GRACE_PERIOD_SECONDS", "30"),
    ("POD_NAME", "desktop"),
];

fn start_xvnc(pod: &Pod, image: &Image) -> RunningContainer {
    let env = [PATH, COOKIE, ("DISPLAY", ":0"), ("HOME", "/tmp")];
    let argv = ["desktop-xvnc"];
    let xvnc =
        Container { pod, name: "graphical", image, argv: &argv, env: &env, volumes: &SHARED };
    xvnc.start()
}

fn start_deskd(pod: &Pod, name: &str, image: &Image, more: &[(&str, &str)]) -> RunningContainer {
    let env = [&DESKD, more].concat();
    let volumes = [&SHARED[..], &[(name, "/run/deskd")]].concat();
    let argv = ["deskd", "run"];
    Container { pod, name, image, argv: &argv, env: &env, volumes: &volumes }.start()
}

/// What deskd says about the display, once it is well.
fn wait_until_ready(deskd: &RunningContainer) -> Value {
    stdout_of(&mut deskd.exec(&["deskd", "health", "--wait", "20s"]));
    let probe = stdout_of(&mut deskd.exec(&["deskd", "probe", "--output", "json"]));
    serde_json::from_str(&probe).expect("JSON")
}

/// The status line of `GET path`, asked for from the node as kubelet does.
fn kubelet_sees(pod: &Pod, path: &str) -> String {
    let script = "exec 3<>/dev/tcp/127.0.0.1/29791; \
                  printf 'GET %s HTTP/1.1\\r\\nHost: pod\\r\\nConnection: close\\r\\n\\r\\n' \"$0\" >&3; \
                  head -1 <&3";
    let output = pod.inside_network(&["bash", "-c", script, path]).output().expect("bash");
    String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
}

/// SIGTERM, as the end of a pod; the exit code.
fn stop(mut container: RunningContainer) -> Option<i32> {
    container.signal("TERM");
    let process = &mut container.process;
    eventually("the container ends", || process.0.try_wait().expect("a child")).code()
}

#[test]
fn both_binaries_are_static_stripped_and_small() {
    let Some(deskd) = delivered(&["readelf"]) else { return };
    let keeper = deskd.with_file_name("deskd-keeper");
    let version = stdout_of(Command::new(&keeper).arg("--version"));
    let keeper_bytes_max = match version.contains("glibc") {
        true => KEEPER_WITH_GLIBC_BYTES_MAX,
        false => KEEPER_BYTES_MAX,
    };
    for (binary, bytes_max) in [(deskd, DESKD_BYTES_MAX), (keeper, keeper_bytes_max)] {
        let bytes = std::fs::metadata(&binary).expect("the binary").len();
        assert!(bytes <= bytes_max, "{}: {bytes} bytes", binary.display());
        let read =
            |option| stdout_of(Command::new("readelf").args([option, "--wide"]).arg(&binary));
        let headers = read("--program-headers");
        assert!(!headers.contains("INTERP"), "no dynamic loader: {headers}");
        assert!(!read("--dynamic").contains("NEEDED"), "no shared library");
        assert!(!read("--section-headers").contains(".symtab"), "stripped");
    }
}

#[test]
fn the_manifest_gives_deskd_what_these_tests_give_it() {
    let manifest = std::fs::read_to_string(repository().join("container/pod.yaml")).expect("pod");
    let kubernetes_own = ["PATH", "POD_NAME"];
    for (name, value) in DESKD.into_iter().filter(|(name, _)| !kubernetes_own.contains(name)) {
        let entry = format!("- name: {name}\n          value: \"{value}\"\n");
        assert!(manifest.contains(&entry), "{entry}");
    }
    for (_, path) in SHARED {
        assert!(manifest.contains(&format!("mountPath: {path}")), "{path}");
    }
}

#[test]
fn in_a_pod_shared_memory_works_and_applications_show_their_windows() {
    let Some(binary) = delivered(&TOOLS) else { return };
    build_images(&binary);
    let (scratch, desktop) =
        (Image::mount("localhost/deskd:latest"), Image::mount("localhost/deskd-desktop:latest"));
    let pod = Pod::new();

    // deskd first, as a sidecar starts: started, alive, and not ready without the X server.
    let deskd = start_deskd(
        &pod,
        "deskd",
        &desktop,
        &[("HOME", "/tmp"), ("DESKD_CONFIG", "/etc/deskd/deskd.toml")],
    );
    let seen = |path: &'static str, code: &'static str| {
        eventually(path, || kubelet_sees(&pod, path).contains(code).then_some(()));
    };
    seen("/startupz", " 200 ");
    assert!(kubelet_sees(&pod, "/livez").contains(" 200 "));
    assert!(kubelet_sees(&pod, "/readyz").contains(" 503 "));

    let graphical = start_xvnc(&pod, &desktop);
    let probe = wait_until_ready(&deskd);
    assert_eq!(probe["display"], ":0", "{probe}");
    assert_eq!(probe["tcp"]["state"], "answering", "{probe}");
    assert_eq!(probe["unix"]["state"], "answering", "{probe}");
    assert_eq!(probe["shm"]["sysv"], "works", "{probe}");
    seen("/readyz", " 200 ");
    a_launched_application_shows_its_window(&deskd);

    // The static image does as well, with nothing else in its file system.
    let alone = start_deskd(&pod, "alone", &scratch, &[("DESKD_LISTEN", "none")]);
    let probe = wait_until_ready(&alone);
    assert_eq!(probe["shm"]["sysv"], "works", "{probe}");
    assert_eq!(stop(alone), Some(0));

    assert_eq!(stop(deskd), Some(0));
    drop(graphical);
}

fn a_launched_application_shows_its_window(deskd: &RunningContainer) {
    let task = stdout_of(&mut deskd.exec(&["deskd", "launch", "gnome-2048"]));
    let task = eventually("a window", || {
        let shown = ["deskd", "task", "show", &task, "--output", "json"];
        let shown: Value = serde_json::from_str(&stdout_of(&mut deskd.exec(&shown))).expect("JSON");
        shown["first_window_ms"].is_number().then_some(shown)
    });
    assert_eq!(task["state"], "running", "{task}");
    assert_eq!(task["engine"], "local", "{task}");
    let user = deskd.exec(&["stat", "--format=%u", &format!("/proc/{}", task["pid"])]).output();
    assert_eq!(String::from_utf8_lossy(&user.expect("stat").stdout).trim(), "4096");
}
