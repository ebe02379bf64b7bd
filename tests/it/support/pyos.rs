//! A fake of pyos, the control plane of abcdesktop, which cannot be run here: it makes the same calls
//! to the API server, in the same order and with the same contents, for a user of our own. What deskd
//! changed about a desktop shows in what these calls answer.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::cluster::{Cluster, Namespace, Pod, eventually};
use super::http::Ask;

/// The desktop pod as pyos makes it, with its secrets.
pub(crate) const MANIFEST: &str =
    concat!(env!("DESKD_ROOT"), "/tests/fixtures/abcdesktop/desktop-pod.yaml");
/// The user whose desktop it is.
pub(crate) const USER: &str = "robin";
pub(crate) const DESKTOP: &str = "robin-3f9c1";
/// The container with the X server, by which pyos knows it (`x`) and which its applications join.
pub(crate) const GRAPHICAL: &str = "x-anonymous-robin";
/// The processes and the port that it waits for.
const PROCESSES: [&str; 2] = ["Xvnc", "openbox"];
const PORT: &str = "6081";
/// Rounds of its wait for a desktop.
const ROUNDS_MAX: usize = 42;
const LABELS: [&str; 4] =
    ["access_provider", "access_providertype", "access_userid", "access_username"];
/// What it mounts into an ephemeral application, by volume and path: `~` is the user's name.
const MOUNTS: [(&str, &str); 11] = [
    ("home-~", "/home/~"),
    ("x11socket", "/tmp/.X11-unix"),
    ("pulseaudiosocket", "/tmp/.pulseaudio"),
    ("cupsdsocket", "/tmp/.cupsd"),
    ("tmp", "/tmp"),
    ("run", "/var/run/desktop"),
    ("log", "/var/log/desktop"),
    ("rundbus", "/var/run/dbus"),
    ("runuser", "/run/user/"),
    ("shm", "/dev/shm"),
    ("auth-localaccount-~", "/etc/localaccount"),
];

/// The fake, for one user in one namespace.
pub(crate) struct FakePyos<'a> {
    pub(crate) namespace: &'a Namespace,
}

/// What its list says of an application.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Listed {
    /// The pod; the desktop's for an ephemeral container.
    pub(crate) pod: String,
    /// The container's name, or the pod's.
    pub(crate) id: String,
    pub(crate) image: String,
    /// `Running`, `Waiting`, `Terminated`, or the pod's phase.
    pub(crate) status: String,
}

impl<'a> FakePyos<'a> {
    pub(crate) fn new(namespace: &'a Namespace) -> Self {
        Self { namespace }
    }

    /// The manifest of a desktop: its text.
    pub(crate) fn manifest() -> String {
        std::fs::read_to_string(MANIFEST).expect("the fixture")
    }

    /// Logs the user in: makes the desktop pod and waits for it. The time that took, or why the
    /// login failed.
    pub(crate) fn login(&self, manifest: &str) -> Result<Duration, String> {
        let begun = Instant::now();
        self.namespace.apply(manifest);
        self.wait_for_desktop()?;
        Ok(begun.elapsed())
    }

    /// As pyos waits: looks into the graphical container until its processes and its port are there.
    /// A warning about the pod is a desktop that failed.
    fn wait_for_desktop(&self) -> Result<(), String> {
        let script = format!(
            "pidof {} >/dev/null && exec 3<>/dev/tcp/127.0.0.1/{PORT}",
            PROCESSES.join(" >/dev/null && pidof ")
        );
        for _ in 0..ROUNDS_MAX {
            if let Some(warning) = self.warnings().into_iter().next() {
                return Err(warning);
            }
            let exec = ["exec", DESKTOP, "--container", GRAPHICAL, "--", "bash", "-c", &script];
            if self.running(GRAPHICAL) && self.namespace.kubectl(&exec, "").status.success() {
                return self.warnings().into_iter().next().map_or(Ok(()), Err);
            }
            super::wait::pause(Duration::from_millis(200));
        }
        Err(format!("no desktop after {ROUNDS_MAX} rounds"))
    }

    fn running(&self, container: &str) -> bool {
        let pod = self.desktop_object();
        super::cluster::container(&pod, container)
            .is_some_and(|status| status["state"]["running"].is_object())
    }

    /// The sentences of the warnings about the desktop pod. (Not about one that was there before:
    /// pyos gives each a name of its own.) kubelet's own watch of a secret or a config map may come too
    /// late on a busy machine: it says so and tries again, with and without deskd.
    pub(crate) fn warnings(&self) -> Vec<String> {
        let about = "fieldSelector=type=Warning,involvedObject.uid=";
        let uid = self.desktop_object()["metadata"]["uid"].clone();
        let events = self.get(&format!("events?{about}{}", uid.as_str().expect("a uid")));
        let sentence = |event: &Value| format!("{}: {}", event["reason"], event["message"]);
        let late =
            |warning: &String| warning.contains("cache: timed out waiting for the condition");
        let warnings = events["items"].as_array().into_iter().flatten().map(sentence);
        warnings.filter(|warning| !late(warning)).collect()
    }

    /// The desktop pod, as the API server has it.
    pub(crate) fn desktop_object(&self) -> Value {
        self.get(&format!("pods/{DESKTOP}"))
    }

    /// The desktop pod.
    pub(crate) fn desktop(&self) -> Pod<'a> {
        Pod { namespace: self.namespace, name: DESKTOP.into() }
    }

    /// Starts an application as an ephemeral container; its name.
    pub(crate) fn start_ephemeral(&self, document: &Value) -> String {
        let app = App::of(document);
        let name = format!("{USER}-{}-{}", app.name, suffix());
        let desktop = self.desktop_object();
        let container = json!({
            "name": name,
            "image": app.image,
            "imagePullPolicy": "IfNotPresent",
            "command": app.command,
            "env": self.environment(&app, &desktop, true),
            "resources": {},
            "securityContext": {
                "allowPrivilegeEscalation": true, "readOnlyRootFilesystem": false,
                "runAsUser": 4096, "runAsGroup": 4096,
            },
            "targetContainerName": GRAPHICAL,
            "volumeMounts": mounts(),
            "workingDir": format!("/home/{USER}"),
        });
        let patch = json!({ "spec": { "ephemeralContainers": [container] } });
        let path = format!("pods/{DESKTOP}/ephemeralcontainers");
        let kind = "application/strategic-merge-patch+json";
        self.ask("PATCH", &path).raw(kind, patch.to_string().as_bytes()).send().expect(200);
        name
    }

    /// Starts an application as a pod of its own; its name.
    pub(crate) fn start_pod(&self, document: &Value) -> String {
        let app = App::of(document);
        let name = format!("{USER}-app-{}-{}", app.name, suffix());
        let desktop = self.desktop_object();
        let mut labels = json!({ "type": "pod_application", "netpol/ocapplication": "true" });
        for label in LABELS {
            labels[label] = desktop["metadata"]["labels"][label].clone();
        }
        let account = format!("auth-localaccount-{USER}");
        let pod = json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": { "name": name, "labels": labels },
            "spec": {
                "automountServiceAccountToken": false,
                "restartPolicy": "Never",
                "affinity": { "nodeAffinity": { "preferredDuringSchedulingIgnoredDuringExecution": [{
                    "weight": 1, "preference": { "matchExpressions": [{
                        "key": "kubernetes.io/hostname", "operator": "In",
                        "values": [desktop["spec"]["nodeName"]],
                    }] },
                }] } },
                "securityContext": { "runAsUser": 4096, "runAsGroup": 4096 },
                "containers": [{
                    "name": name,
                    "image": app.image,
                    "imagePullPolicy": "IfNotPresent",
                    "command": app.command,
                    "env": self.environment(&app, &desktop, false),
                    "volumeMounts": [
                        { "name": "home", "mountPath": format!("/home/{USER}") },
                        { "name": account, "mountPath": "/etc/localaccount" },
                    ],
                    "workingDir": format!("/home/{USER}"),
                }],
                "volumes": [
                    { "name": "home", "emptyDir": {} },
                    { "name": account, "secret": { "secretName": account } },
                ],
            },
        });
        self.ask("POST", "pods").json(&pod).send().expect(201);
        name
    }

    /// The 25 variables (26 with arguments) that it gives to an application.
    fn environment(&self, app: &App, desktop: &Value, ephemeral: bool) -> Vec<Value> {
        let address = desktop["status"]["podIP"].as_str().expect("an address");
        let home = format!("/home/{USER}");
        let cookie = |label: &str| desktop["metadata"]["labels"][label].as_str().expect("a cookie");
        let (display, sound, runtime) = if ephemeral {
            (":0.0".into(), "unix:/tmp/.pulse.sock".into(), "ephemeral_container")
        } else {
            (format!("{address}:0"), format!("{address}:4713"), "pod_application")
        };
        let cups = format!("{address}:631");
        let literal = [
            ("X11LISTEN", "tcp"),
            ("DISPLAY", &display),
            ("CONTAINER_IP_ADDR", address),
            ("XAUTH_KEY", cookie("xauthkey")),
            ("BROADCAST_COOKIE", cookie("broadcast_cookie")),
            ("PULSEAUDIO_COOKIE", cookie("pulseaudio_cookie")),
            ("PULSE_SERVER", &sound),
            ("CUPS_SERVER", &cups),
            ("UNIQUERUNKEY", "None"),
            ("HOME", &home),
            ("LOGNAME", USER),
            ("USER", USER),
            ("LANGUAGE", "en_US"),
            ("LANG", "en_US.UTF-8"),
            ("LC_ALL", "en_US.UTF-8"),
            ("PARENT_ID", DESKTOP),
            ("PARENT_HOSTNAME", desktop["spec"]["nodeName"].as_str().expect("a node")),
            ("APP", &app.path),
            ("TZ", "Europe/Paris"),
            ("ABCDESKTOP_EXECUTE_RUNTIME", runtime),
            (
                "ABCDESKTOP_EXECUTE_RESOURCES",
                r#"{"claims": null, "limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "100m", "memory": "64Mi"}}"#,
            ),
        ];
        let mut all: Vec<_> =
            literal.iter().map(|(name, value)| json!({ "name": name, "value": value })).collect();
        all.extend(app.args.iter().map(|args| json!({ "name": "ARGS", "value": args })));
        let fields = [
            ("NODE_NAME", "spec.nodeName"),
            ("POD_NAME", "metadata.name"),
            ("POD_NAMESPACE", "metadata.namespace"),
            ("POD_IP", "status.podIP"),
        ];
        all.extend(fields.map(|(name, path)| {
            json!({ "name": name, "valueFrom": { "fieldRef": { "fieldPath": path } } })
        }));
        all
    }

    /// The applications of the user: the ephemeral containers of the desktop, and the pods that
    /// have the user's labels.
    pub(crate) fn list(&self) -> Vec<Listed> {
        let desktop = self.desktop_object();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let ephemeral = desktop["status"]["ephemeralContainerStatuses"].as_array();
        let state = |status: &Value| {
            let states = [("running", "Running"), ("terminated", "Terminated")];
            let is = |(key, _): &&(&str, &str)| status["state"][*key].is_object();
            states.iter().find(is).map_or("Waiting", |(_, word)| word).to_owned()
        };
        let mut all: Vec<_> = ephemeral
            .into_iter()
            .flatten()
            .map(|status| Listed {
                pod: DESKTOP.into(),
                id: text(&status["name"]),
                image: text(&status["image"]),
                status: state(status),
            })
            .collect();
        let pods = self.get(&format!("pods?labelSelector={}", self.selector()));
        all.extend(pods["items"].as_array().into_iter().flatten().map(|pod| Listed {
            pod: text(&pod["metadata"]["name"]),
            id: text(&pod["metadata"]["name"]),
            image: text(&pod["spec"]["containers"][0]["image"]),
            status: text(&pod["status"]["phase"]),
        }));
        all
    }

    /// Logs the user out: deletes the application pods that it lists, and the desktop pod with its
    /// own grace. How long the desktop took to be gone.
    pub(crate) fn logout(&self) -> Duration {
        let begun = Instant::now();
        self.ask("DELETE", &format!("pods?labelSelector={}", self.selector())).send().expect(200);
        self.ask("DELETE", &format!("pods/{DESKTOP}")).send().expect(200);
        eventually("the desktop pod is gone", || {
            (self.ask("GET", &format!("pods/{DESKTOP}")).send().status == 404).then_some(())
        });
        begun.elapsed()
    }

    /// Of the user's application pods.
    fn selector(&self) -> String {
        let desktop = self.desktop_object();
        let of_user = LABELS.map(|label| {
            format!("{label}%3D{}", desktop["metadata"]["labels"][label].as_str().unwrap_or(USER))
        });
        format!("type%3Dpod_application,{}", of_user.join(","))
    }

    fn get(&self, path: &str) -> Value {
        self.ask("GET", path).send().json()
    }

    /// A request about objects of the namespace.
    fn ask(&self, method: &str, path: &str) -> Ask {
        let path = format!("/api/v1/namespaces/{}/{path}", self.namespace.name);
        Ask::new(&self.cluster().api(), method, &path)
    }

    fn cluster(&self) -> &'static Cluster {
        self.namespace.cluster
    }
}

/// What it reads of an application's document.
struct App {
    name: String,
    image: String,
    command: Value,
    path: String,
    args: Option<String>,
}

impl App {
    fn of(document: &Value) -> Self {
        let config = &document[0]["Config"];
        let label = |key: &str| config["Labels"][key].as_str().map(str::to_owned);
        Self {
            name: label("oc.name").expect("a name"),
            image: document[0]["RepoTags"][0].as_str().expect("an image").to_owned(),
            command: config["Cmd"].clone(),
            path: label("oc.path").expect("a program"),
            args: label("oc.args"),
        }
    }
}

fn mounts() -> Vec<Value> {
    let mount = |(volume, path): (&str, &str)| {
        let of_user = |text: &str| text.replace('~', USER);
        json!({ "name": of_user(volume), "mountPath": of_user(path) })
    };
    MOUNTS.into_iter().map(mount).collect()
}

/// Five hexadecimal digits, as they end its names.
fn suffix() -> String {
    use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
    static NEXT: AtomicU32 = AtomicU32::new(0xa_0000);
    format!("{:05x}", NEXT.fetch_add(1, Relaxed))
}
