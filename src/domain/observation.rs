//! What comes in: one thing that an agent thought, did, claimed or achieved.

use serde::{Deserialize, Serialize};

use super::{AgentId, CallKey, ClaimKey, ObservationKey, SessionKey, TaskKey, Text, Timestamp, ToolName};

/// One observation, checked and bounded: whatever came over the wire has become numbers, validated names, hashes and
/// short excerpts by now.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Observation {
    /// Who it is about.
    pub agent: AgentId,
    /// The conversation or task run; [`SessionKey::default`] when none was named.
    pub session: SessionKey,
    /// Idempotency key: the same key of the same agent counts once.
    pub id: Option<ObservationKey>,
    /// When it happened by the sender's clock, or when it arrived where the sender did not say.
    pub at: Timestamp,
    /// Which way it came in.
    pub source: Source,
    /// What it says.
    pub kind: Kind,
}

/// The way an observation came in. A metric label, so closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// `POST /v1/observations`, or a native recording.
    Native,
    /// OpenTelemetry spans.
    OtlpTraces,
    /// OpenTelemetry log records.
    OtlpLogs,
    /// An `observe` message on a stream.
    Stream,
}

/// What an observation says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// The agent thought.
    Thought {
        /// What it thought.
        text: Option<Text>,
    },
    /// Somebody said something in the conversation.
    Message {
        /// Who spoke.
        role: Role,
        /// What was said; `None` when the sender does not share content.
        text: Option<Text>,
    },
    /// The agent called a tool.
    Action {
        /// The tool.
        tool: ToolName,
        /// Canonical JSON of the arguments (sorted keys); `None` when not known.
        arguments: Option<Text>,
        /// Joins the result.
        call: Option<CallKey>,
    },
    /// A tool call ended.
    Result {
        /// The action's call; `None`: the oldest open action of `tool`.
        call: Option<CallKey>,
        /// The tool, where the sender repeats it.
        tool: Option<ToolName>,
        /// Whether it succeeded.
        ok: bool,
        /// How it failed, when it did and said so.
        error: Option<Failure>,
        /// What came back; `None` when not known.
        text: Option<Text>,
        /// How long it took, in milliseconds, finite and not negative.
        duration_ms: Option<f64>,
    },
    /// The agent states how sure it is of something that can turn out right or wrong.
    Claim {
        /// Joins the verdict.
        claim: ClaimKey,
        /// Its confidence that it is (or will be) correct.
        confidence: Probability,
        /// The outcome, where it is known at once.
        correct: Option<bool>,
        /// Class of tasks of similar difficulty.
        task: Option<TaskKey>,
    },
    /// A claim turned out right or wrong.
    Verdict {
        /// The claim.
        claim: ClaimKey,
        /// Whether it was right.
        correct: bool,
    },
    /// How far the agent says it has come.
    Progress {
        /// Units done, finite and not negative.
        done: f64,
        /// Units in all, finite and positive, where known.
        total: Option<f64>,
    },
    /// What a model call consumed.
    Usage {
        /// Tokens in the prompt.
        input_tokens: u64,
        /// Tokens generated.
        output_tokens: u64,
        /// In the sender's currency, finite and not negative.
        cost: Option<f64>,
        /// Size of the model's context window in tokens, where known.
        context_window: Option<u64>,
    },
}

/// How a result failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// The error as the sender named it; private.
    pub text: Text,
    /// Whether it is a failure of the infrastructure rather than of what the agent did.
    pub infrastructure: bool,
}

impl Failure {
    /// Errors that say nothing of the agent: it should wait, not think again.
    pub const INFRASTRUCTURE: [&'static str; 13] = [
        "rate_limited",
        "timeout",
        "unavailable",
        "overloaded",
        "connection",
        "408",
        "425",
        "429",
        "500",
        "502",
        "503",
        "504",
        "529",
    ];

    /// Classifies an error by its name.
    pub fn new(error: &str) -> Self {
        Self { text: Text::new(error), infrastructure: Self::INFRASTRUCTURE.contains(&error) }
    }
}

/// Who speaks in a conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// The agent (`agent` or `assistant`).
    Agent,
    /// The person or program it works for.
    User,
    /// Anything else: system prompts, tools.
    Other,
}

/// A number from 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(try_from = "f64", into = "f64")]
pub struct Probability(f64);

impl Probability {
    /// `None` outside 0 to 1 and for NaN.
    pub fn new(value: f64) -> Option<Self> {
        // Adding zero turns -0.0 into 0.0, so that equal probabilities have equal bits.
        (0.0..=1.0).contains(&value).then_some(Self(value + 0.0))
    }

    /// The number.
    pub fn get(self) -> f64 {
        self.0
    }
}

impl TryFrom<f64> for Probability {
    type Error = &'static str;

    fn try_from(value: f64) -> Result<Self, Self::Error> {
        Self::new(value).ok_or("must be from 0 to 1")
    }
}

impl From<Probability> for f64 {
    fn from(probability: Probability) -> Self {
        probability.0
    }
}

/// The kinds of observations by name. A metric label, so closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KindName {
    /// See [`Kind::Thought`].
    Thought,
    /// See [`Kind::Message`].
    Message,
    /// See [`Kind::Action`].
    Action,
    /// See [`Kind::Result`].
    Result,
    /// See [`Kind::Claim`].
    Claim,
    /// See [`Kind::Verdict`].
    Verdict,
    /// See [`Kind::Progress`].
    Progress,
    /// See [`Kind::Usage`].
    Usage,
}

impl KindName {
    /// All kinds, in the order of declaration.
    pub const ALL: [Self; 8] = [
        Self::Thought,
        Self::Message,
        Self::Action,
        Self::Result,
        Self::Claim,
        Self::Verdict,
        Self::Progress,
        Self::Usage,
    ];

    /// The name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Thought => "thought",
            Self::Message => "message",
            Self::Action => "action",
            Self::Result => "result",
            Self::Claim => "claim",
            Self::Verdict => "verdict",
            Self::Progress => "progress",
            Self::Usage => "usage",
        }
    }
}

impl Kind {
    /// Which kind it is.
    pub const fn name(&self) -> KindName {
        match self {
            Self::Thought { .. } => KindName::Thought,
            Self::Message { .. } => KindName::Message,
            Self::Action { .. } => KindName::Action,
            Self::Result { .. } => KindName::Result,
            Self::Claim { .. } => KindName::Claim,
            Self::Verdict { .. } => KindName::Verdict,
            Self::Progress { .. } => KindName::Progress,
            Self::Usage { .. } => KindName::Usage,
        }
    }
}

impl Kind {
    /// The text it carries, where it carries one that is known.
    pub fn text(&self) -> Option<&Text> {
        match self {
            Self::Thought { text } | Self::Message { text, .. } | Self::Result { text, .. } => text.as_ref(),
            Self::Action { arguments, .. } => arguments.as_ref(),
            Self::Claim { .. } | Self::Verdict { .. } | Self::Progress { .. } | Self::Usage { .. } => None,
        }
    }
}

impl Source {
    /// All sources, in the order of declaration.
    pub const ALL: [Self; 4] = [Self::Native, Self::OtlpTraces, Self::OtlpLogs, Self::Stream];

    /// The name in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::OtlpTraces => "otlp_traces",
            Self::OtlpLogs => "otlp_logs",
            Self::Stream => "stream",
        }
    }
}
