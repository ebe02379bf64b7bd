//! The daemon: what the keeper starts, and starts again when it dies.
//!
//! Makes the supervisor and the API from the configuration, runs them on one thread, and ends when
//! it is asked to (SIGTERM) or the keeper is gone. It never stops an application by ending.

use std::net::TcpListener;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;

use anyhow::Context as _;
use nix::sys::signal::{SigSet, Signal};
use signal_hook::consts::{SIGINT, SIGTERM};
use tokio::io::AsyncReadExt as _;
use tokio_util::sync::CancellationToken;

use crate::api::{self, ApiConfig, Limits, RunningConfiguration, Token};
use crate::catalog::Catalog;
use crate::config::{Config, DisplaySettings, Env, Forward, OperatorRules, inherited_env};
use crate::display::{self, DisplayConfig, Secret, Servers};
use crate::engine::feed;
use crate::engine::keeper;
use crate::engine::kubernetes::{EngineConfig, places};
use crate::supervisor::{self, Follows, Handle, Settings};
use crate::traces::Exporter;
use crate::wall;
use deskd_core::exit::Exit;
use deskd_core::why::rules::LazyRules;

/// Runs the daemon until it ends; the exit code tells the keeper whether starting it again helps.
#[must_use]
pub fn main(
    config: Config,
    env: &Env,
    listener: Option<TcpListener>,
    feed: Option<UnixStream>,
) -> Exit {
    crate::telemetry::init(config.log_filter.as_deref());
    // The file that the keeper executed has another name, or none.
    let _ = nix::sys::prctl::set_name(c"deskd");
    // As the keeper does for itself. Most often the kernel did it before: see `executable` of the keeper.
    if let Err(error) = nix::sys::prctl::set_dumpable(false) {
        tracing::warn!("applications of the same user can read deskd's memory: {error}");
    }
    // As in the keeper: a write beyond an inherited limit of file sizes fails, and is reported.
    let mut blocked = SigSet::empty();
    blocked.add(Signal::SIGXFSZ);
    if let Err(error) = blocked.thread_block() {
        tracing::warn!("a limit of file sizes would end deskd: {error}");
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let result = match runtime {
        Ok(runtime) => runtime.block_on(run(config, env, listener, feed)),
        Err(error) => Err(anyhow::Error::new(error).context("cannot start the event loop")),
    };
    match result {
        Ok(exit) => exit,
        Err(error) => {
            tracing::error!("{error:#}");
            // A socket that cannot be bound or a token that cannot be read is for the operator.
            let operator = error.is::<api::BuildError>() || error.is::<api::TokenError>();
            if operator { Exit::Config } else { Exit::Internal }
        }
    }
}

async fn run(
    config: Config,
    env: &Env,
    listener: Option<TcpListener>,
    feed: Option<UnixStream>,
) -> anyhow::Result<Exit> {
    let mut asked_to_end = signals()?;
    let settings = settings(&config, env);
    let xauthority = settings.xauthority.as_ref().map(PathBuf::from);
    let running = RunningConfiguration::new(&config, xauthority);
    let supervisor = supervisor::start::start(settings, keeper::inherited().await?)?;
    if let Some(dir) = &config.apps_directory {
        watch_apps(dir.clone(), supervisor.handle.clone()).await;
    }
    let stop = CancellationToken::new();
    // Health is asked of a thread that does nothing else for long: whatever clients of the display,
    // applications or the cluster keep the driver busy with, a probe does not wait behind it.
    let api_config = api_config(&config, running, listener)?;
    let doors = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let api = {
        let _inside = doors.enter();
        api::build(supervisor.handle.clone(), api_config, stop.clone())
    };
    let api = match api {
        Ok(api) => api,
        Err(error) => {
            // It cannot be dropped where another one runs.
            doors.shutdown_background();
            return Err(error.into());
        }
    };
    if let Some(address) = api.tcp_address() {
        tracing::info!("the Tasks panel is at http://{address}/ (`deskd panel` prints a login)");
    }
    let (served, serving) = tokio::sync::oneshot::channel();
    let follows = supervisor.follows;
    std::thread::Builder::new().name("api".into()).spawn(move || {
        doors.block_on(async {
            if let Some(feed) = feed {
                tokio::spawn(hear_of_logs(feed, follows));
            }
            api.run().await;
        });
        // Nobody listens when the daemon ends for another reason.
        let _ = served.send(());
    })?;
    supervisor.display.start().context("cannot start the display thread")?;
    let mut serving = pin!(serving);
    let exit = tokio::select! {
        _ = asked_to_end.read_u8() => Exit::Ok,
        link = supervisor.link => {
            let why = link.map_or_else(|panic| panic.to_string(), |error| error.to_string());
            tracing::error!("the daemon ends: {why}");
            Exit::Internal
        }
        _ = &mut serving => Exit::Internal,
    };
    if !stop.is_cancelled() && exit == Exit::Ok {
        stop.cancel();
        let _ = serving.await;
    }
    Ok(exit)
}

/// Tells the followers what the keeper tells of their logs. Its end is that of the keeper, which the first connection
/// reports.
async fn hear_of_logs(feed: UnixStream, follows: Arc<Follows>) {
    let error = feed::run(feed, |task, end| follows.advanced(task, end)).await;
    tracing::debug!("{error}");
}

/// Reads the directory of applications before anybody asks, and follows it.
async fn watch_apps(dir: PathBuf, handle: Handle) {
    let mut catalog = Catalog::open(dir);
    handle.set_directory_apps(catalog.read()).await;
    let runtime = tokio::runtime::Handle::current();
    let followed = catalog.follow(move |apps| runtime.block_on(handle.set_directory_apps(apps)));
    if let Err(error) = followed {
        tracing::error!("cannot follow the directory of applications: {error}");
    }
}

/// Becomes readable at SIGTERM or SIGINT.
fn signals() -> std::io::Result<tokio::net::UnixStream> {
    let (read, write) = std::os::unix::net::UnixStream::pair()?;
    for signal in [SIGTERM, SIGINT] {
        signal_hook::low_level::pipe::register(signal, write.try_clone()?)?;
    }
    read.set_nonblocking(true)?;
    tokio::net::UnixStream::from_std(read)
}

/// What the API is told, of the configuration.
///
/// # Errors
/// When there is no token.
pub fn api_config(
    config: &Config,
    configuration: RunningConfiguration,
    listener: Option<TcpListener>,
) -> Result<ApiConfig, api::TokenError> {
    Ok(ApiConfig {
        socket: config.socket.clone(),
        listener,
        token: Token::load_or_create(&config.token_file, Some(&config.state_dir))?,
        configuration,
        forward: config.log_store.forward == Forward::Stdout,
        traces: config.otlp_traces.clone().map(|to| Exporter::new(to, config.pod.clone())),
        activity: config.activity.clone(),
        composer: config.composer.clone(),
        panel: config.panel.clone(),
        identity: config.policy.identity.clone(),
        limits: Limits::default(),
    })
}

/// The display as the configuration and the environment describe it.
#[must_use]
pub fn display_config(display: &DisplaySettings, env: &Env) -> DisplayConfig {
    DisplayConfig {
        display: display.name.clone(),
        xauthority: display.xauthority.clone(),
        xauth_key: env.get("XAUTH_KEY").map(Secret),
        tcp: display.check_tcp,
        handshake_timeout: display.handshake_timeout,
        hang_timeout: display.hang_timeout,
    }
}

/// What the supervisor is told, of the configuration and the environment.
#[must_use]
pub fn settings(config: &Config, env: &Env) -> Settings {
    let display = display_config(&config.display, env);
    // Config checked the name; a display that is not ours is reported by the display thread.
    let number = display::name::parse(&display.display).unwrap_or(0);
    let host = nix::unistd::gethostname().ok().and_then(|host| host.into_string().ok());
    let host = host.unwrap_or_else(|| "desktop".into());
    let home = env.get("HOME").filter(|home| Path::new(home).is_dir());
    let xauthority = app_xauthority(&display, number, &host, config);
    Settings {
        name: config.pod.name.clone().unwrap_or_else(|| host.clone()),
        wall: Arc::new(wall::here(secrets(config), env, xauthority.as_deref())),
        xauthority,
        host,
        state_dir: config.state_dir.clone(),
        display,
        display_number: number,
        home_is_writable: home.as_deref().is_some_and(is_writable),
        home,
        time_zone: env.get("TZ").or_else(zone_of_this_machine),
        inherited_env: inherited_env(env).into(),
        tcp_wanted: config.display.require_tcp,
        shm_wanted: config.display.require_shm,
        kubernetes: kubernetes(config),
        checks: config.checks.clone(),
        apps: config.apps.clone(),
        close_grace: config.stop.close_windows,
        term_grace: config.stop.term,
        tasks_max: config.tasks_max as usize,
        configuration_errors: config.file_errors.clone(),
        remedy: config.remedy,
        rules: rules(config.rules_directory.as_deref()).into(),
    }
}

/// What a wall keeps programs from.
fn secrets(config: &Config) -> wall::Secrets<'_> {
    wall::Secrets {
        state_dir: &config.state_dir,
        token_file: &config.token_file,
        kubeconfig: config.kubeconfig.as_deref(),
    }
}

/// An operator's rules; a file with a mistake is left out.
fn rules(directory: Option<&Path>) -> LazyRules {
    let OperatorRules { rules, problems } = directory.map(OperatorRules::read).unwrap_or_default();
    for problem in problems {
        tracing::warn!("rules of diagnosis: {problem}");
    }
    LazyRules::new(rules)
}

/// Whether deskd's user can make files in a directory.
fn is_writable(directory: &str) -> bool {
    use nix::unistd::{AccessFlags, access};
    access(directory, AccessFlags::W_OK | AccessFlags::X_OK).is_ok()
}

/// What /etc/localtime is a link to, as `localtime(5)` says it has to be.
fn zone_of_this_machine() -> Option<String> {
    let link = std::fs::read_link("/etc/localtime").ok()?;
    let (_, zone) = link.to_str()?.split_once("/zoneinfo/")?;
    Some(zone.to_owned())
}

fn kubernetes(config: &Config) -> EngineConfig {
    let files = [&config.file, &config.kubeconfig, &config.apps_directory];
    let mut private =
        vec![config.state_dir.clone(), config.socket.clone(), config.token_file.clone()];
    private.extend(files.into_iter().flatten().cloned());
    EngineConfig {
        pod: config.pod.clone(),
        port: config.listen.map_or(crate::config::LISTEN_PORT_DEFAULT, |address| address.port()),
        policy: Arc::new(config.policy.clone()),
        kubeconfig: config.kubeconfig.clone(),
        program: std::env::args_os().next().map(PathBuf::from),
        private,
        places: Some(config.state_dir.join(places::file::NAME)),
    }
}

/// The Xauthority file for local applications: the given one, or one made from `XAUTH_KEY`.
fn app_xauthority(
    display: &DisplayConfig,
    number: u16,
    host: &str,
    config: &Config,
) -> Option<String> {
    match display.key() {
        Some(Ok(cookie)) => {
            let path = config.state_dir.join("Xauthority");
            let address = config.pod.ip.as_deref().and_then(|ip| ip.parse().ok());
            let servers = Servers { host: Some(host), address };
            match display::write_xauthority(&path, &cookie, number, servers) {
                Ok(()) => return Some(path.to_string_lossy().into_owned()),
                Err(error) => tracing::warn!("cannot write {}: {error}", path.display()),
            }
        }
        Some(Err(why)) => tracing::warn!("the cookie in XAUTH_KEY is not used: {why}"),
        None => {}
    }
    display.xauthority.as_ref().map(|path| path.to_string_lossy().into_owned())
}
