//! The agents of the public state, found by name.

use super::curve::Curve;
use super::record::{Record, Versioned};
use super::view::AgentLayout;
use crate::analyze::ahead::fetch;
use crate::analyze::names::{Directory, NameHash, Named};
use crate::domain::AgentId;

/// All agents, in no order.
pub(super) type Agents = Directory<Known>;

/// What is shown of an agent.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) agent: AgentId,
    pub(super) record: Versioned<AgentLayout>,
    /// Its claims by bins of confidence, where it has some.
    pub(super) curve: Option<Box<Curve>>,
}

impl Named for Known {
    fn name(&self) -> &str {
        self.agent.as_str()
    }
}

impl Agents {
    /// How many agents before it is needed the first piece of an agent's memory is fetched, and each further one sooner.
    const AHEAD: usize = 9;
    /// By how many agents.
    const STEP: usize = 3;

    pub(super) fn known(&self, agent: &AgentId) -> Option<&Known> {
        self.get(self.find(agent.as_str(), self.hash(agent.as_str()))?)
    }

    /// Fetches what taking over the changes after the `i`-th needs, which are those from it on, each piece before what it
    /// points to: with many agents none of it is in a cache. See [`crate::analyze::ahead`].
    pub(super) fn ahead_of(&self, changes: &[(AgentId, Option<Record<AgentLayout>>)], hashes: &[NameHash], i: usize) {
        let hash = |step: usize| hashes.get(i + Self::AHEAD - step * Self::STEP).copied();
        if let Some(hash) = hash(0) {
            self.ahead_of_name(hash);
        }
        if let Some(place) = hash(1).and_then(|hash| self.likely(hash)) {
            self.ahead(place);
        }
        let known = hash(2).and_then(|hash| self.get(self.likely(hash)?));
        if let (Some(known), Some((_, Some(record)))) = (known, changes.get(Self::AHEAD - 2 * Self::STEP)) {
            fetch(known.name().as_bytes().first());
            known.record.ahead(record.about());
            record.ahead();
        }
    }

    /// The same for taking over the curves after the `i`-th.
    pub(super) fn ahead_of_curves(&self, hashes: &[NameHash], i: usize) {
        let place = |step: usize| self.likely(*hashes.get(i + Self::AHEAD - step * Self::STEP)?);
        if let Some(hash) = hashes.get(i + Self::AHEAD) {
            self.ahead_of_name(*hash);
        }
        if let Some(place) = place(1) {
            self.ahead(place);
        }
        if let Some(known) = place(2).and_then(|place| self.get(place)) {
            fetch(known.name().as_bytes().first());
            known.curve.iter().for_each(|curve| curve.ahead());
        }
    }
}
