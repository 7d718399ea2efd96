//! Leaf room: logs and metrics, used by every floor above the pure ones.

mod config;
mod exposition;
mod logs;
mod metrics;

/// The commit that the program is built from; "unknown" where the build could not know it.
pub const COMMIT: &str = env!("CONSCIOUSNESS_COMMIT");

pub use config::Config;
pub use exposition::{Exposition, Format};
pub use logs::{LogError, LogFormat, Logs};
pub use metrics::Metrics;
