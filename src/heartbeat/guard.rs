//! A breaker around each analyzer: one that keeps taking more than its share of the beat is left out for a while, and
//! that is told, while the heart goes on.

use std::time::Duration;

use crate::breaker::{Breaker, Outcome, Permit, Settings};
use crate::domain::BreakerState;
use crate::engine::{Laps, Part, Parts};
use crate::telemetry::Metrics;

/// One call is one beat.
const SETTINGS: Settings = Settings {
    window_calls: 10,
    window_time: Duration::from_secs(30),
    minimum_calls: 5,
    failure_rate: 0.5,
    slow_rate: 1.0,
    trial_calls: 3,
    trial_deadline: Duration::from_secs(30),
    open_for: Duration::from_secs(5),
    open_at_most: Duration::from_mins(5),
};

/// Share of the beat's budget that one analyzer may take...
const SHARE: f64 = 0.5;
/// ...and what a call of it may take on average. A busy beat is made of many quick calls, and its rest is left to the
/// next beat; that is no analyzer's fault. Quick ones take well under a microsecond.
const MEAN: Duration = Duration::from_micros(50);

/// The breakers, and what they let through in this beat.
#[derive(Debug)]
pub(super) struct Guard {
    breakers: Vec<(Part, Breaker)>,
    permits: Vec<(Part, Permit)>,
    resting: Parts,
    /// Whether the last beat took more than its budget, so that this one is looked at closely.
    overran: bool,
    metrics: Metrics,
}

impl Guard {
    pub(super) fn new(metrics: Metrics) -> Self {
        for part in Part::ALL {
            metrics.breaker_state.with_label_values(&[part.as_str()]).set(BreakerState::Closed as i64);
            metrics.circuit_breaker_open_total.with_label_values(&[part.as_str()]);
        }
        // There is one daemon's worth of analyzers: nobody else comes back at the same moment.
        let breakers = Part::ALL.into_iter().map(|part| (part, Breaker::new(SETTINGS, part as u64))).collect();
        Self { breakers, permits: Vec::new(), resting: Parts::default(), overran: false, metrics }
    }

    /// Begins a beat that has something to fold: which analyzers rest in it.
    pub(super) fn begin(&mut self, now: Duration) -> Parts {
        self.permits.clear();
        self.resting = Parts::default();
        for (part, breaker) in &mut self.breakers {
            let before = (breaker.state(), breaker.opened());
            match breaker.permit(now) {
                Ok(permit) => self.permits.push((*part, permit)),
                Err(_) => self.resting = self.resting.with(*part),
            }
            tell(&self.metrics, *part, breaker, before);
        }
        self.resting
    }

    /// Whether this beat's analyzers have to be watched.
    pub(super) fn is_watching(&self) -> bool {
        let closed = |(_, breaker): &(Part, Breaker)| breaker.state() == BreakerState::Closed;
        self.overran || !self.breakers.iter().all(closed)
    }

    /// Ends the beat, in which folding took so long; `laps` tells what was measured, if anything was.
    pub(super) fn end(&mut self, now: Duration, took: Duration, budget: Duration, laps: impl Fn(Part) -> Laps) {
        self.overran = took > budget;
        for (part, permit) in self.permits.drain(..) {
            let Some((_, breaker)) = self.breakers.iter_mut().find(|(known, _)| *known == part) else { continue };
            let before = (breaker.state(), breaker.opened());
            let laps = laps(part);
            let too_much = laps.mean() > MEAN && laps.total() > budget.mul_f64(SHARE);
            breaker.record(now, permit, if too_much { Outcome::Failure } else { Outcome::Success });
            tell(&self.metrics, part, breaker, before);
        }
    }
}

fn tell(metrics: &Metrics, part: Part, breaker: &Breaker, before: (BreakerState, u64)) {
    let (state, opened) = (breaker.state(), breaker.opened());
    if (state, opened) == before {
        return;
    }
    let name = part.as_str();
    metrics.breaker_state.with_label_values(&[name]).set(state as i64);
    metrics.circuit_breaker_open_total.with_label_values(&[name]).inc_by(opened - before.1);
    match state {
        BreakerState::Open => tracing::error!(analyzer = name, "takes more than its share of the beat: left out"),
        BreakerState::HalfOpen => tracing::info!(analyzer = name, "is tried again"),
        BreakerState::Closed => tracing::info!(analyzer = name, "is back"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BUDGET: Duration = Duration::from_millis(50);
    const BEAT: Duration = Duration::from_millis(100);

    struct Trial {
        guard: Guard,
        now: Duration,
    }

    impl Trial {
        fn new() -> Self {
            Self { guard: Guard::new(Metrics::new().unwrap()), now: Duration::ZERO }
        }

        /// A beat in which each call of one analyzer took so long; which analyzers rested.
        fn beat(&mut self, slow: Part, mean: Duration, calls: u32) -> Parts {
            self.now += BEAT;
            let resting = self.guard.begin(self.now);
            let laps = |part| match part == slow && !resting.has(slow) {
                true => Laps { calls: u64::from(calls), timed: 1, time: mean },
                false => Laps { calls: 10, timed: 1, time: Duration::from_nanos(300) },
            };
            let took = Part::ALL.into_iter().map(|part| laps(part).total()).sum();
            self.guard.end(self.now, took, BUDGET, laps);
            resting
        }

        fn state(&self, part: Part) -> i64 {
            self.guard.metrics.breaker_state.with_label_values(&[part.as_str()]).get()
        }
    }

    #[test]
    fn an_analyzer_that_keeps_overrunning_is_left_out_alone_and_comes_back() {
        let mut trial = Trial::new();
        for _ in 0..5 {
            assert!(trial.beat(Part::Calibration, Duration::from_millis(10), 9).is_empty());
            assert!(trial.guard.overran && trial.guard.is_watching());
        }
        assert_eq!(trial.beat(Part::Calibration, BEAT, 9), Parts::default().with(Part::Calibration));
        assert!(!trial.guard.overran && trial.guard.is_watching());
        assert_eq!((trial.state(Part::Calibration), trial.state(Part::Stuck)), (2, 0));
        let opened = trial.guard.metrics.circuit_breaker_open_total.with_label_values(&["calibration"]).get();
        assert_eq!(opened, 1);
        let mut beats = 0;
        while trial.state(Part::Calibration) != 0 {
            trial.beat(Part::Calibration, Duration::from_nanos(200), 9);
            beats += 1;
        }
        assert!((25..60).contains(&beats), "{beats} beats of 100 ms");
        assert!(!trial.guard.is_watching());
    }

    #[test]
    fn much_work_is_no_analyzers_fault() {
        let mut trial = Trial::new();
        for _ in 0..100 {
            assert!(trial.beat(Part::Stuck, Duration::from_nanos(600), 200_000).is_empty());
            assert!(trial.guard.overran, "which is noticed, and looked into");
        }
    }

    #[test]
    fn a_hiccup_opens_nothing() {
        let mut trial = Trial::new();
        for _ in 0..50 {
            assert!(trial.beat(Part::Drift, BEAT, 1).is_empty());
            for _ in 0..4 {
                assert!(trial.beat(Part::Drift, Duration::from_nanos(200), 9).is_empty());
            }
        }
    }
}
