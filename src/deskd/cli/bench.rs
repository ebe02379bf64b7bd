//! `deskd bench start`: what a start costs here, stage by stage.
//!
//! Each start is an ordinary launch of a local program over the API; the daemon's answer says where its time
//! went (`Server-Timing`), and what is missing to the whole is the request's way to it and back.

use std::time::Instant;

use clap::Subcommand;
use hyper::Method;
use serde::Serialize;
use serde_json::{Value, json};

use super::client::{Ask, Client, ClientError, whole};
use super::failure::Failure;
use super::output::{Cell, Out, printable};
use crate::api::SERVER_TIMING;
use deskd_core::exit::Exit;
use deskd_core::task::Task;

const DOING: &str = "measure starts";
/// The application that is added for this, and removed afterwards.
const APP: &str = "deskd-bench-start";
/// Starts before those that count: the first ones begin what later ones find.
const WARM_UP: u32 = 3;
/// Time for one program to end, in milliseconds.
const END_MS: u64 = 10_000;
/// What the request's way to the daemon and back is called.
const HTTP: &str = "http";
/// All stages together.
const TOTAL: &str = "total";

/// What is measured.
#[derive(Debug, Subcommand)]
pub enum BenchCommand {
    /// Measure what a start costs: a program is launched again and again, one start after the other
    Start {
        /// Starts
        #[arg(long, default_value_t = 100, value_name = "NUMBER",
            value_parser = clap::value_parser!(u32).range(1..=10_000))]
        count: u32,
        /// Program and its arguments; it should end by itself
        #[arg(
            default_value = "true",
            value_name = "PROGRAM",
            trailing_var_arg = true,
            allow_hyphen_values = true
        )]
        command: Vec<String>,
    },
}

/// One stage of all starts.
#[derive(Debug, Serialize)]
struct Row {
    stage: String,
    p50_ms: f64,
    p90_ms: f64,
    p99_ms: f64,
}

/// Measures, prints, and leaves nothing behind.
pub async fn run(client: &Client, command: BenchCommand, out: &mut Out) -> Result<Exit, Failure> {
    let BenchCommand::Start { count, command } = command;
    let app = json!({ "id": APP, "local": { "command": &command }, "needs_display": false });
    let put = Ask { body: Some(&app), ..Ask::new(Method::PUT, "/v1/apps") };
    let _: Value = client.json(&put).await.map_err(|error| error.failure(DOING))?;
    let measured = measure(client, count).await;
    let delete = Ask::new(Method::DELETE, format!("/v1/apps/{APP}"));
    let removed = client.send(&delete).await.map_err(|error| error.failure(DOING));
    let rows = rows(&measured?);
    removed?;
    let program = shell_words::join(&command);
    if out.is_json() {
        out.json(&json!({ "program": program, "starts": count, "stages": rows }))?;
        return Ok(Exit::Ok);
    }
    out.text(printable(&format!("{count} starts of `{program}`, in milliseconds")))?;
    let ms = |ms: f64| Cell::from(format!("{ms:.3}"));
    let cells =
        |row: &Row| vec![Cell::from(&row.stage), ms(row.p50_ms), ms(row.p90_ms), ms(row.p99_ms)];
    out.table(&["STAGE", "P50", "P90", "P99"], &rows.iter().map(cells).collect::<Vec<_>>())?;
    Ok(Exit::Ok)
}

/// The stages of each start, in milliseconds.
async fn measure(client: &Client, count: u32) -> Result<Vec<Stages>, Failure> {
    let mut all = Vec::new();
    for number in 0..count + WARM_UP {
        let (stages, task) = start(client).await?;
        if number >= WARM_UP {
            all.push(stages);
        }
        remove(client, &task).await.map_err(|error| error.failure(DOING))?;
    }
    Ok(all)
}

/// Stages by name, in their order.
type Stages = Vec<(String, f64)>;

async fn start(client: &Client) -> Result<(Stages, Task), Failure> {
    const MS_PER_S: f64 = 1e3;
    let body = json!({ "app": APP });
    let launch = Ask { body: Some(&body), ..Ask::new(Method::POST, "/v1/tasks") };
    let began = Instant::now();
    let answer = client.send(&launch).await.map_err(|error| error.failure(DOING))?;
    let total = began.elapsed().as_secs_f64() * MS_PER_S;
    let timing = answer.headers().get(SERVER_TIMING).and_then(|timing| timing.to_str().ok());
    let stages = timing.map(stages).ok_or_else(|| no_timing().failure(DOING))?;
    let of_daemon: f64 = stages.iter().map(|(_, ms)| ms).sum();
    let http = (HTTP.to_owned(), (total - of_daemon).max(0.0));
    let stages = [http].into_iter().chain(stages).chain([(TOTAL.to_owned(), total)]).collect();
    let body = whole(answer.into_body()).await.map_err(|error| error.failure(DOING))?;
    let task = serde_json::from_slice(&body)
        .map_err(|error| ClientError::BadAnswer(error.to_string()).failure(DOING))?;
    Ok((stages, task))
}

/// A daemon of an older release has none.
fn no_timing() -> ClientError {
    ClientError::BadAnswer(format!("it has no header {SERVER_TIMING}"))
}

/// `driver;dur=0.052, journal;dur=0.101`.
fn stages(timing: &str) -> Stages {
    let stage = |text: &str| {
        let (name, ms) = text.trim().split_once(";dur=")?;
        Some((name.to_owned(), ms.parse().ok()?))
    };
    timing.split(',').filter_map(stage).collect()
}

/// Removes a task, after its end; one that does not end is stopped.
async fn remove(client: &Client, task: &Task) -> Result<(), ClientError> {
    let path = format!("/v1/tasks/{}", task.id);
    let wait = || Ask::new(Method::GET, format!("{path}/wait?timeout_ms={END_MS}"));
    if client.send(&wait()).await.is_err() {
        client.send(&Ask::new(Method::POST, format!("{path}/stop"))).await?;
        client.send(&wait()).await?;
    }
    client.send(&Ask::new(Method::DELETE, path)).await?;
    Ok(())
}

/// The stages in their order, over all starts.
fn rows(starts: &[Stages]) -> Vec<Row> {
    let names = starts.first().into_iter().flatten().map(|(name, _)| name);
    let row = |name: &String| {
        let of = |start: &Stages| start.iter().find(|(other, _)| other == name).map(|(_, ms)| *ms);
        let mut all: Vec<f64> = starts.iter().filter_map(of).collect();
        all.sort_by(f64::total_cmp);
        let percent = |percent: usize| {
            let at = (all.len() * percent).div_ceil(100).saturating_sub(1);
            all.get(at).copied().unwrap_or_default()
        };
        Row { stage: name.clone(), p50_ms: percent(50), p90_ms: percent(90), p99_ms: percent(99) }
    };
    names.map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stages_keep_their_order_and_percentiles_are_of_what_was_measured() {
        let starts: Vec<Stages> = (1..=100)
            .map(|ms| stages(&format!("driver;dur={ms}.000, exec;dur=0.500, odd")))
            .collect();
        let rows = rows(&starts);
        let shown: Vec<_> =
            rows.iter().map(|row| (&*row.stage, row.p50_ms, row.p90_ms, row.p99_ms)).collect();
        assert_eq!(shown, [("driver", 50.0, 90.0, 99.0), ("exec", 0.5, 0.5, 0.5)]);
    }
}
