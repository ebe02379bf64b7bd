//! Every request to the API server, counted: how many calls a launch costs is a figure of
//! `/metrics`, not a claim.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

/// What is done to a resource; the API's own verbs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Verb {
    /// Read one.
    Get,
    /// Read all.
    List,
    /// Be told of changes.
    Watch,
    /// Make one.
    Create,
    /// Change one.
    Patch,
    /// Delete one.
    Delete,
}

impl Verb {
    /// The word of the API.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::List => "list",
            Self::Watch => "watch",
            Self::Create => "create",
            Self::Patch => "patch",
            Self::Delete => "delete",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    verb: &'static str,
    resource: &'static str,
    code: &'static str,
}

/// Counts requests; clones count together.
#[derive(Debug, Clone, Default)]
pub struct Calls {
    requests: Family<Labels, Counter>,
}

impl Calls {
    /// Registers the counter `<prefix>_kubernetes_requests`.
    pub fn register(&self, registry: &mut Registry) {
        registry.register(
            "kubernetes_requests",
            "Requests to the Kubernetes API by verb, resource and answer",
            self.requests.clone(),
        );
    }

    /// One request was answered with `code`, or not at all.
    pub fn count(&self, verb: Verb, resource: &'static str, code: Option<u16>) {
        let labels = Labels { verb: verb.as_str(), resource, code: code_word(code) };
        self.requests.get_or_create(&labels).inc();
    }

    /// How many requests with this verb and resource there were, whatever their answer.
    #[must_use]
    pub fn total(&self, verb: Verb, resource: &'static str) -> u64 {
        const WORDS: [&str; 12] =
            ["2xx", "400", "401", "403", "404", "409", "410", "422", "429", "4xx", "5xx", "none"];
        let of = |code| {
            let labels = Labels { verb: verb.as_str(), resource, code };
            self.requests.get(&labels).map_or(0, |counter| counter.get())
        };
        WORDS.into_iter().map(of).sum()
    }
}

/// Label values come from a closed set.
fn code_word(code: Option<u16>) -> &'static str {
    match code {
        Some(200..=299) => "2xx",
        Some(400) => "400",
        Some(401) => "401",
        Some(403) => "403",
        Some(404) => "404",
        Some(409) => "409",
        Some(410) => "410",
        Some(422) => "422",
        Some(429) => "429",
        Some(500..) => "5xx",
        Some(_) => "4xx",
        None => "none",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_told_apart_by_verb_resource_and_answer() {
        let calls = Calls::default();
        for code in [Some(201), Some(409), None] {
            calls.count(Verb::Create, "pods", code);
        }
        calls.count(Verb::List, "pods", Some(200));
        assert_eq!(calls.total(Verb::Create, "pods"), 3);
        assert_eq!(calls.total(Verb::List, "pods"), 1);
        assert_eq!(calls.total(Verb::Patch, "pods"), 0);
        let mut registry = Registry::default();
        calls.register(&mut registry);
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        let line = "kubernetes_requests_total{verb=\"create\",resource=\"pods\",code=\"409\"} 1";
        assert!(text.contains(line), "{text}");
    }
}
