use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::endpoint::check;
use crate::setting::{Problems, Secret, SecretUrl, duration};

/// Section `redis`: where the state outlives the process.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// `redis://`, `rediss://` (TLS), `redis+unix://` or `redis+sentinel://`; empty: the memory store.
    pub url: SecretUrl,
    /// The password, where it is not in the URL.
    pub password: Secret,
    /// File that holds the password; empty: none.
    pub password_file: PathBuf,
    /// File with the certificates (PEM) that a server's is checked against; empty: those of the operating system.
    pub tls_ca_file: PathBuf,
    /// Longest time that a start waits for Redis; after that the daemon begins with a fresh state.
    #[serde(with = "duration")]
    pub boot_timeout: Duration,
    /// Longest time for a connection to be made.
    #[serde(with = "duration")]
    pub connect_timeout: Duration,
    /// Longest time for a command to be answered; a large value is given a second more for each 16 MiB.
    #[serde(with = "duration")]
    pub response_timeout: Duration,
    /// Size in bytes over which a state is stored in parts of an eighth of that.
    pub value_bytes: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            url: SecretUrl::default(),
            password: Secret::default(),
            password_file: PathBuf::new(),
            tls_ca_file: PathBuf::new(),
            boot_timeout: Duration::from_secs(2),
            connect_timeout: Duration::from_millis(500),
            response_timeout: Duration::from_millis(500),
            value_bytes: 8 << 20,
        }
    }
}

impl Config {
    /// Reports values out of range.
    pub fn check(&self, problems: &mut Problems) {
        if let Some(problem) = Some(&self.url).filter(|url| !url.is_empty()).and_then(|url| check(url.expose()).err()) {
            problems.add("redis.url", problem);
        }
        let one = self.password.is_empty() || self.password_file.as_os_str().is_empty();
        problems.require("redis.password_file", one, "must be empty when redis.password is set");
        let timeouts = Duration::from_millis(10)..=Duration::from_secs(30);
        problems.duration("redis.boot_timeout", self.boot_timeout, Duration::ZERO..=Duration::from_mins(10));
        problems.duration("redis.connect_timeout", self.connect_timeout, timeouts.clone());
        problems.duration("redis.response_timeout", self.response_timeout, timeouts);
        problems.number("redis.value_bytes", self.value_bytes, 1 << 12..=512 << 20);
    }
}
