//! The keeper's own log: to standard error, for people on a terminal and as JSON otherwise, in the
//! daemon's form. A subscriber of its own, since the usual one is half as large as the whole keeper.

use std::fmt::{Debug, Write as _};
use std::io::{IsTerminal as _, Write as _};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber, level_filters::LevelFilter};

/// This crate's name in a filter.
const TARGET: &str = env!("CARGO_CRATE_NAME");

/// Starts logging with the filter of `DESKD_LOG` (such as `info,deskd_keeper=debug`; `info` when
/// absent or when it cannot be read: the daemon reports that).
pub fn init(filter: Option<&str>) {
    let level = filter.map_or(LevelFilter::INFO, level);
    let log = Log { level, json: !std::io::stderr().is_terminal() };
    // A second call keeps the first.
    let _ = tracing::subscriber::set_global_default(log);
}

/// The level that a filter has for this crate: what names it wins over what names nothing.
fn level(filter: &str) -> LevelFilter {
    let (mut of_all, mut own) = (None, None);
    for part in filter.split(',').map(str::trim) {
        match part.split_once('=') {
            Some((target, level)) if TARGET.starts_with(target.trim()) => {
                own = level.trim().parse().ok().or(own);
            }
            Some(_) => {}
            None => of_all = part.parse().ok().or(of_all),
        }
    }
    own.or(of_all).unwrap_or(LevelFilter::INFO)
}

struct Log {
    level: LevelFilter,
    json: bool,
}

impl Subscriber for Log {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= self.level
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(self.level)
    }

    fn event(&self, event: &Event<'_>) {
        let metadata = event.metadata();
        let text = line(self.json, metadata.level(), metadata.target(), |visit| {
            event.record(visit);
        });
        // Nothing helps when standard error is gone.
        let _ = std::io::stderr().write_all(text.as_bytes());
    }

    // The keeper has no spans.
    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }
    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

fn line(json: bool, level: &Level, target: &str, fields: impl FnOnce(&mut dyn Visit)) -> String {
    let now = jiff::Timestamp::now();
    let mut text = if json {
        format!("{{\"timestamp\":\"{now:.6}\",\"level\":\"{level}\"")
    } else {
        format!("{now:.6} {level:>5}")
    };
    fields(&mut Fields { text: &mut text, json });
    if json {
        // A target is a path of names.
        let _ = write!(text, ",\"target\":\"{target}\"}}");
    }
    text.push('\n');
    text
}

struct Fields<'a> {
    text: &'a mut String,
    json: bool,
}

impl Visit for Fields<'_> {
    fn record_u64(&mut self, field: &Field, value: u64) {
        let name = field.name();
        let _ = if self.json {
            write!(self.text, ",\"{name}\":{value}")
        } else {
            write!(self.text, " {name}={value}")
        };
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let (name, value) = (field.name(), format!("{value:?}"));
        let _ = if self.json {
            let value = serde_json::Value::String(value);
            write!(self.text, ",\"{name}\":{value}")
        } else if name == "message" {
            write!(self.text, " {value}")
        } else {
            write!(self.text, " {name}={value}")
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_filter_that_names_this_crate_wins() {
        assert_eq!(level("info"), LevelFilter::INFO);
        assert_eq!(level("warn,deskd_keeper=debug"), LevelFilter::DEBUG);
        assert_eq!(level("deskd=trace,warn"), LevelFilter::TRACE);
        assert_eq!(level("debug,kube_client=off"), LevelFilter::DEBUG);
        assert_eq!(level("nonsense=,;"), LevelFilter::INFO);
        assert_eq!(level("off"), LevelFilter::OFF);
    }

    #[test]
    fn each_line_is_json_whatever_it_says() {
        let text = line(true, &Level::WARN, "deskd_keeper::link", |_| {});
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(
            (&value["level"], &value["target"]),
            (&"WARN".into(), &"deskd_keeper::link".into())
        );
        assert!(value["timestamp"].as_str().unwrap().ends_with('Z'));
    }
}
