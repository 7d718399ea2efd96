//! Floor 4: bytes become checked [`Observation`]s.
//!
//! This room knows no HTTP framework: it is handed a body and the time, and hands back what is in it. Native bodies go
//! through [`native`], OpenTelemetry ones through [`otlp`], compressed ones first through [`body`], files through
//! [`recording`]; what was accepted goes to the heart through [`queue`].
//!
//! Every decoder is total: whatever the bytes, the answer is a [`Batch`] or an [`Error`], in memory that is bounded by
//! a small multiple of the body. A bad item costs that item only. No message of this room quotes anything of its
//! input: messages name fields, positions and limits.

use std::time::Duration;

use crate::domain::{Observation, Timestamp};

pub mod body;
mod canonical;
pub mod native;
pub mod otlp;
pub mod queue;
pub mod recording;
mod scalar;

/// What a body held.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Batch {
    /// What was accepted, in the order of the body; OTLP batches in the order of time.
    pub accepted: Vec<Observation>,
    /// What was not, in the order of the body.
    pub rejected: Vec<Rejection>,
}

/// One item of a body that was not accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejection {
    /// The item's place in the body, from 0: among the array's elements, the non-blank lines, or the request's spans
    /// or log records.
    pub index: usize,
    /// What is wrong with it; quotes nothing of it.
    pub error: String,
    /// The same in one word.
    pub reason: RejectReason,
}

/// Why one item is not accepted, before its place in a body is known.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{error}")]
pub struct Refusal {
    /// What is wrong with it; quotes nothing of it.
    pub error: String,
    /// The same in one word.
    pub reason: RejectReason,
}

impl Refusal {
    fn new(reason: RejectReason, error: impl Into<String>) -> Self {
        Self { error: error.into(), reason }
    }

    fn missing(field: &str) -> Self {
        Self::new(RejectReason::Missing, format!("`{field}` is missing"))
    }

    fn invalid(field: &str, problem: impl std::fmt::Display) -> Self {
        Self::new(RejectReason::Invalid, format!("`{field}` {problem}"))
    }

    fn at(self, index: usize) -> Rejection {
        Rejection { index, error: self.error, reason: self.reason }
    }
}

/// Why observations were rejected. A metric label, so closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RejectReason {
    /// Not readable in the format it came in.
    Malformed,
    /// A required field is missing.
    Missing,
    /// A field has the wrong type or is out of its range.
    Invalid,
    /// `kind` is none of the known ones.
    UnknownKind,
    /// From too far in the future.
    Ahead,
    /// The body is too large, or holds too many items.
    TooLarge,
    /// The content encoding is not supported.
    Unsupported,
    /// There was no room in the queue to the heart.
    QueueFull,
}

impl RejectReason {
    /// All reasons, in the order of declaration.
    pub const ALL: [Self; 8] = [
        Self::Malformed,
        Self::Missing,
        Self::Invalid,
        Self::UnknownKind,
        Self::Ahead,
        Self::TooLarge,
        Self::Unsupported,
        Self::QueueFull,
    ];

    /// The name in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::Missing => "missing_field",
            Self::Invalid => "invalid_field",
            Self::UnknownKind => "unknown_kind",
            Self::Ahead => "ahead_of_time",
            Self::TooLarge => "too_large",
            Self::Unsupported => "unsupported_encoding",
            Self::QueueFull => "queue_full",
        }
    }
}

/// What a body may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Most items in a body: observations, spans, log records, or lines.
    pub items: usize,
    /// How far ahead of the daemon's clock an observation may be.
    pub ahead: Duration,
}

impl Limits {
    /// For recordings, which run on their own time: nothing is too many or too far ahead.
    pub const RECORDED: Self = Self { items: usize::MAX, ahead: Duration::MAX };

    fn check_at(&self, field: &str, at: Timestamp, now: Timestamp) -> Result<(), Refusal> {
        if at <= now.plus(self.ahead) {
            return Ok(());
        }
        let minutes = self.ahead.as_secs_f64() / 60.0;
        Err(Refusal::new(RejectReason::Ahead, format!("`{field}` is more than {minutes} minutes ahead")))
    }
}

impl Default for Limits {
    /// 100,000 items, 5 minutes ahead.
    fn default() -> Self {
        Self { items: 100_000, ahead: Duration::from_secs(300) }
    }
}

/// Why a body is refused as a whole. Nothing of it was taken in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Not JSON.
    #[error("the body is not valid JSON (line {line}, column {column})")]
    Json {
        /// Line of the first fault, from 1.
        line: usize,
        /// Column of the first fault in bytes, from 1; 0 at the end of the line before.
        column: usize,
    },
    /// JSON, but nothing that could hold observations.
    #[error("the body is {found}, not {wanted}")]
    Shape {
        /// What it is.
        found: &'static str,
        /// What it should be.
        wanted: &'static str,
    },
    /// Not UTF-8.
    #[error("the body is not valid UTF-8 (byte {offset})")]
    Utf8 {
        /// Place of the first fault, from 0.
        offset: usize,
    },
    /// Not the protobuf message it should be.
    #[error("the body is not a valid {message} in protobuf")]
    Protobuf {
        /// Name of the message.
        message: &'static str,
    },
    /// Too many items.
    #[error("the body holds more than {limit} items")]
    TooMany {
        /// The most that is taken.
        limit: usize,
    },
    /// Too many bytes.
    #[error("the body is larger than {limit} bytes")]
    TooLarge {
        /// The most that is taken.
        limit: usize,
    },
    /// The content encoding is not known.
    #[error("the content encoding is not one of gzip, deflate, identity")]
    Encoding,
    /// The compressed body is broken.
    #[error("the body is not valid {encoding} data")]
    Compressed {
        /// The encoding it should be in.
        encoding: &'static str,
    },
}

impl Error {
    /// The same in one word, for metrics.
    pub const fn reason(&self) -> RejectReason {
        match self {
            Self::Json { .. }
            | Self::Shape { .. }
            | Self::Utf8 { .. }
            | Self::Protobuf { .. }
            | Self::Compressed { .. } => RejectReason::Malformed,
            Self::TooMany { .. } | Self::TooLarge { .. } => RejectReason::TooLarge,
            Self::Encoding => RejectReason::Unsupported,
        }
    }

    fn json(error: &serde_json::Error) -> Self {
        // The crate's own message can quote the input; its position cannot.
        Self::Json { line: error.line(), column: error.column() }
    }
}

/// Room for the observations of a body of so many bytes: as many as ordinary ones are, and no more memory than thrice the
/// body. A list that grows to that would be copied a few times, into memory that is zeroed each time.
fn room(bytes: usize) -> usize {
    bytes / 96
}

/// The text of a body, without a byte order mark.
fn text(bytes: &[u8]) -> Result<&str, Error> {
    let text = std::str::from_utf8(bytes).map_err(|error| Error::Utf8 { offset: error.valid_up_to() })?;
    Ok(text.strip_prefix('\u{feff}').unwrap_or(text))
}
