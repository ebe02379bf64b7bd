//! What is left of the quotas of application pods, against what a pod asks for.
//!
//! The API server decides; this refuses at once what it would refuse, as far as deskd may read the
//! quotas. Scopes of quotas are not known here: a quota is taken to count every pod.

use super::UnplannableCode;
use super::ask::{Ask, Blocker};
use super::facts::Quota;
use super::needs::Needs;
use crate::quantity::Quantity;
use crate::text;
use crate::text::Text;

/// Refuses what does not fit; otherwise what the API server may refuse for another reason.
pub(super) fn check(ask: &Ask<'_>, namespace: &str) -> Result<Vec<Text>, Blocker> {
    let quotas = ask.facts.kubernetes.quotas.iter().filter(|quota| quota.namespace == namespace);
    let (mut exceeded, mut notes) = (Vec::new(), Vec::new());
    for quota in quotas {
        match asked(&quota.resource, &ask.needs) {
            Asked::Nothing => {}
            Asked::Unsaid => notes.push(text!("the quota `{name}` limits {resource}, which its execute class does not set: the API server \
                 refuses the pod unless the namespace {namespace} has a default (LimitRange)", namespace, name = quota.name, resource = quota.resource)),
            Asked::Amount(amount) if exceeds(quota, &amount) => exceeded.push(text!("the quota `{name}` of namespace {namespace} is too small: {resource} {amount} requested, {used} \
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
fn asked(resource: &str, needs: &Needs) -> Asked {
    let limit = |name: &str| needs.limits.get(name).cloned();
    // A request that is not given is the limit.
    let request = |name: &str| needs.requests.get(name).cloned().or_else(|| limit(name));
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

/// What cannot be read is left to the API server.
fn exceeds(quota: &Quota, amount: &str) -> bool {
    let parsed = [quota.used.as_str(), amount, quota.hard.as_str()].map(Quantity::parse);
    match parsed {
        [Ok(used), Ok(asked), Ok(hard)] => {
            asked > Quantity::default() && used.saturating_add(asked) > hard
        }
        _ => false,
    }
}
