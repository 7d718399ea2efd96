//! Beats on their way from the pod that leads to the others.
//!
//! What is written is what the public view shows, leaf by leaf under its name. What is read back is checked as if a
//! stranger had sent it: names are checked names, words are of the closed sets that belong to their places, and there is
//! no place for a text. Leaves and words that this version does not know are left out, so that pods of two versions
//! understand each other.

use std::fmt;
use std::marker::PhantomData;
use std::str::FromStr;

use serde::de::{self, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Serialize, Serializer};

use super::curve::Curve;
use super::record::{Layout, Leaf, Place, Record, Shown};
use super::state::Position;
use super::view::{AgentLayout, InsightLayout, PublicBeat, SystemLayout};
use crate::domain::{
    Advice, AgentId, BreakerState, ClusterStatus, InsightId, InsightKind, InstanceName, Severity, Status, StoreMode,
    Timestamp, ToolName, Word,
};

/// A beat as one pod tells it to another.
#[derive(Debug, Clone)]
pub struct Relayed {
    /// The beat that it continues; `None`: it tells the whole state.
    pub after: Option<u64>,
    /// What it changes.
    pub beat: PublicBeat,
}

/// Why bytes are no beat. Quotes nothing of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a beat: at column {column}")]
pub struct WireError {
    /// Where, 1-based.
    pub column: usize,
}

impl Relayed {
    /// The beat as JSON.
    pub fn to_json(&self) -> Vec<u8> {
        let Self { after, beat: PublicBeat { position, at, system, agents, insights, curves } } = self;
        let agents = agents.iter().map(|(agent, record)| (agent, record.as_ref().map(Sent))).collect();
        let insights = insights.iter().map(|(id, record)| (id, record.as_ref().map(Sent))).collect();
        let form = Outgoing {
            epoch: position.epoch,
            beat: position.beat,
            after,
            at,
            system: Sent(system),
            agents,
            insights,
            curves,
        };
        // Such a thing always has a JSON form.
        serde_json::to_vec(&form).unwrap_or_default()
    }

    /// Reads a beat.
    ///
    /// # Errors
    /// When it is none.
    pub fn from_json(bytes: &[u8]) -> Result<Self, WireError> {
        let form: Incoming = serde_json::from_slice(bytes).map_err(|error| WireError { column: error.column() })?;
        let Incoming { epoch, beat, after, at, system, agents, insights, curves } = form;
        let beat = PublicBeat {
            position: Position { epoch, beat },
            at: Timestamp::from_nanos(at),
            system: system.0,
            agents: agents.into_iter().map(|(agent, record)| (agent, record.map(|record| record.0))).collect(),
            insights: insights.into_iter().map(|(id, record)| (id, record.map(|record| record.0))).collect(),
            curves,
        };
        Ok(Self { after, beat })
    }
}

#[derive(Serialize)]
struct Outgoing<'a> {
    epoch: u64,
    beat: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    after: &'a Option<u64>,
    at: &'a Timestamp,
    system: Sent<'a, SystemLayout>,
    agents: Vec<(&'a AgentId, Option<Sent<'a, AgentLayout>>)>,
    insights: Vec<(&'a InsightId, Option<Sent<'a, InsightLayout>>)>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    curves: &'a [(AgentId, Curve)],
}

#[derive(Deserialize)]
struct Incoming {
    epoch: u64,
    beat: u64,
    #[serde(default)]
    after: Option<u64>,
    at: i64,
    system: Received<SystemLayout>,
    agents: Vec<(AgentId, Option<Received<AgentLayout>>)>,
    insights: Vec<(InsightId, Option<Received<InsightLayout>>)>,
    #[serde(default)]
    curves: Vec<(AgentId, Curve)>,
}

/// Under this name a record says that it is about all leaves, those that are absent included.
const ALL: &str = "*";

/// A record as an object of leaves: `"group.name": value`; `null` where the record says that there is none.
struct Sent<'a, L>(&'a Record<L>);

impl<L: Layout> Serialize for Sent<'_, L> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        let scope = self.0.scope();
        if scope.is_none() {
            map.serialize_entry(ALL, &true)?;
        }
        for (position, place) in L::places().iter().enumerate() {
            let leaf = self.0.get(position);
            let told = match scope {
                None => leaf.is_some(),
                Some(about) => about & (1 << position) != 0,
            };
            if told {
                map.serialize_entry(&Name(place), &leaf)?;
            }
        }
        map.end()
    }
}

struct Name<'a>(&'a Place);

impl Serialize for Name<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl fmt::Display for Name<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Place { group: Some(group), name } => write!(f, "{group}.{name}"),
            Place { group: None, name } => f.write_str(name),
        }
    }
}

fn is_at(place: &Place, text: &str) -> bool {
    match place.group {
        Some(group) => text.strip_prefix(group).and_then(|rest| rest.strip_prefix('.')) == Some(place.name),
        None => text == place.name,
    }
}

struct Received<L>(Record<L>);

impl<'de, L: Layout> Deserialize<'de> for Received<L> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Leaves<L>(PhantomData<L>);
        impl<'de, L: Layout> Visitor<'de> for Leaves<L> {
            type Value = Received<L>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a record")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                // About all leaves, or about those that are told.
                let (mut all, mut about) = (false, 0);
                let mut told = Vec::new();
                let mut next = 0;
                while let Some(key) = map.next_key_seed(Find { places: L::places(), from: next })? {
                    match key {
                        Key::All => {
                            let _: IgnoredAny = map.next_value()?;
                            all = true;
                            told.clear();
                        }
                        Key::Unknown => {
                            let _: IgnoredAny = map.next_value()?;
                        }
                        Key::At(position, place) => {
                            let leaf = map.next_value_seed(Value(place))?;
                            about |= 1 << position;
                            told.push((position, leaf));
                            next = position + 1;
                        }
                    }
                }
                let mut record = if all { Record::new() } else { Record::about_some(about) };
                told.into_iter().for_each(|(position, leaf)| record.set(position, leaf));
                Ok(Received(record))
            }
        }
        deserializer.deserialize_map(Leaves(PhantomData))
    }
}

enum Key {
    All,
    Unknown,
    At(usize, &'static Place),
}

/// Finds the place that a name means. Names come in the order of the places, so the search begins after the last one.
struct Find {
    places: &'static [Place],
    from: usize,
}

impl<'de> DeserializeSeed<'de> for Find {
    type Value = Key;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Key, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Find {
    type Value = Key;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of a leaf")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Key, E> {
        if text == ALL {
            return Ok(Key::All);
        }
        let (before, after) = self.places.split_at(self.from.min(self.places.len()));
        let in_order = after.iter().enumerate().map(|(i, place)| (i + before.len(), place));
        let mut all = in_order.chain(before.iter().enumerate());
        Ok(all.find(|(_, place)| is_at(place, text)).map_or(Key::Unknown, |(i, place)| Key::At(i, place)))
    }
}

/// Reads a leaf as befits its place.
struct Value(&'static Place);

impl<'de> DeserializeSeed<'de> for Value {
    type Value = Option<Leaf>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Option<Leaf>, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Value {
    type Value = Option<Leaf>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number, a word, a name or nothing")
    }

    fn visit_unit<E>(self) -> Result<Option<Leaf>, E> {
        Ok(None)
    }

    fn visit_u64<E>(self, count: u64) -> Result<Option<Leaf>, E> {
        Ok(matches!(sort(self.0), Sort::Figure | Sort::Evidence).then_some(Leaf::Count(count)))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Option<Leaf>, E> {
        let fits = matches!(sort(self.0), Sort::Figure | Sort::Evidence);
        Ok(Leaf::number(number).filter(|_| fits))
    }

    fn visit_str<E>(self, text: &str) -> Result<Option<Leaf>, E> {
        Ok(match sort(self.0) {
            Sort::Figure => None,
            Sort::Word(known) => known(text).map(Leaf::Word),
            Sort::Evidence => word::<Word>(text).or_else(|| word::<InsightKind>(text)).map(Leaf::Word),
            Sort::Agent => AgentId::new(text).ok().map(|agent| Leaf::Agent(Box::new(agent))),
            Sort::Tool => ToolName::new(text).ok().map(|tool| Leaf::Tool(Box::new(tool))),
            Sort::Instance => InstanceName::new(text).ok().map(|instance| Leaf::Instance(Box::new(instance))),
            Sort::Time => {
                let nanos = text.parse().ok().and_then(|at: jiff::Timestamp| i64::try_from(at.as_nanosecond()).ok());
                nanos.map(|nanos| Leaf::Time(Timestamp::from_nanos(nanos)))
            }
        })
    }
}

/// What may stand in a place.
enum Sort {
    Figure,
    Word(fn(&str) -> Option<Shown>),
    /// A figure or a word.
    Evidence,
    Agent,
    Tool,
    Instance,
    Time,
}

fn sort(place: &Place) -> Sort {
    match (place.group, place.name) {
        (None, "status") => Sort::Word(word::<Status>),
        (None, "advice") => Sort::Word(word::<Advice>),
        (None, "kind") => Sort::Word(word::<InsightKind>),
        (None, "severity") => Sort::Word(word::<Severity>),
        (None, "agent") => Sort::Agent,
        (None, "since") => Sort::Time,
        (Some("loop"), "pattern") => Sort::Word(word::<Word>),
        (Some("store"), "mode") => Sort::Word(word::<StoreMode>),
        (Some("store"), "breaker") => Sort::Word(word::<BreakerState>),
        (Some("cluster"), "status") => Sort::Word(word::<ClusterStatus>),
        (Some("cluster"), "leader") => Sort::Instance,
        (Some("evidence"), "tool") => Sort::Tool,
        (Some("evidence"), _) => Sort::Evidence,
        _ => Sort::Figure,
    }
}

fn word<W: FromStr + Into<Shown>>(text: &str) -> Option<Shown> {
    text.parse::<W>().ok().map(W::into)
}

#[cfg(test)]
mod tests {
    use super::super::testing::*;
    use super::super::{Everything, PublicState, Standing};
    use super::*;

    fn shown(beat: PublicBeat) -> serde_json::Value {
        let state = PublicState::new(beat, 10);
        serde_json::to_value(state.document(&Everything)).unwrap()
    }

    fn read(system: &str, agent: &str, insight: &str) -> Result<serde_json::Value, WireError> {
        let id = InsightId::new(1, 1, 1);
        let text = format!(
            r#"{{"epoch":3,"beat":7,"at":5,"new":1,"system":{system},"agents":[["a",{agent}]],"insights":[["{id}",{insight}]]}}"#
        );
        Relayed::from_json(text.as_bytes()).map(|relayed| shown(relayed.beat))
    }

    #[test]
    fn what_this_version_does_not_know_is_left_out() {
        let state = read(
            r#"{"*":true,"store.mode":"elsewhere","store.lag_beats":3,"cluster.leader":"two words","cluster.status":"led","x.y":[{}]}"#,
            r#"{"status":"dancing","advice":"stop","calibration.n":1,"calibration.brier":"secret","mood":"secret"}"#,
            r#"{"*":true,"kind":"stuck","agent":"b","since":"2025-11-23T23:54:08.123Z","evidence.tool":"ls","evidence.state":"secret","evidence.because":"drift","evidence.n":2}"#,
        );
        let state = state.unwrap();
        assert_eq!(state["store"], serde_json::json!({"lag_beats": 3}));
        assert_eq!(state["cluster"], serde_json::json!({"status": "led"}));
        assert_eq!(state["agents"]["a"], serde_json::json!({"advice": "stop", "calibration": {"n": 1}}));
        let evidence = serde_json::json!({"tool": "ls", "because": "drift", "n": 2});
        let insight = serde_json::json!({"kind": "stuck", "agent": "b", "since": "2025-11-23T23:54:08.123Z", "evidence": evidence});
        assert_eq!(state["insights"].as_object().unwrap().values().next(), Some(&insight));
    }

    #[test]
    fn what_is_no_beat_is_refused() {
        for (system, agent, insight) in [
            (r#"{"store.mode":["redis"]}"#, "null", "null"),
            (r#""secret""#, "null", "null"),
            ("{}", "7", "null"),
            ("{}", "null", r#"{"kind":{"secret":1}}"#),
        ] {
            assert!(read(system, agent, insight).is_err());
        }
        assert!(read("{}", "null", "null").is_ok());
        assert!(Relayed::from_json(b"{}").is_err() && Relayed::from_json(b"").is_err());
    }

    #[test]
    fn a_partial_record_tells_what_went() {
        let mut state = PublicState::new(beat(1, 1, 0).agent("a", Some(&[(3, 5), (1, 2)])), 10);
        let mut gone = beat(1, 2, 100);
        let record = Record::about_some(1 << 3);
        gone.agents.push((AgentId::new("a").unwrap(), Some(record)));
        state.apply(Relayed::from_json(&Relayed { after: Some(1), beat: gone }.to_json()).unwrap().beat);
        let told = serde_json::to_value(state.document(&Everything)).unwrap();
        assert_eq!(told["agents"]["a"], agent_json(&[(1, 2)]));
    }

    #[test]
    fn a_pod_goes_on_by_itself() {
        let mut state = PublicState::new(beat(1, 8, 0).agent("a", Some(&[(3, 5)])), 10);
        let standing = Standing { status: ClusterStatus::Degraded, leader: InstanceName::new("pod-1").ok() };
        let idle = state.idle(1, Timestamp::from_nanos(7), &standing);
        assert!(state.apply(idle));
        assert_eq!(state.position(), Position { epoch: 1, beat: 9 });
        let told = serde_json::to_value(state.document(&Everything)).unwrap();
        assert_eq!(told["cluster"], serde_json::json!({"status": "degraded", "leader": "pod-1"}));
        assert_eq!(told["agents"]["a"], agent_json(&[(3, 5)]));
    }
}
