//! How old the keys are.

use std::collections::HashSet;

use crate::auth::Authenticator;
use crate::domain::Timestamp;
use crate::telemetry::Metrics;

/// Keeps `auth_key_age_seconds` up to date.
pub(super) struct Ages {
    started: Timestamp,
    told: HashSet<String>,
    metrics: Metrics,
}

impl Ages {
    pub(super) fn new(started: Timestamp, metrics: Metrics) -> Self {
        Self { started, told: HashSet::new(), metrics }
    }

    /// Tells the age of each key in force, and of no other.
    pub(super) fn tell(&mut self, authenticator: &Authenticator, now: Timestamp) {
        let mut known = HashSet::with_capacity(self.told.len());
        for key in authenticator.keys().iter() {
            let age = now.since(key.since().unwrap_or(self.started));
            self.metrics.auth_key_age_seconds.with_label_values(&[key.kid()]).set(age.as_secs_f64());
            known.insert(key.kid().to_owned());
        }
        for gone in self.told.difference(&known) {
            // An error means that it is gone already.
            let _ = self.metrics.auth_key_age_seconds.remove_label_values(&[gone]);
        }
        self.told = known;
    }
}
