//! How much is folded between two looks at the clock.

use std::time::Duration;

/// How many observations are folded between two looks at the clock: as many as surely fit in the time that is left, going
/// by what the last ones took. The more at once, the more of one agent come together, and its state is fetched from
/// memory once for all of them; but no beat is cut short among them.
#[derive(Debug, Clone, Copy, Default)]
pub struct Pace {
    /// What an observation took lately, in nanoseconds.
    each: f64,
}

impl Pace {
    /// Fewest: some milliseconds' work.
    const LEAST: usize = 8_192;
    /// Most: with more, an agent's state has long been there for many of them.
    const MOST: usize = 32_768;
    /// An observation is taken to cost this many nanoseconds at least, however cheap the last ones were.
    const CHEAPEST: f64 = 500.0;
    /// Fewer than this tell nothing of what one costs.
    const TELLING: usize = 1_024;

    /// How many come next where so much time is left.
    pub fn next(&self, left: Duration) -> usize {
        // They may cost twice what the last ones did.
        let fitting = left.as_nanos() as f64 / (2.0 * self.each.max(Self::CHEAPEST));
        (fitting as usize).clamp(Self::LEAST, Self::MOST)
    }

    /// Takes in what so many took.
    pub fn took(&mut self, observations: usize, time: Duration) {
        if observations >= Self::TELLING {
            let each = time.as_nanos() as f64 / observations as f64;
            self.each = each.max(0.9 * self.each);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BUDGET: Duration = Duration::from_millis(50);

    #[test]
    fn takes_what_surely_fits() {
        let mut pace = Pace::default();
        assert_eq!(pace.next(BUDGET), Pace::MOST);
        pace.took(10_000, Duration::from_millis(10));
        assert_eq!(pace.next(BUDGET), 25_000);
        assert_eq!(pace.next(BUDGET / 2), 12_500);
        assert_eq!(pace.next(Duration::ZERO), Pace::LEAST);
        assert_eq!(pace.next(Duration::MAX), Pace::MOST);
    }

    #[test]
    fn slow_ones_are_remembered_for_a_while() {
        let mut pace = Pace::default();
        pace.took(8_192, Duration::from_secs(1));
        assert_eq!(pace.next(BUDGET), Pace::LEAST);
        pace.took(Pace::TELLING - 1, Duration::ZERO);
        pace.took(8_192, Duration::from_millis(2));
        assert_eq!(pace.next(BUDGET), Pace::LEAST);
        (0..60).for_each(|_| pace.took(8_192, Duration::from_millis(2)));
        assert_eq!(pace.next(BUDGET), Pace::MOST);
    }
}
