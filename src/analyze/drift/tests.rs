use proptest::prelude::*;

use super::*;
use crate::domain::EvidenceValue;

fn at(seconds: u64) -> Timestamp {
    Timestamp::EPOCH.plus(Duration::from_secs(seconds))
}

fn feed(drift: &mut Drift, series: Series, values: impl Iterator<Item = f64>) -> Vec<Change> {
    values.enumerate().filter_map(|(i, value)| drift.observe(series, value, at(i as u64))).collect()
}

fn raised(drift: &Drift, now: Timestamp) -> Option<(Severity, Evidence)> {
    match drift.assess(InsightKind::Drift, false, now, &Config::default()) {
        Assessment::Raise(severity, evidence) => Some((severity, evidence)),
        _ => None,
    }
}

#[test]
fn an_agent_without_series_has_no_figures_and_no_drift() {
    let drift = Drift::default();
    assert_eq!(drift.figures(), Figures::default());
    assert_eq!(drift.assess(InsightKind::Drift, true, at(0), &Config::default()), Assessment::Clear);
    assert_eq!(drift.next_due(at(0), &Config::default()), None);
    assert!(size_of::<Drift>() <= 48);
}

#[test]
fn a_change_opens_for_a_while_with_its_levels() {
    let mut drift = Drift::default();
    let changes = feed(&mut drift, Series::Accuracy, (0..1500).map(|i| f64::from(i < 1000 || i % 3 > 0)));
    let [change] = changes[..] else { panic!("one change, not {changes:?}") };
    assert!(change.before > 0.95 && (change.after - 0.67).abs() < 0.1, "{change:?}");
    let seen = at(change.index);
    let (severity, evidence) = raised(&drift, seen).unwrap();
    assert_eq!(severity, Severity::Warning);
    assert_eq!(evidence.get(EvidenceKey::Series), Some(&EvidenceValue::Word(Word::Accuracy)));
    assert_eq!(evidence.get(EvidenceKey::Before), Some(&EvidenceValue::Number(change.before)));
    let over = drift.next_due(seen, &Config::default()).unwrap();
    assert_eq!(over, seen.plus(Config::default().hold));
    assert!(raised(&drift, over.minus(Duration::from_nanos(1))).is_some());
    assert_eq!(drift.assess(InsightKind::Drift, true, over, &Config::default()), Assessment::Clear);
    assert_eq!(drift.next_due(over, &Config::default()), None);
    assert_eq!(drift.figures().accuracy.map(|level| level.changes), Some(1));
}

#[test]
fn a_change_for_the_better_is_good_to_know() {
    let mut drift = Drift::default();
    let changes = feed(&mut drift, Series::Accuracy, (0..2000).map(|i| f64::from(i >= 1000 || i % 2 == 0)));
    let [change] = changes[..] else { panic!("one change, not {changes:?}") };
    assert_eq!(raised(&drift, at(change.index)).unwrap().0, Severity::Info);
}

#[test]
fn latency_is_shown_in_milliseconds() {
    let mut drift = Drift::default();
    let values = (0..2000).map(|i| latency_value(if i < 1000 { 100.0 } else { 400.0 } + f64::from(i % 7)));
    let changes = feed(&mut drift, Series::Latency, values);
    let change = changes.first().unwrap();
    assert!((change.before - 103.0).abs() < 2.0 && (change.after - 403.0).abs() < 20.0, "{change:?}");
    assert_eq!(raised(&drift, at(change.index)).unwrap().0, Severity::Warning);
    assert!((drift.figures().latency.unwrap().mean - 403.0).abs() < 20.0);
}

#[test]
fn failures_that_become_frequent_are_told_before_the_window_finds_them() {
    let mut drift = Drift::default();
    let changes = feed(&mut drift, Series::Errors, (0..508).map(|i| f64::from(i >= 500 || i % 20 == 0)));
    assert!(changes.is_empty(), "the listing is the window's alone");
    let (severity, evidence) = raised(&drift, at(508)).unwrap();
    assert_eq!(severity, Severity::Critical);
    assert_eq!(evidence.get(EvidenceKey::Series), Some(&EvidenceValue::Word(Word::Errors)));
}

#[test]
fn the_worst_change_is_shown() {
    let mut drift = Drift::default();
    feed(&mut drift, Series::Errors, (0..520).map(|i| f64::from(i >= 500)));
    let quiet = feed(&mut drift, Series::Confidence, (0..1000).map(|i| if i < 500 { 0.8 } else { 0.7 }));
    assert!(!quiet.is_empty());
    let (severity, evidence) = raised(&drift, at(1000)).unwrap();
    assert_eq!(severity, Severity::Critical);
    assert_eq!(evidence.get(EvidenceKey::Series), Some(&EvidenceValue::Word(Word::Errors)));
}

#[test]
fn noise_raises_nothing() {
    // A linear congruential generator, so that the test is the same everywhere.
    let mut state = 1u64;
    let mut noise = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as f64 / f64::from(1u32 << 31)
    };
    for agent in 0..50 {
        let mut drift = Drift::default();
        for i in 0..2000 {
            drift.observe(Series::Confidence, noise(), at(i));
            drift.observe(Series::Errors, f64::from(noise() < 0.1), at(i));
            assert!(raised(&drift, at(i)).is_none(), "agent {agent} at {i}");
        }
    }
}

proptest! {
    #[test]
    fn restored_drift_goes_on_the_same(
        values in proptest::collection::vec((0..4usize, -1.0..5.0f64), 1..400), pause in 0..400usize,
    ) {
        let (mut whole, mut restored) = (Drift::default(), Drift::default());
        for (i, (series, value)) in values.into_iter().enumerate() {
            if i == pause {
                restored = serde_json::from_str(&serde_json::to_string(&restored).unwrap()).unwrap();
            }
            let (series, now) = (Series::ALL[series], at(i as u64));
            let change = whole.observe(series, value, now);
            prop_assert_eq!(change.map(|c| c.index), restored.observe(series, value, now).map(|c| c.index));
            prop_assert_eq!(raised(&whole, now).map(|r| r.0), raised(&restored, now).map(|r| r.0));
        }
    }

    #[test]
    fn figures_are_finite(values in proptest::collection::vec((0..4usize, proptest::num::f64::ANY), 1..200)) {
        let mut drift = Drift::default();
        for (series, value) in values {
            let series = Series::ALL[series];
            // What callers can pass: probabilities, 0 or 1, and logarithms of durations.
            let value = match series {
                Series::Latency => latency_value(if value.is_finite() { value } else { f64::MAX }),
                Series::Confidence => value.abs().min(1.0),
                _ => f64::from(value > 0.5),
            };
            drift.observe(series, value, at(0));
        }
        let figures = drift.figures();
        for level in [figures.confidence, figures.accuracy, figures.latency, figures.errors].into_iter().flatten() {
            prop_assert!(level.mean.is_finite() && level.mean >= 0.0 && level.window > 0);
        }
    }
}
