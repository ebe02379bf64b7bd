//! What `kubectl get -o json` or `yaml` and `docker inspect` say of an end, as evidence for a log beside
//! it.
//!
//! Fields of Kubernetes' core/v1 API and of the Docker Engine API (`ContainerInspect`).

use serde_json::Value;

use crate::cli::inject::yaml;
use deskd_core::task::Exit;
use deskd_core::why::Evidence;

/// Longest text that is read as YAML, in bytes.
const YAML_BYTES_MAX: usize = 4 << 20;
/// What YAML of Kubernetes begins with.
const YAML_BEGINNINGS: [&str; 5] = ["apiVersion:", "---\n", "kind:", "items:", "status:\n"];
/// Objects of a list that are looked at.
const OBJECTS_MAX: usize = 1000;

/// The evidence in a document of states; nothing when it is none, or says nothing of an end.
#[must_use]
pub fn evidence(bytes: &[u8]) -> Option<Evidence> {
    let mut evidence = Evidence::default();
    let documents = documents(bytes.trim_ascii())?;
    for object in documents.iter().flat_map(objects).take(OBJECTS_MAX) {
        match object["kind"].as_str() {
            Some("Pod") => pod(object, &mut evidence),
            Some("Event") => event(object, &mut evidence),
            // A piece of a pod that somebody cut out.
            None if object["status"].is_object() => pod(object, &mut evidence),
            _ => container(object, &mut evidence),
        }
    }
    (evidence != Evidence::default()).then_some(evidence)
}

/// The documents of a text that is JSON, or YAML that begins as kubectl's does; nothing when it is
/// another text, such as a log.
fn documents(text: &[u8]) -> Option<Vec<Value>> {
    if matches!(text.first(), Some(b'{' | b'[')) {
        return Some(vec![serde_json::from_slice(text).ok()?]);
    }
    let is_yaml = YAML_BEGINNINGS.iter().any(|begins| text.starts_with(begins.as_bytes()));
    if text.len() > YAML_BYTES_MAX || !is_yaml {
        return None;
    }
    yaml::read(std::str::from_utf8(text).ok()?).ok()
}

fn objects(document: &Value) -> Box<dyn Iterator<Item = &Value> + '_> {
    match (document, document["items"].as_array()) {
        (Value::Array(all), _) => Box::new(all.iter()),
        (_, Some(items)) => Box::new(items.iter()),
        _ => Box::new(std::iter::once(document)),
    }
}

fn text(value: &Value) -> Option<String> {
    value.as_str().filter(|text| !text.is_empty()).map(str::to_owned)
}

/// `docker inspect CONTAINER`.
fn container(object: &Value, e: &mut Evidence) {
    let state = &object["State"];
    if !state.is_object() {
        return;
    }
    if matches!(state["Status"].as_str(), Some("exited" | "dead" | "created")) {
        code(&state["ExitCode"], e);
    }
    if let Some(killed) = state["OOMKilled"].as_bool() {
        e.oom_killed = Some(killed);
    }
    if let Some(error) = text(&state["Error"]) {
        e.cluster.container_message = Some(error);
    }
}

fn pod(object: &Value, e: &mut Evidence) {
    let status = &object["status"];
    e.cluster.pod_reason = e.cluster.pod_reason.take().or_else(|| text(&status["reason"]));
    e.cluster.pod_message = e.cluster.pod_message.take().or_else(|| text(&status["message"]));
    for condition in status["conditions"].as_array().into_iter().flatten() {
        if condition["type"] == "PodScheduled" && condition["status"] == "False" {
            e.cluster.unscheduled = text(&condition["message"]);
        }
    }
    let lists = ["initContainerStatuses", "containerStatuses", "ephemeralContainerStatuses"];
    for one in lists.into_iter().flat_map(|list| status[list].as_array().into_iter().flatten()) {
        // A container that waits for its next start ended before: why is in its last state.
        let ended = [&one["state"]["terminated"], &one["lastState"]["terminated"]];
        let failed = |state: &&&Value| state["exitCode"].as_i64().is_some_and(|code| code != 0);
        let ended = ended.iter().find(failed);
        if let Some(state) = ended {
            code(&state["exitCode"], e);
            e.cluster.container_reason = text(&state["reason"]);
            e.cluster.container_message = text(&state["message"]);
        }
        let waiting = &one["state"]["waiting"];
        let still =
            !matches!(waiting["reason"].as_str(), Some("CrashLoopBackOff" | "PodInitializing"));
        if ended.is_none() && still && waiting.is_object() {
            e.cluster.container_reason = text(&waiting["reason"]);
            e.cluster.container_message = text(&waiting["message"]);
        }
    }
}

fn event(object: &Value, e: &mut Evidence) {
    if let (Some(reason), Some(message)) = (text(&object["reason"]), text(&object["message"])) {
        e.cluster.events.push(format!("{reason}: {message}"));
    }
}

fn code(value: &Value, e: &mut Evidence) {
    if let Some(code) = value.as_i64().and_then(|code| i32::try_from(code).ok()) {
        e.exit = Some(Exit::Code(code));
    }
}

/// What is known, and of the rest what the states say.
#[must_use]
pub fn completed(mut known: Evidence, states: &[Evidence]) -> Evidence {
    for state in states {
        known.exit = known.exit.or_else(|| state.exit.clone());
        known.oom_killed = known.oom_killed.or(state.oom_killed);
        let (own, other) = (&mut known.cluster, &state.cluster);
        let fields = [
            (&mut own.container_reason, &other.container_reason),
            (&mut own.container_message, &other.container_message),
            (&mut own.pod_reason, &other.pod_reason),
            (&mut own.pod_message, &other.pod_message),
            (&mut own.unscheduled, &other.unscheduled),
        ];
        for (own, other) in fields {
            if own.is_none() {
                own.clone_from(other);
            }
        }
        own.events.extend(other.events.iter().cloned());
    }
    known
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn docker_tells_code_and_kill() {
        let told = evidence(
            br#"[{"Id":"0f","State":{"Status":"exited","ExitCode":137,"OOMKilled":true,"Error":""}}]"#,
        );
        let told = told.unwrap();
        assert_eq!((told.exit, told.oom_killed), (Some(Exit::Code(137)), Some(true)));
        assert_eq!(told.cluster.container_message, None);
    }

    #[test]
    fn yaml_tells_the_same_as_json() {
        let pod = "apiVersion: v1\nkind: Pod\nstatus:\n  containerStatuses:\n  - name: a\n    lastState:\n      \
                   terminated:\n        exitCode: 137\n        reason: OOMKilled\n    state:\n      waiting:\n        \
                   reason: CrashLoopBackOff\n";
        let told = evidence(pod.as_bytes()).unwrap();
        assert_eq!(told.exit, Some(Exit::Code(137)));
        assert_eq!(told.cluster.container_reason.as_deref(), Some("OOMKilled"));
        let list = format!("apiVersion: v1\nitems:\n- {}kind: List\n", pod.replace('\n', "\n  "));
        assert_eq!(evidence(list.replace("\n  kind: List", "\nkind: List").as_bytes()), Some(told));
        let piece = "status:\n  conditions:\n  - message: '0/2 nodes are available: 2 node(s) didn''t match\n      \
                     node selector.'\n    reason: Unschedulable\n    status: \"False\"\n    type: PodScheduled\n";
        let told = evidence(piece.as_bytes()).unwrap().cluster.unscheduled;
        assert_eq!(told.unwrap(), "0/2 nodes are available: 2 node(s) didn't match node selector.");
        assert_eq!(evidence(b"status: ok\napp: started\n"), None);
    }

    #[test]
    fn a_pod_tells_what_its_container_ended_with_before() {
        let told = evidence(
            br#"{"kind":"Pod","status":{"containerStatuses":[{
                "state":{"waiting":{"reason":"CrashLoopBackOff","message":"back-off 5m0s"}},
                "lastState":{"terminated":{"exitCode":1,"reason":"Error"}}}]}}"#,
        )
        .unwrap();
        assert_eq!(told.exit, Some(Exit::Code(1)));
        assert_eq!(told.cluster.container_reason.as_deref(), Some("Error"));
    }

    #[test]
    fn a_list_of_events_and_what_is_no_state() {
        let told = evidence(
            br#"{"kind":"List","items":[{"kind":"Event","reason":"Failed","message":"x"}]}"#,
        );
        assert_eq!(told.unwrap().cluster.events, ["Failed: x"]);
        assert_eq!(evidence(b"{\"level\":\"error\"}"), None);
        assert_eq!(evidence(b"plain"), None);
        assert_eq!(evidence(b"{broken"), None);
    }

    #[test]
    fn what_is_known_stays() {
        let known = Evidence { exit: Some(Exit::Code(3)), ..Evidence::default() };
        let state =
            Evidence { exit: Some(Exit::Code(1)), oom_killed: Some(true), ..Evidence::default() };
        let all = completed(known, &[state]);
        assert_eq!((all.exit, all.oom_killed), (Some(Exit::Code(3)), Some(true)));
    }
}
