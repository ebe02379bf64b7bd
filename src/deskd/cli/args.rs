//! The words of the command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, Subcommand, ValueEnum};

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
    pub socket: Option<PathBuf>,
    /// What to print
    #[arg(long, short, global = true, value_enum, default_value_t, value_name = "FORMAT")]
    pub output: Format,
    /// What to do
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

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Supervise the desktop: start the daemon and keep its applications
    Run {
        /// Configuration file [default: DESKD_CONFIG, else /etc/deskd/deskd.toml; none is needed]
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
        /// Go on without a configuration file that has errors, and without remote engines
        #[arg(long)]
        lenient: bool,
    },
    /// Say whether deskd and the desktop are well
    Health {
        /// Wait until they are, at most this long, such as 30s
        #[arg(long, value_name = "TIME", value_parser = duration)]
        wait: Option<Duration>,
        /// Only whether deskd itself is well, whatever the desktop does
        #[arg(long)]
        live: bool,
    },
    /// Look at the display and prove shared memory, without a daemon
    Probe {
        /// Configuration file [default: DESKD_CONFIG, else /etc/deskd/deskd.toml; none is needed]
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
    },
    /// Applications
    App {
        /// What to do with them
        #[command(subcommand)]
        command: AppCommand,
    },
    /// Print the plan a launch would have, without launching
    Explain {
        /// Which application
        app: AppId,
        /// Arguments appended to its command
        #[arg(last = true, allow_hyphen_values = true)]
        args: Vec<String>,
        /// As if this engine were insisted on
        #[arg(long, value_enum)]
        engine: Option<Engine>,
    },
    /// Start an application and print the task's id
    Launch {
        /// Which application
        app: AppId,
        /// Arguments appended to its command
        #[arg(last = true, allow_hyphen_values = true)]
        args: Vec<String>,
        /// Run it there or not at all [default: what its document asks for, else deskd chooses]
        #[arg(long, value_enum)]
        engine: Option<Engine>,
        /// Idempotency key: the same key gives the same task [default: a new one]
        #[arg(long, value_name = "TEXT")]
        key: Option<String>,
    },
    /// Tasks: running and ended applications
    Task {
        /// What to do with them
        #[command(subcommand)]
        command: TaskCommand,
    },
    /// Print the output of a task, byte for byte
    Logs(LogsArgs),
    /// Print changes of tasks, applications and the desktop
    Events {
        /// Go on as things happen; without it the present state is printed
        #[arg(short, long)]
        follow: bool,
    },
    /// Print a one-time login URL of the Tasks panel
    Panel,
    /// Write the cookie file of a display from XAUTH_KEY, for applications that find none
    Xauthority {
        /// Which file; a new one takes the place of an old one
        file: PathBuf,
        /// The display
        #[arg(long, default_value = ":0", value_name = "DISPLAY")]
        display: String,
        /// The address at which other pods reach it
        #[arg(long, value_name = "ADDRESS")]
        address: Option<std::net::IpAddr>,
        /// Also make this directory, for this user alone: an XDG_RUNTIME_DIR
        #[arg(long, value_name = "DIRECTORY")]
        runtime_dir: Option<PathBuf>,
    },
    /// Check a configuration file and report everything that is wrong with it
    CheckConfig {
        /// Which file
        file: PathBuf,
    },
    /// Delete application pods whose desktop is gone (for a namespace of their own)
    Collect {
        /// Where application pods are [default: the pod's own, or the kubeconfig's]
        #[arg(long, value_name = "NAME")]
        namespace: Option<String>,
        /// Say what would be deleted
        #[arg(long)]
        dry_run: bool,
    },
    /// Say why a program failed, from its log
    Diagnose {
        /// Logs: plain or of a container runtime; a directory of segments; `-` is standard input
        #[arg(required = true)]
        files: Vec<PathBuf>,
        /// What else is known, as JSON: exit, window, display, what the cluster said
        #[arg(long, value_name = "FILE")]
        evidence: Option<PathBuf>,
    },
    /// Print a Kubernetes manifest with deskd in its desktop pods
    Inject(InjectArgs),
    /// Examine this pod or host: what works, what does not, what to change where
    Doctor {
        /// Configuration file [default: DESKD_CONFIG, else /etc/deskd/deskd.toml; none is needed]
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
    },
    /// Print the OpenAPI document
    Openapi,
    /// Print a completion script
    Completions {
        /// For which shell
        shell: clap_complete::Shell,
    },
    /// The daemon, as the keeper starts it
    #[command(hide = true)]
    Daemon {
        /// File descriptor to read the configuration from, as JSON
        #[arg(long, value_name = "FD")]
        config_fd: i32,
    },
}

/// `deskd app`.
#[derive(Debug, Subcommand)]
pub enum AppCommand {
    /// List applications
    #[command(visible_alias = "ls")]
    List {
        /// Only those with these words in id, name, keywords, categories or file types
        query: Vec<String>,
        /// Only those of this category
        #[arg(long, value_name = "WORD")]
        category: Option<String>,
        /// Only those that open this file type, such as .odt or application/pdf
        #[arg(long, value_name = "TYPE")]
        file_type: Option<String>,
        /// Also those that their access list denies to the user of this desktop
        #[arg(long)]
        all: bool,
    },
    /// Add or replace applications
    Add {
        /// What `docker inspect` or `crictl inspecti` prints, JSON of one application, or TOML with
        /// [app.NAME] sections; `-` is standard input
        #[arg(required = true)]
        files: Vec<PathBuf>,
    },
    /// Pull applications' images on the nodes and wait until they are there
    Pull {
        /// Which
        #[arg(required = true)]
        apps: Vec<AppId>,
        /// Return as soon as the pulls were asked for
        #[arg(long)]
        no_wait: bool,
    },
    /// Remove applications that were added
    #[command(visible_alias = "rm")]
    Remove {
        /// Which
        #[arg(required = true)]
        apps: Vec<AppId>,
    },
    /// Show everything about an application
    Show {
        /// Which
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
        /// Which
        task: TaskId,
    },
    /// Stop tasks and wait for their end
    Stop {
        /// Which
        #[arg(required = true)]
        tasks: Vec<TaskId>,
        /// Return as soon as the stop has begun
        #[arg(long)]
        no_wait: bool,
        /// SIGKILL at once
        #[arg(long, conflicts_with = "grace")]
        force: bool,
        /// Time until SIGKILL, such as 10s [default: the configuration's]
        #[arg(long, value_name = "TIME", value_parser = duration)]
        grace: Option<Duration>,
    },
    /// Apply the remedy that deskd proposes for a task's failure: start it again otherwise
    Remedy {
        /// Which
        task: TaskId,
    },
    /// Remove ended tasks and their logs
    #[command(visible_alias = "rm")]
    Remove {
        /// Which
        #[arg(required = true)]
        tasks: Vec<TaskId>,
    },
}

/// `deskd logs`.
#[derive(Debug, clap::Args)]
pub struct LogsArgs {
    /// Which task
    pub task: TaskId,
    /// Go on until the task has ended
    #[arg(short, long)]
    pub follow: bool,
    /// Begin with the last N lines
    #[arg(long, short = 'n', value_name = "N")]
    pub tail: Option<u64>,
    /// Begin each line with the time it was read
    #[arg(long, short)]
    pub timestamps: bool,
    /// Only one of the two streams
    #[arg(long, value_enum)]
    pub stream: Option<StreamName>,
}

/// `deskd inject`.
#[derive(Debug, clap::Args)]
pub struct InjectArgs {
    /// YAML or JSON with a Pod, something with a pod template, or a List; `-` is standard input
    #[arg(long = "filename", short = 'f', value_name = "FILE")]
    pub file: PathBuf,
    /// The container with the X server [default: the one that can be it]
    #[arg(long, value_name = "NAME")]
    pub container: Option<String>,
    /// The image that has deskd
    #[arg(long, value_name = "IMAGE", default_value = deskd_core::inject::IMAGE_DEFAULT)]
    pub image: String,
    /// Make deskd's container from that image, for clusters without image volumes (before 1.36)
    #[arg(long)]
    pub no_image_volume: bool,
}

/// Where an application runs, in the words of the API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
pub enum Engine {
    /// A program of deskd's container
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
