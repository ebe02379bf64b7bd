//! Applications that deskd starts in a desktop of abcdesktop's, beside the same ones started by its
//! control plane: what they find there, and how their end is told.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::support::abcdesktop::{Shared, Way, document, shared, variant};
use crate::support::cluster::eventually;
use crate::support::pyos::{DESKTOP, GRAPHICAL};
use crate::support::task::{has_ended, has_window, stop};

const EPHEMERAL: &str = "ephemeral_container";
const POD: &str = "pod_application";
/// What no application may have of its desktop.
const KEPT: [&str; 6] = [
    "/var/secrets/abcdesktop/vnc",
    "/etc/deskd",
    "/etc/deskd-apps",
    "/opt/deskd",
    "/var/lib/deskd",
    "/var/run/secrets/kubernetes.io/serviceaccount",
];
/// What the program `identity` says last.
const LAST: &str = "env _=";
/// Of its variables, those that are the user's browser's: deskd does not see it.
const OF_THE_BROWSER: &str = "TZ";

/// What the program `identity` said in one place.
struct Told(String);

impl Told {
    /// Started by deskd in an engine.
    fn to_deskd(shared: &Shared, app: &str, engine: &str) -> Self {
        let task = shared.desk.launch(app);
        let ended = shared.desk.until("it has ended", &task, has_ended);
        assert_eq!(ended["engine"], engine, "{ended}");
        went_well(&ended);
        Self(shared.desk.log(&task))
    }

    /// Started by the control plane.
    fn to_pyos(shared: &Shared, pod: &str, container: &str) -> Self {
        let logs = ["logs", pod, "--container", container];
        Self(eventually("it has told everything", || {
            let output = shared.desktop.namespace.kubectl(&logs, "");
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            text.contains(LAST).then_some(text)
        }))
    }

    /// Of what it said with this word.
    fn all(&self, word: &str) -> Vec<&str> {
        let of = |line| -> Option<&str> { str::strip_prefix(line, word) };
        self.0.lines().filter_map(of).collect()
    }

    fn one(&self, word: &str) -> &str {
        let all = self.all(word);
        assert_eq!(all.len(), 1, "{word} in {}", self.0);
        all[0]
    }

    fn variables(&self) -> BTreeMap<&str, &str> {
        self.all("env ").into_iter().filter_map(|line| line.split_once('=')).collect()
    }
}

/// It ended with 0; where the program was not seen (too short, or in another pod), its entry point did.
fn went_well(ended: &Value) {
    let well = [json!({ "code": 0 }), json!({ "entry_point": 0 })];
    assert!(well.contains(&ended["exit"]), "{ended}");
}

/// The variables of a container's spec.
fn variables_of(container: &Value) -> Vec<String> {
    let all = container["env"].as_array().expect("variables").iter();
    all.map(|variable| variable["name"].as_str().expect("a name").to_owned()).collect()
}

/// Both have each of these, and the same but for what belongs to the pod.
fn same(names: &[String], theirs: &Told, ours: &Told, differ: &[&str]) {
    let (theirs, ours) = (theirs.variables(), ours.variables());
    let mut wrong = Vec::new();
    for name in names {
        let (their, our) = (theirs.get(name.as_str()), ours.get(name.as_str()));
        assert!(their.is_some(), "{name} of pyos': {theirs:?}");
        let may_differ = differ.contains(&name.as_str()) || name == OF_THE_BROWSER;
        if our.is_none() || (their != our && !may_differ) {
            wrong.push(format!("{name}: pyos {their:?}, deskd {our:?}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    let more: Vec<_> = ours.keys().filter(|name| !theirs.contains_key(*name)).collect();
    println!("deskd gives besides: {more:?}");
    let marks = ["DESKD_RUN", "DESKD_TASK_ID"];
    let own = |name: &&&str| name.starts_with("DESKD_") && !marks.contains(*name);
    assert!(!more.iter().any(own), "{more:?}");
}

#[test]
fn an_ephemeral_application_finds_what_abcdesktop_gives_it_and_nothing_that_is_kept_from_it() {
    let Some(shared) = shared(Way::Policy) else { return };
    let pyos = shared.desktop.pyos();
    let mut document = document("identity");
    document[0]["Config"]["Labels"]["oc.args"] = json!("first second");
    document[0]["Config"]["Labels"]["oc.name"] = json!("identity-here");
    shared.desk.add(&document);

    let container = pyos.start_ephemeral(&document);
    let theirs = Told::to_pyos(shared, DESKTOP, &container);
    let spec = pyos.desktop_object();
    let spec = |name: &str| {
        let all = spec["spec"]["ephemeralContainers"].as_array().expect("ephemeral containers");
        all.iter().find(|container| container["name"] == *name).cloned().expect("it")
    };
    let names = variables_of(&spec(&container));
    assert_eq!(names.len(), 26, "25 and the arguments: {names:?}");
    let ours = Told::to_deskd(shared, "identity-here", EPHEMERAL);
    same(&names, &theirs, &ours, &[]);

    for word in ["id=", "account=", "directory=", "home=", "locale=", "shm="] {
        assert_eq!(ours.one(word), theirs.one(word), "{word}");
    }
    assert_eq!(ours.one("account="), "robin:x:4096:4096:Robin:/home/robin:/bin/bash");
    assert_eq!(ours.one("directory="), "/home/robin");
    assert_eq!(ours.one("locale="), "UTF-8 LC_MESSAGES=\"en_US.UTF-8\"");
    assert_eq!(ours.all("argument="), ["first", "second"]);
    let runtime = ours.one("runtime=");
    assert!(runtime.ends_with(" 4096:700"), "a private directory of the user's: {runtime}");
    let mounts = ours.all("mount=");
    for mount in theirs.all("mount=") {
        assert!(mounts.contains(&mount), "{mount} of pyos' is not in {mounts:?}");
    }
    nothing_kept(&ours);
}

#[test]
fn an_application_in_a_pod_finds_what_abcdesktop_gives_it_and_nothing_that_is_kept_from_it() {
    let Some(shared) = shared(Way::Policy) else { return };
    let pyos = shared.desktop.pyos();
    let document = variant("identity", "identity-there", POD);
    shared.desk.add(&document);
    let pod = pyos.start_pod(&document);
    let theirs = Told::to_pyos(shared, &pod, &pod);
    let spec = shared.desktop.namespace.get(&format!("pod/{pod}"));
    let ours = Told::to_deskd(shared, "identity-there", POD);
    let names = variables_of(&spec["spec"]["containers"][0]);
    // Each pod has its own name, address and resources.
    let own = ["POD_NAME", "POD_IP", "ABCDESKTOP_EXECUTE_RESOURCES"];
    same(&names, &theirs, &ours, &own);
    for word in ["id=", "account=", "directory=", "locale="] {
        assert_eq!(ours.one(word), theirs.one(word), "{word}");
    }
    nothing_kept(&ours);
}

fn nothing_kept(told: &Told) {
    for mount in told.all("mount=") {
        assert!(
            !KEPT.iter().any(|kept| mount.starts_with(kept)),
            "{mount} is not for applications"
        );
    }
}

#[test]
fn an_application_is_started_by_its_images_own_command_in_a_container_where_no_label_says_how() {
    let Some(shared) = shared(Way::Policy) else { return };
    // Its program is in deskd's container as well.
    let mut unlabelled = document("2048-ubuntu");
    let labels = &mut unlabelled[0]["Config"]["Labels"];
    labels["oc.name"] = json!("unlabelled");
    labels.as_object_mut().expect("labels").remove("oc.containerengine");
    shared.desk.add(&unlabelled);
    let task = shared.desk.launch("unlabelled");
    let shown = shared.desk.until("its window is there", &task, has_window);
    assert_eq!(shown["engine"], EPHEMERAL, "{shown}");
    let name = shown["object"]["container"].as_str().expect("a container");
    let pod = shared.desktop.pyos().desktop_object();
    let all = pod["spec"]["ephemeralContainers"].as_array().expect("ephemeral containers");
    let spec = all.iter().find(|container| container["name"] == name).expect("it");
    let own = json!(["/composer/appli-docker-entrypoint.sh"]);
    assert_eq!((&shown["command"], &shown["entry_point"]), (&own, &json!(true)), "{shown:#}");
    assert_eq!(spec["command"][1], "place", "a keeper starts it: {spec:#}");
    let ended = stop(&shared.desk, &task, &json!({}));
    assert_eq!(ended["exit"], json!({ "code": 0 }), "{ended}");
}

#[test]
fn a_program_that_needs_a_session_bus_has_one() {
    let Some(shared) = shared(Way::Policy) else { return };
    let task = shared.desk.launch("bus-names");
    let ended = shared.desk.until("it has ended", &task, has_ended);
    let log = shared.desk.log(&task);
    assert!(log.contains("org.freedesktop.DBus") && log.contains("the bus answered"), "{log}");
    went_well(&ended);
}

#[test]
fn what_an_application_plays_arrives_at_the_desktops_sound_server() {
    let Some(shared) = shared(Way::Policy) else { return };
    let far = variant("noise", "noise-there", POD);
    shared.desk.add(&far);
    for (app, engine, server) in
        [("noise", EPHEMERAL, "unix:/tmp/.pulse.sock"), ("noise-there", POD, ":4713")]
    {
        let task = shared.desk.launch(app);
        let played = eventually("the server plays it", || {
            let inputs = shared.desk.pod.exec(GRAPHICAL, &["pactl", "list", "sink-inputs"]);
            if !inputs.contains("noise") {
                return None;
            }
            // What is not silence, of half a second.
            let heard =
                "parec --device=desktop.monitor --raw | head -c 88200 | tr -d '\\0' | wc -c";
            let heard = shared.desk.pod.exec(GRAPHICAL, &["timeout", "20", "sh", "-c", heard]);
            heard.trim().parse::<u32>().ok().filter(|bytes| *bytes > 0)
        });
        println!("{app}: {played} bytes of sound");
        let ended = shared.desk.until("it has ended", &task, has_ended);
        assert_eq!(ended["engine"], engine, "{ended}");
        went_well(&ended);
        let log = shared.desk.log(&task);
        assert!(
            log.lines().any(|line| line.contains("playing to") && line.ends_with(server)),
            "{log}"
        );
        assert!(log.contains("played all of it"), "{log}");
    }
}

#[test]
fn an_end_behind_tee_is_told_as_the_programs_own() {
    let Some(shared) = shared(Way::Policy) else { return };
    for (app, said, end) in [
        ("crash", "about to crash", json!({ "signal": "SIGSEGV" })),
        ("three", "cannot go on", json!({ "code": 3 })),
    ] {
        let go = format!("/tmp/{app}-now");
        let mut document = variant(app, &format!("{app}-later"), EPHEMERAL);
        document[0]["Config"]["Labels"]["oc.args"] = json!(go);
        shared.desk.add(&document);
        let task = shared.desk.launch(&format!("{app}-later"));
        shared.desk.until("it has begun its work", &task, |task| {
            shared.desk.log(task["id"].as_str()?).contains(said).then_some(())
        });
        shared.desk.pod.exec(GRAPHICAL, &["touch", &go]);
        let ended = shared.desk.until("it has ended", &task, has_ended);
        let exit = match &ended["exit"]["signal"]["name"] {
            Value::String(signal) => json!({ "signal": signal }),
            _ => ended["exit"].clone(),
        };
        assert_eq!(exit, end, "{ended}");
        assert!(ended["diagnosis"].is_object(), "{ended}");
    }
}

#[test]
fn a_pod_whose_image_never_came_was_stopped_by_its_user_and_not_lost() {
    let Some(shared) = shared(Way::Policy) else { return };
    let mut nowhere = variant("identity", "nowhere", POD);
    nowhere[0]["RepoTags"] = json!(["localhost/nowhere:1"]);
    shared.desk.add(&nowhere);
    // As soon as it was asked for, and once the node has tried.
    for tried in [false, true] {
        let task = shared.desk.launch("nowhere");
        shared.desk.until("it waits for its image", &task, |task| {
            let why = task["waiting"].as_str()?;
            (!tried || why.contains("be pulled")).then_some(())
        });
        let ended = stop(&shared.desk, &task, &json!({ "grace_ms": 1000 }));
        assert_eq!(ended["cause"], "it was stopped before it ran", "{ended:#}");
        assert!(!ended.to_string().contains("lost sight"), "{ended:#}");
    }
}
