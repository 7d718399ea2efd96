//! What of an agent has changed since it was last judged, so that no more than that is judged again.

use crate::domain::{InsightKind, Kind, Observation};

/// A set of things that insights rest on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Touched(u8);

impl Touched {
    /// Steps, and the loops in them.
    pub(super) const STEPS: Self = Self(1);
    /// Resolved claims.
    pub(super) const CLAIMS: Self = Self(2);
    /// Results.
    pub(super) const RESULTS: Self = Self(4);
    /// Latency, tokens, cost.
    pub(super) const LOAD: Self = Self(8);
    /// Values of a series that drift is looked for in.
    pub(super) const SERIES: Self = Self(16);
    /// All of it: time has passed, or an insight is open that may rest on another.
    pub(super) const ALL: Self = Self(u8::MAX);

    pub(super) fn add(&mut self, other: Self) {
        self.0 |= other.0;
    }

    pub(super) fn has(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// What an observation touches by its kind alone.
    pub(super) fn by(observation: &Observation) -> Self {
        match observation.kind {
            Kind::Result { .. } => Self(Self::RESULTS.0 | Self::LOAD.0 | Self::SERIES.0),
            Kind::Claim { .. } | Kind::Verdict { .. } => Self::SERIES,
            Kind::Usage { .. } => Self::LOAD,
            Kind::Thought { .. } | Kind::Message { .. } | Kind::Action { .. } | Kind::Progress { .. } => Self(0),
        }
    }

    /// Whether a kind of insight may have changed.
    pub(super) fn concerns(self, kind: InsightKind) -> bool {
        match kind {
            InsightKind::Stuck => self.has(Self::STEPS),
            InsightKind::Blocked | InsightKind::ErrorStreak => self.has(Self::RESULTS),
            InsightKind::Overloaded => self.has(Self::LOAD),
            InsightKind::Drift => self.has(Self::SERIES),
            InsightKind::Overconfident | InsightKind::Underconfident | InsightKind::Unreliable => {
                self.has(Self::CLAIMS)
            }
            // Each observation is an act, or a sign of life; these are cheap.
            InsightKind::Stalled | InsightKind::Silent => true,
            InsightKind::HeartSkewed
            | InsightKind::StoreDegraded
            | InsightKind::AnalysisOverrun
            | InsightKind::ClientsSlow => false,
        }
    }
}
