//! The stored form of the state, kept in pieces so that a write serialises only what changed.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};

use super::handoff::Parcel;
use crate::domain::AgentId;
use crate::engine::{Document, MetaState, Split};

/// The document of one beat in pieces: its head, and a piece for each agent.
#[derive(Debug)]
pub(super) struct Scroll {
    pub(super) meta: MetaState,
    /// All up to the first agent: `{"schema":1, ... "agents":{`.
    head: Vec<u8>,
    /// The agents, dealt out by their names: one or more, and a power of two.
    pub(super) sheets: Vec<Sheet>,
    hasher: RandomState,
}

/// The agents that are in the same part, where the document is split.
#[derive(Debug, Default)]
pub(super) struct Sheet {
    /// A comma, a line break and `"name":{...}` of each agent.
    agents: BTreeMap<AgentId, Box<[u8]>>,
    bytes: usize,
    /// The id and the length of the part in which they are stored, as they are now.
    pub(super) stored: Option<(String, u64)>,
}

impl Sheet {
    fn insert(&mut self, agent: AgentId, piece: Box<[u8]>) {
        self.bytes += piece.len();
        self.bytes -= self.agents.insert(agent, piece).map_or(0, |piece| piece.len());
        self.stored = None;
    }

    fn remove(&mut self, agent: &AgentId) {
        if let Some(piece) = self.agents.remove(agent) {
            self.bytes -= piece.len();
            self.stored = None;
        }
    }

    /// Whether it needs no part.
    pub(super) fn is_empty(&self) -> bool {
        self.agents.is_empty()
    }

    /// The part with this opening, which is its pieces one after the other.
    pub(super) fn part<'a>(&'a self, opening: &'a [u8]) -> Vec<&'a [u8]> {
        enclosed(opening, self.agents.values().map(Box::as_ref))
    }
}

impl Default for Scroll {
    fn default() -> Self {
        Self {
            meta: MetaState::default(),
            head: Vec::new(),
            sheets: vec![Sheet::default()],
            hasher: RandomState::new(),
        }
    }
}

impl Scroll {
    /// Parts of which so many make a value of the largest size.
    const A_VALUE: usize = 8;

    /// The whole of a document, which is split where it is larger than so many bytes.
    pub(super) fn of(document: Document, value_bytes: usize) -> Self {
        let Document { meta, agents } = document;
        let mut scroll = Self::default();
        scroll.absorb(Parcel { meta, whole: true, agents, forgotten: Vec::new() });
        scroll.fit(value_bytes);
        scroll
    }

    /// Brings the pieces up to date. Each agent's state is let go as soon as it is serialised, so that the heart need
    /// not copy it before it changes it.
    pub(super) fn absorb(&mut self, parcel: Parcel) {
        let Parcel { meta, whole, agents, forgotten } = parcel;
        if whole {
            self.sheets.fill_with(Sheet::default);
        }
        for agent in forgotten {
            self.sheet(&agent).remove(&agent);
        }
        for (agent, state) in agents {
            let sheet = self.sheet(&agent);
            let mut piece = Vec::with_capacity(sheet.agents.get(&agent).map_or(1024, |piece| piece.len() + 64));
            piece.extend_from_slice(b",\n");
            // Plain data with text keys always has a JSON form, and writing to memory does not fail.
            let _ = serde_json::to_writer(&mut piece, &agent);
            piece.push(b':');
            let _ = serde_json::to_writer(&mut piece, &*state);
            drop(state);
            sheet.insert(agent, piece.into_boxed_slice());
        }
        let document = Document { meta, agents: Vec::new() };
        self.head = document.to_json();
        self.meta = document.meta;
        // Without agents it ends with the two brackets between which they stand.
        self.head.truncate(self.head.len().saturating_sub(Split::CLOSING.len()));
    }

    fn sheet(&mut self, agent: &AgentId) -> &mut Sheet {
        // There are fewer sheets than a `usize` can count, and at least one.
        let hash = self.hasher.hash_one(agent) as usize;
        let place = hash & (self.sheets.len() - 1);
        &mut self.sheets[place]
    }

    /// How long the whole document is, but for a byte.
    pub(super) fn bytes(&self) -> usize {
        let agents: usize = self.sheets.iter().map(|sheet| sheet.bytes).sum();
        self.head.len() + agents + Split::CLOSING.len()
    }

    /// The whole document, which is its pieces one after the other.
    pub(super) fn pieces(&self) -> Vec<&[u8]> {
        enclosed(&self.head, self.sheets.iter().flat_map(|sheet| sheet.agents.values().map(Box::as_ref)))
    }

    /// Deals the agents out where the document is larger than so many bytes. With many agents that takes a while.
    pub(super) fn fit(&mut self, value_bytes: usize) {
        if self.bytes() > value_bytes {
            self.deal(value_bytes / Self::A_VALUE);
        }
    }

    /// Deals the agents out anew where a part would be much larger or smaller than so many bytes.
    pub(super) fn deal(&mut self, bytes: usize) {
        let wanted = (self.bytes() / bytes.max(1)).max(1).next_power_of_two();
        if wanted > self.sheets.len() || wanted * 4 <= self.sheets.len() {
            let mut sheets = Vec::new();
            sheets.resize_with(wanted, Sheet::default);
            for sheet in std::mem::replace(&mut self.sheets, sheets) {
                for (agent, piece) in sheet.agents {
                    self.sheet(&agent).insert(agent, piece);
                }
            }
        }
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
