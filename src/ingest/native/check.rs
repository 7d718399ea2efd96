//! From fields of any type to an [`Observation`], or to what is wrong.

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::raw::Raw;
use crate::domain::{
    AgentId, CallKey, ClaimKey, Failure, Kind, Observation, ObservationKey, Probability, Role, SessionKey, Source,
    TaskKey, Text, Timestamp, ToolName,
};
use crate::ingest::canonical::canonical;
use crate::ingest::scalar::Scalar;
use crate::ingest::{Limits, Refusal, RejectReason};

/// Longest key (session, id, call, claim, task), in bytes.
pub(super) const LONGEST_KEY: usize = 512;

/// Checks items one after another.
pub(super) struct Checker<'l> {
    source: Source,
    now: Timestamp,
    limits: &'l Limits,
    /// Bodies are mostly about one agent: its name is shared among its observations.
    last_agent: Option<AgentId>,
}

impl<'l> Checker<'l> {
    pub(super) fn new(source: Source, now: Timestamp, limits: &'l Limits) -> Self {
        Self { source, now, limits, last_agent: None }
    }

    /// The observation, with `now` for a missing `at`; the flag says whether `at` was given.
    pub(super) fn check(&mut self, raw: &Raw<'_>) -> Result<(Observation, bool), Refusal> {
        if let Some(field) = raw.twice {
            return Err(Refusal::invalid(field, "is given more than once"));
        }
        let agent = self.agent(&raw.agent)?;
        let given_at = at(&raw.at)?;
        if let Some(at) = given_at {
            self.limits.check_at("at", at, self.now)?;
        }
        let observation = Observation {
            agent,
            session: key("session", &raw.session)?.map_or_else(SessionKey::default, |text| SessionKey::of(&text)),
            id: key("id", &raw.id)?.map(|text| ObservationKey::of(&text)),
            at: given_at.unwrap_or(self.now),
            source: self.source,
            kind: kind(raw)?,
        };
        Ok((observation, given_at.is_some()))
    }

    fn agent(&mut self, value: &Scalar<'_>) -> Result<AgentId, Refusal> {
        let name = required("agent", text("agent", value)?)?;
        if let Some(last) = self.last_agent.as_ref().filter(|last| last.as_str() == name) {
            return Ok(last.clone());
        }
        let agent = AgentId::new(name).map_err(|problem| Refusal::invalid("agent", problem))?;
        self.last_agent = Some(agent.clone());
        Ok(agent)
    }
}

fn kind(raw: &Raw<'_>) -> Result<Kind, Refusal> {
    Ok(match required("kind", text("kind", &raw.kind)?)? {
        "thought" => Kind::Thought { text: private_text(&raw.text)? },
        "message" => {
            Kind::Message { role: role(required("role", text("role", &raw.role)?)?), text: private_text(&raw.text)? }
        }
        "action" => Kind::Action {
            tool: required("tool", tool(&raw.tool)?)?,
            arguments: raw.arguments.filter(|json| json.get() != "null").map(|json| Text::new(&canonical(json.get()))),
            call: key("call_id", &raw.call_id)?.map(|text| CallKey::of(&text)),
        },
        "result" => result(raw)?,
        "claim" => Kind::Claim {
            claim: claim(raw)?,
            confidence: required("confidence", number("confidence", &raw.confidence)?).and_then(|p| {
                Probability::new(p).ok_or_else(|| Refusal::invalid("confidence", "must be from 0 to 1"))
            })?,
            correct: boolean("correct", &raw.correct)?,
            task: key("task", &raw.task)?.map(|text| TaskKey::of(&text)),
        },
        "verdict" => {
            Kind::Verdict { claim: claim(raw)?, correct: required("correct", boolean("correct", &raw.correct)?)? }
        }
        "progress" => Kind::Progress {
            done: required("done", amount("done", &raw.done)?)?,
            // Senders that don't know the total yet say 0.
            total: amount("total", &raw.total)?.filter(|&total| total > 0.0),
        },
        "usage" => usage(raw)?,
        _ => return Err(Refusal::new(RejectReason::UnknownKind, "unknown `kind`")),
    })
}

fn result(raw: &Raw<'_>) -> Result<Kind, Refusal> {
    let call = key("call_id", &raw.call_id)?.map(|text| CallKey::of(&text));
    let tool = tool(&raw.tool)?;
    if call.is_none() && tool.is_none() {
        return Err(Refusal::new(RejectReason::Missing, "`call_id` and `tool` are both missing"));
    }
    let error = raw.error.and_then(failure);
    Ok(Kind::Result {
        call,
        tool,
        ok: boolean("ok", &raw.ok)?.unwrap_or(error.is_none()),
        error,
        text: private_text(&raw.text)?,
        duration_ms: amount("duration_ms", &raw.duration_ms)?,
    })
}

fn usage(raw: &Raw<'_>) -> Result<Kind, Refusal> {
    let input = whole("input_tokens", &raw.input_tokens)?;
    let output = whole("output_tokens", &raw.output_tokens)?;
    let cost = amount("cost", &raw.cost)?;
    if input.is_none() && output.is_none() && cost.is_none() {
        return Err(Refusal::new(RejectReason::Missing, "`input_tokens`, `output_tokens` and `cost` are all missing"));
    }
    Ok(Kind::Usage {
        input_tokens: input.unwrap_or(0),
        output_tokens: output.unwrap_or(0),
        cost,
        context_window: whole("context_window", &raw.context_window)?.filter(|&tokens| tokens > 0),
    })
}

/// Who speaks, by any of the words in use.
pub(in crate::ingest) fn role(word: &str) -> Role {
    match word {
        "agent" | "assistant" => Role::Agent,
        "user" | "human" => Role::User,
        _ => Role::Other,
    }
}

/// A name of an error as text, a status code as its digits, anything structured as canonical JSON. `null`, `false` and
/// the empty text are no error.
fn failure(json: &RawValue) -> Option<Failure> {
    let json = json.get();
    match serde_json::from_str::<Scalar<'_>>(json) {
        Ok(Scalar::Absent | Scalar::Bool(false)) => None,
        Ok(Scalar::Text(text)) => (!text.is_empty()).then(|| Failure::new(&text)),
        Ok(value) => Some(match value.whole() {
            Some(code) => Failure::new(&code.to_string()),
            None => Failure::new(&canonical(json)),
        }),
        Err(_) => Some(Failure::new(json)),
    }
}

fn claim(raw: &Raw<'_>) -> Result<ClaimKey, Refusal> {
    required("claim_id", key("claim_id", &raw.claim_id)?).map(|text| ClaimKey::of(&text))
}

/// RFC 3339, or nanoseconds since the Unix epoch as a number or as digits.
fn at(value: &Scalar<'_>) -> Result<Option<Timestamp>, Refusal> {
    let problem = || Refusal::invalid("at", "must be RFC 3339 or Unix nanoseconds, 1970 or later");
    let nanos = match value {
        Scalar::Absent => return Ok(None),
        Scalar::Text(text) if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) => {
            // More digits than fit are a time beyond all limits, which is the limit's to say.
            text.parse().unwrap_or(u64::MAX)
        }
        Scalar::Text(text) => {
            let moment: jiff::Timestamp = text.parse().map_err(|_| problem())?;
            u64::try_from(moment.as_nanosecond()).or(if moment > jiff::Timestamp::UNIX_EPOCH {
                Ok(u64::MAX)
            } else {
                Err(problem())
            })?
        }
        number => number.whole().ok_or_else(problem)?,
    };
    Ok(Some(Timestamp::from_nanos(i64::try_from(nanos).unwrap_or(i64::MAX))))
}

fn required<T>(field: &str, value: Option<T>) -> Result<T, Refusal> {
    value.ok_or_else(|| Refusal::missing(field))
}

/// A text that is not empty.
fn text<'v>(field: &str, value: &'v Scalar<'_>) -> Result<Option<&'v str>, Refusal> {
    match value {
        Scalar::Absent => Ok(None),
        Scalar::Text(text) => Ok(Some(text.as_ref()).filter(|text| !text.is_empty())),
        _ => Err(Refusal::invalid(field, "must be a string")),
    }
}

fn private_text(value: &Scalar<'_>) -> Result<Option<Text>, Refusal> {
    match value {
        Scalar::Absent => Ok(None),
        Scalar::Text(text) => Ok(Some(Text::new(text))),
        _ => Err(Refusal::invalid("text", "must be a string")),
    }
}

fn tool(value: &Scalar<'_>) -> Result<Option<ToolName>, Refusal> {
    Ok(text("tool", value)?.map(ToolName::fitted))
}

/// A key that is not empty.
fn key<'v>(field: &str, value: &'v Scalar<'_>) -> Result<Option<Cow<'v, str>>, Refusal> {
    if value.is_absent() {
        return Ok(None);
    }
    let text = value.key().ok_or_else(|| Refusal::invalid(field, "must be a string or a number"))?;
    if text.len() > LONGEST_KEY {
        return Err(Refusal::invalid(field, format_args!("must be at most {LONGEST_KEY} bytes long")));
    }
    Ok(Some(text).filter(|text| !text.is_empty()))
}

fn boolean(field: &str, value: &Scalar<'_>) -> Result<Option<bool>, Refusal> {
    match *value {
        Scalar::Absent => Ok(None),
        Scalar::Bool(value) => Ok(Some(value)),
        _ => Err(Refusal::invalid(field, "must be true or false")),
    }
}

fn number(field: &str, value: &Scalar<'_>) -> Result<Option<f64>, Refusal> {
    if value.is_absent() {
        return Ok(None);
    }
    value.number().map(Some).ok_or_else(|| Refusal::invalid(field, "must be a number"))
}

/// A finite number that is not negative.
fn amount(field: &str, value: &Scalar<'_>) -> Result<Option<f64>, Refusal> {
    match number(field, value)? {
        Some(amount) if !(amount.is_finite() && amount >= 0.0) => {
            Err(Refusal::invalid(field, "must be a finite number, 0 or more"))
        }
        amount => Ok(amount),
    }
}

fn whole(field: &str, value: &Scalar<'_>) -> Result<Option<u64>, Refusal> {
    if value.is_absent() {
        return Ok(None);
    }
    value.whole().map(Some).ok_or_else(|| Refusal::invalid(field, "must be a whole number, 0 or more"))
}
