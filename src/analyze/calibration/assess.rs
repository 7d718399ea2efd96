//! What the figures say: overconfident, underconfident, unreliable.

use super::figures::{Estimate, Z_99, area, auroc2, bias, brier_score, ece};
use super::{Calibration, Config, State, Window};
use crate::domain::{Assessment, Evidence, EvidenceKey, InsightKind, Severity};

impl Calibration {
    /// Judges one kind of insight; `open` says whether it is open now. Other kinds than the three of calibration get
    /// [`Assessment::Hold`], as does too small a sample.
    ///
    /// - `overconfident` and `underconfident` open when the 99 % interval of the bias lies beyond the margin, and close
    ///   when the bias itself is small: the width of the interval and the two thresholds keep noise from flapping it.
    ///   The severity goes by the bias; to be better than one thinks is never critical.
    /// - `unreliable` opens when the 99 % interval of the type-2 AUROC lies below its threshold, and closes when the
    ///   AUROC itself reaches it. Critical when the interval lies below ½: the surer, the wronger.
    ///   An agent that always says the same has an AUROC of ½ by ties alone. That says that it does not try to
    ///   discriminate, not that it fails to, and whether its one number is right the bias tells. So enough pairs must
    ///   differ in confidence, and among these too the right ones must hardly be the surer.
    pub fn assess(&self, kind: InsightKind, open: bool, config: &Config) -> Assessment {
        let enough = |state: &&State| state.window.len() >= config.minimum.max(1);
        let Some(state) = self.0.as_deref().filter(enough) else { return Assessment::Hold };
        let all = state.window.sums().all();
        let evidence = |judged| evidence(&state.window, judged);
        match kind {
            InsightKind::Overconfident => {
                let bias = bias(&all, Z_99);
                assess_bias(bias.value, bias.low, Severity::Critical, open, config, || evidence(bias))
            }
            InsightKind::Underconfident => {
                let bias = bias(&all, Z_99);
                assess_bias(-bias.value, -bias.high, Severity::Warning, open, config, || evidence(bias))
            }
            InsightKind::Unreliable => {
                let pairs = state.window.ranks().pairs();
                let Some(value) = area(pairs) else { return clear_if(open) };
                let untied = (pairs.all - pairs.tied) as f64;
                if untied < config.untied_minimum * pairs.all as f64 {
                    // Little is left to judge by; an open insight stays while half of that is.
                    let some = untied >= 0.5 * config.untied_minimum * pairs.all as f64;
                    return if some { Assessment::Hold } else { clear_if(open) };
                }
                let among_untied = pairs.concordant as f64 / untied;
                if value >= config.auroc2_close || among_untied >= config.auroc2_close {
                    return Assessment::Clear;
                }
                // The interval is dear, and tells nothing where its middle does.
                if !open && value >= config.auroc2_open {
                    return Assessment::Hold;
                }
                let Some(area) = auroc2(&all, pairs, Z_99) else { return Assessment::Hold };
                if open || area.high < config.auroc2_open {
                    let severity = if area.high < 0.5 { Severity::Critical } else { Severity::Warning };
                    return Assessment::Raise(severity, evidence(area));
                }
                Assessment::Hold
            }
            _ => Assessment::Hold,
        }
    }
}

/// `size` is the bias in the direction in question, `certain` the nearer end of its interval.
fn assess_bias(
    size: f64,
    certain: f64,
    most: Severity,
    open: bool,
    config: &Config,
    evidence: impl FnOnce() -> Evidence,
) -> Assessment {
    if size < config.bias_close {
        Assessment::Clear
    } else if open || certain > config.bias_margin {
        let severity = match size {
            size if size >= config.bias_critical => Severity::Critical,
            size if size >= config.bias_warning => Severity::Warning,
            _ => Severity::Info,
        };
        Assessment::Raise(severity.min(most), evidence())
    } else {
        Assessment::Hold
    }
}

fn clear_if(open: bool) -> Assessment {
    if open { Assessment::Clear } else { Assessment::Hold }
}

/// The figures, without intervals of their own, and the ends of the interval that was judged by.
fn evidence(window: &Window, judged: Estimate) -> Evidence {
    let (sums, all) = (window.sums(), window.sums().all());
    Evidence::new()
        .count(EvidenceKey::N, window.len() as u64)
        .number(EvidenceKey::Bias, bias(&all, Z_99).value)
        .number(EvidenceKey::Ece, ece(sums, &all))
        .number(EvidenceKey::Brier, brier_score(&all))
        .number(EvidenceKey::Auroc2, area(window.ranks().pairs()).unwrap_or(f64::NAN))
        .number(EvidenceKey::Low, judged.low)
        .number(EvidenceKey::High, judged.high)
}
