//! How observations spread over time, in bounded memory.

use crate::domain::Timestamp;

/// Counts in equal spans of time from the first observation on; the spans double when they no longer reach.
#[derive(Debug, Clone)]
pub struct Density {
    start: Timestamp,
    /// Nanoseconds.
    width: u64,
    counts: [u32; Density::SPANS],
}

impl Density {
    const SPANS: usize = 128;
    const SHORTEST: u64 = 1_000_000;

    /// With one observation.
    pub fn new(at: Timestamp) -> Self {
        let mut density = Self { start: at, width: Self::SHORTEST, counts: [0; Self::SPANS] };
        density.add(at);
        density
    }

    /// Adds an observation; one from before the first is counted with that.
    pub fn add(&mut self, at: Timestamp) {
        let passed = u64::try_from(at.since(self.start).as_nanos()).unwrap_or(u64::MAX);
        while passed / self.width >= Self::SPANS as u64 {
            for i in 0..Self::SPANS {
                let pair = |i: usize| self.counts.get(i).copied().unwrap_or(0);
                self.counts[i] = pair(2 * i).saturating_add(pair(2 * i + 1));
            }
            self.width = self.width.saturating_mul(2);
        }
        let count = &mut self.counts[(passed / self.width) as usize];
        *count = count.saturating_add(1);
    }

    /// The spans that hold an observation: beginning, end, count.
    pub fn spans(&self) -> impl Iterator<Item = (Timestamp, Timestamp, u32)> + '_ {
        let edge = |i: usize| self.start.plus(std::time::Duration::from_nanos(self.width.saturating_mul(i as u64)));
        let held = self.counts.iter().enumerate().filter(|(_, count)| **count > 0);
        held.map(move |(i, &count)| (edge(i), edge(i + 1), count))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_observation_is_counted_where_it_was() {
        let second = |s: i64| Timestamp::from_nanos(s * 1_000_000_000);
        let mut density = Density::new(second(100));
        (0..1000).for_each(|s| density.add(second(100 + s)));
        density.add(second(7));
        assert_eq!(density.spans().map(|(.., count)| count).sum::<u32>(), 1002);
        let spans: Vec<_> = density.spans().collect();
        assert!((64..=128).contains(&spans.len()), "{}", spans.len());
        assert_eq!(spans[0].0, second(100));
        assert!(spans.last().unwrap().0 <= second(1099) && spans.last().unwrap().1 > second(1099));
        let mut far = Density::new(Timestamp::EPOCH);
        far.add(Timestamp::from_nanos(i64::MAX));
        assert_eq!(far.spans().map(|(.., count)| count).sum::<u32>(), 2);
    }
}
