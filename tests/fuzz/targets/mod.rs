//! What is fuzzed: each target takes any bytes, hands them to the function that deskd hands a stranger's
//! bytes to, and panics when that does, or when what came out breaks a promise.

mod config;
mod desktop_entry;
mod diagnosis;
mod document;
mod http;
mod journal;
mod log;
mod manifest;
mod pod;
mod procfs;
mod rules;
mod sse;
mod wire;
mod x11;
mod xauthority;

/// One of them.
pub struct Target {
    /// Its name, and that of its directory of seeds in `tests/fuzz/corpus`.
    pub name: &'static str,
    /// Takes one input.
    pub run: fn(&[u8]),
}

/// Every target. `tests/fuzz/run` reads the names from here.
pub const ALL: &[Target] = &[
    Target { name: "config", run: config::run },
    Target { name: "desktop_entry", run: desktop_entry::run },
    Target { name: "diagnosis", run: diagnosis::run },
    Target { name: "document", run: document::run },
    Target { name: "http", run: http::run },
    Target { name: "journal", run: journal::run },
    Target { name: "log", run: log::run },
    Target { name: "manifest", run: manifest::run },
    Target { name: "pod", run: pod::run },
    Target { name: "procfs", run: procfs::run },
    Target { name: "rules", run: rules::run },
    Target { name: "sse", run: sse::run },
    Target { name: "wire", run: wire::run },
    Target { name: "x11", run: x11::run },
    Target { name: "xauthority", run: xauthority::run },
];

/// The bytes as text, as most readers want it; nothing when they are none.
fn text(data: &[u8]) -> Option<&str> {
    std::str::from_utf8(data).ok()
}

/// Splits `data` at its first zero byte; the second part is empty without one.
fn halves(data: &[u8]) -> (&[u8], &[u8]) {
    match data.iter().position(|byte| *byte == 0) {
        Some(at) => (&data[..at], &data[at + 1..]),
        None => (data, &[]),
    }
}

/// Cuts `bytes` into pieces of so many bytes each, and what is left.
fn pieces<'a>(lengths: &[u8], bytes: &'a [u8]) -> Vec<&'a [u8]> {
    let (mut rest, mut pieces) = (bytes, Vec::new());
    for length in lengths {
        let (piece, after) = rest.split_at(usize::from(*length).min(rest.len()));
        pieces.push(piece);
        rest = after;
    }
    pieces.push(rest);
    pieces
}
