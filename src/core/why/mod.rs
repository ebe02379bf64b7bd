//! Why a task failed: from evidence to one cause, a sentence, the lines that prove it, advice, and
//! the remedy deskd can apply itself.
//!
//! ```text
//!  log (start, end) --+                                              ranked: root before symptom
//!                     +-- scan --> hits --- rules (a table) --> fired ----> Diagnosis + others
//!  Evidence ----------+   texts      facts the rule needs                   nothing: last errors
//! ```
//!
//! Rules are data ([`rules`]); what is asked of the evidence is a closed set ([`fact::Fact`]); the
//! order among causes is one list ([`Cause::ROOTS_FIRST`]). Deliberately not here: collecting
//! evidence, and applying a remedy.

pub mod cause;
mod confidence;
mod diagnose;
mod ending;
mod errno;
pub mod evidence;
pub mod fact;
mod guess;
mod heard;
mod http;
mod last_words;
pub mod log;
mod messages;
mod pattern;
pub mod reason;
pub mod remedy;
pub mod rule;
pub mod rules;
mod scan;
mod scheduling;
mod sentence;
mod signal;
mod text;
mod unknown;
mod view;

pub use cause::Cause;
pub use diagnose::{Diagnosis, OTHERS_MAX, Other, PROOF_LINES_MAX, Place, Proof, diagnose};
pub use evidence::Evidence;
pub use log::Log;
pub use reason::Actor;
pub use remedy::{Applied, Proposal, Remedy, RemedyMode};
pub use rules::Rules;

#[cfg(test)]
mod tests;
