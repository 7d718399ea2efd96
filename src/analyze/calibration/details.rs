//! The dearer figures, for a report: they walk the whole window.

use super::smooth::smooth_ece;
use super::sums::BINS;
use super::{Config, Window};

/// Figures that cost time in proportion to the window (and smooth ECE some milliseconds).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Details {
    /// ECE over ten bins of equally many claims; claims with equal confidence that straddle a border are shared out
    /// evenly, so that their order does not matter.
    pub adaptive_ece: f64,
    /// Smooth ECE (Błasiok & Nakkiran 2023), with its own choice of bandwidth.
    pub smooth_ece: f64,
    /// Murphy's reliability over the distinct confidences, without bins.
    pub reliability: f64,
    /// Murphy's resolution, likewise: reliability − resolution + ȳ(1 − ȳ) is the Brier score.
    pub resolution: f64,
    /// Scatter of Yates (1982): variance of the confidences among right and among wrong claims, pooled.
    pub scatter: f64,
}

/// All claims of one confidence.
#[derive(Clone, Copy, Debug)]
pub(super) struct Group {
    pub confidence: f64,
    pub claims: f64,
    pub right: f64,
}

impl Details {
    /// The details of a window; absent below the minimum sample.
    pub(super) fn of(window: &Window, config: &Config) -> Option<Self> {
        if window.len() == 0 || window.len() < config.minimum {
            return None;
        }
        let mut groups = Vec::new();
        window.ranks().for_each(&mut |confidence, [wrong, right]| {
            groups.push(Group { confidence, claims: f64::from(wrong) + f64::from(right), right: f64::from(right) });
        });
        let n = window.len() as f64;
        let accuracy = groups.iter().map(|group| group.right).sum::<f64>() / n;
        let mean = |term: &dyn Fn(&Group) -> f64| groups.iter().map(|g| g.claims * term(g)).sum::<f64>() / n;
        Some(Self {
            adaptive_ece: adaptive_ece(&groups, window.len()),
            smooth_ece: smooth_ece(&groups),
            reliability: mean(&|g| (g.confidence - g.right / g.claims).powi(2)),
            resolution: mean(&|g| (g.right / g.claims - accuracy).powi(2)),
            scatter: (spread(&groups, |g| g.right) + spread(&groups, |g| g.claims - g.right)) / n,
        })
    }
}

/// Σ w(p − p̄)².
fn spread(groups: &[Group], weight: impl Fn(&Group) -> f64) -> f64 {
    let total: f64 = groups.iter().map(&weight).sum();
    if total == 0.0 {
        return 0.0;
    }
    let mean = groups.iter().map(|g| weight(g) * g.confidence).sum::<f64>() / total;
    groups.iter().map(|g| weight(g) * (g.confidence - mean).powi(2)).sum()
}

fn adaptive_ece(groups: &[Group], n: usize) -> f64 {
    let mut groups = groups.iter().copied();
    let mut group = groups.next();
    let mut sum = 0.0;
    for bin in 0..BINS {
        // The first bins take one claim more where the claims do not divide evenly.
        let mut room = (n / BINS + usize::from(bin < n % BINS)) as f64;
        let mut gap = 0.0;
        while let Some(g) = group.as_mut().filter(|_| room > 0.0) {
            let taken = g.claims.min(room);
            let right = g.right * (taken / g.claims);
            gap += taken * g.confidence - right;
            room -= taken;
            g.claims -= taken;
            g.right -= right;
            if g.claims <= 0.0 {
                group = groups.next();
            }
        }
        sum += gap.abs();
    }
    sum / n as f64
}
