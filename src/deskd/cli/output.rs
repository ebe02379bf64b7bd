//! Printing: tables, JSON, raw bytes. A reader that goes away is an error like any other here;
//! `main` ends quietly for it.

use std::io::{self, IsTerminal as _, Write as _};

use serde::Serialize;

use super::args::Format;
use super::failure::Failure;
use super::safe::Safe;
pub use super::safe::printable;
use crate::config::Env;

/// Standard output.
#[derive(Debug)]
pub struct Out {
    to: io::BufWriter<io::Stdout>,
    format: Format,
    colour: bool,
}

/// Colours, by what they mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    /// As it comes.
    Plain,
    /// Well.
    Good,
    /// Under way.
    Busy,
    /// Wrong.
    Bad,
    /// Less important.
    Dim,
}

impl Tone {
    fn code(self) -> Option<&'static str> {
        match self {
            Self::Plain => None,
            Self::Good => Some("32"),
            Self::Busy => Some("33"),
            Self::Bad => Some("31"),
            Self::Dim => Some("2"),
        }
    }
}

/// A table's cell.
#[derive(Debug, Clone)]
pub struct Cell(String, Tone);

impl<T: AsRef<str>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self(printable(text.as_ref()), Tone::Plain)
    }
}

impl Cell {
    /// With a colour.
    pub fn toned(text: &str, tone: Tone) -> Self {
        Self(printable(text), tone)
    }
}

impl Out {
    /// Standard output; colours only on a terminal that wants them (<https://no-color.org>).
    #[must_use]
    pub fn stdout(format: Format, env: &Env) -> Self {
        let stdout = io::stdout();
        let dumb = env.get("TERM").is_none_or(|term| term == "dumb");
        let colour = stdout.is_terminal() && env.get("NO_COLOR").is_none() && !dumb;
        Self { to: io::BufWriter::new(stdout), format, colour }
    }

    /// Whether JSON is wanted.
    #[must_use]
    pub fn is_json(&self) -> bool {
        self.format == Format::Json
    }

    /// Bytes as they are: what an application wrote, and what is made for other programs.
    pub fn bytes(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.to.write_all(bytes).map_err(|error| unwritable(&error))
    }

    /// Text and a line end, unless it has one.
    pub fn text(&mut self, text: impl Into<Safe>) -> Result<(), Failure> {
        let text = text.into();
        self.bytes(text.shown().as_bytes())?;
        if text.shown().ends_with('\n') { Ok(()) } else { self.bytes(b"\n") }
    }

    /// A value as indented JSON.
    pub fn json(&mut self, value: &impl Serialize) -> Result<(), Failure> {
        let text =
            serde_json::to_string_pretty(value).map_err(|error| unwritable(&error.into()))?;
        self.text(escaped(&text))
    }

    /// A value as one line of JSON, at once: streams.
    pub fn json_line(&mut self, value: &impl Serialize) -> Result<(), Failure> {
        let text = serde_json::to_string(value).map_err(|error| unwritable(&error.into()))?;
        self.text(escaped(&text))?;
        self.finish()
    }

    /// An aligned table; the last column is not padded.
    pub fn table(&mut self, head: &[&str], rows: &[Vec<Cell>]) -> Result<(), Failure> {
        let width = |column: usize| {
            let cells = rows.iter().filter_map(|row| row.get(column));
            let longest = cells.map(|cell| cell.0.chars().count()).max().unwrap_or(0);
            longest.max(head.get(column).map_or(0, |title| title.chars().count()))
        };
        let widths: Vec<_> = (0..head.len()).map(width).collect();
        let titles: Vec<_> = head.iter().map(|title| Cell::toned(title, Tone::Dim)).collect();
        for row in std::iter::once(&titles).chain(rows) {
            let mut line = Safe::default();
            for (column, cell) in row.iter().enumerate() {
                if column > 0 {
                    line = line.and("  ");
                }
                line = line.and(self.toned(&cell.0, cell.1));
                if column + 1 < row.len() {
                    let pad = widths[column].saturating_sub(cell.0.chars().count());
                    line = line.and(" ".repeat(pad));
                }
            }
            self.text(line.trimmed())?;
        }
        Ok(())
    }

    /// `name  value` lines with aligned values; empty values are left out.
    pub fn fields(&mut self, fields: &[(&str, String)]) -> Result<(), Failure> {
        let shown = || fields.iter().filter(|(_, value)| !value.is_empty());
        let width = shown().map(|(name, _)| name.len()).max().unwrap_or(0);
        for (name, value) in shown() {
            let name = self.toned(&format!("{name:<width$}"), Tone::Dim);
            let mut lines = value.lines().map(printable);
            let first = lines.next().unwrap_or_default();
            self.text(name.and(format!("  {first}")))?;
            for line in lines {
                self.text(format!("{:width$}  {line}", ""))?;
            }
        }
        Ok(())
    }

    /// Text with a colour, if there are any.
    #[must_use]
    pub fn toned(&self, text: &str, tone: Tone) -> Safe {
        match tone.code().filter(|_| self.colour) {
            Some(code) => Safe::coloured(text, code),
            None => text.into(),
        }
    }

    /// Everything on its way.
    pub fn finish(&mut self) -> Result<(), Failure> {
        self.to.flush().map_err(|error| unwritable(&error))
    }
}

/// JSON as it is, but for control characters that it leaves as they are (DEL, C1).
fn escaped(json: &str) -> String {
    let mut text = String::with_capacity(json.len());
    for c in json.chars() {
        if c.is_control() && c != '\n' {
            text.push_str(&format!("\\u{:04x}", u32::from(c)));
        } else {
            text.push(c);
        }
    }
    text
}

fn unwritable(error: &io::Error) -> Failure {
    Failure::io("write to standard output", error)
}

/// `3s`, `5m`, `2h`, `4d`: the two most telling digits of a span.
#[must_use]
pub fn span(ms: u64) -> String {
    match ms {
        0..10_000 => format!("{}.{}s", ms / 1000, ms % 1000 / 100),
        10_000..120_000 => format!("{}s", ms / 1000),
        120_000..7_200_000 => format!("{}m", ms / 60_000),
        7_200_000..172_800_000 => format!("{}h", ms / 3_600_000),
        _ => format!("{}d", ms / 86_400_000),
    }
}

/// `5m ago`, relative to `now_ms`; times in the future (a clock was set) are now.
#[must_use]
pub fn ago(at_ms: i64, now_ms: i64) -> String {
    match u64::try_from(now_ms.saturating_sub(at_ms)) {
        Ok(ms) if ms >= 1000 => format!("{} ago", span(ms)),
        _ => "now".into(),
    }
}

/// RFC 3339, for detailed views.
#[must_use]
pub fn rfc3339(at_ms: i64) -> String {
    jiff::Timestamp::from_millisecond(at_ms).map(|at| at.to_string()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_short_and_times_in_the_future_are_now() {
        let cases =
            [(0, "0.0s"), (1_250, "1.2s"), (59_000, "59s"), (300_000, "5m"), (7_200_000, "2h")];
        for (ms, text) in cases {
            assert_eq!(span(ms), text);
        }
        assert_eq!(ago(0, 86_400_000 * 3), "3d ago");
        assert_eq!(ago(10, 0), "now");
    }
}
