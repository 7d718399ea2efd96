//! OTLP: recorded bodies, the mapping case by case, and both encodings against `opentelemetry-proto`.

use super::*;
use crate::domain::{Kind, ObservationKey, Role, Source};

mod encodings;
mod fixtures;
mod mapping;

const NOW: Timestamp = Timestamp::from_nanos(1_800_000_000_000_000_000);

/// Observations of a JSON request of traces with these spans, of a service `svc`.
fn spans(spans: &str) -> Batch {
    let body = format!(
        r#"{{"resourceSpans":[{{"scopeSpans":[{{"spans":[{spans}]}}],"resource":{{"attributes":[{}]}}}}]}}"#,
        attribute("service.name", "svc")
    );
    decode_traces(Encoding::Json, body.as_bytes(), NOW, &Limits::default()).unwrap()
}

/// Observations of a JSON request of logs with these records, of a service `svc`.
fn logs(records: &str) -> Batch {
    let body = format!(
        r#"{{"resourceLogs":[{{"resource":{{"attributes":[{}]}},"scopeLogs":[{{"logRecords":[{records}]}}]}}]}}"#,
        attribute("service.name", "svc")
    );
    decode_logs(Encoding::Json, body.as_bytes(), NOW, &Limits::default()).unwrap()
}

fn attribute(key: &str, value: &str) -> String {
    let value = if value.starts_with('{') { value.to_owned() } else { format!(r#"{{"stringValue":"{value}"}}"#) };
    format!(r#"{{"key":"{key}","value":{value}}}"#)
}

fn attributes(entries: &[(&str, &str)]) -> String {
    entries.iter().map(|(key, value)| attribute(key, value)).collect::<Vec<_>>().join(",")
}

/// A span from 1 s to 1.5 s with these attributes and more fields.
fn span(entries: &[(&str, &str)], more: &str) -> String {
    format!(
        r#"{{"traceId":"AB","spanId":"0A","parentSpanId":"0B","startTimeUnixNano":"1000000000","endTimeUnixNano":1500000000,"attributes":[{}]{more}}}"#,
        attributes(entries)
    )
}

/// The kinds that a span gives.
fn kinds(entries: &[(&str, &str)], more: &str) -> Vec<Kind> {
    let batch = spans(&span(entries, more));
    assert_eq!(batch.rejected, []);
    batch.accepted.into_iter().map(|observation| observation.kind).collect()
}

fn id(text: &str) -> Option<ObservationKey> {
    Some(ObservationKey::of(text))
}

fn messages(batch: &Batch) -> Vec<(Role, String)> {
    let said = |observation: &Observation| match &observation.kind {
        Kind::Message { role, text } => Some((*role, text.as_ref()?.excerpt().to_owned())),
        _ => None,
    };
    batch.accepted.iter().filter_map(said).collect()
}

fn sources(batch: &Batch) -> Vec<Source> {
    batch.accepted.iter().map(|observation| observation.source).collect()
}
