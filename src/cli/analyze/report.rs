//! What `analyze` found, as one document.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::sync::Arc;

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::curves::Curves;
use super::density::Density;
use super::extended;
use super::names::Names;
use super::simulation::Found;
use crate::analyze::drift::Series;
use crate::analyze::stuck::Detection;
use crate::domain::{AgentId, Insight, InsightKind, Severity, Timestamp};
use crate::engine::{AgentState, Engine};
use crate::sanitize::{Everything, PublicState, Sanitizer};

/// The report: figures of the public view, and what only whole recordings tell.
#[derive(Debug, Serialize)]
pub struct Report {
    /// Observations counted.
    pub observations: u64,
    /// Observations that were counted already.
    pub duplicates: u64,
    /// What could not be read.
    pub rejected: Vec<Rejected>,
    /// Agents by name.
    pub agents: BTreeMap<AgentId, Map<String, Value>>,
    /// All insights, by the time they opened.
    pub insights: Vec<Value>,
    /// What is drawn, and not part of the document.
    #[serde(skip)]
    pub drawn: Drawn,
}

/// What charts show.
#[derive(Debug, Default)]
pub struct Drawn {
    /// The first and the last time of an observation.
    pub span: Option<(Timestamp, Timestamp)>,
    /// When agents were active.
    pub activity: BTreeMap<AgentId, Density>,
    /// How agents are calibrated, where there are claims enough.
    pub curves: BTreeMap<AgentId, Curves>,
    /// All insights, by the time they opened.
    pub insights: Vec<Told>,
}

/// An insight as it is told to people.
#[derive(Debug)]
pub struct Told {
    /// What it is about.
    pub kind: InsightKind,
    /// How bad it was.
    pub severity: Severity,
    /// Whom it concerns; `None`: nobody in particular.
    pub agent: Option<AgentId>,
    /// When it opened.
    pub since: Timestamp,
    /// When it resolved; `None`: not within the recording.
    pub until: Option<Timestamp>,
    /// What it rests on, in its public form.
    pub evidence: Map<String, Value>,
}

/// A line, or a record of a line's request, that could not be read.
#[derive(Debug, Serialize)]
pub struct Rejected {
    /// The file, where there are several.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// The line, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub error: String,
}

impl Report {
    /// Puts the report together.
    pub fn new(engine: &Engine, found: Found, names: &Names, rejected: Vec<Rejected>) -> Self {
        let public = PublicState::new(Sanitizer::whole(engine), usize::MAX);
        // The public view is numbers and words under text keys: it always has a JSON form.
        let mut document = serde_json::to_value(public.document(&Everything)).unwrap_or_default();
        let mut shown = match document.get_mut("agents").map(Value::take) {
            Some(Value::Object(agents)) => agents,
            _ => Map::new(),
        };
        let agents = engine.iter().map(|(agent, state)| {
            let mut figures = match shown.remove(agent.as_str()) {
                Some(Value::Object(figures)) => figures,
                _ => Map::new(),
            };
            extended::extend(&mut figures, state, engine.meta().at, engine.config());
            let stuck = found.stuck.get(agent).into_iter().flatten();
            figures.insert("stuck".into(), stuck.map(|(session, it)| episode(names.get(*session), it)).collect());
            figures.insert("drift".into(), drift(&found, agent));
            (agent.clone(), figures)
        });
        let agents = agents.collect();
        let minimum = engine.config().calibration.minimum;
        let of_agent = |(agent, state): (&AgentId, &Arc<AgentState>)| {
            let curves = Curves::of(&state.calibration)?;
            let claims: usize = curves.reliability.iter().map(|bin| bin.claims as usize).sum();
            (claims >= minimum).then(|| (agent.clone(), curves))
        };
        let insights: Vec<Value> = found.insights.values().map(insight).collect();
        let drawn = Drawn {
            curves: engine.iter().filter_map(of_agent).collect(),
            insights: found.insights.values().zip(&insights).map(told).collect(),
            span: found.span,
            activity: found.activity,
        };
        Self {
            observations: engine.meta().observations,
            duplicates: engine.meta().duplicates,
            agents,
            rejected,
            insights,
            drawn,
        }
    }

    /// Whether an insight of this kind was opened.
    pub fn opened(&self, kind: InsightKind) -> bool {
        self.drawn.insights.iter().any(|insight| insight.kind == kind)
    }

    /// Writes the report as one JSON document.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write_json(&self, out: &mut impl Write) -> io::Result<()> {
        serde_json::to_writer(&mut *out, self)?;
        writeln!(out)
    }
}

fn insight(insight: &Insight) -> Value {
    let mut shown = serde_json::to_value(Sanitizer::insight(insight)).unwrap_or_default();
    if let (Some(object), Some(until)) = (shown.as_object_mut(), insight.until) {
        object.insert("until".into(), until.to_string().into());
    }
    shown
}

fn told((insight, shown): (&Insight, &Value)) -> Told {
    let Insight { id: _, kind, severity, agent, since, until, evidence: _, content: _ } = insight;
    let evidence = shown.get("evidence").and_then(Value::as_object).cloned().unwrap_or_default();
    Told { kind: *kind, severity: *severity, agent: agent.clone(), since: *since, until: *until, evidence }
}

fn episode(session: Option<&str>, detection: &Detection) -> Value {
    let Detection { pattern, observation, repeats, period, tool } = detection;
    let mut episode = json!({"pattern": pattern.as_str(), "observation": observation, "repeats": repeats});
    if let Some(object) = episode.as_object_mut() {
        object.extend(session.map(|session| ("session".to_owned(), session.into())));
        object.extend(period.map(|period| ("period".to_owned(), period.into())));
        object.extend(tool.as_ref().map(|tool| ("tool".to_owned(), tool.as_str().into())));
    }
    episode
}

fn drift(found: &Found, agent: &AgentId) -> Value {
    json!({
        "confidence": found.changes(agent, Series::Confidence),
        "accuracy": found.changes(agent, Series::Accuracy),
        "latency": found.changes(agent, Series::Latency),
        "errors": found.changes(agent, Series::Errors),
    })
}
