//! `[activity]`: what counts as use of the desktop.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::keys;
use super::parse::Reader;
use super::section::Section;
use super::values::Complaint;

/// `busy_percent` when not given.
const BUSY_PERCENT_DEFAULT: u8 = 10;
/// Most ports.
const VIEWERS_MAX: usize = 16;

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActivityConfig {
    /// TCP ports of viewers (RFB, websockify), by name.
    pub viewers: BTreeMap<String, u16>,
    /// From here on, in percent of one CPU, a task is busy.
    pub busy_percent: u8,
}

impl Default for ActivityConfig {
    fn default() -> Self {
        Self { viewers: BTreeMap::new(), busy_percent: BUSY_PERCENT_DEFAULT }
    }
}

impl<'t> Reader<'t> {
    /// Reads the section.
    pub(super) fn activity(&self, root: &Section<'t>) -> ActivityConfig {
        let section =
            Section::new("activity", root.table("activity"), keys::ACTIVITY, self.problems);
        let percent = section.integer("busy_percent", 1..=100).map(|found| found.value);
        let percent = percent.and_then(|percent| u8::try_from(percent).ok());
        let mut viewers = BTreeMap::new();
        for (name, value) in section.table("viewers").into_iter().flat_map(|table| table.iter()) {
            let port = value.get_ref().as_integer();
            let port = port.and_then(|it| u16::from_str_radix(it.as_str(), it.radix()).ok());
            let key = format!("activity.viewers.{}", name.get_ref());
            let complaint = match port.filter(|port| *port > 0) {
                Some(_) if viewers.len() >= VIEWERS_MAX => Complaint::new(
                    format!("is one too many: at most {VIEWERS_MAX} ports are watched"),
                    "remove some",
                ),
                Some(port) => {
                    viewers.insert(name.get_ref().to_string(), port);
                    continue;
                }
                None => Complaint::new("is no TCP port", "write a number from 1 to 65535"),
            };
            self.problems.file(value.span(), &key, complaint);
        }
        ActivityConfig { viewers, busy_percent: percent.unwrap_or(BUSY_PERCENT_DEFAULT) }
    }
}
