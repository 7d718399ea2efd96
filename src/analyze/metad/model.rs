//! The type-2 likelihood, shared by the plain and the regularised fit.

use super::normal;

/// Counts of one response ("will fail" or "will succeed") by how sure it was, for one outcome; unsure first.
#[derive(Debug, Clone)]
pub struct Side {
    /// Counts (or padded counts) per rating.
    pub counts: Vec<f64>,
    total: f64,
}

impl Side {
    /// From counts per rating, the least sure first.
    pub fn new(counts: impl Iterator<Item = f64>) -> Self {
        let counts: Vec<f64> = counts.collect();
        let total = counts.iter().sum();
        Self { counts, total }
    }

    /// Log-likelihood of the ratings given the response, where evidence for the response is normal with unit variance
    /// and its mean lies `mean` beyond the type-1 criterion, and rating k stands for evidence from `edges[k-1]` to
    /// `edges[k]` beyond it (0 before the first edge, infinity after the last).
    ///
    /// Adds the derivatives by the edges to `by_edge` and answers (log-likelihood, derivative by the mean).
    pub fn log_likelihood(&self, mean: f64, edges: &[f64], by_edge: &mut [f64]) -> (f64, f64) {
        if self.total == 0.0 {
            return (0.0, 0.0);
        }
        let area = normal::upper(-mean);
        let mut value = -self.total * area.ln();
        let mut by_mean = -self.total * normal::pdf(mean) / area;
        let (mut low, mut low_density) = (-mean, normal::pdf(mean));
        for (k, &count) in self.counts.iter().enumerate() {
            let (high, high_density) = match edges.get(k) {
                Some(edge) => (edge - mean, normal::pdf(edge - mean)),
                None => (f64::INFINITY, 0.0),
            };
            if count > 0.0 {
                let mass = normal::between(low, high);
                value += count * mass.ln();
                let weight = count / mass;
                by_mean += weight * (low_density - high_density);
                if let Some(slot) = by_edge.get_mut(k) {
                    *slot += weight * high_density;
                }
                if let Some(slot) = k.checked_sub(1).and_then(|k| by_edge.get_mut(k)) {
                    *slot -= weight * low_density;
                }
            }
            (low, low_density) = (high, high_density);
        }
        (value, by_mean)
    }
}

/// The four sides of a table of counts.
#[derive(Debug, Clone)]
pub struct Table {
    /// "Will fail", and it failed.
    pub low_right: Side,
    /// "Will fail", and it succeeded.
    pub low_wrong: Side,
    /// "Will succeed", and it succeeded.
    pub high_right: Side,
    /// "Will succeed", and it failed.
    pub high_wrong: Side,
}

impl Table {
    /// From counts per outcome, each from "will fail, sure" to "will succeed, sure". Both have the same even length.
    pub fn new(failed: &[f64], succeeded: &[f64]) -> Self {
        let ratings = failed.len() / 2;
        let low = |counts: &[f64]| Side::new(counts[..ratings].iter().rev().copied());
        let high = |counts: &[f64]| Side::new(counts[ratings..].iter().copied());
        Self {
            low_right: low(failed),
            low_wrong: low(succeeded),
            high_right: high(succeeded),
            high_wrong: high(failed),
        }
    }

    /// Log-likelihood of all ratings given the responses. `failed_mean` and `succeeded_mean` are relative to the type-1
    /// criterion; `low` and `high` are the distances of the type-2 criteria from it. Derivatives by these are added to
    /// `by_low` and `by_high`; the answer is (log-likelihood, by `failed_mean`, by `succeeded_mean`).
    pub fn log_likelihood(
        &self,
        (failed_mean, succeeded_mean): (f64, f64),
        (low, high): (&[f64], &[f64]),
        (by_low, by_high): (&mut [f64], &mut [f64]),
    ) -> (f64, f64, f64) {
        let (a, by_a) = self.low_right.log_likelihood(-failed_mean, low, by_low);
        let (b, by_b) = self.low_wrong.log_likelihood(-succeeded_mean, low, by_low);
        let (c, by_c) = self.high_right.log_likelihood(succeeded_mean, high, by_high);
        let (d, by_d) = self.high_wrong.log_likelihood(failed_mean, high, by_high);
        (a + b + c + d, by_d - by_a, by_c - by_b)
    }
}

/// Distances from the type-1 criterion, from the logarithms of the gaps between neighbours.
pub fn edges(log_gaps: &[f64], out: &mut [f64]) {
    let mut edge = 0.0;
    for (gap, out) in log_gaps.iter().zip(out) {
        edge += gap.exp();
        *out = edge;
    }
}

/// Turns derivatives by the edges into derivatives by the logarithms of the gaps.
pub fn by_log_gaps(log_gaps: &[f64], by_edge: &[f64], out: &mut [f64]) {
    let mut beyond = 0.0;
    for ((gap, by_edge), out) in log_gaps.iter().zip(by_edge).zip(out).rev() {
        beyond += by_edge;
        *out = gap.exp() * beyond;
    }
}

/// The logarithms of the gaps between distances, each at least a hundredth so that a search can start from there.
pub fn log_gaps(edges: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut last = 0.0;
    edges
        .map(|edge: f64| {
            let gap = (edge - last).max(0.01);
            last += gap;
            gap.ln()
        })
        .collect()
}
