//! Where the command line meets the rooms that run: each function here is one call.

use crate::config::{Config, DisplaySettings, Env};
use crate::display::{DisplayConfig, Secret};
use crate::exit::Exit;

use super::failure::Failure;

/// `deskd run`: becomes the keeper and returns when it is over. No async, no network here.
pub fn keeper(_config: Config, _env: &Env) -> Result<Exit, Failure> {
    Err(not_wired("run the keeper"))
}

/// `deskd daemon`: becomes the daemon and returns when it is over.
pub fn daemon(_config: Config, _env: &Env) -> Result<Exit, Failure> {
    Err(not_wired("run the daemon"))
}

/// `deskd openapi`.
pub fn openapi() -> Result<String, Failure> {
    Err(not_wired("print the OpenAPI document"))
}

fn not_wired(doing: &str) -> Failure {
    Failure::new(Exit::Internal, doing, "this build has no such part yet")
}

/// What the display thread needs; the cookie comes from the environment and is kept nowhere else.
#[must_use]
pub fn display_config(display: &DisplaySettings, env: &Env) -> DisplayConfig {
    DisplayConfig {
        display: display.name.clone(),
        xauthority: display.xauthority.clone(),
        xauth_key: env.get("XAUTH_KEY").map(Secret),
        tcp: display.require_tcp,
        handshake_timeout: display.handshake_timeout,
        hang_timeout: display.hang_timeout,
    }
}
