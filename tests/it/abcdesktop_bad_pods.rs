//! Desktop pods that lack something, on the real kubelet: each says what to do, and the desktop works
//! without what cannot be.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use assert_cmd::Command;
use serde_json::{Value, json};

use crate::support::abcdesktop::{Abcdesktop, Way};
use crate::support::cluster::{Cluster, PodDesk, eventually};
use crate::support::pyos::{GRAPHICAL, MANIFEST};
use crate::support::task::{has_ended, has_window};

/// A program of the desktop's own image.
const CLOCK: &str = "[app.clock]\ncommand = [\"xclock\"]\n";
/// The desktop whose home directory cannot be used has one that its image made.
const WITHOUT_HOME: &str = "mkdir /tmp/own; HOME=/tmp/own exec /composer/desktop-session";
/// What prepares a home directory on which nobody but root can write.
const OF_ROOT: &str = "chown 0:0 /home/robin && chmod 755 /home/robin";

/// The fixture with deskd, as `deskd inject` makes it, with a changed pod.
fn injected(options: &[&str], edit: impl Fn(&mut Value)) -> String {
    let mut list = items(Command::new(env!("CARGO_BIN_EXE_deskd")).arg("inject").args(options));
    edit(pod_of(&mut list));
    list.to_string()
}

fn items(inject: &mut Command) -> Value {
    let output = inject.args(["--output", "json", "--filename", MANIFEST]).unwrap();
    serde_json::from_slice(&output.stdout).unwrap()
}

fn pod_of(list: &mut Value) -> &mut Value {
    let items = list["items"].as_array_mut().unwrap();
    items.iter_mut().find(|item| item["kind"] == "Pod").unwrap()
}

fn all_containers(pod: &mut Value) -> Vec<&mut Value> {
    let spec = pod["spec"].as_object_mut().unwrap();
    let lists = spec.iter_mut().filter(|(key, _)| key.to_lowercase().ends_with("containers"));
    lists.flat_map(|(_, list)| list.as_array_mut().unwrap()).collect()
}

/// The desktop comes up without a warning, and has the clock's window.
fn works<'a>(desktop: &'a Abcdesktop, manifest: &str) -> PodDesk<'a> {
    desktop.pyos().login(manifest).unwrap_or_else(|why| panic!("login: {why}"));
    let desk = desktop.desk();
    let clock = desk.launch("clock");
    let shown = desk.until("it has a window", &clock, has_window);
    assert_eq!(shown["engine"], "local", "{shown:#}");
    assert_eq!(desktop.pyos().warnings(), [""; 0]);
    desk
}

/// The plan of the application that says where it is has this sentence.
fn is_told(desk: &PodDesk<'_>, why: &str) {
    let plan = desk.get("/v1/apps/identity/plan");
    assert_eq!(plan["engine"], "ephemeral_container", "{plan:#}");
    assert!(plan.to_string().contains(why), "{plan:#}");
}

/// What that application says.
fn identity(desk: &PodDesk<'_>) -> String {
    let task = desk.launch("identity");
    let ended = desk.until("it has ended", &task, has_ended);
    assert_eq!(ended["exit"], json!({ "code": 0 }), "{ended:#}");
    desk.log(&task)
}

fn line_of<'a>(log: &'a str, start: &str) -> &'a str {
    log.lines().find(|line| line.starts_with(start)).unwrap_or_else(|| panic!("{start}: {log}"))
}

#[test]
fn a_pod_without_a_volume_of_the_home_directory_has_applications_at_home_in_tmp() {
    let Some(cluster) = Cluster::shared() else { return };
    let desktop = Abcdesktop::with(cluster, "homeless", Way::Command, CLOCK);
    let manifest = injected(&[], |pod| {
        let spec = &mut pod["spec"];
        spec["initContainers"].as_array_mut().unwrap().remove(0);
        spec["volumes"].as_array_mut().unwrap().retain(|volume| volume["name"] != "home-robin");
        spec["containers"][0]["command"] = json!(["bash", "-c", WITHOUT_HOME]);
        for container in all_containers(pod) {
            let mounts = container["volumeMounts"].as_array_mut().unwrap();
            mounts.retain(|mount| mount["name"] != "home-robin");
        }
    });
    let desk = works(&desktop, &manifest);
    is_told(
        &desk,
        "it has no home directory: no volume that it gets holds /home/robin, so HOME is /tmp; add the \
         volume to `volumes` in [kubernetes]",
    );
    line_of(&identity(&desk), "env HOME=/tmp");
}

#[test]
fn a_home_directory_on_which_nothing_can_be_written_is_told_and_applications_start() {
    let Some(cluster) = Cluster::shared() else { return };
    let desktop = Abcdesktop::with(cluster, "unwritable", Way::Command, CLOCK);
    let manifest = injected(&[], |pod| {
        pod["spec"]["initContainers"][0]["command"] = json!(["sh", "-c", OF_ROOT]);
        pod["spec"]["containers"][0]["command"] = json!(["bash", "-c", WITHOUT_HOME]);
    });
    let desk = works(&desktop, &manifest);
    is_told(
        &desk,
        "user 4096 may not write to the home directory /home/robin, so it can keep no settings there: \
         give the directory to that user",
    );
    assert_eq!(line_of(&identity(&desk), "home="), "home=0:755");
}

#[test]
fn a_pod_whose_containers_are_all_read_only_is_a_desktop_like_any_other() {
    let Some(cluster) = Cluster::shared() else { return };
    let desktop = Abcdesktop::with(cluster, "read-only", Way::Command, CLOCK);
    let manifest = injected(&[], |pod| {
        for container in all_containers(pod) {
            container["securityContext"]["readOnlyRootFilesystem"] = json!(true);
        }
    });
    let desk = works(&desktop, &manifest);
    assert_eq!(line_of(&identity(&desk), "directory="), "directory=/home/robin");
}

/// The fixture with a second container that looks as if it had an X server, and has.
fn with_second_server(list: &mut Value) {
    let containers = pod_of(list)["spec"]["containers"].as_array_mut().unwrap();
    let mut second = containers[0].clone();
    second["name"] = json!("x-second");
    second["command"] = json!(["Xvnc", ":1", "-SecurityTypes", "None", "-rfbport", "-1"]);
    containers.push(second);
}

#[test]
fn a_pod_with_two_x_servers_is_left_as_it_is_with_the_reason_until_somebody_names_one() {
    let Some(cluster) = Cluster::shared() else { return };
    let desktop = Abcdesktop::with(cluster, "two", Way::Policy, CLOCK);
    let kubectl = ["create", "--dry-run=client", "--output=json", "--filename", MANIFEST];
    let objects = desktop.namespace.must(&kubectl, "");
    let objects = serde_json::Deserializer::from_str(&objects).into_iter::<Value>();
    let mut list = json!({ "apiVersion": "v1", "kind": "List",
        "items": objects.map(Result::unwrap).collect::<Vec<_>>() });
    with_second_server(&mut list);

    // Without deskd it is a desktop all the same.
    desktop.pyos().login(&list.to_string()).unwrap_or_else(|why| panic!("login: {why}"));
    let made = desktop.pyos().desktop_object();
    assert_eq!(
        made["metadata"]["annotations"]["deskd.io/not-injected"],
        format!(
            "several containers have names that begin with x: {GRAPHICAL}, x-second; change `names` in \
             the policy deskd-inject so that it finds the one with Xvnc"
        )
    );
    assert!(all_containers(&mut made.clone()).iter().all(|it| it["name"] != "deskd"), "{made:#}");
    desktop
        .namespace
        .must(&["delete", "pod", &desktop.pyos().desktop().name, "--grace-period=1"], "");

    let inject = |options: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_deskd"));
        command.args(["inject", "--output", "json", "--filename", "-"]).args(options);
        command.write_stdin(list.to_string()).output().unwrap()
    };
    let refused = inject(&[]);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success(), "{said}");
    let remedy = format!("name the one with Xvnc: --container {GRAPHICAL} or x-second");
    assert!(said.contains(&remedy), "{said}");

    let chosen = inject(&["--container", GRAPHICAL]);
    assert!(chosen.status.success(), "{}", String::from_utf8_lossy(&chosen.stderr));
    let desk = works(&desktop, &String::from_utf8(chosen.stdout).unwrap());
    let second = ["xdpyinfo", "-display", ":1"];
    eventually("the second server answers", || {
        let exec = ["exec", &desk.pod.name, "--container", "x-second", "--"];
        let looked = desktop.namespace.kubectl(&[&exec, &second[..]].concat(), "");
        looked.status.success().then_some(())
    });
    assert_eq!(desk.get("/v1/desktop")["display"]["display"], ":0");
}
