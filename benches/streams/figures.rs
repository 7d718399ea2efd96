//! From arrivals to figures.

use std::collections::HashMap;
use std::time::Duration;

use super::readers::Arrival;

/// Values in order, to ask for quantiles.
#[derive(Debug, Default)]
pub struct Sorted(Vec<f64>);

impl Sorted {
    pub fn new(values: impl IntoIterator<Item = f64>) -> Self {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        Self(values)
    }

    /// The value at this share, 0 to 1; NaN when there are no values.
    pub fn at(&self, share: f64) -> f64 {
        let rank = (share * self.0.len() as f64).ceil().max(1.0) as usize;
        self.0.get(rank - 1).copied().unwrap_or(f64::NAN)
    }

    pub fn max(&self) -> f64 {
        self.at(1.0)
    }
}

/// When beats were due: at a fixed distance from each other, and no beat came before it was due. So the beat that was
/// least late marks where the others should have been.
#[derive(Debug)]
pub struct Schedule {
    first_ns: i64,
    interval_ns: i64,
}

impl Schedule {
    pub fn of(deltas: &[Arrival], interval: Duration) -> Self {
        let interval_ns = interval.as_nanos() as i64;
        let Some(any) = deltas.first() else { return Self { first_ns: 0, interval_ns } };
        let off = |beat_ns: i64| (beat_ns - any.beat_ns + interval_ns / 2).rem_euclid(interval_ns) - interval_ns / 2;
        let least = deltas.iter().map(|delta| off(delta.beat_ns)).min().unwrap_or(0);
        Self { first_ns: any.beat_ns + least, interval_ns }
    }

    /// The number of the last beat due at this time.
    fn slot(&self, at_ns: i64) -> i64 {
        (at_ns - self.first_ns).div_euclid(self.interval_ns)
    }

    fn due_ns(&self, slot: i64) -> i64 {
        self.first_ns + slot * self.interval_ns
    }

    /// How late the beats were that anybody heard of, in milliseconds.
    pub fn lateness(&self, deltas: &[Arrival]) -> Sorted {
        let beats: std::collections::HashSet<i64> = deltas.iter().map(|delta| delta.beat_ns).collect();
        Sorted::new(beats.into_iter().map(|beat_ns| (beat_ns - self.due_ns(self.slot(beat_ns))) as f64 / 1e6))
    }

    /// How long after each beat was due each stream knew of it, in milliseconds. A beat that was merged into a later
    /// frame, or missed, counts with the time at which that frame came: no beat is left out for being late.
    pub fn delays(&self, deltas: &[Arrival]) -> Sorted {
        let mut last: HashMap<u32, i64> = HashMap::new();
        let mut delays = Vec::with_capacity(deltas.len());
        for delta in deltas {
            let slot = self.slot(delta.beat_ns);
            let known = last.insert(delta.stream, slot).unwrap_or(slot - 1);
            delays.extend((known + 1..=slot).map(|slot| (delta.arrived_ns - self.due_ns(slot)) as f64 / 1e6));
        }
        Sorted::new(delays)
    }
}

/// Where a share of what was counted between two scrapes of a histogram lies: the upper bound of its bucket.
pub fn bucket_at(before: &[(f64, f64)], after: &[(f64, f64)], share: f64) -> f64 {
    let counts: Vec<(f64, f64)> = before.iter().zip(after).map(|(b, a)| (a.0, a.1 - b.1)).collect();
    let all = counts.last().map_or(0.0, |last| last.1);
    counts.iter().find(|(_, count)| *count >= share * all).map_or(f64::NAN, |(bound, _)| *bound)
}
