//! What kubelet says about a pod in events, since no field of the pod says it: the size of a pulled
//! image, and why a sandbox cannot be made. Asked for one pod when there is a question, never
//! watched.

use serde::Deserialize;

use super::api::{Api, ApiError, Ask};
use super::calls::Verb;
use deskd_core::kubernetes::ObjectRef;
use deskd_core::why::reason::{WaitReason, Waiting};

/// Events read of one pod.
const EVENTS_MAX: u32 = 100;
/// Complaints told of one pod, the newest ones.
const WORDS_MAX: usize = 10;

#[derive(Debug, Deserialize)]
struct Events {
    items: Vec<PodEvent>,
}

/// One event.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct PodEvent {
    /// One word.
    pub reason: String,
    /// In words.
    pub message: String,
    /// When it was said last.
    pub last_timestamp: Option<String>,
    /// The container it is about, as `spec.containers{name}`.
    pub involved_object: Involved,
}

/// What an event is about.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Involved {
    /// Such as `spec.containers{app}`.
    pub field_path: String,
}

/// The events of a pod.
pub async fn of_pod(api: &Api, object: &ObjectRef) -> Result<Vec<PodEvent>, ApiError> {
    let path = format!(
        "/api/v1/namespaces/{}/events?limit={EVENTS_MAX}&fieldSelector=involvedObject.name={}",
        object.namespace, object.pod
    );
    let ask = Ask { verb: Verb::List, resource: "events", path, body: None };
    Ok(api.json::<Events>(ask).await?.items)
}

/// What was said of the image of a container when it was there. Of the image of a volume the same is
/// said, without a container.
pub fn pulled<'a>(
    events: &'a [PodEvent],
    container: &'a str,
) -> impl Iterator<Item = &'a PodEvent> {
    events.iter().filter(move |event| event.reason == "Pulled" && names(event, container))
}

/// Bytes of a container's image, which was pulled: `... Image size: 29696 bytes.` (kubelet from 1.30
/// on).
#[must_use]
pub fn image_bytes(events: &[PodEvent], container: &str) -> Option<u64> {
    let size = |event: &PodEvent| {
        let (_, rest) = event.message.split_once("Image size: ")?;
        rest.split(' ').next()?.parse().ok()
    };
    pulled(events, container).filter_map(size).last()
}

/// Events that are no complaint: every container has them.
const ORDINARY: [&str; 6] = ["Scheduled", "Pulling", "Pulled", "Created", "Started", "Killing"];

/// It is about this container.
fn names(event: &PodEvent, container: &str) -> bool {
    event.involved_object.field_path.ends_with(&format!("{{{container}}}"))
}

/// It is about this container or its pod.
fn concerns(event: &PodEvent, container: &str) -> bool {
    event.involved_object.field_path.is_empty() || names(event, container)
}

/// The complaints about a container and its pod, oldest first, as `reason: message`.
#[must_use]
pub fn words(events: &[PodEvent], container: &str) -> Vec<String> {
    let complaint = |event: &&PodEvent| !ORDINARY.contains(&event.reason.as_str());
    let mut found: Vec<&PodEvent> =
        events.iter().filter(complaint).filter(|event| concerns(event, container)).collect();
    found.sort_by(|a, b| a.last_timestamp.cmp(&b.last_timestamp));
    let from = found.len().saturating_sub(WORDS_MAX);
    found[from..]
        .iter()
        .map(|event| format!("{}: {}", event.reason, event.message.trim()))
        .collect()
}

/// What keeps a container from being made: the newest complaint. `container` leaves out what is about
/// other containers of the pod.
#[must_use]
pub fn obstacle(events: &[PodEvent], container: &str) -> Option<Waiting> {
    let newest = events
        .iter()
        .filter(|event| concerns(event, container))
        .max_by_key(|event| event.last_timestamp.clone())?;
    let reason = match newest.reason.as_str() {
        "FailedCreatePodSandBox" => WaitReason::Sandbox,
        "FailedMount" | "FailedAttachVolume" | "FailedMapVolume" => WaitReason::Volume,
        "NetworkNotReady" => WaitReason::Network,
        "FailedPrepareDynamicResources" => WaitReason::Device,
        "Pulling" => WaitReason::Pulling { of_volume: !names(newest, container) },
        _ => return None,
    };
    Some(Waiting { reason, words: Some(newest.message.trim().to_owned()) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(reason: &str, message: &str, second: u32, path: &str) -> PodEvent {
        PodEvent {
            reason: reason.into(),
            message: message.into(),
            last_timestamp: Some(format!("2026-11-24T05:30:{second:02}Z")),
            involved_object: Involved { field_path: path.into() },
        }
    }

    #[test]
    fn the_size_is_in_kubelet_s_words() {
        let said = "Successfully pulled image \"x\" in 1.2s (1.2s including waiting). Image size: \
                    29696 bytes.";
        let app = "spec.containers{app}";
        let events = [event("Pulling", "Pulling image", 1, app), event("Pulled", said, 2, app)];
        assert_eq!(image_bytes(&events, "app"), Some(29696));
        let present =
            "Container image \"x\" already present on machine and can be accessed by the pod";
        assert_eq!(image_bytes(&[event("Pulled", present, 1, app)], "app"), None);
    }

    #[test]
    fn the_image_of_a_volume_is_not_the_container_s() {
        let said = "Successfully pulled image \"v\" in 1.2s (1.2s including waiting). Image size: \
                    7 bytes.";
        let events = [event("Pulling", "Pulling image \"v\"", 1, ""), event("Pulled", said, 2, "")];
        assert_eq!(image_bytes(&events, "app"), None);
        assert_eq!(pulled(&events, "app").count(), 0);
        let why = obstacle(&events[..1], "app").unwrap();
        assert_eq!(why.reason, WaitReason::Pulling { of_volume: true });
    }

    #[test]
    fn the_newest_complaint_about_the_container_is_what_holds_it_up() {
        let events = [
            event("FailedMount", "secret \"s\" not found", 1, ""),
            event("FailedCreatePodSandBox", "plugin type=\"bridge\" failed", 5, ""),
            event("Pulling", "Pulling image \"other\"", 9, "spec.ephemeralContainers{other}"),
        ];
        let why = obstacle(&events, "app").unwrap();
        let said = "plugin type=\"bridge\" failed".to_owned();
        assert_eq!(why, Waiting { reason: WaitReason::Sandbox, words: Some(said) });
        let pulls = obstacle(&events, "other").unwrap().reason;
        assert_eq!(pulls, WaitReason::Pulling { of_volume: false });
        assert_eq!(obstacle(&[event("Scheduled", "x", 1, "")], "app"), None);
        let said = "Failed to prepare dynamic resources: prepare dynamic resources: \
                    NodePrepareResources: DRA driver gpu.example is not registered";
        let claim = obstacle(&[event("FailedPrepareDynamicResources", said, 1, "")], "app");
        assert_eq!(claim.unwrap().reason, WaitReason::Device);
    }
}
