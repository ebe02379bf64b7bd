//! The reader against a fake of `pods/log` that answers as scripted: kubelet's streams end and
//! break at will only here.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Mutex;

use axum::body::{Body, Bytes};
use axum::extract::{RawQuery, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use futures_util::StreamExt as _;
use tokio::io::AsyncReadExt;
use tokio::sync::{mpsc, oneshot};

use super::*;
use crate::engine::keeper::{self, LocalEngine};
use crate::engine::kubernetes::EngineConfig;
use crate::engine::kubernetes::calls::Calls;
use crate::engine::stream::Stream;
use deskd_core::kubernetes::PodIdentity;
use deskd_core::policy::Policy;
use deskd_core::wire::frame::Decoder;
use deskd_core::wire::{FromKeeper, ToKeeper};

/// What the fake answers to one request.
enum Answer {
    Status(u16, &'static str),
    /// A proper end.
    Whole(&'static str),
    /// Open until the test lets go.
    Open(&'static str, oneshot::Receiver<()>),
    /// The connection breaks when the test says so.
    Broken(&'static str, oneshot::Receiver<()>),
}

#[derive(Clone, Default)]
struct Fake {
    answers: Arc<Mutex<VecDeque<Answer>>>,
    asked: Arc<Mutex<Vec<String>>>,
}

async fn answer(State(fake): State<Fake>, RawQuery(query): RawQuery) -> Response {
    fake.asked.lock().unwrap().push(query.unwrap_or_default());
    let next = fake.answers.lock().unwrap().pop_front();
    let text = |text: &'static str| Bytes::from_static(text.as_bytes());
    match next {
        None => (StatusCode::INTERNAL_SERVER_ERROR, "nothing is scripted").into_response(),
        Some(Answer::Status(code, body)) => {
            (StatusCode::from_u16(code).unwrap(), body).into_response()
        }
        Some(Answer::Whole(body)) => body.into_response(),
        Some(Answer::Open(body, done)) => {
            let first = futures_util::stream::iter([Ok::<_, Infallible>(text(body))]);
            let end = futures_util::stream::once(async {
                let _ = done.await;
                Ok(Bytes::new())
            });
            Body::from_stream(first.chain(end)).into_response()
        }
        Some(Answer::Broken(body, now)) => {
            let first = futures_util::stream::iter([Ok(text(body))]);
            let end = futures_util::stream::once(async {
                let _ = now.await;
                Err(std::io::Error::other("broken"))
            });
            Body::from_stream(first.chain(end)).into_response()
        }
    }
}

/// A reader under test.
struct Rig {
    fake: Fake,
    fate: watch::Sender<Fate>,
    stored: mpsc::Receiver<ToKeeper>,
    reader: tokio::task::JoinHandle<Option<String>>,
    _dir: tempfile::TempDir,
}

impl Rig {
    async fn start(answers: impl IntoIterator<Item = Answer>, fate: Fate) -> Self {
        let fake = Fake::default();
        fake.answers.lock().unwrap().extend(answers);
        let route = axum::routing::get(answer);
        let app = axum::Router::new()
            .route("/api/v1/namespaces/d/pods/p/log", route)
            .with_state(fake.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, app).await });
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("kubeconfig");
        let config = serde_json::json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "t",
            "contexts": [{ "name": "t", "context": { "cluster": "t", "user": "t" } }],
            "clusters": [{ "name": "t", "cluster": { "server": url } }],
            "users": [{ "name": "t", "user": { "token": "t" } }],
        });
        std::fs::write(&file, config.to_string()).unwrap();
        let config = EngineConfig {
            pod: PodIdentity::default(),
            port: 0,
            policy: Arc::new(Policy::default()),
            kubeconfig: Some(file),
            program: None,
            private: vec![],
            places: None,
        };
        let (fate, fate_there) = watch::channel(fate);
        let (queue, stored) = keeper();
        let container = "app".to_owned();
        let reader = Reader {
            api: Arc::new(Api::new(config, Calls::default())),
            queue,
            task: "game-00001".parse().unwrap(),
            object: ObjectRef { namespace: "d".into(), pod: "p".into(), container },
            fate: fate_there,
        };
        let reader = tokio::spawn(reader.run(LogMark::default()));
        Self { fake, fate, stored, reader, _dir: dir }
    }

    /// The text that was stored until it has `wanted`, or the log is closed.
    async fn text_until(&mut self, wanted: &str) -> String {
        let mut text = String::new();
        while !text.contains(wanted) {
            match self.stored.recv().await {
                Some(ToKeeper::AppendLog { lines, .. }) => {
                    for line in lines {
                        text.push_str(std::str::from_utf8(&line.bytes).unwrap());
                        text.push_str(if line.ends_line { "\n" } else { "" });
                    }
                }
                Some(ToKeeper::CloseLog { .. }) => return text + "<closed>",
                other => panic!("{other:?} after {text}"),
            }
        }
        text
    }
}

/// The keeper's end of the queue.
fn keeper() -> (LogQueue, mpsc::Receiver<ToKeeper>) {
    let (near, mut far) = tokio::net::UnixStream::pair().unwrap();
    let near = Stream::new(near.into_std().unwrap()).unwrap();
    let (_engine, logs, queue) = LocalEngine::new(near);
    let (heard, _) = mpsc::channel::<FromKeeper>(1);
    tokio::spawn(keeper::run(queue, heard));
    let (tell, told) = mpsc::channel(64);
    tokio::spawn(async move {
        let mut decoder = Decoder::default();
        let mut bytes = vec![0; 4096];
        while let Ok(count @ 1..) = far.read(&mut bytes).await {
            decoder.push(&bytes[..count]);
            while let Ok(Some(message)) = decoder.take::<ToKeeper>() {
                if tell.send(message).await.is_err() {
                    return;
                }
            }
        }
    });
    (logs, told)
}

#[tokio::test]
async fn output_is_read_through_streams_that_are_not_ready_break_and_end_early() {
    let (now, broken) = oneshot::channel();
    let answers = [
        Answer::Status(400, r#"{"kind":"Status","code":400,"message":"is waiting to start"}"#),
        Answer::Broken("2026-11-24T05:30:26.1Z one\n2026-11-24T05:30:26.2Z tw", broken),
        Answer::Whole("2026-11-24T05:30:26.1Z one\n2026-11-24T05:30:26.2Z two\n"),
        Answer::Whole(
            "2026-11-24T05:30:26.1Z one\n2026-11-24T05:30:26.2Z two\n2026-11-24T05:30:28Z three",
        ),
    ];
    let mut rig = Rig::start(answers, Fate::Runs).await;
    let mut text = rig.text_until("one\n").await;
    now.send(()).unwrap();
    text += &rig.text_until("two\n").await;
    rig.fate.send_replace(Fate::Ended);
    text += &rig.text_until("<closed>").await;
    assert_eq!(text, "one\ntwo\nthree<closed>");
    assert_eq!(rig.reader.await.unwrap(), None);
    let asked = rig.fake.asked.lock().unwrap().clone();
    let base = "container=app&follow=true&timestamps=true";
    let since = format!("{base}&sinceTime=2026-11-24T05:30:26Z");
    assert_eq!(asked, [base, base, &since, &since]);
}

/// An API server that has just started forbids everything until it knows its roles.
#[tokio::test]
async fn output_that_is_forbidden_for_a_moment_is_read_soon_after() {
    let forbidden = r#"{"kind":"Status","code":403,"message":"cannot get resource \"pods/log\""}"#;
    let answers =
        [Answer::Status(403, forbidden), Answer::Whole("2026-11-24T05:30:26Z first words\n")];
    let begun = Instant::now();
    let mut rig = Rig::start(answers, Fate::Runs).await;
    assert_eq!(rig.text_until("words\n").await, "first words\n");
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    rig.reader.abort();
}

#[tokio::test]
async fn a_line_is_stored_while_the_stream_stays_open() {
    let (close, done) = oneshot::channel();
    let first = Answer::Open("2026-11-24T05:30:26Z now\n", done);
    let last = Answer::Whole("2026-11-24T05:30:26Z now\n");
    let mut rig = Rig::start([first, last], Fate::Runs).await;
    assert_eq!(rig.text_until("now\n").await, "now\n");
    assert!(!rig.reader.is_finished());
    rig.fate.send_replace(Fate::Ended);
    close.send(()).unwrap();
    assert_eq!(rig.text_until("<closed>").await, "<closed>");
    assert_eq!(rig.reader.await.unwrap(), None);
}

#[tokio::test]
async fn a_pod_that_is_gone_after_its_output_ended_is_no_trouble() {
    let gone = r#"{"kind":"Status","code":404,"message":"pods \"p\" not found"}"#;
    let answers = [Answer::Whole("2026-11-24T05:30:26Z all\n"), Answer::Status(404, gone)];
    let mut rig = Rig::start(answers, Fate::Runs).await;
    assert_eq!(rig.text_until("all\n").await, "all\n");
    rig.fate.send_replace(Fate::Gone);
    assert_eq!(rig.text_until("<closed>").await, "<closed>");
    assert_eq!(rig.reader.await.unwrap(), None);
}

#[tokio::test]
async fn output_that_cannot_be_read_any_more_is_told() {
    let gone = r#"{"kind":"Status","code":404,"message":"pods \"p\" not found"}"#;
    let mut rig = Rig::start([Answer::Status(404, gone)], Fate::Gone).await;
    assert_eq!(rig.text_until("<closed>").await, "<closed>");
    let trouble = rig.reader.await.unwrap().unwrap();
    assert!(trouble.contains("container app of the pod p in d"), "{trouble}");
    assert!(trouble.contains("its pod is gone"), "{trouble}");
}
