//! The meta-state as a document: what is stored, whole, and read back.

use std::sync::Arc;

use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Serialize, Serializer};
use serde_json::value::RawValue;

use super::{AgentState, Engine, MetaState};
use crate::domain::AgentId;

/// The version of the document's form that this program writes. It reads this one and all older ones.
pub const SCHEMA: u64 = 1;

/// The whole meta-state at the end of a beat.
#[derive(Debug, Clone, PartialEq)]
pub struct Document {
    /// All but the agents.
    pub meta: MetaState,
    /// The agents, in any order.
    pub agents: Vec<(AgentId, Arc<AgentState>)>,
}

/// Why a stored document cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DocumentError {
    /// A newer program wrote it.
    #[error("its schema is {found}, newer than {SCHEMA}, the newest that this program reads")]
    Newer {
        /// What it says.
        found: u64,
    },
    /// No program ever wrote this schema.
    #[error("its schema is {found}, which no version wrote")]
    Unknown {
        /// What it says.
        found: u64,
    },
    /// It is not a document. The text names a place, never what stands there.
    #[error("it is not a meta-state: at line {line}, column {column}")]
    Malformed {
        /// Line, 1-based.
        line: usize,
        /// Column, 1-based.
        column: usize,
    },
}

impl Document {
    /// The engine's state now. Agents are shared, not copied.
    pub fn of(engine: &Engine) -> Self {
        let agents = engine.iter().map(|(agent, state)| (agent.clone(), Arc::clone(state))).collect();
        Self { meta: engine.meta().clone(), agents }
    }

    /// The document as JSON, on one line.
    pub fn to_json(&self) -> Vec<u8> {
        // Plain data with text keys always has a JSON form.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// Reads a document; white space around it (a trailing newline) is accepted.
    ///
    /// # Errors
    /// See [`DocumentError`].
    pub fn parse(bytes: &[u8]) -> Result<Self, DocumentError> {
        check_schema(bytes)?;
        let Stored { meta, agents: Agents(agents) } = serde_json::from_slice(bytes).map_err(malformed)?;
        Ok(Self { meta, agents })
    }

    /// Looks through a document for its agents and hands them on unread, some at a time: they can be read by other
    /// threads. All but the agents.
    ///
    /// # Errors
    /// See [`DocumentError`]; what is wrong within an agent shows when that is read.
    pub fn unpack<'a>(bytes: &'a [u8], hand_on: impl FnMut(Vec<Packed<'a>>)) -> Result<MetaState, DocumentError> {
        check_schema(bytes)?;
        let mut meta = None;
        let mut reader = serde_json::Deserializer::from_slice(bytes);
        reader.deserialize_map(Parts { meta: &mut meta, hand_on }).and_then(|()| reader.end()).map_err(malformed)?;
        meta.ok_or(DocumentError::Malformed { line: 1, column: 1 })
    }
}

/// An agent of a document that is not read yet.
pub struct Packed<'a>(AgentId, &'a RawValue);

impl Packed<'_> {
    /// Reads it; `None` if it is no agent.
    pub fn open(self) -> Option<(AgentId, Arc<AgentState>)> {
        Some((self.0, serde_json::from_str(self.1.get()).ok()?))
    }
}

fn malformed(error: serde_json::Error) -> DocumentError {
    DocumentError::Malformed { line: error.line(), column: error.column() }
}

/// Reads the schema, and refuses one that is not known.
fn check_schema(bytes: &[u8]) -> Result<(), DocumentError> {
    let mut schema = None;
    let read = serde_json::Deserializer::from_slice(bytes).deserialize_map(Head(&mut schema));
    match (schema, read) {
        (Some(SCHEMA), _) => Ok(()),
        (Some(found), _) if found > SCHEMA => Err(DocumentError::Newer { found }),
        (Some(found), _) => Err(DocumentError::Unknown { found }),
        (None, Err(error)) => Err(malformed(error)),
        (None, Ok(())) => Err(DocumentError::Malformed { line: 1, column: 1 }),
    }
}

/// `schema`, `epoch`, `beat` and `at` stand first and in plain sight, for whoever looks with `redis-cli`.
impl Serialize for Document {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(6))?;
        map.serialize_entry("schema", &SCHEMA)?;
        map.serialize_entry("epoch", &self.meta.epoch)?;
        map.serialize_entry("beat", &self.meta.beat)?;
        map.serialize_entry("at", &self.meta.at.to_string())?;
        map.serialize_entry("meta", &self.meta)?;
        map.serialize_entry("agents", &AgentMap(&self.agents))?;
        map.end()
    }
}

struct AgentMap<'a>(&'a [(AgentId, Arc<AgentState>)]);

impl Serialize for AgentMap<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(agent, state)| (agent, state)))
    }
}

/// Reads the schema and nothing behind it: the rest may be of a form that is not known, and is large.
struct Head<'a>(&'a mut Option<u64>);

impl<'de> Visitor<'de> for Head<'_> {
    type Value = ();

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an object with a schema")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key::<String>()? {
            if key == "schema" {
                *self.0 = Some(map.next_value()?);
                return Ok(());
            }
            let _: IgnoredAny = map.next_value()?;
        }
        Err(A::Error::missing_field("schema"))
    }
}

/// Reads all but the agents, and hands those on unread.
struct Parts<'m, F> {
    meta: &'m mut Option<MetaState>,
    hand_on: F,
}

impl<'de, F: FnMut(Vec<Packed<'de>>)> Visitor<'de> for Parts<'_, F> {
    type Value = ();

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a meta-state")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
        let mut agents = false;
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "meta" if self.meta.is_some() => return Err(A::Error::duplicate_field("meta")),
                "meta" => *self.meta = Some(map.next_value()?),
                "agents" if agents => return Err(A::Error::duplicate_field("agents")),
                "agents" => {
                    map.next_value_seed(Unread(&mut self.hand_on))?;
                    agents = true;
                }
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        if agents { Ok(()) } else { Err(A::Error::missing_field("agents")) }
    }
}

/// The agents, unread.
struct Unread<'f, F>(&'f mut F);

impl<'de, F: FnMut(Vec<Packed<'de>>)> DeserializeSeed<'de> for Unread<'_, F> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de, F: FnMut(Vec<Packed<'de>>)> Visitor<'de> for Unread<'_, F> {
    type Value = ();

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an object of agents")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        /// Enough that handing on costs nothing, and few enough that all have something to read.
        const AT_A_TIME: usize = 256;
        let mut some = Vec::with_capacity(AT_A_TIME);
        while let Some((agent, state)) = map.next_entry()? {
            some.push(Packed(agent, state));
            if some.len() == AT_A_TIME {
                (self.0)(std::mem::replace(&mut some, Vec::with_capacity(AT_A_TIME)));
            }
        }
        (self.0)(some);
        Ok(())
    }
}

#[derive(Deserialize)]
struct Stored {
    meta: MetaState,
    agents: Agents,
}

struct Agents(Vec<(AgentId, Arc<AgentState>)>);

impl<'de> Deserialize<'de> for Agents {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder;
        impl<'de> Visitor<'de> for InOrder {
            type Value = Agents;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object of agents")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Agents, A::Error> {
                let mut agents = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    agents.push(entry);
                }
                Ok(Agents(agents))
            }
        }
        deserializer.deserialize_map(InOrder)
    }
}
