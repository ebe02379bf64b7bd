//! The local engine: a program of this container.

use super::ask::{Ask, Blocker, Fit};
use super::facts::{Headroom, ProgramPresence};
use super::{LocalPlan, UnplannableCode, Work, env};
use crate::text;
use crate::text::Text;
use crate::wall::Wall;

/// Less memory than this, in bytes, until the limit of deskd's container makes other engines
/// preferable: what a toolkit application needs to show its first window.
pub(super) const MEMORY_LEFT_BYTES_MIN: u64 = 64 << 20;
/// So does more pressure than this, in hundredths of a percent of the last ten seconds in which
/// some process of the container waited for memory (`memory.pressure`, kernel's psi.rst).
pub(super) const MEMORY_PRESSURE_CENTIPERCENT_MAX: u32 = 2000;

/// Whether it can run here, and why not.
pub(super) fn check(ask: &Ask<'_>) -> Result<Fit, Blocker> {
    program(ask)?;
    let permitted = permitted(ask)?;
    ask.nothing_for_pods_only()?;
    ask.display_answers()?;
    ask.shared_memory()?;
    super::volumes::secrets_are_here(ask)?;
    let mut reasons = vec![text!("it runs as a process in this container")];
    reasons.extend(permitted);
    if ask.app.needs_display {
        reasons.push(ask.facts.display.shm.sysv.sentence());
    }
    reasons.extend(scarcity(&ask.facts.headroom));
    let (wall, about_wall) = ask.facts.machine.wall.of(ask.app.local.sandbox, ask.facts.need);
    reasons.push(about_wall);
    let (work, notes) = work(ask, wall);
    reasons.extend(notes);
    Ok(Fit { work: Work::Local(Box::new(work)), reasons })
}

fn program(ask: &Ask<'_>) -> Result<(), Blocker> {
    let Some(program) = ask.app.local.command.first() else {
        return Err(if ask.container().is_some() {
            Blocker::never(text!(
                "the application comes in an image and names no program to run here"
            ))
        } else {
            Blocker {
                code: UnplannableCode::NoCommand,
                ..Blocker::never(text!("it has no command"))
            }
        });
    };
    let here = match ask.facts.program {
        ProgramPresence::Present => true,
        ProgramPresence::Unknown => ask.container().is_none(),
        ProgramPresence::Absent => false,
    };
    if here {
        return Ok(());
    }
    Err(Blocker::never(text!("`{program}` is not installed in deskd's container", program)))
}

/// A document's isolation is its image: whoever may write a document must not reach what deskd's
/// container has (its token, its files), so only the operator permits it. With the sentence that
/// says so.
fn permitted(ask: &Ask<'_>) -> Result<Option<Text>, Blocker> {
    let id = &ask.app.id;
    if ask.container().is_none() {
        return Ok(None);
    }
    if ask.facts.policy.local.permit(id) {
        return Ok(Some(text!(
            "the configuration permits it to run outside its image (`local` in [kubernetes])"
        )));
    }
    Err(Blocker::never(text!(
        "it comes in an image, and the configuration does not permit it to run outside that, where \
         it could read deskd's files: to permit it, add `{id}` to `local` in [kubernetes]",
        id
    )))
}

/// What is scarce, in a sentence, when local programs should rather run elsewhere.
pub(super) fn scarcity(headroom: &Headroom) -> Option<Text> {
    if let Some(left) = headroom.memory_bytes.filter(|left| *left < MEMORY_LEFT_BYTES_MIN) {
        let mib = left >> 20;
        return Some(text!("memory is scarce in deskd's container: {mib} MiB are left", mib));
    }
    let pressure = headroom.memory_pressure_centipercent?;
    (pressure > MEMORY_PRESSURE_CENTIPERCENT_MAX).then(|| {
        let percent = pressure / 100;
        text!(
            "memory is scarce in deskd's container: its processes waited for memory during \
             {percent} % of the last 10 s",
            percent
        )
    })
}

/// What to do, and what is to be said of it.
fn work(ask: &Ask<'_>, wall: Option<Wall>) -> (LocalPlan, Vec<Text>) {
    let argv = ask.app.local.command.iter().chain(ask.args()).cloned().collect();
    let mut program = ask.app.local.clone();
    program.cwd = program.cwd.or_else(|| ask.facts.machine.home.clone());
    let env::Environment { vars, notes } = env::local(ask);
    (LocalPlan { argv, env: vars, program, wall }, notes)
}
