//! Every key of the configuration file. The parser refuses what is not listed here, and a test
//! compares this list with `docs/configuration.md`.

/// Top level.
pub const ROOT: &[&str] = &[
    "listen",
    "state_dir",
    "socket",
    "token_file",
    "panel_hosts",
    "panel_path",
    "frame_ancestors",
    "activity",
    "composer",
    "otlp_traces",
    "log",
    "tasks_max",
    "apps_directory",
    "remedy",
    "diagnosis",
    "log_store",
    "stop",
    "display",
    "pod",
    "check",
    "app",
    "user",
    "execute_class",
    "network_rule",
    "kubernetes",
];
/// `[activity]`
pub const ACTIVITY: &[&str] = &["viewers", "busy_percent"];
/// `[composer]`
pub const COMPOSER: &[&str] = &["key_file", "owner", "audience", "version", "stoppable"];
/// `[diagnosis]`
pub const DIAGNOSIS: &[&str] = &["rules_directory"];
/// `[log_store]`
pub const LOG_STORE: &[&str] = &["task_limit", "total_limit", "forward"];
/// `[stop]`
pub const STOP: &[&str] = &["close_windows", "term", "shutdown_grace"];
/// `[display]`
pub const DISPLAY: &[&str] =
    &["name", "xauthority", "require_tcp", "require_shm", "handshake_timeout", "hang_timeout"];
/// `[pod]`
pub const POD: &[&str] = &["name", "namespace", "uid", "ip", "node", "container"];
/// `[check.NAME]`
pub const CHECK: &[&str] = &[
    "process",
    "port",
    "file",
    "window_manager",
    "rfb_port",
    "rfb_socket",
    "required",
    "timeout",
    "interval",
];
/// `[app.NAME]`
pub const APP: &[&str] = &[
    "display_name",
    "command",
    "desktop_entry",
    "env",
    "cwd",
    "umask",
    "nice",
    "oom_score_adj",
    "sandbox",
    "rlimits",
    "restart",
    "needs_display",
    "icon",
    "keywords",
    "categories",
    "wm_class",
];
/// `[app.NAME.rlimits]`
pub const RLIMITS: &[&str] =
    &["open_files", "core_bytes", "address_space_bytes", "cpu_seconds", "file_bytes", "processes"];
/// `[user]`
pub const USER: &[&str] = &["name", "groups"];
/// `[execute_class.NAME]`
pub const EXECUTE_CLASS: &[&str] = &[
    "requests",
    "limits",
    "gpu",
    "node_selector",
    "runtime_class",
    "tolerations",
    "linger",
    "warm",
];
/// An element of `[execute_class.NAME]` `tolerations`
pub const TOLERATION: &[&str] = &["key", "operator", "value", "effect"];
/// `[network_rule.NAME]`
pub const NETWORK_RULE: &[&str] = &["annotations"];
/// `[kubernetes]`
pub const KUBERNETES: &[&str] = &[
    "engines",
    "entrypoint",
    "places",
    "places_port",
    "linger",
    "warm",
    "local",
    "apps_namespace",
    "kubeconfig",
    "target_container",
    "run_as",
    "pull_policy",
    "pull_secrets",
    "pull_on_add",
    "gpu_resource",
    "xauthority_secret",
    "image",
    "pod_volumes",
    "volumes",
    "graphical_container",
    "env",
    "inherit_env",
    "launches_at_once",
    "remote_tasks_max",
    "default_class",
    "grace",
];
/// `[kubernetes.run_as]`
pub const RUN_AS: &[&str] = &["uid", "gid", "groups"];

/// Each section as it is headed in the documentation, with its keys.
pub const SECTIONS: &[(&str, &[&str])] = &[
    ("", ROOT),
    ("activity", ACTIVITY),
    ("composer", COMPOSER),
    ("diagnosis", DIAGNOSIS),
    ("log_store", LOG_STORE),
    ("stop", STOP),
    ("display", DISPLAY),
    ("pod", POD),
    ("check.NAME", CHECK),
    ("app.NAME", APP),
    ("app.NAME.rlimits", RLIMITS),
    ("user", USER),
    ("execute_class.NAME", EXECUTE_CLASS),
    ("execute_class.NAME.tolerations", TOLERATION),
    ("network_rule.NAME", NETWORK_RULE),
    ("kubernetes", KUBERNETES),
    ("kubernetes.run_as", RUN_AS),
];

/// Every environment variable that is read, and the key it stands for.
pub const ENVIRONMENT: &[(&str, &str)] = &[
    ("DESKD_CONFIG", ""),
    ("DESKD_LISTEN", "listen"),
    ("DESKD_STATE_DIR", "state_dir"),
    (super::SOCKET_VARIABLE, "socket"),
    ("DESKD_TOKEN_FILE", "token_file"),
    ("DESKD_PANEL_HOSTS", "panel_hosts"),
    ("DESKD_PANEL_PATH", "panel_path"),
    ("DESKD_FRAME_ANCESTORS", "frame_ancestors"),
    ("DESKD_COMPOSER_KEY_FILE", "composer.key_file"),
    ("DESKD_LOG", "log"),
    ("DESKD_TASKS_MAX", "tasks_max"),
    ("DESKD_APPS_DIRECTORY", "apps_directory"),
    ("DESKD_REMEDY", "remedy"),
    ("DESKD_ENGINES_DEFAULT", "kubernetes.engines"),
    ("DESKD_USER", "user.name"),
    ("DESKD_USER_GROUPS", "user.groups"),
    ("DISPLAY", "display.name"),
    ("XAUTHORITY", "display.xauthority"),
    ("XAUTH_KEY", ""),
    ("X11LISTEN", "display.require_tcp"),
    ("TERMINATION_GRACE_PERIOD_SECONDS", "stop.shutdown_grace"),
    ("POD_NAME", "pod.name"),
    ("POD_NAMESPACE", "pod.namespace"),
    ("POD_UID", "pod.uid"),
    ("POD_IP", "pod.ip"),
    ("NODE_NAME", "pod.node"),
    ("POD_CONTAINER", "pod.container"),
    ("KUBECONFIG", "kubernetes.kubeconfig"),
];
