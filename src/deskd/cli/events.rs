//! `deskd events`: what happens, as it happens.

use serde_json::{Value, json};

use super::client::Client;
use super::failure::Failure;
use super::follow::Stream;
use super::output::{Out, printable, rfc3339};
use super::sse::Event;
use super::view;
use crate::clock::now_ms;
use deskd_core::exit::Exit;
use deskd_core::task::Task;

/// Prints events; without `follow` only what is the case now.
pub async fn events(client: &Client, follow: bool, out: &mut Out) -> Result<Exit, Failure> {
    let mut stream = Stream::open(client, "follow events", "/v1/events", "usage=false").await?;
    let gone = super::logs::reader_gone();
    tokio::pin!(gone);
    loop {
        let event = tokio::select! {
            event = stream.next() => event?,
            () = &mut gone => return Ok(Exit::Ok),
        };
        let data: Value = serde_json::from_str(&event.data).unwrap_or(Value::Null);
        if out.is_json() {
            out.json_line(&json!({ "event": event.name, "id": event.id, "data": data }))?;
        } else {
            let time = rfc3339(now_ms());
            for line in lines(&event, &data) {
                out.text(format!("{time}  {line}"))?;
            }
            out.finish()?;
        }
        if !follow {
            return Ok(Exit::Ok);
        }
    }
}

fn lines(event: &Event, data: &Value) -> Vec<String> {
    let sentence = |desktop: &Value| {
        let text = desktop.get("sentence").and_then(Value::as_str).unwrap_or_default();
        format!("desktop {}", printable(text))
    };
    let task = |task: &Value| match serde_json::from_value::<Task>(task.clone()) {
        Ok(task) => view::task_line(&task),
        Err(error) => format!("cannot read the task in the daemon's answer: {error}"),
    };
    let count = |apps: &Value| format!("apps {}", apps.as_array().map_or(0, Vec::len));
    match event.name.as_str() {
        "snapshot" => {
            let tasks = data.get("tasks").and_then(Value::as_array);
            let mut lines = vec![sentence(&data["desktop"]), count(&data["apps"])];
            lines.extend(tasks.into_iter().flatten().map(task));
            lines
        }
        "desktop" => vec![sentence(data)],
        "task" => vec![task(data)],
        "removed" => {
            let id = data.get("id").and_then(Value::as_str).unwrap_or_default();
            vec![printable(&format!("task {id} removed"))]
        }
        "apps" => vec![count(data)],
        _ => Vec::new(),
    }
}
