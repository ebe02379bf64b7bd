//! The choice: what refuses a launch whatever the engine, then who insists on an engine, then the
//! first engine in the order of preference that can work.

use super::ask::{Ask, Blocker, Fit, Insists};
use super::facts::{Facts, LaunchSpec};
use super::{EngineKind, Plan, Rejected, Unplannable, ephemeral, local, pod, refuse};
use crate::app::App;
use crate::text;
use crate::text::Text;

/// What an engine's check said.
type Verdict = (EngineKind, Result<Fit, Blocker>);

/// Chooses the engine for `app`.
pub(super) fn choose(app: &App, launch: &LaunchSpec, facts: &Facts) -> Result<Plan, Unplannable> {
    let ask = Ask::new(app, launch, facts);
    refuse::whatever_the_engine(&ask)?;
    let verdicts = EngineKind::ALL.map(|engine| {
        let verdict = match engine {
            EngineKind::Local => local::check(&ask),
            EngineKind::EphemeralContainer => ephemeral::check(&ask),
            EngineKind::PodApplication => pod::check(&ask),
        };
        (engine, verdict)
    });
    match ask.insists {
        Some(insists) => insisted(&ask, insists, verdicts),
        None => preferred(&ask, verdicts),
    }
}

/// The engine that somebody insists on, or none.
fn insisted(ask: &Ask<'_>, insists: Insists, verdicts: [Verdict; 3]) -> Result<Plan, Unplannable> {
    let wanted = insists.engine();
    let rejected = |(engine, verdict): &Verdict| match verdict {
        Ok(_) if *engine == wanted => None,
        Err(blocker) if *engine == wanted => {
            Some(Rejected { engine: *engine, why: blocker.why.clone() })
        }
        _ => Some(Rejected { engine: *engine, why: insists.sentence() }),
    };
    let rejected: Vec<Rejected> = verdicts.iter().filter_map(rejected).collect();
    let other = verdicts.iter().find(|(engine, verdict)| *engine != wanted && verdict.is_ok());
    let other = other.map(|(engine, _)| *engine);
    let [local, ephemeral, pod] = verdicts.map(|(_, verdict)| verdict);
    let verdict = match wanted {
        EngineKind::Local => local,
        EngineKind::EphemeralContainer => ephemeral,
        EngineKind::PodApplication => pod,
    };
    match verdict {
        Ok(mut fit) => {
            fit.reasons.insert(0, insists.sentence());
            Ok(made(ask, wanted, fit, rejected))
        }
        Err(blocker) => Err(refuse::insisted(ask, insists, &blocker, other, rejected)),
    }
}

/// The first engine in the order of preference that can work, or none.
fn preferred(ask: &Ask<'_>, verdicts: [Verdict; 3]) -> Result<Plan, Unplannable> {
    let mut fits = Vec::new();
    let mut blocked = Vec::new();
    for (engine, verdict) in verdicts {
        match verdict {
            Ok(fit) => fits.push((engine, fit)),
            Err(blocker) => blocked.push((engine, blocker)),
        }
    }
    if fits.is_empty() {
        return Err(refuse::nobody(ask, &blocked));
    }
    // What is scarce in deskd's container is scarce for local programs alone.
    let scarcity = local::scarcity(&ask.facts.headroom);
    let remote = fits.iter().position(|(engine, _)| *engine != EngineKind::Local);
    let (chosen, fit) = fits.remove(remote.filter(|_| scarcity.is_some()).unwrap_or(0));
    let others = fits.iter().map(|(engine, _)| less_preferred(*engine, chosen, scarcity.as_ref()));
    let blocked =
        blocked.into_iter().map(|(engine, blocker)| Rejected { engine, why: blocker.why });
    let mut rejected: Vec<Rejected> = others.chain(blocked).collect();
    rejected.sort_by_key(|rejected| rejected.engine);
    Ok(made(ask, chosen, fit, rejected))
}

fn less_preferred(engine: EngineKind, chosen: EngineKind, scarcity: Option<&Text>) -> Rejected {
    let other = chosen.phrase();
    let why = match (engine, scarcity) {
        (EngineKind::Local, Some(scarcity)) => {
            text!("it could, but {scarcity}, and {other} has memory of its own", scarcity, other)
        }
        _ => text!(
            "it could, but {other} is preferred: {advantage}",
            other,
            advantage = chosen.advantage()
        ),
    };
    Rejected { engine, why }
}

fn made(ask: &Ask<'_>, engine: EngineKind, fit: Fit, rejected: Vec<Rejected>) -> Plan {
    let Fit { work, mut reasons } = fit;
    reasons.extend(ask.needs.notes.iter().cloned());
    Plan { engine, work, reasons, rejected }
}
