//! Validated names and hashed keys.
//!
//! Names that are shown to people ([`AgentId`], [`ToolName`]) have a bounded length and alphabet, so that they can
//! stand in a frame or a file without escaping. Names that are only compared (sessions, calls, claims, idempotency
//! keys) are kept as 64-bit hashes: bounded memory, and nothing of their text can leak.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

use serde::de::Visitor;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

/// Longest name of an agent or a tool, in bytes (the alphabet is ASCII, so characters too).
pub const MAX_NAME: usize = 128;

/// Why a text is not a valid name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// The text was empty or longer than 128 characters.
    #[error("must be 1 to {MAX_NAME} characters long")]
    Length,
    /// The text held a character outside the alphabet.
    #[error("may only hold the characters A-Z a-z 0-9 . _ : / @ -")]
    Alphabet,
}

fn check_name(text: &str) -> Result<(), IdError> {
    if text.is_empty() || text.len() > MAX_NAME {
        return Err(if text.chars().count() <= MAX_NAME && !text.is_empty() {
            IdError::Alphabet
        } else {
            IdError::Length
        });
    }
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"._:/@-".contains(&b);
    if text.bytes().all(allowed) { Ok(()) } else { Err(IdError::Alphabet) }
}

macro_rules! shown_name {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Checks the text: 1 to 128 characters of `[A-Za-z0-9._:/@-]`.
            pub fn new(text: &str) -> Result<Self, IdError> {
                check_name(text)?;
                Ok(Self(text.into()))
            }

            /// A valid name for any text: the text itself where it fits, the text with spaces as `-` where only
            /// those are in the way, else a fixed prefix and the text's hash, so that nothing of it is shown.
            pub fn fitted(text: &str) -> Self {
                Self::new(text).or_else(|_| Self::new(&text.replace(' ', "-"))).unwrap_or_else(|_| {
                    Self(format!(concat!($prefix, "-{:016x}"), xxh3_64(text.as_bytes())).into())
                })
            }

            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.0)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_str(Named(Self::new))
            }
        }
    };
}

/// Reads a text and makes a name of it, without a copy of the text.
struct Named<F>(F);

impl<T, F: FnOnce(&str) -> Result<T, IdError>> Visitor<'_> for Named<F> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<T, E> {
        (self.0)(text).map_err(E::custom)
    }
}

shown_name! {
    /// Who an observation is about. Shown in the public state.
    AgentId, "agent"
}
shown_name! {
    /// A tool that an agent calls. Shown in evidence.
    ToolName, "tool"
}
shown_name! {
    /// One process of the daemon among several. Shown as who leads.
    InstanceName, "instance"
}

macro_rules! hashed_key {
    ($(#[$doc:meta])* $name:ident, $seed:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(u64);

        impl $name {
            /// The key of a text of any length.
            pub fn of(text: &str) -> Self {
                Self(xxh3_64_with_seed(text.as_bytes(), $seed))
            }

            /// The key as a number, for compact storage.
            pub fn get(self) -> u64 {
                self.0
            }

            /// A key that [`Self::get`] gave.
            pub fn from_u64(key: u64) -> Self {
                Self(key)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({:016x})"), self.0)
            }
        }
    };
}

hashed_key! {
    /// A conversation or task run of an agent. Observations without a session share [`SessionKey::default`].
    SessionKey, 1
}
hashed_key! {
    /// Joins an action and its result.
    CallKey, 2
}
hashed_key! {
    /// Joins a claim and its verdict.
    ClaimKey, 3
}
hashed_key! {
    /// Idempotency key of an observation, within its agent.
    ObservationKey, 4
}
hashed_key! {
    /// A class of tasks of similar difficulty, by which metacognitive sensitivity is stratified.
    TaskKey, 5
}

impl Default for SessionKey {
    fn default() -> Self {
        Self::of("")
    }
}

/// Names an insight for its whole life: 26 characters of Crockford base 32 (a ULID), sortable by the time it opened.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InsightId(u128);

impl InsightId {
    const ALPHABET: &'static [u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

    /// The id of the `serial`-th insight (counted over the life of the state) that opened at `millis` since the Unix
    /// epoch. `epoch` keeps apart what two leaders opened in the same millisecond.
    pub fn new(millis: u64, epoch: u64, serial: u64) -> Self {
        let low = (u128::from(epoch & 0xffff) << 64) | u128::from(serial);
        Self((u128::from(millis & 0xffff_ffff_ffff) << 80) | low)
    }
}

impl fmt::Display for InsightId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digit = |i: u32| char::from(Self::ALPHABET[((self.0 >> (5 * i)) & 31) as usize]);
        (0..26).rev().try_for_each(|i| fmt::Write::write_char(f, digit(i)))
    }
}

impl fmt::Debug for InsightId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "InsightId({self})")
    }
}

impl std::str::FromStr for InsightId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        if text.len() != 26 {
            return Err(IdError::Length);
        }
        text.bytes()
            .try_fold(0u128, |id, byte| {
                let digit = Self::ALPHABET.iter().position(|&known| known == byte)?;
                id.checked_mul(32)?.checked_add(digit as u128)
            })
            .map(Self)
            .ok_or(IdError::Alphabet)
    }
}

impl Serialize for InsightId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for InsightId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked() {
        assert!(AgentId::new("planner-1.a_b:c/d@e").is_ok());
        assert_eq!(AgentId::new(""), Err(IdError::Length));
        assert_eq!(AgentId::new(&"x".repeat(129)), Err(IdError::Length));
        assert_eq!(AgentId::new("two words"), Err(IdError::Alphabet));
        assert_eq!(AgentId::new("grün"), Err(IdError::Alphabet));
    }

    #[test]
    fn what_does_not_fit_is_not_shown() {
        assert_eq!(AgentId::fitted("Weather Agent").as_str(), "Weather-Agent");
        let hidden = ToolName::fitted("tool; SECRET");
        assert!(hidden.as_str().starts_with("tool-") && !hidden.as_str().contains("SECRET"));
        assert_ne!(hidden, ToolName::fitted("tool; OTHER"));
    }

    #[test]
    fn insight_ids_sort_by_time_and_read_back() {
        let early = InsightId::new(1_763_942_048_123, 3, 9);
        let late = InsightId::new(1_763_942_048_124, 1, 1);
        assert!(early.to_string() < late.to_string());
        assert_eq!(early.to_string().parse(), Ok(early));
        assert_eq!(early.to_string().len(), 26);
        assert!(early.to_string().starts_with("01K"));
    }
}
