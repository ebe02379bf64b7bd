//! Whether daemon, keeper and this program are of one release.

use super::{Finding, works_or_remark};
use crate::cli::doctor::examined::Examined;
use deskd_core::health::version_sentence;

/// The release of this program, which may be newer than what runs.
const OWN: &str = env!("CARGO_PKG_VERSION");

/// Nothing where no daemon answers.
pub(super) fn finding(examined: &Examined) -> Option<Finding> {
    let (daemon, keeper) = examined.versions.as_ref()?;
    let is_old = daemon != OWN;
    let differs = version_sentence(keeper.as_deref(), daemon);
    let sentence = match (is_old, &differs) {
        (false, None) => format!("the daemon and its keeper are {daemon}"),
        (false, Some(differs)) => format!("the keeper is not the daemon's: {differs}"),
        (true, _) => {
            let keeper = keeper.as_deref().unwrap_or("an earlier one");
            format!(
                "deskd is {OWN} here, but the daemon that runs is {daemon}, and its keeper {keeper}"
            )
        }
    };
    let change = match is_old {
        true => "run `deskd upgrade`: the daemon is replaced while applications run",
        false => "nothing, if all works: the keeper is replaced when deskd is started anew",
    };
    let state = works_or_remark(!is_old && differs.is_none());
    Some(super::finding("versions", state, sentence, change, "deskd health"))
}
