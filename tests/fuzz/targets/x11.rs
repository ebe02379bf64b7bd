//! What an X server says: how many bytes its greeting has (one byte; none: a right one), the greeting, and
//! the packets with which it answers requests.

use std::io::{Read as _, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::{LazyLock, Mutex, mpsc};
use std::time::Duration;

use deskd::display::handshake::{Address, Handshake, connect};
use deskd::display::windows::Session;
use deskd_core::display::EndpointState;
use deskd_core::window::WindowEvent;

/// Limit of each wait for the server.
const LIMIT: Duration = Duration::from_millis(200);
/// Bytes of a packet.
const PACKET_BYTES: usize = 32;
/// Windows that can be reported for one input: each needs a packet at least.
const EVENTS_MAX: usize = 4096;

/// Requests without an answer: ChangeWindowAttributes and SendEvent (`X11/Xproto.h`).
const WITHOUT_ANSWER: [u8; 2] = [2, 25];
/// Types of packets that end a request: error and reply.
const ANSWERS: [u8; 2] = [0, 1];

/// A server that says what it is told to.
struct Server {
    path: PathBuf,
    /// What it says to the next clients: one that is hung up on comes again.
    say: Mutex<mpsc::Sender<Vec<u8>>>,
}

static SERVER: LazyLock<Server> = LazyLock::new(|| {
    let path = tempfile::tempdir().expect("a directory").keep().join("X");
    let listener = UnixListener::bind(&path).expect("a socket");
    let (say, said) = mpsc::channel();
    std::thread::spawn(move || serve(&listener, &said));
    Server { path, say: Mutex::new(say) }
});

pub fn run(data: &[u8]) {
    SERVER.say.lock().expect("no panic").send(data.to_vec()).expect("it serves");
    let address = Address::Path(SERVER.path.to_string_lossy().into_owned());
    match connect(&address, None, LIMIT) {
        Handshake::Answering(connection) => {
            let mut events = 0;
            let mut emit = |event: WindowEvent| {
                assert!(!format!("{event:?}").is_empty());
                events += 1;
            };
            if let Ok(mut session) = Session::new(*connection, LIMIT) {
                let _ = session.adopt();
                for _ in 0..4 {
                    let _ = session.drain(&mut emit);
                }
                let _ = (session.close(7), session.manager(), session.idle_ms());
            }
            assert!(events <= EVENTS_MAX, "{events} events");
        }
        Handshake::Failed(state) => assert!(state != EndpointState::Answering, "failed"),
    }
}

fn serve(listener: &UnixListener, said: &mpsc::Receiver<Vec<u8>>) {
    let mut words = Vec::new();
    for client in listener.incoming().flatten() {
        while let Ok(next) = said.try_recv() {
            words = next;
        }
        // A client that is gone has heard enough.
        let _ = answer(client, &words);
    }
}

/// Greets, and answers each request with the next packets, whose sequence numbers are right.
fn answer(mut client: UnixStream, words: &[u8]) -> std::io::Result<()> {
    client.set_read_timeout(Some(LIMIT))?;
    let (length, words) = words.split_first().unwrap_or((&0, &[]));
    let (greeting, mut packets) = words.split_at(usize::from(*length).min(words.len()));
    // The client's greeting without a cookie.
    client.read_exact(&mut [0; 12])?;
    let greeting = if greeting.is_empty() { &GREETING } else { greeting };
    client.write_all(greeting)?;
    if !is_whole(greeting) {
        return Ok(());
    }
    let mut sequence = 0_u16;
    loop {
        let mut head = [0; 4];
        client.read_exact(&mut head)?;
        let units = usize::from(u16::from_ne_bytes([head[2], head[3]]));
        client.read_exact(&mut vec![0; (units * 4).saturating_sub(4)])?;
        sequence = sequence.wrapping_add(1);
        let mut is_answered = WITHOUT_ANSWER.contains(&head[0]);
        while !is_answered {
            if packets.is_empty() {
                return Ok(());
            }
            let (packet, rest) = packets.split_at(PACKET_BYTES.min(packets.len()));
            let mut packet = [packet, &[0; PACKET_BYTES][packet.len()..]].concat();
            packet[2..4].copy_from_slice(&sequence.to_ne_bytes());
            is_answered = ANSWERS.contains(&packet[0]);
            // What a reply says it has more is there, as far as there is any: nobody waits for the rest.
            let more = if packet[0] == 1 { units_at(&packet, 4) } else { 0 };
            let Some((more, after)) = rest.split_at_checked(more) else {
                return client.write_all(&[&packet, rest].concat());
            };
            packets = after;
            client.write_all(&[&packet, more].concat())?;
        }
    }
}

/// Whether a greeting is as long as it says.
fn is_whole(greeting: &[u8]) -> bool {
    let units = greeting.get(6..8).map_or(0, |it| usize::from(u16::from_ne_bytes([it[0], it[1]])));
    greeting.len() >= 8 + units * 4
}

/// The count of 4-byte units at `at`, in bytes.
fn units_at(packet: &[u8], at: usize) -> usize {
    let count = [packet[at], packet[at + 1], packet[at + 2], packet[at + 3]];
    u32::from_ne_bytes(count) as usize * 4
}

/// Of a server with one screen, root window 1 and no pixmap formats.
static GREETING: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let vendor = b"fuzz";
    let mut screen = vec![0_u8; 40];
    screen[0] = 1;
    let mut body = vec![0_u8; 32];
    body[4..8].copy_from_slice(&0x0020_0000_u32.to_ne_bytes());
    body[8..12].copy_from_slice(&0x001f_ffff_u32.to_ne_bytes());
    body[16..18].copy_from_slice(&4_u16.to_ne_bytes());
    body[18..20].copy_from_slice(&u16::MAX.to_ne_bytes());
    body[20] = 1;
    body.extend_from_slice(vendor);
    body.extend_from_slice(&screen);
    let units = u16::try_from(body.len() / 4).expect("short");
    let mut greeting = vec![1, 0, 11, 0, 0, 0];
    greeting.extend_from_slice(&units.to_ne_bytes());
    [greeting, body].concat()
});
