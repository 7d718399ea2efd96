use proptest::prelude::*;

use super::*;
use crate::domain::{AgentId, CallKey, ClaimKey, EvidenceValue, ToolName};

/// The scenarios' figures are those of two minutes.
fn patient() -> Config {
    Config { min_silence: Duration::from_secs(120), ..Config::default() }
}

fn ms(millis: u64) -> Timestamp {
    Timestamp::EPOCH.plus(Duration::from_secs(1_000_000)).plus(Duration::from_millis(millis))
}

fn observation(at: Timestamp, kind: Kind) -> Observation {
    let agent = AgentId::new("a").unwrap();
    Observation { agent, session: SessionKey::of("s"), id: None, at, source: Source::Native, kind }
}

fn thought() -> Kind {
    Kind::Thought { text: None }
}

fn message(role: Role) -> Kind {
    Kind::Message { role, text: None }
}

fn action(call: &str) -> Kind {
    Kind::Action { tool: ToolName::new("bash").unwrap(), arguments: None, call: Some(CallKey::of(call)) }
}

fn result(call: &str) -> Kind {
    let call = Some(CallKey::of(call));
    Kind::Result { call, tool: None, ok: true, error: None, text: None, duration_ms: None }
}

/// One agent on simulated time. Its insight follows the timer that the analyzer asks for, as an engine's would.
#[derive(Default)]
struct Scenario {
    silence: Silence,
    now: u64,
    open: bool,
    /// When it was opened, in seconds of the scenario.
    opened: Vec<u64>,
}

impl Scenario {
    fn judge(&mut self, now: Timestamp) -> Option<(Severity, Evidence)> {
        match self.silence.assess(InsightKind::Silent, self.open, now, &patient()) {
            Assessment::Raise(severity, evidence) => {
                if !self.open {
                    self.opened.push(now.since(ms(0)).as_secs());
                }
                self.open = true;
                Some((severity, evidence))
            }
            Assessment::Hold => None,
            Assessment::Clear => {
                self.open = false;
                None
            }
        }
    }

    /// Lets time pass, judging whenever something is due.
    fn wait(&mut self, millis: u64) -> &mut Self {
        let end = ms(self.now + millis);
        let mut now = ms(self.now);
        while let Some(due) = self.silence.next_due(now, &patient()).filter(|due| *due <= end) {
            assert!(due > now);
            now = due;
            self.judge(now);
        }
        self.now += millis;
        self.judge(end);
        self
    }

    fn send(&mut self, kind: Kind) -> &mut Self {
        self.silence.observe(&observation(ms(self.now), kind), ms(self.now));
        self.judge(ms(self.now));
        self
    }

    /// Thinks, calls and gets results, two seconds each.
    fn work(&mut self, rounds: u64) -> &mut Self {
        for round in 0..rounds {
            let call = format!("{}-{round}", self.now);
            self.wait(2000).send(thought()).wait(2000).send(action(&call)).wait(2000).send(result(&call));
        }
        self
    }
}

fn state(evidence: &Evidence) -> Option<&EvidenceValue> {
    evidence.get(EvidenceKey::State)
}

#[test]
fn a_new_agent_is_not_judged() {
    let silence = Silence::default();
    assert_eq!(silence.figures(&patient()), Figures::default());
    assert_eq!(silence.next_due(ms(0), &patient()), None);
    let mut scenario = Scenario::default();
    scenario.work(4).wait(3_000_000);
    assert!(scenario.opened.is_empty(), "too little is known");
}

#[test]
fn an_agent_that_dies_at_work_is_told_and_later_taken_to_have_ended() {
    let mut scenario = Scenario::default();
    scenario.work(30);
    let died = scenario.now / 1000;
    scenario.wait(125_000);
    assert_eq!(scenario.opened, [died + 120]);
    let (severity, evidence) = scenario.judge(ms(scenario.now)).unwrap();
    assert_eq!(severity, Severity::Warning);
    assert_eq!(state(&evidence), Some(&EvidenceValue::Word(Word::Dead)));
    assert_eq!(evidence.get(EvidenceKey::QuietSeconds), Some(&EvidenceValue::Number(125.0)));
    assert_eq!(evidence.get(EvidenceKey::ExpectedSeconds), Some(&EvidenceValue::Number(120.0)));
    scenario.wait(360_000);
    assert_eq!(scenario.judge(ms(scenario.now)).unwrap().0, Severity::Critical);
    scenario.wait(3_600_000);
    assert!(!scenario.open, "it has ended");
    assert_eq!(scenario.silence.next_due(ms(scenario.now), &patient()), None);
    assert_eq!(scenario.opened.len(), 1);
}

#[test]
fn a_sign_of_life_clears_and_is_learned_from() {
    let mut scenario = Scenario::default();
    scenario.work(30).wait(200_000);
    assert!(scenario.open);
    scenario.send(thought());
    assert!(!scenario.open);
    scenario.work(30).wait(250_000).send(thought());
    assert_eq!(scenario.opened.len(), 1, "a pause that it came back from is expected next time");
}

#[test]
fn a_verdict_of_another_is_no_life() {
    let mut scenario = Scenario::default();
    scenario.work(30).wait(200_000);
    scenario.send(Kind::Verdict { claim: ClaimKey::of("c"), correct: true });
    assert!(scenario.open);
}

#[test]
fn a_slow_regular_agent_has_long_patience() {
    let mut scenario = Scenario::default();
    (0..30).for_each(|_| {
        scenario.wait(300_000).send(thought());
    });
    let died = scenario.now / 1000;
    scenario.wait(2_000_000);
    assert_eq!(scenario.opened, [died + 900]);
}

#[test]
fn a_long_call_is_not_death() {
    let mut scenario = Scenario::default();
    scenario.work(30).send(action("build")).wait(590_000);
    assert!(scenario.opened.is_empty());
    scenario.send(result("build")).work(5).send(action("again")).wait(1_500_000);
    assert!(scenario.opened.is_empty(), "three times the slowest call is waited for");
    scenario.wait(500_000);
    let (severity, evidence) = scenario.judge(ms(scenario.now)).unwrap();
    assert_eq!(severity, Severity::Warning);
    assert_eq!(state(&evidence), Some(&EvidenceValue::Word(Word::Waiting)));
    assert_eq!(evidence.get(EvidenceKey::OpenCalls), Some(&EvidenceValue::Count(1)));
}

#[test]
fn long_calls_do_not_slow_the_cadence() {
    let mut scenario = Scenario::default();
    for i in 0..30 {
        let call = format!("build-{i}");
        scenario.wait(2000).send(thought()).send(action(&call)).wait(500_000).send(result(&call));
    }
    let died = scenario.now / 1000;
    scenario.wait(200_000);
    assert_eq!(scenario.opened, [died + 120]);
}

#[test]
fn the_finished_are_not_silent() {
    let mut spoken = Scenario::default();
    spoken.work(30).send(message(Role::Agent)).wait(3_000_000);
    assert!(spoken.opened.is_empty());
    assert!(spoken.silence.figures(&patient()).finished);
    let mut complete = Scenario::default();
    complete.work(30).send(Kind::Progress { done: 10.0, total: Some(10.0) }).wait(3_000_000);
    assert!(complete.opened.is_empty());
    let mut partly = Scenario::default();
    partly.work(30).send(Kind::Progress { done: 9.0, total: Some(10.0) }).wait(3_000_000);
    assert_eq!(partly.opened.len(), 1);
}

#[test]
fn what_model_calls_consume_does_not_reopen_a_turn() {
    let mut scenario = Scenario::default();
    scenario.work(30).send(message(Role::Agent));
    scenario.send(Kind::Usage { input_tokens: 9, output_tokens: 9, cost: None, context_window: None });
    scenario.wait(3_000_000);
    assert!(scenario.opened.is_empty());
}

#[test]
fn a_conversation_waits_for_its_user() {
    let mut scenario = Scenario::default();
    for i in 0..60 {
        // The user takes from seconds to an hour and a half.
        scenario.wait(5_000 * (1 + i * i)).send(message(Role::User)).work(1).wait(2000).send(message(Role::Agent));
    }
    assert!(scenario.opened.is_empty());
    // An answer that does not come is told, but late: the user may have had the last word.
    let asked = scenario.send(message(Role::User)).now / 1000;
    scenario.wait(700_000);
    assert_eq!(scenario.opened, [asked + 600]);
}

#[test]
fn an_agent_that_goes_on_after_its_messages_does_not_finish_with_one() {
    let mut scenario = Scenario::default();
    (0..60).for_each(|_| {
        scenario.wait(3000).send(message(Role::Agent)).wait(2000).send(thought());
    });
    let died = scenario.send(message(Role::Agent)).now / 1000;
    scenario.wait(600_000);
    assert_eq!(scenario.opened, [died + 120]);
}

#[test]
fn bursts_with_long_pauses_are_no_silence() {
    let mut scenario = Scenario::default();
    for burst in 0..200u64 {
        (0..10).for_each(|_| {
            scenario.wait(300).send(thought());
        });
        scenario.wait(20_000 + burst * 7919 % 80_000);
        scenario.send(thought());
    }
    assert!(scenario.opened.is_empty(), "{:?}", scenario.opened);
}

#[test]
fn batched_spans_have_the_cadence_of_their_batches() {
    let mut silence = Silence::default();
    for batch in 1..100u64 {
        for span in 0..50 {
            let mut observation = observation(ms(batch * 5000 - 5000 + span * 100), thought());
            observation.source = Source::OtlpTraces;
            silence.observe(&observation, ms(batch * 5000));
        }
    }
    let figures = silence.figures(&patient());
    assert_eq!(figures.cadence_s, Some(5.0));
    assert_eq!(figures.expected_s, Some(600.0), "a span shows only when it ends");
}

#[test]
fn what_is_told_afterwards_is_no_life() {
    let mut silence = Silence::default();
    for i in 0..100u64 {
        silence.observe(&observation(ms(i * 1000), thought()), ms(900_000 + i * 1000));
    }
    assert_eq!(silence.next_due(ms(1_000_000), &patient()), None);
    assert_eq!(silence.figures(&patient()).cadence_s, None);
}

#[test]
fn results_that_never_come_are_bounded() {
    let mut scenario = Scenario::default();
    scenario.work(10);
    (0..1000).for_each(|i| {
        scenario.wait(1500).send(action(&format!("lost-{i}")));
    });
    assert_eq!(scenario.silence.figures(&patient()).open_calls, MAX_CALLS);
    assert!(scenario.silence.figures(&patient()).cadence_s.is_some());
}

#[test]
fn results_find_their_calls() {
    let mut silence = Silence::default();
    let tool = |name: &str| ToolName::new(name).unwrap();
    let act =
        |name, call: Option<&str>| Kind::Action { tool: tool(name), arguments: None, call: call.map(CallKey::of) };
    let back = |name: Option<&str>, call: Option<&str>| Kind::Result {
        call: call.map(CallKey::of),
        tool: name.map(tool),
        ok: true,
        error: None,
        text: None,
        duration_ms: None,
    };
    for kind in [act("ls", Some("1")), act("cat", None), act("cat", None), act("ls", Some("2"))] {
        silence.observe(&observation(ms(0), kind), ms(0));
    }
    for (kind, left) in [
        (back(None, Some("2")), 3),
        (back(Some("rm"), None), 3),
        (back(None, Some("9")), 3),
        (back(Some("cat"), Some("9")), 2),
        (back(Some("cat"), None), 1),
        (back(None, None), 0),
        (back(None, None), 0),
    ] {
        silence.observe(&observation(ms(0), kind), ms(0));
        assert_eq!(silence.figures(&patient()).open_calls, left);
    }
}

/// Standard normal numbers from a linear congruential generator, so that the test is the same everywhere.
struct Noise(u64);

impl Noise {
    fn uniform(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 11) as f64 + 0.5) / (1u64 << 53) as f64
    }

    fn normal(&mut self) -> f64 {
        (-2.0 * self.uniform().ln()).sqrt() * (std::f64::consts::TAU * self.uniform()).cos()
    }
}

#[test]
fn false_alarms_are_rare_and_deaths_are_found() {
    let mut noise = Noise(1);
    let (mut pauses, mut alarms, mut deaths, mut found) = (0, 0, 0, 0);
    for agent in 0..120 {
        let mut scenario = Scenario::default();
        let (median, spread) = (10_000.0 * (1 + agent % 4) as f64, 0.2 + 0.2 * (agent % 5) as f64);
        for _ in 0..500 {
            let pause = median * (spread * noise.normal()).exp();
            scenario.wait(pause as u64).send(thought());
            pauses += 1;
        }
        alarms += scenario.opened.len();
        scenario.wait(3_590_000);
        deaths += 1;
        found += usize::from(scenario.open);
    }
    assert!(alarms * 5000 <= pauses, "{alarms} false alarms in {pauses} pauses");
    assert!(found * 10 >= deaths * 9, "{found} of {deaths} deaths found");
}

proptest! {
    #[test]
    fn restored_silence_goes_on_the_same(
        steps in proptest::collection::vec((0..8u8, 0..100_000u64, 0..9u8), 1..300), pause in 0..300usize,
    ) {
        let (mut whole, mut restored) = (Silence::default(), Silence::default());
        let mut now = 0;
        for (i, (kind, wait, call)) in steps.into_iter().enumerate() {
            if i == pause {
                restored = serde_json::from_str(&serde_json::to_string(&restored).unwrap()).unwrap();
            }
            now += wait;
            let kind = match kind {
                0 => message(Role::Agent),
                1 => message(Role::User),
                2 | 3 => action(&call.to_string()),
                4 | 5 => result(&call.to_string()),
                6 => Kind::Progress { done: f64::from(call), total: Some(8.0) },
                _ => thought(),
            };
            // Out of order, equal and ahead of arrival: all of it happens.
            let observation = observation(ms((now + u64::from(call) * 1000).saturating_sub(4000)), kind);
            whole.observe(&observation, ms(now));
            restored.observe(&observation, ms(now));
            let figures = whole.figures(&patient());
            let same = |a: Option<f64>, b: Option<f64>| (a.unwrap_or(0.0) - b.unwrap_or(0.0)).abs() < 1e-6;
            prop_assert_eq!(figures.cadence_s, restored.figures(&patient()).cadence_s);
            prop_assert!(same(figures.expected_s, restored.figures(&patient()).expected_s));
            prop_assert_eq!(figures.finished, restored.figures(&patient()).finished);
            prop_assert_eq!(figures.open_calls, restored.figures(&patient()).open_calls);
            prop_assert!([figures.cadence_s, figures.expected_s].into_iter().flatten().all(|s| s.is_finite() && s > 0.0));
            prop_assert!(figures.open_calls <= MAX_CALLS);
            let due = whole.next_due(ms(now), &patient());
            prop_assert!(due.is_none_or(|due| due > ms(now)));
            if let Some(due) = due {
                let before = whole.assess(InsightKind::Silent, false, due.minus(Duration::from_nanos(1)), &patient());
                prop_assert_eq!(before, Assessment::Clear);
            }
        }
    }
}
