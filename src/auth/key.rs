use std::path::Path;

use jsonwebtoken::crypto::{self, rust_crypto::DEFAULT_PROVIDER};
use jsonwebtoken::{DecodingKey, EncodingKey};

use super::Algorithm;
use crate::domain::Timestamp;

/// Shortest accepted secret, in bytes.
pub const MIN_SECRET: usize = 32;

/// Shortest accepted RSA key, in bytes of its modulus (RFC 7518, section 3.3).
const MIN_RSA_MODULUS: usize = 256;

/// What tickets' keys are derived from a secret with. No token's signing input can be this text, since that has a dot.
const TICKET_LABEL: &[u8] = b"consciousness-system resume ticket v1";

/// A configured key: it checks tokens, and signs them where it is symmetric. `Debug` shows nothing secret.
#[derive(Debug, Clone)]
pub struct Key {
    kid: Box<str>,
    algorithm: Algorithm,
    checking: DecodingKey,
    signing: Option<EncodingKey>,
    ticket: Option<TicketKey>,
    since: Option<Timestamp>,
}

impl Key {
    /// A shared secret. The algorithm must be symmetric.
    ///
    /// # Errors
    /// What is wrong with the secret, in words that don't quote it.
    pub fn symmetric(kid: &str, algorithm: Algorithm, secret: &[u8]) -> Result<Self, String> {
        if !algorithm.is_symmetric() {
            return Err(format!("a secret has no meaning for {}", algorithm.as_str()));
        }
        if secret.len() < MIN_SECRET {
            return Err(format!("holds a secret shorter than {MIN_SECRET} bytes"));
        }
        // A public key is known to everybody: as a secret it would let everybody sign.
        if secret.trim_ascii_start().starts_with(b"-----BEGIN") {
            return Err("holds a PEM key, not a secret".to_owned());
        }
        Ok(Self {
            kid: kid.into(),
            algorithm,
            checking: DecodingKey::from_secret(secret),
            signing: Some(EncodingKey::from_secret(secret)),
            ticket: Some(TicketKey::derive(secret)?),
            since: None,
        })
    }

    /// A public key as PEM. The algorithm must not be symmetric.
    ///
    /// # Errors
    /// What is wrong with the key, in words that don't quote it.
    pub fn public(kid: &str, algorithm: Algorithm, pem: &[u8]) -> Result<Self, String> {
        let text = String::from_utf8_lossy(pem);
        if text.contains("PRIVATE KEY-----") {
            return Err("holds a private key; the public one belongs here".to_owned());
        }
        // Not certificates: what the backend takes from one is the first bit string in it, whatever that is.
        if !text.contains("-----BEGIN PUBLIC KEY-----") && !text.contains("-----BEGIN RSA PUBLIC KEY-----") {
            return Err("holds no public key in PEM form (BEGIN PUBLIC KEY)".to_owned());
        }
        choose_backend();
        let checking = match algorithm {
            Algorithm::EdDSA => DecodingKey::from_ed_pem(pem),
            Algorithm::ES256 => DecodingKey::from_ec_pem(pem),
            Algorithm::RS256 | Algorithm::PS256 => DecodingKey::from_rsa_pem(pem),
            Algorithm::HS256 | Algorithm::HS384 | Algorithm::HS512 => {
                return Err(format!("a public key has no meaning for {}", algorithm.as_str()));
            }
        };
        let wrong = || format!("holds no key for {}", algorithm.as_str());
        let checking = checking.map_err(|_| wrong())?;
        check_size(algorithm, &checking).ok_or_else(wrong)??;
        // Builds the verifier, which reads the key: a key on another curve fails here and not at the first token.
        crypto::verify("", b"", &checking, algorithm.backend()).map_err(|_| wrong())?;
        Ok(Self { kid: kid.into(), algorithm, checking, signing: None, ticket: None, since: None })
    }

    /// The key in a file.
    ///
    /// # Errors
    /// As [`Self::symmetric`] and [`Self::public`], and what the file system says.
    pub fn from_file(kid: &str, algorithm: Algorithm, path: &Path) -> Result<Self, String> {
        let (content, since) = read(path)?;
        let key = if algorithm.is_symmetric() {
            Self::symmetric(kid, algorithm, &content)
        } else {
            Self::public(kid, algorithm, &content)
        };
        key.map(|key| Self { since, ..key })
    }

    /// Name of the key in a token's header.
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// The key's algorithm.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// When the key's file was last written, for the key's age; `None` for one that stands in the configuration.
    pub fn since(&self) -> Option<Timestamp> {
        self.since
    }

    /// Whether `signature` (base64url) is this key's of `message`.
    pub(super) fn verify(&self, message: &[u8], signature: &str) -> bool {
        crypto::verify(signature, message, &self.checking, self.algorithm.backend()).unwrap_or(false)
    }

    pub(super) fn signing(&self) -> Option<&EncodingKey> {
        self.signing.as_ref()
    }

    pub(super) fn ticket(&self) -> Option<&TicketKey> {
        self.ticket.as_ref()
    }
}

/// Names the cryptography to use. Left to itself the library chooses by features of the build, and panics at the first
/// token where these are not unique.
pub(super) fn choose_backend() {
    // An error means that one is named already.
    let _ = DEFAULT_PROVIDER.install_default();
}

/// `None` where the key cannot be read at all; else whether it is large enough.
fn check_size(algorithm: Algorithm, key: &DecodingKey) -> Option<Result<(), String>> {
    let bytes = key.try_get_as_bytes().ok()?;
    match algorithm {
        // The backend takes a slice of 32 bytes without looking.
        Algorithm::EdDSA => (bytes.len() == 32).then_some(Ok(())),
        Algorithm::RS256 | Algorithm::PS256 => {
            let (modulus, _) = (DEFAULT_PROVIDER.key_utils.rsa_pub_components_from_public_key)(bytes).ok()?;
            let significant = modulus.iter().skip_while(|&&byte| byte == 0).count();
            Some(if significant < MIN_RSA_MODULUS {
                Err(format!("holds an RSA key shorter than {} bits", MIN_RSA_MODULUS * 8))
            } else {
                Ok(())
            })
        }
        _ => Some(Ok(())),
    }
}

/// A file's content without one newline at its end, and when it was last written.
pub(super) fn read(path: &Path) -> Result<(Vec<u8>, Option<Timestamp>), String> {
    let content = std::fs::read(path).map_err(|error| format!("cannot be read: {}", error.kind()))?;
    let bare = content.strip_suffix(b"\n").map(|line| line.strip_suffix(b"\r").unwrap_or(line)).unwrap_or(&content);
    let modified = std::fs::metadata(path).and_then(|metadata| metadata.modified()).ok();
    let nanos = modified.and_then(|time| time.duration_since(std::time::UNIX_EPOCH).ok()).map(|age| age.as_nanos());
    let since = nanos.and_then(|nanos| i64::try_from(nanos).ok()).map(Timestamp::from_nanos);
    Ok((bare.to_vec(), since))
}

/// Signs resume tickets. Derived from a secret, so that pods with the same secrets take each other's tickets, while no
/// ticket can pass for a token or the other way round.
#[derive(Debug, Clone)]
pub(super) struct TicketKey {
    signing: EncodingKey,
    checking: DecodingKey,
}

impl TicketKey {
    pub(super) fn derive(secret: &[u8]) -> Result<Self, String> {
        choose_backend();
        let derived = crypto::sign(TICKET_LABEL, &EncodingKey::from_secret(secret), jsonwebtoken::Algorithm::HS256)
            .map_err(|_| "no ticket key can be derived from it".to_owned())?;
        let bytes = derived.as_bytes();
        Ok(Self { signing: EncodingKey::from_secret(bytes), checking: DecodingKey::from_secret(bytes) })
    }

    /// The message's signature (base64url); `None` where the backend fails, which it has no reason to.
    pub(super) fn sign(&self, message: &[u8]) -> Option<String> {
        crypto::sign(message, &self.signing, jsonwebtoken::Algorithm::HS256).ok()
    }

    pub(super) fn verify(&self, message: &[u8], signature: &str) -> bool {
        crypto::verify(signature, message, &self.checking, jsonwebtoken::Algorithm::HS256).unwrap_or(false)
    }
}
