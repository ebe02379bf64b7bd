//! Top-level windows and who owns them.

use serde::{Deserialize, Serialize};

/// An X window id, valid within one server epoch.
pub type WindowId = u32;

/// What the number of a window's process is worth.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum PidOrigin {
    /// The X server has it from the socket, and counts as deskd does.
    Server,
    /// The window says it (`_NET_WM_PID`): it may be of another PID namespace, such as a place's.
    #[default]
    Window,
    /// Its process is in the X server's PID namespace, which is not deskd's: what others started.
    Elsewhere,
}

/// One mapped top-level window.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Window {
    /// X id.
    pub id: WindowId,
    /// `_NET_WM_NAME`, else `WM_NAME`; lossy UTF-8, at most 256 characters.
    pub title: String,
    /// WM_CLASS instance.
    pub instance: String,
    /// WM_CLASS class.
    pub class: String,
    /// The process that owns it as far as it can be proved: the XRes client pid for a local
    /// client; `_NET_WM_PID` alone is a claim and only used when the server knows no pid.
    pub pid: Option<u32>,
    /// What that is worth.
    #[serde(skip)]
    #[schema(ignore)]
    pub pid_origin: PidOrigin,
    /// `WM_CLIENT_MACHINE`: the host its client says it runs on; a pod's host name is its name. At
    /// most 253 bytes are looked at.
    #[serde(default)]
    pub machine: Option<String>,
    /// `_NET_WM_PID` says something else than the server (another PID namespace, or a lie).
    pub pid_disputed: bool,
    /// The client announced WM_DELETE_WINDOW, so it can be asked politely to close.
    pub can_close: bool,
    /// Override-redirect windows are menus and tooltips; they do not count as a first window.
    pub override_redirect: bool,
}

/// What happened to a window.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WindowEvent {
    /// It became visible (or was visible when deskd looked first).
    Mapped(Window),
    /// Title, class or pid changed.
    Changed(Window),
    /// It is no longer visible.
    Unmapped(WindowId),
    /// It no longer exists.
    Destroyed(WindowId),
}

/// What a polite close did, per window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum CloseOutcome {
    /// WM_DELETE_WINDOW was sent.
    Asked,
    /// The client does not support WM_DELETE_WINDOW: only a signal helps.
    Unsupported,
    /// The window was gone already.
    Gone,
}
