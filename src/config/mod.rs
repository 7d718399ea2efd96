//! Floor 6: the configuration, composed of the rooms' own.
//!
//! A TOML file and the environment are read as one tree; each key on its own, so that every mistake is reported at once
//! and with the place it came from. `config/default.toml` documents all keys.

mod analysis;
mod load;
mod shutdown;
#[cfg(test)]
mod tests;

use std::path::Path;

use serde::{Deserialize, Serialize};

pub use load::{Error, PREFIX, Problem, environment};
pub use shutdown::Shutdown;

use crate::setting::{Limits, Problems};
use crate::{auth, cluster, engine, heartbeat, http, link, store, stream, telemetry};

/// `config/default.toml`: every key with its meaning, unit, range and default.
pub const DEFAULT_TOML: &str = include_str!("../../config/default.toml");

/// Everything that can be configured.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The listener and its connections.
    pub server: http::Config,
    /// The beat.
    pub heart: heartbeat::Config,
    /// Who may do what.
    pub auth: auth::Config,
    /// The trail of who did what.
    pub audit: auth::audit::Config,
    /// How agents are analysed.
    pub analysis: engine::Config,
    /// Where the state outlives the process.
    pub redis: link::Config,
    /// One pod among several.
    pub cluster: cluster::Config,
    /// Copies of the state that are kept.
    pub snapshot: store::SnapshotConfig,
    /// Bounds on what clients may make the daemon hold or do.
    pub limits: Limits,
    /// How clients that don't keep up are treated.
    pub stream: stream::Config,
    /// How the daemon ends.
    pub shutdown: Shutdown,
    /// What is logged, and how.
    pub log: telemetry::Config,
}

impl Config {
    /// Reads the defaults, over them the file, over them the variables `CONSCIOUSNESS__SECTION__KEY`; others are not
    /// looked at. A variable's value is taken as text where the key wants text, else as TOML.
    ///
    /// # Errors
    /// All that is wrong, one line a problem. Values are never quoted.
    pub fn load(path: Option<&Path>, env: impl IntoIterator<Item = (String, String)>) -> Result<Self, Error> {
        load::load(path, env)
    }

    /// The same from a text in place of a file; `source` says in problems where it came from.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn parse(text: &str, source: &str, env: impl IntoIterator<Item = (String, String)>) -> Result<Self, Error> {
        load::parse(text, source, env)
    }

    /// The settings of the engine, limits included.
    pub fn engine(&self) -> engine::Config {
        let Limits { agents, sessions_per_agent, .. } = self.limits;
        engine::Config { agents, sessions_per_agent, ..self.analysis.clone() }
    }

    /// The configuration as TOML, its secrets masked.
    pub fn to_toml(&self) -> String {
        // Tables, strings and numbers always have a TOML form; there is no value here that has none.
        toml::to_string(self).unwrap_or_default()
    }

    /// Reports values out of range and keys that contradict each other.
    fn check(&self) -> Problems {
        let mut problems = Problems::default();
        self.server.check(&mut problems);
        self.heart.check(&mut problems);
        self.auth.check(&mut problems);
        self.audit.check(&mut problems);
        analysis::check(&self.analysis, &mut problems);
        self.redis.check(&mut problems);
        self.cluster.check(&mut problems);
        self.snapshot.check(&mut problems);
        self.limits.check(&mut problems);
        self.stream.check(&mut problems);
        self.shutdown.check(&mut problems);
        self.log.check(&mut problems);
        problems
    }
}
