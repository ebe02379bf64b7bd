//! Several rounds of a row made one: each number is the median of its rounds.
//!
//! A figure is a text with numbers, such as `0.51 / 1.09`. Rounds of the same words differ in their numbers alone; of
//! others, such as one that failed, the first is shown as it is.

use crate::report::Row;
use crate::stats::{figure, median};

/// A figure's words, and the numbers between them.
fn parts(text: &str) -> (Vec<&str>, Vec<&str>) {
    let (mut words, mut numbers) = (Vec::new(), Vec::new());
    let mut rest = text;
    while let Some(start) = rest.find(|c: char| c.is_ascii_digit()) {
        let digits = rest.get(start..).unwrap_or_default();
        let end = digits.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(digits.len());
        words.push(rest.get(..start).unwrap_or_default());
        numbers.push(digits.get(..end).unwrap_or_default());
        rest = digits.get(end..).unwrap_or_default();
    }
    words.push(rest);
    (words, numbers)
}

/// The numbers of a figure; none where it tells of a failure.
pub fn numbers(text: &str) -> Vec<f64> {
    if text.starts_with(|c: char| c.is_alphabetic()) {
        return Vec::new();
    }
    parts(text).1.iter().filter_map(|number| number.parse().ok()).collect()
}

/// One figure of several rounds, and how far the first number lay from its median at most, percent.
fn merge(texts: &[&str]) -> (String, Option<f64>) {
    let Some((first, _)) = texts.split_first() else { return (String::new(), None) };
    let (words, count) = (parts(first).0, numbers(first).len());
    let alike: Vec<Vec<f64>> =
        texts.iter().filter(|text| parts(text).0 == words).map(|text| numbers(text)).collect();
    if texts.len() < 2 || count == 0 || alike.len() < 2 {
        return ((*first).to_owned(), None);
    }
    let column =
        |n: usize| -> Vec<f64> { alike.iter().filter_map(|row| row.get(n).copied()).collect() };
    let mut text = String::new();
    for (n, word) in words.iter().enumerate() {
        text.push_str(word);
        if n < count {
            text.push_str(&figure(median(&column(n))));
        }
    }
    let (column, middle) = (column(0), median(&column(0)));
    let apart = column.iter().map(|value| (value - middle).abs()).fold(0.0, f64::max);
    (text, (middle > 0.0).then(|| apart / middle * 100.0))
}

/// One row of its rounds. It reached its target when most of them did.
pub fn merged(rounds: &[Row]) -> Option<Row> {
    let mut row = rounds.first()?.clone();
    if rounds.len() == 1 {
        return Some(row);
    }
    let mut spreads = Vec::new();
    let floors: Vec<&str> = rounds.iter().map(|round| round.floor.as_str()).collect();
    row.floor = merge(&floors).0;
    let ratios: Vec<&str> = rounds.iter().map(|round| round.ratio.as_str()).collect();
    row.ratio = merge(&ratios).0;
    for (kind, cell) in &mut row.cells {
        let of_kind = rounds.iter().flat_map(|round| &round.cells).filter(|(k, _)| k == kind);
        let texts: Vec<&str> = of_kind.map(|(_, text)| text.as_str()).collect();
        let (text, spread) = merge(&texts);
        *cell = text;
        spreads.extend(spread);
    }
    row.spread = spreads.into_iter().reduce(f64::max);
    let verdicts: Vec<bool> = rounds.iter().filter_map(|round| round.met).collect();
    let met = verdicts.iter().filter(|met| **met).count();
    row.met = (!verdicts.is_empty()).then_some(met * 2 > verdicts.len());
    Some(row)
}
