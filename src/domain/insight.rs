//! What the analysis concludes: insights with evidence, an agent's status, and advice.

use serde::{Deserialize, Serialize};

use super::{AgentId, InsightId, Timestamp, ToolName};

/// Declares a closed set of words: what is shown of the private state comes from sets like these, never from a text.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $word:literal,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum $name { $($(#[$vdoc])* #[serde(rename = $word)] $variant,)* }

        impl $name {
            /// All of them, in the order of declaration.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The word as it is shown.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)* }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl std::str::FromStr for $name {
            type Err = ();

            fn from_str(text: &str) -> Result<Self, ()> {
                Self::ALL.iter().copied().find(|word| word.as_str() == text).ok_or(())
            }
        }
    };
}

words! {
    /// What an insight is about. One of a kind and agent is open at a time.
    InsightKind {
        /// Surer than it is right.
        Overconfident = "overconfident",
        /// Less sure than it is right.
        Underconfident = "underconfident",
        /// Its confidence hardly tells right from wrong.
        Unreliable = "unreliable",
        /// Repeats itself without getting on.
        Stuck = "stuck",
        /// Infrastructure fails it again and again.
        Blocked = "blocked",
        /// A series of its figures changed level.
        Drift = "drift",
        /// Slower or fuller than it should be.
        Overloaded = "overloaded",
        /// Fails again and again, in whatever way.
        ErrorStreak = "error_streak",
        /// Was regular and went quiet.
        Silent = "silent",
        /// Acts, but its progress stands still.
        Stalled = "stalled",
        /// The daemon's heart beats late.
        HeartSkewed = "heart_skewed",
        /// The daemon's store is away.
        StoreDegraded = "store_degraded",
        /// The daemon's analysis does not fit its beat.
        AnalysisOverrun = "analysis_overrun",
        /// The daemon's clients cannot keep up.
        ClientsSlow = "clients_slow",
    }
}

words! {
    /// How bad it is.
    Severity {
        /// Good to know.
        Info = "info",
        /// Somebody should look.
        Warning = "warning",
        /// Somebody should look now.
        Critical = "critical",
    }
}

words! {
    /// What an agent is doing, in one word.
    Status {
        /// Nothing lately, and nothing was due.
        Idle = "idle",
        /// Works.
        Progressing = "progressing",
        /// See [`InsightKind::Stuck`].
        Stuck = "stuck",
        /// See [`InsightKind::Blocked`].
        Blocked = "blocked",
        /// See [`InsightKind::Silent`].
        Silent = "silent",
        /// Works, with a warning open.
        Degraded = "degraded",
    }
}

words! {
    /// What an agent should do next; from the least to the most drastic.
    Advice {
        /// Go on.
        Continue = "continue",
        /// Check before acting: its own confidence is not to be trusted now.
        Verify = "verify",
        /// Ask a human.
        Escalate = "escalate",
        /// Stop.
        Stop = "stop",
    }
}

words! {
    /// Where the state is kept.
    StoreMode {
        /// In this process alone.
        Memory = "memory",
        /// In Redis.
        Redis = "redis",
    }
}

words! {
    /// Whether what is shown is as the leader of all pods tells it.
    ClusterStatus {
        /// It is.
        Led = "led",
        /// The pod that shows it goes on by itself, without the others.
        Degraded = "degraded",
    }
}

words! {
    /// State of a circuit breaker.
    BreakerState {
        /// Calls go through.
        Closed = "closed",
        /// A few trial calls go through.
        HalfOpen = "half_open",
        /// Calls are refused at once.
        Open = "open",
    }
}

words! {
    /// What a piece of evidence is.
    EvidenceKey {
        /// Pattern of a loop.
        Pattern = "pattern",
        /// How often it was seen.
        Repeats = "repeats",
        /// Steps in one round of a cycle.
        Period = "period",
        /// The tool in question.
        Tool = "tool",
        /// Ordinal of the observation that showed it, 1-based in its session.
        Observation = "observation",
        /// Sample size.
        N = "n",
        /// Brier score.
        Brier = "brier",
        /// Expected calibration error.
        Ece = "ece",
        /// Mean confidence less mean correctness.
        Bias = "bias",
        /// Type-2 AUROC.
        Auroc2 = "auroc2",
        /// Lower end of a confidence interval.
        Low = "low",
        /// Upper end of a confidence interval.
        High = "high",
        /// The series that changed.
        Series = "series",
        /// Level before.
        Before = "before",
        /// Level after.
        After = "after",
        /// Size of the change.
        Size = "size",
        /// Confidence that it is no accident, 0 to 1.
        Confidence = "confidence",
        /// 95th percentile of latency, milliseconds.
        P95Ms = "p95_ms",
        /// Tokens a minute.
        TokensPerMinute = "tokens_per_minute",
        /// Share of the context window in use, 0 to 1.
        ContextFill = "context_fill",
        /// Failures in a row.
        InARow = "in_a_row",
        /// Share of failures, 0 to 1.
        ErrorRate = "error_rate",
        /// Seconds since the last sign of life.
        QuietSeconds = "quiet_s",
        /// Longest pause that its cadence makes likely, seconds.
        ExpectedSeconds = "expected_s",
        /// Calls whose result is still awaited.
        OpenCalls = "open_calls",
        /// Which way it is gone: dead, wedged or quiet.
        State = "state",
        /// Units done.
        Done = "done",
        /// Units in all.
        Total = "total",
        /// Seconds without progress.
        StalledSeconds = "stalled_s",
        /// Cost so far.
        Cost = "cost",
        /// Cost an hour.
        CostPerHour = "cost_per_hour",
        /// Cost that was allowed.
        Budget = "budget",
        /// Lateness of the beat, milliseconds.
        SkewMs = "skew_ms",
        /// Beats missed.
        Missed = "missed",
        /// Beats on time among beats due, 0 to 1.
        Continuity = "continuity",
        /// Observations left for the next beat.
        Backlog = "backlog",
        /// State of a breaker.
        Breaker = "breaker",
        /// Beats not yet stored.
        LagBeats = "lag_beats",
        /// Frames given up.
        Drops = "drops",
        /// Kind of the insight that explains this one.
        Because = "because",
    }
}

words! {
    /// A fixed word as evidence.
    Word {
        /// The same action got the same result.
        ActionResultRepeat = "action_result_repeat",
        /// The same action failed.
        ActionErrorRepeat = "action_error_repeat",
        /// A round of steps came again.
        Cycle = "cycle",
        /// The same message was sent.
        Monologue = "monologue",
        /// An action keeps failing in the same way, with other steps between.
        NoProgress = "no_progress",
        /// The series of claims' confidences.
        Confidence = "confidence",
        /// The series of verdicts.
        Accuracy = "accuracy",
        /// The series of results' durations.
        Latency = "latency",
        /// The series of results' failures.
        Errors = "errors",
        /// No sign of life.
        Dead = "dead",
        /// Signs of life, no progress.
        Wedged = "wedged",
        /// A call is open, so the silence may be its.
        Waiting = "waiting",
        /// A breaker is open.
        Open = "open",
        /// A breaker lets a trial through.
        HalfOpen = "half_open",
    }
}

/// One value of evidence: a number, a fixed word, a checked name.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EvidenceValue {
    /// A count.
    Count(u64),
    /// A finite measure.
    Number(f64),
    /// A word of a closed set.
    Word(Word),
    /// The kind of another insight.
    Kind(InsightKind),
    /// A tool.
    Tool(ToolName),
}

impl std::fmt::Display for EvidenceValue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Count(count) => count.fmt(f),
            Self::Number(number) => ((number * 1e3).round() / 1e3).fmt(f),
            Self::Word(word) => word.fmt(f),
            Self::Kind(kind) => kind.fmt(f),
            Self::Tool(tool) => tool.fmt(f),
        }
    }
}

/// What an insight rests on: no prose, at most one value a key, in the order the analyzer named them.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Evidence(Vec<(EvidenceKey, EvidenceValue)>);

impl Evidence {
    /// No evidence yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// With a count.
    pub fn count(self, key: EvidenceKey, value: u64) -> Self {
        self.with(key, EvidenceValue::Count(value))
    }

    /// With a measure; one that is not finite is left out, since there is nothing true to show.
    pub fn number(self, key: EvidenceKey, value: f64) -> Self {
        if value.is_finite() { self.with(key, EvidenceValue::Number(value)) } else { self }
    }

    /// With a word.
    pub fn word(self, key: EvidenceKey, value: Word) -> Self {
        self.with(key, EvidenceValue::Word(value))
    }

    /// With a tool.
    pub fn tool(self, key: EvidenceKey, value: ToolName) -> Self {
        self.with(key, EvidenceValue::Tool(value))
    }

    /// With any value, in place of an earlier one of the same key.
    pub fn with(mut self, key: EvidenceKey, value: EvidenceValue) -> Self {
        match self.0.iter_mut().find(|(known, _)| *known == key) {
            Some((_, old)) => *old = value,
            None => self.0.push((key, value)),
        }
        self
    }

    /// Without a key.
    pub fn without(mut self, key: EvidenceKey) -> Self {
        self.0.retain(|(known, _)| *known != key);
        self
    }

    /// The value of a key.
    pub fn get(&self, key: EvidenceKey) -> Option<&EvidenceValue> {
        self.0.iter().find(|(known, _)| *known == key).map(|(_, value)| value)
    }

    /// Keys and values in order.
    pub fn iter(&self) -> impl Iterator<Item = (EvidenceKey, &EvidenceValue)> {
        self.0.iter().map(|(key, value)| (*key, value))
    }
}

/// What an analyzer says of one kind of insight at one moment.
#[derive(Debug, Clone, PartialEq)]
pub enum Assessment {
    /// It is so: open the insight or update it.
    Raise(Severity, Evidence),
    /// Neither clearly so nor clearly over: leave things as they are (hysteresis, or too little evidence).
    Hold,
    /// It is not, or no longer, so: resolve the insight.
    Clear,
}

/// Something noticed about an agent, or about the daemon itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Insight {
    /// Its name.
    pub id: InsightId,
    /// What it is about.
    pub kind: InsightKind,
    /// How bad it is now.
    pub severity: Severity,
    /// Whom it concerns; `None`: the daemon itself.
    pub agent: Option<AgentId>,
    /// When it opened.
    pub since: Timestamp,
    /// When it resolved; `None` while open.
    pub until: Option<Timestamp>,
    /// What it rests on.
    pub evidence: Evidence,
    /// Private: the same in words, with quotes of what the agent did.
    pub content: String,
}
