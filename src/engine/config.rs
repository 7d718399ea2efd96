//! All settings of the analysis.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::reflection;
use crate::analyze::{calibration, drift, errors, load, progress, silence, stuck, vitals};

/// How agents are analysed, and how much is remembered of them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Agents remembered; beyond that the one not seen for the longest time is forgotten, and counted. Set with the other
    /// limits.
    #[serde(skip)]
    pub agents: usize,
    /// Sessions remembered of each agent, likewise.
    #[serde(skip)]
    pub sessions_per_agent: usize,
    /// Idempotency keys remembered of each agent, the last ones.
    pub ids_per_agent: usize,
    /// An agent that has not shown itself for so long is idle.
    #[serde(with = "jiff::fmt::serde::unsigned_duration::friendly::compact::required")]
    pub idle_after: Duration,
    /// Metacognitive sensitivity is fitted for at most so many agents a beat.
    pub fits_per_beat: usize,
    /// See [`stuck::Config`].
    pub stuck: stuck::Config,
    /// See [`errors::Config`].
    pub errors: errors::Config,
    /// See [`calibration::Config`].
    pub calibration: calibration::Config,
    /// See [`drift::Config`].
    pub drift: drift::Config,
    /// See [`load::Config`].
    pub load: load::Config,
    /// See [`progress::Config`].
    pub progress: progress::Config,
    /// See [`silence::Config`].
    pub silence: silence::Config,
    /// How often the daemon reflects, and how much of it is kept.
    pub reflection: reflection::Config,
    /// See [`vitals::Config`].
    pub vitals: vitals::Config,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            agents: 100_000,
            sessions_per_agent: 256,
            ids_per_agent: 2048,
            idle_after: Duration::from_secs(60),
            fits_per_beat: 8,
            stuck: stuck::Config::default(),
            errors: errors::Config::default(),
            calibration: calibration::Config::default(),
            drift: drift::Config::default(),
            load: load::Config::default(),
            progress: progress::Config::default(),
            silence: silence::Config::default(),
            reflection: reflection::Config::default(),
            vitals: vitals::Config::default(),
        }
    }
}
