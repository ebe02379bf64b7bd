//! A variable of an application's environment, and where its value comes from.

use serde::{Deserialize, Serialize};

/// Longest name of a variable that is handed on, in bytes; nothing sets a longer one by intention.
pub const NAME_BYTES_MAX: usize = 256;

/// A variable that an application gets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct EnvVar {
    /// Name.
    pub name: String,
    /// Value; where it is shown, secrets are redacted. Empty for [`EnvSource::Field`]: kubelet fills it.
    pub value: String,
    /// Where the value comes from.
    pub from: EnvSource,
}

impl EnvVar {
    /// A variable.
    pub fn new(name: impl Into<String>, value: impl Into<String>, from: EnvSource) -> Self {
        Self { name: name.into(), value: value.into(), from }
    }

    /// A variable that kubelet fills with a field of the pod that the container is in.
    pub fn field(name: impl Into<String>, path: impl Into<String>) -> Self {
        Self::new(name, "", EnvSource::Field(path.into()))
    }
}

/// Where the value of a variable comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum EnvSource {
    /// deskd's own environment.
    Deskd,
    /// The environment of this container of the desktop's pod, the graphical one.
    Desktop(String),
    /// This label of the desktop's pod.
    PodLabel(String),
    /// What the API server says about the desktop's pod: name, node, address.
    Pod,
    /// The application's description.
    Application,
    /// This label of the image's document.
    DocumentLabel(String),
    /// The display that deskd supervises.
    Display,
    /// Whoever launched it.
    Launch,
    /// The plan: the engine, what it may use, a directory that it can write to.
    Plan,
    /// This key of the configuration.
    Configuration(String),
    /// A remedy for an earlier failure.
    Remedy,
    /// The specification of its container, which others wrote.
    Specification,
    /// This field of the pod that the container is in, filled in by kubelet.
    Field(String),
}

impl std::fmt::Display for EnvSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Deskd => f.write_str("deskd's environment"),
            Self::Desktop(container) => write!(f, "container {container}"),
            Self::PodLabel(label) => write!(f, "pod label {label}"),
            Self::Pod => f.write_str("desktop's pod"),
            Self::Application => f.write_str("application"),
            Self::DocumentLabel(label) => write!(f, "label {label}"),
            Self::Display => f.write_str("display"),
            Self::Specification => f.write_str("its container's specification"),
            Self::Launch => f.write_str("launch"),
            Self::Plan => f.write_str("plan"),
            Self::Configuration(key) => write!(f, "configuration {key}"),
            Self::Remedy => f.write_str("remedy"),
            Self::Field(path) => write!(f, "pod field {path}"),
        }
    }
}

/// Whether every version of Kubernetes takes `name` as the name of a variable (`IsEnvVarName` of
/// `k8s.io/apimachinery/pkg/util/validation`): with another one the API server refuses the container.
#[must_use]
pub fn is_name(name: &str) -> bool {
    let inner = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.');
    (1..=NAME_BYTES_MAX).contains(&name.len())
        && name.bytes().all(inner)
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && name != "."
        && !name.starts_with("..")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_that_kubernetes_takes() {
        for name in ["A", "_", "LC_ALL", "a1", "a.b", "-a", ".a"] {
            assert!(is_name(name), "{name}");
        }
        let long = "A".repeat(NAME_BYTES_MAX + 1);
        for name in ["", "1A", "A B", "A=B", ".", "..", "..a", "Ä", "$(A)", &long] {
            assert!(!is_name(name), "{name}");
        }
    }
}
