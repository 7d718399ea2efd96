//! What the daemon makes of one agent, on demand: private, for whoever may read the state itself.
//!
//! Told in the terms of MIDCA's metacognitive cycle (Cox et al. 2016, AAAI): *monitor* what the agent does, *interpret*
//! it (*note* what is not as expected, *explain* it), and *intend* what to do about it.

use std::fmt;

use serde::Serialize;

use super::reflection::{Quote, meaning, shown};
use super::{AgentState, Config, advice};
use crate::domain::{Advice, AgentId, EvidenceKey, EvidenceValue, Insight, InsightKind, Severity, Status, Timestamp};

/// What is made of one agent.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Introspection {
    /// Whom it is about.
    pub agent: AgentId,
    /// As of when.
    pub at: Timestamp,
    /// Monitor: what the agent is doing, in one word.
    pub status: Status,
    /// Monitor: observations so far.
    pub observations: u64,
    /// Monitor: when it was last seen.
    pub last_seen: Timestamp,
    /// Monitor: its figures, those that are known.
    pub figures: Vec<Figure>,
    /// Interpret: what is not as expected, the worst first.
    pub anomalies: Vec<Anomaly>,
    /// Intend: what it should do, all anomalies considered.
    pub intention: Advice,
    /// What it thought, said, did and got last, as far as it is kept.
    pub quotes: Vec<Quote>,
}

/// One figure.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Figure {
    /// What it is, as the public view names it.
    pub name: &'static str,
    /// Its value.
    pub value: f64,
}

/// Something that is not as expected: an open insight.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Anomaly {
    /// What it is about.
    pub kind: InsightKind,
    /// How bad it is.
    pub severity: Severity,
    /// Since when.
    pub since: Timestamp,
    /// What was expected.
    pub expected: &'static str,
    /// What happened instead: the evidence.
    pub happened: String,
    /// Its likely explanation.
    pub explanation: &'static str,
    /// The anomaly that it follows from, where one is known.
    pub because: Option<InsightKind>,
    /// What to do about it.
    pub intention: Advice,
    /// What was seen when it was noted, with quotes.
    pub noted: String,
}

impl Introspection {
    /// What is made of an agent at `now`, with all open insights.
    pub fn new<'a>(
        agent: &AgentId,
        state: &AgentState,
        insights: impl Iterator<Item = &'a Insight>,
        now: Timestamp,
        config: &Config,
    ) -> Self {
        let its = insights.filter(|insight| insight.agent.as_ref() == Some(agent));
        let mut anomalies: Vec<Anomaly> = its.map(Anomaly::of).collect();
        anomalies.sort_by_key(|anomaly| (std::cmp::Reverse(anomaly.severity), anomaly.since));
        Self {
            agent: agent.clone(),
            at: now,
            status: state.status,
            observations: state.observations,
            last_seen: state.last_seen,
            figures: figures(state, now, config),
            anomalies,
            intention: state.advice,
            quotes: state.quotes.iter().cloned().collect(),
        }
    }
}

impl Anomaly {
    fn of(insight: &Insight) -> Self {
        let (expected, explanation) = meaning(insight.kind);
        let because = match insight.evidence.get(EvidenceKey::Because) {
            Some(EvidenceValue::Kind(kind)) => Some(*kind),
            _ => None,
        };
        Self {
            kind: insight.kind,
            severity: insight.severity,
            since: insight.since,
            expected,
            happened: shown(&insight.evidence),
            explanation,
            because,
            intention: advice::advice(insight),
            noted: insight.content.clone(),
        }
    }
}

fn figures(state: &AgentState, now: Timestamp, config: &Config) -> Vec<Figure> {
    let claims = state.calibration.levels(&config.calibration);
    let load = state.load.figures(now);
    let results = state.errors.figures();
    let progress = state.progress.figures();
    let cadence = state.silence.figures(&config.silence);
    let known = [
        ("claims", (claims.n > 0).then_some(claims.n as f64)),
        ("brier", claims.brier),
        ("bias", claims.bias),
        ("auroc2", claims.auroc2),
        ("m_ratio", claims.sensitivity.and_then(|fit| fit.m_ratio())),
        ("results", (results.results > 0).then_some(results.results as f64)),
        ("failed", (results.results > 0).then_some(results.failed as f64)),
        ("p50_ms", load.lately.map(|latency| latency.p50_ms)),
        ("p95_ms", load.lately.map(|latency| latency.p95_ms)),
        ("context_fill", load.context_fill),
        ("cost", load.cost),
        ("done", progress.map(|progress| progress.done)),
        ("total", progress.and_then(|progress| progress.total)),
        ("eta_s", progress.and_then(|progress| progress.eta_s)),
        ("cadence_s", cadence.cadence_s),
        ("open_calls", (cadence.open_calls > 0).then_some(cadence.open_calls as f64)),
    ];
    known.into_iter().filter_map(|(name, value)| Some(Figure { name, value: value? })).collect()
}

/// For people; bounded, as all that it is made of is.
impl fmt::Display for Introspection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} at {}", self.agent, self.at)?;
        writeln!(f, "\nmonitor")?;
        writeln!(f, "  {}; {} observations, the last at {}", self.status, self.observations, self.last_seen)?;
        for Figure { name, value } in &self.figures {
            writeln!(f, "  {name} {}", (value * 1e3).round() / 1e3)?;
        }
        writeln!(f, "\ninterpret")?;
        if self.anomalies.is_empty() {
            writeln!(f, "  all is as expected")?;
        }
        for anomaly in &self.anomalies {
            let Anomaly { kind, severity, since, expected, happened, explanation, because, intention, noted } = anomaly;
            writeln!(f, "  note: {kind}, {severity}, since {since}")?;
            writeln!(f, "    expected {expected}; but{happened}")?;
            match because {
                Some(cause) => writeln!(f, "  explain: because it is {cause}; else {explanation}")?,
                None => writeln!(f, "  explain: {explanation}")?,
            }
            writeln!(f, "    when it was noted: {noted}")?;
            writeln!(f, "  intend: {intention}")?;
        }
        writeln!(f, "\nintend\n  {}", self.intention)?;
        if !self.quotes.is_empty() {
            writeln!(f, "\nlast seen")?;
        }
        for Quote { at, kind, text } in &self.quotes {
            writeln!(f, "  {at} {} “{}”", kind.as_str(), text.excerpt())?;
        }
        Ok(())
    }
}
