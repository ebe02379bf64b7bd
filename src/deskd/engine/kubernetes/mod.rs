//! The remote engines: ephemeral containers of the desktop's pod and pods of their own.
//!
//! ```text
//!  driver --Command--> [kubernetes tasks] --Event--> driver
//!                          |  one watch of the own pod, one of the app pods (by label), one of those
//!                          |  that another control plane made for this user
//!                          |  writes: PATCH ephemeralcontainers (batched), POST and DELETE pods
//!                          +-- lines of pods/log --> keeper (through engine::local's bulk queue)
//! ```
//!
//! Carries plans out and says what it sees; it decides nothing about tasks, and keeps no state that
//! cannot be had again from the API server and the driver's [`Command::Adopt`].

mod api;
mod backoff;
mod calls;
pub mod collect;
mod credentials;
mod engine;
mod events;
mod evidence;
mod identity;
mod log;
mod manifest;
pub mod objects;
mod own_pod;
mod patches;
pub mod places;
mod pods;
mod private_directory;
mod processes;
mod pull;
mod refusal;
mod rights;
mod runs;
pub mod status;
#[cfg(test)]
mod tests;
mod waiting;
mod watch;

pub use calls::{Calls, Verb};
pub use credentials::SERVICE_ACCOUNT_DIR;
pub use deskd_core::port::{Command, Event, LogMark, Object, Observation, Stranger};
pub use deskd_core::why::reason::{Ended, RefusalCode, Refused, Waiting};
pub use engine::{CommandSender, start};
pub use identity::EngineConfig;
