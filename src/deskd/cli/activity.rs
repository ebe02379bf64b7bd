//! `deskd activity`: whether the desktop is used, now or until it is not.

use std::time::Duration;

use serde_json::Value;
use tokio::time::{Instant, sleep};

use super::client::{Client, ClientError, typed};
use super::failure::Failure;
use super::follow::RESUME_S_MAX;
use super::output::{Out, printable};
use deskd_core::exit::Exit;
use deskd_core::idle::Activity;

const DOING: &str = "see whether the desktop is used";
/// Between two questions at most, in seconds: the daemon looks more often.
const ASK_S_MAX: u64 = 30;
/// Between two questions at least, in milliseconds.
const ASK_MS_MIN: u64 = 1_000;

/// Prints the verdict; with `wait` as soon as the desktop has been idle for so long.
pub async fn activity(
    client: &Client,
    wait: Option<Duration>,
    out: &mut Out,
) -> Result<Exit, Failure> {
    let mut away_since: Option<Instant> = None;
    loop {
        let answer: Result<Value, ClientError> = client.get("/v1/activity").await;
        let answer = match answer {
            Ok(answer) => answer,
            // A daemon that is started again is waited for, as by `logs --follow`.
            Err(error) => {
                let since = *away_since.get_or_insert_with(Instant::now);
                let is_over = since.elapsed() > Duration::from_secs(RESUME_S_MAX);
                if wait.is_none() || is_over || !error.is_passing() {
                    return Err(error.failure(DOING));
                }
                sleep(Duration::from_millis(ASK_MS_MIN)).await;
                continue;
            }
        };
        away_since = None;
        let activity: Activity = typed(answer.clone(), DOING)?;
        let idle = Duration::from_millis(activity.idle_for_ms);
        let wanted = wait.unwrap_or_default();
        if wait.is_none() || (activity.idle_since.is_some() && idle >= wanted) {
            if out.is_json() {
                out.json(&answer)?;
            } else {
                print(&activity, out)?;
            }
            return Ok(Exit::Ok);
        }
        let (least, most) = (Duration::from_millis(ASK_MS_MIN), Duration::from_secs(ASK_S_MAX));
        sleep(wanted.saturating_sub(idle).clamp(least, most)).await;
    }
}

fn print(activity: &Activity, out: &mut Out) -> Result<(), Failure> {
    let evidence = &activity.evidence;
    out.text(printable(&activity.sentence))?;
    let ago = |at: Option<i64>| match at {
        Some(at) => format!("{} s ago", (evidence.at - at).max(0) / 1000),
        None => "not seen".to_owned(),
    };
    let viewers = evidence.viewers.iter().map(|viewers| {
        format!("{}, port {}: {} connected", viewers.name, viewers.port, viewers.connections)
    });
    let busy = evidence.busy_tasks.iter();
    let busy = busy.map(|busy| format!("{}: {} % of a CPU", busy.task, busy.cpu_percent));
    let unseen = evidence.unseen_tasks.iter().map(ToString::to_string);
    out.fields(&[
        ("  viewers", viewers.collect::<Vec<_>>().join("\n")),
        ("  last viewer", ago(evidence.last_viewer_at)),
        ("  last input", ago(evidence.last_input_at)),
        ("  busy tasks", busy.collect::<Vec<_>>().join("\n")),
        ("  last busy", ago(evidence.last_busy_at)),
        ("  not seen", unseen.collect::<Vec<_>>().join("\n")),
        ("  watched for", ago(Some(evidence.watching_since)).replace(" ago", "")),
    ])
}
