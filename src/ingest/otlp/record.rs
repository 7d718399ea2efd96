//! What spans and log records have in common: whose they are, when they were, and what an evaluation says.

use std::borrow::Cow;

use super::wire::{Attributes, Value};
use crate::domain::{AgentId, ClaimKey, Kind, Observation, ObservationKey, SessionKey, Source, Timestamp};
use crate::ingest::{Limits, Refusal, RejectReason};

/// Most observations that one record gives.
pub(super) const MOST_OBSERVATIONS: usize = 64;

pub(super) const RESPONSE_ID: &str = "gen_ai.response.id";
pub(super) const CLAIM_ID: &str = "metacog.claim.id";
pub(super) const EVALUATION: &str = "gen_ai.evaluation.result";

/// When the request arrived, and what it may hold.
#[derive(Clone, Copy)]
pub(super) struct Arrival<'l> {
    pub(super) now: Timestamp,
    pub(super) limits: &'l Limits,
}

impl Arrival<'_> {
    /// A time in nanoseconds; `None` when it is missing (zero).
    pub(super) fn time(&self, field: &str, nanos: u64) -> Result<Option<Timestamp>, Refusal> {
        let at = Timestamp::from_nanos(i64::try_from(nanos).unwrap_or(i64::MAX));
        self.limits.check_at(field, at, self.now)?;
        Ok(Some(at).filter(|_| nanos > 0))
    }
}

/// Puts observations of one record together.
pub(super) struct Recorder<'o> {
    agent: AgentId,
    session: SessionKey,
    source: Source,
    out: &'o mut Vec<Observation>,
    first: usize,
}

impl<'o> Recorder<'o> {
    /// For the record with these attributes of this resource.
    pub(super) fn new(
        attributes: &Attributes<'_>,
        resource: &Attributes<'_>,
        source: Source,
        out: &'o mut Vec<Observation>,
    ) -> Result<Self, Refusal> {
        const AGENT: [&str; 2] = ["gen_ai.agent.id", "gen_ai.agent.name"];
        const SESSION: [&str; 2] = ["gen_ai.conversation.id", "session.id"];
        let agent = attributes
            .text(&AGENT)
            .or_else(|| resource.text(&AGENT))
            .or_else(|| resource.text(&["service.name"]))
            .ok_or_else(|| {
                Refusal::new(
                    RejectReason::Missing,
                    "`gen_ai.agent.id`, `gen_ai.agent.name` and `service.name` are all missing",
                )
            })?;
        let session = attributes.text(&SESSION).or_else(|| resource.text(&SESSION));
        Ok(Self {
            agent: AgentId::fitted(&agent),
            session: session.map_or_else(SessionKey::default, |text| SessionKey::of(&text)),
            source,
            first: out.len(),
            out,
        })
    }

    /// Adds an observation, as long as the record has not given too many.
    pub(super) fn add(&mut self, id: Option<String>, at: Timestamp, kind: Kind) {
        if self.out.len() - self.first < MOST_OBSERVATIONS {
            self.out.push(Observation {
                agent: self.agent.clone(),
                session: self.session,
                id: id.map(|id| ObservationKey::of(&id)),
                at,
                source: self.source,
                kind,
            });
        }
    }

    /// Whether the record gave nothing yet.
    pub(super) fn is_empty(&self) -> bool {
        self.out.len() == self.first
    }
}

/// What an evaluation says of a claim: by its label, else by its score from one half on. `None` when it says neither, or
/// when the evaluation itself failed.
pub(super) fn verdict(evaluation: &Attributes<'_>, claim: Cow<'_, str>) -> Option<Kind> {
    const LABEL: &str = "gen_ai.evaluation.score.label";
    const SCORE: &str = "gen_ai.evaluation.score.value";
    if evaluation.get(&["error.type"]).is_some() || claim.is_empty() {
        return None;
    }
    let labelled = evaluation.text(&[LABEL]).and_then(|label| match label.trim().to_ascii_lowercase().as_str() {
        "pass" | "passed" | "correct" | "true" | "success" | "succeeded" | "yes" => Some(true),
        "fail" | "failed" | "incorrect" | "wrong" | "false" | "failure" | "no" => Some(false),
        _ => None,
    });
    let scored = || {
        let score = evaluation.get(&[SCORE]).and_then(Value::number).filter(|score| !score.is_nan())?;
        Some(score >= 0.5)
    };
    let correct = labelled.or_else(scored)?;
    let claim = evaluation.text(&[CLAIM_ID, RESPONSE_ID]).unwrap_or(claim);
    Some(Kind::Verdict { claim: ClaimKey::of(&claim), correct })
}
