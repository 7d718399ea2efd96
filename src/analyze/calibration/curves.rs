//! What a window looks like, for a chart: the reliability diagram and the type-2 ROC curve.

use super::Window;
use super::figures::Z_95;
use super::sums::bin;

/// One bin of the reliability diagram.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Reliability {
    /// Number of the bin, 0 to 9; it holds the confidences from a tenth of that on.
    pub bin: usize,
    /// Claims in it.
    pub claims: u32,
    /// Their mean confidence.
    pub confidence: f64,
    /// The share of them that was right.
    pub right: f64,
    /// Lower end of that share's 95 % interval (Wilson).
    pub low: f64,
    /// Its upper end.
    pub high: f64,
}

/// One point of the type-2 ROC curve: the claims at least as sure as some confidence.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RocPoint {
    /// The confidence; above 1 for the curve's beginning, where no claim is.
    pub confidence: f64,
    /// The share of wrong claims among them: false alarms.
    pub false_alarms: f64,
    /// The share of right claims among them: hits.
    pub hits: f64,
}

/// The charts of a window.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Curves {
    /// The bins that hold a claim, in order.
    pub reliability: Vec<Reliability>,
    /// From (0, 0) to (1, 1), a point for each distinct confidence; empty with one outcome.
    pub roc: Vec<RocPoint>,
}

impl Curves {
    /// The charts of a window. O(distinct confidences).
    pub(super) fn of(window: &Window) -> Self {
        let mut levels: Vec<(f64, [u16; 2])> = Vec::new();
        window.ranks().for_each(&mut |confidence, counts| levels.push((confidence, counts)));
        Self { reliability: reliability(&levels), roc: roc(&levels) }
    }
}

fn reliability(levels: &[(f64, [u16; 2])]) -> Vec<Reliability> {
    // Claims, right ones, sum of confidences.
    let mut bins = [(0u32, 0u32, 0.0); 10];
    for &(confidence, [wrong, right]) in levels {
        if let Some((claims, rights, sum)) = bins.get_mut(bin(confidence)) {
            let here = u32::from(wrong) + u32::from(right);
            *claims += here;
            *rights += u32::from(right);
            *sum += f64::from(here) * confidence;
        }
    }
    let held = bins.into_iter().enumerate().filter(|(_, (claims, ..))| *claims > 0);
    held.map(|(bin, (claims, rights, sum))| {
        let n = f64::from(claims);
        let right = f64::from(rights) / n;
        let (low, high) = wilson(right, n);
        Reliability { bin, claims, confidence: sum / n, right, low, high }
    })
    .collect()
}

/// Wilson's interval of a share.
fn wilson(share: f64, n: f64) -> (f64, f64) {
    let z = Z_95;
    let centre = (share + z * z / (2.0 * n)) / (1.0 + z * z / n);
    let half = z / (1.0 + z * z / n) * (share * (1.0 - share) / n + z * z / (4.0 * n * n)).sqrt();
    ((centre - half).max(0.0), (centre + half).min(1.0))
}

fn roc(levels: &[(f64, [u16; 2])]) -> Vec<RocPoint> {
    let total = |outcome: usize| levels.iter().map(|(_, counts)| u64::from(counts[outcome])).sum::<u64>();
    let (wrong, right) = (total(0), total(1));
    if wrong == 0 || right == 0 {
        return Vec::new();
    }
    let mut points = vec![RocPoint { confidence: f64::INFINITY, false_alarms: 0.0, hits: 0.0 }];
    let (mut wrongs, mut rights) = (0, 0);
    for &(confidence, counts) in levels.iter().rev() {
        wrongs += u64::from(counts[0]);
        rights += u64::from(counts[1]);
        let (false_alarms, hits) = (wrongs as f64 / wrong as f64, rights as f64 / right as f64);
        points.push(RocPoint { confidence, false_alarms, hits });
    }
    points
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::window::Resolved;
    use super::*;

    fn window(claims: &[(f64, bool)]) -> Window {
        let mut window = Window::default();
        for (i, &(confidence, correct)) in claims.iter().enumerate() {
            window.push(Resolved { claim: i as u64, confidence, correct, stratum: 0 });
        }
        window
    }

    #[test]
    fn bins_hold_what_was_said_in_them() {
        let curves = Curves::of(&window(&[(0.91, true), (0.95, false), (1.0, true), (0.3, false), (0.1 + 0.2, true)]));
        let told: Vec<_> = curves.reliability.iter().map(|it| (it.bin, it.claims, it.right)).collect();
        assert_eq!(told, [(3, 2, 0.5), (9, 3, 2.0 / 3.0)]);
        assert!((curves.reliability[1].confidence - 2.86 / 3.0).abs() < 1e-12);
        // Newcombe 1998, Statistics in Medicine 17:857, method 3: 81 of 263.
        let (low, high) = wilson(81.0 / 263.0, 263.0);
        assert!((low - 0.2553).abs() < 5e-5 && (high - 0.3662).abs() < 5e-5, "{low} {high}");
    }

    proptest! {
        #[test]
        fn the_area_under_the_curve_is_the_auroc(claims in prop::collection::vec((0..20u32, any::<bool>()), 1..200)) {
            let claims: Vec<_> = claims.into_iter().map(|(p, correct)| (f64::from(p) / 20.0, correct)).collect();
            let window = window(&claims);
            let curves = Curves::of(&window);
            let area = curves.roc.windows(2).map(|w| {
                (w[1].false_alarms - w[0].false_alarms) * (w[0].hits + w[1].hits) / 2.0
            }).sum::<f64>();
            match super::super::figures::area(window.ranks().pairs()) {
                Some(auroc2) => prop_assert!((area - auroc2).abs() < 1e-9),
                None => prop_assert!(curves.roc.is_empty()),
            }
            let claims: u32 = curves.reliability.iter().map(|it| it.claims).sum();
            prop_assert_eq!(claims as usize, window.len());
            prop_assert!(curves.reliability.iter().all(|it| it.low <= it.right && it.right <= it.high));
        }
    }
}
