//! A burst of lines to a follower: how many arrive.

use std::collections::HashSet;

use anyhow::Result;

use super::follower::Echo;
use crate::bench::Bench;
use crate::report::Row;
use crate::subject::Kind;

/// Lines of the burst.
const LINES: u64 = 100_000;
/// Silence after which the burst is over.
const SILENCE_MS: u64 = 3_000;

/// The numbers of the burst's lines that arrived, and how many arrived more than once.
fn arrived(echo: &mut Echo) -> Result<(usize, usize)> {
    let mut seen = HashSet::new();
    let mut twice = 0;
    echo.trigger(b'b')?;
    while seen.len() < LINES as usize && echo.follow.wait(SILENCE_MS)?.is_some() {
        echo.follow.take_lines(&mut |line| {
            let number = line.rsplit(|&b| b == b' ').next().unwrap_or_default();
            let number = std::str::from_utf8(number).ok().and_then(|text| text.parse::<u64>().ok());
            if let Some(number) = number {
                twice += usize::from(!seen.insert(number));
            }
        });
    }
    Ok((seen.len(), twice))
}

/// One subject after the other.
pub fn run(bench: &mut Bench) -> Result<Vec<Row>> {
    let mut row = Row::rate("burst of 100,000 lines to a follower, arrived %", "100, none twice");
    for kind in bench.kinds.clone() {
        let arrivals = Echo::boot(bench, kind, LINES, &mut row)
            .and_then(|echo| echo.map(|mut echo| arrived(&mut echo)).transpose());
        bench.clean();
        let (count, twice) = match arrivals {
            Ok(Some(arrivals)) => arrivals,
            Ok(None) => continue,
            Err(error) => {
                row.cell(kind, format!("failed: {error:#}"));
                continue;
            }
        };
        let again = if twice > 0 { format!(", {twice} twice") } else { String::new() };
        row.cell(kind, format!("{:.1}{again}", count as f64 * 100.0 / LINES as f64));
        if kind == Kind::Deskd {
            row.met = Some(count == LINES as usize && twice == 0);
        }
    }
    Ok(vec![row])
}
