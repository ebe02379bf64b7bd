//! `deskd launch` and `deskd task`.

use std::time::Duration;

use hyper::Method;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::args::TaskCommand;
use super::client::{Ask, Client, ClientError, typed};
use super::failure::Failure;
use super::follow::RESUME_S_MAX;
use super::output::Out;
use super::view;
use crate::clock::now_ms;
use crate::supervisor::Desktop;
use deskd_core::exit::Exit;
use deskd_core::id::{AppId, TaskId};
use deskd_core::plan::LaunchSpec;
use deskd_core::task::Task;
use deskd_core::why::Applied;

/// How long an end is waited for beyond the time the stop itself may take.
const STOP_WAIT_S_MAX: u64 = 120;
/// One `/wait`, in milliseconds: the API's limit.
const WAIT_MS: u64 = 60_000;
/// Time between two attempts to reach a daemon that went away, in milliseconds.
const RETRY_MS: u64 = 50;
/// Random bytes of an idempotency key.
const KEY_BYTES: usize = 16;

/// `deskd launch`: the task id alone on stdout. A daemon that dies in the middle is asked again
/// with the same key, so the application is started once whatever happens.
pub async fn launch(
    client: &Client,
    app: &AppId,
    spec: &LaunchSpec,
    key: Option<String>,
    out: &mut Out,
) -> Result<Exit, Failure> {
    let doing = format!("launch {app}");
    let key = match key {
        Some(key) => key,
        None => random_key()?,
    };
    let mut body = json!({ "app": app, "args": spec.args });
    if let Some(engine) = spec.engine {
        body["engine"] = json!(engine);
    }
    let mut ask = Ask::new(Method::POST, "/v1/tasks");
    ask.headers.push(("idempotency-key", &key));
    ask.body = Some(&body);
    let answer: Value = patiently(client, &ask, &doing).await?;
    let task: Task = typed(answer.clone(), &doing)?;
    if out.is_json() {
        out.json(&answer)?
    } else {
        out.text(task.id.as_str())?
    }
    Ok(Exit::Ok)
}

async fn show(client: &Client, task: &TaskId, out: &mut Out) -> Result<(), Failure> {
    let doing = format!("show task {task}");
    let path = format!("/v1/tasks/{task}");
    let answer: Value = client.get(&path).await.map_err(|error| error.failure(&doing))?;
    if out.is_json() {
        return out.json(&answer);
    }
    let task: Task = typed(answer, &doing)?;
    let places = match task.engine.is_in_cluster() {
        // Without them the rest is as true.
        true => client.get("/v1/desktop").await.map(|desktop: Desktop| desktop.kubernetes),
        false => Ok(std::sync::Arc::default()),
    };
    let places = places.map(|cluster| cluster.places.clone()).unwrap_or_default();
    view::task(&task, &places, now_ms(), out)
}

fn random_key() -> Result<String, Failure> {
    let mut bytes = [0; KEY_BYTES];
    getrandom::fill(&mut bytes)
        .map_err(|error| Failure::new(Exit::Internal, "create an idempotency key", error))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Asks again while a daemon that was there is away; one that never answered is not waited for.
async fn patiently(client: &Client, ask: &Ask<'_>, doing: &str) -> Result<Value, Failure> {
    let deadline = Instant::now() + Duration::from_secs(RESUME_S_MAX);
    let mut was_there = false;
    loop {
        let error = match client.json(ask).await {
            Ok(answer) => return Ok(answer),
            Err(error) => error,
        };
        was_there |= !matches!(error, ClientError::Unreachable { .. });
        let draining =
            matches!(&error, ClientError::Refused { body, .. } if body.code == "shutting_down");
        if !was_there || draining || !error.is_passing() || Instant::now() > deadline {
            return Err(error.failure(doing));
        }
        sleep(Duration::from_millis(RETRY_MS)).await;
    }
}

/// `deskd task ...`.
pub async fn run(client: &Client, command: TaskCommand, out: &mut Out) -> Result<Exit, Failure> {
    match command {
        TaskCommand::List => {
            let doing = "list tasks";
            let answer: Value =
                client.get("/v1/tasks").await.map_err(|error| error.failure(doing))?;
            if out.is_json() {
                out.json(&answer)?;
            } else {
                view::tasks(&typed::<Vec<Task>>(answer, doing)?, now_ms(), out)?;
            }
        }
        TaskCommand::Show { task } => show(client, &task, out).await?,
        TaskCommand::Stop { tasks, no_wait, force, grace } => {
            return stop(client, &tasks, &Stop { no_wait, force, grace }, out).await;
        }
        TaskCommand::Remedy { task } => remedy(client, &task, out).await?,
        TaskCommand::Remove { tasks } => {
            for task in &tasks {
                let ask = Ask::new(Method::DELETE, format!("/v1/tasks/{task}"));
                let removed: Result<Value, _> = client.json(&ask).await;
                removed.map_err(|error| error.failure(&format!("remove task {task}")))?;
            }
        }
    }
    Ok(Exit::Ok)
}

/// Asked once: whoever does not hear the answer sees in the task whether it was applied, and a second
/// remedy there is not.
async fn remedy(client: &Client, task: &TaskId, out: &mut Out) -> Result<(), Failure> {
    let doing = format!("apply a remedy to task {task}");
    let ask = Ask::new(Method::POST, format!("/v1/tasks/{task}/remedy"));
    let answer: Value = client.json(&ask).await.map_err(|error| error.failure(&doing))?;
    if out.is_json() {
        return out.json(&answer);
    }
    let view: Task = typed(answer, &doing)?;
    let done = view.remedied.as_deref().map(Applied::sentence).unwrap_or_default();
    out.text(format!("{task}: {}", super::output::printable(&done)))
}

struct Stop {
    no_wait: bool,
    force: bool,
    grace: Option<Duration>,
}

/// Asks all to stop first, then waits for all: their graces run side by side.
async fn stop(
    client: &Client,
    tasks: &[TaskId],
    how: &Stop,
    out: &mut Out,
) -> Result<Exit, Failure> {
    let grace_ms = how.grace.map(|grace| u64::try_from(grace.as_millis()).unwrap_or(u64::MAX));
    let mut body = json!({ "force": how.force });
    if let Some(grace_ms) = grace_ms {
        body["grace_ms"] = grace_ms.into();
    }
    let mut answers = Vec::new();
    for task in tasks {
        let mut ask = Ask::new(Method::POST, format!("/v1/tasks/{task}/stop"));
        ask.body = Some(&body);
        answers.push(patiently(client, &ask, &format!("stop task {task}")).await?);
    }
    if !how.no_wait {
        let limit = Duration::from_secs(STOP_WAIT_S_MAX) + how.grace.unwrap_or_default();
        let deadline = Instant::now() + limit;
        for (task, answer) in tasks.iter().zip(&mut answers) {
            *answer = ended(client, task, deadline).await?;
        }
    }
    if out.is_json() {
        out.json(&answers)?;
        return Ok(Exit::Ok);
    }
    for (task, answer) in tasks.iter().zip(answers) {
        let view: Task = typed(answer, &format!("stop task {task}"))?;
        for step in &view.stop_steps {
            out.text(format!("{task}: {}", super::output::printable(&step.detail)))?;
        }
        let end = match &view.exit {
            Some(exit) if !how.no_wait => format!("ended by {}", exit.sentence()),
            _ => view.state.as_str().to_owned(),
        };
        out.text(format!("{task}: {}", super::output::printable(&end)))?;
    }
    Ok(Exit::Ok)
}

async fn ended(client: &Client, task: &TaskId, deadline: Instant) -> Result<Value, Failure> {
    let doing = format!("wait until task {task} ends");
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let timeout_ms = WAIT_MS.min(u64::try_from(left.as_millis()).unwrap_or(WAIT_MS)).max(1);
        let path = format!("/v1/tasks/{task}/wait?state=ended&timeout_ms={timeout_ms}");
        match patiently(client, &Ask::new(Method::GET, path), &doing).await {
            Err(failure) if failure.exit() == Exit::Timeout && !left.is_zero() => {}
            other => return other,
        }
    }
}
