//! Metacognitive sensitivity: meta-d′ (Maniscalco & Lau 2012, Consciousness and Cognition 21:422).
//!
//! A claim with confidence p is a forecast: "will succeed" where p ≥ 0.5, else "will fail", the surer the farther from
//! the middle. d′ tells how well forecasts separate what succeeds from what fails; meta-d′ is the d′ that an ideal
//! observer with the same criterion would need to produce the ratings seen. M-ratio = meta-d′ / d′ is 1 when all that
//! the agent knows shows in its confidence, below 1 when confidence is noisier than the forecasts themselves.
//!
//! - [`fit`]: maximum likelihood. Needs counts above some 50; M-ratio is unstable near d′ = 0.
//! - [`fit_regularised`]: maximum a posteriori under the priors of HMeta-d's single-subject model, for small samples.
//!
//! Every function is total: counts from which nothing follows give `None`, never a NaN.

mod bfgs;
mod model;
mod normal;
mod regularised;
#[cfg(test)]
mod tests;

pub use normal::{cdf as normal_cdf, quantile as normal_quantile};
pub use regularised::fit_regularised;

use model::{Table, by_log_gaps, edges, log_gaps};

/// Ratings per response that claims map onto: eight bins of confidence, four on either side of 0.5.
pub const RATINGS: usize = 4;

/// What is added to each cell of claims' counts before [`fit`]: 1 / (2 · [`RATINGS`]) (Hautus 1995, generalised).
pub const PADDING: f64 = 1.0 / (2.0 * RATINGS as f64);

/// |d′| below which there is no M-ratio: its standard error is about that of meta-d′ over d′, so with meta-d′ known to
/// some 0.2 (several hundred claims) the ratio would be known to no better than 2.
pub const SMALLEST_D: f64 = 0.1;

/// Most ratings per response that a fit takes.
pub const MAX_RATINGS: usize = 16;

/// Claims counted by outcome and bin of confidence, `floor(8p)` (7 at most): "will fail, sure" to "will succeed, sure".
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct Counts {
    /// Claims that turned out wrong (`nR_S1`).
    pub failed: [u32; 2 * RATINGS],
    /// Claims that turned out right (`nR_S2`).
    pub succeeded: [u32; 2 * RATINGS],
}

impl Counts {
    /// The bin of a confidence from 0 to 1.
    pub fn bin(confidence: f64) -> usize {
        ((confidence * (2 * RATINGS) as f64) as usize).min(2 * RATINGS - 1)
    }

    /// All claims counted.
    pub fn total(&self) -> u64 {
        self.failed.iter().chain(&self.succeeded).map(|&count| u64::from(count)).sum()
    }

    /// Whether there are both outcomes and both forecasts. Without them d′ would be made of padding alone.
    pub fn informative(&self) -> bool {
        let some = |counts: &[u32]| counts.iter().any(|&count| count > 0);
        let response = |range: std::ops::Range<usize>| {
            self.failed.get(range.clone()).is_some_and(some) || self.succeeded.get(range).is_some_and(some)
        };
        some(&self.failed) && some(&self.succeeded) && response(0..RATINGS) && response(RATINGS..2 * RATINGS)
    }

    /// d′ and c of the padded counts; `None` unless [`Self::informative`].
    pub fn type_one(&self) -> Option<TypeOne> {
        let [failed, succeeded] = self.padded()?;
        type_one(&failed, &succeeded)
    }

    /// Maximum likelihood on the padded counts; `None` unless [`Self::informative`].
    pub fn fit(&self) -> Option<Fit> {
        let [failed, succeeded] = self.padded()?;
        fit(&failed, &succeeded)
    }

    /// The regularised fit, on the counts as they are: the priors do what padding does; `None` unless
    /// [`Self::informative`].
    pub fn fit_regularised(&self) -> Option<Fit> {
        if self.informative() {
            fit_regularised(&self.failed.map(f64::from), &self.succeeded.map(f64::from))
        } else {
            None
        }
    }

    fn padded(&self) -> Option<[[f64; 2 * RATINGS]; 2]> {
        let pad = |counts: [u32; 2 * RATINGS]| counts.map(|count| f64::from(count) + PADDING);
        self.informative().then(|| [pad(self.failed), pad(self.succeeded)])
    }
}

/// Type-1 sensitivity and criterion.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TypeOne {
    /// d′ = z(H) − z(FA): how well forecasts separate success from failure, in standard deviations.
    pub d: f64,
    /// c = −(z(H) + z(FA)) / 2: positive when "will succeed" is said with reluctance.
    pub c: f64,
}

/// A fit of meta-d′.
#[derive(Debug, Clone, PartialEq)]
pub struct Fit {
    /// d′ (see [`TypeOne`]; in a regularised fit its estimate under the priors).
    pub d: f64,
    /// Criterion c, likewise.
    pub c: f64,
    /// meta-d′.
    pub meta_d: f64,
    /// Type-2 criteria in order, from "will fail, sure" up; the type-1 criterion between the halves is not among them.
    pub criteria: Vec<f64>,
    /// Log-likelihood of the ratings given the responses, at the fit.
    pub log_likelihood: f64,
}

impl Fit {
    /// M-ratio = meta-d′ / d′; absent where |d′| is below [`SMALLEST_D`].
    pub fn m_ratio(&self) -> Option<f64> {
        ratio(self.meta_d, self.d)
    }

    /// M-difference = meta-d′ − d′.
    pub fn m_diff(&self) -> f64 {
        self.meta_d - self.d
    }
}

/// M-ratio; absent where |d′| is below [`SMALLEST_D`].
pub(super) fn ratio(meta_d: f64, d: f64) -> Option<f64> {
    (d.abs() >= SMALLEST_D).then(|| meta_d / d).filter(|ratio| ratio.is_finite())
}

/// Both of the same even length, 2 to [`MAX_RATINGS`] ratings per response, finite, not negative, none empty.
fn well_formed(failed: &[f64], succeeded: &[f64]) -> bool {
    let sound = |counts: &[f64]| {
        counts.iter().all(|count| count.is_finite() && (0.0..1e15).contains(count)) && counts.iter().sum::<f64>() > 0.0
    };
    let length = failed.len();
    length == succeeded.len()
        && length.is_multiple_of(2)
        && (4..=2 * MAX_RATINGS).contains(&length)
        && sound(failed)
        && sound(succeeded)
}

/// The share of counts in the upper part, from `from` on.
fn upper_rate(counts: &[f64], from: usize) -> f64 {
    counts.iter().skip(from).sum::<f64>() / counts.iter().sum::<f64>()
}

/// z(hit rate) and z(false alarm rate) for the criterion before bin `from`.
fn rates(failed: &[f64], succeeded: &[f64], from: usize) -> Option<(f64, f64)> {
    Some((normal::quantile(upper_rate(succeeded, from))?, normal::quantile(upper_rate(failed, from))?))
}

/// d′ and c of (padded) counts per outcome, each from "will fail, sure" to "will succeed, sure".
///
/// `None` for counts that are malformed, or where a rate is 0 or 1 so that d′ would be infinite.
pub fn type_one(failed: &[f64], succeeded: &[f64]) -> Option<TypeOne> {
    if !well_formed(failed, succeeded) {
        return None;
    }
    let (hit, alarm) = rates(failed, succeeded, failed.len() / 2)?;
    Some(TypeOne { d: hit - alarm, c: -0.5 * (hit + alarm) })
}

/// Maximum-likelihood fit of meta-d′ to (padded) counts per outcome, each from "will fail, sure" to "will succeed,
/// sure" (`nR_S1` and `nR_S2` of the literature), with 2 to [`MAX_RATINGS`] ratings per response.
///
/// Maximises Σ n·ln(P(rating | response, outcome)) over meta-d′ and the ordered type-2 criteria; means are ±meta-d′/2,
/// the variance is 1, and the type-1 criterion is held at meta-d′·c/d′. The logarithms of the gaps between criteria are
/// the parameters, so that the search (BFGS with exact derivatives) is free of constraints.
///
/// `None` where [`type_one`] is, where d′ is 0 to rounding, and where no maximum is found from d′ on, which happens
/// where d′ is so near 0 that the criterion meta-d′·c/d′ means nothing.
pub fn fit(failed: &[f64], succeeded: &[f64]) -> Option<Fit> {
    let TypeOne { d, c } = type_one(failed, succeeded)?;
    if d.abs() < 1e-9 {
        return None;
    }
    let (relative, gaps) = (c / d, failed.len() / 2 - 1);
    let table = Table::new(failed, succeeded);
    let means = |meta_d: f64| (-meta_d * (0.5 + relative), meta_d * (0.5 - relative));
    let total: f64 = failed.iter().chain(succeeded).sum();

    let (mut low, mut high) = (vec![0.0; gaps], vec![0.0; gaps]);
    let (mut by_low, mut by_high) = (vec![0.0; gaps], vec![0.0; gaps]);
    let start = start(failed, succeeded, d, c);
    let negative = |x: &[f64], gradient: &mut [f64]| {
        let (Some((&meta_d, logs)), Some((by_meta_d, by_logs))) = (x.split_first(), gradient.split_first_mut()) else {
            return f64::NAN;
        };
        let (low_logs, high_logs) = logs.split_at(gaps);
        edges(low_logs, &mut low);
        edges(high_logs, &mut high);
        by_low.fill(0.0);
        by_high.fill(0.0);
        let (value, by_failed, by_succeeded) =
            table.log_likelihood(means(meta_d), (&low, &high), (&mut by_low, &mut by_high));
        *by_meta_d = by_failed * (0.5 + relative) - by_succeeded * (0.5 - relative);
        let (by_low_logs, by_high_logs) = by_logs.split_at_mut(gaps);
        by_log_gaps(low_logs, &by_low, by_low_logs);
        by_log_gaps(high_logs, &by_high, by_high_logs);
        by_logs.iter_mut().for_each(|by| *by = -*by);
        -value
    };
    let found = bfgs::minimise(start, 1e-9 * total.max(1.0), negative)?;

    let (&meta_d, logs) = found.at.split_first()?;
    edges(logs.get(..gaps)?, &mut low);
    edges(logs.get(gaps..)?, &mut high);
    let criteria = absolute(meta_d * relative, &low, &high);
    let fit = Fit { d, c, meta_d, criteria, log_likelihood: -found.value };
    (meta_d.is_finite() && fit.criteria.iter().all(|t| t.is_finite())).then_some(fit)
}

/// Type-2 criteria in order, from their distances to the type-1 criterion.
fn absolute(criterion: f64, low: &[f64], high: &[f64]) -> Vec<f64> {
    low.iter().rev().map(|edge| criterion - edge).chain(high.iter().map(|edge| criterion + edge)).collect()
}

/// Where the search starts: meta-d′ = d′, and each criterion where it would lie if its rating were a response.
fn start(failed: &[f64], succeeded: &[f64], d: f64, c: f64) -> Vec<f64> {
    let ratings = failed.len() / 2;
    // Half a count in each cell keeps the rates inside 0 and 1; it shifts the start, not the result.
    let smooth = |counts: &[f64]| -> Vec<f64> { counts.iter().map(|count| count + 0.5).collect() };
    let (failed, succeeded) = (smooth(failed), smooth(succeeded));
    let criterion = |from: usize| rates(&failed, &succeeded, from).map_or(c, |(hit, alarm)| -0.5 * (hit + alarm));
    let low = log_gaps((1..ratings).rev().map(|from| c - criterion(from)));
    let high = log_gaps((ratings + 1..2 * ratings).map(|from| criterion(from) - c));
    [vec![d], low, high].concat()
}
