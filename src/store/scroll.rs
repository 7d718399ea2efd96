//! The stored form of the state, kept in pieces so that a write serialises only what changed.

use std::collections::BTreeMap;

use super::backend::length;
use super::handoff::Parcel;
use crate::domain::AgentId;
use crate::engine::{Document, MetaState, Split};

/// The document of one beat in pieces: its head, and a piece for each agent.
#[derive(Debug, Default)]
pub(super) struct Scroll {
    pub(super) meta: MetaState,
    /// All up to the first agent: `{"schema":1, ... "agents":{`.
    head: Vec<u8>,
    /// A comma, a line break and `"name":{...}` of each agent.
    agents: BTreeMap<AgentId, Box<[u8]>>,
    /// The parts in which these agents are stored already.
    pub(super) stored: Option<Stored>,
}

/// Parts that a head may name.
#[derive(Debug)]
pub(super) struct Stored {
    pub(super) split: Split,
    /// Their keys.
    pub(super) parts: Vec<String>,
}

/// A part of a document that is split: what it begins with, and its agents' pieces.
#[derive(Debug)]
pub(super) struct Part<'a> {
    opening: Vec<u8>,
    agents: Vec<&'a [u8]>,
}

impl Part<'_> {
    /// The part, which is its pieces one after the other.
    pub(super) fn pieces(&self) -> Vec<&[u8]> {
        enclosed(&self.opening, self.agents.iter().copied())
    }
}

impl Scroll {
    /// The whole of a document.
    pub(super) fn of(document: Document) -> Self {
        let Document { meta, agents } = document;
        let mut scroll = Self::default();
        scroll.absorb(Parcel { meta, whole: true, agents, forgotten: Vec::new() });
        scroll
    }

    /// Brings the pieces up to date. Each agent's state is let go as soon as it is serialised, so that the heart need
    /// not copy it before it changes it.
    pub(super) fn absorb(&mut self, parcel: Parcel) {
        let Parcel { meta, whole, agents, forgotten } = parcel;
        if whole || !(agents.is_empty() && forgotten.is_empty()) {
            self.stored = None;
        }
        if whole {
            self.agents.clear();
        }
        for agent in forgotten {
            self.agents.remove(&agent);
        }
        for (agent, state) in agents {
            let mut piece = Vec::with_capacity(self.agents.get(&agent).map_or(1024, |piece| piece.len() + 64));
            piece.extend_from_slice(b",\n");
            // Plain data with text keys always has a JSON form, and writing to memory does not fail.
            let _ = serde_json::to_writer(&mut piece, &agent);
            piece.push(b':');
            let _ = serde_json::to_writer(&mut piece, &*state);
            drop(state);
            self.agents.insert(agent, piece.into_boxed_slice());
        }
        let document = Document { meta, agents: Vec::new() };
        self.head = document.to_json();
        self.meta = document.meta;
        // Without agents it ends with the two brackets between which they stand.
        self.head.truncate(self.head.len().saturating_sub(Split::CLOSING.len()));
    }

    /// How long the whole document is.
    pub(super) fn bytes(&self) -> usize {
        length(&self.pieces())
    }

    /// The whole document, which is its pieces one after the other.
    pub(super) fn pieces(&self) -> Vec<&[u8]> {
        enclosed(&self.head, self.agents.values().map(Box::as_ref))
    }

    /// The agents in parts of somewhat more than so many bytes.
    pub(super) fn parts(&self, id: &str, bytes: usize) -> Vec<Part<'_>> {
        let mut parts: Vec<Part> = Vec::new();
        let mut room = 0;
        for agent in self.agents.values() {
            match parts.last_mut().filter(|_| room > 0) {
                Some(part) => part.agents.push(agent),
                None => {
                    let opening = Split::opening(id, u32::try_from(parts.len()).unwrap_or(u32::MAX));
                    parts.push(Part { opening, agents: vec![agent] });
                    room = bytes;
                }
            }
            room = room.saturating_sub(agent.len());
        }
        parts
    }
}

fn enclosed<'a>(opening: &'a [u8], agents: impl Iterator<Item = &'a [u8]>) -> Vec<&'a [u8]> {
    let mut pieces = vec![opening];
    pieces.extend(agents);
    // Before the first there is nothing for a comma to separate.
    if let Some(first) = pieces.get_mut(1) {
        *first = &first[1..];
    }
    pieces.push(Split::CLOSING);
    pieces
}
