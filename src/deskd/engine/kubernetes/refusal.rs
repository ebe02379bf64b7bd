//! What an error of the API server means for a request: refused for good, or to be tried again.
//! Pure; the texts are those of Kubernetes 1.34 to 1.36.

use super::{Refusal, RefusalCode};
use kube::core::Status;

/// What becomes of a request that was answered with an error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It will never be granted as it is.
    Refused(Refusal),
    /// An object of that name exists.
    Exists,
    /// Later it may be: the sentence says what is in the way.
    Later(String),
}

/// Texts by which the quota and limit plugins are known: their errors are 403s like all others.
const QUOTA_TEXTS: [&str; 6] = [
    "exceeded quota",
    "failed quota",
    "insufficient quota",
    "usage per Container is",
    "usage per Pod is",
    "limit to request ratio",
];

/// What `status` means for a request that was to do `what` (`create the pod p in n`).
#[must_use]
pub fn verdict(status: &Status, what: &str) -> Verdict {
    let said = status.message.trim();
    let refused = |code, sentence: String| {
        Verdict::Refused(Refusal { code, sentence, message: said.to_owned() })
    };
    if status.code == 409 {
        return match status.reason.as_str() {
            "AlreadyExists" => Verdict::Exists,
            _ => {
                Verdict::Later(format!("somebody else changed the object while deskd did: {said}"))
            }
        };
    }
    if let Some(sentence) = admission(said, what) {
        return refused(RefusalCode::Admission, sentence);
    }
    match status.code {
        401 => Verdict::Later(format!(
            "the API server does not accept deskd's token (cannot {what}): is it expired?"
        )),
        403 => forbidden(status, said, what),
        404 => refused(
            RefusalCode::NotFound,
            format!("cannot {what}: what it belongs to does not exist ({said})"),
        ),
        413 => refused(
            RefusalCode::Full,
            format!("cannot {what}: it is larger than the API server takes ({said})"),
        ),
        400 | 422 => refused(
            RefusalCode::Invalid,
            format!(
                "cannot {what}: the API server says that it is not valid ({}); correct the \
                 application's description or its execute class",
                causes(status)
            ),
        ),
        429 => Verdict::Later("the API server is busy and asks to wait".to_owned()),
        code => Verdict::Later(format!("the API server answered with error {code}: {said}")),
    }
}

fn forbidden(status: &Status, said: &str, what: &str) -> Verdict {
    let refused = |code, sentence: String| {
        Verdict::Refused(Refusal { code, sentence, message: said.to_owned() })
    };
    let causes = status.details.iter().flat_map(|details| &details.causes);
    if causes.clone().any(|cause| cause.reason == "NamespaceTerminating") {
        return refused(
            RefusalCode::NotFound,
            format!("cannot {what}: the namespace is being deleted"),
        );
    }
    if QUOTA_TEXTS.iter().any(|text| said.contains(text)) {
        let tail = QUOTA_TEXTS.iter().find_map(|text| said.find(text)).unwrap_or(0);
        let start = said[..tail].rfind(": ").map_or(tail, |at| at + 2);
        return refused(
            RefusalCode::Quota,
            format!(
                "cannot {what}: the namespace's quota does not allow it ({}); stop something \
                 there, or ask for a larger quota",
                &said[start..]
            ),
        );
    }
    // The controller that makes it in a new namespace is not done yet.
    if said.contains("error looking up service account") {
        return Verdict::Later(format!("the namespace is not ready: {said}"));
    }
    refused(
        RefusalCode::Forbidden,
        format!(
            "cannot {what}: deskd has not the right to ({said}); grant it as container/rbac.yaml \
             does"
        ),
    )
}

/// The sentence when a policy, a plugin of the API server or a webhook said no. Their codes differ.
fn admission(said: &str, what: &str) -> Option<String> {
    if let Some((_, policy)) = said.split_once("ValidatingAdmissionPolicy '") {
        let name = policy.split('\'').next().unwrap_or_default();
        let why = policy.split_once("denied request: ").map_or(policy, |(_, why)| why);
        return Some(format!("cannot {what}: the cluster's policy {name} denies it: {why}"));
    }
    if let Some((_, violation)) = said.split_once("violates PodSecurity ") {
        return Some(format!("cannot {what}: the namespace's Pod Security level {violation}"));
    }
    if let Some((_, short)) = said.split_once("node didn't have enough allocatable resources: ") {
        return Some(format!("cannot {what}: its node will never have enough for it ({short})"));
    }
    if let Some((name, why)) = mutating_policy(said) {
        return Some(format!(
            "cannot {what}: the cluster's policy {name}, which is to change it, fails and so denies \
             it: {why}"
        ));
    }
    let (_, webhook) = said.split_once("admission webhook \"")?;
    let (name, why) = webhook.split_once("\" denied the request")?;
    let why = why.trim_start_matches([':', ' ']);
    Some(format!("cannot {what}: the cluster's admission webhook {name} denies it: {why}"))
}

/// The name of a MutatingAdmissionPolicy and its error: `policy 'p' with binding 'b' denied request:
/// ...`, without a binding `policy "p" ...`.
fn mutating_policy(said: &str) -> Option<(&str, &str)> {
    let (who, why) = said.strip_prefix("policy ")?.split_once(" denied request: ")?;
    Some((who.split(['\'', '"']).nth(1)?, why))
}

/// The fields that are wrong and why, without the object's name.
fn causes(status: &Status) -> String {
    let found: Vec<String> = status
        .details
        .iter()
        .flat_map(|details| &details.causes)
        .map(|cause| format!("{}: {}", cause.field, cause.message))
        .collect();
    if found.is_empty() { status.message.clone() } else { found.join("; ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(code: u16, reason: &str, message: &str) -> Status {
        Status::failure(message, reason).with_code(code)
    }

    #[track_caller]
    fn refuses(code: u16, message: &str, expected: RefusalCode, words: &str) {
        match verdict(&status(code, "", message), "create the pod p in d") {
            Verdict::Refused(refusal) => {
                assert_eq!(refusal.code, expected, "{message}");
                assert!(refusal.sentence.contains(words), "{}", refusal.sentence);
                assert!(refusal.sentence.starts_with("cannot create the pod p in d"));
                assert_eq!(refusal.message, message);
            }
            other => panic!("{message}: {other:?}"),
        }
    }

    #[test]
    fn each_refusal_says_who_refused_what_and_what_to_do() {
        let table = [
            (
                403,
                "pods \"q4\" is forbidden: exceeded quota: cap, requested: limits.memory=2Gi,pods=1, \
                 used: limits.memory=1Gi,pods=1, limited: limits.memory=2Gi,pods=1",
                RefusalCode::Quota,
                "quota does not allow it (exceeded quota: cap, requested",
            ),
            (
                403,
                "pods \"q\" is forbidden: failed quota: cap: must specify limits.memory for: app",
                RefusalCode::Quota,
                "(failed quota: cap: must specify limits.memory",
            ),
            (
                403,
                "pods \"q\" is forbidden: maximum memory usage per Container is 1Gi, but limit is 2Gi",
                RefusalCode::Quota,
                "(maximum memory usage per Container is 1Gi",
            ),
            (
                403,
                "pods \"p\" is forbidden: ValidatingAdmissionPolicy 'deskd-create-pods' with \
                 binding 'deskd-create-pods' denied request: the image x is not allowed",
                RefusalCode::Admission,
                "policy deskd-create-pods denies it: the image x is not allowed",
            ),
            (
                422,
                "pods \"p\" is forbidden: ValidatingAdmissionPolicy 'own' with binding 'own' \
                 denied request: no",
                RefusalCode::Admission,
                "policy own denies it: no",
            ),
            (
                403,
                "pods \"d\" is forbidden: violates PodSecurity \"restricted:latest\": \
                 allowPrivilegeEscalation != false",
                RefusalCode::Admission,
                "Pod Security level \"restricted:latest\": allowPrivilegeEscalation != false",
            ),
            (
                400,
                "admission webhook \"images.example\" denied the request: unsigned",
                RefusalCode::Admission,
                "webhook images.example denies it: unsigned",
            ),
            (
                403,
                "pods is forbidden: User \"system:serviceaccount:d:deskd\" cannot create resource \
                 \"pods\" in API group \"\" in the namespace \"d\"",
                RefusalCode::Forbidden,
                "grant it as container/rbac.yaml",
            ),
            (404, "pods \"d\" not found", RefusalCode::NotFound, "does not exist (pods \"d\""),
            (422, "Pod \"p\" is invalid: spec", RefusalCode::Invalid, "is not valid (Pod \"p\" is"),
            (413, "Request entity too large", RefusalCode::Full, "larger than the API server"),
        ];
        for (code, message, expected, words) in table {
            refuses(code, message, expected, words);
        }
    }

    #[test]
    fn what_refuses_since_1_36_is_no_missing_right() {
        let table = [
            (
                "pods \"a\" is forbidden: node didn't have enough allocatable resources: memory, \
                 requested: 536870912000, allocatable: 25276510208",
                "its node will never have enough for it (memory, requested: 536870912000, alloc",
            ),
            (
                "policy 'tools' with binding 'all' denied request: JSON Patch: remove operation does \
                 not apply",
                "policy tools, which is to change it, fails and so denies it: JSON Patch: remove",
            ),
            (
                "policy \"tools\" denied request: failed to configure policy: no such kind",
                "policy tools, which is to change it, fails and so denies it: failed to configure",
            ),
        ];
        for (message, words) in table {
            refuses(403, message, RefusalCode::Admission, words);
        }
    }

    #[test]
    fn what_may_pass_is_tried_again() {
        for (code, reason) in [
            (401, "Unauthorized"),
            (409, "Conflict"),
            (429, "TooManyRequests"),
            (500, "InternalError"),
            (503, "ServiceUnavailable"),
            (504, "Timeout"),
        ] {
            let verdict = verdict(&status(code, reason, "x"), "create the pod");
            assert!(matches!(verdict, Verdict::Later(_)), "{code}: {verdict:?}");
        }
        let account = "pods \"p\" is forbidden: error looking up service account d/default: \
                       serviceaccount \"default\" not found";
        assert!(matches!(verdict(&status(403, "Forbidden", account), "x"), Verdict::Later(_)));
    }

    #[test]
    fn a_name_that_is_taken_is_told_apart_from_a_conflict() {
        let taken = status(409, "AlreadyExists", "pods \"p\" already exists");
        assert_eq!(verdict(&taken, "create the pod"), Verdict::Exists);
    }

    #[test]
    fn a_namespace_that_is_being_deleted_is_not_a_missing_right() {
        let mut deleted = status(403, "Forbidden", "unable to create new content in namespace d");
        let details = serde_json::json!({ "causes": [{ "reason": "NamespaceTerminating" }] });
        deleted.details = Some(serde_json::from_value(details).unwrap());
        let Verdict::Refused(refusal) = verdict(&deleted, "create the pod") else { panic!() };
        assert_eq!(refusal.code, RefusalCode::NotFound);
        assert!(refusal.sentence.contains("the namespace is being deleted"));
    }

    #[test]
    fn an_invalid_object_names_its_fields() {
        let mut invalid = status(422, "Invalid", "Pod \"p\" is invalid: lots of text");
        let details = serde_json::json!({ "causes": [
            { "reason": "FieldValueInvalid", "field": "spec.containers[0].image", "message": "bad" },
        ] });
        invalid.details = Some(serde_json::from_value(details).unwrap());
        let Verdict::Refused(refusal) = verdict(&invalid, "create the pod") else { panic!() };
        assert!(refusal.sentence.contains("(spec.containers[0].image: bad)"), "{refusal}");
    }
}
