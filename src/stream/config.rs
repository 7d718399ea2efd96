use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::setting::{Problems, duration};

/// Section `stream`: how clients that don't keep up are treated.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// How long frames are merged for a slow client before they are given up and it is sent a fresh state.
    #[serde(with = "duration")]
    pub merge_for: Duration,
    /// A client that takes nothing for so long is closed (4408).
    #[serde(with = "duration")]
    pub stall_timeout: Duration,
    /// Time from ping to ping.
    #[serde(with = "duration")]
    pub ping_interval: Duration,
    /// How often the log tells which clients frames were dropped for.
    #[serde(with = "duration")]
    pub report_interval: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            merge_for: Duration::from_secs(5),
            stall_timeout: Duration::from_secs(30),
            ping_interval: Duration::from_secs(20),
            report_interval: Duration::from_mins(1),
        }
    }
}

impl Config {
    /// Reports values out of range.
    pub fn check(&self, problems: &mut Problems) {
        let range = Duration::from_millis(100)..=Duration::from_mins(10);
        problems.duration("stream.merge_for", self.merge_for, range.clone());
        problems.duration("stream.stall_timeout", self.stall_timeout, range.clone());
        problems.duration("stream.ping_interval", self.ping_interval, range);
        let reports = Duration::from_secs(1)..=Duration::from_hours(24);
        problems.duration("stream.report_interval", self.report_interval, reports);
        let later = self.merge_for <= self.stall_timeout;
        problems.require("stream.merge_for", later, "must not be longer than stream.stall_timeout");
    }
}
