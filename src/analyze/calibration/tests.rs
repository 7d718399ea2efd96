use std::collections::VecDeque;
use std::time::Duration;

use proptest::prelude::*;
use serde_json::Value;

use super::details::Group;
use super::smooth::{smooth_ece, smooth_ece_at};
use super::*;
use crate::analyze::metad;

mod insights;
mod joining;

fn p(confidence: f64) -> Probability {
    Probability::new(confidence).unwrap()
}

fn key(i: u64) -> ClaimKey {
    ClaimKey::from_u64(i)
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_nanos(seconds * 1_000_000_000)
}

fn close(found: f64, expected: f64, tolerance: f64, what: &str) {
    assert!((found - expected).abs() <= tolerance, "{what}: {found}, expected {expected}");
}

/// A small deterministic generator of numbers from 0 to 1.
struct Uniform(u64);

impl Uniform {
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    }
}

fn resolved(claims: impl IntoIterator<Item = (f64, bool)>, config: &Config) -> Calibration {
    let mut calibration = Calibration::default();
    for (i, (confidence, correct)) in claims.into_iter().enumerate() {
        calibration.claim(at(0), key(i as u64), p(confidence), Some(correct), None, config);
    }
    calibration
}

fn read(csv: &str) -> Vec<(f64, bool)> {
    let pair = |line: &str| line.split_once(',').map(|(p, y)| (p.parse().unwrap(), y.trim() == "1")).unwrap();
    csv.lines().skip(1).map(pair).collect()
}

/// The figures of a batch of claims, straight from their definitions.
fn batch(claims: &[(f64, bool)]) -> (f64, f64, f64, Option<f64>) {
    let n = claims.len() as f64;
    let miss = |(p, y): &(f64, bool)| p - f64::from(u8::from(*y));
    let brier = claims.iter().map(|claim| miss(claim).powi(2)).sum::<f64>() / n;
    let bias = claims.iter().map(miss).sum::<f64>() / n;
    let mut bins = [0.0; 10];
    for claim in claims {
        let rounded: f64 = format!("{:.9}", claim.0).parse().unwrap();
        bins[((10.0 * rounded) as usize).min(9)] += miss(claim);
    }
    let ece = bins.iter().map(|gap| gap.abs()).sum::<f64>() / n;
    let (right, wrong): (Vec<_>, Vec<_>) = claims.iter().partition(|(_, correct)| *correct);
    let score = |a: f64, b: f64| {
        if a > b {
            1.0
        } else if a == b {
            0.5
        } else {
            0.0
        }
    };
    let area: f64 = right.iter().flat_map(|(a, _)| wrong.iter().map(move |(b, _)| score(*a, *b))).sum();
    let pairs = right.len() * wrong.len();
    (brier, ece, bias, (pairs > 0).then(|| area / pairs as f64))
}

fn check_against_batch(found: &Figures, claims: &[(f64, bool)]) {
    let (brier, ece, bias, auroc2) = batch(claims);
    assert_eq!(found.n, claims.len());
    close(found.brier.unwrap().value, brier, 1e-12, "brier");
    close(found.ece.unwrap(), ece, 1e-12, "ece");
    close(found.bias.unwrap().value, bias, 1e-12, "bias");
    assert_eq!(found.auroc2.is_some(), auroc2.is_some());
    if let (Some(found), Some(expected)) = (found.auroc2, auroc2) {
        close(found.value, expected, 1e-12, "auroc2");
    }
}

#[test]
fn agrees_with_the_references() {
    for (csv, json) in [
        (
            include_str!("../../../tests/fixtures/calibration/calibrated.csv"),
            include_str!("../../../tests/fixtures/calibration/calibrated.json"),
        ),
        (
            include_str!("../../../tests/fixtures/calibration/verbal5.csv"),
            include_str!("../../../tests/fixtures/calibration/verbal5.json"),
        ),
    ] {
        let (claims, expected): (_, Value) = (read(csv), serde_json::from_str(json).unwrap());
        let number = |pointer: &str| expected.pointer(pointer).and_then(Value::as_f64).unwrap();
        let config = Config::default();
        let calibration = resolved(claims, &config);
        let (found, details) = (calibration.figures(&config), calibration.details(&config).unwrap());

        assert_eq!(found.n as f64, number("/n"));
        let brier = found.brier.unwrap().value;
        close(brier, number("/sk_brier"), 1e-12, "brier");
        close(found.auroc2.unwrap().value, number("/t2auc_sk_roc_auc"), 1e-12, "auroc2");
        close(found.bias.unwrap().value, number("/bias_over(+)"), 1e-12, "bias");
        close(found.ece.unwrap(), number("/binned10/ece"), 1e-12, "ece");
        close(found.ece.unwrap(), number("/netcal_ECE10"), 1e-12, "ece by netcal");
        close(found.ece.unwrap(), number("/torchmetrics_l1_10"), 1e-12, "ece by torchmetrics");
        close(found.mce.unwrap(), number("/binned10/mce"), 1e-12, "mce");
        close(found.mce.unwrap(), number("/torchmetrics_max_10"), 1e-12, "mce by torchmetrics");
        close(found.slope.unwrap(), number("/yates_cov/slope"), 1e-12, "slope");

        let parts = found.decomposition.unwrap();
        close(parts.reliability, number("/binned10/rel"), 1e-12, "reliability");
        close(parts.resolution, number("/binned10/res"), 1e-12, "resolution");
        close(parts.uncertainty, number("/binned10/unc"), 1e-12, "uncertainty");
        close(parts.within_bin_variance, number("/binned10/wbv"), 1e-12, "within-bin variance");
        close(parts.within_bin_covariance, number("/binned10/wbc"), 1e-12, "within-bin covariance");
        close(parts.generalised_resolution(), number("/binned10/gres"), 1e-12, "generalised resolution");
        let sum = parts.reliability - parts.generalised_resolution() + parts.uncertainty;
        close(sum, number("/stephenson_sum"), 1e-12, "Stephenson's sum");
        close(sum, brier, 1e-12, "Stephenson's sum is the Brier score");

        close(details.reliability, number("/murphy_exact/rel"), 1e-12, "exact reliability");
        close(details.resolution, number("/murphy_exact/res"), 1e-12, "exact resolution");
        close(parts.uncertainty, number("/murphy_exact/unc"), 1e-12, "exact uncertainty");
        let sum = details.reliability - details.resolution + parts.uncertainty;
        close(sum, number("/murphy_sum"), 1e-12, "Murphy's sum");
        close(details.adaptive_ece, number("/adaptive_ece10"), 1e-12, "adaptive ece");
        close(details.scatter, number("/yates_cov/scatter"), 1e-12, "scatter");
        close(details.smooth_ece, number("/relplot_smECE"), 1e-6, "smooth ece");
        let groups = groups(&calibration);
        close(smooth_ece(&groups), details.smooth_ece, 0.0, "smooth ece");
        close(smooth_ece_at(&groups, 0.05), number("/relplot_smECE_sigma0.05"), 1e-6, "smooth ece at 0.05");
    }
}

fn groups(calibration: &Calibration) -> Vec<Group> {
    let mut groups = Vec::new();
    calibration.0.as_deref().unwrap().window.ranks().for_each(&mut |confidence, [wrong, right]| {
        groups.push(Group { confidence, claims: f64::from(wrong + right), right: f64::from(right) });
    });
    groups
}

/// relplot 1.0.3 on p = i/(n−1), y = i·7 mod 11 < k, and on sets of other shapes.
#[test]
fn smooth_ece_agrees_with_relplot() {
    for (n, k, expected) in SMOOTH {
        let claims = (0..n).map(|i| (f64::from(i) / f64::from(n - 1), i * 7 % 11 < k));
        let calibration = resolved(claims, &Config::default());
        close(smooth_ece(&groups(&calibration)), expected, 1e-4, "smooth ece");
    }
    let config = Config::default();
    let good = resolved((0..1000).map(|i| (f64::from(i) / 999.0, i * 7919 % 1000 < i)), &config);
    close(smooth_ece(&groups(&good)), 0.0116119361184545, 2e-4, "of a calibrated agent");
    let perfect = resolved((0..1000).map(|i| (0.3, i % 10 < 3)), &config);
    close(smooth_ece(&groups(&perfect)), 0.0, 1e-9, "of a perfectly calibrated one");
    let ends = resolved((0..1000).map(|i| (f64::from(u8::from(i < 500)), i % 3 == 0)), &config);
    close(smooth_ece(&groups(&ends)), 0.4999998536444439, 1e-4, "of one that is always sure");
}

const SMOOTH: [(u32, u32, f64); 7] = [
    (50, 5, 0.208499082811762),
    (100, 2, 0.31818438711376207),
    (200, 9, 0.3190969410443262),
    (500, 6, 0.21255642524949067),
    (1000, 0, 0.4999999267388745),
    (1000, 11, 0.4999999267388746),
    (30, 3, 0.26078713409476406),
];

#[test]
fn figures_need_a_sample() {
    let config = Config::default();
    let claims: Vec<_> = (0..60).map(|i| (f64::from(i % 10) / 10.0 + 0.05, i % 10 * 7 % 10 < i % 10)).collect();
    assert_eq!(Calibration::default().figures(&config), Figures::default());
    assert_eq!(Calibration::default().details(&config), None);

    let mut few = resolved(claims[..19].to_vec(), &config);
    few.fit(&config);
    assert_eq!(few.figures(&config), Figures { n: 19, ..Figures::default() });
    assert_eq!(few.details(&config), None);
    let some = resolved(claims[..20].to_vec(), &config);
    assert!(some.figures(&config).brier.is_some() && some.details(&config).is_some());

    let mut below = resolved(claims[..49].to_vec(), &config);
    assert!(!below.needs_fit(&config));
    below.fit(&config);
    assert_eq!(below.figures(&config).sensitivity, None);
    let mut enough = resolved(claims[..50].to_vec(), &config);
    assert!(enough.needs_fit(&config));
    assert_eq!(enough.figures(&config).sensitivity, None, "figures never fit");
    enough.fit(&config);
    assert!(enough.figures(&config).sensitivity.unwrap().meta_d.is_some());
    assert!(!enough.needs_fit(&config));
}

#[test]
fn one_outcome_tells_nothing_of_discrimination() {
    let config = Config::default();
    for correct in [true, false] {
        let mut calibration = resolved((0..100).map(|i| (f64::from(i) / 100.0, correct)), &config);
        calibration.fit(&config);
        let figures = calibration.figures(&config);
        assert_eq!((figures.auroc2, figures.slope, figures.sensitivity), (None, None, None));
        assert!(figures.brier.is_some() && calibration.details(&config).unwrap().smooth_ece > 0.1);
    }
}

/// The extremes of confidence and window give finite figures within their ranges.
#[test]
fn figures_are_finite_on_extreme_claims() {
    let config = Config { minimum: 2, ..Config::default() };
    for claims in [[(0.0, false), (0.0, false)], [(1.0, true), (1.0, true)], [(0.0, true), (1.0, false)]] {
        let calibration = resolved(claims, &config);
        let (figures, details) = (calibration.figures(&config), calibration.details(&config).unwrap());
        for x in [details.adaptive_ece, details.smooth_ece, details.scatter, figures.ece.unwrap(), figures.mce.unwrap()]
        {
            assert!((0.0..=1.0 + 1e-12).contains(&x), "{x}");
        }
        for estimate in [figures.brier, figures.bias, figures.auroc2].into_iter().flatten() {
            assert!(estimate.low <= estimate.value + 1e-12 && estimate.value <= estimate.high + 1e-12, "{estimate:?}");
        }
    }
}

#[test]
fn a_million_slides_lose_nothing() {
    let config = Config { window: 500, ..Config::default() };
    let (mut calibration, mut uniform) = (Calibration::default(), Uniform(7));
    let mut last = VecDeque::new();
    for i in 0..1_000_000u64 {
        let raw = uniform.next();
        let confidence = if i % 4 == 0 { (raw * 20.0).round() / 20.0 } else { raw.powi(3) };
        let correct = uniform.next() < confidence;
        calibration.claim(at(i as i64), key(i), p(confidence), Some(correct), None, &config);
        last.push_back((confidence, correct));
        if last.len() > 500 {
            last.pop_front();
        }
        if i % 100_000 == 99_999 {
            check_against_batch(&calibration.figures(&config), last.make_contiguous());
        }
    }
    assert_eq!(calibration, resolved_as(&last, 999_500, &calibration, &config));
}

/// A calibration that saw the last claims alone.
fn resolved_as(last: &VecDeque<(f64, bool)>, first: u64, like: &Calibration, config: &Config) -> Calibration {
    let mut fresh = Calibration::default();
    for (i, &(confidence, correct)) in last.iter().enumerate() {
        fresh.claim(at(0), key(first + i as u64), p(confidence), Some(correct), None, config);
    }
    assert_eq!(fresh.figures(config), like.figures(config));
    fresh
}

#[test]
fn the_fit_is_that_of_the_counts_in_the_window() {
    let config = Config { window: 200, ..Config::default() };
    let mut uniform = Uniform(3);
    let claims: Vec<_> = (0..700).map(|_| uniform.next()).map(|c| (c, Uniform((c * 1e15) as u64).next() < c)).collect();
    let mut calibration = resolved(claims.clone(), &config);
    calibration.fit(&config);
    let mut counts = Counts::default();
    for (confidence, correct) in &claims[500..] {
        let row = if *correct { &mut counts.succeeded } else { &mut counts.failed };
        row[Counts::bin(*confidence)] += 1;
    }
    let (found, expected) = (calibration.figures(&config).sensitivity.unwrap(), counts.fit().unwrap());
    assert_eq!((found.n, found.strata, found.d, found.meta_d), (200, 0, expected.d, Some(expected.meta_d)));
    assert_eq!(found.m_ratio(), expected.m_ratio());
    assert_eq!(found.m_diff(), Some(expected.m_diff()));
    assert_eq!(found.meta_d_regularised, counts.fit_regularised().map(|fit| fit.meta_d));
}

#[test]
fn the_same_counts_are_not_fitted_again() {
    let config = Config { window: 60, ..Config::default() };
    let claims = |i: u64| (0.1 + 0.2 * (i % 5) as f64, i.is_multiple_of(3));
    let mut calibration = Calibration::default();
    for i in 0..60 {
        let (confidence, correct) = claims(i);
        calibration.claim(at(0), key(i), p(confidence), Some(correct), None, &config);
    }
    calibration.fit(&config);
    // The sixtieth successor of each claim is its like.
    for i in 60..180 {
        let (confidence, correct) = claims(i);
        calibration.claim(at(0), key(i), p(confidence), Some(correct), None, &config);
        assert!(!calibration.needs_fit(&config));
    }
    calibration.claim(at(0), key(999), p(0.99), Some(true), None, &config);
    assert!(calibration.needs_fit(&config));
}

/// An agent with M-ratio 1 by construction on an easy and a hard class of tasks: forecasts and confidence come from the
/// same evidence, as `evidence` standard deviations between what succeeds and what fails.
fn forecaster(uniform: &mut Uniform, evidence: f64) -> (f64, bool) {
    let correct = uniform.next() < 0.5;
    let noise = metad::normal_quantile(uniform.next().clamp(1e-12, 1.0 - 1e-12)).unwrap();
    let x = if correct { 0.5 } else { -0.5 } * evidence + noise;
    // The probability of success given the evidence.
    (1.0 / (1.0 + (-evidence * x).exp()), correct)
}

#[test]
fn pooling_classes_of_tasks_inflates_and_stratifying_does_not() {
    let config = Config { window: 30_000, ..Config::default() };
    let mut uniform = Uniform(11);
    let (mut named, mut unnamed) = (Calibration::default(), Calibration::default());
    for i in 0..30_000 {
        let (task, evidence) = if i % 2 == 0 { ("easy", 3.0) } else { ("hard", 0.4) };
        let (confidence, correct) = forecaster(&mut uniform, evidence);
        named.claim(at(0), key(i), p(confidence), Some(correct), Some(TaskKey::of(task)), &config);
        unnamed.claim(at(0), key(i), p(confidence), Some(correct), None, &config);
    }
    named.fit(&config);
    unnamed.fit(&config);
    let ratio = |c: &Calibration| c.figures(&config).sensitivity.unwrap().m_ratio().unwrap();
    let (stratified, pooled) = (ratio(&named), ratio(&unnamed));
    println!("true M-ratio 1: stratified {stratified:.3}, pooled {pooled:.3}");
    assert_eq!(named.figures(&config).sensitivity.unwrap().strata, 2);
    close(stratified, 1.0, 0.05, "stratified");
    assert!(pooled > stratified + 0.1);
}

#[test]
fn one_class_of_tasks_is_as_none() {
    let config = Config::default();
    let mut uniform = Uniform(5);
    let (mut named, mut unnamed) = (Calibration::default(), Calibration::default());
    for i in 0..300 {
        let (confidence, correct) = forecaster(&mut uniform, 1.5);
        named.claim(at(0), key(i), p(confidence), Some(correct), Some(TaskKey::of("only")), &config);
        unnamed.claim(at(0), key(i), p(confidence), Some(correct), None, &config);
    }
    named.fit(&config);
    unnamed.fit(&config);
    assert_eq!(named.figures(&config), unnamed.figures(&config));
}

/// Thousands of classes: bounded memory, and the fit is the pooled one since none has enough.
#[test]
fn classes_of_tasks_are_bounded() {
    let config = Config::default();
    let mut uniform = Uniform(5);
    let mut calibration = Calibration::default();
    for i in 0..5000 {
        let (confidence, correct) = forecaster(&mut uniform, 1.5);
        let task = TaskKey::of(&format!("task {i}"));
        calibration.claim(at(0), key(i), p(confidence), Some(correct), Some(task), &config);
    }
    calibration.fit(&config);
    assert_eq!(calibration.figures(&config).sensitivity.unwrap().strata, 0);
    // Once the strays have slid out, named classes find room again.
    for i in 5000..6100 {
        let (confidence, correct) = forecaster(&mut uniform, 1.5);
        let task = TaskKey::of(if i % 2 == 0 { "a" } else { "b" });
        calibration.claim(at(0), key(i), p(confidence), Some(correct), Some(task), &config);
    }
    calibration.fit(&config);
    let sensitivity = calibration.figures(&config).sensitivity.unwrap();
    assert_eq!(sensitivity.strata, 2);
    assert!(calibration.0.unwrap().strata.heap_bytes() < 4096);
}

#[test]
fn configuration_is_checked_and_reads_back() {
    let config = Config::default();
    assert_eq!(config.validate(), Ok(()));
    let text = serde_json::to_string(&config).unwrap();
    assert_eq!(serde_json::from_str::<Config>(&text).unwrap(), config);
    assert_eq!(serde_json::from_str::<Config>("{\"expiry\":\"2h\"}").unwrap().expiry, Duration::from_secs(7200));
    assert!(serde_json::from_str::<Config>("{\"windows\":3}").is_err());
    for (config, key) in [
        (Config { window: 0, ..Config::default() }, "window"),
        (Config { window: 40_000, ..Config::default() }, "window"),
        (Config { pending: 0, ..Config::default() }, "pending"),
        (Config { bias_close: 0.2, ..Config::default() }, "bias_close"),
        (Config { auroc2_open: f64::NAN, ..Config::default() }, "auroc2_open"),
    ] {
        assert_eq!(config.validate().unwrap_err().0, key);
    }
}

#[test]
fn memory_is_bounded() {
    let config = Config::default();
    assert_eq!(size_of::<Calibration>(), 8);
    assert_eq!(Calibration::default().heap_bytes(), 0);
    for (levels, most) in [(10.0, 18_000), (1e12, 36_000)] {
        let (mut calibration, mut uniform) = (Calibration::default(), Uniform(1));
        for i in 0..20_000 {
            let confidence = (uniform.next() * levels).round() / levels;
            calibration.claim(at(0), key(i), p(confidence), None, None, &config);
            calibration.verdict(at(0), key(i), uniform.next() < 0.6, &config);
        }
        println!("{} bytes with 1000 resolved claims", calibration.heap_bytes());
        assert!(calibration.heap_bytes() < most);
    }
}

/// How often the 95 % intervals hold the truth, for an agent of which it is known.
#[test]
fn intervals_cover_the_truth() {
    let (config, mut uniform) = (Config::default(), Uniform(21));
    let levels = [(0.5, 0.35), (0.7, 0.6), (0.9, 0.85)];
    let accuracy = levels.iter().map(|(_, truth)| truth / 3.0).sum::<f64>();
    let brier = levels.iter().map(|(c, truth)| (c * c - 2.0 * c * truth + truth) / 3.0).sum::<f64>();
    let score = |a: f64, b: f64| {
        if a > b {
            1.0
        } else if a == b {
            0.5
        } else {
            0.0
        }
    };
    let area = levels.iter().flat_map(|(a, right)| levels.map(|(b, truth)| right * (1.0 - truth) * score(*a, b)));
    let area = area.sum::<f64>() / 9.0 / (accuracy * (1.0 - accuracy));
    for n in [20, 50, 200, 1000] {
        let mut held = [0; 3];
        for _ in 0..1000 {
            let claims: Vec<_> = (0..n).map(|i| levels[i % 3]).map(|(c, truth)| (c, uniform.next() < truth)).collect();
            let found = resolved(claims.iter().copied(), &config).figures(&config);
            let mean = claims.iter().map(|(c, _)| c).sum::<f64>() / n as f64;
            let holds = |estimate: Option<Estimate>, truth| {
                estimate.is_none_or(|estimate| estimate.low <= truth && truth <= estimate.high)
            };
            // The truth of the accuracy given the confidences that were said.
            let given = (0..n).map(|i| levels[i % 3].1).sum::<f64>() / n as f64;
            held[0] += u32::from(holds(found.bias, mean - given));
            held[1] += u32::from(holds(found.auroc2, area));
            held[2] += u32::from(holds(found.brier, brier));
        }
        println!("{n} claims: intervals of bias, auroc2 and brier held the truth in {held:?} of 1000");
        assert!(held.iter().all(|&held| held >= 920), "{held:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn the_window_is_as_a_batch(
        claims in prop::collection::vec((0..=40u32, any::<bool>(), any::<bool>()), 2..200),
        window in 2..80usize,
    ) {
        let config = Config { window, minimum: 2, ..Config::default() };
        let claims: Vec<_> = claims.into_iter()
            .map(|(level, odd, correct)| (f64::from(level) / if odd { 40.0 } else { 41.0 }, correct)).collect();
        let calibration = resolved(claims.iter().copied(), &config);
        check_against_batch(&calibration.figures(&config), &claims[claims.len().saturating_sub(window)..]);
    }
}
