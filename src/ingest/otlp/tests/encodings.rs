//! Both readers against `opentelemetry-proto`, and on input of any kind.

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue, KeyValue, KeyValueList, any_value::Value};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span as ProtoSpan, Status, span::Event};
use proptest::prelude::*;
use prost::Message;

use super::*;

const SECRET: &str = "SECRET-CANARY";

fn text() -> impl Strategy<Value = String> {
    prop::sample::select(vec![
        "",
        SECRET,
        "chat",
        "execute_tool",
        "pass",
        "0.5",
        "[{\"role\":\"user\",\"content\":\"SECRET-CANARY\"}]",
        "{\"b\":\"SECRET-CANARY\",\"a\":1}",
        "[[",
        "é\u{0}\"",
        "429",
    ])
    .prop_map(str::to_owned)
}

fn any_value() -> impl Strategy<Value = AnyValue> {
    let leaf = prop_oneof![
        text().prop_map(Value::StringValue),
        any::<bool>().prop_map(Value::BoolValue),
        any::<i64>().prop_map(Value::IntValue),
        (0u32..3000).prop_map(|n| Value::DoubleValue(f64::from(n) / 1000.0)),
        Just(Value::BytesValue(SECRET.into())),
    ]
    .prop_map(|value| AnyValue { value: Some(value) })
    .boxed();
    leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(|values| Value::ArrayValue(ArrayValue { values })),
            prop::collection::vec((text(), inner), 0..4).prop_map(|values| {
                let values = values.into_iter().map(|(key, value)| pair(&key, value)).collect();
                Value::KvlistValue(KeyValueList { values })
            }),
        ]
        .prop_map(|value| AnyValue { value: Some(value) })
    })
}

fn pair(key: &str, value: AnyValue) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(value), ..KeyValue::default() }
}

fn pairs() -> impl Strategy<Value = Vec<KeyValue>> {
    let key = prop::sample::select(vec![
        "gen_ai.operation.name",
        "gen_ai.tool.name",
        "gen_ai.tool.call.arguments",
        "gen_ai.tool.call.result",
        "gen_ai.usage.input_tokens",
        "gen_ai.usage.output_tokens",
        "gen_ai.input.messages",
        "gen_ai.output.messages",
        "gen_ai.prompt",
        "gen_ai.completion.0.content",
        "gen_ai.response.id",
        "gen_ai.conversation.id",
        "error.type",
        "metacog.confidence",
        "metacog.task",
        "gen_ai.evaluation.score.label",
        "gen_ai.evaluation.score.value",
        "exception.type",
        "content",
        "event.name",
        SECRET,
    ]);
    prop::collection::vec((key, any_value()).prop_map(|(key, value)| pair(key, value)), 0..6)
}

fn name() -> impl Strategy<Value = String> {
    prop::sample::select(vec![
        "exception",
        "gen_ai.evaluation.result",
        "gen_ai.choice",
        "gen_ai.user.message",
        SECRET,
        "",
        "gen_ai.client.inference.operation.details",
        "gen_ai.tool.message",
    ])
    .prop_map(str::to_owned)
}

fn time() -> impl Strategy<Value = u64> {
    prop_oneof![Just(0), 1..2_000_000_000u64, any::<u64>()]
}

fn id_bytes() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![Just(Vec::new()), prop::collection::vec(any::<u8>(), 8)]
}

fn proto_span() -> impl Strategy<Value = ProtoSpan> {
    let event = (name(), time(), pairs()).prop_map(|(name, time_unix_nano, attributes)| Event {
        name,
        time_unix_nano,
        attributes,
        ..Event::default()
    });
    let status = prop::option::of((0..3, text()).prop_map(|(code, message)| Status { code, message }));
    (id_bytes(), id_bytes(), name(), time(), time(), pairs(), prop::collection::vec(event, 0..3), status).prop_map(
        |(span_id, parent_span_id, name, start_time_unix_nano, end_time_unix_nano, attributes, events, status)| {
            ProtoSpan {
                trace_id: parent_span_id.clone(),
                span_id,
                parent_span_id,
                name,
                start_time_unix_nano,
                end_time_unix_nano,
                attributes,
                events,
                status,
                flags: 257,
                kind: 3,
                trace_state: SECRET.to_owned(),
                ..ProtoSpan::default()
            }
        },
    )
}

fn resource() -> impl Strategy<Value = Option<Resource>> {
    prop::option::weighted(0.9, Just(())).prop_map(|given| {
        let service = AnyValue { value: Some(Value::StringValue("svc".into())) };
        given.map(|()| Resource { attributes: vec![pair("service.name", service)], ..Resource::default() })
    })
}

fn traces() -> impl Strategy<Value = ExportTraceServiceRequest> {
    let group = (resource(), prop::collection::vec(proto_span(), 0..4)).prop_map(|(resource, spans)| {
        let scope_spans = vec![ScopeSpans { spans, ..ScopeSpans::default() }];
        ResourceSpans { resource, scope_spans, ..ResourceSpans::default() }
    });
    prop::collection::vec(group, 0..3).prop_map(|resource_spans| ExportTraceServiceRequest { resource_spans })
}

fn logs_request() -> impl Strategy<Value = ExportLogsServiceRequest> {
    let record = (id_bytes(), name(), time(), time(), pairs(), prop::option::of(any_value())).prop_map(
        |(span_id, event_name, time_unix_nano, observed_time_unix_nano, attributes, body)| LogRecord {
            trace_id: span_id.clone(),
            span_id,
            event_name,
            time_unix_nano,
            observed_time_unix_nano,
            attributes,
            body,
            severity_text: SECRET.to_owned(),
            severity_number: 9,
            ..LogRecord::default()
        },
    );
    (resource(), prop::collection::vec(record, 0..4)).prop_map(|(resource, log_records)| {
        let scope_logs = vec![ScopeLogs { log_records, ..ScopeLogs::default() }];
        let resource_logs = vec![ResourceLogs { resource, scope_logs, ..ResourceLogs::default() }];
        ExportLogsServiceRequest { resource_logs }
    })
}

/// Everything an answer shows.
fn shown(answer: &Result<Batch, Error>) -> String {
    match answer {
        Err(error) => format!("{error} {error:?}"),
        Ok(batch) => [Encoding::Json, Encoding::Protobuf]
            .iter()
            .flat_map(|encoding| [traces_response(batch, *encoding), logs_response(batch, *encoding)])
            .map(|(_, body)| String::from_utf8_lossy(&body).into_owned())
            // Names of tools are shown by design; the agent's name is not random here.
            .chain(batch.accepted.iter().filter(|it| !names_a_tool(it)).map(|it| format!("{it:?}")))
            .chain([format!("{:?}", batch.rejected)])
            .collect(),
    }
}

fn names_a_tool(observation: &Observation) -> bool {
    matches!(observation.kind, Kind::Action { .. } | Kind::Result { .. })
}

fn damaged(mut bytes: Vec<u8>, place: &prop::sample::Index, byte: Option<u8>) -> Vec<u8> {
    if !bytes.is_empty() {
        let place = place.index(bytes.len());
        match byte {
            Some(byte) => bytes[place] = byte,
            None => bytes.truncate(place),
        }
    }
    bytes
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// What `opentelemetry-proto` writes is read alike from either encoding, field by field.
    #[test]
    fn spans_are_read_alike(given in proto_span()) {
        let bytes = given.encode_to_vec();
        let json = serde_json::to_string(&given).unwrap();
        let (from_protobuf, from_json) = (protobuf::span(&bytes).unwrap(), json::span(&json).unwrap());
        prop_assert!(from_protobuf == from_json);
        prop_assert_eq!(from_protobuf.start, given.start_time_unix_nano);
        prop_assert_eq!(from_protobuf.end, given.end_time_unix_nano);
        prop_assert_eq!(&from_protobuf.name, &given.name);
        prop_assert_eq!(from_protobuf.status.failed, given.status.as_ref().is_some_and(|status| status.code == 2));
        let keys = |list: &[KeyValue]| list.iter().map(|entry| entry.key.clone()).collect::<Vec<_>>();
        let read: Vec<_> = from_protobuf.attributes.0.iter().map(|(key, _)| key.to_string()).collect();
        prop_assert_eq!(read, keys(&given.attributes));
        prop_assert_eq!(from_protobuf.events.len(), given.events.len());
        for (entry, (_, value)) in given.attributes.iter().zip(&from_protobuf.attributes.0) {
            prop_assert!(same(entry.value.as_ref(), value));
        }
    }

    #[test]
    fn requests_are_read_alike_and_nothing_private_is_shown(traces in traces(), logs in logs_request()) {
        let limits = Limits::default();
        let protobuf = decode_traces(Encoding::Protobuf, &traces.encode_to_vec(), NOW, &limits);
        let json = decode_traces(Encoding::Json, &serde_json::to_vec(&traces).unwrap(), NOW, &limits);
        prop_assert!(protobuf.is_ok());
        prop_assert_eq!(&protobuf, &json);
        prop_assert!(!shown(&protobuf).contains("CANARY"));

        let protobuf = decode_logs(Encoding::Protobuf, &logs.encode_to_vec(), NOW, &limits);
        let json = decode_logs(Encoding::Json, &serde_json::to_vec(&logs).unwrap(), NOW, &limits);
        prop_assert!(protobuf.is_ok());
        prop_assert_eq!(&protobuf, &json);
        prop_assert!(!shown(&protobuf).contains("CANARY"));
    }

    /// What `opentelemetry-proto` reads, this reads; neither panics on anything, nor says anything private.
    #[test]
    fn total_on_damaged_bodies(traces in traces(), logs in logs_request(), place in any::<prop::sample::Index>(), byte in any::<Option<u8>>()) {
        let limits = Limits::default();
        let body = damaged(traces.encode_to_vec(), &place, byte);
        let answer = decode_traces(Encoding::Protobuf, &body, NOW, &limits);
        prop_assert!(!shown(&answer).contains("CANARY"));
        if ExportTraceServiceRequest::decode(body.as_slice()).is_ok() {
            prop_assert!(answer.is_ok());
        }
        let body = damaged(serde_json::to_vec(&traces).unwrap(), &place, byte);
        prop_assert!(!shown(&decode_traces(Encoding::Json, &body, NOW, &limits)).contains("CANARY"));
        let body = damaged(logs.encode_to_vec(), &place, byte);
        prop_assert!(!shown(&decode_logs(Encoding::Protobuf, &body, NOW, &limits)).contains("CANARY"));
        let body = damaged(serde_json::to_vec(&logs).unwrap(), &place, byte);
        prop_assert!(!shown(&decode_logs(Encoding::Json, &body, NOW, &limits)).contains("CANARY"));
    }

    #[test]
    fn total_on_random_bytes(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        for encoding in [Encoding::Protobuf, Encoding::Json] {
            let _ = decode_traces(encoding, &bytes, NOW, &Limits::default());
            let _ = decode_logs(encoding, &bytes, NOW, &Limits::default());
        }
        let _ = protobuf::span(&bytes);
        let _ = protobuf::log(&bytes);
    }
}

fn same(given: Option<&AnyValue>, read: &wire::Value<'_>) -> bool {
    match (given.and_then(|given| given.value.as_ref()), read) {
        (None, wire::Value::Empty) | (Some(Value::BytesValue(_)), wire::Value::Bytes) => true,
        (Some(Value::StringValue(a)), wire::Value::Text(b)) => a == b,
        (Some(Value::BoolValue(a)), wire::Value::Bool(b)) => a == b,
        (Some(Value::IntValue(a)), wire::Value::Int(b)) => a == b,
        (Some(Value::DoubleValue(a)), wire::Value::Double(b)) => a == b,
        (Some(Value::ArrayValue(a)), wire::Value::Array(b)) => {
            a.values.len() == b.len() && a.values.iter().zip(b).all(|(a, b)| same(Some(a), b))
        }
        (Some(Value::KvlistValue(a)), wire::Value::Map(b)) => {
            a.values.len() == b.0.len() && a.values.iter().zip(&b.0).all(|(a, (_, b))| same(a.value.as_ref(), b))
        }
        _ => false,
    }
}

#[test]
fn bodies_that_are_no_requests_are_errors() {
    let traces = |encoding, body: &[u8]| decode_traces(encoding, body, NOW, &Limits::default());
    let protobuf = Err(Error::Protobuf { message: "ExportTraceServiceRequest" });
    assert_eq!(traces(Encoding::Protobuf, b"{\"resourceSpans\":[]}"), protobuf);
    assert_eq!(traces(Encoding::Protobuf, &[0x0a, 0xff, 0xff, 0xff, 0xff, 0x0f]), protobuf);
    assert_eq!(traces(Encoding::Protobuf, b""), Ok(Batch::default()));
    assert_eq!(traces(Encoding::Json, b"{}"), Ok(Batch::default()));
    assert_eq!(traces(Encoding::Json, b"{\"resourceSpans\":null,\"new\":[1e999]}"), Ok(Batch::default()));
    assert_eq!(traces(Encoding::Json, b"{\"resourceSpans\":["), Err(Error::Json { line: 1, column: 18 }));
    for other in ["[]", "7", r#"{"resourceSpans":7}"#, r#"{"resourceSpans":[7]}"#, r#"{"resourceLogs":[]}"#] {
        assert!(matches!(traces(Encoding::Json, other.as_bytes()), Err(Error::Shape { .. })), "{other}");
    }
    assert!(matches!(
        decode_logs(Encoding::Json, br#"{"resourceSpans":[]}"#, NOW, &Limits::default()),
        Err(Error::Shape { .. })
    ));
}

#[test]
fn a_broken_span_costs_itself_only() {
    let good = span(&[("gen_ai.operation.name", "chat")], "");
    for bad in [
        r#"{"name":7}"#,
        r#"{"startTimeUnixNano":"soon"}"#,
        r#"{"attributes":[{"key":"a","value":{"intValue":"x"}}]}"#,
        "null",
    ] {
        let batch = spans(&[good.as_str(), bad, good.as_str()].join(","));
        assert_eq!(batch.accepted.len(), 2, "{bad}");
        assert_eq!((batch.rejected[0].index, batch.rejected[0].error.as_str()), (1, "not a valid span"));
    }
    // The same in protobuf: a name that is not UTF-8.
    let scope = [0x12, 5, 0x12, 3, 0x2a, 1, 0xff];
    let body = [&[0x0a, scope.len() as u8][..], &scope].concat();
    let batch = decode_traces(Encoding::Protobuf, &body, NOW, &Limits::default()).unwrap();
    assert_eq!(batch.rejected[0].error, "not a valid span");
}

#[test]
fn hostile_nesting_and_numbers_are_bounded() {
    let mut value = AnyValue { value: Some(Value::StringValue("x".into())) };
    for _ in 0..60 {
        value = AnyValue { value: Some(Value::ArrayValue(ArrayValue { values: vec![value] })) };
    }
    let deep = ProtoSpan { attributes: vec![pair("gen_ai.tool.call.arguments", value)], ..ProtoSpan::default() };
    assert!(protobuf::span(&deep.encode_to_vec()).is_ok());
    let json = format!(
        r#"{{"attributes":[{{"key":"a","value":{}{}}}]}}"#,
        r#"{"arrayValue":{"values":["#.repeat(100_000),
        "]}}".repeat(100_000)
    );
    assert_eq!(spans(&json).rejected[0].error, "not a valid span");

    let empty = ProtoSpan { attributes: vec![KeyValue::default(); 5000], ..ProtoSpan::default() };
    assert_eq!(protobuf::span(&empty.encode_to_vec()).unwrap().attributes.0.len(), wire::MOST);

    let many = vec![span(&[("gen_ai.operation.name", "chat")], ""); 4].join(",");
    let body = format!(r#"{{"resourceSpans":[{{"scopeSpans":[{{"spans":[{many}]}}]}}]}}"#);
    let limits = Limits { items: 3, ..Limits::default() };
    assert_eq!(decode_traces(Encoding::Json, body.as_bytes(), NOW, &limits), Err(Error::TooMany { limit: 3 }));
}

#[test]
fn content_types_name_encodings() {
    assert_eq!(Encoding::of("application/x-protobuf"), Some(Encoding::Protobuf));
    assert_eq!(Encoding::of("Application/JSON; charset=utf-8"), Some(Encoding::Json));
    assert_eq!(Encoding::of("text/plain"), None);
}
