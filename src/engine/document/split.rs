//! A document that is too large for one place: its head, and its agents in parts beside it.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Agents, DocumentError, MetaState, SCHEMA, agents_of_lines, check_head, malformed};
use crate::domain::AgentId;
use crate::engine::AgentState;

/// Where the agents of a document are: `parts` in its head, which has no `agents`, so that a program that knows of no
/// parts does not take it for a state without agents.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Split {
    /// The parts by their ids, with their lengths in bytes. An id is the writer's epoch, `-`, and a number that is
    /// given once in that epoch.
    pub parts: BTreeMap<String, u64>,
}

impl Split {
    /// What a part ends with.
    pub const CLOSING: &[u8] = b"}}";

    /// What the part of this id begins with: a line for each agent follows, as in a whole document.
    pub fn opening(id: &str) -> Vec<u8> {
        format!("{{\"id\":\"{id}\",\"agents\":{{").into_bytes()
    }

    /// The epoch in whose name the part of this id was written; `None` where it is no id.
    pub fn epoch(id: &str) -> Option<u64> {
        let (epoch, number) = id.split_once('-')?;
        let read = |text: &str| text.parse::<u64>().ok().filter(|_| text.bytes().all(|byte| byte.is_ascii_digit()));
        read(number).and(read(epoch))
    }

    /// How long the parts are together.
    pub fn bytes(&self) -> u64 {
        self.parts.values().sum()
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
        if !check_head(bytes)? {
            return Ok(None);
        }
        let Head { meta, parts } = serde_json::from_slice(bytes).map_err(malformed)?;
        let known = parts.parts.keys().all(|id| Self::epoch(id).is_some());
        if known { Ok(Some((meta, parts))) } else { Err(DocumentError::Malformed { line: 1, column: 1 }) }
    }

    /// Reads the part of this id; `None` if it is another one, or none. White space around it is accepted.
    pub fn agents(id: &str, bytes: &[u8]) -> Option<Vec<(AgentId, Arc<AgentState>)>> {
        let lines = bytes.strip_prefix(Self::opening(id).as_slice());
        let lines = lines.and_then(|lines| lines.strip_prefix(b"\n")?.trim_ascii_end().strip_suffix(Self::CLOSING));
        lines.and_then(agents_of_lines).or_else(|| Self::agents_of_json(id, bytes))
    }

    /// The same of a part that went through another tool's hands.
    fn agents_of_json(id: &str, bytes: &[u8]) -> Option<Vec<(AgentId, Arc<AgentState>)>> {
        #[derive(Deserialize)]
        struct Part {
            id: String,
            agents: Agents,
        }
        let part: Part = serde_json::from_slice(bytes).ok()?;
        (part.id == id).then_some(part.agents.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{Config, Document, Engine};

    fn split() -> Split {
        Split { parts: [("7-12".to_owned(), 40), ("6-3".to_owned(), 2)].into() }
    }

    #[test]
    fn a_head_tells_its_parts_and_is_no_whole_document() {
        let meta = Engine::new(Config::default(), 7).meta().clone();
        let head = split().head(&meta);
        let start = "{\"schema\":1,\"epoch\":7,\"beat\":0,\"at\":\"1970-01-01T00:00:00.000Z\",\
                     \"parts\":{\"6-3\":2,\"7-12\":40},\"meta\":{";
        assert_eq!(std::str::from_utf8(&head).unwrap().get(..start.len()), Some(start));
        assert_eq!(Split::read(&[head.as_slice(), b"\n"].concat()).unwrap(), Some((meta, split())));
        let error = Document::parse(&head).unwrap_err().to_string();
        assert_eq!(error, "its agents are not in it, but in 2 parts beside it");
        let sorted: serde_json::Value = serde_json::from_slice(&head).unwrap();
        assert!(Split::read(sorted.to_string().as_bytes()).unwrap().is_some(), "in whatever order");
    }

    #[test]
    fn a_whole_document_is_no_head_and_a_broken_head_says_so() {
        let whole = Document::of(&Engine::new(Config::default(), 7));
        assert_eq!(Split::read(&whole.to_json()).unwrap(), None);
        let head = String::from_utf8(split().head(&whole.meta)).unwrap();
        let swapped = |from: &str, to: &str| Split::read(head.replacen(from, to, 1).as_bytes());
        for (from, to) in [("7-12", "7"), ("7-12", "7-12*"), ("7-12", "+7-12"), (":40", ":-1"), ("}}", "}")] {
            assert!(swapped(from, to).is_err(), "{to}");
        }
        assert!(swapped("\"schema\":1", "\"schema\":9").is_err());
    }

    #[test]
    fn a_part_is_read_by_its_id_and_by_no_other() {
        let part = [Split::opening("7-12").as_slice(), b"}}"].concat();
        assert_eq!(Split::agents("7-12", &part), Some(vec![]));
        assert_eq!(Split::agents("7-12", b" {\"agents\": {}, \"id\": \"7-12\"}\n"), Some(vec![]));
        assert_eq!(Split::agents("7-1", &part), None);
        assert_eq!(Split::agents("7-12", &part[..part.len() - 1]), None);
    }
}
