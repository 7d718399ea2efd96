//! Public beats made by hand, for tests of what is built on them.

use super::record::{Layout, Leaf, Record};
use super::state::Position;
use super::view::{AgentField, AgentLayout, InsightField, PublicBeat, SystemLayout};
use crate::domain::{Advice, AgentId, EvidenceKey, InsightId, InsightKind, Timestamp};

/// Leaves by position, each a count.
pub(crate) type Counts = [(usize, u64)];

/// How many leaves an agent has.
pub(crate) fn agent_leaves() -> usize {
    AgentLayout::places().len()
}

/// A beat at `millis` since the Unix epoch that changes nothing but the clock, as long as no figure of the daemon's
/// own was ever set.
pub(crate) fn beat(epoch: u64, beat: u64, millis: u64) -> PublicBeat {
    PublicBeat {
        position: Position { epoch, beat },
        at: Timestamp::from_nanos(i64::try_from(millis).unwrap() * 1_000_000),
        system: Record::new(),
        agents: Vec::new(),
        insights: Vec::new(),
        curves: Vec::new(),
    }
}

fn set<L: Layout>(record: &mut Record<L>, counts: &Counts) {
    for (position, count) in counts {
        record.set(position % L::places().len(), Leaf::Count(*count));
    }
}

fn json<L: Layout>(counts: &Counts) -> serde_json::Value {
    let mut object = serde_json::json!({});
    for (position, count) in counts {
        let place = L::places()[position % L::places().len()];
        match place.group {
            Some(group) => object[group][place.name] = (*count).into(),
            None => object[place.name] = (*count).into(),
        }
    }
    object
}

/// What the public view shows of an agent with these leaves.
pub(crate) fn agent_json(counts: &Counts) -> serde_json::Value {
    json::<AgentLayout>(counts)
}

/// What the public view shows of the daemon with these leaves.
pub(crate) fn system_json(counts: &Counts) -> serde_json::Value {
    json::<SystemLayout>(counts)
}

impl PublicBeat {
    /// Under another leadership.
    pub(crate) fn under(mut self, epoch: u64) -> Self {
        self.position.epoch = epoch;
        self
    }

    /// With figures of the daemon's own.
    pub(crate) fn system(mut self, counts: &Counts) -> Self {
        set(&mut self.system, counts);
        self
    }

    /// With an agent that has these leaves; `None`: it is gone.
    pub(crate) fn agent(mut self, name: &str, counts: Option<&Counts>) -> Self {
        let record = counts.map(|counts| {
            let mut record = Record::new();
            set(&mut record, counts);
            record
        });
        self.agents.push((AgentId::new(name).unwrap(), record));
        self
    }

    /// With an agent that got advice.
    pub(crate) fn advised(mut self, name: &str, advice: Advice) -> Self {
        let mut record = Record::new();
        record.set(AgentField::Advice, Leaf::word(advice));
        self.agents.push((AgentId::new(name).unwrap(), Some(record)));
        self
    }

    /// With an open insight and how often it was seen; `None`: it is resolved.
    pub(crate) fn insight(mut self, id: InsightId, agent: &str, kind: InsightKind, repeats: Option<u64>) -> Self {
        let record = repeats.map(|repeats| {
            let mut record = Record::new();
            record.set(InsightField::Kind, Leaf::word(kind));
            record.set(InsightField::Agent, Leaf::Agent(Box::new(AgentId::new(agent).unwrap())));
            record.set(InsightField::Evidence(EvidenceKey::Repeats), Leaf::Count(repeats));
            record
        });
        self.insights.push((id, record));
        self
    }
}
