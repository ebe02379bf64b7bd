//! Labels whose value is JSON: access list, rules, secrets, ports, probe. Each error is the end of a
//! sentence that begins with the label.

use serde_json::Value;

use crate::app::access::AccessList;
use crate::app::container::{AppPort, AppProbe, HomeNeed};

/// Longest name of a port (`core/v1 ContainerPort`: an IANA service name).
const PORT_NAME_BYTES_MAX: usize = 15;
/// Most ports of an application.
const PORTS_MAX: usize = 32;

/// `{"permit": ["all"], "deny": ["interns"]}`; a lone name needs no list.
pub(super) fn access(value: &Value) -> Result<AccessList, String> {
    let mut list = AccessList::default();
    match value {
        Value::Null => {}
        Value::Object(entries) => {
            for (key, value) in entries {
                match key.as_str() {
                    "permit" => list.permit = names(value, key)?,
                    "deny" => list.deny = names(value, key)?.unwrap_or_default(),
                    _ => {
                        return Err(format!(
                            "has the unknown key `{key}`: only `permit` and `deny` are known"
                        ));
                    }
                }
            }
        }
        _ => return Err("is not a table with `permit` and `deny`".to_owned()),
    }
    Ok(list)
}

fn names(value: &Value, key: &str) -> Result<Option<Vec<String>>, String> {
    let text = |value: &Value| value.as_str().map(|text| text.trim().to_owned());
    let names = match value {
        Value::Null => return Ok(None),
        Value::String(_) => text(value).map(|name| vec![name]),
        Value::Array(items) => items.iter().map(text).collect(),
        _ => None,
    };
    names.map(Some).ok_or_else(|| format!("has a `{key}` that is not a list of names"))
}

/// The names below `network` that are not switched off. abcdesktop writes
/// `{"homedir": {"default": true}, "network": {"default": false, "intranet": true}}`: `homedir` is
/// about volumes ([`home`]), `default` names no network.
pub(super) fn network_rules(value: &Value) -> Result<Vec<String>, String> {
    let wanted = |value: &Value| !matches!(value, Value::Null | Value::Bool(false));
    match value {
        Value::Null => Ok(Vec::new()),
        Value::Object(rules) => match rules.get("network") {
            None | Some(Value::Bool(_)) => Ok(Vec::new()),
            Some(Value::Object(networks)) => Ok(networks
                .iter()
                .filter(|(name, value)| *name != "default" && wanted(value))
                .map(|(name, _)| name.clone())
                .collect()),
            Some(network) => Ok(names(network, "network")?.unwrap_or_default()),
        },
        _ => Err("is not a table of rules".to_owned()),
    }
}

/// `homedir` of the same rules: `{"default": false}` (or `false` alone) means none of the user's.
/// Rules for some users, beside `default`, are abcdesktop's alone.
pub(super) fn home(value: &Value) -> Result<HomeNeed, String> {
    let rule = match value.get("homedir") {
        Some(Value::Object(rules)) => rules.get("default"),
        rule => rule,
    };
    match rule {
        None | Some(Value::Null | Value::Bool(true)) => Ok(HomeNeed::Shared),
        Some(Value::Bool(false)) => Ok(HomeNeed::Private),
        Some(_) => Err("has a `homedir` whose `default` is neither true nor false".to_owned()),
    }
}

/// `["vault", "smb"]` or one name.
pub(super) fn secrets(value: &Value) -> Result<Vec<String>, String> {
    names(value, "list").map(Option::unwrap_or_default).map_err(|_| "is not a list of names".into())
}

/// A list of ports, or one; a port may be a number alone.
pub(super) fn ports(value: &Value) -> Result<Vec<AppPort>, String> {
    let items = match value {
        Value::Array(items) => items.iter().collect(),
        Value::Null => Vec::new(),
        one => vec![one],
    };
    if items.len() > PORTS_MAX {
        return Err(format!("has more than {PORTS_MAX} ports"));
    }
    items.into_iter().map(port).collect()
}

fn port(value: &Value) -> Result<AppPort, String> {
    let number = |value: &Value| value.as_u64().map(|port| serde_json::json!({ "port": port }));
    let value = number(value).unwrap_or_else(|| value.clone());
    let port: AppPort =
        serde_json::from_value(value).map_err(|error| format!("has a port with {error}"))?;
    if port.port == 0 {
        return Err("has port 0".to_owned());
    }
    if !["TCP", "UDP", "SCTP"].contains(&port.protocol.as_str()) {
        return Err(format!("has protocol `{}`, which is not TCP, UDP or SCTP", port.protocol));
    }
    match &port.name {
        Some(name) if !is_port_name(name) => Err(format!(
            "has a port named `{}`: a name has 1 to {PORT_NAME_BYTES_MAX} of the characters a-z, \
             0-9 and `-`, at least one letter, no `--`, and no `-` at the beginning or end",
            name.escape_debug()
        )),
        _ => Ok(port),
    }
}

/// IANA_SVC_NAME of the Kubernetes API (RFC 6335, section 5.1).
fn is_port_name(name: &str) -> bool {
    (1..=PORT_NAME_BYTES_MAX).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        && name.bytes().any(|b| b.is_ascii_lowercase())
        && !name.starts_with('-')
        && !name.ends_with('-')
        && !name.contains("--")
}

/// `{"http_get": {"path": "/", "port": 8080}}` or `{"tcp": {"port": 8080}}`.
pub(super) fn probe(value: &Value) -> Result<AppProbe, String> {
    let probe: AppProbe =
        serde_json::from_value(value.clone()).map_err(|error| format!("has {error}"))?;
    match &probe {
        AppProbe::HttpGet { port: 0, .. } | AppProbe::Tcp { port: 0 } => {
            Err("has port 0".to_owned())
        }
        AppProbe::HttpGet { path, .. } if !path.starts_with('/') => {
            Err(format!("has the path `{path}`, which does not begin with `/`"))
        }
        _ => Ok(probe),
    }
}
