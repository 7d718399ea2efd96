//! The public state: all records, and the difference to any beat not too long ago.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};

use serde::ser::{Serialize, SerializeMap, Serializer};

use super::agents::{Agents, Known};
use super::curve::Curve;
use super::record::{Leaf, Versioned};
use super::view::{
    AgentField, AgentLayout, InsightField, InsightLayout, PublicBeat, Standing, SystemField, SystemLayout,
};
use crate::analyze::names::Place;
use crate::domain::{Advice, AgentId, InsightId, StoreMode, Timestamp};

/// Which beat of which leadership. Epochs only rise, and within one so do beats.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, serde::Serialize, serde::Deserialize)]
pub struct Position {
    /// Fencing number of the leadership.
    pub epoch: u64,
    /// Beats since the state was born.
    pub beat: u64,
}

/// Which agents a reader wants to see.
pub trait Select {
    /// Whether this agent is wanted. What concerns no agent always is.
    fn wants(&self, agent: &AgentId) -> bool;
}

/// Everybody.
#[derive(Debug, Clone, Copy)]
pub struct Everything;

impl Select for Everything {
    fn wants(&self, _: &AgentId) -> bool {
        true
    }
}

/// What authorised people may see, as of the last beat applied.
///
/// Every leaf knows when it last changed, and the names of what changed are kept for a bounded while. So a reader that
/// lags costs nothing here: its next delta is computed from the one number it holds, the beat it last saw.
#[derive(Debug)]
pub struct PublicState {
    position: Position,
    at: Timestamp,
    system: Versioned<SystemLayout>,
    agents: Agents,
    /// The agents in the order in which they are told.
    names: BTreeSet<AgentId>,
    insights: BTreeMap<InsightId, Versioned<InsightLayout>>,
    history: VecDeque<Changes>,
    history_names: usize,
    history_limit: usize,
    /// No difference can be told to beats before this one.
    horizon: u64,
    /// When agents within the history went.
    removed: HashMap<AgentId, u64>,
}

/// What a beat changed. A place may have changed hands since; whoever has it now came later, so that is a change, too.
#[derive(Debug)]
struct Changes {
    beat: u64,
    agents: Vec<Place>,
    /// Agents that went.
    gone: Vec<AgentId>,
    insights: Vec<InsightId>,
}

impl Changes {
    /// How many names it tells.
    fn len(&self) -> usize {
        self.agents.len() + self.gone.len() + self.insights.len()
    }
}

impl PublicState {
    /// The state after its first beat. `history_limit` bounds the names kept to tell differences, and with them how
    /// long a reader may lag before it needs the whole state again.
    pub fn new(first: PublicBeat, history_limit: usize) -> Self {
        let mut state = Self {
            position: first.position,
            at: first.at,
            system: Versioned::new(first.system.clone(), first.position.beat, None),
            agents: Agents::default(),
            names: BTreeSet::new(),
            insights: BTreeMap::new(),
            history: VecDeque::new(),
            history_names: 0,
            history_limit,
            horizon: first.position.beat,
            removed: HashMap::new(),
        };
        state.apply(first);
        state
    }

    /// Epoch and beat of the last beat applied.
    pub fn position(&self) -> Position {
        self.position
    }

    /// When the last beat applied was.
    pub fn at(&self) -> Timestamp {
        self.at
    }

    /// How many agents there are.
    pub fn agents(&self) -> usize {
        self.agents.len()
    }

    /// What an agent should do next, and the kinds of its open insights; `None` when the agent is not known.
    pub fn advice(&self, agent: &AgentId) -> Option<(&'static str, Vec<&'static str>)> {
        let word = |leaf: Option<&Leaf>| match leaf {
            Some(Leaf::Word(word)) => Some(word.as_str()),
            _ => None,
        };
        let known = self.agents.known(agent)?;
        let advice = word(known.record.record().get(AgentField::Advice)).unwrap_or(Advice::Continue.as_str());
        let records = self.insights.values().map(Versioned::record);
        let its =
            records.filter(|record| matches!(record.get(InsightField::Agent), Some(Leaf::Agent(of)) if **of == *agent));
        Some((advice, its.filter_map(|record| word(record.get(InsightField::Kind))).collect()))
    }

    /// An agent's claims by bins of confidence, all empty where it has none; `None` when the agent is not known.
    pub fn curve(&self, agent: &AgentId) -> Option<Curve> {
        self.agents.known(agent).map(|known| known.curve.as_deref().copied().unwrap_or_default())
    }

    /// Takes over a beat. Returns whether anything but the clock changed.
    pub fn apply(&mut self, beat: PublicBeat) -> bool {
        let PublicBeat { position, at, system, agents, insights, curves } = beat;
        if position.epoch != self.position.epoch {
            self.forget_history(position.beat);
        }
        self.position = position;
        self.at = at;
        let beat = position.beat;
        let system_changed = self.system.update(system, beat);
        let mut changes =
            Changes { beat, agents: Vec::with_capacity(agents.len()), gone: Vec::new(), insights: Vec::new() };
        let hashes: Vec<_> = agents.iter().map(|(agent, _)| self.agents.hash(agent.as_str())).collect();
        let mut agents = agents.into_iter();
        for (i, hash) in hashes.iter().enumerate() {
            self.agents.ahead_of(agents.as_slice(), &hashes, i);
            let Some((agent, record)) = agents.next() else { break };
            match (record, self.agents.find(agent.as_str(), *hash)) {
                (Some(record), Some(place)) => {
                    if self.agents.get_mut(place).is_some_and(|known| known.record.update(record, beat)) {
                        changes.agents.push(place);
                    }
                }
                (Some(record), None) => {
                    let absent_from = self.removed.remove(&agent);
                    self.names.insert(agent.clone());
                    let record = Versioned::new(record, beat, absent_from);
                    changes.agents.push(self.agents.insert(Known { agent, record, curve: None }));
                }
                (None, Some(place)) => {
                    self.agents.remove(place);
                    self.names.remove(&agent);
                    self.removed.insert(agent.clone(), beat);
                    changes.gone.push(agent);
                }
                (None, None) => {}
            }
        }
        for (id, record) in insights {
            let changed = match (record, self.insights.get_mut(&id)) {
                (Some(record), Some(known)) => known.update(record, beat),
                // An insight's name is never used twice, so none of this name was there before.
                (Some(record), None) => self.insights.insert(id, Versioned::new(record, beat, None)).is_none(),
                (None, known) => known.is_some() && self.insights.remove(&id).is_some(),
            };
            if changed {
                changes.insights.push(id);
            }
        }
        let hashes: Vec<_> = curves.iter().map(|(agent, _)| self.agents.hash(agent.as_str())).collect();
        for (i, ((agent, curve), hash)) in curves.into_iter().zip(&hashes).enumerate() {
            self.agents.ahead_of_curves(&hashes, i);
            let place = self.agents.find(agent.as_str(), *hash);
            if let Some(known) = place.and_then(|place| self.agents.get_mut(place)) {
                **known.curve.get_or_insert_default() = curve;
            }
        }
        let changed = changes.len() > 0;
        if changed {
            self.remember(changes);
        }
        changed || system_changed
    }

    /// The whole state as one beat, for whoever has nothing yet.
    pub fn whole(&self) -> PublicBeat {
        let agents = self.agents.iter().map(|known| (known.agent.clone(), Some(known.record.record().clone())));
        let curve = |known: &Known| Some((known.agent.clone(), *known.curve.as_deref()?));
        let insights = self.insights.iter().map(|(id, known)| (*id, Some(known.record().clone())));
        PublicBeat {
            position: self.position,
            at: self.at,
            system: self.system.record().clone(),
            agents: agents.collect(),
            insights: insights.collect(),
            curves: self.agents.iter().filter_map(curve).collect(),
        }
    }

    /// Takes over a beat that tells the whole state: what it does not name is gone. Returns whether anything but the
    /// clock changed.
    pub fn replace(&mut self, mut whole: PublicBeat) -> bool {
        let agents: HashSet<_> = whole.agents.iter().map(|(agent, _)| agent.clone()).collect();
        let insights: HashSet<_> = whole.insights.iter().map(|(id, _)| *id).collect();
        let gone = self.names.iter().filter(|agent| !agents.contains(*agent));
        whole.agents.extend(gone.map(|agent| (agent.clone(), None)));
        let gone = self.insights.keys().filter(|id| !insights.contains(id));
        whole.insights.extend(gone.map(|id| (*id, None)));
        self.apply(whole)
    }

    /// A beat so much later where nobody tells what it changes: the state as it is, kept in memory alone.
    pub fn idle(&self, later: u64, at: Timestamp, standing: &Standing) -> PublicBeat {
        let Position { epoch, beat } = self.position;
        let mut system = self.system.record().clone();
        if system.get(SystemField::StoreMode).is_some() {
            system.set(SystemField::StoreMode, Leaf::word(StoreMode::Memory));
        }
        let position = Position { epoch, beat: beat.saturating_add(later) };
        let mut beat =
            PublicBeat { position, at, system, agents: Vec::new(), insights: Vec::new(), curves: Vec::new() };
        beat.stand(standing);
        beat
    }

    fn remember(&mut self, changes: Changes) {
        self.history_names += changes.len();
        self.history.push_back(changes);
        while self.history_names > self.history_limit {
            let Some(old) = self.history.pop_front() else { break };
            self.history_names -= old.len();
            self.horizon = old.beat;
        }
        if self.removed.len() > self.history_limit {
            let horizon = self.horizon;
            self.removed.retain(|_, beat| *beat > horizon);
        }
    }

    fn forget_history(&mut self, horizon: u64) {
        self.history.clear();
        self.history_names = 0;
        self.horizon = horizon;
        self.removed.clear();
    }

    /// Whether the difference from `base` to now can be told.
    pub fn reaches_back_to(&self, base: Position) -> bool {
        base.epoch == self.position.epoch && base.beat >= self.horizon && base.beat <= self.position.beat
    }

    /// The whole state as a reader with this selection sees it.
    pub fn document<'a>(&'a self, select: &'a dyn Select) -> impl Serialize + 'a {
        Document { state: self, select }
    }

    /// The merge patch (RFC 7396) from what such a reader saw at `base` to what it would see now; `None` when it
    /// cannot be told any more, or when nothing changed but the clock.
    pub fn patch<'a>(&'a self, base: u64, select: &'a dyn Select) -> Option<impl Serialize + 'a> {
        if base < self.horizon {
            return None;
        }
        let recent = self.history.iter().rev().take_while(|changes| changes.beat > base);
        let mut places: Vec<Place> = recent.clone().flat_map(|changes| &changes.agents).copied().collect();
        places.sort_unstable();
        places.dedup();
        let there = places.into_iter().filter_map(|place| self.agents.get(place));
        let there = there.map(|known| (&known.agent, Some(&known.record)));
        let gone = recent.clone().flat_map(|changes| &changes.gone).filter(|agent| self.agents.known(agent).is_none());
        let all = there.chain(gone.map(|agent| (agent, None)));
        let mut agents: Vec<_> = all.filter(|(agent, _)| select.wants(agent)).collect();
        agents.sort_unstable_by_key(|(agent, _)| *agent);
        agents.dedup_by_key(|(agent, _)| *agent);
        // One that is gone is told to everybody: its agent is not known any more, and its id says nothing.
        let wanted = |id: &&InsightId| self.insights.get(id).is_none_or(|insight| wants(select, insight));
        let insights: BTreeSet<_> = recent.flat_map(|changes| &changes.insights).filter(wanted).collect();
        let nothing = agents.is_empty() && insights.is_empty() && !self.system.changed_since(base);
        (!nothing).then_some(Difference { state: self, base, agents, insights })
    }
}

fn wants(select: &dyn Select, insight: &Versioned<InsightLayout>) -> bool {
    match insight.record().get(InsightField::Agent) {
        Some(Leaf::Agent(agent)) => select.wants(agent),
        _ => true,
    }
}

struct Document<'a> {
    state: &'a PublicState,
    select: &'a dyn Select,
}

impl Serialize for Document<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { state, select } = self;
        let mut map = serializer.serialize_map(None)?;
        state.system.record().write_into(&mut map)?;
        let agents = state.names.iter().filter(|agent| select.wants(agent));
        let record = |agent: &'_ AgentId| state.agents.known(agent).map(|known| known.record.record());
        map.serialize_entry("agents", &Entries(|| agents.clone().map(|agent| (agent, record(agent)))))?;
        let insights = state.insights.iter().filter(|(_, insight)| wants(*select, insight));
        map.serialize_entry("insights", &Entries(|| insights.clone().map(|(id, known)| (id, known.record()))))?;
        map.end()
    }
}

struct Difference<'a> {
    state: &'a PublicState,
    base: u64,
    /// By name; without a record who is gone.
    agents: Vec<(&'a AgentId, Option<&'a Versioned<AgentLayout>>)>,
    insights: BTreeSet<&'a InsightId>,
}

impl Serialize for Difference<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { state, base, agents, insights } = self;
        let mut map = serializer.serialize_map(None)?;
        state.system.write_patch(*base, &mut map)?;
        if !agents.is_empty() {
            let patches = || agents.iter().map(|(agent, record)| (agent, record.map(|record| record.patch(*base))));
            map.serialize_entry("agents", &Entries(patches))?;
        }
        if !insights.is_empty() {
            let patch = |id: &&'_ InsightId| state.insights.get(*id).map(|known| known.patch(*base));
            map.serialize_entry("insights", &Entries(|| insights.iter().map(|id| (id, patch(id)))))?;
        }
        map.end()
    }
}

/// An object made of an iterator of keys and values; a closure makes it, since serialising takes it by reference.
struct Entries<F>(F);

impl<F, I, K, V> Serialize for Entries<F>
where
    F: Fn() -> I,
    I: Iterator<Item = (K, V)>,
    K: Serialize,
    V: Serialize,
{
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map((self.0)())
    }
}
