//! `deskd daemon --reload`: what the keeper runs at SIGHUP, to check the configuration before a daemon gets it.
//!
//! It is the new program that reads, so a configuration for it is checked by it. The configuration in use may be of the
//! release before: it is compared as the JSON that it is.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value;

use super::failure::{Failure, note};
use super::offline;
use crate::config::{Config, Env};
use deskd_core::exit::Exit;

/// The descriptor of the file that the configuration is written to.
const OUTPUT: &str = "/proc/self/fd/3";
/// What the keeper has taken from the configuration at its start, and keeps.
const OF_THE_KEEPER: [&str; 5] =
    ["state_dir", "listen", "log_store", "stop.shutdown_grace", "tasks_max"];

/// Reads the configuration anew, tells what differs, and writes it down; or what is wrong, for the keeper.
pub fn check(config_fd: i32, env: &Env) -> Result<Exit, Failure> {
    checked(config_fd, env).inspect_err(|failure| {
        // It is on standard error too.
        let _ = std::fs::write(OUTPUT, failure.text());
    })
}

fn checked(config_fd: i32, env: &Env) -> Result<Exit, Failure> {
    let old: Value = offline::config_from_fd(config_fd)?;
    let file = old["file"].as_str().map(Path::new);
    let new = offline::load(file, false, env)?;
    let doing = "take over the configuration";
    let json =
        serde_json::to_value(&new).map_err(|error| Failure::new(Exit::Internal, doing, error))?;
    let changed = differences(&old, &json);
    let fixed: Vec<&str> = changed
        .iter()
        .map(String::as_str)
        .filter(|key| OF_THE_KEEPER.iter().any(|own| key == own || is_below(key, own)))
        .collect();
    if !fixed.is_empty() {
        let why = format!("{} cannot change while deskd runs", fixed.join(", "));
        return Err(Failure::new(Exit::Config, doing, why)
            .remedy("restart deskd, or set them to what they were; nothing was changed"));
    }
    if changed.is_empty() {
        note("SIGHUP: the configuration has not changed");
    } else {
        note(&format!("SIGHUP: the configuration differs in {}", list(&changed)));
    }
    write(&new).map_err(|error| Failure::io(doing, &error))?;
    Ok(Exit::Ok)
}

fn write(config: &Config) -> std::io::Result<()> {
    std::fs::write(OUTPUT, serde_json::to_vec(config)?)
}

fn is_below(key: &str, parent: &str) -> bool {
    key.strip_prefix(parent).is_some_and(|rest| rest.starts_with('.'))
}

fn list(keys: &BTreeSet<String>) -> String {
    keys.iter().map(String::as_str).collect::<Vec<_>>().join(", ")
}

/// The keys whose values differ: of a section those in it, of anything else its own. Never a value.
fn differences(old: &Value, new: &Value) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for key in keys(old).chain(keys(new)) {
        let (before, after) = (&old[key], &new[key]);
        if before == after {
            continue;
        }
        if before.is_object() && after.is_object() {
            let inner =
                keys(before).chain(keys(after)).filter(|inner| before[*inner] != after[*inner]);
            found.extend(inner.map(|inner| format!("{key}.{inner}")));
        } else {
            found.insert(key.clone());
        }
    }
    found
}

fn keys(value: &Value) -> impl Iterator<Item = &String> {
    value.as_object().into_iter().flat_map(|map| map.keys())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn differences_are_keys_of_sections_and_never_values() {
        let old = json!({ "a": 1, "stop": { "term": 2, "grace": 3 }, "apps": ["secret"] });
        let new = json!({ "a": 1, "stop": { "term": 4, "grace": 3 }, "apps": [], "new": true });
        let found = differences(&old, &new);
        assert_eq!(list(&found), "apps, new, stop.term");
        assert!(differences(&old, &old).is_empty());
    }

    #[test]
    fn the_keepers_keys_are_those_of_a_configuration() {
        let env = Env::from_pairs([("DESKD_STATE_DIR", "/nowhere")]);
        let config = serde_json::to_value(Config::load(None, &env).unwrap()).unwrap();
        for key in OF_THE_KEEPER {
            let value = key.split('.').try_fold(&config, |value, part| value.get(part));
            assert!(value.is_some(), "{key}");
        }
    }
}
