//! The type-2 ROC curve of a window.

use super::Calibration;

/// One point of the type-2 ROC curve: the claims at least as sure as some confidence.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RocPoint {
    /// The confidence; above 1 for the curve's beginning, where no claim is.
    pub confidence: f64,
    /// The share of wrong claims among them: false alarms.
    pub false_alarms: f64,
    /// The share of right claims among them: hits.
    pub hits: f64,
}

impl Calibration {
    /// The curve from (0, 0) to (1, 1), with a point for each distinct confidence; empty with one outcome. O(distinct
    /// confidences).
    pub fn roc(&self) -> Vec<RocPoint> {
        let mut levels: Vec<(f64, [u16; 2])> = Vec::new();
        if let Some(state) = self.0.as_deref() {
            state.window.ranks().for_each(&mut |confidence, counts| levels.push((confidence, counts)));
        }
        points(&levels)
    }
}

fn points(levels: &[(f64, [u16; 2])]) -> Vec<RocPoint> {
    let total = |outcome: usize| levels.iter().map(|(_, counts)| u64::from(counts[outcome])).sum::<u64>();
    let (wrong, right) = (total(0), total(1));
    if wrong == 0 || right == 0 {
        return Vec::new();
    }
    let mut points = vec![RocPoint { confidence: f64::INFINITY, false_alarms: 0.0, hits: 0.0 }];
    let (mut wrongs, mut rights) = (0, 0);
    for &(confidence, counts) in levels.iter().rev() {
        wrongs += u64::from(counts[0]);
        rights += u64::from(counts[1]);
        let (false_alarms, hits) = (wrongs as f64 / wrong as f64, rights as f64 / right as f64);
        points.push(RocPoint { confidence, false_alarms, hits });
    }
    points
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::analyze::calibration::Config;
    use crate::domain::{ClaimKey, Probability, Timestamp};

    proptest! {
        #[test]
        fn the_area_under_the_curve_is_the_auroc(claims in prop::collection::vec((0..20u32, any::<bool>()), 1..200)) {
            let config = Config { minimum: 2, ..Config::default() };
            let mut calibration = Calibration::default();
            for (key, (level, correct)) in (0..).zip(claims) {
                let confidence = Probability::new(f64::from(level) / 20.0).unwrap();
                calibration.claim(Timestamp::EPOCH, ClaimKey::from_u64(key), confidence, Some(correct), None, &config);
            }
            let roc = calibration.roc();
            let area: f64 = roc.windows(2).map(|w| (w[1].false_alarms - w[0].false_alarms) * (w[0].hits + w[1].hits) / 2.0).sum();
            match calibration.levels(&config).auroc2 {
                Some(auroc2) => prop_assert!((area - auroc2).abs() < 1e-9, "{area} {auroc2}"),
                None => prop_assert!(roc.is_empty() || roc.len() <= 2),
            }
        }
    }
}
