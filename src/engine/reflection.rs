//! The private narrative: what was expected, what happened, what is odd about it, why, and what to do.
//!
//! The steps are those of MIDCA's metacognitive cycle (Cox et al. 2016, AAAI): monitor, interpret (notice a
//! discrepancy, explain it), intend. It quotes what agents thought and did, so it never leaves the process: nothing
//! of it has a place in the public view.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use super::{InsightChange, advice};
use crate::domain::{Evidence, Insight, InsightKind, KindName, Observation, Text, Timestamp};

/// How often the daemon reflects, and how much of it is kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Time between reflections.
    #[serde(with = "jiff::fmt::serde::unsigned_duration::friendly::compact::required")]
    pub interval: Duration,
    /// Reflections kept, the newest ones.
    pub keep: usize,
    /// Quotes kept of each agent, the newest ones.
    pub quotes: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self { interval: Duration::from_secs(60), keep: 16, quotes: 4 }
    }
}

/// Something an agent thought, said, did or got.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Quote {
    /// When.
    pub at: Timestamp,
    /// What kind of observation said it, by its name on the wire.
    pub kind: KindName,
    /// Its beginning.
    pub text: Text,
}

/// Observations of one agent that are to be quoted. Of many at once most would be quotes for a moment only, and each
/// costs a look at its text, which is far away.
#[derive(Debug, Default)]
pub(super) struct Quotable<'a> {
    /// The newest ones, in a ring.
    newest: SmallVec<[&'a Observation; 4]>,
    oldest: usize,
}

impl<'a> Quotable<'a> {
    /// Takes in the next observation that was counted, where it has a text.
    pub(super) fn add(&mut self, observation: &'a Observation, config: &Config) {
        if observation.kind.text().is_none() {
            return;
        }
        let most = config.quotes.max(1);
        if self.newest.len() < most {
            self.newest.push(observation);
        } else if let Some(oldest) = self.newest.get_mut(self.oldest) {
            *oldest = observation;
            self.oldest = (self.oldest + 1) % most;
        }
    }

    /// Quotes them, and lets go of older quotes.
    pub(super) fn quote(&mut self, quotes: &mut VecDeque<Quote>, config: &Config) {
        let (newer, older) = self.newest.split_at(self.oldest);
        for observation in older.iter().chain(newer) {
            let Some(text) = observation.kind.text() else { continue };
            while quotes.len() >= config.quotes.max(1) {
                quotes.pop_front();
            }
            if config.quotes > 0 {
                quotes.push_back(Quote { at: observation.at, kind: observation.kind.name(), text: text.clone() });
            }
        }
        self.newest.clear();
        self.oldest = 0;
    }
}

/// One reflection.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// When it was written.
    pub at: Timestamp,
    /// The narrative, bounded.
    pub text: String,
}

/// The newest reflections.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Reflection {
    entries: VecDeque<Entry>,
    /// When the next one is due; not set before the first beat.
    due: Option<Timestamp>,
    observations_before: u64,
    /// What resolved since the last one, the first ones.
    #[serde(default)]
    over: Vec<String>,
}

/// What a reflection looks at.
pub(super) struct Scene<I> {
    pub(super) now: Timestamp,
    pub(super) agents: usize,
    pub(super) observations: u64,
    /// The open insights.
    pub(super) insights: I,
}

impl Reflection {
    /// Longest narrative, in bytes.
    const MAX_TEXT: usize = 2048;
    /// Most resolved insights that one tells.
    const MOST_OVER: usize = 8;

    /// The reflections kept, oldest first.
    pub fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter()
    }

    /// Remembers what resolved, until the next reflection tells it.
    pub(super) fn take_in(&mut self, changes: &[InsightChange]) {
        let room = Self::MOST_OVER.saturating_sub(self.over.len());
        let resolved = changes.iter().filter_map(|change| match change {
            InsightChange::Resolved(insight) => Some(insight),
            InsightChange::Open(_) => None,
        });
        self.over.extend(resolved.take(room).map(|insight| {
            let who = insight.agent.as_ref().map_or("the daemon", |agent| agent.as_str());
            let lasted = insight.until.map_or(0.0, |until| until.since(insight.since).as_secs_f64());
            format!("{} of {who} after {lasted:.1} s", insight.kind)
        }));
    }

    /// Reflects when it is time to.
    pub(super) fn beat<'a>(&mut self, scene: Scene<impl Iterator<Item = &'a Insight>>, config: &Config) {
        let due = *self.due.get_or_insert(scene.now.plus(config.interval));
        if scene.now < due {
            return;
        }
        self.due = Some(scene.now.plus(config.interval));
        let at = scene.now;
        let text = self.narrate(scene);
        while self.entries.len() >= config.keep.max(1) {
            self.entries.pop_front();
        }
        self.entries.push_back(Entry { at, text });
    }

    fn narrate<'a>(&mut self, scene: Scene<impl Iterator<Item = &'a Insight>>) -> String {
        let Scene { now: _, agents, observations, insights } = scene;
        let fresh = observations.saturating_sub(self.observations_before);
        self.observations_before = observations;
        let mut open: Vec<&Insight> = insights.collect();
        open.sort_by_key(|insight| std::cmp::Reverse(insight.severity));
        let over = std::mem::take(&mut self.over);
        // Writing to a String cannot fail.
        let mut text = String::new();
        let _ = writeln!(text, "monitor: {agents} agents, {fresh} observations since the last reflection");
        if open.is_empty() {
            text.push_str("interpret: as expected, nothing stands out\nintend: go on\n");
        }
        for over in over {
            let _ = writeln!(text, "over: {over}");
        }
        for insight in open {
            let who = insight.agent.as_ref().map_or("the daemon", |agent| agent.as_str());
            let _ =
                writeln!(text, "note: {} of {who}, {}:{}", insight.kind, insight.severity, shown(&insight.evidence));
            let _ = writeln!(text, "explain: {}", insight.content);
            let _ = writeln!(text, "intend: {}", advice::advice(insight));
            if text.len() > Self::MAX_TEXT {
                break;
            }
        }
        text.truncate(text.floor_char_boundary(Self::MAX_TEXT));
        text
    }
}

/// An insight in words, with the newest quotes of its agent.
pub(super) fn content<'a>(kind: InsightKind, evidence: &Evidence, quotes: impl Iterator<Item = &'a Quote>) -> String {
    let (expected, explanation) = meaning(kind);
    let mut text = format!("expected {expected}; likely because {explanation}; seen:{}", shown(evidence));
    for quote in quotes {
        let _ = write!(text, "; {} “{}”", quote.kind.as_str(), quote.text.excerpt());
    }
    text
}

/// Evidence as keys and values, each after a space.
pub(super) fn shown(evidence: &Evidence) -> String {
    evidence.iter().fold(String::new(), |mut text, (key, value)| {
        let _ = write!(text, " {key}={value}");
        text
    })
}

/// What one expects of an agent, and what usually explains that it is otherwise.
pub(super) fn meaning(kind: InsightKind) -> (&'static str, &'static str) {
    match kind {
        InsightKind::Overconfident => ("confidence to match success", "it takes plausible for true"),
        InsightKind::Underconfident => ("confidence to match success", "it hedges what it knows"),
        InsightKind::Unreliable => {
            ("more confidence when right than when wrong", "its confidence is a habit, not a signal")
        }
        InsightKind::Stuck => ("each step to change something", "it does not take in what the last result told it"),
        InsightKind::Blocked => ("the infrastructure to answer", "a service it depends on is down or limits it"),
        InsightKind::Drift => ("figures to stay at their level", "its task, model, prompt or tools changed"),
        InsightKind::Overloaded => ("answers in the usual time and within limits", "too much is asked of it at once"),
        InsightKind::ErrorStreak => ("most calls to succeed", "it uses a tool wrongly, or the tool changed"),
        InsightKind::Silent => ("a sign of life at its usual pace", "it died, or hangs in a call"),
        InsightKind::Stalled => ("progress while it acts", "it is busy with what does not help"),
        InsightKind::HeartSkewed => ("beats on time", "the machine is overloaded or was paused"),
        InsightKind::StoreDegraded => ("the store to answer", "Redis is away, slow, read-only or full"),
        InsightKind::AnalysisOverrun => ("the analysis to fit the beat", "more comes in than one core can fold"),
        InsightKind::ClientsSlow => ("clients to take their frames", "their networks or pages cannot keep up"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{AgentId, InsightId, Kind, SessionKey, Severity, Source};

    #[test]
    fn reflects_once_an_interval_and_keeps_a_few() {
        let mut reflection = Reflection::default();
        let config = Config { keep: 3, ..Config::default() };
        let insight = Insight {
            id: InsightId::new(0, 0, 1),
            kind: InsightKind::Stuck,
            severity: Severity::Warning,
            agent: Some(AgentId::fitted("a")),
            since: Timestamp::EPOCH,
            until: None,
            evidence: Evidence::new(),
            content: "x".repeat(5000),
        };
        for second in 0..600u64 {
            let now = Timestamp::from_nanos(second as i64 * 1_000_000_000);
            let insights = std::iter::once(&insight);
            reflection.beat(Scene { now, agents: 1, observations: second * 3, insights }, &config);
        }
        let entries: Vec<_> = reflection.entries().collect();
        assert_eq!(entries.iter().map(|entry| entry.at.as_millis() / 1000).collect::<Vec<_>>(), [420, 480, 540]);
        assert!(entries[2].text.contains("180 observations") && entries[2].text.len() <= Reflection::MAX_TEXT);
    }

    #[test]
    fn an_insight_quotes_what_was_seen() {
        let (mut quotes, config) = (VecDeque::new(), Config::default());
        let thought = |text: &&str| Observation {
            agent: AgentId::fitted("a"),
            session: SessionKey::default(),
            id: None,
            at: Timestamp::EPOCH,
            source: Source::Native,
            kind: Kind::Thought { text: Some(Text::new(text)) },
        };
        let thoughts: Vec<_> = ["one", "two", "three", "four", "five", "six"].iter().map(thought).collect();
        for some in [&thoughts[..1], &thoughts[1..5]] {
            let mut quotable = Quotable::default();
            some.iter().for_each(|thought| quotable.add(thought, &config));
            quotable.quote(&mut quotes, &config);
        }
        let words = content(InsightKind::Stuck, &Evidence::new(), quotes.iter());
        assert!(words.contains("five") && !words.contains("one"), "{words}");
    }
}
