//! The meta-state, less the agents' parts, which the engine keeps where it finds them fast.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::insights::{InsightBook, OpenKinds};
use super::reading::Reading;
use super::reflection::Reflection;
use crate::analyze::vitals::Vitals;
use crate::domain::{AgentId, Timestamp};

/// What the daemon knows of itself and of all agents together: private.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct MetaState {
    /// Fencing number of the leadership.
    pub epoch: u64,
    /// Beats since the state was born.
    pub beat: u64,
    /// When the last beat was.
    pub at: Timestamp,
    /// Observations counted.
    pub observations: u64,
    /// Observations that were counted already.
    pub duplicates: u64,
    /// Agents forgotten for want of room.
    pub evicted: u64,
    /// The open insights.
    pub insights: InsightBook,
    /// Those of them about the daemon.
    pub own: OpenKinds,
    /// Agents whose metacognitive sensitivity wants fitting, first come first.
    pub unfitted: VecDeque<AgentId>,
    /// The daemon's condition.
    pub vitals: Vitals,
    /// The private narrative.
    pub reflection: Reflection,
    /// How far the stream of observations is folded.
    #[serde(default)]
    pub reading: Reading,
}
