use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;

use super::Key;
use crate::domain::Timestamp;

/// What a new token says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Claims {
    /// Who it is for.
    pub sub: String,
    /// What it allows: words with spaces between.
    pub scope: String,
    /// The token's own name.
    pub jti: String,
    /// When it is issued, in seconds since 1970.
    pub iat: u64,
    /// When it expires, in seconds since 1970.
    pub exp: u64,
    /// Whom it is meant for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub aud: Option<String>,
    /// Who issues it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub iss: Option<String>,
}

impl Claims {
    /// Claims of a token that is good from `now` on for a time (whole seconds), with a random `jti`.
    pub fn new(sub: impl Into<String>, scope: impl Into<String>, now: Timestamp, lifetime: Duration) -> Self {
        let id: [u8; 16] = rand::random();
        let iat = now.as_millis() / 1_000;
        let exp = iat.saturating_add(lifetime.as_secs());
        let jti = URL_SAFE_NO_PAD.encode(id);
        Self { sub: sub.into(), scope: scope.into(), jti, iat, exp, aud: None, iss: None }
    }
}

/// Why no token was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MintError {
    /// The key is a public one.
    #[error("this key is a public one, which checks tokens but cannot sign them")]
    PublicKey,
    /// The backend failed, which it has no reason to.
    #[error("the token cannot be signed")]
    Backend,
}

/// A token signed with a symmetric key.
///
/// # Errors
/// When the key cannot sign.
pub fn mint(key: &Key, claims: &Claims) -> Result<String, MintError> {
    let signing = key.signing().ok_or(MintError::PublicKey)?;
    let mut header = jsonwebtoken::Header::new(key.algorithm().backend());
    header.kid = Some(key.kid().to_owned());
    jsonwebtoken::encode(&header, claims, signing).map_err(|_| MintError::Backend)
}
