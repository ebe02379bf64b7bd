//! What is left of the quotas of application pods, against what a pod asks for.
//!
//! The API server decides; this refuses at once what it would refuse, as far as deskd may read the
//! quotas. Scopes of quotas are not known here: a quota is taken to count every pod.

use std::collections::BTreeMap;

use super::UnplannableCode;
use super::ask::{Ask, Blocker};
use super::facts::{KubernetesFacts, Quota};
use super::remote::PodPlan;
use crate::place::Leeway;
use crate::policy::WARM_MAX;
use crate::quantity::Quantity;
use crate::text;
use crate::text::Text;

/// Amounts by the names of resources.
type Amounts = BTreeMap<String, String>;

/// Refuses what does not fit; otherwise what the API server may refuse for another reason.
pub(super) fn check(ask: &Ask<'_>, namespace: &str) -> Result<Vec<Text>, Blocker> {
    let quotas = ask.facts.kubernetes.quotas.iter().filter(|quota| quota.namespace == namespace);
    let (mut exceeded, mut notes) = (Vec::new(), Vec::new());
    for quota in quotas {
        match asked(&quota.resource, (&ask.needs.requests, &ask.needs.limits)) {
            Asked::Nothing => {}
            Asked::Unsaid => notes.push(text!("the quota `{name}` limits {resource}, which its execute class does not set: the API server \
                 refuses the pod unless the namespace {namespace} has a default (LimitRange)", namespace, name = quota.name, resource = quota.resource)),
            Asked::Amount(amount) if !fits(quota, &amount, 1) => exceeded.push(text!("the quota `{name}` of namespace {namespace} is too small: {resource} {amount} requested, {used} \
                 of {hard} used", namespace, amount, name = quota.name, resource = quota.resource, used = quota.used, hard = quota.hard)),
            Asked::Amount(_) => {}
        }
    }
    if exceeded.is_empty() {
        return Ok(notes);
    }
    let why = text!(
        "{exceeded}; stop something there or raise the quota",
        exceeded = Text::joined(exceeded, "; ")
    );
    Err(Blocker::now(UnplannableCode::CannotBePlaced, why))
}

/// What the quotas leave to pods like `plan` that nobody asked for: the last one that fits is a launch's.
pub(super) fn leeway(plan: &PodPlan, facts: &KubernetesFacts) -> Leeway {
    let quotas = facts.quotas.iter().filter(|quota| quota.namespace == plan.namespace);
    let fits =
        quotas.filter_map(|quota| match asked(&quota.resource, (&plan.requests, &plan.limits)) {
            Asked::Amount(amount) => {
                Some((1..=WARM_MAX + 1).take_while(|more| fits(quota, &amount, *more)).count())
            }
            Asked::Nothing | Asked::Unsaid => None,
        });
    match fits.min() {
        Some(0) => Leeway::Full,
        Some(fits) => Leeway::More(u32::try_from(fits - 1).unwrap_or(WARM_MAX)),
        None => Leeway::More(WARM_MAX),
    }
}

enum Asked {
    /// This quota is about something else.
    Nothing,
    /// It counts something that every pod must then name.
    Unsaid,
    /// As much.
    Amount(String),
}

/// How much of a quota's resource a pod takes; the names are those of the Kubernetes documentation,
/// "Resource Quotas".
fn asked(resource: &str, (requests, limits): (&Amounts, &Amounts)) -> Asked {
    let limit = |name: &str| limits.get(name).cloned();
    // A request that is not given is the limit.
    let request = |name: &str| requests.get(name).cloned().or_else(|| limit(name));
    let (amount, must_be_named) = match resource {
        "pods" | "count/pods" => (Some("1".to_owned()), true),
        "cpu" | "memory" => (request(resource), true),
        _ => match (resource.strip_prefix("requests."), resource.strip_prefix("limits.")) {
            (Some(name), _) => (request(name), matches!(name, "cpu" | "memory")),
            (_, Some(name)) => (limit(name), matches!(name, "cpu" | "memory")),
            (None, None) => (request(resource), false),
        },
    };
    match amount {
        Some(amount) => Asked::Amount(amount),
        None if must_be_named => Asked::Unsaid,
        None => Asked::Nothing,
    }
}

/// Whether so many times the amount can be had. What cannot be read is left to the API server.
fn fits(quota: &Quota, amount: &str, times: u32) -> bool {
    let parsed = [quota.used.as_str(), amount, quota.hard.as_str()].map(Quantity::parse);
    match parsed {
        [Ok(used), Ok(asked), Ok(hard)] => {
            let all = (0..times).fold(used, |all, _| all.saturating_add(asked));
            asked <= Quantity::default() || all <= hard
        }
        _ => true,
    }
}
