//! Reads how a program ended from what somebody wrote: of a signal, its number or its name is
//! enough.

use serde::{Deserialize, Deserializer, de::Error};

use crate::task::Exit;
use crate::why::reason::LostReason;

/// Signals by number, signal(7): the numbers of x86 and ARM.
const SIGNALS: [(i32, &str); 17] = [
    (1, "SIGHUP"),
    (2, "SIGINT"),
    (3, "SIGQUIT"),
    (4, "SIGILL"),
    (5, "SIGTRAP"),
    (6, "SIGABRT"),
    (7, "SIGBUS"),
    (8, "SIGFPE"),
    (9, "SIGKILL"),
    (10, "SIGUSR1"),
    (11, "SIGSEGV"),
    (12, "SIGUSR2"),
    (13, "SIGPIPE"),
    (14, "SIGALRM"),
    (15, "SIGTERM"),
    (24, "SIGXCPU"),
    (31, "SIGSYS"),
];

/// [`Exit`] as it is written: one of these.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    code: Option<i32>,
    signal: Option<Signal>,
    reason: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Signal {
    number: Option<i32>,
    name: Option<String>,
    #[serde(default)]
    core_dumped: bool,
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Exit>, D::Error> {
    let Some(written) = Option::<Written>::deserialize(from)? else {
        return Ok(None);
    };
    match written {
        Written { code: None, signal: None, reason: None } => Ok(None),
        Written { code: Some(code), signal: None, reason: None } => Ok(Some(Exit::Code(code))),
        Written { code: None, signal: None, reason: Some(why) } => {
            Ok(Some(Exit::Lost(LostReason::Told(why))))
        }
        Written { code: None, signal: Some(signal), reason: None } => {
            named(signal).map(Some).map_err(D::Error::custom)
        }
        _ => Err(D::Error::custom("`exit` takes one of `code`, `signal` and `reason`")),
    }
}

fn named(Signal { number, name, core_dumped }: Signal) -> Result<Exit, String> {
    let (number, name) = match (number, name) {
        (Some(number), Some(name)) => (number, name),
        (Some(number), None) => {
            let known = SIGNALS.iter().find(|(known, _)| *known == number);
            (number, known.map_or_else(|| format!("signal {number}"), |(_, name)| (*name).into()))
        }
        (None, Some(name)) => match SIGNALS.iter().find(|(_, known)| *known == name) {
            Some((number, _)) => (*number, name),
            None => {
                return Err(format!("`exit.signal` needs `number`: {name} is not known by name"));
            }
        },
        (None, None) => return Err("`exit.signal` needs `number` or `name`".into()),
    };
    Ok(Exit::Signal { number, name, core_dumped })
}
