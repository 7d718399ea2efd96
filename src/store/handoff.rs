//! From the heart to the writer: the latest wins, and the heart never waits.
//!
//! The writer asks; at the end of the next beat that has something for it, the heart hands over the state's head and the
//! agents that changed since the last time, shared, not copied. While nobody asks, the heart but notes names. All of a
//! parcel is of one beat, so what the writer puts together of parcels is the state of that beat.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use tokio::sync::mpsc;

use super::facts::Facts;
use crate::domain::AgentId;
use crate::engine::{AgentState, Beat, Engine, MetaState};

/// What changed since the last parcel.
#[derive(Debug)]
pub(super) struct Parcel {
    pub(super) meta: MetaState,
    /// Whether all agents are in it, and what was known of others is void.
    pub(super) whole: bool,
    pub(super) agents: Vec<(AgentId, Arc<AgentState>)>,
    pub(super) forgotten: Vec<AgentId>,
}

/// What the writer asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Ask {
    /// Nothing: it is busy.
    Nothing = 0,
    /// The next change, or a sign of life after a while.
    Change = 1,
    /// The state of the next beat, changed or not.
    Now = 2,
    /// The whole state of the next beat.
    Everything = 3,
}

/// The heart's end. To be told of each beat.
#[derive(Debug)]
pub struct Handoff {
    asked: Arc<AtomicU8>,
    parcels: mpsc::Sender<Parcel>,
    facts: Facts,
    /// Agents that changed or were forgotten since the last parcel.
    touched: HashSet<AgentId>,
    whole: bool,
    changed: bool,
    /// Beats since the last parcel.
    beats: u32,
    /// Beats after which a parcel is handed over although nothing changed.
    quiet_beats: u32,
}

/// The writer's end.
#[derive(Debug)]
pub struct Inlet {
    asked: Arc<AtomicU8>,
    parcels: mpsc::Receiver<Parcel>,
}

/// How long a state that nothing changes goes unwritten: what tells the world that the store still answers.
const QUIET: Duration = Duration::from_secs(1);
/// Names noted beyond the number of agents; with more, all agents are handed over.
const SLACK: usize = 1024;

pub(super) fn pair(interval: Duration, facts: Facts) -> (Handoff, Inlet) {
    let asked = Arc::new(AtomicU8::new(Ask::Nothing as u8));
    let (sender, parcels) = mpsc::channel(1);
    let quiet_beats = u32::try_from(QUIET.as_nanos() / interval.as_nanos().max(1)).unwrap_or(u32::MAX).max(1);
    let handoff = Handoff {
        asked: Arc::clone(&asked),
        parcels: sender,
        facts,
        touched: HashSet::new(),
        whole: true,
        changed: true,
        beats: 0,
        quiet_beats,
    };
    (handoff, Inlet { asked, parcels })
}

impl Handoff {
    /// Takes in what a beat changed, and hands over where that is asked for. Does not block.
    pub fn offer(&mut self, engine: &Engine, beat: &Beat) {
        self.beats = self.beats.saturating_add(1);
        if !(beat.agents.is_empty() && beat.forgotten.is_empty() && beat.insights.is_empty()) {
            self.changed = true;
            self.facts.changed(engine.meta().beat);
        }
        if !self.whole {
            let changed = beat.agents.iter().map(|changed| &changed.agent);
            self.touched.extend(changed.chain(&beat.noted).chain(&beat.forgotten).cloned());
            // So that names of agents long forgotten don't pile up while the store is away.
            self.whole = self.touched.len() > engine.agents() + SLACK;
        }
        let asked = self.asked.load(Ordering::Acquire);
        let due = match asked {
            _ if asked == Ask::Nothing as u8 => false,
            _ if asked == Ask::Change as u8 => self.changed || self.beats >= self.quiet_beats,
            _ => true,
        };
        if !due {
            return;
        }
        // No room: the last parcel is still there, or nobody is.
        let Ok(room) = self.parcels.try_reserve() else { return };
        self.asked.store(Ask::Nothing as u8, Ordering::Release);
        let whole = self.whole || asked == Ask::Everything as u8;
        let mut parcel = Parcel { meta: engine.meta().clone(), whole, agents: Vec::new(), forgotten: Vec::new() };
        if whole {
            parcel.agents = engine.iter().map(|(agent, state)| (agent.clone(), Arc::clone(state))).collect();
            self.touched.clear();
        } else {
            for agent in self.touched.drain() {
                match engine.agent(agent.as_str()) {
                    Some(state) => parcel.agents.push((agent, Arc::clone(state))),
                    None => parcel.forgotten.push(agent),
                }
            }
        }
        (self.whole, self.changed, self.beats) = (false, false, 0);
        room.send(parcel);
    }
}

impl Inlet {
    /// Asks for a parcel and waits for it; `None` once the heart has stopped.
    pub(super) async fn next(&mut self, ask: Ask) -> Option<Parcel> {
        self.asked.store(ask as u8, Ordering::Release);
        self.parcels.recv().await
    }

    /// Waits until the heart has stopped. To be called while nothing is asked for.
    pub(super) async fn ended(&mut self) {
        while self.parcels.recv().await.is_some() {}
    }

    #[cfg(test)]
    pub(super) fn ask(&self, ask: Ask) {
        self.asked.store(ask as u8, Ordering::Release);
    }

    #[cfg(test)]
    pub(super) fn try_next(&mut self) -> Option<Parcel> {
        self.parcels.try_recv().ok()
    }
}
