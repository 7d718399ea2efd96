//! A span becomes observations; the table is in the documentation of [`super`].

use std::borrow::Cow;

use super::messages::{self, Said};
use super::record::{Arrival, CLAIM_ID, EVALUATION, RESPONSE_ID, Recorder, verdict};
use super::wire::{Attributes, Event, Span, Value};
use crate::domain::{
    CallKey, ClaimKey, Failure, Kind, Observation, Probability, Role, Source, TaskKey, Text, Timestamp, ToolName,
};
use crate::ingest::Refusal;
use crate::ingest::canonical::canonical;

const OPERATION: &str = "gen_ai.operation.name";
const CONFIDENCE: &str = "metacog.confidence";
const TOOL: [&str; 2] = ["gen_ai.tool.name", "tool_name"];
const ARGUMENTS: [&str; 2] = ["gen_ai.tool.call.arguments", "tool_arguments"];
const OUTCOME: [&str; 2] = ["gen_ai.tool.call.result", "tool_response"];
const INPUT_TOKENS: [&str; 3] = ["gen_ai.usage.input_tokens", "gen_ai.usage.prompt_tokens", "llm.usage.prompt_tokens"];
const OUTPUT_TOKENS: [&str; 3] =
    ["gen_ai.usage.output_tokens", "gen_ai.usage.completion_tokens", "llm.usage.completion_tokens"];

/// Adds the observations of a span; none when it has nothing to do with agents.
pub(super) fn map(
    span: &Span<'_>,
    resource: &Attributes<'_>,
    arrival: Arrival<'_>,
    out: &mut Vec<Observation>,
) -> Result<(), Refusal> {
    let operation = operation(span);
    if operation.is_none()
        && span.attributes.get(&[CONFIDENCE]).is_none()
        && !span.events.iter().any(|event| event.name == EVALUATION)
    {
        return Ok(());
    }
    let confidence = confidence(&span.attributes)?;
    let started = arrival.time("startTimeUnixNano", span.start)?;
    let ended = arrival.time("endTimeUnixNano", span.end)?;
    let recorder = Recorder::new(&span.attributes, resource, Source::OtlpTraces, out)?;
    let end = ended.or(started).unwrap_or(arrival.now);
    let mut mapping = Mapping {
        span,
        start: started.unwrap_or(end).min(end),
        end,
        duration_ms: started.zip(ended).map(|(start, end)| end.since(start).as_secs_f64() * 1e3),
        failure: failure(span),
        recorder,
    };
    match operation {
        Some(Operation::Tool) => mapping.tool(),
        Some(Operation::Inference) => mapping.inference(),
        Some(Operation::Embeddings) => {
            mapping.usage();
            mapping.failed("embeddings");
        }
        Some(Operation::Evaluation) => {
            let claim = span.parent.clone();
            if let Some(kind) = verdict(&span.attributes, claim) {
                mapping.add("v", end, kind);
            }
            return Ok(());
        }
        Some(Operation::Agent(name)) => mapping.failed(&name),
        None => {}
    }
    if let Some(confidence) = confidence {
        mapping.claim(confidence);
    }
    for (i, event) in span.events.iter().enumerate() {
        mapping.event(i, event, arrival)?;
    }
    // Nothing to say, but alive.
    if operation_is_agentic(span) && mapping.recorder.is_empty() {
        mapping.add("s", end, Kind::Thought { text: None });
    }
    Ok(())
}

/// What a span is about.
enum Operation<'a> {
    Tool,
    Inference,
    Embeddings,
    /// `invoke_agent`, `create_agent`, and whatever the conventions will name next.
    Agent(Cow<'a, str>),
    /// An evaluation that came as a span of its own.
    Evaluation,
}

fn operation<'s>(span: &'s Span<'_>) -> Option<Operation<'s>> {
    let attributes = &span.attributes;
    if let Some(name) = attributes.text(&[OPERATION]) {
        return Some(match name.as_ref() {
            "execute_tool" => Operation::Tool,
            "chat" | "text_completion" | "generate_content" | "completion" => Operation::Inference,
            "embeddings" | "embedding" => Operation::Embeddings,
            _ => Operation::Agent(name),
        });
    }
    if span.name == EVALUATION {
        return Some(Operation::Evaluation);
    }
    // Before version 1.27 of the conventions there was no operation name.
    if attributes.get(&TOOL).is_some() || span.name.starts_with("execute_tool ") {
        Some(Operation::Tool)
    } else if attributes.any_starts_with("gen_ai.usage.")
        || attributes.any_starts_with("gen_ai.response.")
        || attributes.get(&["gen_ai.request.model"]).is_some()
    {
        Some(Operation::Inference)
    } else {
        attributes.any_starts_with("gen_ai.").then_some(Operation::Agent(Cow::Borrowed("agent")))
    }
}

fn operation_is_agentic(span: &Span<'_>) -> bool {
    operation(span).is_some()
}

fn confidence(attributes: &Attributes<'_>) -> Result<Option<Probability>, Refusal> {
    let Some(value) = attributes.get(&[CONFIDENCE]) else { return Ok(None) };
    match value.number().and_then(Probability::new) {
        None => Err(Refusal::invalid(CONFIDENCE, "must be a number from 0 to 1")),
        known => Ok(known),
    }
}

/// How the span failed, when it did: by `error.type`, else the exception's type, else the status.
fn failure(span: &Span<'_>) -> Option<Failure> {
    let named = span.attributes.text(&["error.type"]);
    if named.is_none() && !span.status.failed {
        return None;
    }
    let raised = || {
        let exception = span.events.iter().rev().find(|event| event.name == "exception")?;
        exception.attributes.text(&["exception.type"])
    };
    let status = || Some(span.status.message.as_ref()).filter(|message| !message.is_empty()).map(Cow::Borrowed);
    Some(Failure::new(&named.or_else(raised).or_else(status).unwrap_or(Cow::Borrowed("error"))))
}

/// One span on its way to observations.
struct Mapping<'s, 'o> {
    span: &'s Span<'s>,
    start: Timestamp,
    end: Timestamp,
    duration_ms: Option<f64>,
    failure: Option<Failure>,
    recorder: Recorder<'o>,
}

impl Mapping<'_, '_> {
    /// Adds an observation whose id is the span's and this suffix.
    fn add(&mut self, suffix: &str, at: Timestamp, kind: Kind) {
        let id = (!self.span.id.is_empty()).then(|| [&*self.span.id, ":", suffix].concat());
        self.recorder.add(id, at, kind);
    }

    /// Joins what this span alone says: call ids of models repeat across runs, span ids do not.
    fn call(&self) -> Option<CallKey> {
        let id = Some(Cow::Borrowed(&*self.span.id)).filter(|id| !id.is_empty());
        id.or_else(|| self.span.attributes.text(&["gen_ai.tool.call.id"])).map(|id| CallKey::of(&id))
    }

    fn tool(&mut self) {
        let attributes = &self.span.attributes;
        let name = attributes
            .text(&TOOL)
            .unwrap_or_else(|| Cow::Borrowed(self.span.name.strip_prefix("execute_tool ").unwrap_or(&self.span.name)));
        let tool = ToolName::fitted(if name.is_empty() { "unnamed" } else { &name });
        let call = self.call();
        let arguments = attributes.get(&ARGUMENTS).map(|value| Text::new(&canonical(&value.json())));
        let text = attributes.get(&OUTCOME).map(plain).or_else(|| {
            let event = self.span.events.iter().find(|event| event.name == "gen_ai.tool.message")?;
            Some(Text::new(&messages::of_event(&Value::Empty, &event.attributes)?.text))
        });
        self.add("a", self.start, Kind::Action { tool: tool.clone(), arguments, call });
        let (ok, error, duration_ms) = (self.failure.is_none(), self.failure.clone(), self.duration_ms);
        self.add("r", self.end, Kind::Result { call, tool: Some(tool), ok, error, text, duration_ms });
    }

    fn inference(&mut self) {
        let input = messages::input(&self.span.attributes);
        if let Some((count, said)) = input {
            self.asked(count, &said, self.start);
        }
        self.usage();
        if let Some(said) = messages::output(&self.span.attributes) {
            self.answered(&said, "", self.end);
        }
        self.failed("chat");
    }

    fn asked(&mut self, count: usize, said: &Said, at: Timestamp) {
        if let Some((id, kind)) = user_message(&self.span.trace, &self.span.id, count, said) {
            self.recorder.add(id, at, kind);
        }
    }

    fn answered(&mut self, said: &Said, suffix: &str, at: Timestamp) {
        for (letter, kind) in agent_message(said) {
            self.add(&format!("{letter}{suffix}"), at, kind);
        }
    }

    fn usage(&mut self) {
        let attributes = &self.span.attributes;
        let (input, output) = (attributes.whole(&INPUT_TOKENS), attributes.whole(&OUTPUT_TOKENS));
        if input.is_some() || output.is_some() {
            let cost = attributes.get(&["gen_ai.usage.cost"]).and_then(Value::number);
            let kind = Kind::Usage {
                input_tokens: input.unwrap_or(0),
                output_tokens: output.unwrap_or(0),
                cost: cost.filter(|cost| cost.is_finite() && *cost >= 0.0),
                context_window: attributes.whole(&["metacog.context_window"]).filter(|&tokens| tokens > 0),
            };
            self.add("u", self.end, kind);
        }
    }

    /// A failure of something that is no tool: a result without an action, so that it counts but is no step.
    fn failed(&mut self, tool: &str) {
        if let Some(error) = self.failure.clone() {
            let (call, tool) = (self.call(), Some(ToolName::fitted(tool)));
            let duration_ms = self.duration_ms;
            self.add(
                "r",
                self.end,
                Kind::Result { call, tool, ok: false, error: Some(error), text: None, duration_ms },
            );
        }
    }

    /// The key by which verdicts find the span's claim.
    fn claim_id(&self) -> Cow<'_, str> {
        self.span.attributes.text(&[CLAIM_ID, RESPONSE_ID]).unwrap_or(Cow::Borrowed(&self.span.id))
    }

    fn claim(&mut self, confidence: Probability) {
        let claim = ClaimKey::of(&self.claim_id());
        let task = self.span.attributes.text(&["metacog.task"]).map(|task| TaskKey::of(&task));
        self.add("c", self.end, Kind::Claim { claim, confidence, correct: None, task });
    }

    fn event(&mut self, i: usize, event: &Event<'_>, arrival: Arrival<'_>) -> Result<(), Refusal> {
        let at = arrival.time("timeUnixNano", event.at)?.unwrap_or(self.end);
        match event.name.as_ref() {
            EVALUATION => {
                if let Some(kind) = verdict(&event.attributes, self.claim_id()) {
                    self.add(&format!("v{i}"), at, kind);
                }
            }
            "gen_ai.user.message" => {
                if let Some(said) = messages::of_event(&Value::Empty, &event.attributes) {
                    self.asked(0, &said, at);
                }
            }
            "gen_ai.choice" => {
                if let Some(said) = messages::of_event(&Value::Empty, &event.attributes) {
                    self.answered(&said, "", at);
                }
            }
            // Three generations of events that carry the whole conversation as attributes.
            "gen_ai.content.prompt" | "gen_ai.content.completion" | "gen_ai.client.inference.operation.details" => {
                if let Some((count, said)) = messages::input(&event.attributes) {
                    self.asked(count, &said, at);
                }
                if let Some(said) = messages::output(&event.attributes) {
                    self.answered(&said, "", at);
                }
            }
            _ => {}
        }
        Ok(())
    }
}

/// The message of a user, when the last message is one and its text is known. Histories repeat in each call of a run, so
/// the id says which message of which trace it is, and the same one counts once.
pub(super) fn user_message(trace: &str, span: &str, count: usize, said: &Said) -> Option<(Option<String>, Kind)> {
    if said.role.is_some_and(|role| role != Role::User) || said.text.is_empty() {
        return None;
    }
    let text = Text::new(&said.text);
    let run = if trace.is_empty() { span } else { trace };
    let id = (!run.is_empty()).then(|| format!("{run}:user:{count}:{:016x}", text.hash()));
    Some((id, Kind::Message { role: Role::User, text: Some(text) }))
}

/// What an agent said and thought, each with a letter for its id.
pub(super) fn agent_message(said: &Said) -> impl Iterator<Item = (char, Kind)> {
    let text = |text: &str| (!text.is_empty()).then(|| Text::new(text));
    let thought = text(&said.thought).map(|text| ('t', Kind::Thought { text: Some(text) }));
    let message = text(&said.text).map(|text| ('m', Kind::Message { role: Role::Agent, text: Some(text) }));
    thought.into_iter().chain(message)
}

/// A text as it is; anything structured as canonical JSON.
fn plain(value: &Value<'_>) -> Text {
    match value {
        Value::Text(text) => Text::new(text),
        value => Text::new(&canonical(&value.json())),
    }
}
