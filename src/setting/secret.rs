//! Values that must not be shown.

use std::fmt;

use serde::{Deserialize, Serialize, Serializer};

/// What is shown in place of a secret.
const MASK: &str = "***";

/// A secret text; empty: not set. `Debug` and serialisation show `***`, so that it cannot slip into a log line or into
/// `check-config`'s output.
#[derive(Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// Wraps a secret.
    pub fn new(secret: impl Into<String>) -> Self {
        Self(secret.into())
    }

    /// Whether no secret is set.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The secret itself, for the code that uses it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_empty() { "" } else { MASK })
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(if self.is_empty() { "" } else { MASK })
    }
}

/// A URL that may hold a password (`redis://user:password@host`, or in its query); empty: not set. Shown with the
/// password masked.
#[derive(Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct SecretUrl(String);

impl SecretUrl {
    /// Wraps a URL.
    pub fn new(url: impl Into<String>) -> Self {
        Self(url.into())
    }

    /// Whether no URL is set.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The URL with its password, for the code that connects.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// The URL as it may be shown: `***` in place of the password and of the values in the query.
    pub fn masked(&self) -> String {
        let (base, query) = match self.0.split_once('?') {
            Some((base, query)) => (base, Some(query)),
            None => (self.0.as_str(), None),
        };
        let (scheme, rest) = match base.split_once("://") {
            Some((scheme, rest)) => (format!("{scheme}://"), rest),
            None => (String::new(), base),
        };
        // The last `@`: a password that was not percent-encoded may hold one itself, or a slash.
        let shown = match rest.rsplit_once('@').map(|(login, host)| (login.split_once(':'), host)) {
            Some((Some((user, _)), host)) => format!("{scheme}{user}:{MASK}@{host}"),
            _ => format!("{scheme}{rest}"),
        };
        match query {
            // Where a password ends cannot be told when an unencoded `?` and `@` meet: show nothing of it.
            Some(query) if query.contains('@') => format!("{scheme}{MASK}"),
            Some(query) => {
                let masked = |pair: &str| match pair.split_once('=') {
                    Some((name, _)) => format!("{name}={MASK}"),
                    None => MASK.to_owned(),
                };
                format!("{shown}?{}", query.split('&').map(masked).collect::<Vec<_>>().join("&"))
            }
            None => shown,
        }
    }
}

impl fmt::Debug for SecretUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.masked())
    }
}

impl Serialize for SecretUrl {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.masked())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_masked_and_their_absence_shows() {
        assert_eq!(format!("{:?}", Secret::new("hunter2")), "***");
        assert_eq!(serde_json::to_string(&Secret::new("hunter2")).unwrap(), "\"***\"");
        assert_eq!(serde_json::to_string(&Secret::default()).unwrap(), "\"\"");
    }

    #[test]
    fn only_the_password_of_a_url_is_masked() {
        for (url, shown) in [
            ("redis://10.0.0.7:6379/0", "redis://10.0.0.7:6379/0"),
            ("redis://:hunter2@db:6379", "redis://:***@db:6379"),
            ("rediss://app:hunter2@db/1", "rediss://app:***@db/1"),
            ("redis://app:hun@ter/2@db/1", "redis://app:***@db/1"),
            ("redis://app:hun?ter2@db/1", "redis://***"),
            ("redis+unix:///run/redis.sock?user=app&pass=hunter2", "redis+unix:///run/redis.sock?user=***&pass=***"),
            ("", ""),
        ] {
            assert_eq!(SecretUrl::new(url).masked(), shown);
        }
    }
}
