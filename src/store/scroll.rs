//! The stored form of the state, kept in pieces so that a write serialises only what changed.

use std::collections::BTreeMap;

use super::handoff::Parcel;
use crate::domain::{AgentId, Timestamp};
use crate::engine::{Document, Reading};

/// The document of one beat in pieces: its head, and a piece for each agent.
#[derive(Debug, Default)]
pub(super) struct Scroll {
    /// All up to the first agent: `{"schema":1, ... "agents":{`.
    head: Vec<u8>,
    /// A comma, a line break and `"name":{...}` of each agent.
    agents: BTreeMap<AgentId, Box<[u8]>>,
    pub(super) beat: u64,
    pub(super) at: Timestamp,
    pub(super) reading: Reading,
}

impl Scroll {
    /// Brings the pieces up to date. Each agent's state is let go as soon as it is serialised, so that the heart need
    /// not copy it before it changes it.
    pub(super) fn absorb(&mut self, parcel: Parcel) {
        let Parcel { meta, whole, agents, forgotten } = parcel;
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
        (self.beat, self.at) = (meta.beat, meta.at);
        self.reading.clone_from(&meta.reading);
        self.head = Document { meta, agents: Vec::new() }.to_json();
        // Without agents it ends with the two brackets between which they stand.
        self.head.truncate(self.head.len().saturating_sub(2));
    }

    /// The whole document, which is its pieces one after the other.
    pub(super) fn pieces(&self) -> Vec<&[u8]> {
        let mut pieces = Vec::with_capacity(self.agents.len() + 2);
        pieces.push(self.head.as_slice());
        pieces.extend(self.agents.values().map(Box::as_ref));
        // Before the first there is nothing for a comma to separate.
        if let Some(first) = pieces.get_mut(1) {
            *first = &first[1..];
        }
        pieces.push(b"}}");
        pieces
    }
}
