use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;

use super::claims::Rules;
use super::{Config, Keys, Refusal, Scope, Scopes, object};
use crate::domain::Timestamp;

/// Longest accepted token, in bytes.
pub const MAX_TOKEN: usize = 8 * 1024;

/// Whom a token speaks of.
#[derive(Clone, PartialEq, Eq)]
pub struct Identity {
    /// The claim `sub`, 1 to 256 bytes: who it is.
    pub subject: Arc<str>,
    /// What it allows.
    pub scopes: Scopes,
    /// The claim `jti`, 1 to 256 bytes: the token's own name.
    pub jti: Option<Arc<str>>,
    /// When the token expires. May lie as far back as clocks may be apart (`auth.leeway`).
    pub expires: Timestamp,
    /// When the token was issued, where it says so (`iat`).
    pub issued: Option<Timestamp>,
    /// The key that signed it.
    pub kid: Arc<str>,
}

impl Identity {
    /// Whether the token has a scope.
    pub fn allows(&self, scope: Scope) -> bool {
        self.scopes.contains(scope)
    }

    /// Refuses unless the token has one of these scopes. The refusal names the first.
    ///
    /// # Errors
    /// [`Refusal::InsufficientScope`].
    pub fn require(&self, one_of: &[Scope]) -> Result<(), Refusal> {
        match one_of {
            [] => Ok(()),
            _ if one_of.iter().any(|&scope| self.allows(scope)) => Ok(()),
            [first, ..] => Err(Refusal::InsufficientScope(*first)),
        }
    }
}

/// Without the `sub` and `jti`, which name people and tokens: logs that should show them say so.
impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { subject: _, scopes, jti: _, expires, issued, kid } = self;
        f.debug_struct("Identity")
            .field("scopes", scopes)
            .field("expires", expires)
            .field("issued", issued)
            .field("kid", kid)
            .finish_non_exhaustive()
    }
}

/// Checks tokens. Shared by all that need it; its keys are replaced while it works.
#[derive(Debug)]
pub struct Authenticator {
    keys: ArcSwap<Keys>,
    rules: Rules,
}

impl Authenticator {
    /// Checks with these keys, and with the audience, issuer, leeway and longest lifetime of the configuration.
    pub fn new(config: &Config, keys: Keys) -> Self {
        Self { keys: ArcSwap::from_pointee(keys), rules: Rules::new(config) }
    }

    /// Whom the token speaks of, if it is good at `now`. What the token says is looked at only when its signature holds.
    ///
    /// # Errors
    /// The first thing that is wrong with it.
    pub fn authenticate(&self, token: &str, now: Timestamp) -> Result<Identity, Refusal> {
        if token.len() > MAX_TOKEN {
            return Err(Refusal::TooLarge);
        }
        let (signed, signature) = token.rsplit_once('.').ok_or(Refusal::Malformed)?;
        let (header, claims) = signed.split_once('.').ok_or(Refusal::Malformed)?;
        let header = Header::read(&decode(header)?)?;
        // A fourth part shows here, since the alphabet has no dot.
        let claims = decode(claims)?;
        decode(signature)?;

        let keys = self.keys.load();
        let key = keys.find(header.kid.as_deref())?;
        if header.alg != key.algorithm().as_str() {
            return Err(Refusal::WrongAlgorithm);
        }
        if !key.verify(signed.as_bytes(), signature) {
            return Err(Refusal::BadSignature);
        }
        self.rules.check(&claims, key.kid(), now)
    }

    /// Puts other keys in force, for all tokens from now on.
    pub fn replace(&self, keys: Keys) {
        let keys = keys.continuing(&self.keys.load());
        self.keys.store(Arc::new(keys));
    }

    /// The keys in force.
    pub fn keys(&self) -> Arc<Keys> {
        self.keys.load_full()
    }

    /// How far clocks may be apart.
    pub fn leeway(&self) -> Duration {
        self.rules.leeway()
    }
}

/// What a token's header says, as far as it is believed: which key, and which algorithm it claims.
struct Header {
    alg: String,
    kid: Option<String>,
}

impl Header {
    fn read(json: &[u8]) -> Result<Self, Refusal> {
        let names = ["alg", "kid", "crit", "jwk", "jku", "x5u", "x5c"];
        let [alg, kid, crit, jwk, jku, x5u, x5c] = object::read(json, names)?;
        if [jwk, jku, x5u, x5c].iter().any(Option::is_some) {
            return Err(Refusal::KeyInHeader);
        }
        if crit.is_some() {
            return Err(Refusal::Critical);
        }
        match (alg, kid) {
            (Some(Value::String(alg)), None) => Ok(Self { alg, kid: None }),
            (Some(Value::String(alg)), Some(Value::String(kid))) => Ok(Self { alg, kid: Some(kid) }),
            _ => Err(Refusal::Malformed),
        }
    }
}

fn decode(part: &str) -> Result<Vec<u8>, Refusal> {
    URL_SAFE_NO_PAD.decode(part).map_err(|_| Refusal::Malformed)
}
