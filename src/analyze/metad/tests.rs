use proptest::prelude::*;
use serde_json::Value;

use super::*;

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|x| x.as_f64().unwrap()).collect()
}

fn close(found: f64, expected: f64, tolerance: f64, what: &str) {
    assert!((found - expected).abs() <= tolerance, "{what}: {found}, expected {expected}");
}

fn fixture(text: &str) -> Vec<Value> {
    serde_json::from_str(text).unwrap()
}

#[test]
fn agrees_with_metadpy_on_counts() {
    let cases = fixture(include_str!("../../../tests/fixtures/metad/count_cases.json"));
    assert_eq!(cases.len(), 6);
    for case in cases {
        let number = |key: &str| case[key].as_f64().unwrap();
        let padded = |key: &str| -> Vec<f64> { numbers(&case[key]).iter().map(|n| n + number("pad")).collect() };
        let found = fit(&padded("nR_S1"), &padded("nR_S2")).unwrap();
        close(found.d, number("dprime"), 1e-9, "d");
        close(found.meta_d, number("meta_d"), 1e-6, "meta_d");
        close(found.meta_d, number("indep_meta_d"), 1e-6, "meta_d by another optimiser");
        close(found.m_ratio().unwrap(), number("m_ratio"), 1e-6, "m_ratio");
        close(found.m_diff(), number("m_diff"), 1e-6, "m_diff");
        close(found.log_likelihood, number("logL"), 1e-9, "logL");
        let expected = [numbers(&case["t2ca_rS1"]), numbers(&case["t2ca_rS2"])].concat();
        assert_eq!(found.criteria.len(), expected.len());
        for (found, expected) in found.criteria.iter().zip(expected) {
            close(*found, expected, 1e-5, "criterion");
        }
        close(found.meta_d * found.c / found.d, number("meta_ca"), 1e-6, "meta_c");
    }
}

#[test]
fn agrees_with_metadpy_on_subjects() {
    let text = include_str!("../../../tests/fixtures/metad/subjects.csv");
    let mut seen = 0;
    for line in text.lines().skip(1) {
        let fields: Vec<f64> = line.split(',').map(|field| field.parse().unwrap()).collect();
        let counts = |from: usize| -> [u32; 8] { std::array::from_fn(|i| fields[from + i] as u32) };
        let counts = Counts { failed: counts(2), succeeded: counts(10) };
        let found = counts.fit().unwrap();
        let [d, c, meta_d, m_ratio, log_likelihood, auroc2] = fields[18..24] else { panic!("columns") };
        close(found.d, d, 1e-8, "d");
        close(found.c, c, 1e-8, "c");
        close(found.meta_d, meta_d, 1e-6, "meta_d");
        close(found.m_ratio().unwrap(), m_ratio, 1e-6, "m_ratio");
        close(found.log_likelihood, log_likelihood, 1e-6, "logL");
        assert!((0.5..1.0).contains(&auroc2));
        seen += 1;
    }
    assert_eq!(seen, 8);
}

#[test]
fn the_regularised_fit_agrees_with_an_independent_optimiser() {
    for case in fixture(include_str!("../../../tests/fixtures/metad/regularised.json")) {
        let found = fit_regularised(&numbers(&case["nR_S1"]), &numbers(&case["nR_S2"])).unwrap();
        let number = |key: &str| case[key].as_f64().unwrap();
        close(found.d, number("d"), 1e-5, "d");
        close(found.c, number("c"), 1e-5, "c");
        close(found.meta_d, number("meta_d"), 1e-5, "meta_d");
        // The mode lies near the mean of the posterior.
        let mean = case["posterior_mean"]["meta_d"].as_f64().unwrap();
        let deviation = case["posterior_sd"]["meta_d"].as_f64().unwrap();
        close(found.meta_d, mean, 0.35 * deviation, "posterior mean of meta_d");
    }
}

/// A forecaster of known d′ and meta-d′, by inverse transform of a small deterministic generator.
fn simulate(seed: u64, trials: u32, d: f64, meta_d: f64) -> Counts {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut uniform = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        ((state >> 11) as f64 + 0.5) / (1u64 << 53) as f64
    };
    let mut counts = Counts::default();
    for _ in 0..trials {
        let succeeded = uniform() < 0.5;
        let mean = if succeeded { 0.5 } else { -0.5 };
        let high = uniform() < normal::cdf(mean * d);
        // The rating's evidence comes from the truncated normal that meta-d′ describes.
        let sign = if high { 1.0 } else { -1.0 };
        let nu = sign * mean * meta_d;
        let beyond = normal::upper(-nu);
        let evidence = nu - normal::quantile(uniform() * beyond).unwrap();
        let rating = [0.4, 0.9, 1.5].iter().filter(|&&edge| evidence > edge).count();
        let bin = if high { 4 + rating } else { 3 - rating };
        let row = if succeeded { &mut counts.succeeded } else { &mut counts.failed };
        row[bin] += 1;
    }
    counts
}

#[test]
fn recovers_what_was_simulated() {
    for (seed, meta_d) in [(1, 0.7), (2, 1.4), (3, 0.0), (4, 2.0)] {
        let found = simulate(seed, 20_000, 1.4, meta_d).fit().unwrap();
        close(found.d, 1.4, 0.06, "d");
        close(found.meta_d, meta_d, 0.1, "meta_d");
    }
}

#[test]
fn regularising_helps_small_samples() {
    for (claims, most) in [(20, 0.8), (50, 0.9), (200, 1.0)] {
        let mut errors = [0.0, 0.0];
        let mut samples = 0.0;
        for seed in 1..=200 {
            let counts = simulate(seed, claims, 1.2, 0.9);
            let (Some(plain), Some(regularised)) = (counts.fit(), counts.fit_regularised()) else { continue };
            samples += 1.0;
            errors[0] += (plain.meta_d - 0.9).powi(2);
            errors[1] += (regularised.meta_d - 0.9).powi(2);
        }
        let [plain, regularised] = errors.map(|sum: f64| (sum / samples).sqrt());
        println!("rms error of meta-d′ from {claims} claims: plain {plain:.3}, regularised {regularised:.3}");
        assert!(samples > 190.0 && regularised < most * plain);
    }
}

#[test]
fn regularising_fades_with_evidence() {
    let counts = simulate(9, 50_000, 1.5, 1.2);
    let (plain, regularised) = (counts.fit().unwrap(), counts.fit_regularised().unwrap());
    close(regularised.d, plain.d, 2e-3, "d");
    close(regularised.meta_d, plain.meta_d, 2e-2, "meta_d");
}

#[test]
fn nothing_follows_from_degenerate_counts() {
    let zero = [0; 8];
    let some = [3, 2, 5, 4, 1, 2, 6, 4];
    let low = [9, 0, 0, 0, 0, 0, 0, 0];
    let high = [0, 0, 0, 0, 0, 0, 0, 40];
    for (failed, succeeded) in [(zero, zero), (some, zero), (zero, some), (low, low), (high, high), (zero, high)] {
        let counts = Counts { failed, succeeded };
        assert_eq!((counts.fit(), counts.fit_regularised()), (None, None), "{counts:?}");
    }
    assert_eq!(fit(&[0.0; 8], &[0.0; 8]), None);
    assert_eq!(fit(&[1.0; 8], &[1.0; 8]), None, "d′ is zero");
    assert_eq!(fit(&[1.0; 8], &[1.0; 6]), None);
    assert_eq!(fit(&[1.0; 7], &[1.0; 7]), None);
    assert_eq!(fit(&[1.0; 2], &[1.0; 2]), None);
    assert_eq!(fit(&[], &[]), None);
    assert_eq!(fit(&[1.0; 64], &[1.0; 64]), None);
    assert_eq!(fit(&[f64::NAN; 8], &[1.0; 8]), None);
    assert_eq!(fit(&[-1.0; 8], &[1.0; 8]), None);
    assert_eq!(fit(&[f64::INFINITY; 8], &[1.0; 8]), None);
    assert_eq!(fit_regularised(&[0.0; 8], &[0.0; 8]), None);
}

#[test]
fn no_ratio_near_zero_sensitivity() {
    assert_eq!(ratio(0.5, 0.099), None);
    assert_eq!(ratio(0.5, 0.0), None);
    assert_eq!(ratio(0.05, 0.1), Some(0.5));
    assert_eq!(ratio(-0.2, -0.2), Some(1.0));
}

#[test]
fn confidences_map_onto_eight_bins() {
    for (confidence, bin) in [(0.0, 0), (0.124_999, 0), (0.125, 1), (0.499_999, 3), (0.5, 4), (0.875, 7), (1.0, 7)] {
        assert_eq!(Counts::bin(confidence), bin);
    }
}

fn any_counts(most: u32) -> impl Strategy<Value = Counts> {
    let cell = prop_oneof![3 => Just(0), 2 => 0..3u32, 2 => 0..most];
    (prop::array::uniform8(cell.clone()), prop::array::uniform8(cell))
        .prop_map(|(failed, succeeded)| Counts { failed, succeeded })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn total_on_any_counts(counts in any_counts(400)) {
        for fit in [counts.fit(), counts.fit_regularised()].into_iter().flatten() {
            prop_assert!(fit.meta_d.is_finite() && fit.d.is_finite() && fit.c.is_finite());
            prop_assert!(fit.log_likelihood <= 0.0);
            prop_assert!(fit.criteria.is_sorted());
        }
        if counts.informative() {
            prop_assert!(counts.fit_regularised().is_some());
        }
    }

    /// Swapping what is called success and failure mirrors everything and changes no sensitivity.
    #[test]
    fn symmetric_in_the_outcomes(counts in any_counts(60)) {
        let mut mirrored = Counts { failed: counts.succeeded, succeeded: counts.failed };
        mirrored.failed.reverse();
        mirrored.succeeded.reverse();
        if let (Some(a), Some(b)) = (counts.fit_regularised(), mirrored.fit_regularised()) {
            prop_assert!((a.meta_d - b.meta_d).abs() < 1e-6 && (a.c + b.c).abs() < 1e-6);
        }
    }
}
