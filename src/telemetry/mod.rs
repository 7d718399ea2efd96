//! Leaf room: logs and metrics, used by every floor above the pure ones.

mod config;
mod exposition;
mod logs;
mod metrics;

pub use config::Config;
pub use exposition::{Exposition, Format};
pub use logs::{LogError, LogFormat, Logs};
pub use metrics::Metrics;
