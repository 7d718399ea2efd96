use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Algorithm, MIN_SECRET, origin};
use crate::setting::{Problems, Secret, duration, list};

/// Section `auth`: who may do what.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// One HS256 key, for simple set-ups.
    pub secret: Secret,
    /// File that holds that key instead; empty: none.
    pub secret_file: PathBuf,
    /// Secret that signs resume tickets; empty: derived from the symmetric keys, else random.
    pub ticket_secret: Secret,
    /// File that holds that secret instead; empty: none.
    pub ticket_secret_file: PathBuf,
    /// Accepted audiences; empty: `aud` is not checked.
    #[serde(deserialize_with = "list")]
    pub audience: Vec<String>,
    /// Accepted issuers; empty: `iss` is not checked.
    #[serde(deserialize_with = "list")]
    pub issuer: Vec<String>,
    /// Web origins whose pages may open streams, beside the daemon's own.
    #[serde(deserialize_with = "list")]
    pub allowed_origins: Vec<String>,
    /// How far clocks may be apart.
    #[serde(with = "duration")]
    pub leeway: Duration,
    /// Longest accepted lifetime of a token.
    #[serde(with = "duration")]
    pub max_lifetime: Duration,
    /// What becomes of streams while the shared replay guard is away.
    pub replay_on_outage: ReplayOnOutage,
    /// Tokens and tickets in use that the replay guard remembers.
    pub replay_capacity: usize,
    /// Folder in which each file is a key; empty: none.
    pub keys_dir: PathBuf,
    /// File with a JSON Web Key Set; empty: none.
    pub jwks_file: PathBuf,
    /// Several keys at once, by `kid`.
    pub keys: Vec<KeyConfig>,
}

/// One of `[[auth.keys]]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyConfig {
    /// Name of the key in a token's header.
    pub kid: String,
    /// The key's algorithm.
    pub alg: Algorithm,
    /// File that holds the shared secret, for the HMAC algorithms; empty: none.
    #[serde(default, skip_serializing_if = "is_empty")]
    pub secret_file: PathBuf,
    /// PEM file that holds the public key, for the others; empty: none.
    #[serde(default, skip_serializing_if = "is_empty")]
    pub public_key_file: PathBuf,
}

/// Whether a text can be the `kid` of a key.
pub(super) fn is_kid(text: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"._:-".contains(&b);
    (1..=128).contains(&text.len()) && text.bytes().all(allowed)
}

fn is_empty(path: &Path) -> bool {
    path.as_os_str().is_empty()
}

/// What becomes of streams while the shared replay guard is away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ReplayOnOutage {
    /// Each pod guards alone.
    #[default]
    Local,
    /// No new stream is opened.
    Deny,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            secret: Secret::default(),
            secret_file: PathBuf::new(),
            ticket_secret: Secret::default(),
            ticket_secret_file: PathBuf::new(),
            audience: Vec::new(),
            issuer: Vec::new(),
            allowed_origins: Vec::new(),
            leeway: Duration::from_secs(30),
            max_lifetime: Duration::from_hours(366 * 24),
            replay_on_outage: ReplayOnOutage::default(),
            replay_capacity: 262_144,
            keys_dir: PathBuf::new(),
            jwks_file: PathBuf::new(),
            keys: Vec::new(),
        }
    }
}

impl Config {
    /// The files and folders that the keys are in: when one of them changes, the keys may have.
    pub fn key_files(&self) -> Vec<PathBuf> {
        let own = [&self.secret_file, &self.ticket_secret_file, &self.keys_dir, &self.jwks_file];
        let listed = self.keys.iter().flat_map(|key| [&key.secret_file, &key.public_key_file]);
        own.into_iter().chain(listed).filter(|path| !is_empty(path)).cloned().collect()
    }

    /// Reports values out of range and keys that contradict each other. Files are not looked at.
    pub fn check(&self, problems: &mut Problems) {
        for (key, secret, file) in [
            ("auth.secret", &self.secret, &self.secret_file),
            ("auth.ticket_secret", &self.ticket_secret, &self.ticket_secret_file),
        ] {
            let long = secret.is_empty() || secret.expose().len() >= MIN_SECRET;
            problems.require(key, long, &format!("must be at least {MIN_SECRET} bytes long"));
            let one = secret.is_empty() || is_empty(file);
            problems.require(&format!("{key}_file"), one, &format!("must be empty when {key} is set"));
        }
        for (i, origin) in self.allowed_origins.iter().enumerate() {
            let key = format!("auth.allowed_origins[{i}]");
            let good = origin::is_well_formed(origin);
            problems.require(&key, good, "must be an origin such as \"https://ops.example.com\", without a path");
        }
        problems.duration("auth.leeway", self.leeway, Duration::ZERO..=Duration::from_mins(5));
        let lifetimes = Duration::from_mins(1)..=Duration::from_hours(3660 * 24);
        problems.duration("auth.max_lifetime", self.max_lifetime, lifetimes);
        problems.number("auth.replay_capacity", self.replay_capacity, 1_024..=16_777_216);
        for (i, key) in self.keys.iter().enumerate() {
            self.check_key(i, key, problems);
        }
    }

    fn check_key(&self, i: usize, key: &KeyConfig, problems: &mut Problems) {
        let name = |field: &str| format!("auth.keys[{i}].{field}");
        problems.require(&name("kid"), is_kid(&key.kid), "must be 1 to 128 characters of A-Z a-z 0-9 . _ : -");
        let simple = !self.secret.is_empty() || !is_empty(&self.secret_file);
        let taken = self.keys.iter().take(i).any(|earlier| earlier.kid == key.kid)
            || (simple && key.kid == super::keys::DEFAULT_KID);
        problems.require(&name("kid"), !taken, "is the kid of another key");
        let (wanted, other, problem) = if key.alg.is_symmetric() {
            ("secret_file", "public_key_file", [is_empty(&key.secret_file), !is_empty(&key.public_key_file)])
        } else {
            ("public_key_file", "secret_file", [is_empty(&key.public_key_file), !is_empty(&key.secret_file)])
        };
        problems.require(&name(wanted), !problem[0], &format!("is needed for {}", key.alg.as_str()));
        problems.require(&name(other), !problem[1], &format!("has no meaning for {}", key.alg.as_str()));
    }
}
