use std::fmt;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::crypto;
use jsonwebtoken::{Algorithm as Backend, DecodingKey};

use super::key::{Key, MIN_SECRET, TicketKey, choose_backend, read};
use super::{Algorithm, Config, Refusal, folder, jwks};

/// `kid` of the one key of a simple set-up (`auth.secret` or `auth.secret_file`).
pub(super) const DEFAULT_KID: &str = "default";

/// The keys in force, in the order of configuration: the simple one first, then those of the list, of the folder and of
/// the set; the newer ones behind the older.
#[derive(Debug, Clone)]
pub struct Keys {
    keys: Vec<Key>,
    ticket: Option<TicketKey>,
}

/// Why there are no usable keys. Shown as one line a problem, with the key of the configuration it is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeysError {
    /// None is configured.
    None,
    /// Some of them cannot be used: configuration key and problem.
    Unusable(Vec<(String, String)>),
    /// The cryptography of this build gives wrong answers.
    Backend,
}

impl fmt::Display for KeysError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => write!(
                f,
                "auth.secret: no key is configured; set auth.secret (CONSCIOUSNESS__AUTH__SECRET) to at least \
                 {MIN_SECRET} bytes, as `openssl rand -base64 48` makes them, or auth.secret_file, auth.keys_dir, \
                 auth.jwks_file or [[auth.keys]]"
            ),
            Self::Unusable(problems) => problems
                .iter()
                .enumerate()
                .try_for_each(|(i, (key, problem))| write!(f, "{}{key}: {problem}", if i == 0 { "" } else { "\n" })),
            Self::Backend => f.write_str("the cryptography of this build fails its self-test"),
        }
    }
}

impl std::error::Error for KeysError {}

impl Keys {
    /// Reads the configured keys, from files where they are in files.
    ///
    /// # Errors
    /// When there is none, when any cannot be used, or when the cryptography fails its self-test.
    pub fn load(config: &Config) -> Result<Self, KeysError> {
        self_test()?;
        let mut keys = Vec::new();
        let mut problems = Vec::new();
        let mut add = |name: String, path: &Path, key: Result<Key, String>| match key {
            Ok(key) if keys.iter().any(|known: &Key| known.kid() == key.kid()) => {
                problems.push((name, format!("{} has the kid of another key", path.display())));
            }
            Ok(key) => keys.push(key),
            Err(problem) if path.as_os_str().is_empty() => problems.push((name, problem)),
            Err(problem) => problems.push((name, format!("{} {problem}", path.display()))),
        };
        if !config.secret.is_empty() {
            let secret = config.secret.expose().as_bytes();
            add("auth.secret".to_owned(), Path::new(""), Key::symmetric(DEFAULT_KID, Algorithm::HS256, secret));
        } else if !config.secret_file.as_os_str().is_empty() {
            let path = &config.secret_file;
            add("auth.secret_file".to_owned(), path, Key::from_file(DEFAULT_KID, Algorithm::HS256, path));
        }
        for (i, key) in config.keys.iter().enumerate() {
            let (field, path) = if key.alg.is_symmetric() {
                ("secret_file", &key.secret_file)
            } else {
                ("public_key_file", &key.public_key_file)
            };
            add(format!("auth.keys[{i}].{field}"), path, Key::from_file(&key.kid, key.alg, path));
        }
        if !config.keys_dir.as_os_str().is_empty() {
            match folder::read(&config.keys_dir) {
                Ok(read) => read.into_iter().for_each(|(path, key)| add("auth.keys_dir".to_owned(), &path, key)),
                Err(problem) => add("auth.keys_dir".to_owned(), &config.keys_dir, Err(problem)),
            }
        }
        if !config.jwks_file.as_os_str().is_empty() {
            let path = &config.jwks_file;
            match jwks::read(path) {
                Ok(read) => read.into_iter().for_each(|key| add("auth.jwks_file".to_owned(), path, Ok(key))),
                Err(problem) => add("auth.jwks_file".to_owned(), path, Err(problem)),
            }
        }
        let ticket = ticket_key(config).unwrap_or_else(|problem| {
            problems.push(problem);
            None
        });
        if !problems.is_empty() {
            return Err(KeysError::Unusable(problems));
        }
        Self::new(keys).map(|keys| Self { ticket, ..keys })
    }

    /// Keys that were made elsewhere; of two with the same `kid`, the first counts.
    ///
    /// # Errors
    /// When there is none, or when the cryptography fails its self-test.
    pub fn new(keys: Vec<Key>) -> Result<Self, KeysError> {
        self_test()?;
        if keys.is_empty() { Err(KeysError::None) } else { Ok(Self { keys, ticket: None }) }
    }

    /// One random key that lives as long as the process, for demonstrations.
    ///
    /// # Errors
    /// When the cryptography fails its self-test.
    pub fn ephemeral() -> Result<Self, KeysError> {
        let secret: [u8; 48] = rand::random();
        let key = Key::symmetric(DEFAULT_KID, Algorithm::HS256, &secret).map_err(|_| KeysError::Backend)?;
        Self::new(vec![key])
    }

    /// The keys, those of them as old as they are that were there before.
    pub(super) fn continuing(self, before: &Self) -> Self {
        let continuing = |key: Key| match before.get(key.kid()) {
            Some(earlier) => key.continuing(earlier),
            None => key,
        };
        Self { keys: self.keys.into_iter().map(continuing).collect(), ..self }
    }

    /// The keys, in the order of configuration.
    pub fn iter(&self) -> impl Iterator<Item = &Key> {
        self.keys.iter()
    }

    /// The key of a `kid`.
    pub fn get(&self, kid: &str) -> Option<&Key> {
        self.keys.iter().find(|key| key.kid() == kid)
    }

    /// The key to sign with: the named one, else the newest (last) symmetric one.
    pub fn signing(&self, kid: Option<&str>) -> Option<&Key> {
        match kid {
            Some(kid) => self.get(kid),
            None => self.keys.iter().rev().find(|key| key.signing().is_some()),
        }
    }

    /// The key that a token must be signed by. One without a `kid` is checked with the only key, or with the simple one.
    pub(super) fn find(&self, kid: Option<&str>) -> Result<&Key, Refusal> {
        match (kid, self.keys.as_slice()) {
            (Some(kid), _) => self.get(kid),
            (None, [only]) => Some(only),
            (None, _) => self.get(DEFAULT_KID),
        }
        .ok_or(Refusal::UnknownKey)
    }

    /// The key that signs the ticket of a token of this `kid`: the configured one, else one that every pod that knows
    /// the token's key knows as well.
    pub(super) fn ticket(&self, kid: &str) -> Option<&TicketKey> {
        let own = || self.get(kid).and_then(Key::ticket);
        let newest = || self.keys.iter().rev().find_map(Key::ticket);
        self.ticket.as_ref().or_else(own).or_else(newest)
    }

    /// Every key that a valid ticket may be signed by.
    pub(super) fn tickets(&self) -> impl Iterator<Item = &TicketKey> {
        self.ticket.iter().chain(self.keys.iter().filter_map(Key::ticket))
    }
}

fn ticket_key(config: &Config) -> Result<Option<TicketKey>, (String, String)> {
    let (name, secret) = if !config.ticket_secret.is_empty() {
        ("auth.ticket_secret", config.ticket_secret.expose().as_bytes().to_vec())
    } else if !config.ticket_secret_file.as_os_str().is_empty() {
        let path = &config.ticket_secret_file;
        let named = |problem| ("auth.ticket_secret_file".to_owned(), format!("{} {problem}", path.display()));
        ("auth.ticket_secret_file", read(path).map_err(named)?.0)
    } else {
        return Ok(None);
    };
    if secret.len() < MIN_SECRET {
        return Err((name.to_owned(), format!("holds a secret shorter than {MIN_SECRET} bytes")));
    }
    TicketKey::derive(&secret).map(Some).map_err(|problem| (name.to_owned(), problem))
}

/// Checks the cryptography against the examples of RFC 7515 (appendix A.1) and RFC 8037 (appendix A.4).
fn self_test() -> Result<(), KeysError> {
    const HS_KEY: &str = "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow";
    const HS_MESSAGE: &[u8] =
        b"eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQo\
        gImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
    const HS_SIGNATURE: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
    const ED_KEY: &str = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";
    const ED_MESSAGE: &[u8] = b"eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc";
    const ED_SIGNATURE: &str = "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg";

    choose_backend();
    let hs_secret = URL_SAFE_NO_PAD.decode(HS_KEY).map_err(|_| KeysError::Backend)?;
    let hs = DecodingKey::from_secret(&hs_secret);
    let ed = DecodingKey::from_ed_components(ED_KEY).map_err(|_| KeysError::Backend)?;
    let holds = |signature: &str, message: &[u8], key: &DecodingKey, algorithm| {
        crypto::verify(signature, message, key, algorithm).unwrap_or(false)
    };
    let right =
        holds(HS_SIGNATURE, HS_MESSAGE, &hs, Backend::HS256) && holds(ED_SIGNATURE, ED_MESSAGE, &ed, Backend::EdDSA);
    let wrong =
        holds(HS_SIGNATURE, b"another", &hs, Backend::HS256) || holds(ED_SIGNATURE, b"another", &ed, Backend::EdDSA);
    if right && !wrong { Ok(()) } else { Err(KeysError::Backend) }
}
