//! Refusals: the code, and the sentence somebody reads instead of a window.

use super::ask::{Ask, Blocker, Insists};
use super::{EngineKind, Rejected, Unplannable, UnplannableCode};
use crate::text;
use crate::text::Text;

/// Who may launch it, and whether once more: nothing to do with engines.
pub(super) fn whatever_the_engine(ask: &Ask<'_>) -> Result<(), Unplannable> {
    let Some(container) = ask.container() else { return Ok(()) };
    let identity = &ask.facts.policy.identity;
    if let Err(why) = container.access.permits(identity) {
        let sentence = text!("{name} {why}", name = ask.app.display_name, why);
        return Err(everywhere(UnplannableCode::NotPermitted, sentence, &text!("it {why}", why)));
    }
    let key = container.unique_run_key.as_ref();
    if let Some((key, task)) = key.and_then(|key| ask.facts.unique_keys.get_key_value(key)) {
        let why = text!(
            "task {task} is running, and only one application with the key `{key}` \
             (oc.uniquerunkey) may run at a time: stop that task first",
            task,
            key
        );
        let sentence = text!(
            "{display_name} cannot be launched: {why}",
            why,
            display_name = ask.app.display_name
        );
        return Err(everywhere(UnplannableCode::AlreadyRunning, sentence, &why));
    }
    Ok(())
}

fn everywhere(code: UnplannableCode, sentence: Text, why: &Text) -> Unplannable {
    Unplannable {
        code,
        sentence,
        rejected: EngineKind::ALL.map(|engine| Rejected { engine, why: why.clone() }).to_vec(),
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
        sentence = match other {
            None => text!(
                "{sentence}; its document asks for this engine (oc.containerengine)",
                sentence
            ),
            Some(other) => text!(
                "{sentence}; its document asks for this engine (oc.containerengine), {other} could \
                 run it: `--engine {engine}`",
                sentence,
                other = other.phrase(),
                engine = other.as_str()
            ),
        };
    }
    Unplannable { code: blocker.code, sentence, rejected }
}

/// No engine can run it: `blocked` has all three, in the order of preference.
pub(super) fn nobody(ask: &Ask<'_>, blocked: &[(EngineKind, Blocker)]) -> Unplannable {
    let name = &ask.app.display_name;
    let no_command = blocked.iter().find(|(_, b)| b.code == UnplannableCode::NoCommand);
    let passing = blocked.iter().find(|(_, blocker)| blocker.passing);
    let (code, sentence) = match (no_command, passing) {
        (Some((_, blocker)), _) => (blocker.code, text!("{name} has no command to run", name)),
        (None, Some((engine, blocker))) => (blocker.code, about(ask, *engine, blocker)),
        (None, None) => (UnplannableCode::CannotBePlaced, never(ask, blocked)),
    };
    let rejected = blocked
        .iter()
        .map(|(engine, blocker)| Rejected { engine: *engine, why: blocker.why.clone() })
        .collect();
    Unplannable { code, sentence, rejected }
}

fn about(ask: &Ask<'_>, engine: EngineKind, blocker: &Blocker) -> Text {
    let (name, why) = (&ask.app.display_name, &blocker.why);
    match blocker.code {
        UnplannableCode::DisplayUnavailable => {
            text!("{name} needs the display, and {why}", name, why)
        }
        UnplannableCode::NoCommand => text!("{name} has no command to run", name),
        _ => text!("{name} cannot run as {engine}: {why}", name, why, engine = engine.phrase()),
    }
}

/// Nothing that changes by itself would help.
fn never(ask: &Ask<'_>, blocked: &[(EngineKind, Blocker)]) -> Text {
    let name = &ask.app.display_name;
    if ask.needs.shm && !ask.needs.pod_only.is_empty() {
        return text!(
            "{name} has contradictory needs: {pod_only}, which only a pod of its own can have, and shared \
             memory with the X server (io.deskd.shm=required), which only this pod has; change one \
             of the two",
            name,
            pod_only = Text::joined(ask.needs.pod_only.iter().cloned(), ", ")
        );
    }
    let engines = blocked.iter().map(|(engine, blocker)| {
        text!("as {engine}: {why}", engine = engine.phrase(), why = blocker.why)
    });
    text!("{name} cannot run anywhere; {engines}", name, engines = Text::joined(engines, "; "))
}
