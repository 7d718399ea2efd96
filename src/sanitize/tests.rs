use std::time::Duration;

use proptest::prelude::*;
use serde_json::Value;

use super::*;
use crate::analyze::vitals::{ClientFacts, Pulse, StoreFacts};
use crate::domain::{
    AgentId, CallKey, ClaimKey, Failure, Kind, Observation, Probability, Role, SessionKey, Source, Text, Timestamp,
    ToolName,
};
use crate::engine::{Config, Engine};

fn kinds() -> impl Strategy<Value = Kind> {
    let tool = || ToolName::fitted("ls");
    let call = || (0..2u64).prop_map(|call| Some(CallKey::from_u64(call)));
    let text = || prop::sample::select(vec!["one", "two"]).prop_map(|text| Some(Text::new(text)));
    let error = prop::option::of(prop::sample::select(vec!["boom", "429"]).prop_map(Failure::new));
    prop_oneof![
        text().prop_map(|text| Kind::Message { role: Role::Agent, text }),
        call().prop_map(move |call| Kind::Action { tool: tool(), arguments: Some(Text::new("{}")), call }),
        (call(), prop::bool::weighted(0.3), error, text(), prop::option::of(0.0..1e5)).prop_map(
            |(call, ok, error, text, duration_ms)| Kind::Result { call, tool: None, ok, error, text, duration_ms }
        ),
        (0..9000u64, 0.0..=1.0, prop::bool::ANY).prop_map(|(claim, p, correct)| Kind::Claim {
            claim: ClaimKey::from_u64(claim),
            confidence: Probability::new(p).unwrap(),
            correct: Some(correct),
            task: None,
        }),
        (0.0..10.0, prop::option::of(1.0..10.0)).prop_map(|(done, total)| Kind::Progress { done, total }),
        (0..9000u64).prop_map(|input_tokens| Kind::Usage {
            input_tokens,
            output_tokens: 10,
            cost: Some(0.1),
            context_window: Some(8000),
        }),
    ]
}

fn pulse() -> Pulse {
    Pulse {
        interval: Duration::from_millis(100),
        lateness: Duration::ZERO,
        missed: 0,
        analysis: None,
        backlog: 0,
        store: StoreFacts::MEMORY_ONLY,
        clients: ClientFacts::default(),
    }
}

fn document(state: &PublicState) -> Value {
    serde_json::to_value(state.document(&Everything)).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// Each beat tells what changed and no more; applied one by one, or absorbed into one another, the beats give what
    /// the engine's whole state gives. So do they on another pod, which begins with a whole state at some time.
    #[test]
    fn what_changed_is_all_that_changed(
        beats in prop::collection::vec(
            (1..40u64, prop::collection::vec((0..5u8, 0..3u8, kinds()), 0..30), prop::bool::ANY),
            1..40,
        )
    ) {
        let config = Config { agents: 4, sessions_per_agent: 2, fits_per_beat: 1, ..Config::default() };
        let mut engine = Engine::new(config, 1);
        let mut now = Timestamp::from_nanos(1_700_000_000_000_000_000);
        let (mut sanitizer, mut held) = (Sanitizer::default(), None::<PublicBeat>);
        let mut each = PublicState::new(Sanitizer::whole(&engine), 10_000);
        let mut merged = PublicState::new(Sanitizer::whole(&engine), 10_000);
        let mut far = PublicState::new(Sanitizer::whole(&engine), 10_000);
        let mut late = PublicState::new(Sanitizer::whole(&engine), 10_000);
        let relay = |after, beat| Relayed::from_json(&Relayed { after, beat }.to_json()).unwrap();
        for (gap, observations, hold) in beats {
            // Now and then, half an hour passes.
            now = now.plus(Duration::from_millis(if gap == 39 { 1_800_000 } else { 100 * gap }));
            let observations: Vec<Observation> = observations
                .into_iter()
                .map(|(agent, session, kind)| Observation {
                    agent: AgentId::fitted(&format!("agent-{agent}")),
                    session: SessionKey::of(&session.to_string()),
                    id: None,
                    at: now,
                    source: Source::Native,
                    kind,
                })
                .collect();
            let beat = engine.beat(now, &observations, &pulse());
            let shown = sanitizer.beat(&engine, &beat);
            let after = Some(each.position().beat);
            each.apply(shown.clone());
            let relayed = relay(after, shown.clone());
            prop_assert_eq!(relayed.after, after);
            far.apply(relayed.beat);
            prop_assert_eq!(document(&far), document(&each));
            prop_assert_eq!((far.position(), far.at()), (each.position(), each.at()));
            if hold {
                late.replace(relay(None, each.whole()).beat);
                prop_assert_eq!(document(&late), document(&each));
            }
            match &mut held {
                Some(held) => held.absorb(shown),
                None => held = Some(shown),
            }
            if !hold && let Some(held) = held.take() {
                merged.apply(held);
                prop_assert_eq!(document(&merged)["agents"].clone(), document(&each)["agents"].clone());
            }
            let whole = PublicState::new(Sanitizer::whole(&engine), 10_000);
            let (told, is) = (document(&each), document(&whole));
            prop_assert_eq!(&told["agents"], &is["agents"]);
            prop_assert_eq!(&told["insights"], &is["insights"]);
            for agent in (0..5).map(|agent| AgentId::fitted(&format!("agent-{agent}"))) {
                prop_assert_eq!(each.curve(&agent), whole.curve(&agent));
                prop_assert!(held.is_some() || merged.curve(&agent) == each.curve(&agent));
            }
        }
    }
}
