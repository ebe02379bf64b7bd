//! What engines report, as values: why a run does not run yet, was refused, ended, or was lost. The
//! cluster's own words stand beside them as proof. No sentence is in here: [`super::sentence`] makes
//! those, where one is shown; [`cause`] says which cause a reason means.

mod actor;
mod cause;
mod end;
pub(crate) mod record;
mod refuse;
mod wait;

pub use actor::Actor;
pub use end::{EndReason, Ended, Explanation, LostReason};
pub use record::on_record;
pub use refuse::{ApiRefusal, RefusalCode, RefusalReason, Refused, Request};
pub use wait::{Delay, Image, WaitReason, Waiting};
