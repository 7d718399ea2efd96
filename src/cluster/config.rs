use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::domain::InstanceName;
use crate::setting::{Problems, duration};

/// Section `cluster`: one pod among several on the same Redis.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The pod's name, shown while it leads; empty: the host's name and the process's number.
    pub instance: String,
    /// Life of the leader's lease: how long the others wait for one that says nothing any more.
    #[serde(with = "duration")]
    pub lease: Duration,
    /// Bytes of accepted observations that are held until they are part of a stored state.
    pub spool_bytes: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self { instance: String::new(), lease: Duration::from_secs(2), spool_bytes: 256 << 20 }
    }
}

impl Config {
    /// Reports values out of range.
    pub fn check(&self, problems: &mut Problems) {
        if let Some(Err(problem)) = (!self.instance.is_empty()).then(|| InstanceName::new(&self.instance)) {
            problems.add("cluster.instance", problem.to_string());
        }
        let lives = Duration::from_millis(200)..=Duration::from_mins(1);
        problems.duration("cluster.lease", self.lease, lives);
        problems.number("cluster.spool_bytes", self.spool_bytes, 1 << 20..=1 << 36);
    }

    /// The pod's name: as configured, else made of these.
    pub fn instance(&self, host: &str, process: u32) -> InstanceName {
        if self.instance.is_empty() {
            // A number alone, where the host's name is too long to stand before it.
            InstanceName::fitted(&format!("{host}-{process}"))
        } else {
            InstanceName::fitted(&self.instance)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pod_has_a_name() {
        let named = Config { instance: "pod-1".into(), ..Config::default() };
        assert_eq!(named.instance("host", 7).as_str(), "pod-1");
        assert_eq!(Config::default().instance("host", 7).as_str(), "host-7");
        assert!(Config::default().instance("hôte", 7).as_str().starts_with("instance-"));
    }
}
