//! What a token says, once its signature holds.

use std::time::Duration;

use serde_json::Value;

use super::{Config, Identity, Refusal, Scopes, object};
use crate::domain::Timestamp;

/// Longest `sub` and `jti`, in bytes.
const MAX_NAME: usize = 256;

/// What claims are held against.
#[derive(Debug, Clone)]
pub(super) struct Rules {
    leeway: Duration,
    max_lifetime: Duration,
    audience: Vec<String>,
    issuer: Vec<String>,
}

impl Rules {
    pub(super) fn new(config: &Config) -> Self {
        Self {
            leeway: config.leeway,
            max_lifetime: config.max_lifetime,
            audience: config.audience.clone(),
            issuer: config.issuer.clone(),
        }
    }

    pub(super) fn leeway(&self) -> Duration {
        self.leeway
    }

    /// Whom a claims set speaks of, if it is good at `now`.
    pub(super) fn check(&self, claims: &[u8], kid: &str, now: Timestamp) -> Result<Identity, Refusal> {
        let names = ["sub", "scope", "jti", "exp", "nbf", "iat", "aud", "iss"];
        let [sub, scope, jti, exp, nbf, iat, aud, iss] = object::read(claims, names)?;
        let (expires, issued) = self.check_times(exp.as_ref(), nbf.as_ref(), iat.as_ref(), now)?;
        if !self.audience.is_empty() && !names_one_of(aud.as_ref(), &self.audience) {
            return Err(Refusal::WrongAudience);
        }
        let issuer_is_accepted =
            iss.as_ref().and_then(Value::as_str).is_some_and(|iss| self.issuer.iter().any(|i| i == iss));
        if !self.issuer.is_empty() && !issuer_is_accepted {
            return Err(Refusal::WrongIssuer);
        }
        let subject = sub.as_ref().and_then(Value::as_str).filter(|sub| is_name(sub)).ok_or(Refusal::BadSubject)?;
        let jti = match &jti {
            None => None,
            Some(Value::String(jti)) if is_name(jti) => Some(jti.as_str().into()),
            Some(_) => return Err(Refusal::BadTokenId),
        };
        Ok(Identity { subject: subject.into(), scopes: scopes(scope.as_ref())?, jti, expires, issued, kid: kid.into() })
    }

    /// When the token expires and was issued, if `now` is within its time.
    fn check_times(
        &self,
        exp: Option<&Value>,
        nbf: Option<&Value>,
        iat: Option<&Value>,
        now: Timestamp,
    ) -> Result<(Timestamp, Option<Timestamp>), Refusal> {
        let expires = numeric_date(exp.ok_or(Refusal::MissingExpiry)?)?;
        let not_before = nbf.map(numeric_date).transpose()?;
        let issued = iat.map(numeric_date).transpose()?;
        if now >= expires.plus(self.leeway) {
            return Err(Refusal::Expired);
        }
        let soon = now.plus(self.leeway);
        if not_before.is_some_and(|not_before| not_before > soon) {
            return Err(Refusal::NotYetValid);
        }
        if issued.is_some_and(|issued| issued > soon) {
            return Err(Refusal::IssuedInFuture);
        }
        if expires.since(issued.map_or(now, |issued| issued.min(now))) > self.max_lifetime {
            return Err(Refusal::LifetimeTooLong);
        }
        Ok((expires, issued))
    }
}

/// A NumericDate: seconds since 1970, whole or not (RFC 7519, section 2), that a [`Timestamp`] can hold. Milliseconds,
/// a common mistake, are too large.
fn numeric_date(value: &Value) -> Result<Timestamp, Refusal> {
    const NANOS: i64 = 1_000_000_000;
    let Value::Number(number) = value else { return Err(Refusal::BadTime) };
    let nanos = match (number.as_i64(), number.as_f64()) {
        (Some(seconds), _) => seconds.checked_mul(NANOS),
        // The bound is the greatest i64 as a float, which rounds up: less than that fits.
        (None, Some(seconds)) => {
            Some(seconds * 1e9).filter(|nanos| nanos.abs() < i64::MAX as f64).map(|nanos| nanos as i64)
        }
        (None, None) => None,
    };
    nanos.filter(|&nanos| nanos >= 0).map(Timestamp::from_nanos).ok_or(Refusal::BadTime)
}

/// Whether `aud`, one text or a list, names one of the accepted audiences.
fn names_one_of(aud: Option<&Value>, accepted: &[String]) -> bool {
    let is_accepted = |name: &Value| name.as_str().is_some_and(|name| accepted.iter().any(|known| known == name));
    match aud {
        Some(Value::Array(names)) => names.iter().any(is_accepted),
        Some(name) => is_accepted(name),
        None => false,
    }
}

/// `scope`: words with spaces between, or a list of words. Other white space is part of a word, and makes it unknown.
fn scopes(scope: Option<&Value>) -> Result<Scopes, Refusal> {
    match scope {
        Some(Value::String(words)) => Ok(Scopes::from_words(words.split(' '))),
        Some(Value::Array(words)) => {
            let words: Option<Vec<&str>> = words.iter().map(Value::as_str).collect();
            words.map(Scopes::from_words).ok_or(Refusal::BadScope)
        }
        _ => Err(Refusal::BadScope),
    }
}

/// Names go into logs and the audit trail: bounded, and no control characters.
fn is_name(text: &str) -> bool {
    (1..=MAX_NAME).contains(&text.len()) && !text.chars().any(char::is_control)
}
