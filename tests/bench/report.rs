//! The table: printed while the bench runs, and written into `docs/performance.md` between markers.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context, Result};

use crate::subject::Kind;

const BEGIN: &str = "<!-- bench: begin -->";
const END: &str = "<!-- bench: end -->";

/// One figure of all subjects.
#[derive(Debug, Default)]
pub struct Row {
    /// What was measured, with its unit.
    pub what: String,
    /// The floor of the same run.
    pub floor: String,
    /// deskd's figure as a multiple of the floor's.
    pub ratio: String,
    /// Figures, in words or numbers.
    pub cells: Vec<(Kind, String)>,
    /// What to reach.
    pub target: String,
    /// Whether deskd reached it; nothing when it was not measured.
    pub met: Option<bool>,
}

impl Row {
    /// A row without figures yet.
    pub fn new(what: impl Into<String>, target: impl Into<String>) -> Self {
        Self { what: what.into(), target: target.into(), ..Self::default() }
    }

    /// Adds a subject's figure.
    pub fn cell(&mut self, kind: Kind, figure: impl Into<String>) {
        self.cells.push((kind, figure.into()));
    }

    fn figure(&self, kind: Kind) -> &str {
        let found = self.cells.iter().find(|(k, _)| *k == kind);
        match found {
            Some((_, figure)) => figure,
            None if kind.installed().is_none() => "not installed",
            None => "-",
        }
    }

    fn verdict(&self) -> &'static str {
        match self.met {
            Some(true) => "ok",
            Some(false) => "**missed**",
            None => "-",
        }
    }

    /// For a terminal.
    pub fn print(&self) {
        println!("{}", self.what);
        if !self.floor.is_empty() {
            println!("    {:<16} {}", "floor", self.floor);
        }
        for kind in Kind::ALL {
            let figure = self.figure(kind);
            let ratio = match (kind, self.ratio.as_str()) {
                (Kind::Deskd, ratio) if !ratio.is_empty() => format!("   ({ratio} of the floor)"),
                _ => String::new(),
            };
            if figure != "-" {
                println!("    {:<16} {figure}{ratio}", kind.name());
            }
        }
        if !self.target.is_empty() {
            println!("    {:<16} {}: {}", "target", self.target, self.verdict().replace('*', ""));
        }
        println!();
    }
}

/// The rows as a Markdown table.
pub fn markdown(rows: &[Row]) -> String {
    let mut text = "| | floor | deskd | of floor |".to_owned();
    for kind in Kind::ALL.iter().skip(1) {
        let _ = write!(text, " {} |", kind.name());
    }
    text += " to reach | |\n|";
    text += &"---|".repeat(Kind::ALL.len() + 5);
    text.push('\n');
    for row in rows {
        let floor = if row.floor.is_empty() { "-" } else { &row.floor };
        let ratio = if row.ratio.is_empty() { "-" } else { &row.ratio };
        let _ = write!(text, "| {} | {floor} | {} | {ratio} |", row.what, row.figure(Kind::Deskd));
        for &kind in Kind::ALL.iter().skip(1) {
            let _ = write!(text, " {} |", row.figure(kind));
        }
        let _ = writeln!(text, " {} | {} |", row.target, row.verdict());
    }
    text
}

/// Puts the table between the markers of `file`.
pub fn write(file: &Path, rows: &[Row], heading: &str) -> Result<()> {
    let text = std::fs::read_to_string(file).with_context(|| file.display().to_string())?;
    let (before, rest) = text.split_once(BEGIN).context("the begin marker is missing")?;
    let (_, after) = rest.split_once(END).context("the end marker is missing")?;
    let table = markdown(rows);
    let new = format!("{before}{BEGIN}\n{heading}\n\n{table}{END}{after}");
    Ok(std::fs::write(file, new)?)
}
