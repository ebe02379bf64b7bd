//! The one integration binary.

mod keeper_adoption;
mod keeper_end;
mod keeper_run;
mod keeper_spawn;
mod keeper_stop;
mod support;
