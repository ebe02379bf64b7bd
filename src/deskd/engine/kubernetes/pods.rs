//! Creating and deleting pods: each until it is done or refused, however long the API server is
//! away. A name belongs to one run, so a request that is repeated after a lost answer finds its own
//! pod and makes no second one.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::api::{Api, ApiError, Ask};
use super::backoff::Pauses;
use super::calls::Verb;
use super::objects::Pod;
use super::refusal::{Verdict, verdict};
use super::{RefusalCode, Refused, Waiting};
use deskd_core::kubernetes::{LABEL_RUN, LABEL_TASK, ObjectRef};
use deskd_core::text::Text;
use deskd_core::why::reason::{Delay, RefusalReason, Request, WaitReason};
use deskd_core::wire::RunId;

/// Grace of a pod that is to be killed at once. Zero would remove it from the API without waiting
/// for kubelet: its processes might live on with nobody knowing, and its exit code and last lines
/// would be lost. With 1 kubelet sends SIGKILL after a second.
const GRACE_S_MIN: u64 = 1;

/// What a launch says while it waits.
pub type Waits<'a> = &'a (dyn Fn(Waiting) + Send + Sync);

/// The answer to a launch that was given up before it was sent.
#[must_use]
pub fn stopped() -> Refused {
    RefusalReason::Stopped.into()
}

/// What a request waits for.
#[must_use]
pub fn waiting(request: &Request, (delay, words): (Delay, String)) -> Waiting {
    Waiting { reason: WaitReason::Request { request: request.clone(), delay }, words: Some(words) }
}

/// Labels by which an existing pod is recognised as the one that was to be created.
pub type Labels<'a> = &'a [(&'static str, String)];

/// The labels of a run's pod.
#[must_use]
pub fn labels_of(run: &RunId) -> [(&'static str, String); 2] {
    [(LABEL_TASK, run.task.as_str().to_owned()), (LABEL_RUN, run.run.to_string())]
}

/// Creates a pod. `turns` bounds how many are asked for at once.
pub async fn create(
    api: &Api,
    turns: &Semaphore,
    labels: Labels<'_>,
    object: &ObjectRef,
    manifest: Value,
    cancel: &CancellationToken,
    waits: Waits<'_>,
) -> Result<(), Refused> {
    let ObjectRef { namespace, pod, .. } = object;
    let request = Request::CreatePod { namespace: namespace.clone(), pod: pod.clone() };
    let mut pauses = Pauses::default();
    let mut may_exist = false;
    loop {
        let answer = {
            let turn = tokio::select! {
                () = cancel.cancelled() => break,
                turn = turns.acquire() => turn,
            };
            let path = format!("/api/v1/namespaces/{namespace}/pods");
            let body = Some(manifest.clone());
            let answer = api.text(Ask { verb: Verb::Create, resource: "pods", path, body }).await;
            drop(turn);
            answer
        };
        let why = match answer {
            Ok(_) => return Ok(()),
            Err(ApiError::Answer(status)) => match verdict(&status, &request) {
                Verdict::Refused(refusal) => return Err(refusal),
                Verdict::Later(delay, words) => (delay, words),
                Verdict::Exists => match is_own(api, labels, object).await {
                    Ok(true) => return Ok(()),
                    Ok(false) => return Err(taken(object)),
                    Err(error) => (Delay::NoAnswer, error.to_string()),
                },
            },
            Err(error) => {
                may_exist |= matches!(error, ApiError::Lost(_));
                (Delay::NoAnswer, error.to_string())
            }
        };
        waits(waiting(&request, why));
        tokio::select! {
            () = cancel.cancelled() => break,
            () = pauses.pause() => {}
        }
    }
    if may_exist {
        delete(api, object, Duration::ZERO, &mut |_| {}).await?;
    }
    Err(stopped())
}

/// Whether the pod of that name is the one that was to be created.
async fn is_own(api: &Api, labels: Labels<'_>, object: &ObjectRef) -> Result<bool, ApiError> {
    let path = path(object);
    let pod: Pod = api.json(Ask { verb: Verb::Get, resource: "pods", path, body: None }).await?;
    Ok(labels.iter().all(|(name, value)| pod.metadata.labels.get(*name) == Some(value)))
}

/// Whether a pod that was made is there. Without an answer it is asked again; one that deskd may not look
/// at is.
pub async fn exists(api: &Api, object: &ObjectRef) -> bool {
    let mut pauses = Pauses::default();
    loop {
        let ask = Ask { verb: Verb::Get, resource: "pods", path: path(object), body: None };
        match api.text(ask).await {
            Ok(_) => return true,
            Err(error) if error.code().is_some_and(|code| code < 500 && code != 401) => {
                return error.code() != Some(404);
            }
            Err(_) => pauses.pause().await,
        }
    }
}

fn taken(object: &ObjectRef) -> Refused {
    let ObjectRef { namespace, pod, .. } = object.clone();
    let words = Some(format!("pods \"{pod}\" already exists"));
    Refused { reason: RefusalReason::NameTaken { namespace, pod }, words }
}

/// The grace that a pod is deleted with.
#[must_use]
pub fn grace_s(grace: Duration) -> u64 {
    let whole = grace.as_secs() + u64::from(grace.subsec_nanos() > 0);
    whole.max(GRACE_S_MIN)
}

/// Deletes a pod; one that is gone is deleted already. Asked again with a shorter grace, the grace
/// becomes shorter.
pub async fn delete(
    api: &Api,
    object: &ObjectRef,
    grace: Duration,
    waits: &mut (dyn FnMut(Waiting) + Send),
) -> Result<(), Refused> {
    let request = delete_request(object);
    let mut pauses = Pauses::default();
    loop {
        let more = ("propagationPolicy", json!("Background"));
        match ask_to_delete(api, object, &request, grace_s(grace), more).await {
            Ok(()) => return Ok(()),
            Err(Unfinished::Refused(why)) => return Err(why),
            Err(Unfinished::Later(why)) => waits(waiting(&request, why)),
        }
        pauses.pause().await;
    }
}

/// Deletes a pod however often that is refused: rights and policies change, and nobody wants the pod.
/// `tells` gets what is in the way, each time.
pub async fn delete_at_last(
    api: &Api,
    object: &ObjectRef,
    grace: Duration,
    tells: &mut (dyn FnMut(Text) + Send),
) {
    let mut pauses = Pauses::default();
    while let Err(refusal) = delete(api, object, grace, &mut |why| tells(why.sentence())).await {
        tells(refusal.sentence());
        pauses.pause().await;
    }
}

/// Deletes a pod that nobody knows of any more; what is in the way is logged once.
pub async fn delete_unwanted(api: &Api, object: &ObjectRef) {
    let mut logged = Text::default();
    let mut log = |why: Text| {
        if logged != why {
            tracing::warn!("{why}");
            logged = why;
        }
    };
    delete_at_last(api, object, Duration::ZERO, &mut log).await;
}

/// Whether the API server would delete a pod for deskd: its rights and the admission policies are asked,
/// and nothing is done (`dryRun`). Without an answer it is asked again.
pub async fn may_delete(api: &Api, object: &ObjectRef) -> bool {
    let request = delete_request(object);
    let mut pauses = Pauses::default();
    loop {
        let more = ("dryRun", json!(["All"]));
        match ask_to_delete(api, object, &request, GRACE_S_MIN, more).await {
            Ok(()) => return true,
            Err(Unfinished::Refused(_)) => return false,
            Err(Unfinished::Later(_)) => pauses.pause().await,
        }
    }
}

/// Why a pod was not deleted.
enum Unfinished {
    /// For good.
    Refused(Refused),
    /// Not yet: what is in the way, and in whose words.
    Later((Delay, String)),
}

/// Asks once; a pod that is gone is deleted.
async fn ask_to_delete(
    api: &Api,
    object: &ObjectRef,
    request: &Request,
    grace_s: u64,
    (name, value): (&str, Value),
) -> Result<(), Unfinished> {
    let mut body = json!({
        "apiVersion": "v1",
        "kind": "DeleteOptions",
        "gracePeriodSeconds": grace_s,
    });
    body[name] = value;
    let (path, body) = (path(object), Some(body));
    match api.text(Ask { verb: Verb::Delete, resource: "pods", path, body }).await {
        Ok(_) => Ok(()),
        Err(ApiError::Answer(status)) => match verdict(&status, request) {
            Verdict::Refused(why) if why.code() == RefusalCode::NotFound => Ok(()),
            Verdict::Refused(why) => Err(Unfinished::Refused(why)),
            Verdict::Later(delay, words) => Err(Unfinished::Later((delay, words))),
            Verdict::Exists => Err(Unfinished::Later((Delay::Conflict, status.message.clone()))),
        },
        Err(error) => Err(Unfinished::Later((Delay::NoAnswer, error.to_string()))),
    }
}

fn delete_request(object: &ObjectRef) -> Request {
    Request::DeletePod { namespace: object.namespace.clone(), pod: object.pod.clone() }
}

fn path(object: &ObjectRef) -> String {
    format!("/api/v1/namespaces/{}/pods/{}", object.namespace, object.pod)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_grace_is_whole_seconds_and_never_zero() {
        for (ms, seconds) in [(0, 1), (1, 1), (1000, 1), (1001, 2), (30_000, 30)] {
            assert_eq!(grace_s(Duration::from_millis(ms)), seconds, "{ms} ms");
        }
    }
}
