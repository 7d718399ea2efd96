//! A log record becomes observations; the table is in the documentation of [`super`].

use std::borrow::Cow;

use xxhash_rust::xxh3::xxh3_64;

use super::messages;
use super::record::{Arrival, EVALUATION, Recorder, verdict};
use super::span::{agent_message, user_message};
use super::wire::{Attributes, Log};
use crate::domain::{Observation, Source};
use crate::ingest::Refusal;

/// Adds the observations of a log record; none when it has nothing to do with agents.
pub(super) fn map(
    log: &Log<'_>,
    resource: &Attributes<'_>,
    arrival: Arrival<'_>,
    out: &mut Vec<Observation>,
) -> Result<(), Refusal> {
    // Before records had an event name, an attribute said it.
    let name = match log.event.as_ref() {
        "" => log.attributes.text(&["event.name"]).unwrap_or_default(),
        name => Cow::Borrowed(name),
    };
    if !name.starts_with("gen_ai.") {
        return Ok(());
    }
    let (stamped, observed) =
        (arrival.time("timeUnixNano", log.at)?, arrival.time("observedTimeUnixNano", log.observed)?);
    let at = stamped.or(observed);
    let mut recorder = Recorder::new(&log.attributes, resource, Source::OtlpLogs, out)?;
    // Names the record, so that a request that is sent twice counts once. Records without any time name nothing.
    let id = at.map(|at| {
        let what = log.attributes.text(&["gen_ai.evaluation.name"]).unwrap_or_default();
        let hash = xxh3_64(what.as_bytes());
        format!("{}:{}:{name}:{}:{hash:016x}", log.trace, log.span, at.as_nanos())
    });
    let at = at.unwrap_or(arrival.now);
    match name.as_ref() {
        EVALUATION => {
            if let Some(kind) = verdict(&log.attributes, log.span.clone()) {
                recorder.add(id, at, kind);
            }
        }
        "gen_ai.user.message" => {
            let said = messages::of_event(&log.body, &log.attributes);
            if let Some((own, kind)) = said.and_then(|said| user_message(&log.trace, &log.span, 0, &said)) {
                recorder.add(own.or(id), at, kind);
            }
        }
        "gen_ai.choice" => {
            if let Some(said) = messages::of_event(&log.body, &log.attributes) {
                add_answer(&mut recorder, log, id, at, &said);
            }
        }
        "gen_ai.client.inference.operation.details" => {
            if let Some((count, said)) = messages::input(&log.attributes)
                && let Some((own, kind)) = user_message(&log.trace, &log.span, count, &said)
            {
                recorder.add(own.or_else(|| id.clone()), at, kind);
            }
            if let Some(said) = messages::output(&log.attributes) {
                add_answer(&mut recorder, log, id, at, &said);
            }
        }
        // System, assistant and tool messages are history: they were seen when they were made.
        _ => {}
    }
    Ok(())
}

/// What the agent said. The id is the one that the span gives it, so that an answer on both counts once.
fn add_answer(
    recorder: &mut Recorder<'_>,
    log: &Log<'_>,
    id: Option<String>,
    at: crate::domain::Timestamp,
    said: &messages::Said,
) {
    for (letter, kind) in agent_message(said) {
        let id = if log.span.is_empty() { id.clone() } else { Some(log.span.to_string()) };
        recorder.add(id.map(|id| format!("{id}:{letter}")), at, kind);
    }
}
