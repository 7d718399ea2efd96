//! Which insight explains which: the evidence `because`.
//!
//! | insight | because of | when |
//! | --- | --- | --- |
//! | `error_streak` | `stuck` | |
//! | `overloaded` | `blocked` | it is about latency |
//! | `drift` of latency | `blocked` | |
//! | `drift` of errors | `stuck`, `blocked`, `error_streak` | errors rose |
//! | `overconfident`, `underconfident`, `unreliable` | `drift` | of confidence or accuracy |
//! | `stalled` | `stuck`, `blocked`, `error_streak` | |
//! | `silent` | `blocked` | |
//!
//! The first cause that is open counts. The link is there while the cause is open, and goes with it.

use super::insights::{InsightBook, OpenKinds};
use crate::domain::{Assessment, Evidence, EvidenceKey, EvidenceValue, Insight, InsightKind, Word};

/// The assessment, with the open insight that explains it named in its evidence.
pub(super) fn linked(kind: InsightKind, assessment: Assessment, open: &OpenKinds, book: &InsightBook) -> Assessment {
    match assessment {
        Assessment::Raise(severity, evidence) => {
            let evidence = match cause(kind, &evidence, open, book) {
                Some(cause) => evidence.with(EvidenceKey::Because, EvidenceValue::Kind(cause)),
                None => evidence,
            };
            Assessment::Raise(severity, evidence)
        }
        Assessment::Hold => match find(kind, open, book) {
            // What is left as it is still follows its cause.
            Some(insight) if is_told(cause(kind, &insight.evidence, open, book), insight) => Assessment::Hold,
            Some(insight) => {
                let evidence = insight.evidence.clone().without(EvidenceKey::Because);
                let linked = linked(kind, Assessment::Raise(insight.severity, evidence), open, book);
                match linked {
                    Assessment::Raise(_, evidence) if evidence == insight.evidence => Assessment::Hold,
                    changed => changed,
                }
            }
            None => Assessment::Hold,
        },
        Assessment::Clear => Assessment::Clear,
    }
}

/// Whether an insight's evidence names this cause already, or no cause where there is none.
fn is_told(cause: Option<InsightKind>, insight: &Insight) -> bool {
    insight.evidence.get(EvidenceKey::Because) == cause.map(EvidenceValue::Kind).as_ref()
}

fn find<'a>(kind: InsightKind, open: &OpenKinds, book: &'a InsightBook) -> Option<&'a Insight> {
    let (_, id) = open.iter().find(|(known, _)| *known == kind)?;
    book.get(*id)
}

fn cause(kind: InsightKind, evidence: &Evidence, open: &OpenKinds, book: &InsightBook) -> Option<InsightKind> {
    use InsightKind::{Blocked, Drift, ErrorStreak, Stuck};
    if open.is_empty() {
        return None;
    }
    let causes: &[InsightKind] = match kind {
        ErrorStreak => &[Stuck],
        InsightKind::Overloaded if evidence.get(EvidenceKey::P95Ms).is_some() => &[Blocked],
        Drift if is_about(evidence, Word::Latency) => &[Blocked],
        Drift if is_about(evidence, Word::Errors) && rose(evidence) => &[Stuck, Blocked, ErrorStreak],
        InsightKind::Overconfident | InsightKind::Underconfident | InsightKind::Unreliable => &[Drift],
        InsightKind::Stalled => &[Stuck, Blocked, ErrorStreak],
        InsightKind::Silent => &[Blocked],
        _ => &[],
    };
    let explains = |cause: &InsightKind| {
        find(*cause, open, book).is_some_and(|insight| {
            let judged = is_about(&insight.evidence, Word::Confidence) || is_about(&insight.evidence, Word::Accuracy);
            *cause != Drift || judged
        })
    };
    causes.iter().copied().find(explains)
}

fn is_about(evidence: &Evidence, series: Word) -> bool {
    evidence.get(EvidenceKey::Series) == Some(&EvidenceValue::Word(series))
}

fn rose(evidence: &Evidence) -> bool {
    match (evidence.get(EvidenceKey::Before), evidence.get(EvidenceKey::After)) {
        (Some(EvidenceValue::Number(before)), Some(EvidenceValue::Number(after))) => after > before,
        _ => false,
    }
}
