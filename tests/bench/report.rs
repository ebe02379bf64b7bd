//! The table: printed while the bench runs, and written into `docs/performance.md` between markers.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context, Result};

use crate::rounds;
use crate::subject::Kind;

/// Which figures are better.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Better {
    /// Times, memory, losses.
    #[default]
    Lower,
    /// Rates, shares kept.
    Higher,
}

/// One figure of all subjects.
#[derive(Debug, Clone, Default)]
pub struct Row {
    /// What was measured, with its unit.
    pub what: String,
    /// The floor of the same run.
    pub floor: String,
    /// deskd's figure as a multiple of the floor's.
    pub ratio: String,
    /// Figures, in words or numbers; the first number is compared.
    pub cells: Vec<(Kind, String)>,
    /// What to reach.
    pub target: String,
    /// Whether deskd reached it; nothing when it was not measured.
    pub met: Option<bool>,
    /// Of the numbers that are compared.
    pub better: Better,
    /// How far its rounds lay apart: the largest distance from a subject's median, percent of it. Absent: one round.
    pub spread: Option<f64>,
}

impl Row {
    /// A row without figures yet.
    pub fn new(what: impl Into<String>, target: impl Into<String>) -> Self {
        Self { what: what.into(), target: target.into(), ..Self::default() }
    }

    /// The same, of figures that had better be high.
    pub fn rate(what: impl Into<String>, target: impl Into<String>) -> Self {
        Self { better: Better::Higher, ..Self::new(what, target) }
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

    /// Whether no peer has a better figure; nothing where none has one.
    fn is_first(&self) -> Option<bool> {
        let number = |kind| rounds::numbers(self.figure(kind)).first().copied();
        let ours = number(Kind::Deskd)?;
        let mut others = Kind::ALL.into_iter().skip(1).filter_map(number).peekable();
        others.peek()?;
        Some(others.all(|theirs| match self.better {
            Better::Lower => ours <= theirs,
            Better::Higher => ours >= theirs,
        }))
    }

    fn verdict(&self) -> String {
        let first = self.is_first().map(|first| if first { "first" } else { "**not first**" });
        // That it is reached goes without saying where deskd is compared.
        let met = match self.met {
            Some(false) => Some("**missed**"),
            Some(true) if first.is_none() => Some("ok"),
            _ => None,
        };
        let words: Vec<&str> = [first, met].into_iter().flatten().collect();
        if words.is_empty() { "-".to_owned() } else { words.join(", ") }
    }

    fn spread(&self) -> String {
        self.spread.map_or_else(|| "-".to_owned(), |percent| format!("±{percent:.0} %"))
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
        if self.spread.is_some() {
            println!("    {:<16} {}", "spread", self.spread());
        }
        if !self.target.is_empty() {
            println!("    {:<16} {}: {}", "to reach", self.target, self.verdict().replace('*', ""));
        }
        println!();
    }
}

/// The rows as a Markdown table, and what deskd is to reach.
pub fn markdown(rows: &[Row]) -> String {
    let mut text = "| | floor |".to_owned();
    for kind in Kind::ALL {
        let _ = write!(text, " {} |", kind.name());
    }
    text += " spread | deskd is |\n|";
    text += &"---|".repeat(Kind::ALL.len() + 4);
    text.push('\n');
    for row in rows {
        let floor = if row.floor.is_empty() { "-" } else { &row.floor };
        let _ = write!(text, "| {} | {floor} |", row.what);
        for kind in Kind::ALL {
            let _ = write!(text, " {} |", row.figure(kind));
        }
        let _ = writeln!(text, " {} | {} |", row.spread(), row.verdict());
    }
    text.replace("not installed", "?").replace(" / ", "/")
}

/// The names of the places in the document: class and cores.
fn markers(table: &str) -> [String; 2] {
    ["begin", "end"].map(|end| format!("<!-- bench {table}: {end} -->"))
}

/// Puts the table between its markers in `file`.
pub fn write(file: &Path, table: &str, rows: &[Row], heading: &str) -> Result<()> {
    let text = std::fs::read_to_string(file).with_context(|| file.display().to_string())?;
    let [begin, end] = markers(table);
    let missing = |marker: &str| format!("{} has no `{marker}`", file.display());
    let (before, rest) = text.split_once(&begin).with_context(|| missing(&begin))?;
    let (_, after) = rest.split_once(&end).with_context(|| missing(&end))?;
    let rows = markdown(rows);
    Ok(std::fs::write(file, format!("{before}{begin}\n{heading}\n\n{rows}{end}{after}"))?)
}
