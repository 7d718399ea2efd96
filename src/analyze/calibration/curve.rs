//! What a reliability diagram and a type-2 ROC are drawn from.

use super::Calibration;
use super::sums::{BINS, Bin};

/// The claims of one bin of confidence.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Tally {
    /// How many.
    pub claims: u32,
    /// How many of them were right.
    pub right: u32,
    /// Mean confidence; 0 where there are none.
    pub confidence: f64,
}

/// The window's claims by bins of confidence of equal width, from the least sure to the surest.
pub type Curve = [Tally; BINS];

impl Calibration {
    /// The claims of the window by bins of confidence; `None` where there are none. O(bins).
    pub fn curve(&self) -> Option<Curve> {
        let state = self.0.as_deref().filter(|state| state.window.len() > 0)?;
        Some(state.window.sums().every_bin().map(Tally::of))
    }
}

impl Tally {
    fn of(bin: Bin) -> Self {
        // Counts of claims come back whole from their form as measures.
        let (claims, right) = (bin.claims() as u32, bin.right() as u32);
        Self { claims, right, confidence: if claims == 0 { 0.0 } else { bin.confidence() / bin.claims() } }
    }
}

#[cfg(test)]
mod tests {
    use crate::analyze::calibration::{Calibration, Config};
    use crate::domain::{ClaimKey, Probability, Timestamp};

    #[test]
    fn claims_are_counted_where_their_confidence_is_and_slide_out() {
        let config = Config { window: 5, ..Config::default() };
        let mut calibration = Calibration::default();
        assert_eq!(calibration.curve(), None);
        for (claim, confidence, correct) in [(1, 0.0, true), (2, 0.91, true), (3, 0.95, false), (4, 1.0, true)] {
            let confidence = Probability::new(confidence).unwrap();
            calibration.claim(Timestamp::EPOCH, ClaimKey::from_u64(claim), confidence, Some(correct), None, &config);
        }
        let curve = calibration.curve().unwrap();
        assert_eq!((curve[0].claims, curve[0].right, curve[0].confidence), (1, 1, 0.0));
        assert_eq!((curve[9].claims, curve[9].right), (3, 2));
        assert!((curve[9].confidence - 2.86 / 3.0).abs() < 1e-9);
        assert!(curve[1..9].iter().all(|tally| tally.claims == 0 && tally.confidence == 0.0));
        for claim in 5..=6 {
            let confidence = Probability::new(0.5).unwrap();
            calibration.claim(Timestamp::EPOCH, ClaimKey::from_u64(claim), confidence, Some(true), None, &config);
        }
        let curve = calibration.curve().unwrap();
        assert_eq!((curve[0].claims, curve[5].claims, curve[9].claims), (0, 2, 3));
    }
}
