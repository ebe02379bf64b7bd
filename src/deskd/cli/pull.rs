//! `deskd app pull`: asks for images on the nodes, shows how far they are, waits for them.

use std::collections::BTreeMap;
use std::time::Duration;

use hyper::Method;
use serde_json::Value;

use super::client::{Ask, Client, typed};
use super::failure::{Failure, note};
use super::output::{Out, printable};
use crate::api::PullAsked;
use deskd_core::exit::Exit;
use deskd_core::id::AppId;
use deskd_core::pull::{PullState, PullStatus};

/// Between two looks.
const LOOK_MS: u64 = 300;

/// Exits 1 when an image could not be pulled somewhere.
pub async fn run(
    client: &Client,
    apps: &[AppId],
    wait: bool,
    out: &mut Out,
) -> Result<Exit, Failure> {
    let mut images = Vec::new();
    for app in apps {
        let doing = format!("pull the image of {app}");
        let ask = Ask::new(Method::POST, format!("/v1/apps/{app}/pull"));
        let asked: Value = client.json(&ask).await.map_err(|error| error.failure(&doing))?;
        images.push(typed::<PullAsked>(asked, &doing)?.image);
    }
    let mut shown = BTreeMap::new();
    loop {
        let all = status(client).await?;
        let mine: Vec<_> = all.into_iter().filter(|pull| images.contains(&pull.image)).collect();
        let begun = images.iter().all(|image| mine.iter().any(|pull| pull.image == *image));
        if !out.is_json() {
            tell(&mine, &mut shown, out)?;
        }
        if !wait || (begun && mine.iter().all(|pull| is_over(&pull.state))) {
            if out.is_json() {
                out.json(&mine)?;
            }
            let failed = mine.iter().any(|pull| matches!(pull.state, PullState::Failed { .. }));
            return Ok(if failed { Exit::Unhealthy } else { Exit::Ok });
        }
        tokio::time::sleep(Duration::from_millis(LOOK_MS)).await;
    }
}

async fn status(client: &Client) -> Result<Vec<PullStatus>, Failure> {
    let doing = "read the state of the pulls";
    let answer: Value = client.get("/v1/pulls").await.map_err(|error| error.failure(doing))?;
    typed(answer, doing)
}

/// Prints what changed.
fn tell(
    pulls: &[PullStatus],
    shown: &mut BTreeMap<(String, Option<String>), PullState>,
    out: &mut Out,
) -> Result<(), Failure> {
    for pull in pulls {
        let key = (pull.image.clone(), pull.node.clone());
        if shown.get(&key) != Some(&pull.state) {
            let line = printable(&sentence(pull));
            match pull.state {
                PullState::Failed { .. } => note(&line),
                _ => out.text(&line)?,
            }
            shown.insert(key, pull.state.clone());
        }
    }
    Ok(())
}

fn is_over(state: &PullState) -> bool {
    matches!(state, PullState::Pulled { .. } | PullState::Failed { .. })
}

fn sentence(pull: &PullStatus) -> String {
    let node = pull.node.as_ref().map(|node| format!(" on {node}")).unwrap_or_default();
    let how = match &pull.state {
        PullState::Scheduling { why: None } => "is waiting for a node".to_owned(),
        PullState::Scheduling { why: Some(why) } => format!("is waiting for a node: {why}"),
        PullState::Pulling => "is being pulled".to_owned(),
        PullState::Pulled { size_bytes: Some(bytes), took_ms } => {
            format!("was pulled: {} MiB in {:.1} s", bytes >> 20, *took_ms as f64 / 1000.0)
        }
        PullState::Pulled { size_bytes: None, took_ms } => {
            format!("was pulled in {:.1} s", *took_ms as f64 / 1000.0)
        }
        PullState::Failed { why } => format!("cannot be pulled: {why}"),
    };
    format!("{}{node} {how}", pull.image)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_step_is_a_sentence() {
        let pull = |node: Option<&str>, state| PullStatus {
            image: "a/b:1".to_owned(),
            node: node.map(str::to_owned),
            state,
        };
        let said = [
            pull(None, PullState::Scheduling { why: None }),
            pull(Some("n1"), PullState::Pulled { size_bytes: Some(5 << 20), took_ms: 1250 }),
            pull(Some("n1"), PullState::Failed { why: "not found".into() }),
        ]
        .map(|pull| sentence(&pull));
        assert_eq!(
            said,
            [
                "a/b:1 is waiting for a node",
                "a/b:1 on n1 was pulled: 5 MiB in 1.2 s",
                "a/b:1 on n1 cannot be pulled: not found"
            ]
        );
    }
}
