//! The words of the command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, Subcommand, ValueEnum};

use super::bench::BenchCommand;
use deskd_core::exit::Exit;
use deskd_core::id::{AppId, TaskId};
use deskd_core::plan::EngineKind;

/// Everything after `deskd`.
#[derive(Debug, Parser)]
#[command(name = "deskd", version, about, max_term_width = 100, after_help = exit_codes())]
#[command(disable_help_subcommand = true, arg_required_else_help = true)]
pub struct Args {
    /// Unix socket of the daemon [default: DESKD_SOCKET, else the one in the state directory]
    #[arg(long, global = true, value_name = "PATH")]
    pub socket: Option<String>,
    /// Output format
    #[arg(long, short, global = true, value_enum, default_value_t, value_name = "FORMAT")]
    pub output: Format,
    /// Command
    #[command(subcommand)]
    pub command: Command,
}

/// How answers are printed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Tables and sentences
    #[default]
    Human,
    /// JSON; streams print one value per line
    Json,
}

/// Command.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Supervise the desktop: start the daemon and run its applications
    Run {
        /// Configuration file [default: DESKD_CONFIG, else /etc/deskd/deskd.toml; none is needed]
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
        /// If the configuration file has errors, start without it and without remote engines
        #[arg(long)]
        lenient: bool,
    },
    /// Check whether deskd and the desktop are healthy
    Health {
        /// Wait until they are healthy, at most this long, such as 30s
        #[arg(long, value_name = "TIME", value_parser = duration)]
        wait: Option<Duration>,
        /// Check deskd itself only, not the desktop
        #[arg(long)]
        live: bool,
    },
    /// Check the display and test shared memory, without a daemon
    Probe {
        /// Configuration file [default: DESKD_CONFIG, else /etc/deskd/deskd.toml; none is needed]
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
    },
    /// List, add, show, pull and remove applications
    App {
        /// Action
        #[command(subcommand)]
        command: AppCommand,
    },
    /// Print how and where an application would start, without starting it
    Explain {
        /// Id of the application [with --offline: default all applications of the documents]
        #[arg(required_unless_present = "offline")]
        app: Option<AppId>,
        /// Arguments added to its command
        #[arg(last = true, allow_hyphen_values = true)]
        args: Vec<String>,
        /// Judge documents (files, or directories of them) without a daemon
        #[arg(long, value_name = "PATH", num_args = 1..)]
        offline: Vec<PathBuf>,
        /// With --offline: configuration file [default: the one that `run` would read]
        #[arg(long, value_name = "FILE", requires = "offline")]
        config: Option<PathBuf>,
        /// Plan for this engine only, as `launch --engine` would
        #[arg(long, value_enum)]
        engine: Option<Engine>,
    },
    /// Start an application and print the id of its task
    Launch {
        /// Id of the application
        app: AppId,
        /// Arguments added to its command
        #[arg(last = true, allow_hyphen_values = true)]
        args: Vec<String>,
        /// Use this engine only [default: the engine its document asks for, else deskd chooses]
        #[arg(long, value_enum)]
        engine: Option<Engine>,
        /// Idempotency key: a repeated key returns the same task [default: a new key]
        #[arg(long, value_name = "TEXT")]
        key: Option<String>,
    },
    /// Start an application by any of its names, or the one that opens a file
    Ocrun {
        /// Id, image, display name, WM_CLASS or program of an application, or the path of a file
        #[arg(value_name = "NAME|PATH")]
        target: String,
        /// Files that the application opens
        #[arg(value_name = "FILE")]
        files: Vec<String>,
        /// Media type of the files, which are then all that is given
        #[arg(long, value_name = "TYPE")]
        mime: Option<String>,
    },
    /// List, show, stop, remedy and remove tasks (running and ended applications)
    Task {
        /// Action
        #[command(subcommand)]
        command: TaskCommand,
    },
    /// Print the output of a task, byte for byte
    Logs(LogsArgs),
    /// Print changes of tasks, applications and the desktop
    Events {
        /// Print changes as they happen, not only the current state
        #[arg(short, long)]
        follow: bool,
    },
    /// Print whether the desktop is used, and since when not
    Activity {
        /// Return when it has been idle for this long, such as 30m
        #[arg(long, value_name = "TIME", value_parser = duration)]
        wait_idle: Option<Duration>,
    },
    /// Measure what deskd costs here
    Bench {
        /// What is measured
        #[command(subcommand)]
        command: BenchCommand,
    },
    /// Print a one-time login URL for the Tasks panel
    Panel,
    /// Write a display's cookie file from XAUTH_KEY, for applications that have none
    Xauthority {
        /// File to write; an existing one is replaced
        file: PathBuf,
        /// Display that the cookie is for
        #[arg(long, default_value = ":0", value_name = "DISPLAY")]
        display: String,
        /// Address at which other pods reach the display
        #[arg(long, value_name = "ADDRESS")]
        address: Option<std::net::IpAddr>,
        /// Also create this directory with mode 0700, for use as XDG_RUNTIME_DIR
        #[arg(long, value_name = "DIRECTORY")]
        runtime_dir: Option<PathBuf>,
    },
    /// Check a configuration file and report every problem in it
    CheckConfig {
        /// Configuration file
        file: PathBuf,
    },
    /// Delete application pods whose desktop is gone (if they have a namespace of their own)
    Collect {
        /// Namespace of the application pods [default: the pod's own, or the kubeconfig's]
        #[arg(long, value_name = "NAME")]
        namespace: Option<String>,
        /// Print what would be deleted, and delete nothing
        #[arg(long)]
        dry_run: bool,
    },
    /// Explain why a program failed, from its log
    Diagnose {
        /// Log files, plain or of a container runtime, or directories of log segments; `-` reads
        /// standard input
        #[arg(required = true)]
        files: Vec<PathBuf>,
        /// JSON file with what else is known: exit status, window, display, messages of the cluster
        #[arg(long, value_name = "FILE")]
        evidence: Option<PathBuf>,
        /// The exit code that it ended with, when nothing else is known.
        #[arg(long, value_name = "CODE")]
        exit: Option<u8>,
    },
    /// Add deskd to the desktop pods of a Kubernetes manifest and print it
    Inject(InjectArgs),
    /// Check this pod or host: what works, what does not, and what to change
    Doctor {
        /// Configuration file [default: DESKD_CONFIG, else /etc/deskd/deskd.toml; none is needed]
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
    },
    /// Take over a new deskd and a changed configuration while applications run
    Upgrade {
        /// The new deskd; a deskd-keeper beside it is installed too [default: the one that is installed]
        #[arg(value_name = "FILE")]
        binary: Option<PathBuf>,
    },
    /// Print the OpenAPI document
    Openapi,
    /// Print the JSON schema of the configuration, for editors
    ConfigSchema,
    /// Print a completion script
    Completions {
        /// Shell to complete for
        shell: clap_complete::Shell,
    },
    /// The daemon, as the keeper starts it
    #[command(hide = true)]
    Daemon {
        /// File descriptor to read the configuration from, as JSON
        #[arg(long, value_name = "FD")]
        config_fd: i32,
        /// Only read the configuration anew, and write it to file descriptor 3
        #[arg(long)]
        reload: bool,
    },
}

/// `deskd app`.
#[derive(Debug, Subcommand)]
pub enum AppCommand {
    /// List applications
    #[command(visible_alias = "ls")]
    List {
        /// Only applications with all these words in id, name, keywords, categories or file types
        query: Vec<String>,
        /// Only applications of this category
        #[arg(long, value_name = "WORD")]
        category: Option<String>,
        /// Only applications that open this file type, such as .odt or application/pdf
        #[arg(long, value_name = "TYPE")]
        file_type: Option<String>,
        /// Also applications that the user of this desktop may not start (access list)
        #[arg(long)]
        all: bool,
    },
    /// Add or replace applications
    Add {
        /// Output of `docker inspect` or `crictl inspecti`, JSON of one application, or TOML with
        /// [app.NAME] sections; `-` reads standard input
        #[arg(required = true)]
        files: Vec<PathBuf>,
    },
    /// Check application documents without a daemon: files, or all of directories
    Check {
        /// Output of `docker inspect` or `crictl inspecti`, or a directory of such files
        #[arg(required = true)]
        paths: Vec<PathBuf>,
    },
    /// Pull the images of applications to the nodes and wait until they are there
    Pull {
        /// Ids of the applications
        #[arg(required = true)]
        apps: Vec<AppId>,
        /// Return as soon as the pulls are requested
        #[arg(long)]
        no_wait: bool,
    },
    /// Remove applications that were added
    #[command(visible_alias = "rm")]
    Remove {
        /// Ids of the applications
        #[arg(required = true)]
        apps: Vec<AppId>,
    },
    /// Show everything about an application
    Show {
        /// Id of the application
        app: AppId,
    },
}

/// `deskd task`.
#[derive(Debug, Subcommand)]
pub enum TaskCommand {
    /// List tasks, oldest first
    #[command(visible_alias = "ls")]
    List,
    /// Show everything about a task
    Show {
        /// Id of the task
        task: TaskId,
    },
    /// Stop tasks and wait until they end
    Stop {
        /// Ids of the tasks
        #[arg(required = true)]
        tasks: Vec<TaskId>,
        /// Return as soon as the stop begins
        #[arg(long)]
        no_wait: bool,
        /// Send SIGKILL at once
        #[arg(long, conflicts_with = "grace")]
        force: bool,
        /// Time from SIGTERM to SIGKILL, such as 10s [default: as configured]
        #[arg(long, value_name = "TIME", value_parser = duration)]
        grace: Option<Duration>,
    },
    /// Start a failed task again with the change that deskd proposes
    Remedy {
        /// Id of the task
        task: TaskId,
    },
    /// Remove ended tasks and their logs
    #[command(visible_alias = "rm")]
    Remove {
        /// Ids of the tasks
        #[arg(required = true)]
        tasks: Vec<TaskId>,
    },
}

/// `deskd logs`.
#[derive(Debug, clap::Args)]
pub struct LogsArgs {
    /// Id of the task
    pub task: TaskId,
    /// Print new output until the task ends
    #[arg(short, long)]
    pub follow: bool,
    /// Begin with the last N lines
    #[arg(long, short = 'n', value_name = "N")]
    pub tail: Option<u64>,
    /// Begin each line with the time at which deskd read it
    #[arg(long, short)]
    pub timestamps: bool,
    /// Print only this stream
    #[arg(long, value_enum)]
    pub stream: Option<StreamName>,
}

/// `deskd inject`.
#[derive(Debug, clap::Args)]
pub struct InjectArgs {
    /// YAML or JSON with a Pod, an object with a pod template, or a List; `-` reads standard input
    #[arg(long = "filename", short = 'f', value_name = "FILE")]
    pub file: PathBuf,
    /// Container with the X server [default: found by name, command, image, ports or variables]
    #[arg(long, value_name = "NAME")]
    pub container: Option<String>,
    /// Image that contains deskd
    #[arg(long, value_name = "IMAGE", default_value = deskd_core::inject::IMAGE_DEFAULT)]
    pub image: String,
    /// Run deskd in a container of that image; for clusters without image volumes (before 1.36)
    #[arg(long)]
    pub no_image_volume: bool,
}

/// Where an application runs, in the words of the API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
pub enum Engine {
    /// A process in deskd's container
    Local,
    /// An ephemeral container of the desktop's pod
    EphemeralContainer,
    /// A pod of its own
    PodApplication,
}

impl From<Engine> for EngineKind {
    fn from(engine: Engine) -> Self {
        match engine {
            Engine::Local => Self::Local,
            Engine::EphemeralContainer => Self::EphemeralContainer,
            Engine::PodApplication => Self::PodApplication,
        }
    }
}

/// One of a task's streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum StreamName {
    /// Standard output
    Stdout,
    /// Standard error
    Stderr,
}

impl StreamName {
    /// The word of the API.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
        }
    }
}

fn duration(text: &str) -> Result<Duration, String> {
    crate::config::duration(text)
        .map_err(|complaint| format!("{}; {}", complaint.what, complaint.remedy))
}

fn exit_codes() -> String {
    let line = |exit: Exit| format!("  {:<3} {}\n", exit as u8, exit.meaning());
    let codes: String = Exit::ALL.into_iter().map(line).collect();
    format!("Exit codes:\n{codes}")
}
