//! The place that an application is to find when it is launched, and how many of the kind.

use super::choose::choose;
use super::facts::{Facts, LaunchSpec};
use super::{UnplannableCode, Work, class, quota};
use crate::app::App;
use crate::place::{Leeway, PlaceSpec, WarmPlace};
use crate::policy::WARM_MAX;

/// What is to be kept ready for `app`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Warm {
    /// This.
    Place(Box<WarmPlace>),
    /// As things are now nothing can be told: what is there stays.
    Unknown,
}

/// What is to be kept ready for launches of `app`; nothing: nothing.
#[must_use]
pub fn warm(app: &App, facts: &Facts) -> Option<Warm> {
    let container = app.container.as_deref()?;
    let count = facts.policy.warm_of(&app.id, class::name_of(container, &facts.policy));
    if count == 0 {
        return None;
    }
    let cluster = &facts.kubernetes;
    // A place that is there already takes nothing of a quota, so one that is full does not end it.
    let mut without_quotas = facts.clone();
    let unlimited = super::KubernetesFacts { quotas: Vec::new(), ..(**cluster).clone() };
    without_quotas.kubernetes = unlimited.into();
    let plan = match choose(app, &LaunchSpec::default(), &without_quotas) {
        Ok(plan) => plan,
        Err(why) if passes(why.code) => return Some(Warm::Unknown),
        Err(_) => return None,
    };
    let (spec, count, leeway) = match &plan.work {
        Work::Local(_) => return None,
        // All its programs run in one.
        Work::EphemeralContainer(plan) => (PlaceSpec::of(plan)?, 1, Leeway::More(WARM_MAX)),
        Work::PodApplication(plan) => {
            (PlaceSpec::of_pod(plan)?, count, quota::leeway(plan, cluster))
        }
    };
    Some(Warm::Place(Box::new(WarmPlace { app: app.id.clone(), spec, count, leeway })))
}

/// Whether things may be otherwise in a moment. An application that runs and may run once needs no
/// place.
fn passes(code: UnplannableCode) -> bool {
    match code {
        UnplannableCode::DisplayUnavailable
        | UnplannableCode::DisplayNotOnNetwork
        | UnplannableCode::KubernetesUnavailable
        | UnplannableCode::TooManyRemoteTasks
        | UnplannableCode::RightMissing => true,
        UnplannableCode::NoCommand
        | UnplannableCode::NotPermitted
        | UnplannableCode::AlreadyRunning
        | UnplannableCode::CannotBePlaced => false,
    }
}
