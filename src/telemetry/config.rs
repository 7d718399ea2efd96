use serde::{Deserialize, Serialize};
use tracing_subscriber::EnvFilter;

use crate::setting::Problems;

/// Section `log`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// How a log event is written.
    pub format: Format,
    /// Which events are written, in the syntax of `tracing_subscriber::EnvFilter`.
    pub filter: String,
}

/// How a log event is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// One JSON object a line.
    #[default]
    Json,
    /// For people.
    Pretty,
}

impl Default for Config {
    fn default() -> Self {
        Self { format: Format::default(), filter: "info".to_owned() }
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
