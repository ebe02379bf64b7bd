//! From the file's text and an environment lookup to a [`Draft`]: pure, and every problem at once.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use toml::de::DeTable;

use super::apps::{self, AppDraft};
use super::classes::word;
use super::problem::Problem;
use super::section::{Collector, Section};
use super::values::{self, Complaint};
use super::{DisplaySettings, Draft, Forward, LogStoreConfig, Panel, StopConfig, keys, panel};
use deskd_core::kubernetes::PodIdentity;
use deskd_core::plan::EngineKind;
use deskd_core::policy::Policy;
use deskd_core::why::RemedyMode;

/// Reads `text` (TOML; empty when there is no file) and the environment through `env`, which wins.
/// While the text is not TOML only its syntax errors (all of them) and the environment's problems
/// are reported: what the sections mean cannot be known then.
pub fn parse(text: &str, env: impl Fn(&str) -> Option<String>) -> Result<Draft, Vec<Problem>> {
    let problems = Collector::new(text);
    let (document, syntax_errors) = DeTable::parse_recoverable(text);
    for error in &syntax_errors {
        let complaint = Complaint::new(
            format!(
                "is not valid TOML: {}",
                error.message().lines().collect::<Vec<_>>().join(", ")
            ),
            "correct the syntax; deskd checks the keys once the file is valid TOML",
        );
        problems.file(error.span().unwrap_or_default(), "", complaint);
    }
    let table = syntax_errors.is_empty().then_some(document.get_ref());
    let reader = Reader { table, env: &env, problems: &problems };
    let draft = reader.draft();
    let problems = problems.into_problems();
    if problems.is_empty() { Ok(draft) } else { Err(problems) }
}

fn remedy(text: &str) -> Result<RemedyMode, Complaint> {
    let word = word(text, &RemedyMode::ALL.map(RemedyMode::as_str))?;
    Ok(RemedyMode::ALL.into_iter().find(|mode| mode.as_str() == word).unwrap_or_default())
}

pub(super) struct Reader<'t> {
    table: Option<&'t DeTable<'t>>,
    pub(super) env: &'t dyn Fn(&str) -> Option<String>,
    pub(super) problems: &'t Collector<'t>,
}

impl<'t> Reader<'t> {
    fn draft(&self) -> Draft {
        let root = Section::new("", self.table, keys::ROOT, self.problems);
        let kubernetes = self.policy(&root);
        Draft {
            listen: self
                .pick("DESKD_LISTEN", &root, "listen", "127.0.0.1:29791", values::listen)
                .unwrap_or(Some(SocketAddr::from(([127, 0, 0, 1], super::LISTEN_PORT_DEFAULT)))),
            state_dir: self.path("DESKD_STATE_DIR", &root, "state_dir", "/run/deskd"),
            socket: self.path(super::SOCKET_VARIABLE, &root, "socket", "/run/deskd/deskd.sock"),
            token_file: self.path("DESKD_TOKEN_FILE", &root, "token_file", "/run/deskd/token"),
            panel: self.panel(&root),
            activity: self.activity(&root),
            composer: self.composer(&root, kubernetes.policy.identity.user.as_deref()),
            otlp_traces: self.traces(&root),
            log_filter: self.text("DESKD_LOG", &root, "log", "info,deskd::display=debug"),
            tasks_max: self.tasks_max(&root),
            apps_directory: self.path(
                "DESKD_APPS_DIRECTORY",
                &root,
                "apps_directory",
                "/etc/deskd/apps.d",
            ),
            remedy: self
                .pick("DESKD_REMEDY", &root, "remedy", "suggest", remedy)
                .unwrap_or_default(),
            rules_directory: self.rules_directory(&root),
            log_store: self.log_store(&root),
            stop: self.stop(&root),
            display: self.display(&root, &kubernetes.policy),
            pod: self.pod(&root),
            checks: super::checks::checks(&root),
            kubernetes,
            apps: self.apps(&root),
        }
    }

    /// The environment's value of `variable`, else the file's of `key`. Both are checked.
    pub(super) fn pick<T>(
        &self,
        variable: &str,
        section: &Section<'t>,
        key: &str,
        example: &str,
        parse: impl Fn(&str) -> Result<T, Complaint>,
    ) -> Option<T> {
        let from_file = section.parsed(key, example, &parse).map(|found| found.value);
        let from_env = (self.env)(variable).and_then(|text| {
            let complain = |complaint| self.problems.env(variable, &section.key(key), complaint);
            parse(&text).map_err(complain).ok()
        });
        from_env.or(from_file)
    }

    pub(super) fn text(
        &self,
        variable: &str,
        section: &Section<'t>,
        key: &str,
        example: &str,
    ) -> Option<String> {
        self.pick(variable, section, key, example, |text| Ok(text.to_owned()))
            .filter(|text| !text.is_empty())
    }

    pub(super) fn path(
        &self,
        variable: &str,
        section: &Section<'t>,
        key: &str,
        example: &str,
    ) -> Option<PathBuf> {
        self.pick(variable, section, key, example, |text| absolute_path(text, example))
    }

    fn panel(&self, root: &Section<'t>) -> Panel {
        const HOSTS: &str = "write a list of host names, such as [\"desktop.example.org\"]";
        const ANCESTORS: &str = "write a list of origins, such as [\"https://portal.example.org\"]";
        Panel {
            hosts: self.words("DESKD_PANEL_HOSTS", root, "panel_hosts", HOSTS, values::host),
            path: self.pick("DESKD_PANEL_PATH", root, "panel_path", "/desktops/anna", panel::path),
            frame_ancestors: self.words(
                "DESKD_FRAME_ANCESTORS",
                root,
                "frame_ancestors",
                ANCESTORS,
                panel::frame_ancestor,
            ),
        }
    }

    /// A list of the file, else of the variable, where commas separate it. Both are checked.
    fn words(
        &self,
        variable: &str,
        section: &Section<'t>,
        key: &'static str,
        remedy: &'static str,
        parse: impl Fn(&str) -> Result<String, Complaint>,
    ) -> Vec<String> {
        let mut words = Vec::new();
        for item in section.strings(key, remedy).into_iter().flat_map(|list| list.value) {
            match parse(item.value) {
                Ok(word) => words.push(word),
                Err(complaint) => section.complain(key, item.span, complaint),
            }
        }
        let Some(text) = (self.env)(variable) else { return words };
        let names = text.split(',').map(str::trim).filter(|name| !name.is_empty());
        let parsed: Result<Vec<_>, _> = names.map(parse).collect();
        parsed.unwrap_or_else(|complaint| {
            self.problems.env(variable, key, complaint);
            Vec::new()
        })
    }

    fn tasks_max(&self, root: &Section<'t>) -> u32 {
        let range = 1..=super::TASKS_MAX_MAX;
        let from_file =
            root.integer("tasks_max", 1..=i64::from(super::TASKS_MAX_MAX)).map(|n| n.value);
        let from_env = (self.env)("DESKD_TASKS_MAX").and_then(|text| {
            let number = text.parse().ok().filter(|number| range.contains(number));
            if number.is_none() {
                let remedy = format!("write a number from 1 to {}", super::TASKS_MAX_MAX);
                let complaint = Complaint::new(format!("is out of range: `{text}`"), remedy);
                self.problems.env("DESKD_TASKS_MAX", "tasks_max", complaint);
            }
            number
        });
        let from_file = from_file.and_then(|number| u32::try_from(number).ok());
        from_env.or(from_file).unwrap_or(super::TASKS_MAX_DEFAULT)
    }

    fn log_store(&self, root: &Section<'t>) -> LogStoreConfig {
        let table = root.table("log_store");
        let section = Section::new("log_store", table, keys::LOG_STORE, self.problems);
        let limit = |key, example| {
            section.parsed(key, example, |text| {
                let bytes = values::size(text)?;
                if bytes >= super::LOG_LIMIT_BYTES_MIN {
                    return Ok(bytes);
                }
                let least =
                    format!("set it to at least \"{} KiB\"", super::LOG_LIMIT_BYTES_MIN >> 10);
                Err(Complaint::new(format!("is too small: `{text}`"), least))
            })
        };
        let task = limit("task_limit", "8 MiB");
        let total = limit("total_limit", "128 MiB");
        let task_limit_bytes =
            task.as_ref().map_or(super::TASK_LIMIT_BYTES_DEFAULT, |limit| limit.value);
        let total_limit_bytes = total.as_ref().map_or_else(
            || super::TOTAL_LIMIT_BYTES_DEFAULT.max(task_limit_bytes),
            |limit| limit.value,
        );
        if let Some(total) = total.filter(|total| total.value < task_limit_bytes) {
            let complaint = Complaint::new(
                "is smaller than `log_store.task_limit`, so a single task could not reach its own \
                 limit",
                "set it to at least the value of `log_store.task_limit`",
            );
            section.complain("total_limit", total.span, complaint);
        }
        let forward = section.parsed("forward", "stdout", |text| {
            let word = word(text, &["none", "stdout"])?;
            Ok(if word == "stdout" { Forward::Stdout } else { Forward::None })
        });
        let forward = forward.map(|found| found.value).unwrap_or_default();
        LogStoreConfig { task_limit_bytes, total_limit_bytes, forward }
    }

    fn rules_directory(&self, root: &Section<'t>) -> Option<PathBuf> {
        let table = root.table("diagnosis");
        let section = Section::new("diagnosis", table, keys::DIAGNOSIS, self.problems);
        let example = "/etc/deskd/rules.d";
        section
            .parsed("rules_directory", example, |text| absolute_path(text, example))
            .map(|found| found.value)
    }

    fn stop(&self, root: &Section<'t>) -> StopConfig {
        let table = root.table("stop");
        let section = Section::new("stop", table, keys::STOP, self.problems);
        let ms = Duration::from_millis;
        let pod_grace = self.pod_grace();
        let shutdown = section.parsed("shutdown_grace", "25s", values::duration);
        if let (Some(shutdown), Some(pod_grace)) = (&shutdown, pod_grace)
            && shutdown.value > pod_grace
        {
            let complaint = Complaint::new(
                format!(
                    "is longer than the pod's grace period ({} s, \
                     TERMINATION_GRACE_PERIOD_SECONDS), so kubelet would kill deskd first",
                    pod_grace.as_secs()
                ),
                "shorten it, or remove it: the default is the pod's grace period less 3 s",
            );
            section.complain("shutdown_grace", shutdown.span.clone(), complaint);
        }
        let margin = ms(super::SHUTDOWN_MARGIN_MS);
        let shutdown_default = pod_grace.map_or(ms(super::SHUTDOWN_GRACE_MS_DEFAULT), |grace| {
            grace.saturating_sub(margin).max(Duration::from_secs(1))
        });
        let time = |key, example, default| {
            section.parsed(key, example, values::duration).map_or(ms(default), |found| found.value)
        };
        StopConfig {
            close_windows: time("close_windows", "3s", super::CLOSE_WINDOWS_MS_DEFAULT),
            term: time("term", "5s", super::TERM_MS_DEFAULT),
            shutdown_grace: shutdown.map_or(shutdown_default, |found| found.value),
        }
    }

    fn pod_grace(&self) -> Option<Duration> {
        const NAME: &str = "TERMINATION_GRACE_PERIOD_SECONDS";
        let text = (self.env)(NAME)?;
        let seconds = text.parse().ok().filter(|seconds| *seconds <= super::DURATION_S_MAX);
        if seconds.is_none() {
            let complaint = Complaint::new(
                format!("is not a number of seconds: `{text}`"),
                "set it to the terminationGracePeriodSeconds of the pod, such as 30",
            );
            self.problems.env(NAME, "stop.shutdown_grace", complaint);
        }
        seconds.map(Duration::from_secs)
    }

    fn display(&self, root: &Section<'t>, policy: &Policy) -> DisplaySettings {
        let table = root.table("display");
        let section = Section::new("display", table, keys::DISPLAY, self.problems);
        let home = || (self.env)("HOME").map(|home| PathBuf::from(home).join(".Xauthority"));
        let timeout = |key, example, default| {
            let found = section.parsed(key, example, |text| match values::duration(text)? {
                Duration::ZERO => Err(Complaint::new("must not be zero", "write \"2s\"")),
                time => Ok(time),
            });
            found.map_or(Duration::from_millis(default), |found| found.value)
        };
        // Application pods draw over TCP: without it none of them could be launched.
        let for_pods = policy.engines.contains(&EngineKind::PodApplication);
        let require_tcp = section
            .boolean("require_tcp")
            .unwrap_or_else(|| (self.env)("X11LISTEN").as_deref() == Some("tcp") || for_pods);
        DisplaySettings {
            name: self
                .pick("DISPLAY", &section, "name", ":0", values::display)
                .unwrap_or_else(|| super::DISPLAY_DEFAULT.to_owned()),
            xauthority: self
                .text("XAUTHORITY", &section, "xauthority", "/home/balloon/.Xauthority")
                .map(PathBuf::from)
                .or_else(home),
            require_tcp,
            check_tcp: require_tcp || for_pods,
            require_shm: section.boolean("require_shm").unwrap_or(true),
            handshake_timeout: timeout(
                "handshake_timeout",
                "2s",
                super::HANDSHAKE_TIMEOUT_MS_DEFAULT,
            ),
            hang_timeout: timeout("hang_timeout", "5s", super::HANG_TIMEOUT_MS_DEFAULT),
        }
    }

    fn pod(&self, root: &Section<'t>) -> PodIdentity {
        let table = root.table("pod");
        let section = Section::new("pod", table, keys::POD, self.problems);
        PodIdentity {
            name: self.text("POD_NAME", &section, "name", "desktop-anna"),
            namespace: self.text("POD_NAMESPACE", &section, "namespace", "desktops"),
            uid: self.text("POD_UID", &section, "uid", "0b8c..."),
            ip: self.pick("POD_IP", &section, "ip", "10.0.0.7", |text| {
                text.parse::<std::net::IpAddr>().map(|ip| ip.to_string()).map_err(|_| {
                    Complaint::new(
                        format!("is not an IP address: `{text}`"),
                        "write an address such as \"10.0.0.7\"",
                    )
                })
            }),
            node: self.text("NODE_NAME", &section, "node", "node-1"),
            container: self.pick("POD_CONTAINER", &section, "container", "deskd", |text| {
                super::cluster_names::dns_label(text)
            }),
        }
    }

    fn apps(&self, root: &Section<'t>) -> Vec<AppDraft> {
        let tables = root.table("app").into_iter().flat_map(|apps| apps.iter());
        tables.filter_map(|(name, value)| apps::read(name, value, self.problems)).collect()
    }
}

pub(super) fn absolute_path(text: &str, example: &str) -> Result<PathBuf, Complaint> {
    if text.starts_with('/') && !text.contains('\0') {
        Ok(text.into())
    } else {
        let remedy = format!("write the whole path, beginning with `/`, such as \"{example}\"");
        Err(Complaint::new(format!("is not an absolute path: `{}`", text.escape_debug()), remedy))
    }
}
