//! `deskd doctor` in the containers of a real desktop pod, and where its applications run.

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::support::cluster::{Cluster, Pod, PodDesk};
use crate::support::kube_desk::document_of;
use crate::support::proc;

const IMAGE: &str = "localhost/deskd-desktop:latest";
const DOCTOR: [&str; 4] = ["deskd", "doctor", "--output", "json"];
/// What it has nothing to say against in a desktop pod as container/pod.yaml makes it.
const WELL: [&str; 17] = [
    "display",
    "display over TCP",
    "cookie",
    "shared memory",
    "shared memory by descriptor",
    "shared memory, other ways",
    "/dev/shm",
    "memory",
    "processors",
    "processes",
    "rights",
    "home",
    "deskd's port",
    "ports",
    "fonts",
    "GPU",
    "Kubernetes",
];
/// Topics whose commands succeed where all is well, with the programs of the image.
const SHOWN: [&str; 11] = [
    "display",
    "display over TCP",
    "cookie",
    "shared memory",
    "/dev/shm",
    "memory",
    "processors",
    "processes",
    "rights",
    "home",
    "ports",
];

struct Findings(Vec<Value>);

impl Findings {
    fn parse(text: &str) -> Self {
        Self(serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}")))
    }

    fn all<'a>(&'a self, topic: &'a str) -> impl Iterator<Item = &'a Value> {
        self.0.iter().filter(move |finding| finding["topic"] == topic)
    }

    fn of<'a>(&'a self, topic: &'a str) -> &'a Value {
        self.all(topic).next().unwrap_or_else(|| panic!("nothing about {topic}: {:#?}", self.0))
    }

    #[track_caller]
    fn assert(&self, topic: &str, state: &str, words: &[&str]) {
        let finding = self.of(topic);
        assert_eq!(finding["state"], state, "{finding:#}");
        let sentence = finding["sentence"].as_str().expect("a sentence");
        for word in words {
            assert!(sentence.contains(word), "{word:?} is not in: {sentence}");
        }
    }

    fn wrong(&self) -> Vec<&str> {
        let wrong = self.0.iter().filter(|finding| finding["state"] == "wrong");
        wrong.map(|finding| finding["topic"].as_str().expect("a topic")).collect()
    }
}

/// The findings in a container, and whether it says that nothing is wrong.
fn examine(pod: &Pod<'_>, container: &str) -> (Findings, bool) {
    let exec = ["exec", &pod.name, "--container", container, "--"];
    let output = pod.namespace.kubectl(&[&exec[..], &DOCTOR].concat(), "");
    (Findings::parse(&String::from_utf8_lossy(&output.stdout)), output.status.success())
}

/// The findings of an application that is the doctor.
fn examine_as(desk: &PodDesk<'_>, app: &str, engine: &str) -> Findings {
    let labels = json!({
        "oc.path": "/usr/local/bin/deskd",
        "oc.args": DOCTOR[1..].join(" "),
    });
    desk.add(&document_of(IMAGE, app, Some(engine), &labels));
    let task = desk.launch(app);
    desk.until("it has ended", &task, |task| {
        (task["state"] == "ended" && task["leftovers"] == false).then_some(())
    });
    let log = desk.until("all of it is there", &task, |_| {
        Some(desk.log(&task)).filter(|log| log.trim_end().ends_with(']'))
    });
    Findings::parse(&log)
}

#[test]
fn the_doctor_tells_in_each_container_what_works_there_and_what_to_change_where() {
    let Some(cluster) = Cluster::shared() else { return };
    let namespace = cluster.namespace("doctor");
    let desk = PodDesk::of(namespace.desktop(|manifest| manifest));
    let pod = &desk.pod;

    let (found, well) = examine(pod, "deskd");
    assert!(well, "{:#?}", found.0);
    for topic in WELL {
        assert!(found.all(topic).all(|finding| finding["state"] == "works"), "{:#?}", found.0);
        assert!(found.all(topic).next().is_some(), "{topic}");
    }
    found.assert("display", "works", &["display :0 on its unix socket answers", "1280x800"]);
    found.assert("display over TCP", "works", &["port 6000 answers on IPv4"]);
    found.assert("/dev/shm", "works", &["/dev/shm has 512 MiB"]);
    found.assert("memory", "works", &[" MiB left of the limit of 2048 MiB"]);
    let rights = "uid 4096, gid 4096, no capabilities, no new privileges, system calls filtered";
    found.assert("rights", "works", &[rights]);
    found.assert("browser sandbox", "remark", &["no user namespaces"]);
    found.assert("ports", "works", &["6000 (X server), 29791 (deskd)"]);
    found.assert("Kubernetes", "works", &["the API answers; 12 of 13 rights are granted"]);
    let ways: Vec<_> = found.all("shared memory, other ways").map(|way| &way["sentence"]).collect();
    let abstractly = "abstract socket @/tmp/.X11-unix/X0: SysV works, by descriptor works";
    assert_eq!(ways[0], abstractly);
    let over_tcp = "TCP 127.0.0.1:6000: SysV refused (BadAccess), by descriptor refused (remote)";
    assert!(ways[1].as_str().is_some_and(|way| way.starts_with(over_tcp)), "{ways:?}");
    for topic in SHOWN {
        pod.exec("deskd", &["sh", "-c", found.of(topic)["command"].as_str().expect("a command")]);
    }
    let missing = found.of("Kubernetes right");
    assert!(
        missing["change"].as_str().is_some_and(|text| text.contains("container/nodes/rbac.yaml"))
    );
    let command = missing["command"].as_str().expect("a command").split(' ').skip(1);
    let answer = cluster.kubectl(&command.collect::<Vec<_>>(), "");
    assert_eq!(String::from_utf8_lossy(&answer.stdout), "no\n", "{missing:#}");

    // Beside the X server: a container without the volume at /dev/shm, and without deskd's socket.
    let (found, well) = examine(pod, "graphical");
    assert!(well, "{:#?}", found.0);
    found.assert("shared memory", "works", &["tested with pixels"]);
    found.assert("/dev/shm", "remark", &["/dev/shm has 64 MiB"]);
    found.assert("deskd's port", "works", &["deskd of another container answers"]);

    // Where applications are.
    let found = examine_as(&desk, "doctor-here", "ephemeral_container");
    assert_eq!(found.wrong(), Vec::<&str>::new(), "{:#?}", found.0);
    found.assert("shared memory", "works", &["tested with pixels"]);
    found.assert("/dev/shm", "works", &["/dev/shm has 512 MiB"]);
    let found = examine_as(&desk, "doctor-pod", "pod_application");
    assert_eq!(found.wrong(), Vec::<&str>::new(), "{:#?}", found.0);
    found.assert("display", "works", &[":0 is another pod's: ", " port 6000 answers"]);
    found.assert("cookie", "works", &[]);
    found.assert("shared memory", "remark", &["SysV refused (remote)"]);
    found.assert("deskd's port", "works", &["deskd of another container answers", ":29791"]);

    the_x_server_hangs(pod);
}

fn the_x_server_hangs(pod: &Pod<'_>) {
    let server = pod.processes("Xvnc")[0];
    proc::signal(server, Signal::SIGSTOP);
    let (found, well) = examine(pod, "deskd");
    proc::signal(server, Signal::SIGCONT);
    assert!(!well);
    assert_eq!(found.wrong(), ["display", "display over TCP"], "{:#?}", found.0);
    found.assert("display", "wrong", &["accepts connections and does not answer"]);
    let change = found.of("display")["change"].as_str().expect("what to change");
    assert!(change.contains("restart its container"), "{change}");
}
