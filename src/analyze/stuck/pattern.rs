//! The patterns, and what is said of one that was found.

use serde::{Deserialize, Serialize};

use super::Config;
use crate::domain::{Evidence, EvidenceKey, Severity, ToolName, Word};

/// A way of going round in circles. Numbers are the defaults of [`Config`]; in the order in which they are looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pattern {
    /// The last 4 steps are identical tool steps.
    ActionResultRepeat,
    /// The last 3 steps are tool steps with the same action that all failed, in whatever way.
    ActionErrorRepeat,
    /// The last steps are one round of 2 to 5 steps three times over: not all of them the same, at least one of a tool.
    Cycle,
    /// The last 3 steps are identical messages of the agent.
    Monologue,
    /// The last step failed, and the last 5 steps with its action in the window are identical failures, whatever stood
    /// between them.
    NoProgress,
}

/// A pattern that was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Detection {
    /// Which one.
    pub pattern: Pattern,
    /// Ordinal of the observation that completed the episode's first pattern: 1-based, all observations of the session
    /// counted.
    pub observation: u64,
    /// How often the step was seen, or for a cycle how many whole rounds.
    pub repeats: u32,
    /// Steps in one round of a cycle.
    pub period: Option<u32>,
    /// The tool in question: of a cycle, that of its first tool step; none for a monologue.
    pub tool: Option<ToolName>,
}

/// What an observation changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The agent is stuck: an episode began.
    Detected(Detection),
    /// It is still: the pattern goes on, or another took its place.
    Continued(Detection),
    /// It is no longer: a step broke the pattern, or the user spoke.
    Broken,
}

impl Pattern {
    /// The pattern as a fixed word.
    pub const fn word(self) -> Word {
        match self {
            Self::ActionResultRepeat => Word::ActionResultRepeat,
            Self::ActionErrorRepeat => Word::ActionErrorRepeat,
            Self::Cycle => Word::Cycle,
            Self::Monologue => Word::Monologue,
            Self::NoProgress => Word::NoProgress,
        }
    }

    /// The name as it is shown.
    pub const fn as_str(self) -> &'static str {
        self.word().as_str()
    }

    /// Repeats from which on it is found.
    pub const fn threshold(self, config: &Config) -> u32 {
        match self {
            Self::ActionResultRepeat => config.result_repeats,
            Self::ActionErrorRepeat => config.error_repeats,
            Self::Cycle => config.cycle_rounds,
            Self::Monologue => config.monologue,
            Self::NoProgress => config.no_progress,
        }
    }
}

impl Detection {
    /// A warning; critical once the repeats are twice what made it a pattern.
    pub fn severity(&self, config: &Config) -> Severity {
        if self.repeats >= self.pattern.threshold(config).saturating_mul(2) {
            Severity::Critical
        } else {
            Severity::Warning
        }
    }

    /// Pattern, repeats, period, tool and observation, as far as there are such.
    pub fn evidence(&self) -> Evidence {
        let mut evidence = Evidence::new()
            .word(EvidenceKey::Pattern, self.pattern.word())
            .count(EvidenceKey::Repeats, u64::from(self.repeats));
        if let Some(period) = self.period {
            evidence = evidence.count(EvidenceKey::Period, u64::from(period));
        }
        if let Some(tool) = &self.tool {
            evidence = evidence.tool(EvidenceKey::Tool, tool.clone());
        }
        evidence.count(EvidenceKey::Observation, self.observation)
    }
}
