//! What a scheduler counted: `0/4 nodes are available: 3 Insufficient cpu, 4 node(s) didn't match ...`
//! (Kubernetes, `pkg/scheduler/framework/types.go`, `FitError`).

use super::cause::Cause;
use super::pattern::find;

/// What stands between the nodes and the reasons.
const AVAILABLE: &[u8] = b"nodes are available: ";
/// Bytes before a reason in which its statement begins.
const BEFORE_BYTES_MAX: usize = 2048;
/// Bytes of a statement.
const STATEMENT_BYTES_MAX: usize = 4096;
/// What follows the reasons.
const AFTER: &[u8] = b"preemption: ";

/// Whether the statement around `at` says that every node is refused for another cause, and not
/// every node for this one: a change here would help nothing.
pub(super) fn is_outweighed(cause: Cause, text: &[u8], at: usize) -> bool {
    let Some((nodes, reasons)) = statement(text, at) else { return false };
    let counted = |cause| reasons.iter().filter(move |it| it.1 == cause).map(|it| it.0);
    // A node is counted once for a taint or a label, and for each resource that it lacks.
    let refused = |cause| match cause {
        Cause::UnschedulableResource => counted(cause).max().unwrap_or(0),
        _ => counted(cause).sum(),
    };
    let all = |cause: &Cause| refused(*cause) >= nodes;
    CAUSES.contains(&cause) && !all(&cause) && CAUSES.iter().any(all)
}

/// What a scheduler's reasons mean.
const CAUSES: [Cause; 3] =
    [Cause::UnschedulableResource, Cause::UnschedulableSelector, Cause::UnschedulableTaint];

/// How many nodes there are, and for how many of them which cause is told.
fn statement(text: &[u8], at: usize) -> Option<(u32, Vec<(u32, Cause)>)> {
    let from = at.saturating_sub(BEFORE_BYTES_MAX);
    let until = text.len().min(at + AVAILABLE.len());
    let mut begin = None;
    while let Some(next) = find(&text[begin.unwrap_or(from)..until], AVAILABLE) {
        begin = Some(begin.unwrap_or(from) + next + AVAILABLE.len());
    }
    let begin = begin?;
    let before = &text[..begin - AVAILABLE.len()];
    let nodes = number_before(before.trim_ascii_end())?;
    let rest = &text[begin..text.len().min(begin + STATEMENT_BYTES_MAX)];
    let rest = &rest[..find(rest, AFTER).unwrap_or(rest.len())];
    let words = String::from_utf8_lossy(rest);
    let words = words.split_once(". ").map_or(&*words, |(first, _)| first);
    let reasons = words.split(", ").filter_map(|reason| {
        let (count, what) = reason.trim().split_once(char::is_whitespace)?;
        Some((count.parse().ok()?, meaning(what)?))
    });
    Some((nodes, reasons.collect()))
}

/// The number that the text ends with.
fn number_before(text: &[u8]) -> Option<u32> {
    let digits = text.iter().rev().take_while(|byte| byte.is_ascii_digit()).count();
    std::str::from_utf8(&text[text.len() - digits..]).ok()?.parse().ok()
}

fn meaning(reason: &str) -> Option<Cause> {
    let has = |word| reason.contains(word);
    if has("Insufficient") || has("Too many pods") {
        Some(Cause::UnschedulableResource)
    } else if has("taint") || has("unschedulable") {
        Some(Cause::UnschedulableTaint)
    } else if has("affinity") || has("selector") || has("match") {
        Some(Cause::UnschedulableSelector)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, outweighed: &[Cause]) {
        let at = text.rfind("node(s)").or_else(|| text.find("Insufficient")).unwrap();
        for cause in CAUSES {
            let is = is_outweighed(cause, text.as_bytes(), at);
            assert_eq!(is, outweighed.contains(&cause), "{cause:?} in {text}");
        }
    }

    #[test]
    fn what_every_node_is_refused_for_outweighs_what_some_lack() {
        let (resource, selector, taint) = (CAUSES[0], CAUSES[1], CAUSES[2]);
        check(
            "0/9 nodes are available: 9 node(s) didn''t match node\n    selector, 2 Insufficient cpu.",
            &[resource, taint],
        );
        check(
            "0/3 nodes are available: 1 Insufficient memory, 1 node(s) had untolerated taint {a: }, \
             2 node(s) had untolerated taint {b: }. preemption: 0/3 nodes are available: 3 Preemption",
            &[resource, selector],
        );
        check("0/12 nodes are available: 3 Insufficient memory, 9 node(s) didn't match x.", &[]);
        check("node(s) of a text without counts", &[]);
    }
}
