//! `otlp_traces`: what an OpenTelemetry collector gets of launches, and what becomes of them when there is none.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::sync::mpsc::{Receiver, channel};

use serde_json::Value;

use super::support::desk::Desk;
use super::support::wait;
use super::support::xvnc::{self, Xvnc};

const APPS: &str = "[app.xclock]\ncommand = [\"xclock\"]\n\
    [app.fails]\nneeds_display = false\ncommand = [\"sh\", \"-c\", \"exit 3\"]\n";

/// A collector that takes everything: its address, and the heads and bodies of requests.
fn collector() -> (String, Receiver<(String, Value)>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let (told, requests) = channel();
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let mut reader = BufReader::new(&stream);
            let (mut head, mut line) = (String::new(), String::new());
            while reader.read_line(&mut line).unwrap() > 2 {
                head += &line.to_ascii_lowercase();
                line.clear();
            }
            let bytes = head.split("content-length: ").nth(1).unwrap().lines().next().unwrap();
            let mut body = vec![0; bytes.parse().unwrap()];
            reader.read_exact(&mut body).unwrap();
            let answer = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}";
            (&stream).write_all(answer.as_bytes()).unwrap();
            if told.send((head, serde_json::from_slice(&body).unwrap())).is_err() {
                return;
            }
        }
    });
    (address, requests)
}

fn lost(desk: &Desk) -> Option<u64> {
    let text = desk.ask("GET", "/metrics").send().text();
    text.lines().find_map(|line| line.strip_prefix("deskd_traces_lost_total "))?.parse().ok()
}

#[test]
fn a_collector_gets_each_launch_once_with_its_stages() {
    if !xvnc::available() {
        return;
    }
    let (address, requests) = collector();
    let server = Xvnc::start();
    let desk = Desk::start(&format!("otlp_traces = \"{address}\"\n{APPS}"), Some(&server));
    let clock = desk.launch("xclock");
    let (head, body) = requests.recv_timeout(wait::PATIENCE).expect("a launch that has a window");
    assert!(head.starts_with("post /v1/traces http/1.1\r\n"), "{head}");
    assert!(head.contains("content-type: application/json\r\n"), "{head}");
    let spans = body["resourceSpans"][0]["scopeSpans"][0]["spans"].as_array().unwrap();
    let names: Vec<_> = spans.iter().map(|span| span["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["launch", "queue", "start", "first_window"]);
    let shown = desk.get(&format!("/v1/tasks/{clock}"));
    let nanoseconds = |stage: usize, end: &str| format!("{}000000", shown["stages"][stage][end]);
    for (stage, span) in spans[1..].iter().enumerate() {
        assert_eq!(span["traceId"], spans[0]["traceId"]);
        assert_eq!(span["parentSpanId"], spans[0]["spanId"]);
        assert_eq!(span["startTimeUnixNano"], nanoseconds(stage, "from"));
        assert_eq!(span["endTimeUnixNano"], nanoseconds(stage, "to"));
    }
    assert_eq!(spans[0]["startTimeUnixNano"], nanoseconds(0, "from"));
    assert_eq!(spans[0]["endTimeUnixNano"], nanoseconds(2, "to"));
    assert_eq!(spans[0]["traceId"].as_str().unwrap().len(), 32);

    // Stopping the clock ends no launch; one that fails is over when its program is.
    desk.ask("POST", &format!("/v1/tasks/{clock}/stop")).send();
    desk.ended(&clock);
    let failed = desk.launch("fails");
    let (_, body) = requests.recv_timeout(wait::PATIENCE).expect("a launch that failed");
    let spans = &body["resourceSpans"][0]["scopeSpans"][0]["spans"];
    let task = |span: &Value| {
        let all = span["attributes"].as_array().unwrap().clone();
        all.into_iter().find(|it| it["key"] == "deskd.task").unwrap()["value"]["stringValue"]
            .clone()
    };
    assert_eq!(task(&spans[0]), failed.as_str());
    assert_eq!(lost(&desk), Some(0));
}

#[test]
fn a_collector_that_is_away_holds_up_nothing_and_what_it_missed_is_counted() {
    if !xvnc::available() {
        return;
    }
    // Nobody listens on the port of a listener that is gone.
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let desk = Desk::start(&format!("otlp_traces = \"http://{address}\"\n{APPS}"), None);
    for _ in 0..2 {
        let task = desk.launch("fails");
        assert_eq!(desk.ended(&task)["exit"]["code"], 3);
    }
    wait::until("both are counted", || (lost(&desk) == Some(2)).then_some(()));
}
