//! `[execute_class.NAME]` and `[network_rule.NAME]`: what names in application documents mean.

use std::collections::BTreeMap;

use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};

use super::cluster_names as names;
use super::keys;
use super::problem::did_you_mean;
use super::section::{At, Collector, Section};
use super::values::{self, Complaint};
use deskd_core::policy::{ExecuteClass, Toleration, WARM_MAX};

/// Most GPUs of one application.
const GPUS_MAX: i64 = 64;
/// Taint effects (`core/v1 Toleration`).
const EFFECTS: [&str; 3] = ["NoSchedule", "PreferNoSchedule", "NoExecute"];
/// Toleration operators.
const OPERATORS: [&str; 2] = ["Equal", "Exists"];

type Named<'t> = (&'t Spanned<DeString<'t>>, &'t Spanned<DeValue<'t>>);

/// The tables of `[kind.NAME]`, with the complaint about what is none.
pub(super) fn tables<'t>(
    root: &Section<'t>,
    kind: &str,
) -> impl Iterator<Item = (String, String, &'t DeTable<'t>)> {
    let entries: Vec<Named<'t>> =
        root.table(kind).into_iter().flat_map(|tables| tables.iter()).collect();
    let problems = root.problems();
    entries.into_iter().filter_map(move |(name, value)| {
        let name = name.get_ref().to_string();
        let path = format!("{kind}.{name}");
        let table = value.get_ref().as_table();
        if table.is_none() {
            let remedy = format!("write a section [{path}]");
            problems.file(value.span(), &path, Complaint::new("must be a table", remedy));
        }
        Some((name, path, table?))
    })
}

/// All `[execute_class.NAME]`; `gpu_resource` is what their key `gpu` stands for.
pub fn classes(root: &Section<'_>, gpu_resource: &str) -> BTreeMap<String, ExecuteClass> {
    tables(root, "execute_class")
        .map(|(name, path, table)| {
            let section = Section::new(&path, Some(table), keys::EXECUTE_CLASS, root.problems());
            let class = class(&section, gpu_resource);
            (name, class)
        })
        .collect()
}

fn class(section: &Section<'_>, gpu_resource: &str) -> ExecuteClass {
    let requests = resources(section, "requests");
    let limits = resources(section, "limits");
    let gpu = section.integer("gpu", 0..=GPUS_MAX);
    for (name, request) in &requests {
        let Some(limit) = limits.get(name) else { continue };
        let (Ok(asked), Ok(limit)) = (names::quantity(request.value), names::quantity(limit.value))
        else {
            continue;
        };
        let complaint = if asked > limit {
            "is larger than its limit; the API server would refuse the pod"
        } else if asked != limit && names::is_extended(name) {
            "differs from its limit; for an extended resource the two must be equal"
        } else {
            continue;
        };
        let complaint = Complaint::new(complaint, "change one of the two");
        section.complain(&format!("requests.{name}"), request.span.clone(), complaint);
    }
    if let Some(gpu) = &gpu
        && (limits.contains_key(gpu_resource) || requests.contains_key(gpu_resource))
    {
        let complaint = Complaint::new(
            format!("sets {gpu_resource}, and the class sets that resource as well"),
            "keep only one of the two",
        );
        section.complain("gpu", gpu.span.clone(), complaint);
    }
    let owned = |found: BTreeMap<&str, At<&str>>| {
        found.into_iter().map(|(name, found)| (name.to_owned(), found.value.to_owned())).collect()
    };
    ExecuteClass {
        requests: owned(requests),
        limits: owned(limits),
        gpu: gpu.and_then(|gpu| u32::try_from(gpu.value).ok()),
        node_selector: map(section, "node_selector", names::label_value),
        runtime_class: section
            .parsed("runtime_class", "gvisor", names::subdomain)
            .map(|class| class.value),
        tolerations: tolerations(section),
        linger_s: section
            .parsed("linger", "10m", values::whole_seconds_or_none)
            .map(|found| found.value),
        warm: section
            .integer("warm", 0..=WARM_MAX.into())
            .and_then(|found| u32::try_from(found.value).ok()),
    }
}

/// Only the entries that Kubernetes would take.
fn resources<'t>(section: &Section<'t>, key: &str) -> BTreeMap<&'t str, At<&'t str>> {
    let mut found = section.string_map(key);
    found.retain(|name, At { value, span }| {
        let whole = |quantity: deskd_core::quantity::Quantity| {
            if quantity.is_whole() || !names::is_extended(name) {
                return Ok(());
            }
            Err(Complaint::new("must be a whole number, because it counts devices", "write \"1\""))
        };
        let checked = names::resource(name).and_then(|_| names::quantity(value)).and_then(whole);
        let complain =
            |complaint| section.complain(&format!("{key}.{name}"), span.clone(), complaint);
        checked.map_err(complain).is_ok()
    });
    found
}

/// A table of strings with keys that Kubernetes takes.
fn map(
    section: &Section<'_>,
    key: &str,
    check: impl Fn(&str) -> Result<String, Complaint>,
) -> BTreeMap<String, String> {
    let mut checked = BTreeMap::new();
    for (name, At { value, span }) in section.string_map(key) {
        match names::key(name).and_then(|name| Ok((name, check(value)?))) {
            Ok((name, value)) => {
                checked.insert(name, value);
            }
            Err(complaint) => section.complain(&format!("{key}.{name}"), span, complaint),
        }
    }
    checked
}

fn tolerations(section: &Section<'_>) -> Vec<Toleration> {
    const REMEDY: &str =
        "write a list of tables, such as [{ key = \"gpu\", operator = \"Exists\" }]";
    let Some(At { value, span }) = section.raw("tolerations") else { return Vec::new() };
    let Some(list) = value.as_array() else {
        section.complain("tolerations", span, Complaint::new("must be a list of tables", REMEDY));
        return Vec::new();
    };
    let mut tolerations = Vec::new();
    for (index, item) in list.iter().enumerate() {
        let name = format!("tolerations[{index}]");
        match item.get_ref().as_table() {
            Some(table) => {
                let path = section.key(&name);
                tolerations.push(toleration(&path, table, section.problems()));
            }
            None => section.complain(&name, item.span(), Complaint::new("must be a table", REMEDY)),
        }
    }
    tolerations
}

/// The rules of `ValidateTolerations` in Kubernetes' `pkg/apis/core/validation`.
fn toleration<'t>(
    path: &'t str,
    table: &'t DeTable<'t>,
    problems: &'t Collector<'t>,
) -> Toleration {
    let section = Section::new(path, Some(table), keys::TOLERATION, problems);
    let operator = section.parsed("operator", "Exists", |text| word(text, &OPERATORS));
    let exists = operator.as_ref().is_some_and(|operator| operator.value == "Exists");
    let value = section.parsed("value", "true", names::label_value);
    if let Some(value) = value.as_ref().filter(|value| exists && !value.value.is_empty()) {
        let complaint = Complaint::new(
            "has no effect: the operator Exists compares no value",
            "remove the value, or write operator = \"Equal\"",
        );
        section.complain("value", value.span.clone(), complaint);
    }
    let key = section.parsed("key", "nvidia.com/gpu", names::key);
    if section.raw("key").is_none() && !exists {
        let start = table.iter().map(|(key, _)| key.span().start).min().unwrap_or_default();
        let complaint = Complaint::new(
            "has no `key`: only the operator Exists works without one",
            "add the taint's key, or write operator = \"Exists\" to tolerate every taint",
        );
        problems.file(start..start, path, complaint);
    }
    Toleration {
        key: key.map(|found| found.value),
        operator: operator.map(|found| found.value),
        value: value.map(|found| found.value),
        effect: section
            .parsed("effect", "NoSchedule", |text| word(text, &EFFECTS))
            .map(|found| found.value),
    }
}

/// One of some words.
pub fn word(text: &str, known: &[&str]) -> Result<String, Complaint> {
    if known.contains(&text) {
        return Ok(text.to_owned());
    }
    Err(Complaint::new(
        format!("has the unknown value `{}`", text.escape_debug()),
        did_you_mean(text, known).map_or_else(
            || format!("write one of {}", known.join(", ")),
            |word| format!("did you mean \"{word}\"?"),
        ),
    ))
}

/// All `[network_rule.NAME]`: annotations of the pod.
pub fn network_rules(root: &Section<'_>) -> BTreeMap<String, BTreeMap<String, String>> {
    tables(root, "network_rule")
        .map(|(name, path, table)| {
            let section = Section::new(&path, Some(table), keys::NETWORK_RULE, root.problems());
            let annotations = map(&section, "annotations", |text| Ok(text.to_owned()));
            (name, annotations)
        })
        .collect()
}
