use std::path::Path;

use jsonwebtoken::crypto::{self, rust_crypto::DEFAULT_PROVIDER};
use jsonwebtoken::{DecodingKey, EncodingKey};
use xxhash_rust::xxh3::xxh3_128;

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
    /// Tells whether another key is made of the same.
    material: u128,
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
            since: born(kid),
            material: xxh3_128(secret),
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
        Self::checking(kid, algorithm, checking, pem)
    }

    /// A public key, made of `material`.
    pub(super) fn checking(
        kid: &str,
        algorithm: Algorithm,
        checking: DecodingKey,
        material: &[u8],
    ) -> Result<Self, String> {
        choose_backend();
        // Builds the verifier, which reads the key: a key on another curve fails here and not at the first token.
        let built = crypto::verify("", b"", &checking, algorithm.backend());
        built.map_err(|_| format!("holds no key for {}", algorithm.as_str()))?;
        let (since, material) = (born(kid), xxh3_128(material));
        Ok(Self { kid: kid.into(), algorithm, checking, signing: None, ticket: None, since, material })
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
        key.map(|key| key.written(since))
    }

    /// The key, known to have been there at a time.
    pub(super) fn written(self, since: Option<Timestamp>) -> Self {
        Self { since: earlier(self.since, since), ..self }
    }

    /// The key, as old as one of before where it is the same: a file that is written anew makes no new key.
    pub(super) fn continuing(self, before: &Self) -> Self {
        let same = self.kid == before.kid && self.algorithm == before.algorithm && self.material == before.material;
        if same { self.written(before.since) } else { self }
    }

    /// Name of the key in a token's header.
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// The key's algorithm.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// Since when there is the key, for its age: the date that its `kid` begins with (`2025-11` or `2025-11-25`), or when
    /// its file was written, whichever is earlier. `None` for one that stands in the configuration and has no date.
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
            Some(check_modulus(&modulus))
        }
        _ => Some(Ok(())),
    }
}

/// Whether an RSA key is large enough.
pub(super) fn check_modulus(modulus: &[u8]) -> Result<(), String> {
    let significant = modulus.iter().skip_while(|&&byte| byte == 0).count();
    if significant < MIN_RSA_MODULUS {
        return Err(format!("holds an RSA key shorter than {} bits", MIN_RSA_MODULUS * 8));
    }
    Ok(())
}

fn earlier(a: Option<Timestamp>, b: Option<Timestamp>) -> Option<Timestamp> {
    a.into_iter().chain(b).min()
}

/// The date that a `kid` begins with: `2025-11-25` or `2025-11`. A mounted secret's files are as old as the mount, so this
/// is how a key's age outlives a restart.
fn born(kid: &str) -> Option<Timestamp> {
    let mut parts = kid.splitn(3, '-');
    let number = |part: Option<&str>, digits: usize| -> Option<i16> {
        let part = part?;
        let number = part.get(..digits)?;
        let ends = part[digits..].bytes().next().is_none_or(|b| !b.is_ascii_digit());
        (ends && number.bytes().all(|b| b.is_ascii_digit())).then(|| number.parse().ok()).flatten()
    };
    let (year, month) = (parts.next().filter(|year| year.len() == 4), parts.next());
    let (year, month) = (number(year, 4)?, number(month, 2)?);
    let day = number(parts.next(), 2).unwrap_or(1);
    let date = jiff::civil::Date::new(year, i8::try_from(month).ok()?, i8::try_from(day).ok()?).ok()?;
    let time = jiff::tz::Offset::UTC.to_timestamp(date.at(0, 0, 0, 0)).ok()?;
    i64::try_from(time.as_nanosecond()).ok().map(Timestamp::from_nanos)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kid_may_tell_its_age() {
        let november = Timestamp::from_nanos(1_761_955_200_000_000_000);
        let day = |n: u64| november.plus(std::time::Duration::from_hours(24 * n));
        for (kid, expected) in [
            ("2025-11", Some(november)),
            ("2025-11-25", Some(day(24))),
            ("2025-11-25-b", Some(day(24))),
            ("2025-11.a", Some(november)),
            ("2025-11-x", Some(november)),
            ("2025-13", None),
            ("2025-02-30", None),
            ("2025-111", None),
            ("20251-11", None),
            ("k-2025-11", None),
            ("2025", None),
            ("2025-\u{663}1", None),
            ("", None),
        ] {
            assert_eq!(born(kid), expected, "{kid}");
        }
    }

    #[test]
    fn a_key_written_anew_is_as_old_as_it_was() {
        let key = |kid, secret| Key::symmetric(kid, Algorithm::HS256, secret).unwrap();
        let (early, late) = (Timestamp::from_nanos(1), Timestamp::from_nanos(2));
        let old = key("a", &[1; 32]).written(Some(early));
        let age = |key: Key| key.written(Some(late)).continuing(&old).since();
        assert_eq!(age(key("a", &[1; 32])), Some(early));
        assert_eq!(age(key("a", &[2; 32])), Some(late), "another secret");
        assert_eq!(age(key("b", &[1; 32])), Some(late), "another name");
    }
}
