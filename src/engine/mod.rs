//! Floor 2: the pure core. Observations in, a beat, a new meta-state.
//!
//! [`Engine::beat`] folds observations, judges the agents they are about (and those for whom time alone may have
//! changed something), opens, updates and resolves insights, reflects and advises. It is total: whatever comes in,
//! it neither fails nor panics. It knows no clock; equal inputs give equal states.

mod advice;
mod agent;
mod ahead;
mod config;
mod damping;
mod deal;
mod document;
mod due;
mod insights;
mod introspection;
mod links;
mod meta;
mod part;
mod reading;
mod reflection;
mod roster;
mod sessions;
mod touched;
mod window;

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;
use std::time::Duration;

pub use agent::{AgentState, Note, Session};
pub use config::Config;
pub use damping::Damper;
pub use document::{Document, DocumentError, SCHEMA, Split, agents_of_lines};
pub use insights::{InsightBook, InsightChange};
pub use introspection::{Anomaly, Figure, Introspection};
pub use meta::MetaState;
pub use part::{Laps, Part, Parts, Stopwatch, Watch};
pub use reading::{Origin, Reading, StreamId, Verdict};
pub use reflection::{Entry, Quote, Reflection};
pub use sessions::Sessions;
pub use touched::Touched;
pub use window::IdWindow;

use self::agent::Folded;
use self::deal::Deal;
use self::insights::Occasion;
use self::reflection::{Quotable, Scene};
use self::roster::Roster;
use crate::analyze::names::Place;
use crate::analyze::vitals::{Pulse, Vitals};
use crate::domain::{AgentId, Insight, InsightId, Observation, Timestamp};

/// The meta-state and the analysis that carries it from beat to beat.
#[derive(Debug)]
pub struct Engine {
    config: Config,
    meta: MetaState,
    roster: Roster,
    /// Agents that an observation or the time has touched in this beat.
    dirty: Vec<Place>,
    /// When agents have to be judged although nothing came in. An entry that is not its agent's [`AgentState::due`] is
    /// out of date and passed over.
    timers: BinaryHeap<Reverse<(Timestamp, Place)>>,
    beat: Beat,
    folded: u64,
    deal: Deal,
    resting: Parts,
}

/// What one beat changed.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Beat {
    /// Agents that may have changed. One may be told twice.
    pub agents: Vec<Changed>,
    /// Agents of which nothing changed but when they are looked at next.
    pub noted: Vec<AgentId>,
    /// Agents that were forgotten.
    pub forgotten: Vec<AgentId>,
    /// How many of them for want of room.
    pub evicted: u64,
    /// Insights that opened, changed or resolved.
    pub insights: Vec<InsightChange>,
    /// Those among them that opened.
    pub opened: Vec<InsightId>,
    /// What observations brought to light.
    pub notes: Vec<(AgentId, Note)>,
    /// Observations counted.
    pub folded: u64,
}

/// An agent that may have changed in a beat.
#[derive(Debug, Clone, PartialEq)]
pub struct Changed {
    /// The agent.
    pub agent: AgentId,
    /// What of it.
    pub touched: Touched,
    place: Place,
}

impl Engine {
    /// An engine that remembers nothing, as the leader of an epoch.
    pub fn new(config: Config, epoch: u64) -> Self {
        Self {
            config,
            meta: MetaState { epoch, ..MetaState::default() },
            roster: Roster::default(),
            dirty: Vec::new(),
            timers: BinaryHeap::new(),
            beat: Beat::default(),
            folded: 0,
            deal: Deal::default(),
            resting: Parts::default(),
        }
    }

    /// An engine that goes on from a stored state, as the leader of an epoch, as if it had only blinked.
    pub fn restore(config: Config, document: Document, epoch: u64) -> Self {
        let Document { meta, mut agents } = document;
        let mut engine = Self::new(config, epoch);
        engine.meta = MetaState { epoch, ..meta };
        agents.sort_by_key(|(_, state)| state.touched);
        for (agent, state) in agents {
            let due = state.due;
            let place = engine.roster.insert(agent, state);
            engine.timers.extend(due.map(|due| Reverse((due, place))));
        }
        for agent in &engine.meta.unfitted {
            let place = engine.roster.find(agent.as_str());
            if let Some(slot) = place.and_then(|place| engine.roster.slot_mut(place)) {
                slot.unfitted = true;
            }
        }
        engine
    }

    /// Takes in that nobody was beating for so long.
    pub fn was_absent(&mut self, duration: Duration, interval: Duration) {
        self.meta.vitals.absent(duration, interval);
    }

    /// Goes on as the leader of another epoch, past this beat: beats only rise for whoever saw it.
    pub fn lead(&mut self, epoch: u64, past: u64) {
        self.meta.epoch = epoch;
        self.meta.beat = self.meta.beat.max(past);
    }

    /// Takes note of how far the stream of observations is folded.
    pub fn has_read(&mut self, reading: &Reading) {
        if self.meta.reading != *reading {
            self.meta.reading.clone_from(reading);
        }
    }

    /// One beat: [`Engine::fold`], then [`Engine::finish`].
    pub fn beat(&mut self, now: Timestamp, observations: &[Observation], pulse: &Pulse) -> Beat {
        self.fold(now, observations);
        self.finish(now, pulse)
    }

    /// Folds observations, those of one agent in the order given. May be called several times before
    /// [`Engine::finish`].
    ///
    /// What different agents do does not depend on each other's order, so the observations are dealt out first: an
    /// agent's state is then fetched from memory once for all of them.
    pub fn fold(&mut self, now: Timestamp, observations: &[Observation]) {
        self.fold_watched(now, observations, &mut ());
    }

    /// [`Engine::fold`] with each call of an analyzer going through the watch's hands.
    pub fn fold_watched(&mut self, now: Timestamp, observations: &[Observation], watch: &mut impl Watch) {
        let mut deal = std::mem::take(&mut self.deal);
        for observations in observations.chunks(Deal::MOST) {
            self.deal_out(&mut deal, now, observations, watch);
            self.fold_dealt(&mut deal, now, observations, watch);
            deal.next.clear();
        }
        self.deal = deal;
    }

    fn deal_out(&mut self, deal: &mut Deal, now: Timestamp, observations: &[Observation], watch: &mut impl Watch) {
        let mut last: Option<(&AgentId, Place)> = None;
        self.begin_dealing(deal, observations);
        for (i, observation) in observations.iter().enumerate() {
            // Observations of an agent tend to come together.
            self.ahead_of_dealing(deal, observations, i);
            let place = match last {
                Some((agent, place)) if *agent == observation.agent => place,
                _ => match self.roster.find_hashed(observation.agent.as_str(), deal.hash(i)) {
                    Some(place) => place,
                    None => {
                        if self.roster.len() >= self.config.agents.max(1) {
                            // Whoever has to go takes in first what is dealt to it.
                            self.fold_dealt(deal, now, observations, watch);
                        }
                        self.admit(&observation.agent, now)
                    }
                },
            };
            last = Some((&observation.agent, place));
            if let Some(slot) = self.roster.slot_mut(place) {
                deal.add(&mut slot.hand, place, i);
            }
        }
    }

    fn fold_dealt(&mut self, deal: &mut Deal, now: Timestamp, observations: &[Observation], watch: &mut impl Watch) {
        let mut places = std::mem::take(&mut deal.places);
        for (i, place) in places.iter().copied().enumerate() {
            self.ahead(&places, i, deal, observations);
            self.fold_hand(place, deal, now, observations, watch);
            self.roster.touch(place);
        }
        places.clear();
        deal.places = places;
    }

    /// Folds what was dealt to one agent.
    fn fold_hand(
        &mut self,
        place: Place,
        deal: &Deal,
        now: Timestamp,
        observations: &[Observation],
        watch: &mut impl Watch,
    ) {
        let resting = self.resting;
        let Beat { notes, insights: changes, .. } = &mut self.beat;
        let Some(slot) = self.roster.slot_mut(place) else { return };
        let state = Arc::make_mut(&mut slot.state);
        let hand = std::mem::take(&mut slot.hand);
        let cards = deal.cards(hand).map_while(|card| observations.get(card));
        let mut later = (hand.len() > Self::AHEAD).then(|| Self::later(cards.clone(), hand.len()));
        let mut quotable = Quotable::default();
        for observation in cards {
            later.iter_mut().for_each(|later| later(state));
            let note = |note| notes.push((observation.agent.clone(), note));
            let Folded { counted, turned, touched } = state.fold(observation, now, &self.config, watch, note);
            if counted {
                quotable.add(observation, &self.config.reflection);
            }
            for kind in turned.into_iter().flatten() {
                quotable.quote(&mut state.quotes, &self.config.reflection);
                let occasion = Occasion { now, epoch: self.meta.epoch, agent: Some(&observation.agent), resting };
                state.assess_kind(kind, &occasion, &self.config, &mut self.meta.insights, changes);
            }
            if counted {
                self.folded += 1;
                self.meta.observations += 1;
            } else {
                self.meta.duplicates += 1;
            }
            slot.touched.add(touched);
        }
        quotable.quote(&mut state.quotes, &self.config.reflection);
        state.touched = self.meta.observations + self.meta.duplicates;
        if !slot.dirty {
            slot.dirty = true;
            self.dirty.push(place);
        }
    }

    /// Adds an agent; beyond the limit, the one not seen for the longest time makes room.
    fn admit(&mut self, agent: &AgentId, now: Timestamp) -> Place {
        while self.roster.len() >= self.config.agents.max(1) {
            let Some(oldest) = self.roster.oldest() else { break };
            self.forget(oldest, now);
            self.beat.evicted += 1;
            self.meta.evicted += 1;
        }
        let place = self.roster.insert(agent.clone(), Arc::new(AgentState::new(now)));
        if let Some(slot) = self.roster.slot_mut(place) {
            slot.touched = Touched::ALL;
        }
        place
    }

    fn forget(&mut self, place: Place, now: Timestamp) {
        let Some(slot) = self.roster.remove(place) else { return };
        for (_, id) in &slot.state.open {
            self.beat.insights.extend(self.meta.insights.resolve(*id, now));
        }
        self.beat.forgotten.push(slot.agent);
    }

    /// Has these analyzers judge nothing until told otherwise: the insights that are theirs stay as they are. That they
    /// are told of no observations is the watch's part ([`Engine::fold_watched`]).
    pub fn rest(&mut self, parts: Parts) {
        self.resting = parts;
    }

    /// Judges what was touched, and the daemon itself, and ends the beat.
    pub fn finish(&mut self, now: Timestamp, pulse: &Pulse) -> Beat {
        self.meta.beat += 1;
        self.meta.at = now;
        self.wake(now);
        let mut dirty = std::mem::take(&mut self.dirty);
        self.beat.agents.reserve(dirty.len());
        for (i, place) in dirty.iter().copied().enumerate() {
            self.ahead_of_judging(&dirty, i);
            self.assess(place, now);
        }
        dirty.clear();
        self.dirty = dirty;
        self.fit();
        self.judge_itself(now, pulse);
        self.meta.reflection.take_in(&self.beat.insights);
        let scene = Scene {
            now,
            agents: self.roster.len(),
            observations: self.meta.observations,
            insights: self.meta.insights.iter(),
        };
        self.meta.reflection.beat(scene, &self.config.reflection);
        let mut beat = std::mem::take(&mut self.beat);
        beat.folded = std::mem::take(&mut self.folded);
        beat.opened = beat
            .insights
            .iter()
            .filter_map(|change| match change {
                InsightChange::Open(id) => self.meta.insights.get(*id).filter(|insight| insight.since == now),
                InsightChange::Resolved(_) => None,
            })
            .map(|insight| insight.id)
            .collect();
        beat
    }

    /// Marks the agents whose time has come.
    fn wake(&mut self, now: Timestamp) {
        let mut woken = Vec::new();
        while let Some(Reverse((due, place))) = self.timers.peek().copied().filter(|Reverse((due, _))| *due <= now) {
            self.timers.pop();
            woken.push((due, place));
        }
        for (i, (noted, place)) in woken.iter().copied().enumerate() {
            self.ahead_of_waking(&woken, i);
            let Some(slot) = self.roster.slot_mut(place).filter(|slot| slot.state.due == Some(noted)) else { continue };
            let state = Arc::make_mut(&mut slot.state);
            state.due = None;
            state.calibration.expire(now, &self.config.calibration);
            let touched = state.come_due(slot.spread, noted, now, &self.config);
            slot.touched.add(touched);
            if slot.dirty {
                continue;
            }
            if touched == Touched::default() && state.open.is_empty() {
                // It showed itself meanwhile, and there is no evidence to bring up to date.
                state.due = state.next_due(slot.spread, now, touched, &self.config);
                self.timers.extend(state.due.map(|due| Reverse((due, place))));
                self.beat.noted.push(slot.agent.clone());
                continue;
            }
            slot.dirty = true;
            self.dirty.push(place);
        }
    }

    fn assess(&mut self, place: Place, now: Timestamp) {
        // The place may have changed hands since it was marked.
        let Some(slot) = self.roster.slot_mut(place).filter(|slot| slot.dirty) else { return };
        slot.dirty = false;
        let state = Arc::make_mut(&mut slot.state);
        let (book, changes) = (&mut self.meta.insights, &mut self.beat.insights);
        let occasion = Occasion { now, epoch: self.meta.epoch, agent: Some(&slot.agent), resting: self.resting };
        let touched = std::mem::take(&mut slot.touched);
        state.assess(&occasion, touched, &self.config, book, changes);
        if !slot.unfitted && touched.has(Touched::CLAIMS) && state.calibration.needs_fit(&self.config.calibration) {
            slot.unfitted = true;
            self.meta.unfitted.push_back(slot.agent.clone());
        }
        let due = state.next_due(slot.spread, now, touched, &self.config);
        let due = due.filter(|due| state.due.is_none_or(|noted| *due < noted));
        if let Some(due) = due {
            state.due = Some(due);
            self.timers.push(Reverse((due, place)));
        }
        self.beat.agents.push(Changed { agent: slot.agent.clone(), touched, place });
    }

    /// Fits metacognitive sensitivity for a few of the agents that want it, in the order in which they came to.
    fn fit(&mut self) {
        if self.resting.has(Part::Calibration) {
            return;
        }
        for _ in 0..self.config.fits_per_beat {
            let Some(agent) = self.meta.unfitted.pop_front() else { break };
            let Some(place) = self.roster.find(agent.as_str()) else { continue };
            let Some(slot) = self.roster.slot_mut(place) else { continue };
            slot.unfitted = false;
            Arc::make_mut(&mut slot.state).calibration.fit(&self.config.calibration);
            self.beat.agents.push(Changed { agent, touched: Touched::CLAIMS, place });
        }
    }

    fn judge_itself(&mut self, now: Timestamp, pulse: &Pulse) {
        let MetaState { epoch, vitals, insights, own, .. } = &mut self.meta;
        vitals.beat(now, self.folded, pulse, &self.config.vitals);
        let occasion = Occasion { now, epoch: *epoch, agent: None, resting: Parts::default() };
        for kind in Vitals::KINDS {
            let assessment = vitals.assess(kind, &self.config.vitals);
            let words = |evidence: &_| reflection::content(kind, evidence, std::iter::empty());
            self.beat.insights.extend(insights.carry_out(&occasion, own, None, kind, assessment, words));
        }
    }

    /// The settings.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The state's own part; the agents' are told by [`Engine::agent`] and [`Engine::iter`].
    pub fn meta(&self) -> &MetaState {
        &self.meta
    }

    /// How many agents are remembered.
    pub fn agents(&self) -> usize {
        self.roster.len()
    }

    /// One agent's state.
    pub fn agent(&self, agent: &str) -> Option<&Arc<AgentState>> {
        let place = self.roster.find(agent)?;
        self.roster.slot(place).map(|slot| &slot.state)
    }

    /// The state of an agent that changed in the last beat.
    pub fn changed(&self, change: &Changed) -> Option<&Arc<AgentState>> {
        self.roster.slot(change.place).filter(|slot| slot.agent == change.agent).map(|slot| &slot.state)
    }

    /// All agents, the one not seen for the longest time first.
    pub fn iter(&self) -> impl Iterator<Item = (&AgentId, &Arc<AgentState>)> {
        self.roster.iter().map(|(_, slot)| (&slot.agent, &slot.state))
    }

    /// All open insights.
    pub fn insights(&self) -> impl Iterator<Item = &Insight> {
        self.meta.insights.iter()
    }

    /// One open insight.
    pub fn insight(&self, id: InsightId) -> Option<&Insight> {
        self.meta.insights.get(id)
    }

    /// When something is due although nothing comes in: what replays recordings leaps there.
    pub fn next_due(&self) -> Option<Timestamp> {
        self.timers.peek().map(|Reverse((due, _))| *due)
    }
}

#[cfg(test)]
mod tests;
