//! What is answered to an OTLP exporter.

use opentelemetry_proto::tonic::collector::logs::v1::{ExportLogsPartialSuccess, ExportLogsServiceResponse};
use opentelemetry_proto::tonic::collector::trace::v1::{ExportTracePartialSuccess, ExportTraceServiceResponse};
use prost::Message;
use serde_json::json;

use super::Encoding;
use crate::ingest::{Batch, Rejection};

/// Most kinds of problems that a message lists.
const LISTED: usize = 3;

/// The answer to an accepted `POST /v1/traces`: content type and body. It is an empty message, unless spans were
/// rejected: then it says how many and why.
pub fn traces_response(batch: &Batch, encoding: Encoding) -> (&'static str, Vec<u8>) {
    let partial_success = partial(batch)
        .map(|(rejected_spans, error_message)| ExportTracePartialSuccess { rejected_spans, error_message });
    let body = match (encoding, partial_success) {
        (Encoding::Protobuf, partial_success) => ExportTraceServiceResponse { partial_success }.encode_to_vec(),
        (Encoding::Json, None) => b"{}".to_vec(),
        (Encoding::Json, Some(partial)) => json!({"partialSuccess": {
            "rejectedSpans": partial.rejected_spans.to_string(),
            "errorMessage": partial.error_message,
        }})
        .to_string()
        .into_bytes(),
    };
    (encoding.content_type(), body)
}

/// The answer to an accepted `POST /v1/logs`, like [`traces_response`].
pub fn logs_response(batch: &Batch, encoding: Encoding) -> (&'static str, Vec<u8>) {
    let partial_success = partial(batch)
        .map(|(rejected_log_records, error_message)| ExportLogsPartialSuccess { rejected_log_records, error_message });
    let body = match (encoding, partial_success) {
        (Encoding::Protobuf, partial_success) => ExportLogsServiceResponse { partial_success }.encode_to_vec(),
        (Encoding::Json, None) => b"{}".to_vec(),
        (Encoding::Json, Some(partial)) => json!({"partialSuccess": {
            "rejectedLogRecords": partial.rejected_log_records.to_string(),
            "errorMessage": partial.error_message,
        }})
        .to_string()
        .into_bytes(),
    };
    (encoding.content_type(), body)
}

/// The body of a refusal, a `google.rpc.Status`: content type and body. `code` is one of gRPC's (3: invalid argument, 8:
/// resource exhausted, 14: unavailable, 16: unauthenticated).
pub fn status_body(encoding: Encoding, code: i32, message: &str) -> (&'static str, Vec<u8>) {
    let body = match encoding {
        Encoding::Protobuf => Status { code, message: message.to_owned() }.encode_to_vec(),
        Encoding::Json => json!({"code": code, "message": message}).to_string().into_bytes(),
    };
    (encoding.content_type(), body)
}

/// `google.rpc.Status` without details.
#[derive(Clone, PartialEq, Message)]
struct Status {
    #[prost(int32, tag = "1")]
    code: i32,
    #[prost(string, tag = "2")]
    message: String,
}

/// How many records were rejected, and why; `None` when none was.
fn partial(batch: &Batch) -> Option<(i64, String)> {
    if batch.rejected.is_empty() {
        return None;
    }
    let mut kinds: Vec<(&Rejection, usize)> = Vec::new();
    let mut unlisted = 0;
    for rejection in &batch.rejected {
        if let Some((_, count)) = kinds.iter_mut().find(|(first, _)| first.error == rejection.error) {
            *count += 1;
        } else if kinds.len() < LISTED {
            kinds.push((rejection, 1));
        } else {
            unlisted += 1;
        }
    }
    let listed: Vec<String> = kinds
        .iter()
        .map(|(first, count)| format!("{} ({count} rejected, the first at index {})", first.error, first.index))
        .chain((unlisted > 0).then(|| format!("{unlisted} more for other reasons")))
        .collect();
    Some((i64::try_from(batch.rejected.len()).unwrap_or(i64::MAX), listed.join("; ")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ingest::RejectReason;

    fn batch(errors: &[&str]) -> Batch {
        let rejected = errors.iter().enumerate().map(|(index, error)| Rejection {
            index: index + 5,
            error: (*error).to_owned(),
            reason: RejectReason::Invalid,
        });
        Batch { accepted: Vec::new(), rejected: rejected.collect() }
    }

    #[test]
    fn full_success_says_nothing() {
        for respond in [traces_response, logs_response] {
            assert_eq!(respond(&batch(&[]), Encoding::Json), ("application/json", b"{}".to_vec()));
            assert_eq!(respond(&batch(&[]), Encoding::Protobuf), ("application/x-protobuf", Vec::new()));
        }
    }

    #[test]
    fn partial_success_counts_and_explains() {
        let batch = batch(&["a", "b", "a", "c", "d", "e"]);
        let message = "a (2 rejected, the first at index 5); b (1 rejected, the first at index 6); \
                       c (1 rejected, the first at index 8); 2 more for other reasons";
        let spans = ExportTracePartialSuccess { rejected_spans: 6, error_message: message.to_owned() };
        let logs = ExportLogsPartialSuccess { rejected_log_records: 6, error_message: message.to_owned() };
        let (_, body) = traces_response(&batch, Encoding::Protobuf);
        let read = ExportTraceServiceResponse::decode(body.as_slice()).unwrap();
        assert_eq!(read.partial_success, Some(spans));
        let (_, body) = logs_response(&batch, Encoding::Protobuf);
        let read = ExportLogsServiceResponse::decode(body.as_slice()).unwrap();
        assert_eq!(read.partial_success, Some(logs));
        let (_, body) = traces_response(&batch, Encoding::Json);
        let expected = json!({"partialSuccess": {"rejectedSpans": "6", "errorMessage": message}});
        assert_eq!(serde_json::from_slice::<serde_json::Value>(&body).unwrap(), expected);
        let (_, body) = logs_response(&batch, Encoding::Json);
        let expected = json!({"partialSuccess": {"rejectedLogRecords": "6", "errorMessage": message}});
        assert_eq!(serde_json::from_slice::<serde_json::Value>(&body).unwrap(), expected);
    }

    #[test]
    fn refusals_are_statuses() {
        let (kind, body) = status_body(Encoding::Protobuf, 3, "no");
        assert_eq!((kind, body.as_slice()), ("application/x-protobuf", &[8, 3, 18, 2, b'n', b'o'][..]));
        let (kind, body) = status_body(Encoding::Json, 3, "no");
        assert_eq!((kind, body.as_slice()), ("application/json", &br#"{"code":3,"message":"no"}"#[..]));
    }
}
