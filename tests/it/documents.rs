//! Application documents on a whole deskd: over the API, the command line and a watched directory;
//! whom access lists let see them; and what is left of them after a `kill -9`.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::{Value, json};

use super::support::desk::Desk;
use super::support::http::{Answer, Ask};
use super::support::xvnc::{Xvnc, available, eventually};

const CONFIG: &str = "[user]\nname = \"anna\"\ngroups = [\"interns\"]\n\
    [app.gedit]\nneeds_display = false\ncommand = [\"true\"]\n";

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("DESKD_ROOT")).join(format!("tests/fixtures/apps/docs-{name}.json"))
}

fn document(name: &str) -> Value {
    serde_json::from_str(&std::fs::read_to_string(fixture(name)).unwrap()).unwrap()
}

fn put(desk: &Desk, body: &Value) -> Answer {
    desk.ask("PUT", "/v1/apps").json(body).send()
}

fn ids(apps: &Value) -> Vec<String> {
    let id = |app: &Value| app["id"].as_str().unwrap().to_owned();
    apps.as_array().unwrap().iter().map(id).collect()
}

fn listed(desk: &Desk, query: &str) -> Vec<String> {
    ids(&desk.get(&format!("/v1/apps{query}")))
}

fn deskd(desk: &Desk, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_deskd"));
    command.arg("--socket").arg(desk.socket()).args(args).output().unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

#[test]
fn documents_are_put_searched_and_outlive_the_daemon() {
    if !available() {
        return;
    }
    let desk = Desk::start(CONFIG, None);
    let answer = put(&desk, &document("2048-alpine")).expect(201);
    assert_eq!(answer[0]["change"], "added");
    assert_eq!(answer[0]["app"]["problems"], json!([]));
    put(&desk, &document("2048-ubuntu")).expect(201);
    let again = put(&desk, &document("2048-ubuntu")).expect(200);
    assert_eq!(again[0]["change"], "updated");
    put(&desk, &document("malformed")).expect(201);
    let firefox = put(&desk, &document("firefox")).expect(201);
    assert_eq!(firefox.as_array().unwrap().len(), 2);

    // Firefox is denied to interns, and an unreadable list permits nobody.
    let visible = ["2048-alpine", "2048-ubuntu", "gedit", "terminal-mulateur"];
    assert_eq!(listed(&desk, ""), visible);
    assert_eq!(listed(&desk, "?category=Games&q=2048%20ubuntu"), ["2048-ubuntu"]);
    assert_eq!(listed(&desk, "?file_type=.html"), Vec::<String>::new());
    let all = desk.get("/v1/apps?file_type=.html&all=true");
    assert_eq!(ids(&all), ["firefox"]);
    let why = all[0]["problems"][0].as_str().unwrap();
    assert!(why.contains("`interns`") && why.contains("anna"), "{why}");
    assert_eq!(listed(&desk, "?file_type=image/png&all=true"), ["firefox"]);
    let mut events = desk.ask("GET", "/v1/events").events();
    let snapshot = events.until(|event| event.name == "snapshot");
    assert_eq!(ids(&snapshot.data["apps"]), visible);
    drop(events);

    // What cannot be read changes nothing, and neither does what belongs to the configuration.
    let config_and_new = json!([document("crictl"), { "Id": "1", "RepoTags": ["new:1"] }]);
    let refused = put(&desk, &config_and_new);
    assert!(refused.text().contains("gedit"), "{}", refused.text());
    assert_eq!(refused.refusal(409), "app_from_config");
    assert_eq!(put(&desk, &json!([{ "Config": {} }])).refusal(400), "invalid_document");
    assert_eq!(put(&desk, &json!({ "id": "x" })).refusal(400), "invalid_app");

    let before = desk.get("/v1/apps?all=true");
    assert_eq!(before.as_array().unwrap().len(), 6);
    let old = desk.kill_daemon();
    desk.until_back(old);
    assert_eq!(desk.get("/v1/apps?all=true"), before);

    // What is shown can be sent back, and what was added removed.
    let shown = desk.get("/v1/apps/2048-alpine");
    put(&desk, &shown).expect(200);
    assert_eq!(desk.get("/v1/apps/2048-alpine"), shown);
    desk.ask("DELETE", "/v1/apps/2048-alpine").send().expect(204);
    assert!(!listed(&desk, "?all=true").contains(&"2048-alpine".to_owned()));
}

#[test]
fn documents_are_added_from_files_with_a_word_about_each_application() {
    if !available() {
        return;
    }
    let desk = Desk::start("", None);
    let files = ["2048-alpine", "2048-ubuntu", "crictl", "malformed"].map(fixture);
    let args: Vec<_> = files.iter().map(|file| file.to_str().unwrap()).collect();
    let added = deskd(&desk, &[&["app", "add"], &args[..]].concat());
    assert!(added.status.success(), "{added:?}");
    let expect = "added 2048-alpine\nadded 2048-ubuntu\nadded gedit\nadded broken\n";
    assert_eq!(text(&added.stdout), expect);
    let problems = text(&added.stderr);
    assert!(problems.contains("application broken: label oc.acl is not JSON"), "{problems}");
    assert!(!problems.contains("2048"), "{problems}");
    let again = deskd(&desk, &["app", "add", args[2]]);
    assert_eq!(text(&again.stdout), "updated gedit\n");

    let list = |args: &[&str]| {
        let output = deskd(&desk, &[&["app", "list", "-o", "json"], args].concat());
        ids(&serde_json::from_slice(&output.stdout).unwrap())
    };
    assert_eq!(list(&["2048", "qt"]), Vec::<String>::new());
    assert_eq!(list(&["--category", "games"]), ["2048-alpine", "2048-ubuntu"]);
    assert_eq!(list(&["--file-type", ".md"]), ["gedit"]);
    assert_eq!(list(&["--all", "broken"]), ["broken"]);
    let show = deskd(&desk, &["app", "show", "2048-ubuntu"]);
    assert!(text(&show.stdout).contains("docker.io/abcdesktopio/2048-ubuntu.d:3.2"), "{show:?}");

    // A long list goes in pieces, and one broken file keeps all others from being sent.
    let many: Vec<_> = (0..40)
        .map(|number| {
            let mut image = document("2048-alpine")[0].clone();
            image["Config"]["Labels"]["oc.name"] = json!(format!("game-{number:02}"));
            image["Config"]["Labels"]["padding"] = json!("x".repeat(60 << 10));
            image
        })
        .collect();
    let file = desk.dir.path().join("many.json");
    std::fs::write(&file, json!(many).to_string()).unwrap();
    let broken = desk.dir.path().join("broken.json");
    std::fs::write(&broken, "[{\"a\": 1}]").unwrap();
    let (many, broken) = (file.to_str().unwrap(), broken.to_str().unwrap());
    let refused = deskd(&desk, &["app", "add", many, broken]);
    assert!(text(&refused.stderr).contains("element 0 of the list"), "{refused:?}");
    assert!(list(&["game"]).iter().all(|id| !id.starts_with("game-")));
    let added = deskd(&desk, &["app", "add", many]);
    assert_eq!(text(&added.stdout).lines().count(), 40, "{added:?}");
    assert_eq!(list(&["game-"]).len(), 40);
}

/// A directory as kubelet mounts a ConfigMap: files are links through `..data`, which is swapped.
struct ConfigMap {
    dir: tempfile::TempDir,
    version: u32,
}

impl ConfigMap {
    fn new() -> Self {
        let dir = tempfile::Builder::new().prefix("deskd-it-apps-").tempdir().unwrap();
        std::fs::set_permissions(dir.path(), PermissionsExt::from_mode(0o755)).unwrap();
        Self { dir, version: 0 }
    }

    /// What kubelet's atomic writer does (`pkg/volume/util/atomic_writer.go`).
    fn set(&mut self, files: &[(&str, &str)]) {
        let root = self.dir.path();
        self.version += 1;
        let version = format!("..2026_{}", self.version);
        std::fs::create_dir(root.join(&version)).unwrap();
        for (name, text) in files {
            std::fs::write(root.join(&version).join(name), text).unwrap();
        }
        symlink(&version, root.join("..data_tmp")).unwrap();
        std::fs::rename(root.join("..data_tmp"), root.join("..data")).unwrap();
        for (name, _) in files {
            if root.join(name).symlink_metadata().is_err() {
                symlink(Path::new("..data").join(name), root.join(name)).unwrap();
            }
        }
        for entry in std::fs::read_dir(root).unwrap().map(Result::unwrap) {
            let name = entry.file_name().into_string().unwrap();
            if !name.starts_with("..") && !files.iter().any(|(kept, _)| *kept == name) {
                std::fs::remove_file(entry.path()).unwrap();
            } else if name.starts_with("..2026") && name != version {
                std::fs::remove_dir_all(entry.path()).unwrap();
            }
        }
    }
}

#[test]
fn a_mounted_configmap_is_followed_file_by_file() {
    if !available() {
        return;
    }
    let read = |name: &str| std::fs::read_to_string(fixture(name)).unwrap();
    let (alpine, ubuntu) = (read("2048-alpine"), read("2048-ubuntu"));
    let mut map = ConfigMap::new();
    map.set(&[("a.json", &alpine), ("b.json", "{ broken")]);
    let path = map.dir.path().to_owned();
    let desk = Desk::start(&format!("apps_directory = {:?}\n", path.to_str().unwrap()), None);
    // What is there at the start is there from the first answer on.
    assert_eq!(listed(&desk, ""), ["2048-alpine", "b"]);
    let broken = desk.get("/v1/apps/b");
    assert!(broken["problems"][0].as_str().unwrap().contains("b.json cannot be read"), "{broken}");
    assert_eq!(desk.get("/v1/apps/2048-alpine")["source"], "directory");
    let refused = desk.ask("DELETE", "/v1/apps/2048-alpine").send();
    assert!(refused.text().contains(path.join("a.json").to_str().unwrap()), "{}", refused.text());
    assert_eq!(refused.refusal(409), "app_from_directory");
    assert_eq!(put(&desk, &document("2048-alpine")).refusal(409), "app_from_directory");

    // An application that was added is hidden by the directory's and comes back after it.
    put(&desk, &document("2048-ubuntu")).expect(201);
    map.set(&[("a.json", &alpine), ("b.json", &ubuntu.replace("2048 ubuntu", "From the file"))]);
    let name = |app: &str| desk.get(&format!("/v1/apps/{app}"))["display_name"].clone();
    eventually("the swapped file", || (name("2048-ubuntu") == "From the file").then_some(()));
    assert_eq!(listed(&desk, ""), ["2048-alpine", "2048-ubuntu"]);

    // A file that breaks keeps its applications, and says so where they are listed.
    map.set(&[("a.json", "[]"), ("b.json", &ubuntu)]);
    eventually("the added application's own name", || {
        (name("2048-ubuntu") == "2048 ubuntu").then_some(())
    });
    let kept = desk.get("/v1/apps/2048-alpine");
    assert!(kept["problems"][0].as_str().unwrap().contains("a.json cannot be read any more"));
    let table = deskd(&desk, &["app", "list"]);
    assert!(text(&table.stdout).contains("cannot be read any more"), "{table:?}");

    map.set(&[("b.json", &ubuntu)]);
    eventually("the removed file", || (listed(&desk, "") == ["2048-ubuntu"]).then_some(()));
    std::fs::remove_dir_all(&path).unwrap();
    eventually("the removed directory", || {
        (desk.get("/v1/apps/2048-ubuntu")["source"] == "api").then_some(())
    });
    std::fs::create_dir(&path).unwrap();
    let elsewhere = desk.dir.path().join("new.json");
    std::fs::write(&elsewhere, &alpine).unwrap();
    std::fs::rename(&elsewhere, path.join("new.json")).unwrap();
    eventually("the directory that came back", || {
        (listed(&desk, "") == ["2048-alpine", "2048-ubuntu"]).then_some(())
    });
    let log = desk.log();
    assert!(log.contains("b.json is not used") && log.contains("a.json is not used"), "{log}");
}

/// As if others of the user had all instances of inotify that it may have: there are none in a user namespace of its own.
const WITHOUT_INOTIFY: &[&str] = &[
    "unshare",
    "--user",
    "--map-current-user",
    "--keep-caps",
    "sh",
    "-c",
    "echo 0 >/proc/sys/user/max_inotify_instances && exec setpriv --ambient-caps=-all --inh-caps=-all \"$@\"",
    "sh",
];

#[test]
fn a_directory_that_cannot_be_watched_is_read_and_looked_at_again() {
    if !available() {
        return;
    }
    let map = ConfigMap::new();
    let path = map.dir.path().to_owned();
    std::fs::copy(fixture("2048-alpine"), path.join("a.json")).unwrap();
    let config = format!("apps_directory = {:?}\n", path.to_str().unwrap());
    let desk = Desk::start_called("deskd-it-", WITHOUT_INOTIFY, &config);
    // Root is nobody to deskd there.
    let bearer = format!("Bearer {}", desk.token());
    let listed = || {
        let ask = Ask::new(&desk.tcp(), "GET", "/v1/apps").header("authorization", &bearer);
        ids(&ask.send().expect(200))
    };
    assert_eq!(listed(), ["2048-alpine"]);
    assert!(desk.log().contains("cannot be watched (Too many open files)"), "{}", desk.log());
    std::fs::copy(fixture("2048-ubuntu"), path.join("b.json")).unwrap();
    eventually("the new file", || (listed() == ["2048-alpine", "2048-ubuntu"]).then_some(()));
}

#[test]
fn an_image_s_program_runs_outside_of_its_image_only_where_the_operator_permits_it() {
    if !available() {
        return;
    }
    let image = |name: &str, more: &Value| {
        let mut labels = json!({ "oc.name": name, "oc.path": "/bin/sleep", "oc.args": "60",
            "oc.fileextensions": "txt" });
        labels.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let config = json!({ "Cmd": ["/composer/start.sh"], "Labels": labels });
        json!({ "Id": name, "RepoTags": [format!("{name}:1")], "Config": config })
    };
    let server = Xvnc::start();
    let desk = Desk::start("[kubernetes]\nlocal = [\"permitted\"]\n", Some(&server));
    let default = json!({ "oc.usedefaultapplication": "true", "io.deskd.local": "allowed" });
    put(&desk, &json!([image("permitted", &json!({})), image("secret", &default)])).expect(201);

    // Its program is here, no engine is enabled, and its document asks for it: all the same.
    let refused = deskd(&desk, &["launch", "secret", "--engine", "local"]);
    let why = text(&refused.stderr);
    assert!(why.contains("the configuration does not permit it to run outside that"), "{why}");
    assert!(why.contains("add `secret` to `local` in [kubernetes]"), "{why}");
    assert!(!deskd(&desk, &["launch", "secret"]).status.success());
    let plan = deskd(&desk, &["explain", "permitted"]);
    let plan = text(&plan.stdout);
    assert!(plan.contains("permitted would run as local"), "{plan}");
    assert!(plan.contains("the configuration permits it to run outside its image"), "{plan}");

    // Both commands are shown, and the default application of a file type comes first.
    let shown = deskd(&desk, &["app", "show", "secret"]);
    for words in ["/bin/sleep 60", "/composer/start.sh", "opened by default"] {
        assert!(text(&shown.stdout).contains(words), "{words}: {shown:?}");
    }
    assert_eq!(listed(&desk, ""), ["permitted", "secret"]);
    assert_eq!(listed(&desk, "?file_type=.txt"), ["secret", "permitted"]);
}

/// A `docker inspect` document whose every command is a shell that makes a file.
fn hostile_document(name: &str, made: &Path) -> Value {
    let mut document = document("2048-alpine");
    let script = format!("touch {}", made.display());
    let config = &mut document[0]["Config"];
    config["Entrypoint"] = json!(["/bin/sh", "-c", script]);
    config["Cmd"] = json!(["/bin/sh", "-c", script]);
    config["WorkingDir"] = json!("/");
    let labels = json!({
        "oc.type": "app", "oc.name": name, "oc.path": "/bin/sh", "oc.displayname": name,
        "oc.args": format!("-c '{script}'"), "oc.launch": "/bin/sh", "io.deskd.entrypoint": "program",
        "io.deskd.local": "true", "local": "true", "sandbox": "off", "oc.acl": "{\"permit\":[\"all\"]}",
    });
    config["Labels"] = labels;
    document
}

#[test]
fn labels_that_name_a_shell_run_nothing_in_deskds_container_whichever_way_they_come() {
    if !available() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o777)).unwrap();
    let watched = tempfile::tempdir().unwrap();
    std::fs::set_permissions(watched.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let made = dir.path().join("made");
    let write = |file: &str, body: &Value| {
        std::fs::write(watched.path().join(file), body.to_string()).unwrap();
    };
    write("labels.json", &hostile_document("by-directory", &made));
    // What the API takes as an application is none in a directory.
    let script = format!("touch {}", made.display());
    let local = json!({ "id": "as-app", "display_name": "as-app", "needs_display": false,
                        "local": { "command": ["/bin/sh", "-c", script] } });
    write("app.json", &local);
    std::fs::write(
        watched.path().join("entry.desktop"),
        format!("[Desktop Entry]\nType=Application\nName=x\nExec=/bin/sh -c \"{script}\"\n"),
    )
    .unwrap();
    let desk =
        Desk::start(&format!("apps_directory = {:?}\n", watched.path().to_str().unwrap()), None);
    put(&desk, &hostile_document("by-api", &made)).expect(201);
    let with_both = json!({
        "id": "both", "display_name": "both", "needs_display": false,
        "local": { "command": ["/bin/sh", "-c", script] },
        "container": desk.get("/v1/apps/by-api")["container"].clone(),
    });
    put(&desk, &with_both).expect(201);
    let file = dir.path().join("document.json");
    std::fs::write(&file, hostile_document("by-command", &made).to_string()).unwrap();
    assert!(deskd(&desk, &["app", "add", file.to_str().unwrap()]).status.success());

    let known = listed(&desk, "?all=true");
    // `app` is the file in the API's format: listed with the problem that it is no document.
    assert_eq!(known, ["app", "both", "by-api", "by-command", "by-directory"]);
    for app in known {
        for engine in [None, Some("local")] {
            let body = json!({ "app": app, "engine": engine, "args": ["-c", script] });
            let refused = desk.ask("POST", "/v1/tasks").json(&body).send();
            assert!((400..500).contains(&refused.status), "{app}: {}", refused.status);
            let plan = desk.ask("GET", &format!("/v1/apps/{app}/plan?engine=local")).send();
            let body = String::from_utf8_lossy(&plan.body).into_owned();
            let why = if app == "app" {
                "has no command"
            } else {
                "does not permit it to run outside that"
            };
            assert!(body.contains(why), "{app}: {body}");
        }
    }
    assert!(!made.exists());
    // The same shell where the operator's file names it: so the test would see it run.
    let permitted = format!(
        "apps_directory = {:?}\n[kubernetes]\nlocal = [\"by-directory\"]\n",
        watched.path().to_str().unwrap()
    );
    let desk = Desk::start(&permitted, None);
    let plan = desk.ask("GET", "/v1/apps/by-directory/plan?engine=local").send();
    let body = String::from_utf8_lossy(&plan.body).into_owned();
    assert!(!body.contains("does not permit it"), "{body}");
}
