use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::analyze::vitals::{ClientFacts, StoreFacts};
use crate::domain::{
    CallKey, ClaimKey, Failure, InsightKind, Kind, ObservationKey, Probability, Role, SessionKey, Source, Text,
    ToolName,
};

const INTERVAL: Duration = Duration::from_millis(100);

fn pulse() -> Pulse {
    Pulse {
        interval: INTERVAL,
        lateness: Duration::ZERO,
        missed: 0,
        analysis: Some(Duration::from_micros(200)),
        backlog: 0,
        store: StoreFacts::MEMORY_ONLY,
        clients: ClientFacts::default(),
    }
}

fn kinds() -> impl Strategy<Value = Kind> {
    let text = || prop::option::of(prop::sample::select(vec!["one", "two", "three"]).prop_map(Text::new));
    let tool = || prop::sample::select(vec!["ls", "cat"]).prop_map(ToolName::fitted);
    let call = || prop::option::of((0..4u64).prop_map(CallKey::from_u64));
    let claim = || (0..40u64).prop_map(ClaimKey::from_u64);
    let error = prop::option::of(prop::sample::select(vec!["boom", "429"]).prop_map(Failure::new));
    prop_oneof![
        text().prop_map(|text| Kind::Thought { text }),
        (prop::bool::ANY, text())
            .prop_map(|(user, text)| Kind::Message { role: if user { Role::User } else { Role::Agent }, text }),
        (tool(), text(), call()).prop_map(|(tool, arguments, call)| Kind::Action { tool, arguments, call }),
        (call(), tool(), prop::bool::ANY, error, text(), prop::option::of(0.0..1e5)).prop_map(
            |(call, tool, ok, error, text, duration_ms)| Kind::Result {
                call,
                tool: Some(tool),
                ok,
                error: error.filter(|_| !ok),
                text,
                duration_ms
            }
        ),
        (claim(), 0.0..=1.0, prop::option::of(prop::bool::ANY)).prop_map(|(claim, p, correct)| Kind::Claim {
            claim,
            confidence: Probability::new(p).unwrap(),
            correct,
            task: None
        }),
        (claim(), prop::bool::ANY).prop_map(|(claim, correct)| Kind::Verdict { claim, correct }),
        (0.0..100.0, prop::option::of(1.0..100.0)).prop_map(|(done, total)| Kind::Progress { done, total }),
        (0..5000u64, 0..500u64, prop::option::of(0.0..1.0)).prop_map(|(input_tokens, output_tokens, cost)| {
            Kind::Usage { input_tokens, output_tokens, cost, context_window: Some(8000) }
        }),
    ]
}

/// Beats: how long after the last one, and what came in, by agent and session, how long ago it was made.
type Beats = Vec<(u64, Vec<Observation>)>;

fn beats() -> impl Strategy<Value = Beats> {
    let observation = (0..5u8, 0..3u8, prop::option::of(0..60u64), 0..2000u64, kinds());
    let beat = (1..200u64, prop::collection::vec(observation, 0..12));
    prop::collection::vec(beat, 1..60).prop_map(|beats| {
        let mut now = Timestamp::from_nanos(1_700_000_000_000_000_000);
        let shape = |(gap, observations): (u64, Vec<_>)| {
            // Now and then an hour passes.
            let gap = if gap == 199 { 36_000 } else { gap };
            now = now.plus(INTERVAL * u32::try_from(gap).unwrap());
            let made = |(agent, session, id, ago, kind): (u8, u8, Option<u64>, u64, Kind)| Observation {
                agent: AgentId::fitted(&format!("agent-{agent}")),
                session: SessionKey::of(&session.to_string()),
                id: id.map(ObservationKey::from_u64),
                at: now.minus(Duration::from_millis(ago)),
                source: Source::Native,
                kind,
            };
            (gap, observations.into_iter().map(made).collect())
        };
        beats.into_iter().map(shape).collect()
    })
}

fn run(engine: &mut Engine, start: Timestamp, beats: &Beats) -> Timestamp {
    let mut now = start;
    for (gap, observations) in beats {
        now = now.plus(INTERVAL * u32::try_from(*gap).unwrap());
        engine.beat(now, observations, &pulse());
    }
    now
}

fn small() -> Config {
    Config { agents: 4, sessions_per_agent: 2, ids_per_agent: 64, fits_per_beat: 1, ..Config::default() }
}

fn document(engine: &Engine) -> Document {
    let mut document = Document::of(engine);
    document.agents.sort_by(|(a, _), (b, _)| a.cmp(b));
    document
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    /// After a restart the engine goes on as if it had only blinked.
    #[test]
    fn restoring_changes_nothing(beats in beats(), cut in 0..60usize) {
        let start = Timestamp::from_nanos(1_700_000_000_000_000_000);
        let cut = cut.min(beats.len());
        let (before, after) = (beats[..cut].to_vec(), beats[cut..].to_vec());
        let mut straight = Engine::new(small(), 7);
        let middle = run(&mut straight, start, &before);
        let stored = Document::of(&straight).to_json();
        let mut with_newline = stored.clone();
        with_newline.push(b'\n');
        let document_read = Document::parse(&with_newline).unwrap();
        prop_assert_eq!(document_read.to_json(), stored);
        let mut restored = Engine::restore(small(), document_read, 7);
        run(&mut straight, middle, &after);
        run(&mut restored, middle, &after);
        prop_assert_eq!(document(&straight), document(&restored));
        prop_assert_eq!(Document::of(&straight).to_json(), Document::of(&restored).to_json());
    }

    /// Whatever comes in: one open insight of a kind and agent, each known by its agent, nobody beyond the bounds.
    #[test]
    fn the_books_are_in_order(beats in beats()) {
        let mut engine = Engine::new(small(), 1);
        run(&mut engine, Timestamp::from_nanos(1_700_000_000_000_000_000), &beats);
        prop_assert!(engine.agents() <= 4);
        let mut open: Vec<_> = engine.insights().map(|insight| (insight.agent.clone(), insight.kind)).collect();
        let all = open.len();
        open.sort();
        open.dedup();
        prop_assert_eq!(open.len(), all);
        let known: usize = engine.iter().map(|(_, state)| state.open.len()).sum();
        prop_assert_eq!(known + engine.meta().own.len(), all);
        for (_, state) in engine.iter() {
            prop_assert!(state.sessions.len() <= 2);
            prop_assert_eq!(state.status == crate::domain::Status::Stuck, state.loop_now().is_some());
        }
        let counted: usize = beats.iter().map(|(_, observations)| observations.len()).sum();
        prop_assert_eq!(engine.meta().observations + engine.meta().duplicates, counted as u64);
    }

    /// Observations of different agents may come in any order within a beat.
    #[test]
    fn agents_do_not_depend_on_each_others_order(beats in beats()) {
        let roomy = Config { agents: 100, ..small() };
        let sorted: Beats = beats
            .iter()
            .map(|(gap, observations)| {
                let mut sorted = observations.clone();
                sorted.sort_by(|a, b| a.agent.cmp(&b.agent));
                (*gap, sorted)
            })
            .collect();
        let start = Timestamp::from_nanos(1_700_000_000_000_000_000);
        let (mut mixed, mut grouped) = (Engine::new(roomy.clone(), 1), Engine::new(roomy, 1));
        run(&mut mixed, start, &beats);
        run(&mut grouped, start, &sorted);
        for (agent, state) in mixed.iter() {
            let other = grouped.agent(agent.as_str()).unwrap();
            prop_assert_eq!((state.status, state.advice), (other.status, other.advice));
            prop_assert_eq!(&state.calibration, &other.calibration);
            prop_assert_eq!(state.sessions.iter().map(|(key, _)| key).collect::<Vec<_>>(), other.sessions.iter().map(|(key, _)| key).collect::<Vec<_>>());
            prop_assert_eq!(&state.drift, &other.drift);
        }
    }
}

fn result(agent: &str, id: u64, ok: bool) -> [Observation; 2] {
    let observation = |id: String, kind| Observation {
        agent: AgentId::fitted(agent),
        session: SessionKey::default(),
        id: Some(ObservationKey::of(&id)),
        at: Timestamp::from_nanos(1_700_000_000_000_000_000),
        source: Source::Native,
        kind,
    };
    let (tool, call) = (ToolName::fitted("ls"), Some(CallKey::from_u64(id)));
    let text = Some(Text::new("same"));
    [
        observation(format!("{id}a"), Kind::Action { tool, arguments: text.clone(), call }),
        observation(format!("{id}r"), Kind::Result { call, tool: None, ok, error: None, text, duration_ms: None }),
    ]
}

#[test]
fn what_begins_and_ends_within_a_beat_is_told() {
    let mut engine = Engine::new(Config::default(), 1);
    let mut observations: Vec<_> = (0..4).flat_map(|id| result("a", id, true)).collect();
    let user = Kind::Message { role: Role::User, text: None };
    observations.push(Observation { kind: user, id: None, ..observations[0].clone() });
    let beat = engine.beat(Timestamp::from_nanos(1_700_000_000_100_000_000), &observations, &pulse());
    let [InsightChange::Open(id), InsightChange::Resolved(insight)] = beat.insights.as_slice() else {
        panic!("{:?}", beat.insights)
    };
    assert_eq!((*id, insight.kind), (insight.id, InsightKind::Stuck));
    assert_eq!(engine.insights().count(), 0);
}

#[test]
fn the_same_id_counts_once() {
    let mut engine = Engine::new(Config::default(), 1);
    let observations: Vec<_> = (0..3).flat_map(|id| result("a", id, true)).collect();
    for _ in 0..3 {
        engine.beat(Timestamp::from_nanos(1_700_000_000_100_000_000), &observations, &pulse());
    }
    let state = engine.agent("a").unwrap();
    assert_eq!((state.observations, state.duplicates), (6, 12));
}

#[test]
fn beyond_the_limit_the_agent_unseen_for_longest_goes() {
    let mut engine = Engine::new(Config { agents: 2, ..Config::default() }, 1);
    let now = Timestamp::from_nanos(1_700_000_000_100_000_000);
    for agent in ["a", "b", "a"] {
        engine.beat(now, &result(agent, engine.meta().beat, true), &pulse());
    }
    let beat = engine.beat(now, &result("c", 9, true), &pulse());
    assert_eq!((beat.forgotten, beat.evicted), (vec![AgentId::fitted("b")], 1));
    assert!(engine.agent("a").is_some() && engine.agent("c").is_some());
}

#[test]
fn a_document_that_is_none_says_so() {
    let parse = |text: &str| Document::parse(text.as_bytes()).map(|_| ()).unwrap_err().to_string();
    assert!(parse("").contains("not a meta-state"));
    assert!(parse("{\"schema\":99}").contains("newer than 1"));
    assert!(parse("{\"schema\":0}").contains("no version wrote"));
    assert!(parse("{\"schema\":1,\"meta\":{}}").contains("not a meta-state"));
}

proptest! {
    /// Watching changes nothing, and an analyzer that rests is told of nothing and judges nothing, alone.
    #[test]
    fn an_analyzer_rests_alone(beats in beats(), resting in 0..Part::ALL.len()) {
        let resting = Part::ALL[resting];
        let (mut plain, mut watched) = (Engine::new(small(), 1), Engine::new(small(), 1));
        let mut without = Engine::new(small(), 1);
        without.rest(Parts::default().with(resting));
        let mut ticks = Duration::ZERO;
        let mut watch = Stopwatch::new(Parts::default(), || { ticks += Duration::from_micros(1); ticks });
        let mut leave_out = Stopwatch::new(Parts::default().with(resting), || Duration::ZERO);
        let mut now = Timestamp::from_nanos(1_700_000_000_000_000_000);
        for (gap, observations) in &beats {
            now = now.plus(INTERVAL * u32::try_from(*gap).unwrap());
            plain.beat(now, observations, &pulse());
            watched.fold_watched(now, observations, &mut watch);
            watched.finish(now, &pulse());
            without.fold_watched(now, observations, &mut leave_out);
            without.finish(now, &pulse());
        }
        prop_assert_eq!(document(&plain), document(&watched));
        let of_it = |insight: &Insight| Part::of(insight.kind) == Some(resting);
        prop_assert!(!without.insights().any(of_it));
        prop_assert_eq!(leave_out.laps(resting), Laps::default());
        for (agent, state) in without.iter() {
            let other = plain.agent(agent.as_str()).unwrap();
            prop_assert_eq!(state.observations, other.observations);
            prop_assert!(resting == Part::Load || state.load == other.load);
            prop_assert!(resting == Part::Errors || state.errors == other.errors);
            prop_assert!(resting != Part::Load || state.load == AgentState::new(now).load);
            prop_assert!(resting != Part::Calibration || state.calibration == AgentState::new(now).calibration);
        }
        for part in Part::ALL {
            let laps = watch.laps(part);
            prop_assert_eq!(laps.timed, laps.calls.div_ceil(64));
            prop_assert!(laps.timed == 0 || laps.mean() == Duration::from_micros(1));
        }
    }
}
