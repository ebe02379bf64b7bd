//! Requests to the API, as bytes on a connection of each door: to a real one, with the driver behind it, and a
//! keeper that starts nothing.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use rustix::net::sockopt::{Timeout, set_socket_timeout};
use tokio_util::sync::CancellationToken;

use deskd::api::{self, RunningConfiguration};
use deskd::config::{self, Env};
use deskd::engine::stream::Stream;
use deskd::{daemon, supervisor};
use deskd_core::wire::frame::{Decoder, encode};
use deskd_core::wire::{FromKeeper, SpawnError, ToKeeper, VERSION};

/// How long an answer is listened to: streams have no end.
const ANSWER_TIME: Duration = Duration::from_millis(40);
/// A server that does not answer a probe in this time hangs.
const PROBE_TIME: Duration = Duration::from_secs(20);
/// The bearer token, so that seeds can have it.
const TOKEN: &str = "0123456789abcdef";
/// Asks for the connection's end, so that nobody waits for it.
const PROBE: &[u8] = b"GET /livez HTTP/1.1\r\nHost: d\r\nConnection: close\r\n\r\n";

/// Where the API listens.
struct Doors {
    unix: PathBuf,
    tcp: SocketAddr,
}

static DOORS: LazyLock<Doors> = LazyLock::new(start);

pub fn run(data: &[u8]) {
    let unix = || UnixStream::connect(&DOORS.unix).expect("somebody listens");
    let tcp = || TcpStream::connect(DOORS.tcp).expect("somebody listens");
    send(unix(), data);
    send(tcp(), data);
    let probe = ask(unix(), PROBE, PROBE_TIME);
    assert!(probe.starts_with(b"HTTP/1.1 200"), "dead: {}", String::from_utf8_lossy(&probe));
}

/// Sends a client's bytes; whatever they are, deskd is not to blame.
fn send(stream: impl Read + Write + AsFd, data: &[u8]) {
    let answer = ask(stream, &[data, PROBE].concat(), ANSWER_TIME);
    assert!(!answer.starts_with(b"HTTP/1.1 500"), "{}", String::from_utf8_lossy(&answer));
}

/// Sends `bytes`, and returns what comes until the connection ends or the time is over.
fn ask(mut stream: impl Read + Write + AsFd, bytes: &[u8], time: Duration) -> Vec<u8> {
    let deadline = Instant::now() + time;
    // It may be refused before all of it is read.
    let _ = stream.write_all(bytes);
    let (mut answer, mut piece) = (Vec::new(), [0; 16 << 10]);
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return answer;
        }
        set_socket_timeout(&stream, Timeout::Recv, Some(left)).expect("a timeout");
        match stream.read(&mut piece) {
            Ok(0) => return answer,
            Ok(count) => answer.extend_from_slice(&piece[..count]),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(_) => return answer,
        }
    }
}

/// Starts driver and API on a thread, in a directory that goes with `TMPDIR`.
fn start() -> Doors {
    let dir = tempfile::tempdir().expect("a directory").keep();
    let unix = dir.join("deskd.sock");
    let (ready, started) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.expect("an event loop").block_on(async move {
            let api = build(&dir);
            ready.send(api.tcp_address().expect("a port")).expect("somebody waits");
            api.run().await;
        });
    });
    Doors { unix, tcp: started.recv().expect("it starts") }
}

fn build(dir: &Path) -> api::Api {
    let text = format!(
        "state_dir = {dir:?}\ntasks_max = 50\n[app.hello]\ncommand = [\"hello\"]\n[app.quiet]\ncommand = [\"quiet\"]\nneeds_display = false\n"
    );
    let env = Env::from_pairs([("DISPLAY", ":999")]);
    let draft = config::parse(&text, |name| env.get(name)).expect("is valid");
    let config = draft.resolve(None, &env);
    let (ours, keepers) = UnixStream::pair().expect("a pair");
    std::thread::spawn(move || keeper(keepers));
    let link = Stream::new(ours).expect("a socket");
    let supervisor = supervisor::start::start(daemon::settings(&config, &env), link);
    let supervisor = supervisor.expect("a driver");
    supervisor.display.start().expect("a thread");
    std::fs::write(&config.token_file, TOKEN).expect("a file");
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    listener.set_nonblocking(true).expect("non-blocking");
    let running = RunningConfiguration::new(&config, None);
    let api = daemon::api_config(&config, running, Some(listener)).expect("a token");
    api::build(supervisor.handle, api, CancellationToken::new()).expect("a door")
}

/// A keeper that has no tasks, and starts none.
fn keeper(mut link: UnixStream) {
    let send = |link: &mut UnixStream, message: &FromKeeper| {
        let mut frame = Vec::new();
        encode(message, &mut frame).expect("is short");
        // The daemon's end is the process's.
        let _ = link.write_all(&frame);
    };
    let welcome = FromKeeper::Welcome {
        version: VERSION,
        keeper_pid: std::process::id(),
        started_at: 1,
        tasks: Vec::new(),
        more: false,
        draining: None,
        log_trouble: None,
        predecessor: None,
        release: None,
    };
    send(&mut link, &welcome);
    let (mut decoder, mut piece) = (Decoder::default(), [0; 16 << 10]);
    while let Ok(count @ 1..) = link.read(&mut piece) {
        decoder.push(&piece[..count]);
        while let Ok(Some(message)) = decoder.take::<ToKeeper>() {
            if let ToKeeper::Spawn(request) = message {
                let error = SpawnError::Invalid("nothing is started here".to_owned());
                send(&mut link, &FromKeeper::SpawnRefused { id: request.id, error });
            }
        }
    }
}
