//! Floor 1: a circuit breaker, as a state machine that is told the time.
//!
//! Closed, open, half-open with the semantics of resilience4j: over a sliding window of calls, the share of failures and
//! the share of slow calls are compared with a threshold each, once there are enough calls to judge by. An open breaker
//! lets nothing through for a while that doubles, with jitter, each time its trial calls fail. Half-open, a few trial
//! calls decide; a deadline ends the wait for trial calls that hang, so that they cannot pin it.

use std::collections::VecDeque;
use std::time::Duration;

use crate::domain::BreakerState;

/// When a breaker opens, and for how long.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Settings {
    /// Calls in the sliding window at most: the last ones. From 1.
    pub window_calls: usize,
    /// Age at which a call leaves the window.
    pub window_time: Duration,
    /// Calls in the window below which nothing is concluded. From 1 to `window_calls`.
    pub minimum_calls: usize,
    /// Share of failed calls from which the breaker opens, above 0 and up to 1.
    pub failure_rate: f64,
    /// Share of slow calls from which it opens, above 0 and up to 1.
    pub slow_rate: f64,
    /// Calls let through when half-open. From 1.
    pub trial_calls: u32,
    /// How long their outcome is waited for.
    pub trial_deadline: Duration,
    /// How long it stays open the first time, less up to half of it by jitter.
    pub open_for: Duration,
    /// The longest it stays open, however often the trial calls failed.
    pub open_at_most: Duration,
}

/// How a call went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It succeeded in time.
    Success,
    /// It succeeded, slower than it should.
    Slow,
    /// It failed.
    Failure,
}

/// Leave to make one call. What became of it is told to [`Breaker::record`].
#[derive(Debug, PartialEq, Eq)]
#[must_use]
pub struct Permit {
    term: u64,
}

/// A circuit breaker. Moments are durations since any fixed one, on a clock that does not go back.
#[derive(Debug, Clone)]
pub struct Breaker {
    settings: Settings,
    state: State,
    /// The last calls while closed, oldest first.
    window: VecDeque<(Duration, Outcome)>,
    /// Counts transitions, so that a call begun before one is not taken for one begun after it.
    term: u64,
    /// Openings since it was last closed.
    in_a_row: u32,
    opened: u64,
    random: u64,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum State {
    Closed,
    Open { until: Duration },
    HalfOpen { deadline: Duration, granted: u32, trials: Tally },
}

#[derive(Debug, Clone, Copy, PartialEq, Default)]
struct Tally {
    calls: u32,
    failed: u32,
    slow: u32,
}

impl Tally {
    fn add(&mut self, outcome: Outcome) {
        self.calls += 1;
        self.failed += u32::from(outcome == Outcome::Failure);
        self.slow += u32::from(outcome == Outcome::Slow);
    }

    /// Whether a threshold is reached among so many calls.
    fn is_too_bad(&self, calls: u32, settings: &Settings) -> bool {
        let share = |count: u32| f64::from(count) / f64::from(calls.max(1));
        // None is never too many, however low the threshold.
        (self.failed > 0 && share(self.failed) >= settings.failure_rate)
            || (self.slow > 0 && share(self.slow) >= settings.slow_rate)
    }
}

impl Breaker {
    /// A closed breaker. The seed is for the jitter.
    pub fn new(settings: Settings, seed: u64) -> Self {
        Self { settings, state: State::Closed, window: VecDeque::new(), term: 0, in_a_row: 0, opened: 0, random: seed }
    }

    /// Asks to make a call.
    ///
    /// # Errors
    /// How long to wait before asking again.
    pub fn permit(&mut self, now: Duration) -> Result<Permit, Duration> {
        match &mut self.state {
            State::Closed => {}
            State::Open { until } if now < *until => return Err(*until - now),
            State::Open { .. } => {
                let deadline = now.saturating_add(self.settings.trial_deadline);
                self.turn(State::HalfOpen { deadline, granted: 1, trials: Tally::default() });
            }
            State::HalfOpen { deadline, .. } if now >= *deadline => {
                let wait = self.open(now);
                return Err(wait);
            }
            State::HalfOpen { granted, .. } if *granted < self.settings.trial_calls => *granted += 1,
            State::HalfOpen { deadline, .. } => return Err(*deadline - now),
        }
        Ok(Permit { term: self.term })
    }

    /// Takes in how a call went. Calls that were let through in an earlier state count no more.
    pub fn record(&mut self, now: Duration, permit: Permit, outcome: Outcome) {
        if permit.term != self.term {
            return;
        }
        match &mut self.state {
            State::Closed => {
                self.window.push_back((now, outcome));
                if self.has_had_enough(now) {
                    self.open(now);
                }
            }
            State::HalfOpen { trials, .. } => {
                trials.add(outcome);
                let trials = *trials;
                if trials.is_too_bad(self.settings.trial_calls, &self.settings) {
                    self.open(now);
                } else if trials.calls >= self.settings.trial_calls {
                    self.in_a_row = 0;
                    self.turn(State::Closed);
                }
            }
            // No call is let through in this state, so none has its term.
            State::Open { .. } => {}
        }
    }

    /// Drops what left the window, and judges the rest.
    fn has_had_enough(&mut self, now: Duration) -> bool {
        let Settings { window_calls, window_time, minimum_calls, .. } = self.settings;
        while self.window.len() > window_calls {
            self.window.pop_front();
        }
        while self.window.front().is_some_and(|(at, _)| at.saturating_add(window_time) < now) {
            self.window.pop_front();
        }
        let mut tally = Tally::default();
        self.window.iter().for_each(|(_, outcome)| tally.add(*outcome));
        self.window.len() >= minimum_calls && tally.is_too_bad(tally.calls, &self.settings)
    }

    fn open(&mut self, now: Duration) -> Duration {
        let doubled = self.settings.open_for.saturating_mul(1 << self.in_a_row.min(30));
        let longest = doubled.min(self.settings.open_at_most);
        // Half of it is sure, half is chance, so that many that were cut off together don't come back together.
        let wait = longest.mul_f64(0.5 + 0.5 * self.chance());
        self.in_a_row = self.in_a_row.saturating_add(1);
        self.opened += 1;
        self.turn(State::Open { until: now.saturating_add(wait) });
        wait
    }

    fn turn(&mut self, state: State) {
        self.state = state;
        self.term += 1;
        self.window.clear();
    }

    /// From 0 to 1, by SplitMix64 (Steele, Lea and Flood, 2014).
    fn chance(&mut self) -> f64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    }

    /// The state. An open breaker is shown open until the first trial call is let through.
    pub fn state(&self) -> BreakerState {
        match self.state {
            State::Closed => BreakerState::Closed,
            State::Open { .. } => BreakerState::Open,
            State::HalfOpen { .. } => BreakerState::HalfOpen,
        }
    }

    /// How often it opened.
    pub fn opened(&self) -> u64 {
        self.opened
    }
}

#[cfg(test)]
mod tests;
