//! Names, labels and quantities as the Kubernetes API takes them, checked before anything is sent:
//! the API server would refuse them at the first launch, where nobody looks at the configuration.
//!
//! The rules are those of `k8s.io/apimachinery/pkg/util/validation`.

use super::values::Complaint;
use deskd_core::env_var::{NAME_BYTES_MAX, is_name};
use deskd_core::quantity::Quantity;

/// Longest DNS label and longest label value, in bytes.
const LABEL_BYTES_MAX: usize = 63;
/// Longest DNS subdomain, in bytes.
const SUBDOMAIN_BYTES_MAX: usize = 253;
/// Resources that Kubernetes itself has; all others are called `DOMAIN/NAME`.
const OWN_RESOURCES: [&str; 3] = ["cpu", "memory", "ephemeral-storage"];

fn is_dns_label(text: &str) -> bool {
    (1..=LABEL_BYTES_MAX).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        && !text.starts_with('-')
        && !text.ends_with('-')
}

fn is_subdomain(text: &str) -> bool {
    text.len() <= SUBDOMAIN_BYTES_MAX && text.split('.').all(is_dns_label)
}

/// The name part of a qualified name, and a label's value.
fn is_label_text(text: &str) -> bool {
    let inner = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    (1..=LABEL_BYTES_MAX).contains(&text.len())
        && text.bytes().all(inner)
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.ends_with(|c: char| c.is_ascii_alphanumeric())
}

fn is_qualified(text: &str) -> bool {
    match text.split_once('/') {
        Some((domain, name)) => is_subdomain(domain) && is_label_text(name),
        None => is_label_text(text),
    }
}

fn checked(
    text: &str,
    holds: bool,
    what: &str,
    remedy: impl FnOnce() -> String,
) -> Result<String, Complaint> {
    if holds {
        return Ok(text.to_owned());
    }
    Err(Complaint::new(format!("{what}: `{}`", text.escape_debug()), remedy()))
}

/// Reference of an image: `k8s.gcr.io/pause:3.10`, `deskd@sha256:...`. The runtime has the last word.
pub fn image(text: &str) -> Result<String, Complaint> {
    let inner = |b: u8| b.is_ascii_alphanumeric() || b"._-:/@".contains(&b);
    let holds = text.starts_with(|c: char| c.is_ascii_alphanumeric()) && text.bytes().all(inner);
    checked(text, holds, "is not a valid image name", || {
        "write it as you would for `docker pull`, such as registry.example/deskd:1".into()
    })
}

/// Name of a namespace, a container or a volume.
pub fn dns_label(text: &str) -> Result<String, Complaint> {
    checked(text, is_dns_label(text), "is not a DNS label", || {
        "use at most 63 of the characters a-z, 0-9 and `-`; do not begin or end with `-`".into()
    })
}

/// Name of a volume, or how names of volumes begin, and a `*`.
pub fn pattern(text: &str) -> Result<String, Complaint> {
    // `*` alone would be everything but what deskd knows to be secret.
    let beginning = text.strip_suffix('*').map(|text| text.strip_suffix('-').unwrap_or(text));
    checked(text, is_dns_label(beginning.unwrap_or(text)), "is not a valid volume name", || {
        "write a DNS label (a-z, 0-9, `-`), or the beginning of one and a `*`, such as \"home*\""
            .into()
    })
}

/// Name of a variable.
pub fn variable(text: &str) -> Result<String, Complaint> {
    checked(text, is_name(text), "is not a valid variable name", || {
        format!(
            "use at most {NAME_BYTES_MAX} of the characters A-Z, a-z, 0-9 and `_`; do not begin \
             with a digit"
        )
    })
}

/// Name of most other objects.
pub fn subdomain(text: &str) -> Result<String, Complaint> {
    checked(text, is_subdomain(text), "is not a valid name of a Kubernetes object", || {
        "write DNS labels (a-z, 0-9, `-`) separated by dots, at most 253 characters".into()
    })
}

/// Key of a label, a taint or an annotation.
pub fn key(text: &str) -> Result<String, Complaint> {
    checked(text, is_qualified(text), "has a key that Kubernetes does not accept", || {
        "write NAME or DOMAIN/NAME, such as \"example.org/gpu\"; NAME has at most 63 of the \
         characters A-Z, a-z, 0-9, `-`, `_` and `.`"
            .into()
    })
}

/// Value of a label or a taint; may be empty.
pub fn label_value(text: &str) -> Result<String, Complaint> {
    let holds = text.is_empty() || is_label_text(text);
    checked(text, holds, "is not a valid label value", || {
        "use at most 63 of the characters A-Z, a-z, 0-9, `-`, `_` and `.`; begin and end with a \
         letter or digit"
            .into()
    })
}

/// A resource that a container may ask for.
pub fn resource(text: &str) -> Result<String, Complaint> {
    let holds = OWN_RESOURCES.contains(&text)
        || text.starts_with("hugepages-") && is_label_text(text)
        || is_extended(text);
    checked(text, holds, "sets the unknown resource", || {
        format!("use {} or an extended resource such as nvidia.com/gpu", OWN_RESOURCES.join(", "))
    })
}

/// A device that nodes count.
pub fn extended_resource(text: &str) -> Result<String, Complaint> {
    checked(text, is_extended(text), "is not an extended resource", || {
        "write DOMAIN/NAME, such as \"nvidia.com/gpu\"".into()
    })
}

/// Whether a resource is counted in whole devices.
pub fn is_extended(text: &str) -> bool {
    text.contains('/') && is_qualified(text)
}

/// A quantity, its text as it was written and its amount.
pub fn quantity(text: &str) -> Result<Quantity, Complaint> {
    Quantity::parse(text).map_err(|error| {
        let remedy = match error {
            _ if text.trim() != text || text.contains(' ') => "remove the space",
            deskd_core::quantity::QuantityError::Suffix if text.ends_with('B') => {
                "remove the B: \"1Gi\" is a gibibyte, \"1G\" a gigabyte"
            }
            _ => "write a Kubernetes quantity, such as \"500m\" (of a core) or \"1Gi\" (bytes)",
        };
        Complaint::new(format!("{error}: `{}`", text.escape_debug()), remedy)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_taken_as_the_api_server_takes_them() {
        let long_label = "a".repeat(64);
        for (text, label, sub, qualified) in [
            ("desktop-apps", true, true, true),
            ("a", true, true, true),
            ("a.b", false, true, true),
            ("A_b.c", false, false, true),
            ("example.org/gpu", false, false, true),
            ("Example.org/gpu", false, false, false),
            ("example.org/", false, false, false),
            ("-a", false, false, false),
            ("a-", false, false, false),
            ("a..b", false, false, true),
            ("", false, false, false),
            ("a b", false, false, false),
            (&long_label, false, false, false),
        ] {
            let found = (dns_label(text).is_ok(), subdomain(text).is_ok(), key(text).is_ok());
            assert_eq!(found, (label, sub, qualified), "{text:?}");
        }
        assert!(label_value("").is_ok() && label_value("a/b").is_err());
        for good in ["home", "home*", "auth-localaccount-*", "x11"] {
            assert!(pattern(good).is_ok(), "{good}");
        }
        for bad in ["", "*", "-*", "h*me", "Home", "home**", "a b*"] {
            assert!(pattern(bad).is_err(), "{bad}");
        }
        assert!(variable("LC_ALL").is_ok() && variable("A=B").is_err());
        for good in ["cpu", "memory", "ephemeral-storage", "hugepages-2Mi", "nvidia.com/gpu"] {
            assert!(resource(good).is_ok(), "{good}");
        }
        assert!(resource("gpu").is_err() && extended_resource("gpu").is_err());
    }

    #[test]
    fn a_quantity_with_a_usual_mistake_is_answered_with_the_remedy() {
        assert!(quantity("1Gi").is_ok());
        assert!(quantity("1 Gi").unwrap_err().remedy.contains("space"));
        assert!(quantity("1GiB").unwrap_err().remedy.contains("remove the B"));
        assert!(quantity("-1").unwrap_err().what.contains("negative"));
    }
}
