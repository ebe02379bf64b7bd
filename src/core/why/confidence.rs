//! How sure a cause is: what its rule says, lowered by what else the text tells.

use super::cause::Cause;
use super::diagnose::{Diagnosis, Fired};
use super::rule::{Confidence, Speaker, Weight};

/// Of the first of these, which are in their order.
///
/// A cause is certain when words say so that nothing else means, when these are among the last ones,
/// and when nothing else is as likely: two causes that are both told leave a doubt.
pub(super) fn of(fired: &[Fired<'_>]) -> Confidence {
    let Some((first, rest)) = fired.split_first() else { return Confidence::Possible };
    let rule = first.rule;
    let noise = rule.weight == Weight::Noise;
    let followed = !first.late && rule.speaker != Speaker::Cluster && !rule.patterns.is_empty();
    let doubtful = noise || followed || rest.iter().any(|other| rivals(first, other));
    if doubtful { rule.confidence.min(Confidence::Likely) } else { rule.confidence }
}

/// Whether the other is a cause too that the first neither is nor explains.
fn rivals(first: &Fired<'_>, other: &Fired<'_>) -> bool {
    let told = other.rule.confidence >= Confidence::Likely && other.rule.weight != Weight::Noise;
    let follows = other.rule.cause.rank() >= Cause::Crashed.rank();
    let differs = other.rule.cause != first.rule.cause;
    differs && told && !(follows && first.rule.cause.rank() < Cause::Crashed.rank())
}

/// At most so sure, unless the rule is one of these.
pub(super) fn capped(mut diagnosis: Diagnosis, sure: &[&str], most: Confidence) -> Diagnosis {
    if !diagnosis.rule.as_deref().is_some_and(|rule| sure.contains(&rule)) {
        diagnosis.confidence = diagnosis.confidence.min(most);
    }
    diagnosis
}
