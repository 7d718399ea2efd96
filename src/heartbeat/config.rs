use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::setting::{Problems, duration};

/// Section `heart`: the beat.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Time from beat to beat.
    #[serde(with = "duration")]
    pub interval: Duration,
    /// Share of the interval that analysis may take; what does not fit is left to the next beat.
    pub budget: f64,
    /// Whether to ask the operating system to run the heart before all that is not real-time.
    pub realtime: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self { interval: Duration::from_millis(100), budget: 0.5, realtime: true }
    }
}

impl Config {
    /// Reports values out of range.
    pub fn check(&self, problems: &mut Problems) {
        problems.duration("heart.interval", self.interval, Duration::from_millis(5)..=Duration::from_secs(10));
        problems.number("heart.budget", self.budget, 0.05..=0.95);
    }
}
