//! Verdicts about MIT-SHM: what a proof by pixels showed.
//!
//! QueryVersion succeeds for everyone and a successful attach is not proof (another IPC namespace
//! can hold a segment with the same id), so only pixels that came back right mean `works`.

use crate::text;
use crate::text::Text;
use serde::{Deserialize, Serialize};

/// What the proof of one kind of shared memory (SysV or file descriptor) showed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ShmVerdict {
    /// The server drew our nonce pattern from shared memory and it came back unchanged.
    Works,
    /// BadAccess on attach: another uid, another IPC namespace, or a TCP connection.
    Refused,
    /// BadRequest (SysV) or BadMatch (fd): the server sees the client as remote.
    Remote,
    /// Attach and PutImage succeeded but the pixels differ: the server attached another IPC
    /// namespace's segment that happens to have the same id.
    WrongMemory,
    /// The server has no MIT-SHM extension, or one too old for this kind.
    Absent,
    /// No answer from the server, so nothing is known.
    Unreachable,
    /// The proof could not be made on our side (no segment, no memory): says nothing about the
    /// server. The text names the call and its errno.
    Unproved(String),
}

impl ShmVerdict {
    /// Whether applications can use it.
    #[must_use]
    pub fn works(&self) -> bool {
        matches!(self, Self::Works)
    }

    /// One sentence for people.
    #[must_use]
    pub fn sentence(&self) -> Text {
        match self {
            Self::Works => text!("shared memory with the X server works (tested with pixels)"),
            Self::Refused => {
                text!(
                    "the X server refused deskd's shared memory segment (BadAccess): run deskd in \
                 Xvnc's IPC namespace (the same pod) and as the same user"
                )
            }
            Self::Remote => {
                text!(
                    "the X server treats this connection as remote, so shared memory cannot work: set \
                 DISPLAY to a unix socket, such as :0"
                )
            }
            Self::WrongMemory => {
                text!(
                    "the X server attached memory of another IPC namespace, so pictures would be \
                 wrong: run deskd and Xvnc in one pod (one IPC namespace)"
                )
            }
            Self::Absent => {
                text!(
                    "the X server has no MIT-SHM extension: start it without `-extension MIT-SHM`"
                )
            }
            Self::Unreachable => text!("the X server does not answer"),
            Self::Unproved(why) => text!("shared memory could not be tested: {why}", why),
        }
    }
}

/// Both proofs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ShmVerdicts {
    /// SysV segment, mode 0600 (what every toolkit uses first).
    pub sysv: ShmVerdict,
    /// memfd passed by AttachFd (MIT-SHM 1.2).
    pub fd: ShmVerdict,
}

impl ShmVerdicts {
    /// Nothing is known because the server does not answer.
    #[must_use]
    pub fn unreachable() -> Self {
        Self { sysv: ShmVerdict::Unreachable, fd: ShmVerdict::Unreachable }
    }
}
