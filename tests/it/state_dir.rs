//! Whatever stands where deskd's own files belong, and whatever a user puts where the cookie is read:
//! the desktop comes up, and what is said is true.

use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};

use nix::sys::stat::Mode;

use crate::support::desk::Desk;
use crate::support::http::Ask;
use crate::support::xvnc::{POD_UID, Xvnc, available, eventually};

const APPS: &str = r#"
[app.says]
needs_display = false
command = ["echo", "said"]
"#;

/// Every name in the state directory that deskd opens.
const NAMES: [&str; 7] =
    ["token", "tasks.jsonl", "tasks.new", "deskd.sock", "keeper.lock", "logs", "Xauthority"];

type Make = fn(&Path);

/// What is put there.
const STRANGERS: [(&str, Make); 5] = [
    ("a FIFO", |path| nix::unistd::mkfifo(path, Mode::S_IRWXU).expect("it can be made")),
    ("a directory", |path| {
        std::fs::create_dir(path).expect("it can be made");
        std::fs::write(path.join("full"), "").expect("it can be made");
    }),
    ("a link to a device", |path| {
        std::os::unix::fs::symlink("/dev/zero", path).expect("it can be made")
    }),
    ("a link to nothing", |path| {
        std::os::unix::fs::symlink("/nowhere/at/all", path).expect("it can be made")
    }),
    ("a huge file", |path| {
        std::fs::File::create(path)
            .expect("it can be made")
            .set_len(20 << 30)
            .expect("it can be made")
    }),
];

#[test]
fn the_desktop_comes_up_whatever_stands_in_the_place_of_its_files() {
    if !available() {
        return;
    }
    for (what, make) in STRANGERS {
        // A directory of that name is what belongs there.
        let names = NAMES.iter().filter(|name| (**name, what) != ("logs", "a directory"));
        let key = [("XAUTH_KEY", "5a".repeat(16))];
        let desk = Desk::start_in(APPS, None, &key, |state| {
            for name in names {
                let path = state.join(name);
                make(&path);
                nix::unistd::fchownat(
                    nix::fcntl::AT_FDCWD,
                    &path,
                    Some(POD_UID.into()),
                    Some(POD_UID.into()),
                    nix::fcntl::AtFlags::AT_SYMLINK_NOFOLLOW,
                )
                .expect("it can be made");
            }
        });
        assert_eq!(Ask::new(&desk.tcp(), "GET", "/livez").send().status, 200, "{what}");
        let task = desk.launch("says");
        assert_eq!(desk.ended(&task)["exit"]["code"], 0, "{what}");
        let log = desk.ask("GET", &format!("/v1/tasks/{task}/log")).send();
        assert_eq!(log.text(), "said\n", "{what}");
        let bearer = format!("Bearer {}", desk.token());
        Ask::new(&desk.tcp(), "GET", "/v1/tasks")
            .header("authorization", &bearer)
            .send()
            .expect(200);
        assert!(desk.log().contains("was renamed to"), "{what}: {}", desk.log());
    }
}

/// Everything below a directory, deepest first.
fn below(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).expect("a directory").flatten() {
        if entry.path().is_dir() {
            found.extend(below(&entry.path()));
        }
        found.push(entry.path());
    }
    found
}

fn forbid(path: &Path) {
    std::fs::set_permissions(path, PermissionsExt::from_mode(0o000)).expect("it can be changed");
}

#[test]
fn what_its_mode_keeps_from_deskd_is_mended_and_nothing_is_lost() {
    if !available() {
        return;
    }
    let mut first = Desk::start(APPS, None);
    let task = first.launch("says");
    first.ended(&task);
    first.end();
    let before = first.dir.path().join("state");
    let desk = Desk::start_in(APPS, None, &[], |state| {
        std::fs::remove_dir(state).expect("it is empty");
        std::fs::rename(&before, state).expect("it can be moved");
        below(state).iter().filter(|path| !path.ends_with("token")).for_each(|path| forbid(path));
    });
    let said = || desk.ask("GET", &format!("/v1/tasks/{task}/log")).send().text();
    assert_eq!(said(), "said\n", "{}", desk.log());
    let again = desk.launch("says");
    assert_eq!(desk.ended(&again)["exit"]["code"], 0);
    assert!(desk.log().contains("keeper.lock had mode 0000"), "{}", desk.log());
    // What cannot be read later on is missing, and said to be.
    let dir = desk.dir.path().join("state/logs").join(&task);
    below(&dir).iter().for_each(|path| forbid(path));
    assert!(said().contains("missing here"), "{}", said());
}

#[test]
fn a_limit_of_file_sizes_ends_no_daemon_and_is_told() {
    if !available() {
        return;
    }
    let desk = Desk::start_called("deskd-it-", &["prlimit", "--fsize=200000:200000"], APPS);
    let daemon = desk.daemon_pid();
    let keywords = ["x".repeat(300_000)];
    let large = serde_json::json!({ "id": "large", "display_name": "Large", "keywords": keywords,
                                    "local": { "command": ["true"] } });
    desk.ask("PUT", "/v1/apps").json(&large).send().expect(201);
    let told = desk.get("/v1/desktop").to_string();
    assert!(told.contains("tasks cannot be recorded"), "{told}");
    assert_eq!(desk.daemon_pid(), daemon);
}

#[test]
fn a_cookie_file_that_blocks_does_not_keep_readiness_from_telling_the_truth() {
    if !available() {
        return;
    }
    let mut server = Xvnc::start();
    let home = tempfile::tempdir().expect("it can be made");
    std::fs::set_permissions(home.path(), PermissionsExt::from_mode(0o755))
        .expect("it can be made");
    let file = home.path().join("Xauthority");
    let cookie = deskd::display::Cookie::from_hex(&server.key).expect("it can be made");
    let number = server.number;
    deskd::display::write_xauthority(&file, &cookie, number, deskd::display::Servers::default())
        .expect("it can be made");
    chown(&file, Some(POD_UID), Some(POD_UID)).expect("it can be made");
    let env = [
        ("XAUTHORITY", file.to_str().expect("it can be made").to_owned()),
        ("DISPLAY", format!(":{number}")),
    ];
    let desk = Desk::start_with("", None, &env);
    let ready = || Ask::new(&desk.tcp(), "GET", "/readyz").send();
    eventually("readiness", || (ready().status == 200).then_some(()));
    std::fs::remove_file(&file).expect("it can be made");
    nix::unistd::mkfifo(&file, Mode::S_IRWXU).expect("it can be made");
    chown(&file, Some(POD_UID), Some(POD_UID)).expect("it can be made");
    server.kill();
    let answer = eventually("readiness fails", || Some(ready()).filter(|it| it.status == 503));
    assert!(answer.text().contains("[-]display failed"), "{}", answer.text());
    eventually("the reason is told", || {
        desk.get("/v1/desktop").to_string().contains("it is a FIFO").then_some(())
    });
}
