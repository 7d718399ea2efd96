//! The meta-state as a document: what is stored, whole, and read back.

use std::sync::Arc;

use serde::de::{Deserializer, Error as _, IgnoredAny, MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Serialize, Serializer};

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
        let malformed =
            |error: serde_json::Error| DocumentError::Malformed { line: error.line(), column: error.column() };
        let mut schema = None;
        let read = serde_json::Deserializer::from_slice(bytes).deserialize_map(Head(&mut schema));
        match (schema, read) {
            (Some(SCHEMA), _) => {}
            (Some(found), _) if found > SCHEMA => return Err(DocumentError::Newer { found }),
            (Some(found), _) => return Err(DocumentError::Unknown { found }),
            (None, Err(error)) => return Err(malformed(error)),
            (None, Ok(())) => return Err(DocumentError::Malformed { line: 1, column: 1 }),
        }
        let Stored { meta, agents: Agents(agents) } = serde_json::from_slice(bytes).map_err(malformed)?;
        Ok(Self { meta, agents })
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
