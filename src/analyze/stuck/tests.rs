use std::collections::HashMap;
use std::io::Read;

use serde_json::Value;

use super::*;
use crate::domain::{
    AgentId, CallKey, EvidenceKey, EvidenceValue, Failure, SessionKey, Severity, Source, Text, Timestamp, ToolName,
};

mod episodes;
mod property;
mod unknown;

pub(super) fn observation(kind: Kind) -> Observation {
    Observation {
        agent: AgentId::new("a").unwrap(),
        session: SessionKey::default(),
        id: None,
        at: Timestamp::EPOCH,
        source: Source::Native,
        kind,
    }
}

pub(super) fn action(call: Option<&str>, tool: &str, arguments: Option<&str>) -> Observation {
    let tool = ToolName::new(tool).unwrap();
    observation(Kind::Action { tool, arguments: arguments.map(Text::new), call: call.map(CallKey::of) })
}

pub(super) fn result(call: Option<&str>, tool: Option<&str>, outcome: Outcome) -> Observation {
    let (ok, error, text) = outcome;
    observation(Kind::Result {
        call: call.map(CallKey::of),
        tool: tool.map(|tool| ToolName::new(tool).unwrap()),
        ok,
        error: error.map(Failure::new),
        text: text.map(Text::new),
        duration_ms: None,
    })
}

pub(super) fn message(role: Role, text: Option<&str>) -> Observation {
    observation(Kind::Message { role, text: text.map(Text::new) })
}

/// Repetition of what can only be cloned.
pub(super) trait Times<T> {
    fn times(&self, n: usize) -> Vec<T>;
}

impl<T: Clone> Times<T> for [T] {
    fn times(&self, n: usize) -> Vec<T> {
        vec![self; n].concat()
    }
}

/// Success, error and text of a result.
pub(super) type Outcome = (bool, Option<&'static str>, Option<&'static str>);

/// An action and its result.
pub(super) fn call(tool: &str, arguments: Option<&str>, outcome: Outcome) -> [Observation; 2] {
    [action(Some("c"), tool, arguments), result(Some("c"), Some(tool), outcome)]
}

pub(super) fn events(stuck: &mut Stuck, observations: &[Observation], config: &Config) -> Vec<Option<Event>> {
    observations.iter().map(|observation| stuck.observe(observation, config)).collect()
}

/// Pattern and ordinal of the first detection.
pub(super) fn first(observations: &[Observation], config: &Config) -> Option<(&'static str, u64)> {
    let detected = |event| match event {
        Some(Event::Detected(detection)) => Some((detection.pattern.as_str(), detection.observation)),
        _ => None,
    };
    events(&mut Stuck::new(), observations, config).into_iter().find_map(detected)
}

/// A native observation as it comes over the wire, as far as loops are concerned.
fn parse(value: &Value) -> Observation {
    let text = |key: &str| value[key].as_str();
    let kind = match text("kind").unwrap() {
        "message" => Kind::Message {
            role: match text("role").unwrap() {
                "agent" | "assistant" => Role::Agent,
                "user" => Role::User,
                _ => Role::Other,
            },
            text: text("text").map(Text::new),
        },
        "action" => Kind::Action {
            tool: ToolName::new(text("tool").unwrap()).unwrap(),
            arguments: value.get("arguments").map(|arguments| Text::new(&arguments.to_string())),
            call: text("call_id").map(CallKey::of),
        },
        "result" => Kind::Result {
            call: text("call_id").map(CallKey::of),
            tool: text("tool").map(|tool| ToolName::new(tool).unwrap()),
            ok: value["ok"].as_bool().unwrap(),
            error: text("error").map(Failure::new),
            text: text("text").map(Text::new),
            duration_ms: None,
        },
        _ => Kind::Thought { text: None },
    };
    Observation {
        agent: AgentId::new(text("agent").unwrap()).unwrap(),
        session: text("session").map_or_else(SessionKey::default, SessionKey::of),
        ..observation(kind)
    }
}

fn fixture(name: &str) -> Vec<Value> {
    let bytes = std::fs::read(format!("{}/tests/fixtures/stuck/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap();
    let mut text = String::new();
    if name.ends_with(".gz") {
        flate2::read::GzDecoder::new(&bytes[..]).read_to_string(&mut text).unwrap();
    } else {
        text = String::from_utf8(bytes).unwrap();
    }
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Wrong cases of a file, and how many right ones had a detection and had none.
fn check(name: &str) -> (Vec<String>, usize, usize) {
    let (mut wrong, mut with, mut without) = (Vec::new(), 0, 0);
    for case in fixture(name) {
        let observations: Vec<_> = case["observations"].as_array().unwrap().iter().map(parse).collect();
        let found = first(&observations, &Config::default());
        let expected = case["expected"].as_object();
        let expected = expected.map(|it| (it["pattern"].as_str().unwrap(), it["observation"].as_u64().unwrap()));
        match expected {
            _ if found != expected => wrong.push(format!("{}: {found:?}, not {expected:?}", case["name"])),
            Some(_) => with += 1,
            None => without += 1,
        }
    }
    (wrong, with, without)
}

#[test]
fn named_cases() {
    assert_eq!(check("named.jsonl"), (vec![], 11, 12));
}

#[test]
fn random_cases() {
    assert_eq!(check("random.jsonl.gz"), (vec![], 310, 290));
}

/// First detections of each session of a recording.
fn detections(name: &str) -> (usize, Vec<Detection>) {
    let mut sessions: HashMap<_, Stuck> = HashMap::new();
    let mut found = Vec::new();
    for value in fixture(name) {
        let observation = parse(&value);
        let stuck = sessions.entry((observation.agent.clone(), observation.session)).or_default();
        if let Some(Event::Detected(detection)) = stuck.observe(&observation, &Config::default()) {
            found.push(detection);
        }
    }
    (sessions.len(), found)
}

#[test]
fn real_runs_that_get_on_are_not_stuck() {
    assert_eq!(detections("airline.ndjson.gz"), (40, vec![]));
}

#[test]
fn a_real_run_that_loops_is() {
    let (sessions, found) = detections("airline-stuck.ndjson.gz");
    assert_eq!(sessions, 1);
    assert_eq!(found[0].pattern, Pattern::Cycle);
    assert_eq!(found[0].observation, 59);
}

#[test]
fn parallel_calls_join_by_call() {
    let same = (true, None, Some("r"));
    let mut observations = Vec::new();
    // Two calls at a time, results in the other order: b a | b a | b a.
    for _ in 0..3 {
        observations.push(action(Some("1"), "a", Some("{}")));
        observations.push(action(Some("2"), "b", Some("{}")));
        observations.push(result(Some("2"), None, same));
        observations.push(result(Some("1"), None, same));
    }
    assert_eq!(first(&observations, &Config::default()), Some(("cycle", 12)));
    let mut stuck = Stuck::new();
    events(&mut stuck, &observations, &Config::default());
    assert_eq!(stuck.current().unwrap().tool, Some(ToolName::new("b").unwrap()));
}

#[test]
fn a_result_without_a_call_joins_the_oldest_action_of_its_tool() {
    let config = Config::default();
    let fail = (false, Some("e"), Some("t"));
    let mut stuck = Stuck::new();
    let mut observations = vec![action(None, "b", Some("other"))];
    observations.extend((0..2).map(|_| action(Some("kept"), "a", Some("x"))));
    observations.extend((0..2).map(|_| action(None, "a", Some("x"))));
    // Three open actions of `a`: the second "kept" took the place of the first.
    observations.extend((0..3).map(|_| result(None, Some("a"), fail)));
    let last = events(&mut stuck, &observations, &config).pop().unwrap();
    assert!(matches!(last, Some(Event::Detected(Detection { observation: 8, repeats: 3, .. }))));
    // None is left: these make no steps and so break nothing.
    let stray =
        [result(None, Some("a"), (true, None, None)), result(None, None, fail), result(Some("kept"), None, fail)];
    assert_eq!(events(&mut stuck, &stray, &config), [None, None, None]);
    assert_eq!(stuck.observations(), 11);
}

#[test]
fn results_that_never_come_leave_the_rest_alone() {
    let mut observations = Vec::new();
    for lost in 0..500 {
        observations.push(action(Some(&format!("lost {lost}")), "a", Some("x")));
    }
    for n in 0..4 {
        let id = n.to_string();
        observations.push(action(Some(&id), "a", Some("x")));
        observations.push(result(Some(&id), None, (true, None, Some("r"))));
    }
    assert_eq!(first(&observations, &Config::default()), Some(("action_result_repeat", 508)));
}

#[test]
fn memory_is_bounded_and_small() {
    let mut stuck = Stuck::new();
    let config = Config::default();
    for n in 0..10_000 {
        let id = n.to_string();
        stuck.observe(&action(Some(&id), "some_tool", Some(&id)), &config);
        if n % 2 == 0 {
            stuck.observe(&result(Some(&id), None, (false, Some("e"), Some(&"never the same"[n % 14..]))), &config);
        }
    }
    let bytes = serde_json::to_vec(&stuck).unwrap().len();
    assert!(bytes < 32_768, "{bytes}");
    assert!(stuck.calls.bytes() + stuck.steps.bytes() <= 256 * 32 + 64 * 16);
}
