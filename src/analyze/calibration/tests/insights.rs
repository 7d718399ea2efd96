use super::*;
use crate::domain::{Assessment, EvidenceKey, EvidenceValue, InsightKind, Severity};

const KINDS: [InsightKind; 3] = [InsightKind::Overconfident, InsightKind::Underconfident, InsightKind::Unreliable];

/// Follows an agent claim by claim as the engine does: how often each kind opened, and after how many claims first.
fn follow(
    seed: u64,
    claims: u64,
    mut agent: impl FnMut(&mut Uniform) -> (f64, bool),
) -> ([u32; 3], [Option<u64>; 3], [bool; 3]) {
    let (config, mut uniform, mut calibration) = (Config::default(), Uniform(seed), Calibration::default());
    let (mut opened, mut first, mut open) = ([0; 3], [None; 3], [false; 3]);
    for i in 0..claims {
        let (confidence, correct) = agent(&mut uniform);
        calibration.claim(at(0), key(i), p(confidence), Some(correct), None, &config);
        for (k, kind) in KINDS.into_iter().enumerate() {
            match calibration.assess(kind, open[k], &config) {
                Assessment::Raise(..) if !open[k] => {
                    opened[k] += 1;
                    first[k].get_or_insert(i + 1);
                    open[k] = true;
                }
                Assessment::Clear => open[k] = false,
                _ => {}
            }
        }
    }
    (opened, first, open)
}

fn said(uniform: &mut Uniform, confidence: f64, truth: f64) -> (f64, bool) {
    (confidence, uniform.next() < truth)
}

#[test]
fn a_calibrated_agent_raises_nothing() {
    let mut raised = 0;
    for seed in 0..40 {
        let (opened, ..) = follow(seed, 3000, |u| {
            let c = 0.5 + 0.5 * u.next();
            said(u, c, c)
        });
        raised += opened.iter().sum::<u32>();
    }
    println!("false alarms in 40 calibrated agents, 3000 claims each: {raised}");
    assert!(raised <= 2, "{raised}");
}

#[test]
fn overconfidence_is_found_soon_and_once() {
    let mut delays = Vec::new();
    for seed in 0..20 {
        let ([over, under, _], [first, ..], [open, ..]) = follow(seed, 2000, |u| {
            let c = 0.8 + 0.2 * u.next();
            said(u, c, c - 0.3)
        });
        assert_eq!((over, under, open), (1, 0, true));
        delays.push(first.unwrap());
    }
    delays.sort_unstable();
    println!("overconfident by 0.3: found after {delays:?} claims");
    assert!(delays[10] <= 40);
}

#[test]
fn underconfidence_is_told_from_luck() {
    let ([over, under, _], ..) = follow(1, 2000, |u| {
        let c = 0.4 + 0.3 * u.next();
        said(u, c, c + 0.25)
    });
    assert_eq!((over, under), (0, 1));
    // Twenty right of twenty at 0.9 is luck enough.
    let config = Config::default();
    let lucky = resolved((0..20).map(|_| (0.9, true)), &config);
    assert_eq!(lucky.assess(InsightKind::Underconfident, false, &config), Assessment::Hold);
}

#[test]
fn confidence_that_tells_nothing_is_unreliable() {
    let (opened, first, open) = follow(3, 2000, |u| {
        let c = 0.4 + 0.6 * u.next();
        said(u, c, 0.7)
    });
    assert_eq!((opened, open[2]), ([0, 0, 1], true));
    println!("unreliable: found after {:?} claims", first[2]);
    assert!(first[2].unwrap() < 600);
}

#[test]
fn confidence_that_misleads_is_critical() {
    let config = Config::default();
    let misleading = resolved((0..300).map(|i| (f64::from(i % 100) / 100.0, i % 100 < 50)), &config);
    let Assessment::Raise(severity, evidence) = misleading.assess(InsightKind::Unreliable, false, &config) else {
        panic!("not raised")
    };
    assert_eq!(severity, Severity::Critical);
    assert_eq!(evidence.get(EvidenceKey::N), Some(&EvidenceValue::Count(300)));
    let Some(EvidenceValue::Number(high)) = evidence.get(EvidenceKey::High) else { panic!("no interval") };
    assert!(*high < 0.5);
}

/// Always the same confidence, or the same but for a few: that is no failure to discriminate.
#[test]
fn one_confidence_for_all_is_not_unreliable() {
    for odd in [0.0, 0.02, 0.1] {
        for seed in 0..5 {
            let (opened, ..) = follow(seed, 2000, |u| {
                let c = if u.next() < odd { 0.7 } else { 0.9 };
                said(u, c, 0.88)
            });
            assert_eq!(opened, [0, 0, 0], "{odd}");
        }
    }
    // It discriminates perfectly where it differs at all, though ties hold the area near a half.
    let config = Config::default();
    let coarse = resolved((0..1000).map(|i| if i % 5 == 0 { (0.3, false) } else { (0.9, i % 5 < 3) }), &config);
    assert!(!matches!(coarse.assess(InsightKind::Unreliable, false, &config), Assessment::Raise(..)));
}

#[test]
fn an_open_insight_closes_once_nothing_supports_it() {
    let config = Config::default();
    let (mut calibration, mut uniform) = (Calibration::default(), Uniform(4));
    for i in 0..1000 {
        let (confidence, correct) = (0.4 + 0.6 * uniform.next(), uniform.next() < 0.7);
        calibration.claim(at(0), key(i), p(confidence), Some(correct), None, &config);
    }
    assert!(matches!(calibration.assess(InsightKind::Unreliable, false, &config), Assessment::Raise(..)));
    for i in 1000..2000 {
        calibration.claim(at(0), key(i), p(0.7), Some(uniform.next() < 0.7), None, &config);
    }
    assert_eq!(calibration.assess(InsightKind::Unreliable, true, &config), Assessment::Clear);
}

/// Agents whose true bias or discrimination lies on each threshold: they may be raised, but do not flap.
#[test]
fn noise_around_the_thresholds_does_not_flap() {
    let mut most = [0; 3];
    for seed in 0..15 {
        for bias in [0.03, 0.05, 0.08, 0.1, -0.03, -0.05, -0.08] {
            let (opened, ..) = follow(seed, 6000, |u| {
                let c = 0.5 + 0.3 * u.next();
                said(u, c, c - bias)
            });
            most = std::array::from_fn(|k| most[k].max(opened[k]));
        }
        for skill in [0.3, 0.4, 0.5, 0.6] {
            // The chance of being right rises with what is said, about 0.7: AUROC 0.57 to 0.65.
            let (opened, ..) = follow(seed, 6000, |u| {
                let c = 0.4 + 0.6 * u.next();
                said(u, c, 0.7 + skill * (c - 0.7))
            });
            most[2] = most[2].max(opened[2]);
        }
    }
    println!("most openings of each kind in 6000 claims at the thresholds: {most:?}");
    assert!(most.iter().all(|&opened| opened <= 3), "{most:?}");
}

#[test]
fn too_few_claims_and_other_kinds_hold() {
    let config = Config::default();
    let few = resolved((0..19).map(|_| (1.0, false)), &config);
    for kind in InsightKind::ALL {
        assert_eq!(few.assess(*kind, true, &config), Assessment::Hold);
        assert_eq!(Calibration::default().assess(*kind, false, &config), Assessment::Hold);
    }
    let enough = resolved((0..20).map(|_| (1.0, false)), &config);
    let Assessment::Raise(severity, _) = enough.assess(InsightKind::Overconfident, false, &config) else {
        panic!("not raised")
    };
    assert_eq!(severity, Severity::Critical);
    assert_eq!(enough.assess(InsightKind::Stuck, false, &config), Assessment::Hold);
}
