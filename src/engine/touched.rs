//! What of an agent has changed since it was last judged, so that no more than that is judged again.

use crate::domain::{InsightKind, Kind, Observation};

/// A set of things that insights rest on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Touched(u8);

impl Touched {
    /// Steps, and the loops in them.
    pub const STEPS: Self = Self(1);
    /// Resolved claims.
    pub const CLAIMS: Self = Self(2);
    /// Results.
    pub const RESULTS: Self = Self(4);
    /// Latency, tokens, cost.
    pub const LOAD: Self = Self(8);
    /// Values of a series that drift is looked for in.
    pub const SERIES: Self = Self(16);
    /// Progress reports.
    pub const PROGRESS: Self = Self(32);
    /// What insights rest on that explain others.
    pub(super) const CAUSES: Self = Self(Self::STEPS.0 | Self::RESULTS.0 | Self::SERIES.0);
    /// All of it: time has passed, or an insight is open that may rest on another.
    pub const ALL: Self = Self(u8::MAX);

    pub(super) fn add(&mut self, other: Self) {
        self.0 |= other.0;
    }

    /// Whether any of the other's things is among them.
    pub fn has(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// What an observation touches by its kind alone.
    pub(super) fn by(observation: &Observation) -> Self {
        match observation.kind {
            Kind::Result { .. } => Self(Self::RESULTS.0 | Self::LOAD.0 | Self::SERIES.0),
            Kind::Claim { .. } | Kind::Verdict { .. } => Self::SERIES,
            Kind::Usage { .. } => Self::LOAD,
            Kind::Progress { .. } => Self::PROGRESS,
            Kind::Thought { .. } | Kind::Message { .. } | Kind::Action { .. } => Self(0),
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
