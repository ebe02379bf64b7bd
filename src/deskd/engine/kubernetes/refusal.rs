//! What an error of the API server means for a request: refused for good, or to be tried again.
//! Pure; the texts are those of Kubernetes 1.34 to 1.36.

use deskd_core::why::reason::{ApiRefusal, Delay, RefusalReason, Refused, Request};
use kube::core::Status;

/// What becomes of a request that was answered with an error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It will never be granted as it is.
    Refused(Refused),
    /// An object of that name exists.
    Exists,
    /// Later it may be: what is in the way, and the API server's words.
    Later(Delay, String),
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

/// What `status` means for `request`.
#[must_use]
pub fn verdict(status: &Status, request: &Request) -> Verdict {
    let said = status.message.trim();
    let refused = |refusal| {
        let reason = RefusalReason::Api { request: request.clone(), refusal };
        Verdict::Refused(Refused { reason, words: Some(said.to_owned()) })
    };
    let later = |delay| Verdict::Later(delay, said.to_owned());
    if status.code == 409 {
        return match status.reason.as_str() {
            "AlreadyExists" => Verdict::Exists,
            _ => later(Delay::Conflict),
        };
    }
    if let Some(refusal) = admission(said) {
        return refused(refusal);
    }
    match status.code {
        401 => later(Delay::Token),
        403 => forbidden(status, said).map_or_else(later, refused),
        404 => refused(ApiRefusal::NotFound),
        413 => refused(ApiRefusal::TooLarge),
        400 | 422 => refused(ApiRefusal::Invalid { why: causes(status) }),
        429 => later(Delay::Busy),
        code => later(Delay::Error { code }),
    }
}

fn forbidden(status: &Status, said: &str) -> Result<ApiRefusal, Delay> {
    let mut causes = status.details.iter().flat_map(|details| &details.causes);
    if causes.any(|cause| cause.reason == "NamespaceTerminating") {
        return Ok(ApiRefusal::NamespaceEnds);
    }
    if let Some(at) = QUOTA_TEXTS.iter().find_map(|text| said.find(text)) {
        let start = said[..at].rfind(": ").map_or(at, |at| at + 2);
        return Ok(ApiRefusal::Quota { why: said[start..].to_owned() });
    }
    // The controller that makes it in a new namespace is not done yet.
    if said.contains("error looking up service account") {
        return Err(Delay::NamespaceNotReady);
    }
    // An API server that has just started answers before it has read the roles.
    if said.split_once("RBAC: ").is_some_and(|(_, errors)| errors.contains(" not found")) {
        return Err(Delay::RoleNotFound);
    }
    Ok(ApiRefusal::Right)
}

/// A policy, a plugin of the API server or a webhook said no. Their codes differ.
fn admission(said: &str) -> Option<ApiRefusal> {
    if let Some((_, policy)) = said.split_once("ValidatingAdmissionPolicy '") {
        let name = policy.split('\'').next().unwrap_or_default().to_owned();
        let why = policy.split_once("denied request: ").map_or(policy, |(_, why)| why);
        return Some(ApiRefusal::Policy { name, why: why.to_owned() });
    }
    if let Some((_, violation)) = said.split_once("violates PodSecurity ") {
        return Some(ApiRefusal::PodSecurity { why: violation.to_owned() });
    }
    if let Some((_, short)) = said.split_once("node didn't have enough allocatable resources: ") {
        return Some(ApiRefusal::NodeTooSmall { why: short.to_owned() });
    }
    if let Some((name, why)) = mutating_policy(said) {
        return Some(ApiRefusal::MutatingPolicy { name: name.to_owned(), why: why.to_owned() });
    }
    let (_, webhook) = said.split_once("admission webhook \"")?;
    let (name, why) = webhook.split_once("\" denied the request")?;
    let why = why.trim_start_matches([':', ' ']);
    Some(ApiRefusal::Webhook { name: name.to_owned(), why: why.to_owned() })
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
    use deskd_core::why::reason::RefusalCode;

    fn status(code: u16, reason: &str, message: &str) -> Status {
        Status::failure(message, reason).with_code(code)
    }

    fn request() -> Request {
        Request::CreatePod { namespace: "d".into(), pod: "p".into() }
    }

    #[track_caller]
    fn refuses(code: u16, message: &str, expected: RefusalCode, words: &str) {
        match verdict(&status(code, "", message), &request()) {
            Verdict::Refused(refusal) => {
                assert_eq!(refusal.code(), expected, "{message}");
                assert!(refusal.sentence().contains(words), "{refusal}");
                assert!(refusal.sentence().starts_with("cannot create the pod p in d"));
                assert_eq!(refusal.words.as_deref(), Some(message));
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
                "grant it as container/base/rbac.yaml",
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
            let verdict = verdict(&status(code, reason, "x"), &request());
            assert!(matches!(verdict, Verdict::Later(..)), "{code}: {verdict:?}");
        }
        let account = "pods \"p\" is forbidden: error looking up service account d/default: \
                       serviceaccount \"default\" not found";
        assert!(matches!(
            verdict(&status(403, "Forbidden", account), &request()),
            Verdict::Later(Delay::NamespaceNotReady, _)
        ));
        // Of an API server of 1.36 that had started a second ago.
        let role = "pods \"p\" is forbidden: User \"system:serviceaccount:d:deskd\" cannot delete resource \
                    \"pods\" in API group \"\" in the namespace \"d\": RBAC: [role.rbac.authorization.k8s.io \
                    \"deskd-apps\" not found, role.rbac.authorization.k8s.io \"deskd-desktop\" not found]";
        assert!(matches!(
            verdict(&status(403, "Forbidden", role), &request()),
            Verdict::Later(Delay::RoleNotFound, _)
        ));
    }

    #[test]
    fn a_name_that_is_taken_is_told_apart_from_a_conflict() {
        let taken = status(409, "AlreadyExists", "pods \"p\" already exists");
        assert_eq!(verdict(&taken, &request()), Verdict::Exists);
    }

    #[test]
    fn a_namespace_that_is_being_deleted_is_not_a_missing_right() {
        let mut deleted = status(403, "Forbidden", "unable to create new content in namespace d");
        let details = serde_json::json!({ "causes": [{ "reason": "NamespaceTerminating" }] });
        deleted.details = Some(serde_json::from_value(details).unwrap());
        let Verdict::Refused(refusal) = verdict(&deleted, &request()) else { panic!() };
        assert_eq!(refusal.code(), RefusalCode::NotFound);
        assert!(refusal.sentence().contains("the namespace is being deleted"));
    }

    #[test]
    fn an_invalid_object_names_its_fields() {
        let mut invalid = status(422, "Invalid", "Pod \"p\" is invalid: lots of text");
        let details = serde_json::json!({ "causes": [
            { "reason": "FieldValueInvalid", "field": "spec.containers[0].image", "message": "bad" },
        ] });
        invalid.details = Some(serde_json::from_value(details).unwrap());
        let Verdict::Refused(refusal) = verdict(&invalid, &request()) else { panic!() };
        assert!(refusal.sentence().contains("(spec.containers[0].image: bad)"), "{refusal}");
    }
}
