//! DDSketch: quantiles of a stream at a bounded relative error, in little memory, mergeable.
//!
//! Masson, C., Rim, J. E. and Lee, H. K. (2019), "DDSketch: A Fast and Fully-Mergeable Quantile Sketch with
//! Relative-Error Guarantees", PVLDB 12(12), 2195-2205: logarithmic bins, the lowest collapsed when they become too many.
//!
//! Why not the crate `sketches-ddsketch`: an empty sketch of it does not read back from JSON (its extremes are infinite),
//! it knows no equality, and every one of three sketches an agent would take up to 32 KiB.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::counts::Counts;

/// Relative error of a quantile, at most.
pub const ALPHA: f64 = 0.01;
/// ln((1 + alpha) / (1 - alpha)): width of a bin.
const LN_GAMMA: f64 = 0.020_000_666_706_669_435;
/// Bins kept: those of the largest values, over a range of 8e8.
const MAX_BINS: usize = 1024;
/// Values up to this count as zero.
const SMALLEST: f64 = 1e-9;

/// Counts of values in bins whose borders grow by 2 % each. A byte a bin from the smallest to the largest value seen, as
/// long as no bin holds more than 255 values: 350 bytes for durations over three magnitudes, 4 KiB at most.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(remote = "Self")]
pub struct Sketch {
    /// Key of the first bin; 0 while there is none.
    first: i32,
    /// From the first to the last bin in use; neither of the two is empty.
    bins: Counts,
    /// Values too small for a bin.
    zeros: u32,
    /// All values, so far as their counts are not saturated.
    #[serde(skip)]
    count: u64,
}

impl Serialize for Sketch {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Self::serialize(self, serializer)
    }
}

impl<'de> Deserialize<'de> for Sketch {
    /// Refuses bins outside the range that values can reach.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut sketch = Self::deserialize(deserializer)?;
        sketch.count = u64::from(sketch.zeros) + sketch.bins.iter().map(u64::from).sum::<u64>();
        let sound = sketch.bins.len() <= MAX_BINS && sketch.first.unsigned_abs() < 1 << 20;
        if sound { Ok(sketch) } else { Err(serde::de::Error::custom("the sketch has too many bins")) }
    }
}

/// Where a value is counted.
#[derive(Debug, Clone, Copy)]
pub(super) enum Place {
    Zero,
    Bin(i32),
}

impl Place {
    pub(super) fn of(value: f64) -> Option<Self> {
        let counts = value.is_finite() && value >= 0.0;
        let bin = || Self::Bin((value.ln() / LN_GAMMA).floor() as i32);
        counts.then(|| if value > SMALLEST { bin() } else { Self::Zero })
    }
}

impl Sketch {
    /// Takes a value; one that is not finite or is negative is passed over.
    pub fn add(&mut self, value: f64) {
        if let Some(place) = Place::of(value) {
            self.count_at(place);
        }
    }

    /// Takes a value by its place, which is the same in all sketches.
    pub(super) fn count_at(&mut self, place: Place) {
        self.count += match place {
            Place::Zero if self.zeros == u32::MAX => 0,
            Place::Zero => {
                self.zeros += 1;
                1
            }
            Place::Bin(key) => {
                let bin = self.bin(key);
                u64::from(self.bins.add(bin, 1))
            }
        };
    }

    /// See [`crate::analyze::ahead`].
    pub(super) fn ahead(&self, place: Place) {
        if let Place::Bin(key) = place {
            self.bins.ahead(key.wrapping_sub(self.first) as usize);
        }
    }

    /// The same for all bins.
    pub(super) fn ahead_of_quantiles(&self) {
        self.bins.ahead_of_all();
    }

    /// Takes all values of another sketch.
    pub fn merge(&mut self, other: &Self) {
        self.zeros = self.zeros.saturating_add(other.zeros);
        self.count += other.count;
        for (key, added) in (other.first..).zip(other.bins.iter()).filter(|&(_, added)| added > 0) {
            let bin = self.bin(key);
            self.bins.add(bin, added);
        }
    }

    /// Forgets all values, and keeps the memory for the next ones.
    pub fn clear(&mut self) {
        self.bins.clear();
        (self.first, self.zeros, self.count) = (0, 0, 0);
    }

    /// Number of values.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The value at rank floor(q (n - 1)), within [`ALPHA`]; `None` while there are no values. `q` is from 0 to 1.
    pub fn quantile(&self, q: f64) -> Option<f64> {
        self.quantiles([q]).map(|[value]| value)
    }

    /// The same for several `qs`, which ascend, in one pass.
    pub fn quantiles<const N: usize>(&self, qs: [f64; N]) -> Option<[f64; N]> {
        let last = self.count().checked_sub(1)?;
        let zeros = u64::from(self.zeros);
        let ranks = qs.map(|q| (q * last as f64) as u64);
        let places = self.bins.ranks(ranks.map(|rank| rank.saturating_sub(zeros)));
        let value = |place| (f64::from(self.first + place as i32) * LN_GAMMA).exp() * (1.0 + ALPHA);
        let mut values = places.map(value);
        values.iter_mut().zip(ranks).filter(|(_, rank)| *rank < zeros).for_each(|(value, _)| *value = 0.0);
        Some(values)
    }

    /// Index of the bin for a key, made if need be.
    fn bin(&mut self, key: i32) -> usize {
        let len = self.bins.len() as i32;
        if len == 0 {
            self.first = key;
            self.bins.extend(1);
            0
        } else if key < self.first {
            let lowest = key.max(self.first + len - MAX_BINS as i32);
            self.bins.put_before((self.first - lowest) as usize);
            self.first = lowest;
            0
        } else {
            if key >= self.first + len {
                self.extend_to(key);
            }
            (key - self.first) as usize
        }
    }

    /// Appends bins up to a key, and collapses the lowest into one where there are then too many.
    fn extend_to(&mut self, key: i32) {
        let lowest = key - (MAX_BINS as i32 - 1);
        if lowest > self.first {
            let gone = ((lowest - self.first) as usize).min(self.bins.len());
            let collapsed = self.bins.drop_first(gone);
            self.bins.extend(self.bins.len().max(1));
            self.bins.add(0, collapsed);
            self.first = lowest;
        }
        self.bins.extend((key - self.first) as usize + 1);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sketch(values: &[f64]) -> Sketch {
        let mut sketch = Sketch::default();
        values.iter().for_each(|&value| sketch.add(value));
        sketch
    }

    fn exact(values: &[f64], q: f64) -> f64 {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        sorted[(q * (sorted.len() - 1) as f64) as usize]
    }

    #[test]
    fn agrees_with_the_reference() {
        let text = include_str!("../../../tests/fixtures/latency/latency_ms.csv");
        let values: Vec<f64> = text.lines().map(|line| line.parse().unwrap()).collect();
        let reference: serde_json::Value =
            serde_json::from_str(include_str!("../../../tests/fixtures/latency/quantiles.json")).unwrap();
        let column = |name: &str| serde_json::from_value::<Vec<f64>>(reference[name].clone()).unwrap();
        let sketch = sketch(&values);
        assert_eq!(sketch.count(), 5000);
        for ((q, lower), expected) in column("q").into_iter().zip(column("exact_lower")).zip(column("ddsketch_0.01")) {
            let found = sketch.quantile(q).unwrap();
            assert!((found - lower).abs() <= ALPHA * lower, "{q}: {found} for {lower}");
            assert!((found - expected).abs() <= 1e-9 * expected, "{q}: {found} for {expected}");
        }
    }

    #[test]
    fn what_is_no_duration_is_passed_over() {
        let sketch = sketch(&[f64::NAN, f64::INFINITY, -1.0]);
        assert_eq!((sketch.count(), sketch.quantile(0.5)), (0, None));
    }

    #[test]
    fn memory_is_bounded_and_the_largest_values_stay_exact() {
        let values: Vec<f64> = (0..300).map(|i| 10f64.powi(i - 8)).collect();
        for order in [values.clone(), values.iter().rev().copied().collect()] {
            let sketch = sketch(&order);
            assert!(sketch.bins.len() <= MAX_BINS);
            assert_eq!(sketch.count(), 300);
            let top = sketch.quantile(1.0).unwrap();
            assert!((top - 1e291).abs() <= ALPHA * 1e291, "{top}");
        }
    }

    #[test]
    fn a_broken_sketch_is_refused() {
        let bins = vec![1; MAX_BINS + 1];
        for broken in [
            serde_json::json!({"first": 0, "bins": bins, "zeros": 0}),
            serde_json::json!({"first": i32::MAX, "bins": [1], "zeros": 0}),
        ] {
            assert!(serde_json::from_value::<Sketch>(broken).is_err());
        }
    }

    /// Durations that fit in the bins: more than eight magnitudes of them.
    fn durations() -> impl Strategy<Value = Vec<f64>> {
        proptest::collection::vec(prop_oneof![Just(0.0), (-3.0..5.0f64).prop_map(|x| 10f64.powf(x))], 1..200)
    }

    proptest! {
        #[test]
        fn quantiles_are_within_one_percent(values in durations(), q in 0.0..=1.0f64) {
            let (found, exact) = (sketch(&values).quantile(q).unwrap(), exact(&values, q));
            prop_assert!((found - exact).abs() <= ALPHA * exact + 1e-9, "{found} for {exact}");
        }

        #[test]
        fn a_merged_sketch_is_that_of_all_values(a in durations(), b in durations(), q in 0.0..=1.0f64) {
            let whole = sketch(&[a.clone(), b.clone()].concat());
            let (a, b) = (sketch(&a), sketch(&b));
            let mut merged = a;
            merged.merge(&b);
            prop_assert_eq!(merged.quantiles([0.0, q, 1.0]), whole.quantiles([0.0, q, 1.0]));
            prop_assert_eq!(merged, whole);
        }

        #[test]
        fn reads_back_the_same(values in durations()) {
            let sketch = sketch(&values);
            let text = serde_json::to_string(&sketch).unwrap();
            prop_assert_eq!(serde_json::from_str::<Sketch>(&text).unwrap(), sketch);
        }
    }
}
