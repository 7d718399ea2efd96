//! From open insights to one word of status and one of advice.
//!
//! | open insight | advice |
//! | --- | --- |
//! | `stuck` (critical), `overloaded` by a budget that is used up | `stop` |
//! | `stuck`, `blocked`, `stalled`, `error_streak` (critical), `overloaded` (critical) | `escalate` |
//! | `overconfident`, `underconfident`, `unreliable`, `drift` from warning on, `error_streak` | `verify` |
//! | anything else, or none | `continue` |
//!
//! The most drastic one counts.

use crate::domain::{Advice, EvidenceKey, EvidenceValue, Insight, InsightKind, Severity, Status};

/// The advice that one open insight gives.
pub(super) fn advice(insight: &Insight) -> Advice {
    match (insight.kind, insight.severity) {
        (InsightKind::Stuck, Severity::Critical) => Advice::Stop,
        (InsightKind::Overloaded, Severity::Critical) if is_used_up(insight) => Advice::Stop,
        (InsightKind::Stuck | InsightKind::Blocked | InsightKind::Stalled, _)
        | (InsightKind::ErrorStreak | InsightKind::Overloaded, Severity::Critical) => Advice::Escalate,
        (InsightKind::Overconfident | InsightKind::Underconfident | InsightKind::Unreliable, _)
        | (InsightKind::ErrorStreak, _)
        | (InsightKind::Drift, Severity::Warning | Severity::Critical) => Advice::Verify,
        _ => Advice::Continue,
    }
}

/// Whether its budget is.
fn is_used_up(insight: &Insight) -> bool {
    match (insight.evidence.get(EvidenceKey::Cost), insight.evidence.get(EvidenceKey::Budget)) {
        (Some(EvidenceValue::Number(cost)), Some(EvidenceValue::Number(budget))) => cost >= budget,
        _ => false,
    }
}

/// The status of an agent with these open insights; `active`: it showed itself lately.
pub(super) fn status<'a>(insights: impl Iterator<Item = &'a Insight> + Clone, active: bool) -> Status {
    let has = |kind: InsightKind| insights.clone().any(|insight| insight.kind == kind);
    if has(InsightKind::Stuck) {
        Status::Stuck
    } else if has(InsightKind::Blocked) {
        Status::Blocked
    } else if has(InsightKind::Silent) {
        Status::Silent
    } else if !active {
        Status::Idle
    } else if insights.clone().any(|insight| insight.severity >= Severity::Warning) {
        Status::Degraded
    } else {
        Status::Progressing
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{AgentId, Evidence, InsightId, Timestamp};

    fn insight(kind: InsightKind, severity: Severity) -> Insight {
        let (id, since) = (InsightId::new(0, 0, 0), Timestamp::EPOCH);
        let agent = Some(AgentId::fitted("a"));
        Insight { id, kind, severity, agent, since, until: None, evidence: Evidence::new(), content: String::new() }
    }

    #[test]
    fn the_table() {
        let advise = |kind, severity| advice(&insight(kind, severity));
        assert_eq!(advise(InsightKind::Stuck, Severity::Critical), Advice::Stop);
        assert_eq!(advise(InsightKind::Stuck, Severity::Warning), Advice::Escalate);
        assert_eq!(advise(InsightKind::Overconfident, Severity::Warning), Advice::Verify);
        assert_eq!(advise(InsightKind::Drift, Severity::Info), Advice::Continue);
        assert_eq!(advise(InsightKind::Overloaded, Severity::Warning), Advice::Continue);
        assert_eq!(advise(InsightKind::Overloaded, Severity::Critical), Advice::Escalate);
        let budget = |cost| Insight {
            evidence: Evidence::new().number(EvidenceKey::Cost, cost).number(EvidenceKey::Budget, 10.0),
            ..insight(InsightKind::Overloaded, Severity::Critical)
        };
        assert_eq!((advice(&budget(9.0)), advice(&budget(10.0))), (Advice::Escalate, Advice::Stop));
        assert_eq!(advise(InsightKind::Silent, Severity::Critical), Advice::Continue);
    }

    #[test]
    fn the_worst_names_the_status() {
        let both = [insight(InsightKind::Drift, Severity::Warning), insight(InsightKind::Stuck, Severity::Warning)];
        assert_eq!(status(both.iter(), true), Status::Stuck);
        assert_eq!(status(both[..1].iter(), true), Status::Degraded);
        assert_eq!(status(both[..1].iter(), false), Status::Idle);
        assert_eq!(status([].iter(), true), Status::Progressing);
    }
}
