//! The figures of a window: what the sums tell, in the same time whatever the window's size.

use super::ranks::Pairs;
use super::sums::{Bin, Sums};
use super::{Config, Sensitivity, Window};

/// z of a two-sided interval of 95 %, for what is shown.
pub(super) const Z_95: f64 = 1.959_963_984_540_054;

/// z of a two-sided interval of 99 %, for what insights rest on: they are judged again and again, beat by beat.
pub(super) const Z_99: f64 = 2.575_829_303_548_900_4;

/// A figure and its interval of confidence.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimate {
    /// The figure.
    pub value: f64,
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

/// Brier score by parts, over the ten bins of confidence.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Decomposition {
    /// Reliability, Σ n(p̄ − ȳ)²/N over bins (Murphy 1973): lower is better.
    pub reliability: f64,
    /// Resolution, Σ n(ȳₖ − ȳ)²/N: how far the bins' outcomes differ; higher is better.
    pub resolution: f64,
    /// Uncertainty, ȳ(1 − ȳ): of the tasks, not of the agent.
    pub uncertainty: f64,
    /// Variance of the confidences within bins (Stephenson, Coelho & Jolliffe 2008).
    pub within_bin_variance: f64,
    /// Twice their covariance with the outcomes.
    pub within_bin_covariance: f64,
}

impl Decomposition {
    /// Resolution that counts what happens within bins: resolution − variance + covariance. With it, reliability −
    /// resolution + uncertainty is the Brier score exactly.
    pub fn generalised_resolution(&self) -> f64 {
        self.resolution - self.within_bin_variance + self.within_bin_covariance
    }
}

/// Figures of an agent's calibration. What cannot be told yet is absent.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Figures {
    /// Resolved claims in the window.
    pub n: usize,
    /// Brier score, mean (p − y)², with its 95 % interval (normal approximation).
    pub brier: Option<Estimate>,
    /// Expected calibration error: mean over ten equal bins of |p̄ − ȳ|, weighted by their claims.
    pub ece: Option<f64>,
    /// Maximum calibration error: the largest of these.
    pub mce: Option<f64>,
    /// Mean p − mean y, positive when overconfident, with its 95 % interval: mean p less Wilson's interval of the
    /// accuracy. Given the confidences that is never too narrow, also where every claim was right.
    pub bias: Option<Estimate>,
    /// Type-2 AUROC: P(p of a right claim > p of a wrong one) + ½ P(equal). Its 95 % interval is the score interval on
    /// Hanley & McNeil's variance (Newcombe 2006, Statistics in Medicine 25:559, method 5). Absent with one outcome.
    pub auroc2: Option<Estimate>,
    /// Slope of Yates (1982): mean p of right claims − mean p of wrong ones. Absent with one outcome.
    pub slope: Option<f64>,
    /// Murphy's and Stephenson's parts of the Brier score.
    pub decomposition: Option<Decomposition>,
    /// d′, meta-d′ and what follows, as of the last fit.
    pub sensitivity: Option<Sensitivity>,
}

impl Figures {
    /// The figures of a window, as far as it holds enough claims.
    pub(super) fn of(window: &Window, sensitivity: Option<Sensitivity>, config: &Config) -> Self {
        let n = window.len();
        let sensitivity = sensitivity.filter(|_| n >= config.sensitivity_minimum);
        if n == 0 || n < config.minimum {
            return Self { n, sensitivity, ..Self::default() };
        }
        let (sums, all) = (window.sums(), window.sums().all());
        let gaps = || sums.bins().map(|bin| (bin.confidence() - bin.right()).abs());
        Self {
            n,
            brier: Some(brier(sums, &all)),
            ece: Some(ece(sums, &all)),
            mce: Some(sums.bins().zip(gaps()).map(|(bin, gap)| gap / bin.claims()).fold(0.0, f64::max)),
            bias: Some(bias(&all, Z_95)),
            auroc2: auroc2(&all, window.ranks().pairs(), Z_95),
            slope: slope(&all),
            decomposition: Some(decomposition(sums, &all)),
            sensitivity,
        }
    }
}

/// The figures that every beat shows, without what is dear about them: their intervals and parts.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Levels {
    /// See [`Figures::n`].
    pub n: usize,
    /// See [`Figures::brier`].
    pub brier: Option<f64>,
    /// See [`Figures::ece`].
    pub ece: Option<f64>,
    /// See [`Figures::bias`].
    pub bias: Option<f64>,
    /// See [`Figures::auroc2`].
    pub auroc2: Option<f64>,
    /// See [`Figures::sensitivity`].
    pub sensitivity: Option<Sensitivity>,
}

impl Levels {
    /// The levels of a window, as far as it holds enough claims.
    pub(super) fn of(window: &Window, sensitivity: Option<Sensitivity>, config: &Config) -> Self {
        let n = window.len();
        let sensitivity = sensitivity.filter(|_| n >= config.sensitivity_minimum);
        if n == 0 || n < config.minimum {
            return Self { n, sensitivity, ..Self::default() };
        }
        let (sums, all) = (window.sums(), window.sums().all());
        Self {
            n,
            brier: Some(brier_score(&all)),
            ece: Some(ece(sums, &all)),
            bias: Some((all.confidence() - all.right()) / all.claims()),
            auroc2: area(window.ranks().pairs()),
            sensitivity,
        }
    }
}

pub(super) fn ece(sums: &Sums, all: &Bin) -> f64 {
    sums.bins().map(|bin| (bin.confidence() - bin.right()).abs()).sum::<f64>() / all.claims()
}

pub(super) fn brier_score(all: &Bin) -> f64 {
    ((all.squares() - 2.0 * all.confidence_of_right() + all.right()) / all.claims()).clamp(0.0, 1.0)
}

/// Type-2 AUROC; `None` with one outcome.
pub(super) fn area(pairs: Pairs) -> Option<f64> {
    (pairs.all > 0).then(|| (pairs.concordant as f64 + 0.5 * pairs.tied as f64) / pairs.all as f64)
}

fn wrong(all: &Bin) -> f64 {
    all.claims() - all.right()
}

fn brier(sums: &Sums, all: &Bin) -> Estimate {
    let n = all.claims();
    let value = brier_score(all);
    let variance = (sums.fourth() / n - value * value).max(0.0) / (n - 1.0).max(1.0);
    let half = Z_95 * variance.sqrt();
    Estimate { value, low: (value - half).max(0.0), high: (value + half).min(1.0) }
}

/// Bias, with an interval of `z`.
pub(super) fn bias(all: &Bin, z: f64) -> Estimate {
    let (n, confidence, accuracy) = (all.claims(), all.confidence() / all.claims(), all.right() / all.claims());
    let centre = (accuracy + z * z / (2.0 * n)) / (1.0 + z * z / n);
    let half = z / (1.0 + z * z / n) * (accuracy * (1.0 - accuracy) / n + z * z / (4.0 * n * n)).sqrt();
    Estimate { value: confidence - accuracy, low: confidence - (centre + half), high: confidence - (centre - half) }
}

/// Type-2 AUROC, with an interval of `z`.
pub(super) fn auroc2(all: &Bin, pairs: Pairs, z: f64) -> Option<Estimate> {
    let value = area(pairs)?;
    let (right, wrong) = (all.right(), wrong(all));
    let extra = 0.5 * (right + wrong) - 1.0;
    let variance = |area: f64| {
        let spread = 1.0 + extra * ((1.0 - area) / (2.0 - area) + area / (1.0 + area));
        area * (1.0 - area) * spread / (right * wrong)
    };
    // The ends are the areas for which the value lies just z standard deviations off. Thirty halvings: to 1e-9.
    let end = |mut inside: f64, mut outside: f64| {
        for _ in 0..30 {
            let middle = 0.5 * (inside + outside);
            let held = (value - middle).powi(2) <= z * z * variance(middle);
            *(if held { &mut inside } else { &mut outside }) = middle;
        }
        inside
    };
    Some(Estimate { value, low: end(value, 0.0), high: end(value, 1.0) })
}

fn slope(all: &Bin) -> Option<f64> {
    let (right, wrong) = (all.right(), wrong(all));
    let of_wrong = all.confidence() - all.confidence_of_right();
    (right > 0.0 && wrong > 0.0).then(|| all.confidence_of_right() / right - of_wrong / wrong)
}

fn decomposition(sums: &Sums, all: &Bin) -> Decomposition {
    let (n, accuracy) = (all.claims(), all.right() / all.claims());
    let mut parts = Decomposition {
        reliability: 0.0,
        resolution: 0.0,
        uncertainty: accuracy * (1.0 - accuracy),
        within_bin_variance: 0.0,
        within_bin_covariance: 0.0,
    };
    for bin in sums.bins() {
        let (p, y) = (bin.confidence() / bin.claims(), bin.right() / bin.claims());
        parts.reliability += bin.claims() / n * (p - y).powi(2);
        parts.resolution += bin.claims() / n * (y - accuracy).powi(2);
        parts.within_bin_variance += (bin.squares() - p * bin.confidence()).max(0.0) / n;
        parts.within_bin_covariance += 2.0 * (bin.confidence_of_right() - p * bin.right()) / n;
    }
    parts
}
