//! `deskd health`: whether deskd and the desktop are well, now or within a time.

use std::time::Duration;

use hyper::Method;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep, timeout_at};

use super::client::{Ask, Client, ClientError};
use super::failure::Failure;
use super::output::Out;
use super::{sse, view};
use crate::supervisor::Desktop;
use deskd_core::exit::Exit;

const DOING: &str = "check the desktop's health";
/// Time between two attempts to reach a daemon that is not there, in milliseconds.
const RETRY_MS: u64 = 20;

/// Prints the checks; [`Exit::Unhealthy`] when one that is required fails.
pub async fn health(
    client: &Client,
    wait: Option<Duration>,
    out: &mut Out,
) -> Result<Exit, Failure> {
    let deadline = Instant::now() + wait.unwrap_or_default();
    loop {
        let found = look(client).await;
        let well = found.as_ref().is_ok_and(|(desktop, _)| desktop.ready);
        let waitable = match &found {
            Ok(_) => true,
            Err(error) => error.is_passing(),
        };
        if well || wait.is_none() || Instant::now() >= deadline || !waitable {
            let (desktop, raw) = found.map_err(|error| error.failure(DOING))?;
            if out.is_json() {
                out.json(&raw)?
            } else {
                view::desktop(&desktop, out)?
            }
            return Ok(match (well, wait) {
                (true, _) => Exit::Ok,
                (false, None) => Exit::Unhealthy,
                (false, Some(_)) => Exit::Timeout,
            });
        }
        match found {
            // The daemon is there: it says when something changes.
            Ok(_) => {
                let _ = timeout_at(deadline, until_ready(client)).await;
            }
            Err(_) => sleep(Duration::from_millis(RETRY_MS)).await,
        }
    }
}

/// Says that the daemon answers and its loop is alive.
pub async fn live(client: &Client, wait: Option<Duration>, out: &mut Out) -> Result<Exit, Failure> {
    let deadline = Instant::now() + wait.unwrap_or_default();
    loop {
        match client.send(&Ask::new(Method::GET, "/livez")).await {
            Ok(_) if out.is_json() => return out.json(&json!({ "live": true })).map(|()| Exit::Ok),
            Ok(_) => return out.text("deskd is healthy").map(|()| Exit::Ok),
            Err(error) if Instant::now() < deadline && error.is_passing() => {
                sleep(Duration::from_millis(RETRY_MS)).await;
            }
            Err(error) => return Err(error.failure("check deskd's health")),
        }
    }
}

/// The desktop, from a daemon whose own loop is alive: else its answer is old.
async fn look(client: &Client) -> Result<(Desktop, Value), ClientError> {
    client.send(&Ask::new(Method::GET, "/livez")).await?;
    let raw: Value = client.get("/v1/desktop").await?;
    let desktop = serde_json::from_value(raw.clone())
        .map_err(|error| ClientError::BadAnswer(error.to_string()))?;
    Ok((desktop, raw))
}

/// Returns when an event says that the desktop is ready, or the stream ends.
async fn until_ready(client: &Client) -> Result<(), ClientError> {
    use http_body_util::BodyExt as _;
    let mut body = client.send(&Ask::new(Method::GET, "/v1/events")).await?.into_body();
    let mut parser = sse::Parser::default();
    let mut events = Vec::new();
    while let Some(Ok(frame)) = body.frame().await {
        let bytes = frame.into_data().unwrap_or_default();
        parser
            .push(&bytes, &mut events)
            .map_err(|error| ClientError::BadAnswer(error.to_string()))?;
        if events.drain(..).any(|event| says_ready(&event)) {
            return Ok(());
        }
    }
    // A stream that ended at once must not make the caller spin.
    sleep(Duration::from_millis(RETRY_MS)).await;
    Ok(())
}

fn says_ready(event: &sse::Event) -> bool {
    let value: Value = serde_json::from_str(&event.data).unwrap_or_default();
    let ready = match event.name.as_str() {
        "snapshot" => value.pointer("/desktop/ready"),
        "desktop" => value.get("ready"),
        _ => None,
    };
    ready == Some(&Value::Bool(true))
}
