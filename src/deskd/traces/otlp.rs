//! A launch in the words of OTLP: JSON as
//! <https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding> says it. Pure.

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::api::hex;
use deskd_core::id::TaskId;
use deskd_core::kubernetes::PodIdentity;
use deskd_core::stage::{Stage, StageTime};
use deskd_core::task::Task;

/// `SPAN_KIND_INTERNAL` of `trace.proto`.
const KIND_INTERNAL: u8 = 1;
/// `STATUS_CODE_ERROR` of `trace.proto`.
const STATUS_ERROR: u8 = 2;

/// A launch that is over: its window is there, or its program has ended.
#[derive(Debug)]
pub(super) struct Launch {
    pub(super) task: TaskId,
    pub(super) run: u32,
    app: String,
    engine: &'static str,
    /// Code of the cause of a failure.
    cause: Option<&'static str>,
    created_at: i64,
    /// At least one, each with its end.
    stages: Vec<StageTime>,
}

impl Launch {
    /// The one of the task's last run, once it is over.
    pub(super) fn of(task: &Task) -> Option<Self> {
        if task.stages.iter().any(|stage| stage.to.is_none()) {
            return None;
        }
        // The whole life of a program without windows is no stage.
        let is_windowless =
            |it: &StageTime| it.stage == Stage::FirstWindow && task.first_window_ms.is_none();
        let stages: Vec<_> = task.stages.iter().filter(|it| !is_windowless(it)).copied().collect();
        (!stages.is_empty()).then(|| Self {
            task: task.id.clone(),
            run: task.runs,
            app: task.app.as_str().to_owned(),
            engine: task.engine.as_str(),
            cause: task.diagnosis.as_ref().and_then(|it| Some(it.cause?.as_str())),
            created_at: task.created_at,
            stages,
        })
    }

    pub(super) fn ended_ms(&self) -> i64 {
        self.stages.iter().filter_map(|stage| stage.to).max().unwrap_or(0)
    }

    fn began_ms(&self) -> i64 {
        self.stages.iter().map(|stage| stage.from).min().unwrap_or(0)
    }

    /// The same whenever it is asked, so that what is sent twice is there once.
    fn id(&self, pod: &PodIdentity) -> [u8; 32] {
        let of_pod = pod.uid.as_deref().or(pod.name.as_deref()).unwrap_or_default();
        let text = format!("{of_pod}\0{}\0{}\0{}", self.task.as_str(), self.created_at, self.run);
        Sha256::digest(text).into()
    }

    fn spans(&self, pod: &PodIdentity) -> Vec<Value> {
        let id = self.id(pod);
        let (trace, root) = (hex(&id[..16]), hex(&id[16..24]));
        let span =
            |number: usize| hex(&Sha256::digest([&id[..], &number.to_be_bytes()].concat())[..8]);
        let mut launch = json!({
            "traceId": trace, "spanId": root, "name": "launch", "kind": KIND_INTERNAL,
            "startTimeUnixNano": nanoseconds(self.began_ms()),
            "endTimeUnixNano": nanoseconds(self.ended_ms()),
            "attributes": attributes([
                ("deskd.app", Some(self.app.as_str())),
                ("deskd.task", Some(self.task.as_str())),
                ("deskd.engine", Some(self.engine)),
                ("deskd.cause", self.cause),
            ]),
        });
        if let Some(cause) = self.cause {
            launch["status"] = json!({ "code": STATUS_ERROR, "message": cause });
        }
        let stages = self.stages.iter().enumerate().map(|(number, it)| {
            json!({
                "traceId": trace, "spanId": span(number), "parentSpanId": root,
                "name": it.stage.as_str(), "kind": KIND_INTERNAL,
                "startTimeUnixNano": nanoseconds(it.from),
                "endTimeUnixNano": nanoseconds(it.to.unwrap_or(it.from)),
            })
        });
        std::iter::once(launch).chain(stages).collect()
    }
}

/// The body of a request: `ExportTraceServiceRequest`.
pub(super) fn request(pod: &PodIdentity, launches: &[Launch]) -> Vec<u8> {
    let resource = attributes([
        ("service.name", Some("deskd")),
        ("service.version", Some(env!("CARGO_PKG_VERSION"))),
        ("k8s.namespace.name", pod.namespace.as_deref()),
        ("k8s.pod.name", pod.name.as_deref()),
        ("k8s.pod.uid", pod.uid.as_deref()),
        ("k8s.node.name", pod.node.as_deref()),
    ]);
    let spans: Vec<_> = launches.iter().flat_map(|launch| launch.spans(pod)).collect();
    json!({ "resourceSpans": [{
        "resource": { "attributes": resource },
        "scopeSpans": [{ "scope": { "name": "deskd" }, "spans": spans }],
    }] })
    .to_string()
    .into_bytes()
}

/// 64-bit numbers are strings there, as in all JSON of protocol buffers.
fn nanoseconds(ms: i64) -> String {
    ms.saturating_mul(1_000_000).to_string()
}

fn attributes<const N: usize>(pairs: [(&str, Option<&str>); N]) -> Vec<Value> {
    let known = pairs.into_iter().filter_map(|(key, value)| Some((key, value?)));
    known.map(|(key, value)| json!({ "key": key, "value": { "stringValue": value } })).collect()
}
