//! The layouts of the public view, and what one beat changes of it.

use std::collections::HashMap;
use std::hash::Hash;

use super::curve::{self, Curve};
use super::record::{Layout, Leaf, Place, Record, layout};
use super::state::Position;
use crate::domain::{AgentId, ClusterStatus, EvidenceKey, InsightId, InstanceName, Timestamp};

layout! {
    /// The daemon itself.
    SystemLayout / SystemField {
        /// Time between beats, milliseconds.
        Interval = "interval_ms" in "heart",
        /// Lateness of the last beat, milliseconds.
        Skew = "skew_ms" in "heart",
        /// Beats on time among beats due, 0 to 1.
        Continuity = "continuity" in "heart",
        /// Beats missed.
        Missed = "missed" in "heart",
        /// Median time that a beat's analysis took, milliseconds.
        P50 = "p50_ms" in "analysis",
        /// 95th percentile of the same.
        P95 = "p95_ms" in "analysis",
        /// Observations folded since the state was born.
        Observations = "observations" in "analysis",
        /// Observations a second, lately.
        PerSecond = "per_second" in "analysis",
        /// Where the state is kept.
        StoreMode = "mode" in "store",
        /// State of the store's breaker.
        StoreBreaker = "breaker" in "store",
        /// Beats not yet stored.
        StoreLag = "lag_beats" in "store",
        /// Whether a leader tells all this.
        ClusterStatus = "status" in "cluster",
        /// Who leads, or led last.
        ClusterLeader = "leader" in "cluster",
    }
}

layout! {
    /// One agent.
    AgentLayout / AgentField {
        /// What it is doing.
        Status = "status",
        /// Observations of it.
        Observations = "observations",
        /// What it should do next.
        Advice = "advice",
        /// Resolved claims in the window.
        CalibrationN = "n" in "calibration",
        /// Brier score.
        Brier = "brier" in "calibration",
        /// Expected calibration error.
        Ece = "ece" in "calibration",
        /// Mean confidence less mean correctness.
        Bias = "bias" in "calibration",
        /// Type-2 AUROC.
        Auroc2 = "auroc2" in "calibration",
        /// d′.
        D = "d" in "calibration",
        /// meta-d′.
        MetaD = "meta_d" in "calibration",
        /// meta-d′ / d′.
        MRatio = "m_ratio" in "calibration",
        /// Pattern of the loop it is in.
        LoopPattern = "pattern" in "loop",
        /// How often that was seen.
        LoopRepeats = "repeats" in "loop",
        /// Mean confidence over the adaptive window.
        DriftConfidence = "confidence" in "drift",
        /// Share of right verdicts over the adaptive window.
        DriftAccuracy = "accuracy" in "drift",
        /// Geometric mean latency over the adaptive window, milliseconds.
        DriftLatency = "latency_ms" in "drift",
        /// Share of failed results over the adaptive window.
        DriftErrors = "errors" in "drift",
        /// Changes of level detected so far, over all series.
        DriftDetections = "detections" in "drift",
        /// Results so far.
        Results = "results" in "load",
        /// Failed results so far.
        Failed = "failed" in "load",
        /// Failures in a row.
        InARow = "in_a_row" in "load",
        /// Median latency of results, milliseconds.
        LatencyP50 = "p50_ms" in "load",
        /// 95th percentile of the same.
        LatencyP95 = "p95_ms" in "load",
        /// 99th percentile of the same.
        LatencyP99 = "p99_ms" in "load",
        /// Tokens in and out within the last minute.
        TokensPerMinute = "tokens_per_minute" in "load",
        /// Tokens in so far.
        InputTokens = "input_tokens" in "load",
        /// Tokens out so far.
        OutputTokens = "output_tokens" in "load",
        /// Share of the context window in use.
        ContextFill = "context_fill" in "load",
        /// Cost so far.
        Cost = "cost" in "load",
        /// Cost an hour, lately.
        CostPerHour = "cost_per_hour" in "load",
        /// Units done.
        Done = "done" in "progress",
        /// Units in all.
        Total = "total" in "progress",
        /// Share done.
        Fraction = "fraction" in "progress",
        /// Units a minute.
        PerMinute = "per_minute" in "progress",
        /// Seconds to go at that rate.
        Eta = "eta_s" in "progress",
    }
}

/// One open insight: four leaves of its own, then one for each key of evidence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InsightLayout;

/// Positions of the leaves of an [`InsightLayout`] record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum InsightField {
    /// What it is about.
    Kind,
    /// How bad it is.
    Severity,
    /// Whom it concerns.
    Agent,
    /// When it opened.
    Since,
    /// A piece of evidence.
    Evidence(EvidenceKey),
}

const INSIGHT_OWN: [&str; 4] = ["kind", "severity", "agent", "since"];

const INSIGHT_PLACES: [Place; INSIGHT_OWN.len() + EvidenceKey::ALL.len()] = {
    let mut places = [Place { group: None, name: "" }; INSIGHT_OWN.len() + EvidenceKey::ALL.len()];
    let mut i = 0;
    while i < places.len() {
        places[i] = match i.checked_sub(INSIGHT_OWN.len()) {
            None => Place { group: None, name: INSIGHT_OWN[i] },
            Some(key) => Place { group: Some("evidence"), name: EvidenceKey::ALL[key].as_str() },
        };
        i += 1;
    }
    places
};

impl Layout for InsightLayout {
    const LEAVES: usize = INSIGHT_PLACES.len();

    fn places() -> &'static [Place] {
        &INSIGHT_PLACES
    }
}

impl From<InsightField> for usize {
    fn from(field: InsightField) -> usize {
        match field {
            InsightField::Kind => 0,
            InsightField::Severity => 1,
            InsightField::Agent => 2,
            InsightField::Since => 3,
            InsightField::Evidence(key) => INSIGHT_OWN.len() + key as usize,
        }
    }
}

/// What one beat changed of the public view: the only thing that outbound code takes in.
///
/// Only [`super::Sanitizer`] makes it, from the private state, field by field. Its fields are private and it holds
/// records alone, so nothing else can be sent:
///
/// ```
/// fn outbound(beat: consciousness_system::sanitize::PublicBeat) {
///     let public: consciousness_system::sanitize::PublicBeat = beat;
///     drop(public);
/// }
/// ```
/// ```compile_fail,E0308
/// fn outbound(state: consciousness_system::engine::MetaState) {
///     let public: consciousness_system::sanitize::PublicBeat = state;
///     drop(public);
/// }
/// ```
#[derive(Debug, Clone)]
pub struct PublicBeat {
    pub(super) position: Position,
    pub(super) at: Timestamp,
    pub(super) system: Record<SystemLayout>,
    pub(super) agents: Vec<(AgentId, Option<Record<AgentLayout>>)>,
    pub(super) insights: Vec<(InsightId, Option<Record<InsightLayout>>)>,
    /// Of agents whose claims changed; not in the streams.
    pub(super) curves: Vec<(AgentId, Curve)>,
}

/// A pod's place among the others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// Whether a leader tells what is shown.
    pub status: ClusterStatus,
    /// Who leads, or led last, as far as that is known.
    pub leader: Option<InstanceName>,
}

impl PublicBeat {
    /// Epoch and beat.
    pub fn position(&self) -> Position {
        self.position
    }

    /// When it was.
    pub fn at(&self) -> Timestamp {
        self.at
    }

    /// Says whose beat it is.
    pub fn stand(&mut self, standing: &Standing) {
        let Standing { status, leader } = standing;
        self.system.set(SystemField::ClusterStatus, Leaf::word(*status));
        let leader = leader.clone().map(|leader| Leaf::Instance(Box::new(leader)));
        self.system.set(SystemField::ClusterLeader, leader);
    }

    /// Takes in a later beat, so that applying the result has the same effect as applying both.
    pub fn absorb(&mut self, later: Self) {
        let Self { position, at, system, agents, insights, curves } = later;
        self.position = position;
        self.at = at;
        self.system = system;
        curve::absorb(&mut self.curves, curves, &agents);
        absorb(&mut self.agents, agents);
        absorb(&mut self.insights, insights);
    }
}

/// Appends changes, so that of each name at most two remain: the last, and that it was gone before, since what comes
/// back shares nothing with what went. What is there at both times is told once, as the later change completed by the
/// earlier.
fn absorb<K: Eq + Hash + Clone, L: Layout>(
    earlier: &mut Vec<(K, Option<Record<L>>)>,
    mut later: Vec<(K, Option<Record<L>>)>,
) {
    let mut went: HashMap<K, bool> = HashMap::with_capacity(later.len());
    for (name, record) in &later {
        *went.entry(name.clone()).or_default() |= record.is_none();
    }
    let mut stayed: HashMap<K, Record<L>> = HashMap::new();
    earlier.retain_mut(|(name, record)| match (went.get(name), record.take()) {
        (None, taken) => {
            *record = taken;
            true
        }
        (Some(gone_again), None) => !gone_again,
        (Some(gone), Some(taken)) => {
            if !gone {
                stayed.insert(name.clone(), taken);
            }
            false
        }
    });
    for (name, record) in &mut later {
        if let (Some(record), Some(earlier)) = (record, stayed.remove(name)) {
            record.complete(earlier);
        }
    }
    earlier.extend(later);
}
