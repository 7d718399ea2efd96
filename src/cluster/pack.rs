//! Observations in few bytes, in the order in which they were accepted.
//!
//! A pack is a row of [`Item`]s in postcard's format. Names are written once, and stood for by their places from there
//! on; times are told as differences. Packs that follow one another are a pack.
//!
//! The format says nothing of itself. So whatever changes it, a field more or a kind more, is another format, and the
//! stream gets another field for it (see [`super::entry`]): what is read for something else would be counted as such.

use std::collections::HashMap;

use foldhash::fast::RandomState;
use serde::{Deserialize, Serialize};

use crate::domain::{
    AgentId, CallKey, ClaimKey, Failure, Kind, Observation, ObservationKey, Probability, Role, SessionKey, Source,
    TaskKey, Text, Timestamp, ToolName,
};

/// Bytes that an observation takes at least.
const LEAST: usize = 7;

/// What a pack is made of.
#[derive(Debug, Serialize, Deserialize)]
enum Item<'a> {
    /// All places and times begin anew.
    Begin,
    /// The next agent in a session.
    Who(&'a str, SessionKey),
    /// The next tool.
    Tool(&'a str),
    /// An observation.
    Observed {
        /// The place of its agent and session.
        who: u32,
        /// Nanoseconds since the last one's time.
        later: i64,
        id: Option<ObservationKey>,
        source: Source,
        #[serde(borrow)]
        what: What<'a>,
    },
}

/// A [`Text`].
#[derive(Debug, Serialize, Deserialize)]
struct Quote<'a>(u64, &'a str);

/// A [`Kind`] with places for names.
#[derive(Debug, Serialize, Deserialize)]
enum What<'a> {
    Thought {
        #[serde(borrow)]
        text: Option<Quote<'a>>,
    },
    Message {
        role: Role,
        text: Option<Quote<'a>>,
    },
    Action {
        tool: u32,
        arguments: Option<Quote<'a>>,
        call: Option<CallKey>,
    },
    Result {
        call: Option<CallKey>,
        tool: Option<u32>,
        ok: bool,
        /// And whether it is one of the infrastructure.
        error: Option<(Quote<'a>, bool)>,
        text: Option<Quote<'a>>,
        duration_ms: Option<f64>,
    },
    Claim {
        claim: ClaimKey,
        confidence: Probability,
        correct: Option<bool>,
        task: Option<TaskKey>,
    },
    Verdict {
        claim: ClaimKey,
        correct: bool,
    },
    Progress {
        done: f64,
        total: Option<f64>,
    },
    Usage {
        input_tokens: u64,
        output_tokens: u64,
        cost: Option<f64>,
        context_window: Option<u64>,
    },
}

/// Writes a pack.
#[derive(Debug, Default)]
pub(super) struct Packer<'a> {
    bytes: Vec<u8>,
    who: HashMap<(&'a str, SessionKey), u32, RandomState>,
    tools: HashMap<&'a str, u32, RandomState>,
    at: i64,
}

impl<'a> Packer<'a> {
    /// Adds an observation.
    pub(super) fn add(&mut self, observation: &'a Observation) {
        let Observation { agent, session, id, at, source, kind } = observation;
        if self.bytes.is_empty() {
            self.write(&Item::Begin);
        }
        let key = (agent.as_str(), *session);
        let who = match self.who.get(&key) {
            Some(place) => *place,
            None => {
                self.write(&Item::Who(key.0, key.1));
                next(&mut self.who, key)
            }
        };
        let what = self.what(kind);
        let later = at.as_nanos().wrapping_sub(std::mem::replace(&mut self.at, at.as_nanos()));
        self.write(&Item::Observed { who, later, id: *id, source: *source, what });
    }

    /// Bytes of the pack as it is.
    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// The pack; the next one begins.
    pub(super) fn take(&mut self) -> Vec<u8> {
        self.who.clear();
        self.tools.clear();
        self.at = 0;
        let room = self.bytes.len();
        std::mem::replace(&mut self.bytes, Vec::with_capacity(room))
    }

    fn write(&mut self, item: &Item) {
        // Plain data always has a form, and writing to memory does not fail.
        if let Ok(bytes) = postcard::to_extend(item, std::mem::take(&mut self.bytes)) {
            self.bytes = bytes;
        }
    }

    fn tool(&mut self, tool: &'a ToolName) -> u32 {
        match self.tools.get(tool.as_str()) {
            Some(place) => *place,
            None => {
                self.write(&Item::Tool(tool.as_str()));
                next(&mut self.tools, tool.as_str())
            }
        }
    }

    fn what(&mut self, kind: &'a Kind) -> What<'a> {
        match kind {
            Kind::Thought { text } => What::Thought { text: quote(text) },
            Kind::Message { role, text } => What::Message { role: *role, text: quote(text) },
            Kind::Action { tool, arguments, call } => {
                What::Action { tool: self.tool(tool), arguments: quote(arguments), call: *call }
            }
            Kind::Result { call, tool, ok, error, text, duration_ms } => What::Result {
                call: *call,
                tool: tool.as_ref().map(|tool| self.tool(tool)),
                ok: *ok,
                error: error.as_ref().map(|Failure { text, infrastructure }| (text.into(), *infrastructure)),
                text: quote(text),
                duration_ms: *duration_ms,
            },
            Kind::Claim { claim, confidence, correct, task } => {
                What::Claim { claim: *claim, confidence: *confidence, correct: *correct, task: *task }
            }
            Kind::Verdict { claim, correct } => What::Verdict { claim: *claim, correct: *correct },
            Kind::Progress { done, total } => What::Progress { done: *done, total: *total },
            Kind::Usage { input_tokens, output_tokens, cost, context_window } => What::Usage {
                input_tokens: *input_tokens,
                output_tokens: *output_tokens,
                cost: *cost,
                context_window: *context_window,
            },
        }
    }
}

/// Gives a key the next place.
fn next<K: std::hash::Hash + Eq>(places: &mut HashMap<K, u32, RandomState>, key: K) -> u32 {
    // An entry holds far fewer.
    let place = u32::try_from(places.len()).unwrap_or(u32::MAX);
    places.insert(key, place);
    place
}

fn quote(text: &Option<Text>) -> Option<Quote<'_>> {
    text.as_ref().map(Into::into)
}

impl<'a> From<&'a Text> for Quote<'a> {
    fn from(text: &'a Text) -> Self {
        Self(text.hash(), text.excerpt())
    }
}

impl From<Quote<'_>> for Text {
    fn from(Quote(hash, excerpt): Quote) -> Self {
        Self::from_parts(hash, excerpt)
    }
}

/// Reads a pack of so many observations back; of one that is broken, as much as comes before the break, and `false`.
pub(super) fn unpack(mut bytes: &[u8], count: usize) -> (Vec<Observation>, bool) {
    // On the word of whoever wrote it, but none takes fewer bytes.
    let mut observations = Vec::with_capacity(count.min(bytes.len() / LEAST));
    let (mut who, mut tools, mut at) = (Vec::new(), Vec::new(), 0_i64);
    while !bytes.is_empty() {
        let Ok((item, rest)) = postcard::take_from_bytes(bytes) else { return (observations, false) };
        bytes = rest;
        match item {
            Item::Begin => {
                who.clear();
                tools.clear();
                at = 0;
            }
            Item::Who(agent, session) => {
                let Ok(agent) = AgentId::new(agent) else { return (observations, false) };
                who.push((agent, session));
            }
            Item::Tool(tool) => {
                let Ok(tool) = ToolName::new(tool) else { return (observations, false) };
                tools.push(tool);
            }
            Item::Observed { who: place, later, id, source, what } => {
                at = at.wrapping_add(later);
                let known = who.get(place as usize).cloned().zip(what.kind(&tools));
                let Some(((agent, session), kind)) = known else { return (observations, false) };
                observations.push(Observation { agent, session, id, at: Timestamp::from_nanos(at), source, kind });
            }
        }
    }
    (observations, true)
}

impl What<'_> {
    /// The kind; `None` where it names a tool that there is not.
    fn kind(self, tools: &[ToolName]) -> Option<Kind> {
        let tool = |place: u32| tools.get(place as usize).cloned();
        Some(match self {
            Self::Thought { text } => Kind::Thought { text: text.map(Into::into) },
            Self::Message { role, text } => Kind::Message { role, text: text.map(Into::into) },
            Self::Action { tool: place, arguments, call } => {
                Kind::Action { tool: tool(place)?, arguments: arguments.map(Into::into), call }
            }
            Self::Result { call, tool: place, ok, error, text, duration_ms } => Kind::Result {
                call,
                tool: place.map(|place| tool(place).ok_or(())).transpose().ok()?,
                ok,
                error: error.map(|(text, infrastructure)| Failure { text: text.into(), infrastructure }),
                text: text.map(Into::into),
                duration_ms,
            },
            Self::Claim { claim, confidence, correct, task } => Kind::Claim { claim, confidence, correct, task },
            Self::Verdict { claim, correct } => Kind::Verdict { claim, correct },
            Self::Progress { done, total } => Kind::Progress { done, total },
            Self::Usage { input_tokens, output_tokens, cost, context_window } => {
                Kind::Usage { input_tokens, output_tokens, cost, context_window }
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn kinds() -> [Kind; 8] {
        let text = || Some(Text::new("line one\nline two \"quoted\" \u{1f600}"));
        [
            Kind::Thought { text: text() },
            Kind::Message { role: Role::User, text: None },
            Kind::Action { tool: ToolName::fitted("ls"), arguments: text(), call: Some(CallKey::from_u64(u64::MAX)) },
            Kind::Result {
                call: None,
                tool: Some(ToolName::fitted("ls")),
                ok: false,
                error: Some(Failure::new("429")),
                text: text(),
                duration_ms: Some(0.1 + 0.2),
            },
            Kind::Claim {
                claim: ClaimKey::from_u64(1),
                confidence: Probability::new(1.0 / 3.0).unwrap(),
                correct: Some(true),
                task: None,
            },
            Kind::Verdict { claim: ClaimKey::from_u64(1), correct: false },
            Kind::Progress { done: 1e-300, total: None },
            Kind::Usage { input_tokens: u64::MAX, output_tokens: 0, cost: Some(0.25), context_window: None },
        ]
    }

    fn observations(count: usize) -> Vec<Observation> {
        let observation = |(i, kind)| Observation {
            agent: AgentId::fitted(&format!("a/{}", i % 7)),
            session: SessionKey::from_u64(i as u64 % 3),
            id: (i % 2 == 0).then(|| ObservationKey::from_u64(i as u64)),
            at: Timestamp::from_nanos(1_763_942_048_123_456_789 + 1000 * (i as i64 % 5)),
            source: Source::OtlpTraces,
            kind,
        };
        kinds().into_iter().cycle().take(count).enumerate().map(observation).collect()
    }

    fn pack(observations: &[Observation]) -> Vec<u8> {
        let mut packer = Packer::default();
        observations.iter().for_each(|observation| packer.add(observation));
        packer.take()
    }

    #[test]
    fn observations_come_back_as_they_went_and_packs_can_be_joined() {
        let all = observations(100);
        let (first, second) = all.split_at(37);
        assert_eq!(unpack(&pack(&all), 100), (all.clone(), true));
        assert_eq!(unpack(&[pack(first), pack(second)].concat(), 100), (all.clone(), true));
        let mut packer = Packer::default();
        packer.add(&first[0]);
        packer.take();
        packer.add(&first[0]);
        assert_eq!(packer.take(), pack(&first[..1]), "nothing of the last pack is left");
    }

    #[test]
    fn times_go_back_and_far() {
        let at = |nanos| Observation { at: Timestamp::from_nanos(nanos), ..observations(1).remove(0) };
        let all = [at(i64::MAX), at(0), at(7), at(i64::MAX)];
        assert_eq!(unpack(&pack(&all), 4), (all.to_vec(), true));
    }

    /// Another hash here is another format: the stream needs another field for it.
    #[test]
    fn the_format_is_the_one_that_the_field_stands_for() {
        let packed = pack(&observations(100));
        assert_eq!((packed.len(), xxhash_rust::xxh3::xxh3_64(&packed)), (3652, 13_627_303_355_738_837_031));
    }

    #[test]
    fn of_a_broken_pack_the_beginning_is_read() {
        let all = observations(20);
        let packed = pack(&all);
        for end in 0..packed.len() {
            let (read, _) = unpack(&packed[..end], 20);
            assert_eq!(read, all[..read.len()], "{end}");
        }
        assert!(!unpack(&packed[..packed.len() - 1], 20).1);
    }

    proptest! {
        #[test]
        fn total_on_random_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            unpack(&bytes, usize::MAX);
        }
    }
}
