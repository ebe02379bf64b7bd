//! What an engine reports by a reason of its own is told without any words.

use super::*;
use crate::why::reason::*;
use crate::wire::SpawnError;

fn request(refusal: ApiRefusal) -> Option<Cause> {
    let request = Request::CreatePod { namespace: "d".into(), pod: "p".into() };
    Refused::from(RefusalReason::Api { request, refusal }).cause()
}

fn ended(reason: EndReason) -> Option<Cause> {
    Ended::from(reason).cause()
}

fn waits(reason: WaitReason) -> Option<Cause> {
    Waiting::from(reason).cause()
}

fn exec(errno: i32) -> Option<Cause> {
    let error = SpawnError::Exec { file: "/p".into(), errno, reason: "no".into() };
    Refused::from(RefusalReason::Spawn(error)).cause()
}

#[test]
fn each_reason_means_its_cause() {
    let node = || Some("n1".to_owned());
    let why = || "words".to_owned();
    let image = Image::default;
    for (reason, cause) in [
        (request(ApiRefusal::Quota { why: why() }), Cause::QuotaExceeded),
        (request(ApiRefusal::Webhook { name: why(), why: why() }), Cause::AdmissionDenied),
        (request(ApiRefusal::Right), Cause::RightMissing),
        (request(ApiRefusal::NamespaceEnds), Cause::ContainerConfig),
        (ended(EndReason::Evicted { node: node() }), Cause::Evicted),
        (ended(EndReason::NodeLost { node: node() }), Cause::NodeLost),
        (ended(EndReason::Deadline), Cause::DeadlineExceeded),
        (ended(EndReason::Preempted { node: node() }), Cause::StoppedByNode),
        (ended(EndReason::OomKilledChild), Cause::OutOfMemory),
        (
            ended(EndReason::OutOf { node: node(), resource: "cpu".into() }),
            Cause::UnschedulableResource,
        ),
        (
            ended(EndReason::NotAdmitted { node: None, affinity: true }),
            Cause::UnschedulableSelector,
        ),
        (waits(WaitReason::ImageName { image: image() }), Cause::ImageNameInvalid),
        (
            waits(WaitReason::ImageNeverPulled { node: node(), image: image() }),
            Cause::ImageNeverPulled,
        ),
        (waits(WaitReason::RegistryAway { image: image() }), Cause::RegistryAway),
        (
            waits(WaitReason::Request {
                request: Request::DeletePod { namespace: "d".into(), pod: "p".into() },
                delay: Delay::NoAnswer,
            }),
            Cause::ApiAway,
        ),
        (exec(2), Cause::ProgramNotFound),
        (exec(13), Cause::ProgramNotExecutable),
        (exec(8), Cause::WrongArchitecture),
        (LostReason::KeeperRestarted.cause(), Cause::StoppedByNode),
    ] {
        assert_eq!(reason, Some(cause));
        let lost = Exit::Lost(LostReason::Unseen);
        let e = Evidence { exit: Some(lost), reported: reason, ..Evidence::default() };
        let diagnosis = diagnose(&Log::default(), &e);
        assert_eq!(diagnosis.cause, Some(cause), "{diagnosis:#?}");
        assert!(diagnosis.confidence >= crate::why::rule::Confidence::Likely);
        assert!(!diagnosis.advice.is_empty() && !diagnosis.proof.is_empty(), "{diagnosis:#?}");
    }
}

#[test]
fn what_the_cluster_s_words_tell_more_of_is_told_in_their_sentence() {
    let mut e = Evidence { reported: Some(Cause::QuotaExceeded), ..Evidence::default() };
    e.cluster.refusal = Some("pods \"q\" is forbidden: exceeded quota: cap".into());
    let diagnosis = diagnose(&Log::default(), &e);
    assert_eq!(diagnosis.rule.as_deref(), Some("quota"), "{diagnosis:#?}");
}
