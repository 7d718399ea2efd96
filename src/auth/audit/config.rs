use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::setting::{Problems, duration};

/// Section `audit`: the trail of who did what.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Age at which a row is cut off.
    #[serde(with = "duration")]
    pub keep_for: Duration,
    /// Rows kept at most, whatever their age.
    pub keep_rows: usize,
    /// How often what happens often is told, with a count.
    #[serde(with = "duration")]
    pub interval: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self { keep_for: Duration::from_hours(400 * 24), keep_rows: 2_000_000, interval: Duration::from_mins(1) }
    }
}

impl Config {
    /// Reports values out of range.
    pub fn check(&self, problems: &mut Problems) {
        let ages = Duration::from_hours(24)..=Duration::from_hours(3660 * 24);
        problems.duration("audit.keep_for", self.keep_for, ages);
        problems.number("audit.keep_rows", self.keep_rows, 1_000..=1_000_000_000);
        problems.duration("audit.interval", self.interval, Duration::from_secs(1)..=Duration::from_hours(1));
    }
}
