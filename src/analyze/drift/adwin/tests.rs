use std::collections::BTreeMap;

use proptest::prelude::*;
use serde::Deserialize;

use super::Adwin;

#[derive(Deserialize)]
struct Case {
    values: Vec<f64>,
    detections: Vec<usize>,
    /// Index, width, total, variance, mean, detections.
    checkpoints: Vec<(usize, f64, f64, f64, f64, u64)>,
}

#[derive(Deserialize)]
struct Reference {
    detections: BTreeMap<String, Vec<usize>>,
    #[serde(rename = "checkpoints_A")]
    checkpoints: Vec<Checkpoint>,
}

#[derive(Deserialize)]
struct Checkpoint {
    i: usize,
    width: f64,
    total: f64,
    variance: f64,
    estimation: f64,
    n_detections: u64,
}

fn close(found: f64, expected: f64) -> bool {
    (found - expected).abs() <= 1e-9 * expected.abs().max(1.0)
}

fn check(name: &str, case: &Case) {
    let mut adwin = Adwin::default();
    let mut found = Vec::new();
    let mut checkpoints = case.checkpoints.iter().peekable();
    for (i, &value) in case.values.iter().enumerate() {
        if let Some(split) = adwin.update(value) {
            found.push(i);
            assert!((0.998..=1.0).contains(&split.confidence), "{name} at {i}: {split:?}");
            assert_ne!(split.before, split.after);
        }
        while let Some(&(_, width, total, variance, mean, detections)) = checkpoints.next_if(|c| c.0 == i) {
            assert_eq!(adwin.width() as f64, width, "{name} at {i}: width");
            assert!(close(adwin.total(), total), "{name} at {i}: total {} for {total}", adwin.total());
            assert!(close(adwin.variance(), variance), "{name} at {i}: variance {} for {variance}", adwin.variance());
            assert!(close(adwin.mean().unwrap(), mean), "{name} at {i}: mean");
            assert_eq!(adwin.detections(), detections, "{name} at {i}: detections");
        }
    }
    assert_eq!(found, case.detections, "{name}");
    assert!(checkpoints.next().is_none(), "{name}: a checkpoint was not reached");
}

fn streams() -> BTreeMap<String, Vec<f64>> {
    let text = include_str!("../../../../tests/fixtures/drift/streams.csv");
    let mut lines = text.lines();
    let names: Vec<String> = lines.next().unwrap().split(',').map(str::to_owned).collect();
    let mut streams: BTreeMap<String, Vec<f64>> = names.iter().map(|name| (name.clone(), Vec::new())).collect();
    for line in lines {
        for (name, value) in names.iter().zip(line.split(',')) {
            streams.get_mut(name).unwrap().push(value.parse().unwrap());
        }
    }
    streams
}

#[test]
fn agrees_with_the_reference() {
    let reference: Reference =
        serde_json::from_str(include_str!("../../../../tests/fixtures/drift/adwin.json")).unwrap();
    for (name, values) in streams() {
        let checkpoints = reference.checkpoints.iter().filter(|_| name == "A_meanshift");
        let checkpoints =
            checkpoints.map(|c| (c.i, c.width, c.total, c.variance, c.estimation, c.n_detections)).collect();
        check(&name, &Case { detections: reference.detections[&name].clone(), values, checkpoints });
    }
}

#[test]
fn agrees_with_the_reference_on_more_streams() {
    let cases: BTreeMap<String, Case> =
        serde_json::from_str(include_str!("../../../../tests/fixtures/drift/more.json")).unwrap();
    assert!(cases.len() >= 8);
    for (name, case) in cases {
        check(&name, &case);
    }
}

#[test]
fn the_split_shows_both_levels() {
    let values = streams().remove("A_meanshift").unwrap();
    let mut adwin = Adwin::default();
    let splits: Vec<_> = values.into_iter().filter_map(|value| adwin.update(value)).collect();
    let levels: Vec<_> = splits.iter().map(|s| ((s.before * 10.0).round(), (s.after * 10.0).round())).collect();
    assert_eq!(levels.len(), 2);
    assert_eq!(levels[0], (2.0, 5.0), "{splits:?}");
    assert!(levels[1].0 > levels[1].1, "{splits:?}");
}

#[test]
fn memory_grows_with_the_logarithm_of_the_width() {
    let mut adwin = Adwin::default();
    assert_eq!(adwin.buckets.capacity() + adwin.rows.capacity(), 0);
    for i in 0..1_000_000u32 {
        assert!(adwin.update(f64::from(i % 2)).is_none());
    }
    assert_eq!(adwin.width(), 1_000_000);
    assert!(adwin.buckets.len() <= 6 * adwin.rows.len() && adwin.rows.len() <= 20, "{}", adwin.buckets.len());
}

#[test]
fn what_is_not_finite_is_passed_over() {
    let mut adwin = Adwin::default();
    adwin.update(0.5);
    for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        assert!(adwin.update(value).is_none());
    }
    assert_eq!((adwin.width(), adwin.total()), (1, 0.5));
}

#[test]
fn a_window_that_does_not_fit_together_is_refused() {
    let mut adwin = Adwin::default();
    (0..40).for_each(|i| assert!(adwin.update(f64::from(i % 2)).is_none()));
    let sound = serde_json::to_value(&adwin).unwrap();
    assert_eq!(serde_json::from_value::<Adwin>(sound.clone()).unwrap(), adwin);
    for (key, value) in [("rows", "[9,1]"), ("rows", "[]"), ("buckets", "[]"), ("width", "7.0")] {
        let mut broken = sound.clone();
        broken[key] = serde_json::from_str(value).unwrap();
        assert!(serde_json::from_value::<Adwin>(broken).is_err(), "{key} {value}");
    }
}

proptest! {
    #[test]
    fn a_restored_window_goes_on_the_same(
        values in proptest::collection::vec(0.0..1.0f64, 1..600), shift in 0.0..2.0f64, at in 0usize..600,
    ) {
        let (mut whole, mut restored) = (Adwin::default(), Adwin::default());
        for (i, value) in values.iter().enumerate() {
            let value = if i > values.len() / 2 { value + shift } else { *value };
            if i == at {
                restored = serde_json::from_str(&serde_json::to_string(&restored).unwrap()).unwrap();
            }
            prop_assert_eq!(whole.update(value).is_some(), restored.update(value).is_some());
            prop_assert_eq!(whole.width(), restored.width());
            prop_assert!(close(whole.total(), restored.total()) && close(whole.variance(), restored.variance()));
            prop_assert!(whole.variance() >= -1e-9 && whole.mean().is_some_and(f64::is_finite));
        }
    }
}
