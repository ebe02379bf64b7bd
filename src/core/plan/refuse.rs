//! Refusals: the code, and the sentence somebody reads instead of a window.

use super::ask::{Ask, Blocker, Insists};
use super::{EngineKind, Rejected, Unplannable, UnplannableCode};

/// Who may launch it, and whether once more: nothing to do with engines.
pub(super) fn whatever_the_engine(ask: &Ask<'_>) -> Result<(), Unplannable> {
    let Some(container) = ask.container() else { return Ok(()) };
    let identity = &ask.facts.policy.identity;
    if let Err(why) = container.access.permits(identity) {
        let sentence = format!("{} {why}", ask.app.display_name);
        return Err(everywhere(UnplannableCode::NotPermitted, sentence, &format!("it {why}")));
    }
    let key = container.unique_run_key.as_ref();
    if let Some((key, task)) = key.and_then(|key| ask.facts.unique_keys.get_key_value(key)) {
        let why = format!(
            "task {task} is running, and only one application with the key `{key}` \
             (oc.uniquerunkey) may run at a time: stop that task first"
        );
        let sentence = format!("{} cannot be launched: {why}", ask.app.display_name);
        return Err(everywhere(UnplannableCode::AlreadyRunning, sentence, &why));
    }
    Ok(())
}

fn everywhere(code: UnplannableCode, sentence: String, why: &str) -> Unplannable {
    Unplannable {
        code,
        sentence,
        rejected: EngineKind::ALL.map(|engine| Rejected { engine, why: why.to_owned() }).to_vec(),
    }
}

/// The engine that somebody insists on cannot run it; `other` could.
pub(super) fn insisted(
    ask: &Ask<'_>,
    insists: Insists,
    blocker: &Blocker,
    other: Option<EngineKind>,
    rejected: Vec<Rejected>,
) -> Unplannable {
    let mut sentence = about(ask, insists.engine(), blocker);
    if let Insists::Document(_) = insists {
        sentence += "; its document asks for this engine (oc.containerengine)";
        if let Some(other) = other {
            let name = other.as_str();
            sentence += &format!(", {} could run it: `--engine {name}`", other.phrase());
        }
    }
    Unplannable { code: blocker.code, sentence, rejected }
}

/// No engine can run it: `blocked` has all three, in the order of preference.
pub(super) fn nobody(ask: &Ask<'_>, blocked: &[(EngineKind, Blocker)]) -> Unplannable {
    let name = &ask.app.display_name;
    let no_command = blocked.iter().find(|(_, b)| b.code == UnplannableCode::NoCommand);
    let passing = blocked.iter().find(|(_, blocker)| blocker.passing);
    let (code, sentence) = match (no_command, passing) {
        (Some((_, blocker)), _) => (blocker.code, format!("{name} has no command to run")),
        (None, Some((engine, blocker))) => (blocker.code, about(ask, *engine, blocker)),
        (None, None) => (UnplannableCode::CannotBePlaced, never(ask, blocked)),
    };
    let rejected = blocked
        .iter()
        .map(|(engine, blocker)| Rejected { engine: *engine, why: blocker.why.clone() })
        .collect();
    Unplannable { code, sentence, rejected }
}

fn about(ask: &Ask<'_>, engine: EngineKind, blocker: &Blocker) -> String {
    let (name, why) = (&ask.app.display_name, &blocker.why);
    match blocker.code {
        UnplannableCode::DisplayUnavailable => format!("{name} needs the display, and {why}"),
        UnplannableCode::NoCommand => format!("{name} has no command to run"),
        _ => format!("{name} cannot run as {}: {why}", engine.phrase()),
    }
}

/// Nothing that changes by itself would help.
fn never(ask: &Ask<'_>, blocked: &[(EngineKind, Blocker)]) -> String {
    let name = &ask.app.display_name;
    if ask.needs.shm && !ask.needs.pod_only.is_empty() {
        return format!(
            "{name} has contradictory needs: {}, which only a pod of its own can have, and shared \
             memory with the X server (io.deskd.shm=required), which only this pod has; change one \
             of the two",
            ask.needs.pod_only.join(", ")
        );
    }
    let engines: Vec<String> = blocked
        .iter()
        .map(|(engine, blocker)| format!("as {}: {}", engine.phrase(), blocker.why))
        .collect();
    format!("{name} cannot run anywhere; {}", engines.join("; "))
}
