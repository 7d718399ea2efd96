use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::domain::{AgentId, EvidenceValue, SessionKey, Source};

fn at(millis: u64) -> Timestamp {
    Timestamp::EPOCH.plus(Duration::from_millis(1_000_000_000 + millis))
}

fn observation(session: &str, at: Timestamp, kind: Kind) -> Observation {
    let agent = AgentId::new("a").unwrap();
    Observation { agent, session: SessionKey::of(session), id: None, at, source: Source::Native, kind }
}

fn result(at: Timestamp, ms: f64) -> Observation {
    let kind = Kind::Result { call: None, tool: None, ok: true, error: None, text: None, duration_ms: Some(ms) };
    observation("s", at, kind)
}

fn usage(session: &str, at: Timestamp, tokens: u64, cost: f64, window: Option<u64>) -> Observation {
    let kind = Kind::Usage { input_tokens: tokens, output_tokens: 0, cost: Some(cost), context_window: window };
    observation(session, at, kind)
}

fn raised(load: &Load, open: bool, now: Timestamp, config: &Config) -> Option<(Severity, Evidence)> {
    match load.assess(InsightKind::Overloaded, open, now, config) {
        Assessment::Raise(severity, evidence) => Some((severity, evidence)),
        _ => None,
    }
}

/// How often an insight opens when it is judged after each observation.
fn openings(load: &mut Load, observations: impl Iterator<Item = Observation>, config: &Config) -> u32 {
    let (mut open, mut count) = (false, 0);
    for observation in observations {
        load.observe(&observation);
        let now_open = match load.assess(InsightKind::Overloaded, open, observation.at, config) {
            Assessment::Raise(..) => true,
            Assessment::Hold => open,
            Assessment::Clear => false,
        };
        count += u32::from(now_open && !open);
        open = now_open;
    }
    count
}

#[test]
fn an_agent_without_load_has_no_figures() {
    let mut load = Load::default();
    load.observe(&observation("s", at(0), Kind::Thought { text: None }));
    assert_eq!(load.figures(at(0)), Figures::default());
    assert_eq!(load.assess(InsightKind::Overloaded, true, at(0), &Config::default()), Assessment::Clear);
    assert_eq!(load.next_due(at(0)), None);
    assert!(size_of::<Load>() <= 16);
}

#[test]
fn latency_overall_is_within_one_percent_whatever_the_pace() {
    let text = include_str!("../../../tests/fixtures/latency/latency_ms.csv");
    let values: Vec<f64> = text.lines().map(|line| line.parse().unwrap()).collect();
    for pace in [1, 700, 60_000] {
        let mut load = Load::default();
        for (i, &ms) in values.iter().enumerate() {
            load.observe(&result(at(i as u64 * pace), ms));
        }
        let overall = load.overall().unwrap();
        for (found, exact) in [(overall.p50_ms, 143.963), (overall.p95_ms, 759.39), (overall.p99_ms, 1493.948)] {
            assert!((found - exact).abs() <= 0.01 * exact, "{found} for {exact}");
        }
        assert_eq!(overall.n, 5000);
    }
}

#[test]
fn lately_forgets_and_says_when() {
    let mut load = Load::default();
    for i in 0..100 {
        load.observe(&result(at(i * 1000), 100.0));
    }
    let last = at(99_000);
    assert_eq!(load.figures(last).lately.unwrap().n, 100);
    let due = load.next_due(last).unwrap();
    assert_eq!(due, last.plus(Duration::from_secs(600)));
    assert_eq!(load.figures(due).lately, None);
    assert!(load.overall().is_some());
}

#[test]
fn slower_than_usual_is_overloaded_until_it_is_over() {
    let config = Config::default();
    let mut load = Load::default();
    let mut now = 0;
    let mut feed = |load: &mut Load, seconds: u64, ms: f64| {
        for _ in 0..seconds {
            now += 1000;
            load.observe(&result(at(now), ms + (now / 1000 % 10) as f64));
        }
        at(now)
    };
    let t = feed(&mut load, 1200, 500.0);
    assert_eq!(raised(&load, false, t, &config), None);
    let t = feed(&mut load, 60, 6000.0);
    let (severity, evidence) = raised(&load, false, t, &config).unwrap();
    assert_eq!(severity, Severity::Critical);
    assert!(matches!(evidence.get(EvidenceKey::P95Ms), Some(EvidenceValue::Number(p95)) if *p95 > 5900.0));
    assert!(matches!(evidence.get(EvidenceKey::Before), Some(EvidenceValue::Number(usual)) if *usual < 520.0));
    let t = feed(&mut load, 700, 500.0);
    assert_eq!(load.assess(InsightKind::Overloaded, true, t, &config), Assessment::Clear);
}

#[test]
fn quick_calls_may_vary_below_the_floor() {
    let mut load = Load::default();
    for i in 0..2000 {
        load.observe(&result(at(i * 1000), if i < 1500 { 5.0 } else { 90.0 }));
    }
    assert_eq!(raised(&load, false, at(2_000_000), &Config::default()), None);
}

#[test]
fn context_fill_is_that_of_the_fullest_running_session() {
    let mut load = Load::default();
    load.observe(&usage("a", at(0), 95, 0.0, Some(100)));
    load.observe(&usage("b", at(1000), 10, 0.0, Some(100)));
    assert_eq!(load.figures(at(1000)).context_fill, Some(0.95));
    assert_eq!(raised(&load, false, at(1000), &Config::default()).unwrap().0, Severity::Warning);
    load.observe(&usage("a", at(2000), 99, 0.0, None));
    assert_eq!(raised(&load, false, at(2000), &Config::default()).unwrap().0, Severity::Critical);
    load.observe(&usage("b", at(700_000), 20, 0.0, Some(100)));
    assert_eq!(load.figures(at(700_000)).context_fill, Some(0.2), "the other one is over");
    load.observe(&usage("c", at(700_000), 20, 0.0, None));
    assert_eq!(load.figures(at(700_000)).context_fill, Some(0.2));
}

#[test]
fn noise_around_a_limit_opens_once() {
    let mut load = Load::default();
    let fill = |i: u64| usage("a", at(i * 1000), if i.is_multiple_of(2) { 91 } else { 89 }, 0.0, Some(100));
    assert_eq!(openings(&mut load, (0..200).map(fill), &Config::default()), 1);

    let config = Config { tokens_per_minute: 5700.0, ..Config::default() };
    let mut load = Load::default();
    let tokens = |i: u64| usage("a", at(i * 1000), if (i / 7).is_multiple_of(2) { 102 } else { 98 }, 0.0, None);
    assert_eq!(openings(&mut load, (0..600).map(tokens), &config), 1);

    let config = Config { cost_per_hour: 34.5, ..Config::default() };
    let mut load = Load::default();
    let cost = |i: u64| usage("a", at(i * 10_000), 1, if (i / 20).is_multiple_of(2) { 0.11 } else { 0.09 }, None);
    assert_eq!(openings(&mut load, (0..2000).map(cost), &config), 1);

    let config = Config { p95_limit_ms: 1000.0, ..Config::default() };
    let mut load = Load::default();
    let latency = |i: u64| result(at(i * 1000), if (i / 400).is_multiple_of(2) { 1020.0 } else { 980.0 });
    assert_eq!(openings(&mut load, (0..4000).map(latency), &config), 1);
}

#[test]
fn tokens_and_cost_are_counted_and_limited() {
    let config = Config { agent_budget: 10.0, session_budget: 4.0, cost_per_hour: 100.0, ..Config::default() };
    let mut load = Load::default();
    for i in 0..60 {
        load.observe(&usage("a", at(i * 1000), 10, 0.05, None));
    }
    let now = at(59_000);
    let figures = load.figures(now);
    assert_eq!((figures.input_tokens, figures.output_tokens), (Some(600), Some(0)));
    assert!((500.0..=600.0).contains(&figures.tokens_per_minute.unwrap()));
    assert!((figures.cost.unwrap() - 3.0).abs() < 1e-9);
    assert!((figures.cost_per_hour.unwrap() - 36.0).abs() < 1e-9, "3 in a twelfth of an hour");
    assert_eq!(raised(&load, false, now, &config), None);
    load.observe(&usage("a", now, 10, 0.21, None));
    let (severity, evidence) = raised(&load, false, now, &config).unwrap();
    assert_eq!(severity, Severity::Warning);
    assert_eq!(evidence.get(EvidenceKey::Budget), Some(&EvidenceValue::Number(4.0)));
    load.observe(&usage("b", now, 10, 3.0, None));
    assert_eq!(raised(&load, false, now, &config).unwrap().0, Severity::Warning, "6.21 of 10, 3.21 of 4");
    load.observe(&usage("b", now, 10, 1.0, None));
    assert_eq!(raised(&load, false, now, &config).unwrap().0, Severity::Critical, "4 of 4");
    let idle = now.plus(Duration::from_secs(1800));
    assert_eq!(load.assess(InsightKind::Overloaded, true, idle, &config), Assessment::Clear, "nothing runs any more");
}

#[test]
fn a_budget_that_burns_too_fast_is_told_before_it_is_used_up() {
    let config = Config { agent_budget: 10.0, ..Config::default() };
    let mut load = Load::default();
    let mut told = None;
    // 6 an hour: after 40 minutes 4 is used up, and an hour later it would be 10.
    for minute in 0..120 {
        load.observe(&usage("a", at(minute * 60_000), 10, 0.1, None));
        if let (None, Some((severity, evidence))) = (told, raised(&load, false, at(minute * 60_000), &config)) {
            assert_eq!(severity, Severity::Warning);
            assert!(evidence.get(EvidenceKey::CostPerHour).is_some());
            told = Some(minute);
        }
    }
    assert!((35..=42).contains(&told.unwrap()), "{told:?}");
    assert_eq!(raised(&load, false, at(7_200_000), &config).unwrap().0, Severity::Critical, "all used up");
    // A dear start alone says little.
    let mut load = Load::default();
    load.observe(&usage("a", at(0), 10, 1.0, None));
    assert_eq!(raised(&load, false, at(0), &config), None);
}

#[test]
fn figures_change_by_time_only_when_due() {
    let mut load = Load::default();
    for i in 0..50 {
        load.observe(&usage("a", at(i * 4321), 10 + i, 0.01, None));
        load.observe(&result(at(i * 4321), 7.0));
    }
    let (mut now, end) = (at(50 * 4321), at(4_000_000));
    let mut changes = 0;
    while let Some(due) = load.next_due(now) {
        assert!(due > now && due < end);
        assert_eq!(load.figures(due.minus(Duration::from_nanos(1))), load.figures(now));
        changes += u32::from(load.figures(due) != load.figures(now));
        now = due;
    }
    assert!(changes > 20, "{changes}");
    assert_eq!(load.figures(end), load.figures(now));
}

#[test]
fn sessions_are_bounded() {
    let mut load = Load::default();
    for i in 0..1000 {
        load.observe(&usage(&format!("s{i}"), at(i), 1, 1.0, Some(10)));
    }
    assert!(serde_json::to_string(&load).unwrap().len() < 4000);
    assert_eq!(load.figures(at(1000)).cost, Some(1000.0));
}

fn observations() -> impl Strategy<Value = Vec<Observation>> {
    let one = (0..3u8, 0..2_000_000u64, 0u64..1_000_000, 0.0..1e16f64, proptest::option::of(1u64..1000), "[ab]");
    let one = one.prop_map(|(kind, millis, tokens, number, window, session)| match kind {
        0 => result(at(millis), number),
        _ => usage(&session, at(millis), tokens, number / 1e14, window),
    });
    proptest::collection::vec(one, 1..200)
}

proptest! {
    #[test]
    fn restored_load_goes_on_the_same(observations in observations(), pause in 0..200usize) {
        let (mut whole, mut restored) = (Load::default(), Load::default());
        for (i, observation) in observations.iter().enumerate() {
            if i == pause {
                let text = serde_json::to_string(&restored).unwrap();
                restored = serde_json::from_str(&text).unwrap();
            }
            whole.observe(observation);
            restored.observe(observation);
        }
        let (a, b) = (whole.figures(at(2_000_000)), restored.figures(at(2_000_000)));
        prop_assert_eq!(a.lately, b.lately);
        prop_assert_eq!(whole.overall(), restored.overall());
        prop_assert_eq!(a.tokens_per_minute, b.tokens_per_minute);
        prop_assert!((a.cost.unwrap_or(0.0) - b.cost.unwrap_or(0.0)).abs() <= 1e-9 * a.cost.unwrap_or(0.0));
    }

    #[test]
    fn figures_are_finite_and_not_negative(observations in observations(), later in 0..4_000_000u64) {
        let mut load = Load::default();
        observations.iter().for_each(|observation| load.observe(observation));
        let figures = load.figures(at(later));
        let quantiles = [figures.lately, load.overall()].into_iter().flatten();
        let numbers = quantiles.flat_map(|q| [q.p50_ms, q.p95_ms, q.p99_ms]).chain(
            [figures.usual_p95_ms, figures.tokens_per_minute, figures.context_fill, figures.cost, figures.cost_per_hour]
                .into_iter().flatten(),
        );
        for number in numbers {
            prop_assert!(number.is_finite() && number >= 0.0);
        }
        prop_assert!(figures.context_fill.is_none_or(|fill| fill <= 1.0));
    }
}
