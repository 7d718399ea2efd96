//! HDDM-A: finds a rise of an error rate within a few errors.
//!
//! Frías-Blanco, I., del Campo-Ávila, J., Ramos-Jiménez, G. et al. (2015), "Online and Non-Parametric Drift Detection
//! Methods Based on Hoeffding's Bounds", IEEE Transactions on Knowledge and Data Engineering 27(3), 810-823: the A-test
//! (moving averages), one-sided.

use serde::{Deserialize, Serialize};

/// ln(1 / 0.001): the detector's confidence, which sets where the cut lies.
const LN_1000: f64 = 6.907_755_278_982_137;
/// ln(2 / 0.001): the same for the test itself.
const LN_2000: f64 = 7.600_902_459_542_082;

/// A detector of rises over a series of failures and successes. A few counters, whatever the history.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Hddm {
    n: u64,
    errors: u64,
    /// The first `cut_n` results are those whose error rate has the lowest upper bound: the level to compare with.
    cut_n: u64,
    cut_errors: u64,
}

/// A rise of an error rate.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rise {
    /// Error rate before.
    pub before: f64,
    /// Error rate after.
    pub after: f64,
    /// 1 less Hoeffding's bound on the chance of so large a difference without a rise.
    pub confidence: f64,
}

impl Hddm {
    /// Takes the next result; `Some` when it shows that failures became more frequent. The detector then starts afresh.
    pub fn update(&mut self, failed: bool) -> Option<Rise> {
        self.n += 1;
        self.errors += u64::from(failed);
        let (n, cut_n) = (self.n as f64, self.cut_n as f64);
        let rate = self.errors as f64 / n;
        let bound = |n: f64| (LN_1000 / (2.0 * n)).sqrt();
        let cut_rate = self.cut_errors as f64 / cut_n;
        if self.cut_n == 0 || cut_rate + bound(cut_n) >= rate + bound(n) {
            (self.cut_n, self.cut_errors) = (self.n, self.errors);
            return None;
        }
        let spread = (n - cut_n) / cut_n / n;
        let difference = rate - cut_rate;
        if difference < (spread / 2.0 * LN_2000).sqrt() {
            return None;
        }
        let since_cut = (self.errors - self.cut_errors) as f64 / (n - cut_n);
        *self = Self::default();
        let chance = 2.0 * (-2.0 * difference * difference / spread).exp();
        Some(Rise { before: cut_rate, after: since_cut, confidence: (1.0 - chance).clamp(0.0, 1.0) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rises(series: impl Iterator<Item = bool>) -> Vec<(usize, Rise)> {
        let mut hddm = Hddm::default();
        series.enumerate().filter_map(|(i, failed)| hddm.update(failed).map(|rise| (i, rise))).collect()
    }

    #[test]
    fn agrees_with_the_reference() {
        let cases: serde_json::Map<String, serde_json::Value> =
            serde_json::from_str(include_str!("../../../tests/fixtures/drift/hddm.json")).unwrap();
        assert!(!cases.is_empty());
        for (name, case) in cases {
            let found = rises(case["values"].as_str().unwrap().bytes().map(|b| b == b'1'));
            let expected: Vec<usize> = serde_json::from_value(case["detections"].clone()).unwrap();
            assert_eq!(found.iter().map(|(i, _)| *i).collect::<Vec<_>>(), expected, "{name}");
        }
    }

    #[test]
    fn a_rise_is_found_within_a_few_errors_and_described() {
        let found = rises((0..530).map(|i| i % 10 == 0 || i >= 500));
        let [(index, rise)] = found[..] else { panic!("one rise, not {found:?}") };
        assert!((500..515).contains(&index), "{index}");
        assert!((rise.before - 0.1).abs() < 0.02 && rise.after > 0.9 && rise.confidence > 0.998, "{rise:?}");
    }

    #[test]
    fn a_fall_is_none() {
        assert!(rises((0..2000).map(|i| i < 1000 && i % 2 == 0)).is_empty());
    }
}
