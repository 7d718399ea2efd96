use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::domain::{Advice, InsightId, InsightKind};
use crate::sanitize::{Select, testing};

const AGENTS: [&str; 5] = ["planner-1", "planner-2", "critic-1", "critic-2", "x"];
const FILTERS: [&[&str]; 5] = [&["*"], &["planner-*"], &["critic-1", "x"], &["?"], &[]];

/// What happens within one beat, or how it is delivered.
#[derive(Debug, Clone)]
enum Step {
    Agent(usize, Option<Vec<(usize, u64)>>),
    Open(usize),
    Change(usize, u64),
    Resolve(usize),
    System(u64),
    /// The beat ends; the next one comes so many milliseconds later. Merged with the next if `bool`.
    Beat(u64, bool),
    /// The leadership changes.
    Epoch,
    /// A client reads what is next.
    Read(usize),
    /// A client selects other agents.
    Subscribe(usize, usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let leaves = prop::collection::vec((0..testing::agent_leaves(), 0u64..4), 0..6);
    let step = prop_oneof![
        4 => (0..AGENTS.len(), prop::option::weighted(0.8, leaves)).prop_map(|(agent, leaves)| Step::Agent(agent, leaves)),
        1 => (0..AGENTS.len()).prop_map(Step::Open),
        1 => (0usize..8, 0u64..9).prop_map(|(insight, repeats)| Step::Change(insight, repeats)),
        1 => (0usize..8).prop_map(Step::Resolve),
        1 => (0u64..3).prop_map(Step::System),
        6 => (1u64..1500, prop::bool::weighted(0.2)).prop_map(|(pause, merged)| Step::Beat(pause, merged)),
        1 => Just(Step::Epoch),
        6 => (0usize..3).prop_map(Step::Read),
        1 => (0usize..3, 0..FILTERS.len()).prop_map(|(client, filter)| Step::Subscribe(client, filter)),
    ];
    prop::collection::vec(step, 1..150)
}

/// The state by other means: plain maps.
#[derive(Default)]
struct Model {
    epoch: u64,
    beat: u64,
    millis: u64,
    system: Vec<(usize, u64)>,
    agents: BTreeMap<usize, Vec<(usize, u64)>>,
    insights: BTreeMap<InsightId, (usize, u64)>,
    opened: u64,
}

impl Model {
    fn document(&self, filter: &Filter) -> Value {
        let wants = |agent: usize| filter.wants(&AgentId::new(AGENTS[agent]).unwrap());
        let mut document = testing::system_json(&self.system);
        document["agents"] = json!({});
        document["insights"] = json!({});
        for (agent, leaves) in self.agents.iter().filter(|(agent, _)| wants(**agent)) {
            document["agents"][AGENTS[*agent]] = testing::agent_json(leaves);
        }
        for (id, (agent, repeats)) in self.insights.iter().filter(|(_, (agent, _))| wants(*agent)) {
            document["insights"][id.to_string()] =
                json!({"kind": "stuck", "agent": AGENTS[*agent], "evidence": {"repeats": repeats}});
        }
        document
    }

    fn next_beat(&mut self, pause: u64) -> PublicBeat {
        self.beat += 1;
        self.millis += pause;
        testing::beat(self.epoch, self.beat, self.millis).system(&self.system)
    }
}

struct Client {
    filter: usize,
    given: Option<Given>,
    document: Value,
}

/// Plays a history and checks every frame that a client gets against the model at that frame's beat.
fn play(steps: &[Step], history_limit: usize) -> Result<(), TestCaseError> {
    let hub = Hub::new(history_limit);
    let filters: Vec<_> = FILTERS
        .iter()
        .map(|patterns| hub.filters().of(patterns.iter().map(|&pattern| pattern.to_owned()).collect(), 8).unwrap())
        .collect();
    let mut model = Model { epoch: 1, ..Model::default() };
    let mut past: BTreeMap<(Position, usize), Value> = BTreeMap::new();
    let mut clients: Vec<_> = (0..3).map(|_| Client { filter: 0, given: None, document: Value::Null }).collect();
    let mut open = model.next_beat(0);
    let mut held: Option<PublicBeat> = None;
    for step in steps {
        match step {
            Step::Agent(agent, leaves) => {
                // A later value of the same leaf counts, as it does in JSON.
                open = open.agent(AGENTS[*agent], leaves.as_deref());
                match leaves {
                    Some(leaves) => model.agents.insert(*agent, leaves.clone()),
                    None => model.agents.remove(agent),
                };
            }
            Step::Open(agent) => {
                model.opened += 1;
                let id = InsightId::new(model.millis, model.epoch, model.opened);
                model.insights.insert(id, (*agent, 1));
                open = open.insight(id, AGENTS[*agent], InsightKind::Stuck, Some(1));
            }
            Step::Change(nth, repeats) => {
                if let Some((id, (agent, now))) = model.insights.iter_mut().nth(*nth) {
                    *now = *repeats;
                    open = open.insight(*id, AGENTS[*agent], InsightKind::Stuck, Some(*repeats));
                }
            }
            Step::Resolve(nth) => {
                if let Some((id, (agent, _))) = model.insights.iter().nth(*nth).map(|(id, about)| (*id, *about)) {
                    model.insights.remove(&id);
                    open = open.insight(id, AGENTS[agent], InsightKind::Stuck, None);
                }
            }
            Step::System(value) => {
                model.system = vec![(7, *value), (0, 100)];
                open = open.system(&model.system);
            }
            Step::Epoch => {
                // A new leader starts with a whole beat of its own, never merged into its predecessor's.
                if held.is_none() {
                    model.epoch += 1;
                    open = open.under(model.epoch);
                }
            }
            Step::Beat(pause, merged) => {
                let beat = std::mem::replace(&mut open, model.next_beat(*pause));
                let beat = match held.take() {
                    Some(mut earlier) => {
                        earlier.absorb(beat);
                        earlier
                    }
                    None => beat,
                };
                if *merged {
                    held = Some(beat);
                    continue;
                }
                let position = beat.position();
                hub.publish(beat);
                for (i, filter) in filters.iter().enumerate() {
                    past.insert((position, i), model.document(filter));
                }
            }
            Step::Subscribe(client, filter) => {
                clients[*client].filter = *filter;
                clients[*client].given = None;
            }
            Step::Read(client) => {
                let client = &mut clients[*client];
                let Some((frame, given)) = hub.next(&filters[client.filter], client.given) else { continue };
                let frame = frame.json();
                match frame["type"].as_str() {
                    Some("state") => client.document = frame["state"].clone(),
                    Some("delta") => {
                        let base = client.given.map(|given| given.position.beat);
                        prop_assert_eq!(frame["base"].as_u64(), base);
                        json_patch::merge(&mut client.document, &frame["patch"]);
                    }
                    _ => prop_assert!(false, "not a data frame"),
                }
                let stamp = (frame["epoch"].as_u64(), frame["beat"].as_u64());
                prop_assert_eq!(stamp, (Some(given.position.epoch), Some(given.position.beat)));
                prop_assert_eq!(&client.document, &past[&(given.position, client.filter)]);
                client.given = Some(given);
            }
        }
    }
    if let Some(document) = hub.document() {
        let body: Value = serde_json::from_slice(&document.body).unwrap();
        prop_assert_eq!(&body["state"], &past[&(hub.position().unwrap(), 0)]);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, ..ProptestConfig::default() })]

    #[test]
    fn state_and_patches_give_the_document_at_every_frame(steps in steps(), short in any::<bool>()) {
        play(&steps, if short { 5 } else { 10_000 })?;
    }
}

#[test]
fn nothing_but_the_clock_is_told_once_a_second() {
    let hub = Hub::new(100);
    let everybody = hub.filters().everybody();
    hub.publish(testing::beat(1, 1, 0));
    let (_, mut given) = hub.next(&everybody, None).unwrap();
    let mut told = Vec::new();
    for beat in 2..=32 {
        hub.publish(testing::beat(1, beat, beat * 100));
        if let Some((frame, now)) = hub.next(&everybody, Some(given)) {
            assert_eq!(frame.json()["patch"], json!({}));
            told.push(beat);
            given = now;
        }
    }
    assert_eq!(told, [10, 20, 30]);
    let news = *hub.subscribe().borrow();
    assert_eq!(news.serial, 4, "the first beat and three signs of life");
}

#[test]
fn frames_are_shared() {
    let hub = Hub::new(100);
    let everybody = hub.filters().everybody();
    hub.publish(testing::beat(1, 1, 0).agent("a", Some(&[(1, 1)])));
    let (state, given) = hub.next(&everybody, None).unwrap();
    assert_eq!(hub.next(&everybody, None).unwrap().0.bytes().as_ptr(), state.bytes().as_ptr());
    hub.publish(testing::beat(1, 2, 100).agent("a", Some(&[(1, 2)])));
    let one = hub.next(&everybody, Some(given)).unwrap().0;
    let other = hub.next(&everybody, Some(given)).unwrap().0;
    assert_eq!(one.bytes().as_ptr(), other.bytes().as_ptr());
    assert_eq!(one.json()["patch"], json!({"agents": {"a": {"observations": 2}}}));
}

#[test]
fn a_large_state_is_shared_for_a_second_and_deltas_follow() {
    let hub = Hub::new(10_000);
    let everybody = hub.filters().everybody();
    let mut first = testing::beat(1, 1, 0);
    for i in 0..4_000 {
        first = first.agent(&format!("agent-{i}"), Some(&[(1, i)]));
    }
    hub.publish(first);
    let (state, _) = hub.next(&everybody, None).unwrap();
    assert!(state.bytes().len() > LARGE);
    hub.publish(testing::beat(1, 2, 500).agent("agent-0", Some(&[(1, 9)])));
    let (again, given) = hub.next(&everybody, None).unwrap();
    assert_eq!((again.bytes().as_ptr(), given.position.beat), (state.bytes().as_ptr(), 1));
    assert_eq!(hub.next(&everybody, Some(given)).unwrap().0.json()["type"], "delta");
    hub.publish(testing::beat(1, 3, 1_000));
    assert_eq!(hub.next(&everybody, None).unwrap().1.position.beat, 3);
}

#[test]
fn the_entity_tag_stays_while_only_the_clock_moves() {
    let hub = Hub::new(100);
    assert!(hub.document().is_none());
    hub.publish(testing::beat(2, 1, 0).agent("a", Some(&[])));
    let first = hub.document().unwrap();
    assert_eq!(first.etag, "W/\"2-1\"");
    hub.publish(testing::beat(2, 2, 100));
    let second = hub.document().unwrap();
    assert_eq!(second.etag, first.etag);
    assert_ne!(second.body, first.body);
    hub.publish(testing::beat(2, 3, 200).agent("a", None));
    assert_eq!(hub.document().unwrap().etag, "W/\"2-3\"");
}

#[test]
fn a_state_from_elsewhere_starts_with_a_whole_frame() {
    let hub = Hub::new(100);
    let everybody = hub.filters().everybody();
    hub.publish(testing::beat(1, 5, 5_000));
    hub.publish(testing::beat(1, 6, 5_100));
    assert!(hub.given(Position { epoch: 1, beat: 4 }).is_none(), "before the history");
    assert!(hub.given(Position { epoch: 1, beat: 7 }).is_none(), "in the future");
    assert!(hub.given(Position { epoch: 0, beat: 6 }).is_none(), "of another leader");
    let given = hub.given(Position { epoch: 1, beat: 5 }).unwrap();
    assert_eq!(hub.next(&everybody, Some(given)).unwrap().0.json()["base"], 5);
}

#[test]
fn advice_comes_with_its_reasons() {
    let hub = Hub::new(100);
    let (a, b) = (AgentId::new("a").unwrap(), AgentId::new("b").unwrap());
    assert!(hub.advice(&a).is_none());
    hub.publish(
        testing::beat(1, 7, 0)
            .advised("a", Advice::Escalate)
            .agent("b", Some(&[]))
            .insight(InsightId::new(1, 1, 1), "a", InsightKind::Stuck, Some(4))
            .insight(InsightId::new(1, 1, 2), "c", InsightKind::Silent, Some(4)),
    );
    assert_eq!(hub.advice(&a), Some(AdviceDocument { advice: "escalate", because: vec!["stuck"], beat: 7 }));
    assert_eq!(hub.advice(&b), Some(AdviceDocument { advice: "continue", because: vec![], beat: 7 }));
    assert!(hub.advice(&AgentId::new("c").unwrap()).is_none());
}
