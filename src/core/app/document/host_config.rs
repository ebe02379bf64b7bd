//! `oc.host_config`: the part of Docker's HostConfig that means something to a container of
//! Kubernetes. Keys and forms are docker-py's (`docker/types/containers.py`, `utils/utils.py`), as
//! abcdesktop's documents have them.

use serde_json::{Map, Value};

use crate::app::container::HostConfig;

/// Units of sizes, in bytes: docker-py's `parse_bytes` takes them with and without a `b`.
const UNITS: [(&str, u64); 5] =
    [("", 1), ("k", 1 << 10), ("m", 1 << 20), ("g", 1 << 30), ("t", 1 << 40)];
/// `cpu_period` when there is none, in microseconds (Linux, `sched-bwc.rst`).
const CPU_PERIOD_US: f64 = 100_000.0;
/// Billionths of a core in one.
const NANOS_PER_CORE: f64 = 1e9;
/// Most cores that anything asks for: more is a mistake.
const CORES_MAX: f64 = 4096.0;

/// The end of a sentence that begins with the label, when it cannot be read.
pub(super) fn read(value: &Value) -> Result<HostConfig, String> {
    match value {
        Value::Null => Ok(HostConfig::default()),
        Value::Object(config) => Ok(HostConfig {
            shm_bytes: size(config, "shm_size")?,
            memory_bytes: size(config, "mem_limit")?,
            cpu_millis: cpu(config)?,
        }),
        _ => Err("is not a table of Docker's host settings".to_owned()),
    }
}

/// A number of bytes, or such as `512M` and `1g`; 0 is Docker's default.
fn size(config: &Map<String, Value>, key: &str) -> Result<Option<u64>, String> {
    let bytes = match config.get(key) {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::String(text)) => bytes(text),
        Some(value) => value.as_u64(),
    };
    match bytes {
        Some(bytes) => Ok((bytes > 0).then_some(bytes)),
        None => Err(format!(
            "has a `{key}` that is not a size (a number of bytes, or a number with K, M, G or T)"
        )),
    }
}

fn bytes(text: &str) -> Option<u64> {
    let text = text.trim().to_lowercase();
    let digits = text.bytes().take_while(|b| b.is_ascii_digit() || *b == b'.').count();
    let (number, unit) = text.split_at(digits);
    let unit = unit.trim_start();
    let unit = unit.strip_suffix('b').unwrap_or(unit);
    let unit = unit.strip_suffix('i').unwrap_or(unit);
    let factor = UNITS.iter().find(|(name, _)| *name == unit)?.1;
    if let Ok(whole) = number.parse::<u64>() {
        return whole.checked_mul(factor);
    }
    let (whole, fraction) = number.split_once('.')?;
    let fraction = fraction.get(..3).unwrap_or(fraction);
    let scale = 10_u64.pow(u32::try_from(fraction.len()).ok()?);
    let (whole, part) = (whole.parse::<u64>().ok()?, fraction.parse::<u64>().ok()?);
    whole.checked_mul(factor)?.checked_add(part.checked_mul(factor)? / scale)
}

/// The first of its three forms.
fn cpu(config: &Map<String, Value>) -> Result<Option<u64>, String> {
    let number = |key: &str| match config.get(key) {
        None | Some(Value::Null) => Ok(None),
        // -1 is Docker's "no quota".
        Some(value) if value.as_i64() == Some(-1) => Ok(None),
        Some(value) => {
            let text = value.as_str().and_then(|text| text.trim().parse().ok());
            let number: Option<f64> = value.as_f64().or(text);
            let number = number.filter(|number| number.is_finite() && *number >= 0.0);
            number.map(Some).ok_or_else(|| format!("has a `{key}` that is not a number"))
        }
    };
    let cores = match (number("cpus")?, number("nano_cpus")?, number("cpu_quota")?) {
        (Some(cores), ..) => cores,
        (None, Some(nanos), _) => nanos / NANOS_PER_CORE,
        (None, None, Some(quota)) => {
            let period = number("cpu_period")?.filter(|period| *period > 0.0);
            quota / period.unwrap_or(CPU_PERIOD_US)
        }
        (None, None, None) => return Ok(None),
    };
    if cores > CORES_MAX {
        return Err(format!("asks for more than {CORES_MAX} cores"));
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 4096000")]
    let millis = (cores * 1000.0).ceil() as u64;
    Ok((millis > 0).then_some(millis))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn config(shm: Option<u64>, memory: Option<u64>, cpu: Option<u64>) -> HostConfig {
        HostConfig { shm_bytes: shm, memory_bytes: memory, cpu_millis: cpu }
    }

    #[test]
    fn docker_s_forms_are_read_and_its_other_settings_left_alone() {
        let gib = 1 << 30;
        for (value, expect) in [
            (json!(null), config(None, None, None)),
            (json!({}), config(None, None, None)),
            (json!({"shm_size": "2G", "ipc_mode": "shareable"}), config(Some(2 * gib), None, None)),
            (json!({"shm_size": "1g"}), config(Some(gib), None, None)),
            (json!({"shm_size": "512M"}), config(Some(gib / 2), None, None)),
            (json!({"shm_size": "64 MiB"}), config(Some(64 << 20), None, None)),
            (json!({"shm_size": 268_435_456}), config(Some(256 << 20), None, None)),
            (json!({"shm_size": "268435456"}), config(Some(256 << 20), None, None)),
            (json!({"shm_size": 0, "mem_limit": null}), config(None, None, None)),
            (json!({"mem_limit": "1.5g"}), config(None, Some(3 * gib / 2), None)),
            (json!({"mem_limit": "700kb"}), config(None, Some(700 << 10), None)),
            (json!({"cpus": 1.5}), config(None, None, Some(1500))),
            (json!({"cpus": "0.25"}), config(None, None, Some(250))),
            (json!({"nano_cpus": 2_000_000_000_u64}), config(None, None, Some(2000))),
            (json!({"cpu_quota": 50_000}), config(None, None, Some(500))),
            (json!({"cpu_quota": 50_000, "cpu_period": 25_000}), config(None, None, Some(2000))),
            (json!({"cpu_quota": -1, "cpu_period": 0}), config(None, None, None)),
        ] {
            assert_eq!(read(&value), Ok(expect), "{value}");
        }
    }

    #[test]
    fn what_is_no_amount_is_named() {
        for (value, word) in [
            (json!("2G"), "not a table"),
            (json!({"shm_size": "lots"}), "`shm_size`"),
            (json!({"shm_size": ""}), "`shm_size`"),
            (json!({"shm_size": "-1"}), "`shm_size`"),
            (json!({"shm_size": -5}), "`shm_size`"),
            (json!({"shm_size": "99999999999999999999g"}), "`shm_size`"),
            (json!({"mem_limit": ["1g"]}), "`mem_limit`"),
            (json!({"mem_limit": "1.g"}), "`mem_limit`"),
            (json!({"cpus": "two"}), "`cpus`"),
            (json!({"cpu_quota": -2}), "`cpu_quota`"),
            (json!({"cpus": 1e9}), "cores"),
        ] {
            let error = read(&value).unwrap_err();
            assert!(error.contains(word), "{value}: {error}");
        }
    }
}
