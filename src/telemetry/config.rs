use serde::{Deserialize, Serialize};
use tracing_subscriber::EnvFilter;

use super::LogFormat;
use crate::setting::Problems;

/// Section `log`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// How a log event is written.
    pub format: LogFormat,
    /// Which events are written, in the syntax of `tracing_subscriber::EnvFilter`.
    pub filter: String,
}

impl Default for Config {
    fn default() -> Self {
        Self { format: LogFormat::Auto, filter: "info".to_owned() }
    }
}

impl Config {
    /// Reports values that cannot be used.
    pub fn check(&self, problems: &mut Problems) {
        let good = !self.filter.trim().is_empty() && EnvFilter::try_new(&self.filter).is_ok();
        problems.require(
            "log.filter",
            good,
            "must be a filter such as \"info\" or \"warn,consciousness_system=debug\"",
        );
    }
}
