//! ADWIN: a window over a series that shrinks when its older part no longer looks like its newer part.
//!
//! Bifet, A. and Gavaldà, R. (2007), "Learning from Time-Changing Data with Adaptive Windowing", SIAM International
//! Conference on Data Mining, 443-448: ADWIN2 with the variance-based bound, over an exponential histogram whose
//! buckets carry total and variance. Choices that the paper leaves open are those of river 0.26, with whose detections
//! and inner state this agrees: cuts are tried at every 32nd value, each side needs five values, a window with a cut
//! loses one bucket at a time until none is left, and it starts afresh with the first value after a detection.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::analyze::ahead::fetch;

/// Bound on the chance that one check of a window without a change finds one.
pub const DELTA: f64 = 0.002;
/// Cuts are tried at every so many values.
const CLOCK: u64 = 32;
/// More buckets than this in a row make the two oldest one bucket of the next row.
const MAX_BUCKETS: u8 = 5;
/// Least number of values on either side of a cut.
const MIN_SIDE: f64 = 5.0;
/// No cut is tried up to this width.
const GRACE: f64 = 10.0;
/// Larger values could make sums of squares overflow.
const MAX_VALUE: f64 = 1e100;
/// More rows than any stream fills: 2^48 values.
const MAX_ROWS: usize = 48;

/// The adaptive window over one series.
///
/// Memory is logarithmic in the width: at most 6 buckets (16 bytes each) a doubling, about 1.3 KiB at a million
/// values. Nothing is allocated before the first value. A value costs a constant on average.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(remote = "Self")]
pub struct Adwin {
    /// From the oldest to the newest: the rows from the largest buckets to the smallest.
    buckets: Vec<Bucket>,
    /// How many buckets stand in row `r`; each stands for `2^r` values.
    rows: Vec<u8>,
    /// Values seen since the window last started afresh.
    ticks: u64,
    width: f64,
    total: f64,
    variance: f64,
    /// The last value brought a detection, so the next one starts afresh.
    detected: bool,
}

/// What a bucket remembers of its values: their sum, and the sum of their squared distances from their mean.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(from = "(f64, f64)", into = "(f64, f64)")]
struct Bucket {
    total: f64,
    variance: f64,
}

impl From<(f64, f64)> for Bucket {
    fn from((total, variance): (f64, f64)) -> Self {
        Self { total, variance }
    }
}

impl From<Bucket> for (f64, f64) {
    fn from(bucket: Bucket) -> Self {
        (bucket.total, bucket.variance)
    }
}

impl Serialize for Adwin {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Self::serialize(self, serializer)
    }
}

impl<'de> Deserialize<'de> for Adwin {
    /// Refuses a window whose parts do not fit together, since it could not be gone on with.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let window = Self::deserialize(deserializer)?;
        if window.is_sound() {
            Ok(window)
        } else {
            Err(serde::de::Error::custom("the adaptive window is inconsistent"))
        }
    }
}

/// Where a window that was found to hold a change splits best: by least squares, over all borders between buckets.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Split {
    /// Mean of the older part.
    pub before: f64,
    /// Mean of the newer part.
    pub after: f64,
    /// 1 less the smallest delta at which ADWIN's bound would still separate the two, from 0.998 to 1.
    pub confidence: f64,
}

impl Adwin {
    /// Takes the next value of the series; `Some` when it shows that the level changed. Values that are not finite, or
    /// beyond 1e100, are passed over.
    pub fn update(&mut self, value: f64) -> Option<Split> {
        if !(-MAX_VALUE..=MAX_VALUE).contains(&value) {
            return None;
        }
        if self.detected {
            self.restart();
        }
        self.insert(value);
        self.ticks += 1;
        if !self.ticks.is_multiple_of(CLOCK) || self.width <= GRACE || !self.has_cut() {
            return None;
        }
        let split = self.best_split();
        while self.has_cut() {
            self.drop_oldest();
        }
        self.detected = true;
        split
    }

    /// See [`crate::analyze::ahead`].
    pub(super) fn ahead(&self) {
        // The two oldest of the last row become one, and now and then those before.
        let newest = self.buckets.len().wrapping_sub(1);
        [0, 4, 8].iter().for_each(|back| fetch(self.buckets.get(newest.wrapping_sub(*back))));
        fetch(self.rows.first());
    }

    /// The same for [`Self::mean`].
    pub(super) fn ahead_of_mean(&self) {
        fetch(Some(&self.width));
        fetch(Some(&self.total));
    }

    /// Number of values in the window.
    pub fn width(&self) -> u64 {
        self.width as u64
    }

    /// Sum of the values in the window.
    pub fn total(&self) -> f64 {
        self.total
    }

    /// Sum of the squared distances of the window's values from their mean.
    pub fn variance(&self) -> f64 {
        self.variance
    }

    /// Mean of the window's values; `None` while there are none.
    pub fn mean(&self) -> Option<f64> {
        (self.width > 0.0).then(|| self.total / self.width)
    }

    /// Detections since the window last started afresh: 1 from a detection to the next value, else 0.
    pub fn detections(&self) -> u64 {
        u64::from(self.detected)
    }

    fn is_sound(&self) -> bool {
        let buckets: usize = self.rows.iter().map(|&count| usize::from(count)).sum();
        let width: f64 = self.rows.iter().enumerate().map(|(row, &count)| size_of_row(row) * f64::from(count)).sum();
        self.rows.len() <= MAX_ROWS
            && self.rows.iter().all(|&count| (1..=MAX_BUCKETS).contains(&count))
            && buckets == self.buckets.len()
            && width == self.width
    }

    fn restart(&mut self) {
        self.buckets.clear();
        self.rows.clear();
        (self.ticks, self.width, self.total, self.variance, self.detected) = (0, 0.0, 0.0, 0.0, false);
    }

    fn insert(&mut self, value: f64) {
        self.buckets.push(Bucket { total: value, variance: 0.0 });
        match self.rows.first_mut() {
            Some(newest) => *newest += 1,
            None => self.rows.push(1),
        }
        if self.width > 0.0 {
            let distance = value - self.total / self.width;
            self.variance += self.width * distance * distance / (self.width + 1.0);
        }
        self.width += 1.0;
        self.total += value;
        self.compress();
    }

    /// Makes the two oldest buckets of a row that is too long the newest bucket of the next row, which may then be too
    /// long itself.
    fn compress(&mut self) {
        let mut end = self.buckets.len();
        let mut row = 0;
        while self.rows.get(row).is_some_and(|&count| count > MAX_BUCKETS) {
            let start = end - usize::from(self.rows[row]);
            let (older, newer) = (self.buckets[start], self.buckets[start + 1]);
            let size = size_of_row(row);
            let distance = older.total / size - newer.total / size;
            self.buckets[start] = Bucket {
                total: older.total + newer.total,
                variance: older.variance + newer.variance + size * size * distance * distance / (size + size),
            };
            self.buckets.remove(start + 1);
            self.rows[row] -= 2;
            row += 1;
            match self.rows.get_mut(row) {
                Some(count) => *count += 1,
                None => self.rows.push(1),
            }
            end = start + 1;
        }
    }

    fn drop_oldest(&mut self) {
        let (Some(oldest), Some(row)) = (self.buckets.first().copied(), self.rows.len().checked_sub(1)) else {
            return;
        };
        let size = size_of_row(row);
        self.width -= size;
        self.total -= oldest.total;
        let distance = oldest.total / size - self.total / self.width;
        self.variance -= oldest.variance + size * self.width * distance * distance / (size + self.width);
        self.buckets.remove(0);
        self.rows[row] -= 1;
        if self.rows[row] == 0 {
            self.rows.pop();
        }
    }

    /// The borders between buckets, from the oldest: how many values lie before it, and their sum.
    fn borders(&self) -> impl Iterator<Item = (f64, f64)> {
        let sizes = self.rows.iter().enumerate().rev();
        let sizes = sizes.flat_map(|(row, &count)| std::iter::repeat_n(size_of_row(row), usize::from(count)));
        self.buckets.iter().zip(sizes).scan((0.0, 0.0), |(n, sum), (bucket, size)| {
            (*n, *sum) = (*n + size, *sum + bucket.total);
            Some((*n, *sum))
        })
    }

    /// Whether some cut separates two parts whose means differ by more than chance allows (the paper's Theorem 3.2).
    fn has_cut(&self) -> bool {
        let scale = 2.0 * self.variance / self.width;
        let log = (2.0 * self.width.ln() / DELTA).ln();
        self.borders().any(|(n0, u0)| {
            let (n1, u1) = (self.width - n0, self.total - u0);
            if n0 < MIN_SIDE || n1 < MIN_SIDE {
                return false;
            }
            let harmonic = 1.0 / (n0 - MIN_SIDE + 1.0) + 1.0 / (n1 - MIN_SIDE + 1.0);
            (u0 / n0 - u1 / n1).abs() > (scale * harmonic * log).sqrt() + 2.0 / 3.0 * log * harmonic
        })
    }

    fn best_split(&self) -> Option<Split> {
        let between = |n0: f64, u0: f64| {
            let (n1, u1) = (self.width - n0, self.total - u0);
            n0 * n1 * (u0 / n0 - u1 / n1).powi(2)
        };
        let (n0, u0) = self
            .borders()
            .filter(|&(n, _)| n >= MIN_SIDE && self.width - n >= MIN_SIDE)
            .max_by(|a, b| between(a.0, a.1).total_cmp(&between(b.0, b.1)))?;
        let (before, after) = (u0 / n0, (self.total - u0) / (self.width - n0));
        // The bound, epsilon = sqrt(a x) + b x with x = ln(2 ln(width) / delta), solved for delta at the difference.
        let harmonic = 1.0 / (n0 - MIN_SIDE + 1.0) + 1.0 / (self.width - n0 - MIN_SIDE + 1.0);
        let (a, b) = (2.0 * harmonic * (self.variance / self.width).max(0.0), 2.0 / 3.0 * harmonic);
        let root = ((a + 4.0 * b * (before - after).abs()).sqrt() - a.sqrt()) / (2.0 * b);
        let delta = 2.0 * self.width.ln() * (-root * root).exp();
        Some(Split { before, after, confidence: (1.0 - delta).clamp(1.0 - DELTA, 1.0) })
    }
}

fn size_of_row(row: usize) -> f64 {
    (1u64 << row.min(MAX_ROWS)) as f64
}

#[cfg(test)]
mod tests;
