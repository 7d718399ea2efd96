//! The daemon's engine on recorded time, at full speed.

use std::collections::BTreeMap;
use std::time::Duration;

use super::density::Density;
use crate::analyze::drift::{Change, Series};
use crate::analyze::stuck::Detection;
use crate::analyze::vitals::{ClientFacts, Pulse, StoreFacts};
use crate::domain::{AgentId, Insight, InsightId, Observation, SessionKey, Timestamp};
use crate::engine::{Beat, Config, Engine, InsightChange, Note};

/// Beats an engine as the daemon would, as fast as it can, leaping over time in which nothing is due.
pub struct Simulation {
    engine: Engine,
    interval: Duration,
    next: Option<Timestamp>,
    pending: Vec<Observation>,
    found: Found,
}

/// What came to light.
#[derive(Debug, Default)]
pub struct Found {
    /// First detections of loops, by agent.
    pub stuck: BTreeMap<AgentId, Vec<(SessionKey, Detection)>>,
    /// Changes of level, by agent.
    pub drift: BTreeMap<AgentId, Vec<Change>>,
    /// All insights, by the time they opened.
    pub insights: BTreeMap<InsightId, Insight>,
    /// When agents were active.
    pub activity: BTreeMap<AgentId, Density>,
    /// The first and the last time of an observation.
    pub span: Option<(Timestamp, Timestamp)>,
}

impl Found {
    fn note(&mut self, observation: &Observation) {
        let at = observation.at;
        let (first, last) = self.span.unwrap_or((at, at));
        self.span = Some((first.min(at), last.max(at)));
        match self.activity.get_mut(&observation.agent) {
            Some(density) => density.add(at),
            None => drop(self.activity.insert(observation.agent.clone(), Density::new(at))),
        }
    }

    /// The indices at which a series of an agent changed.
    pub fn changes(&self, agent: &AgentId, series: Series) -> Vec<u64> {
        let changes = self.drift.get(agent).into_iter().flatten();
        changes.filter(|change| change.series == series).map(|change| change.index).collect()
    }
}

impl Simulation {
    /// An engine before its first observation.
    pub fn new(config: Config, interval: Duration) -> Self {
        let (engine, found) = (Engine::new(config, 0), Found::default());
        Self { engine, interval, next: None, pending: Vec::new(), found }
    }

    /// Takes the next observation. Time goes on to when it was made, never back.
    pub fn observe(&mut self, observation: Observation) {
        self.advance(observation.at);
        self.found.note(&observation);
        self.pending.push(observation);
    }

    /// Folds what is left and fits what is unfitted.
    pub fn finish(mut self) -> (Engine, Found) {
        if let Some(next) = self.next {
            self.beat(next);
        }
        while !self.engine.meta().unfitted.is_empty() {
            let next = self.engine.meta().at.plus(self.interval);
            self.beat(next);
        }
        self.found.insights.extend(self.engine.insights().map(|insight| (insight.id, insight.clone())));
        (self.engine, self.found)
    }

    /// Makes the beats that are due before `to`.
    fn advance(&mut self, to: Timestamp) {
        let mut next = *self.next.get_or_insert_with(|| to.plus(self.interval));
        while next <= to {
            self.beat(next);
            let quiet_until = self.engine.next_due().map_or(to, |due| due.min(to));
            let leap = quiet_until.since(next).as_nanos() / self.interval.as_nanos().max(1);
            let leap = self.interval.saturating_mul(u32::try_from(leap).unwrap_or(u32::MAX));
            next = next.plus(leap.max(self.interval));
        }
        self.next = Some(next);
    }

    fn beat(&mut self, now: Timestamp) {
        let pulse = Pulse {
            interval: self.interval,
            lateness: Duration::ZERO,
            missed: 0,
            analysis: None,
            backlog: 0,
            store: StoreFacts::MEMORY_ONLY,
            clients: ClientFacts::default(),
        };
        let beat = self.engine.beat(now, &self.pending, &pulse);
        self.pending.clear();
        self.collect(beat);
    }

    fn collect(&mut self, beat: Beat) {
        for (agent, note) in beat.notes {
            match note {
                Note::Stuck(session, detection) => {
                    self.found.stuck.entry(agent).or_default().push((session, detection));
                }
                Note::Drift(change) => self.found.drift.entry(agent).or_default().push(change),
            }
        }
        for change in beat.insights {
            if let InsightChange::Resolved(insight) = change {
                self.found.insights.insert(insight.id, *insight);
            }
        }
    }
}
