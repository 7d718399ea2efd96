//! Floor 0: what the whole house talks about.
//!
//! Plain data with checked constructors. Nothing here knows I/O, an async runtime, a clock or a source of randomness;
//! times arrive as [`Timestamp`]s that somebody else read.

mod ids;
mod insight;
mod observation;
mod text;
mod time;

pub use ids::{
    AgentId, CallKey, ClaimKey, IdError, InsightId, InstanceName, ObservationKey, SessionKey, TaskKey, ToolName,
};
pub use insight::{
    Advice, Assessment, BreakerState, ClusterStatus, Evidence, EvidenceKey, EvidenceValue, Insight, InsightKind,
    Severity, Status, StoreMode, Word,
};
pub use observation::{Failure, Kind, KindName, Observation, Probability, Role, Source};
pub use text::Text;
pub use time::Timestamp;
