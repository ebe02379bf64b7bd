//! What an application needs, from its document and its execute class.

use std::collections::BTreeMap;

use super::facts::ClassChange;
use super::{EngineKind, class};
use crate::app::App;
use crate::app::container::{AppProbe, ContainerApp, ShmNeed};
use crate::policy::{ExecuteClass, Policy, Toleration};
use crate::text;
use crate::text::Text;

/// Needs beyond an image and a display.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Needs {
    /// What only a pod of its own can have, in words that follow `it asks for`.
    pub(super) pod_only: Vec<Text>,
    /// It dies without shared memory with the X server.
    pub(super) shm: bool,
    /// Resource requests, GPUs included.
    pub(super) requests: BTreeMap<String, String>,
    /// Resource limits, GPUs included.
    pub(super) limits: BTreeMap<String, String>,
    /// Node selector of its class.
    pub(super) node_selector: BTreeMap<String, String>,
    /// Runtime class of its class.
    pub(super) runtime_class: Option<String>,
    /// Tolerations of its class.
    pub(super) tolerations: Vec<Toleration>,
    /// Pod annotations of its network rules.
    pub(super) annotations: BTreeMap<String, String>,
    /// What the configuration does not know, or what contradicts itself: no pod can be made.
    pub(super) problems: Vec<Text>,
    /// What is to be said of a pod.
    pub(super) pod_notes: Vec<Text>,
    /// What somebody should know who wonders about the result.
    pub(super) notes: Vec<Text>,
}

impl Needs {
    /// The needs of `app`, on whose engine `engine` somebody insists.
    pub(super) fn of(
        app: &App,
        engine: Option<EngineKind>,
        change: Option<&ClassChange>,
        policy: &Policy,
    ) -> Self {
        let mut needs = Self::default();
        let Some(container) = app.container.as_deref() else { return needs };
        needs.shm = app.needs_display && container.shm == ShmNeed::Required;
        needs.class_of(container, engine, change, policy);
        for port in &container.ports {
            needs.pod_only.push(text!(
                "port {port}/{protocol}",
                port = port.port,
                protocol = port.protocol
            ));
        }
        match &container.probe {
            Some(AppProbe::HttpGet { path, port }) => {
                needs.pod_only.push(text!("an HTTP probe of port {port}{path}", port, path));
            }
            Some(AppProbe::Tcp { port }) => {
                needs.pod_only.push(text!("a probe of port {port}", port))
            }
            None => {}
        }
        needs.networks_of(container, policy);
        needs
    }

    fn class_of(
        &mut self,
        container: &ContainerApp,
        engine: Option<EngineKind>,
        change: Option<&ClassChange>,
        policy: &Policy,
    ) {
        // Most documents insist on an ephemeral container: a class the operator chose for those that
        // name none must not make all of them impossible.
        let elsewhere = engine.filter(|engine| *engine != EngineKind::PodApplication);
        let by_default = container.execute_class.is_none();
        if by_default && let Some(engine) = elsewhere {
            let engine = engine.as_str();
            self.notes.extend(policy.default_class.as_ref().map(|name| {
                text!(
                    "the default execute class `{name}` is for pods and does not apply to {engine}",
                    name,
                    engine
                )
            }));
            return;
        }
        let class::Choice { name, note } = class::of(container, policy);
        self.pod_notes.extend(note);
        let Some(name) = name else { return };
        // A hint alone is no demand: it is for a pod, should it run in one.
        let demanded = !by_default || policy.default_class.is_some();
        let name = match change.map(|change| (change, policy.class_beside(name, change))) {
            None => name,
            Some((change, Some(other))) => {
                self.notes.push(text!(
                    "the remedy for its failure: the execute class `{other}` instead of `{name}`, \
                     which has {amount} {resource}",
                    other,
                    name,
                    amount = if change.more { text!("more") } else { text!("less") },
                    resource = change.resource
                ));
                other
            }
            Some((change, None)) => {
                let amount = if change.more { text!("more") } else { text!("less") };
                self.problems.push(text!(
                    "no execute class has {amount} {resource} than `{name}`: add a section \
                     [execute_class.NAME] to the configuration, or change that one",
                    amount,
                    name,
                    resource = change.resource
                ));
                name
            }
        };
        let Some(class) = policy.classes.get(name) else {
            self.pod_only.push(text!("the execute class `{name}`", name));
            self.problems.push(text!(
                "the configuration has no section [execute_class.{name}]: add it, or change \
                 oc.executeclassname",
                name
            ));
            return;
        };
        self.requests.clone_from(&class.requests);
        self.limits.clone_from(&class.limits);
        self.node_selector.clone_from(&class.node_selector);
        self.runtime_class.clone_from(&class.runtime_class);
        self.tolerations.clone_from(&class.tolerations);
        self.gpus(class, name, &policy.gpu_resource);
        let words = words(class, &policy.gpu_resource);
        if demanded && !words.is_empty() {
            self.pod_only.push(text!(
                "{words} (execute class `{name}`)",
                name,
                words = Text::joined(words, ", ")
            ));
        }
    }

    /// An extended resource is requested by its limit; both are written out, so that what counts
    /// against a quota can be read. docs: kubernetes.io, "Extended resources": requests and limits
    /// must be equal.
    fn gpus(&mut self, class: &ExecuteClass, name: &str, resource: &str) {
        let Some(count) = class.gpu.filter(|count| *count > 0) else { return };
        for amounts in [&mut self.requests, &mut self.limits] {
            let old = amounts.insert(resource.to_owned(), count.to_string());
            if let Some(other) = old.filter(|old| *old != count.to_string()) {
                self.problems.push(text!(
                    "[execute_class.{name}] sets both gpu = {count} and {resource} = {other}: \
                     remove one",
                    name,
                    count,
                    resource,
                    other
                ));
            }
        }
    }

    fn networks_of(&mut self, container: &ContainerApp, policy: &Policy) {
        let mut from: BTreeMap<&str, &str> = BTreeMap::new();
        for rule in &container.network_rules {
            self.pod_only.push(text!("the network `{rule}`", rule));
            let Some(annotations) = policy.network_rules.get(rule) else {
                self.problems.push(text!(
                    "the configuration has no section [network_rule.{rule}]: add it, or change \
                     oc.rules",
                    rule
                ));
                continue;
            };
            for (key, value) in annotations {
                let other = from.insert(key, rule);
                let old = self.annotations.insert(key.clone(), value.clone());
                if let Some(other) = other.filter(|_| old.as_ref() != Some(value)) {
                    self.problems.push(text!(
                        "the network rules `{other}` and `{rule}` give the annotation {key} \
                         different values: remove one of the two rules",
                        other,
                        rule,
                        key
                    ));
                }
            }
        }
    }
}

/// What a class asks for, in words.
fn words(class: &ExecuteClass, gpu_resource: &str) -> Vec<Text> {
    let pairs = |amounts: &BTreeMap<String, String>| {
        amounts.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(" ")
    };
    let mut words = Vec::new();
    if !class.requests.is_empty() {
        words.push(text!("requests {amounts}", amounts = pairs(&class.requests)));
    }
    if !class.limits.is_empty() {
        words.push(text!("limits {amounts}", amounts = pairs(&class.limits)));
    }
    if let Some(count) = class.gpu.filter(|count| *count > 0) {
        words.push(text!("{count} GPU ({gpu_resource})", count, gpu_resource));
    }
    if !class.node_selector.is_empty() {
        words.push(text!(
            "a node with {node_selector}",
            node_selector = pairs(&class.node_selector)
        ));
    }
    if let Some(name) = &class.runtime_class {
        words.push(text!("the runtime class `{name}`", name));
    }
    if !class.tolerations.is_empty() {
        words.push(text!("nodes with a taint"));
    }
    words
}
