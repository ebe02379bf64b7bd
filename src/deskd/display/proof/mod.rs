//! The MIT-SHM proof: a picture drawn through shared memory must come back over the socket.
//!
//! QueryVersion and even a successful attach prove nothing (`docs/decisions/0003`). A fresh nonce
//! is written into shared memory, the server draws it into a pixmap, GetImage reads the pixmap
//! back over the socket, and the pixels are compared. Nothing outlives a proof: the segment is
//! marked for removal before the server hears of it, and the server's pixmap, GC and segment are
//! freed on every path (or by the server itself when the connection ends).

mod pattern;
mod sysv;

use std::fs::File;
use std::io::{ErrorKind, Write};
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::fs::{MemfdFlags, memfd_create};
use x11rb::connection::{Connection, RequestConnection};
use x11rb::errors::{ConnectionError, ReplyError, ReplyOrIdError};
use x11rb::protocol::ErrorKind as XErrorKind;
use x11rb::protocol::shm::{self, ConnectionExt as _};
use x11rb::protocol::xproto::PixmapWrapper;
use x11rb::protocol::xproto::{ConnectionExt as _, CreateGCAux, GcontextWrapper, ImageFormat};

use self::pattern::{HEIGHT_PX, Layout, PICTURE_BYTES_MAX, WIDTH_PX};
use self::sysv::Segment;
use super::handshake::{ServerConnection, learn_extensions};
use deskd_core::shm::{ShmVerdict, ShmVerdicts};

/// AttachFd came with version 1.2 of the extension.
const FD_VERSION: (u16, u16) = (1, 2);

/// Makes both proofs over `connection`; both together take at most `limit`.
///
/// After [`ShmVerdict::Unreachable`] the connection is of no use any more.
#[must_use]
pub fn prove(connection: &ServerConnection, limit: Duration) -> ShmVerdicts {
    connection.stream().begin(limit);
    let version = match version(connection) {
        Ok(Some(version)) => version,
        Ok(None) => return ShmVerdicts { sysv: ShmVerdict::Absent, fd: ShmVerdict::Absent },
        Err(verdict) => return ShmVerdicts { sysv: verdict.clone(), fd: verdict },
    };
    let sysv = prove_sysv(connection).unwrap_or_else(|verdict| verdict);
    let fd = if version >= FD_VERSION {
        prove_fd(connection).unwrap_or_else(|verdict| verdict)
    } else {
        ShmVerdict::Absent
    };
    ShmVerdicts { sysv, fd }
}

fn version(connection: &ServerConnection) -> Result<Option<(u16, u16)>, ShmVerdict> {
    learn_extensions(connection).map_err(|error| lost(&error))?;
    let present = connection.extension_information(shm::X11_EXTENSION_NAME);
    if present.map_err(|error| lost(&error))?.is_none() {
        return Ok(None);
    }
    let reply = connection.shm_query_version().map_err(|error| lost(&error))?.reply();
    let reply = reply.map_err(|error| unexpected("ShmQueryVersion", &error))?;
    Ok(Some((reply.major_version, reply.minor_version)))
}

fn prove_sysv(connection: &ServerConnection) -> Result<ShmVerdict, ShmVerdict> {
    let nonce = nonce()?;
    let segment = Segment::new(&nonce)
        .map_err(|(call, errno)| unproved(call, &std::io::Error::from(errno)))?;
    // Read-write, as every toolkit attaches: the proof is about what they do.
    let attach = |id| connection.shm_attach(id, segment.id(), false);
    let attached = ServerSegment::attach(connection, "ShmAttach", attach)?;
    draw_and_compare(connection, &attached, &nonce)
}

fn prove_fd(connection: &ServerConnection) -> Result<ShmVerdict, ShmVerdict> {
    let nonce = nonce()?;
    let memory = memfd(&nonce).map_err(|error| unproved("memfd_create", &error))?;
    let attach = |id| connection.shm_attach_fd(id, memory, false);
    let attached = ServerSegment::attach(connection, "ShmAttachFd", attach)?;
    draw_and_compare(connection, &attached, &nonce)
}

fn nonce() -> Result<[u8; PICTURE_BYTES_MAX], ShmVerdict> {
    let mut nonce = [0; PICTURE_BYTES_MAX];
    getrandom::fill(&mut nonce)
        .map_err(|error| ShmVerdict::Unproved(format!("getrandom: {error}")))?;
    Ok(nonce)
}

fn memfd(content: &[u8]) -> std::io::Result<OwnedFd> {
    let mut file = File::from(memfd_create("deskd-shm-proof", MemfdFlags::CLOEXEC)?);
    file.write_all(content)?;
    Ok(file.into())
}

/// Draws the picture from the server's segment and looks at what is there.
fn draw_and_compare(
    connection: &ServerConnection,
    segment: &ServerSegment<'_>,
    nonce: &[u8],
) -> Result<ShmVerdict, ShmVerdict> {
    let Some(layout) = Layout::of_root(connection.setup()) else {
        return Err(ShmVerdict::Unproved("the server describes no pixmap format".into()));
    };
    let root = connection.setup().roots.first().map_or(0, |screen| screen.root);
    let pixmap = PixmapWrapper::create_pixmap(connection, layout.depth, root, WIDTH_PX, HEIGHT_PX);
    let pixmap = pixmap.map_err(|error| unexpected_id("CreatePixmap", error))?;
    let gc = GcontextWrapper::create_gc(connection, pixmap.pixmap(), &CreateGCAux::new());
    let gc = gc.map_err(|error| unexpected_id("CreateGC", error))?;
    let (format, send_event, offset) = (ImageFormat::Z_PIXMAP.into(), false, 0);
    let drawn = connection
        .shm_put_image(
            pixmap.pixmap(),
            gc.gcontext(),
            WIDTH_PX,
            HEIGHT_PX,
            0,
            0,
            WIDTH_PX,
            HEIGHT_PX,
            0,
            0,
            layout.depth,
            format,
            send_event,
            segment.id,
            offset,
        )
        .map_err(|error| lost(&error))?
        .check();
    match drawn {
        Ok(()) => {}
        Err(ReplyError::ConnectionError(error)) => return Err(lost(&error)),
        // The server's own trouble, not a property of the segment.
        Err(ReplyError::X11Error(error)) if error.error_kind == XErrorKind::Alloc => {
            return Err(ShmVerdict::Unproved("ShmPutImage: the X server is out of memory".into()));
        }
        // It attached something, but not our segment: that one is large enough for the picture.
        Err(ReplyError::X11Error(_)) => return Ok(ShmVerdict::WrongMemory),
    }
    let seen = connection
        .get_image(ImageFormat::Z_PIXMAP, pixmap.pixmap(), 0, 0, WIDTH_PX, HEIGHT_PX, u32::MAX)
        .map_err(|error| lost(&error))?
        .reply()
        .map_err(|error| unexpected("GetImage", &error))?;
    let same = seen.depth == layout.depth && layout.same_picture(nonce, &seen.data);
    Ok(if same { ShmVerdict::Works } else { ShmVerdict::WrongMemory })
}

/// A segment the server has attached; detached when dropped.
struct ServerSegment<'a> {
    connection: &'a ServerConnection,
    id: shm::Seg,
}

impl<'a> ServerSegment<'a> {
    fn attach(
        connection: &'a ServerConnection,
        request: &str,
        send: impl FnOnce(shm::Seg) -> Result<Void<'a>, ConnectionError>,
    ) -> Result<Self, ShmVerdict> {
        let id = connection.generate_id().map_err(|error| unexpected_id("an X id", error))?;
        let answer = send(id).map_err(|error| lost(&error))?.check();
        answer.map_err(|error| match error {
            ReplyError::ConnectionError(error) => lost(&error),
            ReplyError::X11Error(error) => match error.error_kind {
                XErrorKind::Access => ShmVerdict::Refused,
                // SysV over a connection the server takes for remote; fd over any TCP connection.
                XErrorKind::Request | XErrorKind::Match => ShmVerdict::Remote,
                kind => ShmVerdict::Unproved(format!("{request}: {kind:?} error")),
            },
        })?;
        Ok(Self { connection, id })
    }
}

impl Drop for ServerSegment<'_> {
    fn drop(&mut self) {
        if let Ok(cookie) = self.connection.shm_detach(self.id) {
            cookie.ignore_error();
        }
    }
}

type Void<'a> = x11rb::cookie::VoidCookie<'a, ServerConnection>;

/// The connection is gone, silent or broken: nothing is known.
fn lost(_error: &ConnectionError) -> ShmVerdict {
    ShmVerdict::Unreachable
}

fn unexpected(request: &str, error: &ReplyError) -> ShmVerdict {
    match error {
        ReplyError::ConnectionError(error) => lost(error),
        ReplyError::X11Error(error) => {
            ShmVerdict::Unproved(format!("{request}: {:?} error", error.error_kind))
        }
    }
}

fn unexpected_id(request: &str, error: ReplyOrIdError) -> ShmVerdict {
    match error {
        ReplyOrIdError::IdsExhausted => ShmVerdict::Unproved(format!("{request}: no X id is free")),
        ReplyOrIdError::ConnectionError(error) => lost(&error),
        ReplyOrIdError::X11Error(error) => unexpected(request, &ReplyError::X11Error(error)),
    }
}

fn unproved(call: &str, error: &std::io::Error) -> ShmVerdict {
    match error.kind() {
        ErrorKind::Unsupported => ShmVerdict::Unproved(format!("{call}: not supported here")),
        _ => ShmVerdict::Unproved(format!("{call}: {error}")),
    }
}
