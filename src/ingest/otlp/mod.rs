//! OpenTelemetry: OTLP requests over HTTP, in protobuf and JSON, by the semantic conventions for generative AI.
//!
//! # Whose, when
//!
//! | of an observation | comes from |
//! | --- | --- |
//! | agent | `gen_ai.agent.id`, else `gen_ai.agent.name` of the record, else of the resource, else `service.name`; none: rejected. What does not fit a name is hashed |
//! | session | `gen_ai.conversation.id`, else `session.id`, of the record, else of the resource |
//! | time | of the span's start or end, the event or the record; missing: when the request arrived |
//! | id | of spans: span id and a suffix for each observation. Of log records: trace, span, event name, time. Of a user's message: trace, place and text, since histories repeat in each call of a run. Of an answer: the span's, so that one which is on the span and in an event counts once |
//!
//! # Spans, by `gen_ai.operation.name`
//!
//! | span | gives |
//! | --- | --- |
//! | `execute_tool` (or: no operation, but `gen_ai.tool.name`) | an action at the start: `gen_ai.tool.name`, `gen_ai.tool.call.arguments` (old: `tool_arguments`). A result at the end: duration, `gen_ai.tool.call.result` (old: `tool_response`, or an event `gen_ai.tool.message`), and whether it failed |
//! | `chat`, `text_completion`, `generate_content` (or: no operation, but `gen_ai.usage.*`, `gen_ai.response.*` or `gen_ai.request.model`) | usage at the end: `gen_ai.usage.input_tokens`/`output_tokens` (old: `prompt_tokens`/`completion_tokens`), `gen_ai.usage.cost`, `metacog.context_window`. What the agent said and thought, from `gen_ai.output.messages` (old: `gen_ai.completion`, `gen_ai.completion.0.content`). The user's message at the start, when the last of `gen_ai.input.messages` (old: `gen_ai.prompt`, `gen_ai.prompt.N.*`) is one. When it failed, a failed result of the tool `chat` without an action |
//! | `embeddings` | usage; when it failed, a failed result of the tool `embeddings` |
//! | `invoke_agent`, `create_agent`, any other | when it failed, a failed result of that name |
//! | any of these that gives nothing | an empty thought: a sign of life |
//! | any other | nothing: it is accepted and ignored |
//!
//! A span failed when its status is `Error` or it has an `error.type`. The error is `error.type`, else the exception event's
//! `exception.type`, else the status message. Content is known only where these attributes carry it.
//!
//! # Claims and verdicts
//!
//! | from | gives |
//! | --- | --- |
//! | `metacog.confidence` (0 to 1) on any span, with an optional `metacog.task` | a claim, by `metacog.claim.id`, else `gen_ai.response.id`, else the span id |
//! | `gen_ai.evaluation.result`: a log record, an event of a span, or a span | a verdict on the claim of that `metacog.claim.id`, else `gen_ai.response.id`, else of the span it is in (a span of its own: of its parent). Correct by `gen_ai.evaluation.score.label` (pass, passed, correct, true, success, succeeded, yes; fail, failed, incorrect, wrong, false, failure, no), else a `gen_ai.evaluation.score.value` of at least 0.5; with neither, or with an `error.type`, it is ignored |
//!
//! # Events with content, as log records or on spans
//!
//! | event | gives |
//! | --- | --- |
//! | `gen_ai.user.message` | the user's message |
//! | `gen_ai.choice` | what the agent said and thought |
//! | `gen_ai.client.inference.operation.details`, on spans also `gen_ai.content.prompt`/`completion` | both, from the attributes as on a span |
//! | `gen_ai.system.message`, `gen_ai.assistant.message`, `gen_ai.tool.message` | nothing: they are history |
//!
//! Spans arrive when they end, those of one run in any order. A batch is sorted by time, so that within it an action precedes
//! its result and results come as they ended.

use serde_json::value::RawValue;

use self::record::Arrival;
use self::wire::{Attributes, Log, Span};
use super::{Batch, Error, Limits, Refusal, RejectReason, room, text};
use crate::domain::{Observation, Timestamp};

mod json;
mod log;
mod messages;
mod protobuf;
mod record;
mod response;
mod span;
#[cfg(test)]
mod tests;
mod wire;

pub use response::{logs_response, status_body, traces_response};

/// How a request is encoded; its answer is encoded alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// `application/x-protobuf`.
    Protobuf,
    /// `application/json`.
    Json,
}

impl Encoding {
    /// The encoding that a `Content-Type` names; `None` for any other.
    pub fn of(content_type: &str) -> Option<Self> {
        let essence = content_type.split(';').next().unwrap_or_default().trim();
        [Self::Protobuf, Self::Json].into_iter().find(|known| known.content_type().eq_ignore_ascii_case(essence))
    }

    /// Its `Content-Type`.
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Protobuf => "application/x-protobuf",
            Self::Json => "application/json",
        }
    }
}

/// Reads an `ExportTraceServiceRequest`. `now` stands in for missing times and is what `limits` measure from.
///
/// # Errors
/// When the body is no such request, or gives too many observations. A span that cannot be read or mapped is a
/// [`super::Rejection`] of that span.
pub fn decode_traces(encoding: Encoding, bytes: &[u8], now: Timestamp, limits: &Limits) -> Result<Batch, Error> {
    let mut decoder = Decoder::new(now, limits);
    decoder.batch.accepted.reserve(room(bytes.len()).min(limits.items));
    match encoding {
        Encoding::Protobuf => protobuf::records(bytes, |resource, record| {
            decoder.span(resource, protobuf::span(record).map_err(|_| unreadable("span")))
        })
        .map_err(|_| Error::Protobuf { message: "ExportTraceServiceRequest" })?,
        Encoding::Json => decoder.json_spans(text(bytes)?)?,
    }
    decoder.finish()
}

/// Reads an `ExportLogsServiceRequest`, like [`decode_traces`].
///
/// # Errors
/// When the body is no such request, or gives too many observations. A record that cannot be read or mapped is a
/// [`super::Rejection`] of that record.
pub fn decode_logs(encoding: Encoding, bytes: &[u8], now: Timestamp, limits: &Limits) -> Result<Batch, Error> {
    let mut decoder = Decoder::new(now, limits);
    match encoding {
        Encoding::Protobuf => protobuf::records(bytes, |resource, record| {
            decoder.log(resource, protobuf::log(record).map_err(|_| unreadable("log record")))
        })
        .map_err(|_| Error::Protobuf { message: "ExportLogsServiceRequest" })?,
        Encoding::Json => decoder.json_logs(text(bytes)?)?,
    }
    decoder.finish()
}

/// Reads one line of a recording when it is an OTLP/JSON request of either kind.
pub(super) fn decode_line(line: &str, missing: Timestamp) -> Option<Result<Batch, Error>> {
    let names = ["\"resourceSpans\"", "\"resourceLogs\""];
    if !names.iter().any(|name| line.contains(name)) {
        return None;
    }
    let request: json::Request<'_> = serde_json::from_str(line).ok()?;
    let mut decoder = Decoder::new(missing, &Limits::RECORDED);
    let read = match (&request.resource_spans, &request.resource_logs) {
        (None, None) => return None,
        (spans, logs) => decoder
            .spans_of(spans.as_deref().unwrap_or_default())
            .and_then(|()| decoder.logs_of(logs.as_deref().unwrap_or_default())),
    };
    Some(read.and_then(|()| decoder.finish()))
}

struct Decoder<'l> {
    arrival: Arrival<'l>,
    batch: Batch,
    /// Records seen.
    count: usize,
}

impl<'l> Decoder<'l> {
    fn new(now: Timestamp, limits: &'l Limits) -> Self {
        Self { arrival: Arrival { now, limits }, batch: Batch::default(), count: 0 }
    }

    fn json_spans(&mut self, text: &str) -> Result<(), Error> {
        let request = request(text)?;
        match (request.resource_spans, request.resource_logs) {
            (None, Some(_)) => Err(Error::Shape { found: "a request of logs", wanted: "one of traces" }),
            (spans, _) => self.spans_of(&spans.unwrap_or_default()),
        }
    }

    fn json_logs(&mut self, text: &str) -> Result<(), Error> {
        let request = request(text)?;
        match (request.resource_spans, request.resource_logs) {
            (Some(_), None) => Err(Error::Shape { found: "a request of traces", wanted: "one of logs" }),
            (_, logs) => self.logs_of(&logs.unwrap_or_default()),
        }
    }

    fn spans_of(&mut self, groups: &[&RawValue]) -> Result<(), Error> {
        json::records(groups, |resource, record| {
            self.span(resource, json::span(record).map_err(|_| unreadable("span")))
        })
        .map_err(|_| ANOTHER_SHAPE)
    }

    fn logs_of(&mut self, groups: &[&RawValue]) -> Result<(), Error> {
        json::records(groups, |resource, record| {
            self.log(resource, json::log(record).map_err(|_| unreadable("log record")))
        })
        .map_err(|_| ANOTHER_SHAPE)
    }

    fn span(&mut self, resource: &Attributes<'_>, span: Result<Span<'_>, Refusal>) -> bool {
        let arrival = self.arrival;
        self.push(|out| span.and_then(|span| span::map(&span, resource, arrival, out)))
    }

    fn log(&mut self, resource: &Attributes<'_>, log: Result<Log<'_>, Refusal>) -> bool {
        let arrival = self.arrival;
        self.push(|out| log.and_then(|log| log::map(&log, resource, arrival, out)))
    }

    /// All observations of a record, or none and why; says whether there is room for more.
    fn push(&mut self, map: impl FnOnce(&mut Vec<Observation>) -> Result<(), Refusal>) -> bool {
        let before = self.batch.accepted.len();
        if let Err(refusal) = map(&mut self.batch.accepted) {
            self.batch.accepted.truncate(before);
            self.batch.rejected.push(refusal.at(self.count));
        }
        self.count += 1;
        !self.is_over()
    }

    fn is_over(&self) -> bool {
        self.batch.accepted.len() + self.batch.rejected.len() > self.arrival.limits.items
    }

    fn finish(mut self) -> Result<Batch, Error> {
        if self.is_over() {
            return Err(Error::TooMany { limit: self.arrival.limits.items });
        }
        // Stable: what happened at one time keeps the order in which it was mapped. Observations are large, so each is
        // moved once, to its place.
        if !self.batch.accepted.is_sorted_by_key(|observation| observation.at) {
            self.batch.accepted.sort_by_cached_key(|observation| observation.at);
        }
        Ok(self.batch)
    }
}

const ANOTHER_SHAPE: Error = Error::Shape { found: "JSON of another shape", wanted: "an OTLP export request" };

fn request(text: &str) -> Result<json::Request<'_>, Error> {
    let body: &RawValue = serde_json::from_str(text).map_err(|error| Error::json(&error))?;
    if !body.get().starts_with('{') {
        return Err(ANOTHER_SHAPE);
    }
    serde_json::from_str(body.get()).map_err(|_| ANOTHER_SHAPE)
}

fn unreadable(what: &str) -> Refusal {
    Refusal::new(RejectReason::Malformed, format!("not a valid {what}"))
}
