//! Revocation: tokens that are refused although they are signed and not expired.
//!
//! Revocations are kept in Redis ([`Register`]), each for as long as a token that it is about may be accepted. Every pod
//! looks a few times a second whether they changed ([`Watch`]), and holds each request against what it knows
//! ([`Revocations`]), without waiting for anything. While Redis is away a pod goes by what it knew last. What Redis lost
//! is written back by the pods: of two entries on the same thing the one made last holds, and to undo a revocation is
//! such an entry, too.

mod book;
mod register;
mod watch;

use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwap;
use serde::{Deserialize, Serialize};

pub use book::{Book, List};
pub use register::Register;
pub use watch::Watch;

use super::Identity;
use crate::domain::Timestamp;

/// What is revoked.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Target {
    /// All tokens that were issued before a moment, or do not say when: those of a `sub`, or everybody's.
    IssuedBefore(Option<String>),
    /// All tokens of a `sub`.
    Subject(String),
    /// The token with this `jti`, and its resume tickets.
    Token(String),
}

/// A revocation, or that one was undone. In Redis as JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// When it was made, in nanoseconds since 1970, as all times here.
    pub at: Timestamp,
    /// Until when it has to be remembered.
    pub until: Timestamp,
    /// The moment, of [`Target::IssuedBefore`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Timestamp>,
    /// Whether it undoes what was revoked before.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub undone: bool,
}

impl Target {
    /// The name of its field in Redis.
    fn field(&self) -> String {
        match self {
            Self::IssuedBefore(None) => "before".to_owned(),
            Self::IssuedBefore(Some(subject)) => format!("before:{subject}"),
            Self::Subject(subject) => format!("sub:{subject}"),
            Self::Token(jti) => format!("jti:{jti}"),
        }
    }

    /// What a field is about; `None` where it is none of ours.
    fn of(field: &str) -> Option<Self> {
        match field.split_once(':') {
            None if field == "before" => Some(Self::IssuedBefore(None)),
            Some(("before", subject)) => Some(Self::IssuedBefore(Some(subject.to_owned()))),
            Some(("sub", subject)) => Some(Self::Subject(subject.to_owned())),
            Some(("jti", jti)) => Some(Self::Token(jti.to_owned())),
            _ => None,
        }
    }
}

/// For people.
impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::IssuedBefore(None) => f.write_str("tokens of everybody"),
            Self::IssuedBefore(Some(subject)) | Self::Subject(subject) => {
                write!(f, "tokens of sub {}", subject.escape_debug())
            }
            Self::Token(jti) => write!(f, "the token with jti {}", jti.escape_debug()),
        }
    }
}

/// What is revoked, as far as this pod knows. Cheap to copy and to ask.
#[derive(Debug, Clone, Default)]
pub struct Revocations(Arc<ArcSwap<List>>);

impl Revocations {
    /// Whether a token of this identity is revoked.
    pub fn cover(&self, identity: &Identity) -> bool {
        let list = self.0.load();
        !list.is_empty() && list.covers(&identity.subject, identity.jti.as_deref(), identity.issued)
    }

    /// The list as it is now.
    pub fn list(&self) -> Arc<List> {
        self.0.load_full()
    }

    fn publish(&self, list: List) {
        self.0.store(Arc::new(list));
    }
}
