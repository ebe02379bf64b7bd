//! deskd supervises a desktop pod: it proves that the X display and its shared memory work,
//! starts applications where they run best, keeps their output, and explains their failures.
//!
//! `docs/architecture.md` is the map. The rooms and what each may use:
//!
//! | room | what lives there | may use |
//! |---|---|---|
//! | [`domain`] | pure values and decisions: plan, lifecycle, health | nothing of this crate |
//! | [`procfs`] | parsers of the texts of `/proc` and control groups, and their readers | domain |
//! | [`logs`] | the log store: segments, cursors, writer, reader | domain |
//! | [`keeper`] | the small parent that owns processes and pipes | domain, exit, logs, memory, procfs |
//! | [`display`] | the X11 thread: listening, handshake, SHM proof, windows | domain, procfs |
//! | [`engine`] | carries plans out: `local` goes through the keeper, `kubernetes` asks the API server | domain, keeper::frame, keeper::wire, procfs, telemetry |
//! | [`supervisor`] | one driver task that owns the task table | domain, engine, keeper::wire, display, logs, procfs, telemetry |
//! | [`api`] | HTTP: routes, SSE, auth, OpenAPI, the Tasks panel | supervisor::Handle, domain, logs, telemetry |
//! | [`config`] | TOML + environment to one validated value | domain |
//! | [`catalog`] | reads and watches the directory of application documents | domain |
//! | [`telemetry`] | log set-up, metrics, named events | domain |
//! | [`memory`] | gives back memory that is only needed now and then | nothing of this crate |
//! | [`exit`] | exit codes | nothing of this crate |
//! | [`daemon`] | makes supervisor and API from the configuration and runs them | everything |
//! | [`cli`] | argument parsing and the client of the unix socket | everything |
//!
//! `room::module` allows that module alone, `room::Item` what the room's root exports. A test
//! (`tests/it/architecture.rs`) reads this table.

pub mod api;
pub mod catalog;
pub mod cli;
pub mod config;
pub mod daemon;
pub mod display;
pub mod domain;
pub mod engine;
pub mod exit;
pub mod keeper;
pub mod logs;
pub mod memory;
pub mod procfs;
pub mod supervisor;
pub mod telemetry;
