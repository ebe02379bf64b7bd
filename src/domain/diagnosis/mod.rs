//! Why a task failed: from evidence to one cause, a sentence, the lines that prove it, advice, and
//! the remedy deskd can apply itself.

pub mod cause;
pub mod evidence;

pub use cause::Cause;
pub use evidence::Evidence;
