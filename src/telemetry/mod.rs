//! Leaf room: logs and metrics, used by every floor above the pure ones.

mod exposition;
mod logs;
mod metrics;

pub use exposition::{Exposition, Format};
pub use logs::{LogError, LogFormat, Logs};
pub use metrics::Metrics;
