//! Every key of the configuration file. The parser refuses what is not listed here, and a test
//! compares this list with `docs/configuration.md`.

/// Top level.
pub const ROOT: &[&str] = &[
    "listen",
    "state_dir",
    "socket",
    "token_file",
    "panel_hosts",
    "log",
    "tasks_max",
    "log_store",
    "stop",
    "display",
    "pod",
    "app",
    "execute_class",
    "kubernetes",
];
/// `[log_store]`
pub const LOG_STORE: &[&str] = &["task_limit", "total_limit"];
/// `[stop]`
pub const STOP: &[&str] = &["close_windows", "term", "shutdown_grace"];
/// `[display]`
pub const DISPLAY: &[&str] =
    &["name", "xauthority", "require_tcp", "require_shm", "handshake_timeout", "hang_timeout"];
/// `[pod]`
pub const POD: &[&str] = &["name", "namespace", "uid", "ip", "node"];
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
/// `[execute_class.NAME]` (reserved)
pub const EXECUTE_CLASS: &[&str] = &["requests", "limits", "node_selector"];
/// `[kubernetes]` (reserved)
pub const KUBERNETES: &[&str] = &["engines", "apps_namespace", "kubeconfig"];

/// Each section as it is headed in the documentation, with its keys.
pub const SECTIONS: &[(&str, &[&str])] = &[
    ("", ROOT),
    ("log_store", LOG_STORE),
    ("stop", STOP),
    ("display", DISPLAY),
    ("pod", POD),
    ("app.NAME", APP),
    ("app.NAME.rlimits", RLIMITS),
    ("execute_class.NAME", EXECUTE_CLASS),
    ("kubernetes", KUBERNETES),
];

/// Every environment variable that is read, and the key it stands for.
pub const ENVIRONMENT: &[(&str, &str)] = &[
    ("DESKD_CONFIG", ""),
    ("DESKD_LISTEN", "listen"),
    ("DESKD_STATE_DIR", "state_dir"),
    ("DESKD_SOCKET", "socket"),
    ("DESKD_TOKEN_FILE", "token_file"),
    ("DESKD_PANEL_HOSTS", "panel_hosts"),
    ("DESKD_LOG", "log"),
    ("DESKD_TASKS_MAX", "tasks_max"),
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
    ("KUBECONFIG", "kubernetes.kubeconfig"),
];
