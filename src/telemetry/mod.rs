//! Leaf: logs and metrics, used by every floor above the pure ones.

mod config;
mod exposition;
mod logs;
mod metrics;

pub use config::{Config, Format as LogFormat};
pub use exposition::{Exposition, Format};
pub use logs::{LogError, Logs};
pub use metrics::Metrics;
