//! The agents as rows: filtered and sorted.

use std::cmp::{Ordering, Reverse};
use std::collections::HashMap;

use serde_json::Value;

use super::picture::Picture;

/// By what the agents are sorted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Sort {
    /// The worst first: by open insights, then by status.
    #[default]
    Urgency,
    /// By name.
    Name,
    /// The busiest first.
    Activity,
    /// Most observations first.
    Observations,
    /// The least calibrated first, whichever way.
    Bias,
    /// Those whose confidence tells the least first.
    Auroc2,
    /// The slowest first.
    Latency,
}

impl Sort {
    /// All of them, in the order in which a key goes through them.
    pub const ALL: [Self; 7] =
        [Self::Urgency, Self::Name, Self::Activity, Self::Observations, Self::Bias, Self::Auroc2, Self::Latency];

    /// The next one, or the one before.
    pub fn step(self, back: bool) -> Self {
        let here = Self::ALL.iter().position(|sort| *sort == self).unwrap_or(0);
        let by = if back { Self::ALL.len() - 1 } else { 1 };
        Self::ALL[(here + by) % Self::ALL.len()]
    }

    /// What it is called.
    pub fn name(self) -> &'static str {
        match self {
            Self::Urgency => "urgency",
            Self::Name => "name",
            Self::Activity => "activity",
            Self::Observations => "observations",
            Self::Bias => "bias",
            Self::Auroc2 => "auroc2",
            Self::Latency => "p95",
        }
    }
}

/// One agent.
#[derive(Debug, Clone, Copy)]
pub struct Row<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its public state.
    pub agent: &'a Value,
    /// How bad its worst open insight is: 0 (none) to 3 (critical).
    pub severity: u8,
}

impl<'a> Row<'a> {
    /// A word of the agent.
    pub fn word(&self, path: &str) -> Option<&'a str> {
        self.agent.pointer(path)?.as_str()
    }

    /// A figure of the agent.
    pub fn figure(&self, path: &str) -> Option<f64> {
        self.agent.pointer(path)?.as_f64()
    }

    fn status(&self) -> u8 {
        match self.word("/status") {
            Some("stuck") => 5,
            Some("blocked") => 4,
            Some("silent") => 3,
            Some("degraded") => 2,
            Some("progressing") => 1,
            _ => 0,
        }
    }
}

/// How bad a severity is: 1 to 3.
pub fn weight(severity: &str) -> u8 {
    match severity {
        "critical" => 3,
        "warning" => 2,
        _ => 1,
    }
}

/// Whether an agent passes a filter: its name, status or advice holds the text, or its name matches it as a pattern.
pub fn passes(filter: &str, name: &str, agent: Option<&Value>) -> bool {
    if filter.is_empty() {
        return true;
    }
    if filter.contains(['*', '?']) {
        return wildmatch::WildMatch::new_case_insensitive(filter).matches(name);
    }
    let filter = filter.to_lowercase();
    let word = |key: &str| agent.and_then(|agent| agent.get(key)?.as_str());
    let texts = [Some(name), word("status"), word("advice")];
    texts.into_iter().flatten().any(|text| text.to_lowercase().contains(&filter))
}

/// The agents that pass the filter, in order.
pub fn rows<'a>(picture: &'a Picture, filter: &str, sort: Sort, reversed: bool) -> Vec<Row<'a>> {
    let mut severities: HashMap<&str, u8> = HashMap::new();
    for (_, insight) in picture.insights() {
        if let (Some(agent), Some(severity)) = (insight["agent"].as_str(), insight["severity"].as_str()) {
            let worst = severities.entry(agent).or_default();
            *worst = weight(severity).max(*worst);
        }
    }
    let all = picture.agents().map(|(name, agent)| {
        let severity = severities.get(name).copied().unwrap_or_default();
        Row { name, agent, severity }
    });
    let mut rows: Vec<_> = all.filter(|row| passes(filter, row.name, Some(row.agent))).collect();
    // They come by name, and sorting is stable.
    match sort {
        Sort::Name => {}
        Sort::Urgency => rows.sort_by_key(|row| Reverse((row.severity, row.status()))),
        Sort::Activity => rows.sort_by_cached_key(|row| Reverse(picture.activity(row.name, 12).iter().sum::<u32>())),
        Sort::Observations => rows.sort_by_key(|row| Reverse(row.agent["observations"].as_u64())),
        Sort::Bias => rows.sort_by(|a, b| descending(a, b, |row| Some(row.figure("/calibration/bias")?.abs()))),
        Sort::Auroc2 => rows.sort_by(|a, b| descending(a, b, |row| Some(-row.figure("/calibration/auroc2")?))),
        Sort::Latency => rows.sort_by(|a, b| descending(a, b, |row| row.figure("/load/p95_ms"))),
    }
    if reversed {
        rows.reverse();
    }
    rows
}

/// Larger figures first; what has none comes last.
fn descending(a: &Row<'_>, b: &Row<'_>, figure: impl Fn(&Row<'_>) -> Option<f64>) -> Ordering {
    match (figure(a), figure(b)) {
        (Some(a), Some(b)) => b.total_cmp(&a),
        (a, b) => b.is_some().cmp(&a.is_some()),
    }
}
