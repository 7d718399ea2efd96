use std::borrow::Cow;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use serde::{Serialize, Serializer};

use crate::auth::{Identity, Scope, Scopes};
use crate::domain::Timestamp;

/// The outcome of what went well.
pub const OK: &str = "ok";

/// What was done, or asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Act {
    /// A stream was opened with a token.
    Open,
    /// A stream was reopened with a ticket.
    Resume,
    /// A stream was given a new token.
    Refresh,
    /// A stream ended.
    Close,
    /// Observations were sent.
    Ingest,
    /// Metrics were read.
    Scrape,
    /// The public state was read.
    State,
    /// Advice was asked for.
    Advice,
    /// Streams were looked at by an administrator.
    Admin,
    /// A stream was cut off by an administrator.
    Cut,
    /// Something was revoked.
    Revoke,
    /// A revocation was undone.
    Undo,
}

impl Act {
    /// All of them, in the order of declaration.
    pub const ALL: [Self; 12] = [
        Self::Open,
        Self::Resume,
        Self::Refresh,
        Self::Close,
        Self::Ingest,
        Self::Scrape,
        Self::State,
        Self::Advice,
        Self::Admin,
        Self::Cut,
        Self::Revoke,
        Self::Undo,
    ];

    /// The word in the trail.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Resume => "resume",
            Self::Refresh => "refresh",
            Self::Close => "close",
            Self::Ingest => "ingest",
            Self::Scrape => "scrape",
            Self::State => "state",
            Self::Advice => "advice",
            Self::Admin => "admin",
            Self::Cut => "cut",
            Self::Revoke => "revoke",
            Self::Undo => "undo",
        }
    }
}

impl Serialize for Act {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// One row of the trail.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Row {
    /// When; of several the first.
    #[serde(serialize_with = "shown")]
    pub at: Timestamp,
    /// What.
    pub what: Act,
    /// How it went: [`OK`], or the reason of a refusal.
    pub outcome: Cow<'static, str>,
    /// How often, from 1.
    pub count: u64,
    /// The token's `sub`; absent where no token was believed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sub: Option<Arc<str>>,
    /// The token's `jti`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jti: Option<Arc<str>>,
    /// The key that signed it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kid: Option<Arc<str>>,
    /// What it allows.
    #[serde(serialize_with = "words")]
    pub scope: Scopes,
    /// What of that was made use of.
    #[serde(serialize_with = "words")]
    pub used: Scopes,
    /// When it expires.
    #[serde(serialize_with = "maybe_shown", skip_serializing_if = "Option::is_none")]
    pub expires: Option<Timestamp>,
    /// Where it came from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<IpAddr>,
    /// The `sub` of who did it, where that is another.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by: Option<Arc<str>>,
    /// The code that a stream was closed with; absent where its client left.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<u16>,
}

fn shown<S: Serializer>(at: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(at)
}

fn maybe_shown<S: Serializer>(at: &Option<Timestamp>, serializer: S) -> Result<S::Ok, S::Error> {
    at.map(|at| at.to_string()).serialize(serializer)
}

fn words<S: Serializer>(scopes: &Scopes, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(scopes)
}

impl Row {
    /// Something that went well, as yet done by nobody.
    pub fn new(what: Act, at: Timestamp) -> Self {
        Self {
            at,
            what,
            outcome: Cow::Borrowed(OK),
            count: 1,
            sub: None,
            jti: None,
            kid: None,
            scope: Scopes::default(),
            used: Scopes::default(),
            expires: None,
            from: None,
            by: None,
            code: None,
        }
    }

    /// By whom.
    #[must_use]
    pub fn by(self, identity: &Identity) -> Self {
        let Identity { subject, scopes, jti, expires, issued: _, kid } = identity;
        Self {
            sub: Some(Arc::clone(subject)),
            jti: jti.clone(),
            kid: Some(Arc::clone(kid)),
            scope: *scopes,
            expires: Some(*expires),
            ..self
        }
    }

    /// From where.
    #[must_use]
    pub fn from(self, address: IpAddr) -> Self {
        Self { from: Some(address), ..self }
    }

    /// With which scope.
    #[must_use]
    pub fn with(self, used: Option<Scope>) -> Self {
        Self { used: used.into_iter().collect(), ..self }
    }

    /// How it went; a word of a closed set.
    #[must_use]
    pub fn ended(self, outcome: &'static str) -> Self {
        Self { outcome: Cow::Borrowed(outcome), ..self }
    }

    /// Names and values, as they stand in Redis.
    pub(super) fn fields(&self) -> Vec<(&'static str, String)> {
        let Self { at, what, outcome, count, sub, jti, kid, scope, used, expires, from, by, code } = self;
        let mut fields = vec![
            ("at", at.as_nanos().to_string()),
            ("what", what.as_str().to_owned()),
            ("outcome", outcome.to_string()),
        ];
        let mut add = |name, value: Option<String>| fields.extend(value.map(|value| (name, value)));
        add("count", (*count != 1).then(|| count.to_string()));
        for (name, value) in [("sub", sub), ("jti", jti), ("kid", kid), ("by", by)] {
            add(name, value.as_deref().map(str::to_owned));
        }
        for (name, scopes) in [("scope", scope), ("used", used)] {
            add(name, Some(scopes.to_string()).filter(|words| !words.is_empty()));
        }
        add("expires", expires.map(|at| at.as_nanos().to_string()));
        add("from", from.map(|from| from.to_string()));
        add("code", code.map(|code| code.to_string()));
        fields
    }

    /// Reads a row; `None` when it is none.
    pub(super) fn read(fields: &HashMap<String, String>) -> Option<Self> {
        let text = |name: &str| fields.get(name).map(String::as_str);
        let name = |name: &str| text(name).map(Arc::from);
        let time = |name: &str| text(name).and_then(|nanos| nanos.parse().ok()).map(Timestamp::from_nanos);
        let scopes = |name: &str| Scopes::from_words(text(name).unwrap_or_default().split(' '));
        Some(Self {
            at: time("at")?,
            what: Act::ALL.into_iter().find(|act| Some(act.as_str()) == text("what"))?,
            outcome: Cow::Owned(text("outcome")?.to_owned()),
            count: text("count").map_or(Some(1), |count| count.parse().ok())?,
            sub: name("sub"),
            jti: name("jti"),
            kid: name("kid"),
            scope: scopes("scope"),
            used: scopes("used"),
            expires: time("expires"),
            from: text("from").and_then(|from| from.parse().ok()),
            by: name("by"),
            code: text("code").and_then(|code| code.parse().ok()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_read_back_as_they_were_written() {
        let identity = Identity {
            subject: "alice".into(),
            scopes: Scopes::from_words(["metacog.stream", "metrics.read"]),
            jti: Some("t-1".into()),
            expires: Timestamp::from_nanos(1_763_942_048_000_000_000),
            issued: None,
            kid: "k".into(),
        };
        let at = Timestamp::from_nanos(1_763_942_000_123_456_789);
        let full = Row::new(Act::Close, at).by(&identity).from([192, 0, 2, 1].into()).with(Some(Scope::Stream));
        let full = Row { count: 3, by: Some("root".into()), code: Some(4403), ..full.ended("revoked") };
        for row in [full.clone(), Row::new(Act::Scrape, at)] {
            let fields = row.fields().into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
            assert_eq!(Row::read(&fields), Some(row));
        }
        assert_eq!(Row::read(&HashMap::new()), None);
        assert_eq!(
            serde_json::to_string(&full).unwrap(),
            "{\"at\":\"2025-11-23T23:53:20.123Z\",\"what\":\"close\",\"outcome\":\"revoked\",\"count\":3,\
             \"sub\":\"alice\",\"jti\":\"t-1\",\"kid\":\"k\",\"scope\":\"metacog.stream metrics.read\",\
             \"used\":\"metacog.stream\",\"expires\":\"2025-11-23T23:54:08.000Z\",\"from\":\"192.0.2.1\",\"by\":\"root\",\"code\":4403}"
        );
    }
}
