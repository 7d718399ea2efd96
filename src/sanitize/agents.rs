//! The agents of the public state, found by name.

use super::curve::Curve;
use super::record::Versioned;
use super::view::AgentLayout;
use crate::analyze::ahead::fetch;
use crate::analyze::names::{NameHash, Names, Place};
use crate::domain::AgentId;

/// All agents, in no order. What changes of them in a beat is fetched before its turn comes: with many agents none of it
/// is in a cache.
#[derive(Debug, Default)]
pub(super) struct Agents {
    names: Names,
    slots: Vec<Option<Known>>,
    free: Vec<Place>,
}

/// What is shown of an agent.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) agent: AgentId,
    pub(super) record: Versioned<AgentLayout>,
    /// Its claims by bins of confidence, where it has some.
    pub(super) curve: Option<Box<Curve>>,
}

impl Agents {
    pub(super) fn len(&self) -> usize {
        self.names.len()
    }

    /// The hash by which [`Self::find`] finds a name.
    pub(super) fn hash(&self, agent: &AgentId) -> NameHash {
        self.names.hash(agent.as_str())
    }

    pub(super) fn get(&self, agent: &AgentId) -> Option<&Known> {
        self.slot(self.place(agent, self.hash(agent))?)
    }

    pub(super) fn get_mut(&mut self, agent: &AgentId) -> Option<&mut Known> {
        self.find(agent, self.hash(agent))
    }

    /// The agent of this name and hash.
    pub(super) fn find(&mut self, agent: &AgentId, hash: NameHash) -> Option<&mut Known> {
        let place = self.place(agent, hash)?;
        self.slots.get_mut(place.index())?.as_mut()
    }

    /// Adds an agent that is not there yet.
    pub(super) fn insert(&mut self, agent: AgentId, record: Versioned<AgentLayout>) {
        let place = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            Place::new(self.slots.len() - 1)
        });
        self.names.insert(self.hash(&agent), place);
        if let Some(empty) = self.slots.get_mut(place.index()) {
            *empty = Some(Known { agent, record, curve: None });
        }
    }

    /// Removes an agent. Returns whether it was there.
    pub(super) fn remove(&mut self, agent: &AgentId) -> bool {
        let hash = self.hash(agent);
        let Some(place) = self.place(agent, hash) else { return false };
        self.names.remove(hash, place);
        self.slots[place.index()] = None;
        self.free.push(place);
        true
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Known> {
        self.slots.iter().flatten()
    }

    /// Fetches what finding a name needs; see [`crate::analyze::ahead`].
    pub(super) fn ahead_of_name(&self, hash: NameHash) {
        self.names.ahead(hash);
    }

    /// Fetches the agent that a name of this hash most likely leads to.
    pub(super) fn ahead_of_place(&self, hash: NameHash) {
        fetch(self.names.find(hash, |_| true).and_then(|place| self.slots.get(place.index())));
    }

    /// Fetches its name and its leaves, those at the positions of these bits.
    pub(super) fn ahead_of_leaves(&self, hash: NameHash, about: u64) {
        if let Some(known) = self.names.find(hash, |_| true).and_then(|place| self.slot(place)) {
            fetch(known.agent.as_str().as_bytes().first());
            known.record.ahead(about);
        }
    }

    fn place(&self, agent: &AgentId, hash: NameHash) -> Option<Place> {
        self.names.find(hash, |place| self.slot(place).is_some_and(|known| known.agent == *agent))
    }

    fn slot(&self, place: Place) -> Option<&Known> {
        self.slots.get(place.index())?.as_ref()
    }
}
