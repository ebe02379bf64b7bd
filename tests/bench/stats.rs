//! Samples and their percentiles, and how figures are written.

/// A set of samples in nanoseconds.
#[derive(Debug, Default, Clone)]
pub struct Samples {
    ns: Vec<u64>,
}

impl Samples {
    /// Adds one.
    pub fn push(&mut self, ns: u64) {
        self.ns.push(ns);
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.ns.len()
    }

    /// The value below which `percent` of the samples lie (nearest rank), in milliseconds; NaN
    /// without samples.
    pub fn percentile_ms(&self, percent: f64) -> f64 {
        let mut sorted = self.ns.clone();
        sorted.sort_unstable();
        let rank = (percent / 100.0 * sorted.len() as f64).ceil() as usize;
        sorted.get(rank.max(1) - 1).map_or(f64::NAN, |&ns| ns as f64 / 1e6)
    }

    /// The median, milliseconds.
    pub fn p50(&self) -> f64 {
        self.percentile_ms(50.0)
    }

    /// The 99th percentile, milliseconds.
    pub fn p99(&self) -> f64 {
        self.percentile_ms(99.0)
    }
}

/// The median of a few figures; NaN without any.
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Three significant digits, no exponent: `0.0312`, `1.73`, `943`.
pub fn figure(value: f64) -> String {
    if !value.is_finite() {
        return "-".to_owned();
    }
    let digits = match value.abs() {
        v if v >= 100.0 => 0,
        v if v >= 10.0 => 1,
        v if v >= 1.0 || v == 0.0 => 2,
        v if v >= 0.1 => 3,
        _ => 4,
    };
    format!("{value:.digits$}")
}
