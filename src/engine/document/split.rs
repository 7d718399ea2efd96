//! A document that is too large for one place: its head, and its agents in parts beside it.

use std::sync::Arc;

use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Serialize};

use super::{Agents, DocumentError, MetaState, SCHEMA, agents_of_lines, check_schema, malformed};
use crate::domain::AgentId;
use crate::engine::AgentState;

/// Where the agents of a document are: `parts` in its head, which has no `agents`, so that a program that knows of no
/// parts does not take it for a state without agents.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Split {
    /// What tells its parts from those of other documents: the writer's epoch, `-`, and the number of the write.
    pub id: String,
    /// How many parts there are, 1 or more.
    pub count: u32,
    /// Their length together.
    pub bytes: u64,
}

impl Split {
    /// What a part ends with.
    pub const CLOSING: &[u8] = b"}}";

    /// What a part of this number, 0 or more, begins with: a line for each agent follows, as in a whole document.
    pub fn opening(id: &str, part: u32) -> Vec<u8> {
        format!("{{\"id\":\"{id}\",\"part\":{part},\"agents\":{{").into_bytes()
    }

    /// The epoch in whose name parts of this id were written; `None` where it is no such id.
    pub fn epoch(id: &str) -> Option<u64> {
        let (epoch, write) = id.split_once('-')?;
        let number = |text: &str| text.parse::<u64>().ok().filter(|_| text.bytes().all(|byte| byte.is_ascii_digit()));
        number(write).and(number(epoch))
    }

    /// The head as JSON.
    pub fn head(&self, meta: &MetaState) -> Vec<u8> {
        #[derive(Serialize)]
        struct Head<'a> {
            schema: u64,
            epoch: u64,
            beat: u64,
            at: String,
            parts: &'a Split,
            meta: &'a MetaState,
        }
        let (epoch, beat, at) = (meta.epoch, meta.beat, meta.at.to_string());
        // Plain data with text keys always has a JSON form.
        serde_json::to_vec(&Head { schema: SCHEMA, epoch, beat, at, parts: self, meta }).unwrap_or_default()
    }

    /// Reads a head; `None` if its agents are in it.
    ///
    /// # Errors
    /// See [`DocumentError`].
    pub fn read(bytes: &[u8]) -> Result<Option<(MetaState, Self)>, DocumentError> {
        #[derive(Deserialize)]
        struct Head {
            meta: MetaState,
            parts: Split,
        }
        check_schema(bytes)?;
        let mut split = false;
        // What is wrong with it is told below, or by whoever reads it as a whole one.
        let _ = serde_json::Deserializer::from_slice(bytes).deserialize_map(IsSplit(&mut split));
        if !split {
            return Ok(None);
        }
        let Head { meta, parts } = serde_json::from_slice(bytes).map_err(malformed)?;
        if parts.count == 0 || Self::epoch(&parts.id).is_none() {
            return Err(DocumentError::Malformed { line: 1, column: 1 });
        }
        Ok(Some((meta, parts)))
    }

    /// Reads the part of this number; `None` if it is another one, or none. White space around it is accepted.
    pub fn agents(&self, part: u32, bytes: &[u8]) -> Option<Vec<(AgentId, Arc<AgentState>)>> {
        let lines = bytes.strip_prefix(Self::opening(&self.id, part).as_slice());
        let lines = lines.and_then(|lines| lines.strip_prefix(b"\n")?.trim_ascii_end().strip_suffix(Self::CLOSING));
        lines.and_then(agents_of_lines).or_else(|| self.agents_of_json(part, bytes))
    }

    /// The same of a part that went through another tool's hands.
    fn agents_of_json(&self, part: u32, bytes: &[u8]) -> Option<Vec<(AgentId, Arc<AgentState>)>> {
        #[derive(Deserialize)]
        struct Volume {
            id: String,
            part: u32,
            agents: Agents,
        }
        let volume: Volume = serde_json::from_slice(bytes).ok()?;
        (volume.id == self.id && volume.part == part).then_some(volume.agents.0)
    }
}

/// Looks for `parts`, and no further than to the agents: they are most of a document.
struct IsSplit<'a>(&'a mut bool);

impl<'de> Visitor<'de> for IsSplit<'_> {
    type Value = ();

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "agents" => return Ok(()),
                "parts" => *self.0 = true,
                _ => {}
            }
            let _: IgnoredAny = map.next_value()?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{Config, Document, Engine};

    fn split() -> Split {
        Split { id: "7-12".to_owned(), count: 3, bytes: 40 }
    }

    #[test]
    fn a_head_tells_its_parts_and_is_no_whole_document() {
        let meta = Engine::new(Config::default(), 7).meta().clone();
        let head = split().head(&meta);
        let start = "{\"schema\":1,\"epoch\":7,\"beat\":0,\"at\":\"1970-01-01T00:00:00.000Z\",\
                     \"parts\":{\"id\":\"7-12\",\"count\":3,\"bytes\":40},\"meta\":{";
        assert_eq!(std::str::from_utf8(&head).unwrap().get(..start.len()), Some(start));
        assert_eq!(Split::read(&[head.as_slice(), b"\n"].concat()).unwrap(), Some((meta, split())));
        let error = Document::parse(&head).unwrap_err().to_string();
        assert_eq!(error, "its agents are not in it, but in 3 parts beside it");
        let sorted: serde_json::Value = serde_json::from_slice(&head).unwrap();
        assert!(Split::read(sorted.to_string().as_bytes()).unwrap().is_some(), "in whatever order");
    }

    #[test]
    fn a_whole_document_is_no_head_and_a_broken_head_says_so() {
        let whole = Document::of(&Engine::new(Config::default(), 7));
        assert_eq!(Split::read(&whole.to_json()).unwrap(), None);
        let head = String::from_utf8(split().head(&whole.meta)).unwrap();
        let swapped = |from: &str, to: &str| Split::read(head.replacen(from, to, 1).as_bytes());
        for (from, to) in
            [("7-12", "7"), ("7-12", "7-12*"), ("7-12", "+7-12"), ("\"count\":3", "\"count\":0"), ("}}", "}")]
        {
            assert!(swapped(from, to).is_err(), "{to}");
        }
        assert!(swapped("\"schema\":1", "\"schema\":9").is_err());
    }

    #[test]
    fn a_part_is_read_by_its_number_and_by_no_other() {
        let part = [Split::opening("7-12", 2).as_slice(), b"}}"].concat();
        assert_eq!(split().agents(2, &part), Some(vec![]));
        assert_eq!(split().agents(2, b" {\"part\": 2, \"agents\": {}, \"id\": \"7-12\"}\n"), Some(vec![]));
        assert_eq!(split().agents(1, &part), None);
        assert_eq!(Split { id: "8-12".to_owned(), ..split() }.agents(2, &part), None);
        assert_eq!(split().agents(2, &part[..part.len() - 1]), None);
    }
}
