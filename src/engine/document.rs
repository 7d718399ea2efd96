//! The meta-state as a document: what is stored, whole or in parts, and read back.

mod split;

use std::io;
use std::sync::Arc;

use memchr::memmem;
use serde::de::{Deserializer, Error as _, IgnoredAny, MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Serialize, Serializer};
use serde_json::ser::Formatter;

pub use self::split::Split;
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
    /// It is the head of a document whose agents are elsewhere.
    #[error("its agents are not in it, but in {count} parts beside it")]
    InParts {
        /// How many parts.
        count: usize,
    },
}

impl Document {
    /// The engine's state now. Agents are shared, not copied.
    pub fn of(engine: &Engine) -> Self {
        let agents = engine.iter().map(|(agent, state)| (agent.clone(), Arc::clone(state))).collect();
        Self { meta: engine.meta().clone(), agents }
    }

    /// The document as JSON, with a line for each agent.
    pub fn to_json(&self) -> Vec<u8> {
        let mut json = Vec::new();
        let mut writer = serde_json::Serializer::with_formatter(&mut json, Lines::default());
        // Plain data with text keys always has a JSON form.
        if self.serialize(&mut writer).is_err() { Vec::new() } else { json }
    }

    /// Reads a document; white space around it (a trailing newline) is accepted.
    ///
    /// # Errors
    /// See [`DocumentError`].
    pub fn parse(bytes: &[u8]) -> Result<Self, DocumentError> {
        check_head(bytes)?;
        match serde_json::from_slice(bytes) {
            Ok(Stored { meta, agents: Agents(agents) }) => Ok(Self { meta, agents }),
            Err(error) => match Split::read(bytes) {
                Ok(Some((_, split))) => Err(DocumentError::InParts { count: split.parts.len() }),
                _ => Err(malformed(error)),
            },
        }
    }

    /// Reads all but the agents of a document that [`Self::to_json`] made, and finds their lines, which
    /// [`agents_of_lines`] reads; `None` if something is wrong, or it was made in another way.
    pub fn lines(bytes: &[u8]) -> Option<(MetaState, &[u8])> {
        check_head(bytes).ok()?;
        // No text of JSON has a line break in it, and no other object of this name has lines.
        const OPENING: &[u8] = b"\"agents\":{\n";
        let (head, rest) = bytes.split_at(memmem::find(bytes, OPENING)? + OPENING.len());
        // The last agent's line ends without a comma, and so without a break.
        let lines = rest.trim_ascii_end().strip_suffix(b"}}").filter(|lines| !lines.ends_with(b"\n"))?;
        let head: Stored = serde_json::from_slice(&[head, b"}}"].concat()).ok()?;
        Some((head.meta, lines))
    }
}

/// Reads the agents of some of the lines that [`Document::lines`] found; `None` if something is wrong with one.
pub fn agents_of_lines(lines: &[u8]) -> Option<Vec<(AgentId, Arc<AgentState>)>> {
    let mut agents = Vec::new();
    let mut rest = lines;
    while !rest.is_empty() {
        let line;
        (line, rest) = match memchr::memchr(b'\n', rest) {
            Some(end) => (rest.get(..end)?.strip_suffix(b",")?, rest.get(end + 1..)?),
            None => (rest, &[][..]),
        };
        // Names are of an alphabet without quotes and escapes.
        let line = line.strip_prefix(b"\"")?;
        let (name, state) = line.split_at(memchr::memchr(b'"', line)?);
        let agent = AgentId::new(std::str::from_utf8(name).ok()?).ok()?;
        agents.push((agent, serde_json::from_slice(state.strip_prefix(b"\":")?).ok()?));
    }
    Some(agents)
}

/// Compact, but for a new line before each member of an object within the outermost.
#[derive(Default)]
struct Lines {
    depth: usize,
}

impl Formatter for Lines {
    fn begin_object<W: ?Sized + io::Write>(&mut self, to: &mut W) -> io::Result<()> {
        self.depth += 1;
        to.write_all(b"{")
    }

    fn end_object<W: ?Sized + io::Write>(&mut self, to: &mut W) -> io::Result<()> {
        self.depth -= 1;
        to.write_all(b"}")
    }

    fn begin_object_key<W: ?Sized + io::Write>(&mut self, to: &mut W, first: bool) -> io::Result<()> {
        to.write_all(match (first, self.depth == 2) {
            (true, true) => b"\n",
            (true, false) => b"",
            (false, true) => b",\n",
            (false, false) => b",",
        })
    }
}

fn malformed(error: serde_json::Error) -> DocumentError {
    DocumentError::Malformed { line: error.line(), column: error.column() }
}

/// Reads the schema, and refuses one that is not known. Whether the agents are in parts elsewhere.
fn check_head(bytes: &[u8]) -> Result<bool, DocumentError> {
    let mut head = Head::default();
    // What is wrong behind the schema is told by whoever reads all of it.
    let read = serde_json::Deserializer::from_slice(bytes).deserialize_map(&mut head);
    match (head.schema, read) {
        (Some(SCHEMA), _) => Ok(head.split),
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

/// What there is to see of a document without reading its agents, which are most of it and, in another schema, of a form
/// that is not known.
#[derive(Default)]
struct Head {
    schema: Option<u64>,
    split: bool,
}

impl<'de> Visitor<'de> for &mut Head {
    type Value = ();

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an object with a schema")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut whole = false;
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "schema" => {
                    let schema = map.next_value()?;
                    self.schema = Some(schema);
                    if schema != SCHEMA {
                        return Ok(());
                    }
                    continue;
                }
                "agents" => whole = true,
                "parts" => self.split = !whole,
                _ => {}
            }
            if whole && self.schema.is_some() {
                return Ok(());
            }
            let _: IgnoredAny = map.next_value()?;
        }
        self.schema.map(|_| ()).ok_or_else(|| A::Error::missing_field("schema"))
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
