//! `deskd doctor`: what works in this pod or on this host, what does not, and what to change where.
//!
//! Looking ([`examine`]) and judging what was seen ([`findings`], pure) are apart. Deliberately not
//! here: changing anything.

mod cgroup_limits;
mod examine;
mod examined;
mod findings;
mod subject;
mod ways;

use std::path::Path;

use super::client::Client;
use super::failure::Failure;
use super::output::{Cell, Out, Tone, printable};
use crate::config::Env;
use deskd_core::exit::Exit;
use findings::{Finding, State};
use subject::Subject;

/// Examines everything and tells; [`Exit::Unhealthy`] when something is wrong.
pub async fn run(
    client: &Client,
    file: Option<&Path>,
    env: &Env,
    out: &mut Out,
) -> Result<Exit, Failure> {
    let subject = Subject::find(client, file, env).await?;
    let examined = examine::everything(client, subject, env).await;
    let findings = findings::findings(&examined);
    if out.is_json() {
        out.json(&findings)?;
    } else {
        show(&findings, out)?;
    }
    let wrong = findings.iter().any(|finding| finding.state == State::Wrong);
    Ok(if wrong { Exit::Unhealthy } else { Exit::Ok })
}

fn show(findings: &[Finding], out: &mut Out) -> Result<(), Failure> {
    let row = |finding: &Finding| {
        let (word, tone) = match finding.state {
            State::Works => ("works", Tone::Good),
            State::Remark => ("remark", Tone::Busy),
            State::Wrong => ("wrong", Tone::Bad),
        };
        vec![Cell::toned(word, tone), finding.topic.into(), finding.sentence.clone().into()]
    };
    let rows: Vec<_> = findings.iter().map(row).collect();
    out.table(&["STATE", "WHAT", "FINDING"], &rows)?;
    for finding in findings.iter().filter(|finding| finding.state != State::Works) {
        out.text(format!("\n{}:", finding.topic))?;
        out.text(format!("  change: {}", printable(&finding.change)))?;
        out.text(format!("  see: {}", printable(&finding.command)))?;
    }
    Ok(())
}
