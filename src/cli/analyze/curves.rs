//! What the charts of an agent's calibration are drawn from.

use crate::analyze::calibration::{Calibration, RocPoint, Tally};

/// One bin of the reliability diagram.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Reliability {
    /// Number of the bin, 0 to 9; it holds the confidences from a tenth of that on.
    pub bin: usize,
    /// Claims in it.
    pub claims: u32,
    /// Their mean confidence.
    pub confidence: f64,
    /// The share of them that was right.
    pub right: f64,
    /// Lower end of that share's 95 % interval (Wilson).
    pub low: f64,
    /// Its upper end.
    pub high: f64,
}

/// The charts of an agent.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Curves {
    /// The bins that hold a claim, in order.
    pub reliability: Vec<Reliability>,
    /// The type-2 ROC curve; empty with one outcome.
    pub roc: Vec<RocPoint>,
}

impl Curves {
    /// The charts of the last claims; `None` where there are none.
    pub fn of(calibration: &Calibration) -> Option<Self> {
        let bins = calibration.curve()?.into_iter().enumerate().filter(|(_, tally)| tally.claims > 0);
        Some(Self { reliability: bins.map(Reliability::of).collect(), roc: calibration.roc() })
    }
}

impl Reliability {
    fn of((bin, tally): (usize, Tally)) -> Self {
        let Tally { claims, right, confidence } = tally;
        let n = f64::from(claims);
        let right = f64::from(right) / n;
        let (low, high) = wilson(right, n);
        Self { bin, claims, confidence, right, low, high }
    }
}

/// Wilson's interval of a share.
fn wilson(share: f64, n: f64) -> (f64, f64) {
    let z = 1.959_963_984_540_054;
    let centre = (share + z * z / (2.0 * n)) / (1.0 + z * z / n);
    let half = z / (1.0 + z * z / n) * (share * (1.0 - share) / n + z * z / (4.0 * n * n)).sqrt();
    ((centre - half).max(0.0), (centre + half).min(1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_have_wilsons_interval() {
        // Newcombe 1998, Statistics in Medicine 17:857, method 3: 81 of 263.
        let bin = Reliability::of((3, Tally { claims: 263, right: 81, confidence: 0.35 }));
        assert!((bin.low - 0.2553).abs() < 5e-5 && (bin.high - 0.3662).abs() < 5e-5, "{bin:?}");
        let all = Reliability::of((9, Tally { claims: 4, right: 4, confidence: 1.0 }));
        assert!(all.low < 0.6 && (all.right - 1.0).abs() < 1e-12 && all.high <= 1.0);
    }
}
