use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::setting::{Problems, duration};

/// Section `shutdown`: how the daemon ends after a SIGTERM.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Shutdown {
    /// Time from the signal to the exit, at most.
    #[serde(with = "duration")]
    pub grace: Duration,
    /// Window across which the streams are closed, each at a random moment.
    #[serde(with = "duration")]
    pub drain: Duration,
}

impl Default for Shutdown {
    fn default() -> Self {
        Self { grace: Duration::from_secs(25), drain: Duration::from_secs(10) }
    }
}

impl Shutdown {
    pub(super) fn check(&self, problems: &mut Problems) {
        problems.duration("shutdown.grace", self.grace, Duration::from_millis(100)..=Duration::from_mins(10));
        let within = self.drain <= self.grace;
        problems.require("shutdown.drain", within, "must not be longer than shutdown.grace");
    }
}
