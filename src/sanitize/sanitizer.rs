//! From the private state to the public view, field by field.
//!
//! Every private type is taken apart with no `..`, so that a new field does not compile until somebody has decided
//! whether it may be seen. What is not to be seen is named here with a leading `_`.

use std::time::Duration;

use serde::Serialize;

use super::curve::Curve;
use super::record::{Leaf, Record, bits};
use super::state::Position;
use super::view::{AgentField, AgentLayout, InsightField, InsightLayout, PublicBeat, SystemField, SystemLayout};
use crate::analyze::{calibration, drift, errors, load, progress, vitals};
use crate::domain::{EvidenceValue, Insight, InsightId, Timestamp};
use crate::engine::{AgentState, Beat, Changed, Config, Engine, InsightChange, MetaState, Touched};

/// Makes the public view of each beat.
#[derive(Debug, Default)]
pub struct Sanitizer {
    shown: Option<(Timestamp, Record<SystemLayout>)>,
}

impl Sanitizer {
    /// The daemon's own figures change with each beat. They are shown anew when something else is shown anyway, when
    /// a word of theirs changed, and otherwise once in this time.
    const REFRESH: Duration = Duration::from_secs(1);

    /// What this beat changed.
    pub fn beat(&mut self, engine: &Engine, beat: &Beat) -> PublicBeat {
        let Beat {
            agents,
            noted: _noted,
            forgotten,
            evicted: _evicted,
            insights,
            opened: _opened,
            notes: _notes,
            folded: _folded,
        } = beat;
        let config = engine.config();
        let MetaState {
            epoch,
            beat: number,
            at,
            observations,
            duplicates: _duplicates,
            evicted: _,
            insights: _book,
            own: _own,
            unfitted: _unfitted,
            vitals,
            reflection: _reflection,
            reading: _reading,
        } = engine.meta();

        let mut changed: Vec<_> = forgotten.iter().map(|agent| (agent.clone(), None)).collect();
        changed.reserve(agents.len());
        let mut curves = Vec::new();
        for (i, change) in agents.iter().enumerate() {
            engine.ahead_of_showing(agents, i);
            let Some(state) = engine.changed(change) else { continue };
            let Changed { agent, touched, .. } = change;
            changed.push((agent.clone(), Some(agent_record(state, *touched, *at, config))));
            if touched.has(Touched::CLAIMS) {
                curves.extend(curve(state).map(|curve| (agent.clone(), curve)));
            }
        }
        let insights: Vec<_> = insights.iter().map(|change| insight_change(engine, change)).collect();

        let quiet = changed.is_empty() && insights.is_empty();
        let system = match &self.shown {
            Some((shown_at, record)) if quiet && at.since(*shown_at) < Self::REFRESH && same_words(record, vitals) => {
                record.clone()
            }
            _ => {
                let record = system_record(vitals, *observations);
                self.shown = Some((*at, record.clone()));
                record
            }
        };
        let position = Position { epoch: *epoch, beat: *number };
        PublicBeat { position, at: *at, system, agents: changed, insights, curves }
    }

    /// One insight as it is shown.
    pub fn insight(insight: &Insight) -> impl Serialize {
        insight_record(insight)
    }

    /// The whole state as one beat, for whoever has nothing yet.
    pub fn whole(engine: &Engine) -> PublicBeat {
        let meta = engine.meta();
        let agents = engine
            .iter()
            .map(|(agent, state)| (agent.clone(), Some(agent_record(state, Touched::ALL, meta.at, engine.config()))));
        let insights = engine.insights().map(|insight| (insight.id, Some(insight_record(insight))));
        PublicBeat {
            position: Position { epoch: meta.epoch, beat: meta.beat },
            at: meta.at,
            system: system_record(&meta.vitals, meta.observations),
            agents: agents.collect(),
            insights: insights.collect(),
            curves: engine.iter().filter_map(|(agent, state)| Some((agent.clone(), curve(state)?))).collect(),
        }
    }
}

fn same_words(record: &Record<SystemLayout>, vitals: &vitals::Vitals) -> bool {
    let shown = |field| match record.get(field) {
        Some(Leaf::Word(word)) => Some(word.as_str()),
        _ => None,
    };
    let now = vitals.store();
    shown(SystemField::StoreMode) == now.map(|(mode, ..)| mode.as_str())
        && shown(SystemField::StoreBreaker) == now.map(|(_, breaker, _)| breaker.as_str())
}

fn system_record(vitals: &vitals::Vitals, observations: u64) -> Record<SystemLayout> {
    let vitals::Figures { interval_ms, skew_ms, continuity, missed, p50_ms, p95_ms, per_second, store } =
        vitals.figures();
    let mut record = Record::new();
    record.set(SystemField::Interval, Leaf::number(interval_ms));
    record.set(SystemField::Skew, Leaf::number(skew_ms.map(thousandths)));
    record.set(SystemField::Continuity, Leaf::number(continuity));
    record.set(SystemField::Missed, Leaf::Count(missed));
    record.set(SystemField::P50, Leaf::number(p50_ms.map(thousandths)));
    record.set(SystemField::P95, Leaf::number(p95_ms.map(thousandths)));
    record.set(SystemField::Observations, Leaf::Count(observations));
    record.set(SystemField::PerSecond, Leaf::number(per_second));
    if let Some((mode, breaker, lag_beats)) = store {
        record.set(SystemField::StoreMode, Leaf::word(mode));
        record.set(SystemField::StoreBreaker, Leaf::word(breaker));
        record.set(SystemField::StoreLag, Leaf::Count(lag_beats));
    }
    record
}

fn thousandths(value: f64) -> f64 {
    (value * 1e3).round() / 1e3
}

fn insight_change(engine: &Engine, change: &InsightChange) -> (InsightId, Option<Record<InsightLayout>>) {
    match change {
        InsightChange::Open(id) => (*id, engine.insight(*id).map(insight_record)),
        InsightChange::Resolved(insight) => (insight.id, None),
    }
}

fn insight_record(insight: &Insight) -> Record<InsightLayout> {
    let Insight { id: _id, kind, severity, agent, since, until: _until, evidence, content: _content } = insight;
    let mut record = Record::new();
    record.set(InsightField::Kind, Leaf::word(*kind));
    record.set(InsightField::Severity, Leaf::word(*severity));
    record.set(InsightField::Agent, agent.clone().map(|agent| Leaf::Agent(Box::new(agent))));
    record.set(InsightField::Since, Leaf::Time(*since));
    for (key, value) in evidence.iter() {
        let leaf = match value {
            EvidenceValue::Count(count) => Some(Leaf::Count(*count)),
            EvidenceValue::Number(number) => Leaf::number(*number),
            EvidenceValue::Word(word) => Some(Leaf::word(*word)),
            EvidenceValue::Kind(kind) => Some(Leaf::word(*kind)),
            EvidenceValue::Tool(tool) => Some(Leaf::Tool(Box::new(tool.clone()))),
        };
        record.set(InsightField::Evidence(key), leaf);
    }
    record
}

fn curve(state: &AgentState) -> Option<Curve> {
    state.calibration.curve().map(|tallies| Curve::of(&tallies))
}

/// What is shown of an agent, as far as it was touched: the rest is as it was.
fn agent_record(state: &AgentState, touched: Touched, now: Timestamp, config: &Config) -> Record<AgentLayout> {
    let AgentState {
        first_seen: _first_seen,
        last_seen: _last_seen,
        touched: _touched,
        observations,
        duplicates: _duplicates,
        sessions: _sessions,
        looping: _looping,
        calibration,
        errors,
        drift,
        load,
        progress,
        silence: _silence,
        quotes: _quotes,
        open: _open,
        damper: _damper,
        status,
        advice,
        ids: _ids,
        due: _due,
    } = state;
    let mut record = if touched == Touched::ALL { Record::new() } else { Record::about_some(concerned(touched)) };
    record.set(AgentField::Status, Leaf::word(*status));
    record.set(AgentField::Observations, Leaf::Count(*observations));
    record.set(AgentField::Advice, Leaf::word(*advice));
    if touched.has(Touched::CLAIMS) {
        set_calibration(&mut record, &calibration.levels(&config.calibration));
    }
    if touched.has(Touched::STEPS) {
        let loop_now = state.loop_now();
        record.set(AgentField::LoopPattern, loop_now.map(|detection| Leaf::word(detection.pattern.word())));
        record.set(AgentField::LoopRepeats, Leaf::Count(loop_now.map_or(0, |detection| u64::from(detection.repeats))));
    }
    if touched.has(Touched::SERIES) {
        set_drift(&mut record, &drift.figures());
    }
    if touched.has(Touched::LOAD) {
        set_load(&mut record, &load.figures(now));
        set_errors(&mut record, &errors.figures());
    }
    if touched.has(Touched::PROGRESS) {
        progress.figures().iter().for_each(|figures| set_progress(&mut record, figures));
    }
    record
}

/// The leaves that a record is about where this was touched, as bits of their positions.
fn concerned(touched: Touched) -> u64 {
    let groups = [
        (Touched::CLAIMS, bits(AgentField::CalibrationN..=AgentField::MRatio)),
        (Touched::STEPS, bits(AgentField::LoopPattern..=AgentField::LoopRepeats)),
        (Touched::SERIES, bits(AgentField::DriftConfidence..=AgentField::DriftDetections)),
        (Touched::LOAD, bits(AgentField::Results..=AgentField::CostPerHour)),
        (Touched::PROGRESS, bits(AgentField::Done..=AgentField::Eta)),
    ];
    let touched = groups.into_iter().filter(|(group, _)| touched.has(*group));
    touched.fold(bits(AgentField::Status..=AgentField::Advice), |all, (_, bits)| all | bits)
}

fn set_errors(record: &mut Record<AgentLayout>, figures: &errors::Figures) {
    let errors::Figures { results, failed, in_a_row } = figures;
    if *results > 0 {
        record.set(AgentField::Results, Leaf::Count(*results));
        record.set(AgentField::Failed, Leaf::Count(*failed));
        record.set(AgentField::InARow, Leaf::Count(u64::from(*in_a_row)));
    }
}

fn set_calibration(record: &mut Record<AgentLayout>, levels: &calibration::Levels) {
    let calibration::Levels { n, brier, ece, bias, auroc2, sensitivity } = levels;
    if *n == 0 {
        return;
    }
    record.set(AgentField::CalibrationN, Leaf::Count(*n as u64));
    let sensitivity = sensitivity.as_ref();
    let numbers = [
        (AgentField::Brier, *brier),
        (AgentField::Ece, *ece),
        (AgentField::Bias, *bias),
        (AgentField::Auroc2, *auroc2),
        (AgentField::D, sensitivity.map(|fit| fit.d)),
        (AgentField::MetaD, sensitivity.and_then(|fit| fit.meta_d)),
        (AgentField::MRatio, sensitivity.and_then(|fit| fit.m_ratio())),
    ];
    for (field, number) in numbers {
        record.set(field, Leaf::number(number));
    }
}

fn set_drift(record: &mut Record<AgentLayout>, figures: &drift::Figures) {
    let drift::Figures { confidence, accuracy, latency, errors } = figures;
    let levels = [
        (AgentField::DriftConfidence, confidence),
        (AgentField::DriftAccuracy, accuracy),
        (AgentField::DriftLatency, latency),
        (AgentField::DriftErrors, errors),
    ];
    for (field, level) in levels {
        record.set(field, Leaf::number(level.map(|level| level.mean)));
    }
    let known = levels.iter().filter_map(|(_, level)| level.as_ref());
    if known.clone().next().is_some() {
        record.set(AgentField::DriftDetections, Leaf::Count(known.map(|level| level.changes).sum()));
    }
}

fn set_load(record: &mut Record<AgentLayout>, figures: &load::Figures) {
    let load::Figures {
        lately,
        usual_p95_ms: _usual_p95_ms,
        tokens_per_minute,
        input_tokens,
        output_tokens,
        context_fill,
        cost,
        cost_per_hour,
    } = figures;
    if let Some(latency) = lately {
        record.set(AgentField::LatencyP50, Leaf::number(latency.p50_ms));
        record.set(AgentField::LatencyP95, Leaf::number(latency.p95_ms));
        record.set(AgentField::LatencyP99, Leaf::number(latency.p99_ms));
    }
    record.set(AgentField::TokensPerMinute, Leaf::number(*tokens_per_minute));
    record.set(AgentField::InputTokens, input_tokens.map(Leaf::Count));
    record.set(AgentField::OutputTokens, output_tokens.map(Leaf::Count));
    record.set(AgentField::ContextFill, Leaf::number(*context_fill));
    record.set(AgentField::Cost, Leaf::number(*cost));
    record.set(AgentField::CostPerHour, Leaf::number(*cost_per_hour));
}

fn set_progress(record: &mut Record<AgentLayout>, figures: &progress::Figures) {
    let progress::Figures { done, total, fraction, rate, eta_s } = figures;
    record.set(AgentField::Done, Leaf::number(*done));
    record.set(AgentField::Total, Leaf::number(*total));
    record.set(AgentField::Fraction, Leaf::number(*fraction));
    record.set(AgentField::PerMinute, Leaf::number(rate.map(|rate| rate * 60.0)));
    record.set(AgentField::Eta, Leaf::number(*eta_s));
}
