use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::setting::{Problems, duration};

/// Section `snapshot`: copies of the state that are kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SnapshotConfig {
    /// Time from snapshot to snapshot.
    #[serde(with = "duration")]
    pub interval: Duration,
    /// Snapshots kept at most.
    pub keep_count: usize,
    /// Bytes of snapshots kept at most, their parts included; one is kept, however large.
    pub keep_bytes: u64,
    /// Age at which a snapshot is dropped.
    #[serde(with = "duration")]
    pub keep_for: Duration,
}

impl Default for SnapshotConfig {
    fn default() -> Self {
        Self {
            interval: Duration::from_mins(1),
            keep_count: 1_440,
            keep_bytes: 512 << 20,
            keep_for: Duration::from_hours(7 * 24),
        }
    }
}

impl SnapshotConfig {
    /// Reports values out of range.
    pub fn check(&self, problems: &mut Problems) {
        let day = Duration::from_hours(24);
        problems.duration("snapshot.interval", self.interval, Duration::from_secs(1)..=day);
        problems.number("snapshot.keep_count", self.keep_count, 1..=100_000);
        problems.number("snapshot.keep_bytes", self.keep_bytes, 1 << 20..=1 << 40);
        problems.duration("snapshot.keep_for", self.keep_for, Duration::from_mins(1)..=day * 366);
    }
}
