//! Opens, updates and resolves insights: one open of a kind and agent.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::damping::Damper;
use super::part::{Part, Parts};
use crate::domain::{AgentId, Assessment, Evidence, Insight, InsightId, InsightKind, Severity, Timestamp};

/// The open insights of one agent, or of the daemon.
pub(super) type OpenKinds = Vec<(InsightKind, InsightId)>;

/// All open insights.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct InsightBook {
    /// Boxed, so that the tree is small and a search stays in the caches.
    open: BTreeMap<InsightId, Box<Insight>>,
    /// Insights opened so far.
    serial: u64,
}

/// What became of an insight.
#[derive(Debug, Clone, PartialEq)]
pub enum InsightChange {
    /// It opened, or its severity or evidence changed.
    Open(InsightId),
    /// It resolved.
    Resolved(Box<Insight>),
}

/// Where and when an assessment was made.
pub(super) struct Occasion<'a> {
    pub(super) now: Timestamp,
    pub(super) epoch: u64,
    pub(super) agent: Option<&'a AgentId>,
    /// Analyzers that judge nothing now.
    pub(super) resting: Parts,
}

impl Occasion<'_> {
    /// Whether the analyzer of a kind judges nothing now.
    pub(super) fn rests(&self, kind: InsightKind) -> bool {
        Part::of(kind).is_some_and(|part| self.resting.has(part))
    }
}

impl InsightBook {
    /// The open insight of this name.
    pub fn get(&self, id: InsightId) -> Option<&Insight> {
        self.open.get(&id).map(Box::as_ref)
    }

    /// All open insights by the time they opened.
    pub fn iter(&self) -> impl Iterator<Item = &Insight> {
        self.open.values().map(Box::as_ref)
    }

    /// Carries out what an analyzer found. `damper` keeps the insight from flapping; `words` tells it in words for the
    /// private content.
    pub(super) fn carry_out(
        &mut self,
        occasion: &Occasion<'_>,
        kinds: &mut OpenKinds,
        mut damper: Option<&mut Damper>,
        kind: InsightKind,
        assessment: Assessment,
        words: impl FnOnce(&Evidence) -> String,
    ) -> Option<InsightChange> {
        let open = kinds.iter().position(|(known, _)| *known == kind);
        match (assessment, open) {
            (Assessment::Raise(severity, evidence), Some(at)) => {
                let (_, id) = *kinds.get(at)?;
                if let Some(damper) = &mut damper {
                    damper.holds(kind);
                }
                self.update(id, severity, evidence, words)
            }
            (Assessment::Raise(severity, evidence), None) => {
                self.serial += 1;
                let id = InsightId::new(occasion.now.as_millis(), occasion.epoch, self.serial);
                let content = words(&evidence);
                let agent = occasion.agent.cloned();
                let since = occasion.now;
                kinds.push((kind, id));
                if let Some(damper) = &mut damper {
                    damper.opened(kind, since);
                }
                let insight = Insight { id, kind, severity, agent, since, until: None, evidence, content };
                self.open.insert(id, Box::new(insight));
                Some(InsightChange::Open(id))
            }
            (Assessment::Clear, Some(at)) => {
                if damper.is_some_and(|damper| !damper.resolves(kind, occasion.now)) {
                    return None;
                }
                let (_, id) = kinds.remove(at);
                self.resolve(id, occasion.now)
            }
            (Assessment::Clear, None) | (Assessment::Hold, _) => None,
        }
    }

    /// Severity only rises while an insight is open, so that one at a threshold does not flicker.
    fn update(
        &mut self,
        id: InsightId,
        severity: Severity,
        evidence: Evidence,
        words: impl FnOnce(&Evidence) -> String,
    ) -> Option<InsightChange> {
        let insight = self.open.get_mut(&id)?;
        let severity = severity.max(insight.severity);
        if insight.severity == severity && insight.evidence == evidence {
            return None;
        }
        // The words are those of the moment at which it was worst: what led there stands in the quotes.
        if insight.severity != severity {
            insight.content = words(&evidence);
        }
        insight.severity = severity;
        insight.evidence = evidence;
        Some(InsightChange::Open(id))
    }

    /// Resolves an insight whatever its analyzer says, since its agent is forgotten.
    pub(super) fn resolve(&mut self, id: InsightId, now: Timestamp) -> Option<InsightChange> {
        let mut insight = self.open.remove(&id)?;
        insight.until = Some(now);
        Some(InsightChange::Resolved(insight))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::EvidenceKey;

    #[test]
    fn opens_once_updates_and_resolves() {
        let mut book = InsightBook::default();
        let mut kinds = OpenKinds::new();
        let agent = AgentId::fitted("a");
        let mut assess = |millis: i64, assessment: Assessment| {
            let now = Timestamp::from_nanos(millis * 1_000_000);
            let occasion = Occasion { now, epoch: 1, agent: Some(&agent), resting: Parts::default() };
            book.carry_out(&occasion, &mut kinds, None, InsightKind::Stuck, assessment, |_| "words".into())
        };
        let evidence = |repeats| Evidence::new().count(EvidenceKey::Repeats, repeats);
        assert_eq!(assess(0, Assessment::Clear), None);
        assert_eq!(assess(0, Assessment::Hold), None);
        let opened = assess(1, Assessment::Raise(Severity::Warning, evidence(4)));
        assert!(matches!(opened, Some(InsightChange::Open(_))));
        assert_eq!(assess(2, Assessment::Raise(Severity::Warning, evidence(4))), None, "nothing new");
        assert_eq!(assess(3, Assessment::Raise(Severity::Critical, evidence(8))), opened);
        assert_eq!(assess(4, Assessment::Raise(Severity::Warning, evidence(8))), None, "severity does not fall");
        let Some(InsightChange::Resolved(insight)) = assess(5, Assessment::Clear) else { panic!("resolves") };
        assert_eq!((insight.severity, insight.until), (Severity::Critical, Some(Timestamp::from_nanos(5_000_000))));
        assert_eq!(assess(6, Assessment::Clear), None);
    }
}
