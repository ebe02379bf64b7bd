//! Asks the server about one window. A window that has vanished meanwhile is an answer, not an
//! error.

use x11rb::connection::{Connection, RequestConnection};
use x11rb::cookie::Cookie;
use x11rb::errors::ConnectionError;
use x11rb::protocol::res::{self, ClientIdMask, ClientIdSpec, ConnectionExt as _};
use x11rb::protocol::screensaver::{self, ConnectionExt as _};
use x11rb::protocol::xproto::{
    Atom, AtomEnum, ConnectionExt as _, GetPropertyReply, MapState, WindowClass,
};

use super::client_ids::client_pid;
use super::owner::{self, Evidence, ServerPids};
use super::text::{self, TEXT_BYTES_MAX};
use super::{SessionError, present};
use crate::display::handshake::{ServerConnection, learn_extensions};
use deskd_core::named_check::ManagerSeen;
use deskd_core::window::{Window, WindowId};

x11rb::atom_manager! {
    /// The atoms this module reads, and one of deskd's own.
    pub(super) Atoms: AtomCookies {
        UTF8_STRING,
        WM_STATE,
        WM_PROTOCOLS,
        WM_DELETE_WINDOW,
        WM_CLIENT_MACHINE,
        _NET_WM_NAME,
        _NET_WM_PID,
        _NET_SUPPORTING_WM_CHECK,
        _XEMBED_INFO,
        _DESKD_WAKE,
    }
}

/// LocalClientPID came with version 1.2 of X-Resource.
const CLIENT_IDS_VERSION: (u16, u16) = (1, 2);
/// WM_PROTOCOLS lists a handful of atoms.
const PROTOCOLS_MAX: u32 = 64;
/// A host name has at most 64 bytes on Linux (`HOST_NAME_MAX`).
const MACHINE_BYTES_MAX: u32 = 256;

type PidCookie<'c> = Cookie<'c, ServerConnection, res::QueryClientIdsReply>;
type PropertyCookie<'c> = Cookie<'c, ServerConnection, GetPropertyReply>;

/// What all questions need.
#[derive(Debug)]
pub(super) struct Asker {
    pub(super) connection: ServerConnection,
    pub(super) atoms: Atoms,
    host: String,
    pub(super) server_pids: ServerPids,
}

impl Asker {
    pub(super) fn new(connection: ServerConnection) -> Result<Self, SessionError> {
        learn_extensions(&connection)?;
        let atoms = Atoms::new(&connection)?.reply().map_err(SessionError::from_reply)?;
        let host = nix::unistd::gethostname().unwrap_or_default().to_string_lossy().into_owned();
        let mut asker = Self { connection, atoms, host, server_pids: ServerPids::Unknown };
        asker.server_pids = asker.look_for_our_pid()?;
        Ok(asker)
    }

    /// By which number the server knows this very connection: it may live in another PID namespace.
    fn look_for_our_pid(&self) -> Result<ServerPids, SessionError> {
        if self.connection.extension_information(res::X11_EXTENSION_NAME)?.is_none() {
            return Ok(ServerPids::Unknown);
        }
        let Some(version) = present(self.connection.res_query_version(1, 2)?.reply())? else {
            return Ok(ServerPids::Unknown);
        };
        if (version.server_major, version.server_minor) < CLIENT_IDS_VERSION {
            return Ok(ServerPids::Unknown);
        }
        let own = self.connection.setup().resource_id_base;
        let pid = pid_of(self.pid_cookie(own)?)?;
        Ok(match pid {
            Some(0) => ServerPids::OfAnotherNamespace,
            Some(pid) if pid == std::process::id() => ServerPids::Ours,
            Some(_) | None => ServerPids::Unknown,
        })
    }

    fn pid_cookie(&self, window: WindowId) -> Result<PidCookie<'_>, SessionError> {
        let spec = ClientIdSpec { client: window, mask: ClientIdMask::LOCAL_CLIENT_PID };
        Ok(self.connection.res_query_client_ids(&[spec])?)
    }

    fn property(
        &self,
        window: WindowId,
        name: impl Into<Atom>,
        bytes_max: u32,
    ) -> Result<PropertyCookie<'_>, SessionError> {
        let any = u32::from(AtomEnum::ANY);
        let units = bytes_max.div_ceil(4);
        Ok(self.connection.get_property(false, window, name.into(), any, 0, units)?)
    }

    /// The window as it is now; nothing when it is gone, unmapped or can show nothing.
    pub(super) fn window(&self, id: WindowId) -> Result<Option<Window>, SessionError> {
        // All questions are sent before the first answer is awaited: one round trip.
        let attributes = self.connection.get_window_attributes(id)?;
        let name = self.property(id, self.atoms._NET_WM_NAME, TEXT_BYTES_MAX)?;
        let old_name = self.property(id, AtomEnum::WM_NAME, TEXT_BYTES_MAX)?;
        let class = self.property(id, AtomEnum::WM_CLASS, TEXT_BYTES_MAX)?;
        let claim = self.property(id, self.atoms._NET_WM_PID, 4)?;
        let machine = self.property(id, self.atoms.WM_CLIENT_MACHINE, MACHINE_BYTES_MAX)?;
        let protocols = self.protocols_cookie(id)?;
        let server_pid = match self.server_pids {
            ServerPids::Ours | ServerPids::OfAnotherNamespace => Some(self.pid_cookie(id)?),
            ServerPids::Unknown => None,
        };
        let Some(attributes) = present(attributes.reply())? else { return Ok(None) };
        if attributes.class == WindowClass::INPUT_ONLY || attributes.map_state == MapState::UNMAPPED
        {
            return Ok(None);
        }
        let title = match present(name.reply())?.filter(|name| !name.value.is_empty()) {
            Some(name) => text::utf8(&name.value),
            None => present(old_name.reply())?.map_or_else(String::new, |name| {
                match name.type_ == self.atoms.UTF8_STRING {
                    true => text::utf8(&name.value),
                    false => text::latin1(&name.value),
                }
            }),
        };
        let class = present(class.reply())?.map(|class| text::wm_class(&class.value));
        let (instance, class) = class.unwrap_or_default();
        let machine = present(machine.reply())?.map(|machine| text::latin1(&machine.value));
        let server = match server_pid {
            Some(cookie) => pid_of(cookie)?,
            None => None,
        };
        let evidence = Evidence {
            server,
            claim: present(claim.reply())?.and_then(|claim| claim.value32()?.next()),
            machine: machine.as_deref().filter(|machine| !machine.is_empty()),
        };
        let (pid, pid_origin, pid_disputed) = owner::pid(evidence, self.server_pids, &self.host);
        let can_close = self.can_close(present(protocols.reply())?);
        let override_redirect = attributes.override_redirect;
        Ok(Some(Window {
            id,
            title,
            instance,
            class,
            pid,
            pid_origin,
            pid_disputed,
            machine: machine.filter(|machine| !machine.is_empty()),
            can_close,
            override_redirect,
        }))
    }

    fn protocols_cookie(&self, id: WindowId) -> Result<PropertyCookie<'_>, SessionError> {
        self.property(id, self.atoms.WM_PROTOCOLS, 4 * PROTOCOLS_MAX)
    }

    fn can_close(&self, protocols: Option<GetPropertyReply>) -> bool {
        protocols
            .as_ref()
            .and_then(GetPropertyReply::value32)
            .is_some_and(|mut atoms| atoms.any(|atom| atom == self.atoms.WM_DELETE_WINDOW))
    }

    /// Whether the client supports WM_DELETE_WINDOW; nothing when the window is gone.
    pub(super) fn closable(&self, id: WindowId) -> Result<Option<bool>, SessionError> {
        let protocols = present(self.protocols_cookie(id)?.reply())?;
        Ok(protocols.map(|protocols| self.can_close(Some(protocols))))
    }

    /// Whether it carries a property.
    pub(super) fn has(&self, id: WindowId, property: Atom) -> Result<bool, SessionError> {
        let reply = present(self.property(id, property, 0)?.reply())?;
        Ok(reply.is_some_and(|reply| reply.type_ != u32::from(AtomEnum::NONE)))
    }

    /// A window of the window manager (`_NET_SUPPORTING_WM_CHECK`, EWMH); nothing without one.
    pub(super) fn window_manager(&self, root: WindowId) -> Result<Option<WindowId>, SessionError> {
        let check = self.property(root, self.atoms._NET_SUPPORTING_WM_CHECK, 4)?;
        Ok(present(check.reply())?.and_then(|check| check.value32()?.next()))
    }

    /// Whether the window manager's mark is true: the window that the root names must name itself
    /// (EWMH, `_NET_SUPPORTING_WM_CHECK`), or it is that of a manager that died, or another window.
    pub(super) fn manager(&self, root: WindowId) -> Result<ManagerSeen, SessionError> {
        let Some(window) = self.window_manager(root)? else { return Ok(ManagerSeen::Absent) };
        let claim = self.property(window, self.atoms._NET_SUPPORTING_WM_CHECK, 4)?;
        let name = self.property(window, self.atoms._NET_WM_NAME, TEXT_BYTES_MAX)?;
        let claim = present(claim.reply())?.and_then(|claim| claim.value32()?.next());
        let name = present(name.reply())?.map(|name| text::utf8(&name.value));
        Ok(match claim == Some(window) {
            true => ManagerSeen::Proved(name.filter(|name| !name.is_empty())),
            false => ManagerSeen::Stale,
        })
    }

    /// Milliseconds since the last input, as MIT-SCREEN-SAVER tells it; nothing without that
    /// extension.
    pub(super) fn idle_ms(&self, root: WindowId) -> Result<Option<u64>, SessionError> {
        let name = screensaver::X11_EXTENSION_NAME;
        if self.connection.extension_information(name)?.is_none() {
            return Ok(None);
        }
        let info = present(self.connection.screensaver_query_info(root)?.reply())?;
        Ok(info.map(|info| u64::from(info.ms_since_user_input)))
    }

    /// Its children and its parent (0: it is a root); nothing when it is gone.
    pub(super) fn family(
        &self,
        id: WindowId,
    ) -> Result<Option<(Vec<WindowId>, WindowId)>, SessionError> {
        let tree = present(self.connection.query_tree(id)?.reply())?;
        Ok(tree.map(|tree| (tree.children, tree.parent)))
    }

    /// Whether two windows were created by one client.
    pub(super) fn same_client(&self, one: WindowId, other: WindowId) -> bool {
        self.client(one) == self.client(other)
    }

    /// The bits that all windows of its client have.
    pub(super) fn client(&self, id: WindowId) -> u32 {
        id & !self.connection.setup().resource_id_mask
    }

    /// Whether there is such a window.
    pub(super) fn exists(&self, id: WindowId) -> Result<bool, SessionError> {
        Ok(present(self.connection.get_window_attributes(id)?.reply())?.is_some())
    }
}

/// The pid that the server answers with; nothing when the window is gone.
fn pid_of(cookie: PidCookie<'_>) -> Result<Option<u32>, SessionError> {
    let Some(reply) = present(cookie.raw_reply())? else { return Ok(None) };
    Ok(client_pid(&reply).map_err(ConnectionError::from)?)
}
