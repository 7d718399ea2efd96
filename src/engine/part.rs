//! The analyzers as parts that can be timed, and rest.

use std::time::Duration;

use crate::domain::InsightKind;

/// One analyzer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Loops.
    Stuck,
    /// Failures.
    Errors,
    /// Latency, tokens, cost.
    Load,
    /// Progress reports.
    Progress,
    /// Cadence.
    Silence,
    /// Claims and how they turned out.
    Calibration,
    /// Changes of level.
    Drift,
}

impl Part {
    /// All of them, in the order of declaration.
    pub const ALL: [Self; 7] =
        [Self::Stuck, Self::Errors, Self::Load, Self::Progress, Self::Silence, Self::Calibration, Self::Drift];

    /// The word for labels and logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Stuck => "stuck",
            Self::Errors => "errors",
            Self::Load => "load",
            Self::Progress => "progress",
            Self::Silence => "silence",
            Self::Calibration => "calibration",
            Self::Drift => "drift",
        }
    }

    /// The analyzer that judges a kind of insight; `None` for the daemon's own.
    pub(super) const fn of(kind: InsightKind) -> Option<Self> {
        match kind {
            InsightKind::Stuck => Some(Self::Stuck),
            InsightKind::Blocked | InsightKind::ErrorStreak => Some(Self::Errors),
            InsightKind::Overloaded => Some(Self::Load),
            InsightKind::Stalled => Some(Self::Progress),
            InsightKind::Silent => Some(Self::Silence),
            InsightKind::Overconfident | InsightKind::Underconfident | InsightKind::Unreliable => {
                Some(Self::Calibration)
            }
            InsightKind::Drift => Some(Self::Drift),
            InsightKind::HeartSkewed
            | InsightKind::StoreDegraded
            | InsightKind::AnalysisOverrun
            | InsightKind::ClientsSlow => None,
        }
    }
}

/// A set of analyzers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Parts(u8);

impl Parts {
    /// Whether it is in the set.
    pub const fn has(self, part: Part) -> bool {
        self.0 & (1 << part as u8) != 0
    }

    /// The set with this one, too.
    #[must_use]
    pub const fn with(self, part: Part) -> Self {
        Self(self.0 | (1 << part as u8))
    }

    /// Whether none is in the set.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }
}

/// Through whose hands each call of an analyzer goes while observations are folded.
pub trait Watch {
    /// Calls the analyzer, or leaves it out: then the answer is the default one.
    fn call<T: Default>(&mut self, part: Part, call: impl FnOnce() -> T) -> T;
}

/// Nobody watches: every analyzer is called, and nothing is spent on asking.
impl Watch for () {
    #[inline]
    fn call<T: Default>(&mut self, _: Part, call: impl FnOnce() -> T) -> T {
        call()
    }
}

/// Leaves out the analyzers that rest, and times the others on a clock that was handed in: one call in
/// [`Stopwatch::ONE_IN`] of each, the first among them, so that timing costs little.
#[derive(Debug)]
pub struct Stopwatch<C> {
    resting: Parts,
    clock: C,
    laps: [Laps; Part::ALL.len()],
}

/// What was measured of one analyzer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Laps {
    /// Calls.
    pub calls: u64,
    /// Those that were timed.
    pub timed: u64,
    /// What they took together.
    pub time: Duration,
}

impl Laps {
    /// What a call took on average.
    pub fn mean(self) -> Duration {
        self.time.checked_div(u32::try_from(self.timed).unwrap_or(u32::MAX)).unwrap_or_default()
    }

    /// What all calls took, as far as those that were timed tell.
    pub fn total(self) -> Duration {
        self.mean().saturating_mul(u32::try_from(self.calls).unwrap_or(u32::MAX))
    }
}

impl<C: FnMut() -> Duration> Stopwatch<C> {
    /// Of so many calls of an analyzer one is timed.
    pub const ONE_IN: u64 = 64;

    /// A stopwatch at zero. `clock` tells the time since any fixed moment.
    pub fn new(resting: Parts, clock: C) -> Self {
        Self { resting, clock, laps: [Laps::default(); Part::ALL.len()] }
    }

    /// What was measured of an analyzer.
    pub fn laps(&self, part: Part) -> Laps {
        self.laps.get(part as usize).copied().unwrap_or_default()
    }
}

impl<C: FnMut() -> Duration> Watch for Stopwatch<C> {
    fn call<T: Default>(&mut self, part: Part, call: impl FnOnce() -> T) -> T {
        if self.resting.has(part) {
            return T::default();
        }
        let Some(laps) = self.laps.get_mut(part as usize) else { return call() };
        laps.calls += 1;
        if laps.calls % Self::ONE_IN != 1 {
            return call();
        }
        let began = (self.clock)();
        let outcome = call();
        laps.timed += 1;
        laps.time += (self.clock)().saturating_sub(began);
        outcome
    }
}
