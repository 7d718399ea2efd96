//! What can be set.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{pending, window};

/// Settings of the calibration of all agents.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Resolved claims that the figures are over, 1 to 32,000.
    pub window: usize,
    /// Resolved claims below which there are no figures.
    pub minimum: usize,
    /// Resolved claims below which there is no d′ and what follows from it.
    pub sensitivity_minimum: usize,
    /// Resolved claims below which a class of tasks is not fitted apart.
    pub stratum_minimum: usize,
    /// Claims and early verdicts that wait for their other half at a time, 1 to 32,000; the oldest give way.
    pub pending: usize,
    /// How long they wait at most.
    #[serde(with = "jiff::fmt::serde::unsigned_duration::friendly::compact::required")]
    pub expiry: Duration,
    /// Bias that is none: `overconfident` opens when the whole 99 % interval of the bias is above, `underconfident` when
    /// it is below the negative.
    pub bias_margin: f64,
    /// Bias (without its interval) under which they close.
    pub bias_close: f64,
    /// Bias from which they are a warning rather than an information.
    pub bias_warning: f64,
    /// Bias from which `overconfident` is critical.
    pub bias_critical: f64,
    /// `unreliable` opens when the whole 99 % interval of the type-2 AUROC is below.
    pub auroc2_open: f64,
    /// Type-2 AUROC (without its interval) from which it closes.
    pub auroc2_close: f64,
    /// Share of pairs of a right and a wrong claim that must differ in confidence for discrimination to be judged at
    /// all.
    pub untied_minimum: f64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            window: 1000,
            minimum: 20,
            sensitivity_minimum: 50,
            stratum_minimum: 20,
            pending: 512,
            expiry: Duration::from_hours(24),
            bias_margin: 0.05,
            bias_close: 0.03,
            bias_warning: 0.1,
            bias_critical: 0.3,
            auroc2_open: 0.65,
            auroc2_close: 0.68,
            untied_minimum: 0.25,
        }
    }
}

impl Config {
    /// Most that [`Self::pending`] may be.
    pub const MOST_PENDING: usize = pending::MAX;

    /// Checks the ranges; the error names the key and what it must be.
    pub fn validate(&self) -> Result<(), (&'static str, &'static str)> {
        let share = |x: f64| (0.0..=1.0).contains(&x);
        let rules = [
            ("window", (1..=window::MAX).contains(&self.window), "must be from 1 to 32000"),
            ("minimum", self.minimum >= 2, "must be at least 2"),
            ("sensitivity_minimum", self.sensitivity_minimum >= 2, "must be at least 2"),
            ("stratum_minimum", self.stratum_minimum >= 2, "must be at least 2"),
            ("pending", (1..=pending::MAX).contains(&self.pending), "must be from 1 to 32000"),
            ("bias_margin", share(self.bias_margin), "must be from 0 to 1"),
            ("bias_close", (0.0..=self.bias_margin).contains(&self.bias_close), "must be from 0 to bias_margin"),
            ("bias_warning", share(self.bias_warning), "must be from 0 to 1"),
            ("bias_critical", share(self.bias_critical), "must be from 0 to 1"),
            ("auroc2_open", share(self.auroc2_open), "must be from 0 to 1"),
            ("auroc2_close", (self.auroc2_open..=1.0).contains(&self.auroc2_close), "must be from auroc2_open to 1"),
            ("untied_minimum", share(self.untied_minimum), "must be from 0 to 1"),
        ];
        rules.into_iter().find(|(_, kept, _)| !kept).map_or(Ok(()), |(key, _, rule)| Err((key, rule)))
    }
}
