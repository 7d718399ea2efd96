//! OpenTelemetry: bodies that real exporters sent, the real SDK, and what is wrong with a request.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, SystemTime};

use opentelemetry_proto::tonic::collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse};
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use prost::Message;
use serde_json::{Value, json};
use tokio::process::Command;
use tokio::sync::OnceCell;

use crate::support::{Answer, Daemon, gzip, token};

const PROTOBUF: &str = "application/x-protobuf";
const JSON: &str = "application/json";

/// Nanoseconds at which the fixtures were recorded, within some minutes.
const RECORDED: std::ops::Range<u64> = 1_795_470_000_000_000_000..1_795_500_000_000_000_000;

/// A recorded protobuf body. Its times, eight bytes each, are moved to the last hour: the clock of the machine that runs
/// the tests may be behind that of the one that recorded them, and the future is refused.
fn recorded(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/otlp").join(name);
    let mut body = std::fs::read(path).expect("the fixture is there");
    if name.contains("gzip") {
        let mut plain = Vec::new();
        std::io::copy(&mut flate2::read::GzDecoder::new(body.as_slice()), &mut plain).expect("it is gzip");
        body = plain;
    }
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    let start = u64::try_from((now - Duration::from_hours(10)).as_nanos()).unwrap();
    let mut moved = 0;
    for i in 0..body.len() - 7 {
        let bytes: [u8; 8] = body[i..i + 8].try_into().unwrap();
        let time = u64::from_le_bytes(bytes);
        if RECORDED.contains(&time) {
            body[i..i + 8].copy_from_slice(&(time - RECORDED.start + start).to_le_bytes());
            moved += 1;
        }
    }
    assert!(moved > 0, "{name} has times");
    body
}

#[tokio::test]
async fn recorded_exports_are_taken_once() {
    let daemon = Daemon::start(&[]).await;
    let node =
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/otlp/node-v1_traces.json"));
    let node = node.expect("the fixture is there");
    // Times in JSON are texts of nanoseconds; they all begin alike.
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    let node = node.replace("\"1795478988", &format!("\"{}", now - 60));
    let bodies = [
        ("/v1/traces", PROTOBUF, recorded("python-v1_traces.bin"), false),
        ("/v1/logs", PROTOBUF, recorded("python-v1_logs.bin"), false),
        ("/v1/traces", PROTOBUF, recorded("python-gzip-v1_traces.bin"), true),
        ("/v1/logs", PROTOBUF, recorded("python-gzip-v1_logs.bin"), true),
        ("/v1/logs", PROTOBUF, recorded("client-gzip-v1_logs.bin"), true),
        ("/v1/traces", PROTOBUF, recorded("client-gzip-v1_traces.bin"), true),
        ("/v1/traces", JSON, node.clone().into_bytes(), false),
        ("/v1/traces", "application/json; charset=utf-8", node.into_bytes(), true),
    ];
    for attempt in 0..2 {
        for (path, content_type, body, zipped) in &bodies {
            let body = if *zipped { gzip(body) } else { body.clone() };
            let mut request = daemon.post(path, content_type, body);
            if *zipped {
                request = request.header("content-encoding", "gzip");
            }
            let answer = Answer::to(request).await;
            let (kind, whole): (_, &[u8]) = if *content_type == PROTOBUF { (PROTOBUF, b"") } else { (JSON, b"{}") };
            let got = (answer.status, answer.header("content-type"), &*answer.body);
            assert_eq!(got, (200, kind, whole), "{path} {content_type}, attempt {attempt}");
        }
    }
    let state = daemon.settled().await;
    let observations = |agent: &str| state["agents"][agent]["observations"].as_u64();
    // Two runs of four rounds: usage, action and result, a verdict each, and one question a run.
    assert_eq!(observations("fixture-agent"), Some(2 * (4 * 4 + 1)));
    assert_eq!(observations("agt_7"), Some(2));
    assert_eq!(observations("node-agent"), Some(2));
    // Five rounds: usage, answer, claim, two actions with results, and a verdict; one question; one invocation.
    assert_eq!(observations("otel-agent"), Some(5 * 8 + 2));
    assert_eq!(state["agents"]["otel-agent"]["load"]["input_tokens"], 5 * 1000 + 10);
    let text = daemon.metrics().await;
    assert!(text.contains("\nobservations_total{kind=\"verdict\",source=\"otlp_logs\"} "), "{text}");
    assert!(text.contains("\nobservations_total{kind=\"usage\",source=\"otlp_traces\"} "), "{text}");
    assert!(!format!("{state}{text}{:?}", daemon.log()).contains("CANARY"));
    daemon.assert_well().await;
}

fn text(key: &str, text: &str) -> KeyValue {
    let value = AnyValue { value: Some(any_value::Value::StringValue(text.to_owned())) };
    KeyValue { key: key.to_owned(), value: Some(value), ..KeyValue::default() }
}

/// One span that is fine, one of nobody, and one that is surer than sure.
fn mixed() -> ExportTraceServiceRequest {
    let number = |key: &str, number| KeyValue {
        value: Some(AnyValue { value: Some(any_value::Value::DoubleValue(number)) }),
        ..text(key, "")
    };
    let span = |id: u8, attributes| Span {
        span_id: vec![id; 8],
        trace_id: vec![9; 16],
        name: "chat".to_owned(),
        attributes,
        ..Span::default()
    };
    let chat = || text("gen_ai.operation.name", "chat");
    let agent = || text("gen_ai.agent.name", "mixed");
    let spans = vec![
        span(1, vec![chat(), agent()]),
        span(2, vec![chat()]),
        span(3, vec![chat(), agent(), number("metacog.confidence", 7.0)]),
    ];
    let scope = ScopeSpans { spans, ..ScopeSpans::default() };
    let resource = ResourceSpans { scope_spans: vec![scope], ..ResourceSpans::default() };
    ExportTraceServiceRequest { resource_spans: vec![resource] }
}

#[tokio::test]
async fn what_is_wrong_in_a_request_costs_its_records_only() {
    let daemon = Daemon::start(&[]).await;
    let answer = Answer::to(daemon.post("/v1/traces", PROTOBUF, mixed().encode_to_vec())).await;
    assert_eq!((answer.status, answer.header("content-type")), (200, PROTOBUF));
    let response = ExportTraceServiceResponse::decode(answer.body.as_slice()).expect("it is a response");
    let partial = response.partial_success.expect("it was not all taken");
    assert_eq!(partial.rejected_spans, 2);
    assert!(partial.error_message.contains("agent") && partial.error_message.contains("confidence"), "{partial:?}");

    let body = serde_json::to_vec(&mixed()).unwrap();
    let answer = Answer::to(daemon.post("/v1/traces", JSON, body)).await;
    assert_eq!((answer.status, answer.header("content-type")), (200, JSON));
    let expected = json!({"partialSuccess": {"rejectedSpans": "2", "errorMessage": partial.error_message}});
    assert_eq!(answer.json(), expected);
    let records = json!([{"eventName": "gen_ai.evaluation.result"}, 7]);
    let body = json!({"resourceLogs": [{"scopeLogs": [{"logRecords": records}]}]}).to_string();
    let answer = Answer::to(daemon.post("/v1/logs", JSON, body)).await;
    assert_eq!((answer.status, &answer.json()["partialSuccess"]["rejectedLogRecords"]), (200, &json!("2")));
    assert_eq!(daemon.settled().await["agents"]["mixed"]["observations"], 1);
}

/// RFC 9457 for people and, in it or in protobuf, the `google.rpc.Status` that the OTLP specification asks for.
#[tokio::test]
async fn a_request_that_cannot_be_read_is_refused_in_its_own_encoding() {
    let daemon = Daemon::start(&[("limits__body_bytes", "100000"), ("limits__inflated_bytes", "200000")]).await;
    let deep_json = format!("{{\"resourceSpans\":{}", "[".repeat(90_000));
    let closed = format!("{{\"resourceSpans\":[{{\"x\":{}{}}}]}}", "[".repeat(40_000), "]".repeat(40_000));
    for (path, body, status) in [
        ("/v1/traces", "", 400),
        ("/v1/traces", "{", 400),
        ("/v1/traces", "[]", 400),
        ("/v1/traces", "NaN", 400),
        ("/v1/traces", "{\"resourceSpans\":{}}", 400),
        ("/v1/traces", "{\"resourceLogs\":[]}", 400),
        ("/v1/logs", "{\"resourceSpans\":[]}", 400),
        ("/v1/traces", &deep_json, 400),
    ] {
        let answer = Answer::to(daemon.post(path, JSON, body.to_owned())).await;
        let problem = answer.json();
        assert_eq!((answer.status, &problem["code"]), (status, &json!(3)), "{path} {:.40}: {problem}", body);
        assert_eq!(problem["message"], problem["detail"]);
        answer.problem(status, "malformed");
    }
    let mut nested = Vec::new();
    for _ in 0..20_000 {
        // A field 1 of length-delimited type within itself, as deep as three bytes a level allow.
        let mut outer = vec![0x0a];
        prost::encoding::encode_varint(nested.len() as u64, &mut outer);
        outer.extend_from_slice(&nested);
        nested = outer;
        if nested.len() > 60_000 {
            break;
        }
    }
    let too_many = vec![0u8; 100_001];
    let bomb = gzip(&vec![0u8; 10_000_000]);
    for (body, encoding, status, code) in [
        (b"\xff\xff\xff\xff".as_slice(), "identity", 400, 3),
        (b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", "identity", 400, 3),
        (b"no gzip", "gzip", 400, 3),
        (&too_many, "identity", 413, 8),
        (&bomb, "gzip", 413, 8),
        (b"", "zstd", 415, 3),
    ] {
        let request = daemon.post("/v1/traces", PROTOBUF, body.to_vec()).header("content-encoding", encoding);
        let answer = Answer::to(request).await;
        assert_eq!((answer.status, answer.header("content-type")), (status, PROTOBUF), "{encoding}");
        // The code is field 1, a varint.
        assert_eq!(answer.body[..2], [8, code]);
    }
    // What is not known is skipped, however deep; what is known is not followed beyond all measure.
    let skipped = Answer::to(daemon.post("/v1/traces", JSON, closed)).await;
    assert_eq!((skipped.status, skipped.json()), (200, json!({})));
    let deep = Answer::to(daemon.post("/v1/traces", PROTOBUF, nested)).await;
    assert!([200, 400].contains(&deep.status));
    let request = daemon.http.post(daemon.url("/v1/traces")).header("content-type", PROTOBUF).body("");
    let answer = Answer::to(request).await;
    assert_eq!((answer.status, answer.header("www-authenticate")), (401, "Bearer realm=\"consciousness-system\""));
    let answer = Answer::to(daemon.post("/v1/logs", "text/plain", "")).await;
    answer.problem(415, "unsupported-media-type");
    // A request of nothing is fine.
    let answer = Answer::to(daemon.post("/v1/traces", PROTOBUF, "")).await;
    assert_eq!((answer.status, &*answer.body), (200, &b""[..]));
    daemon.assert_well().await;
}

/// Python with the OpenTelemetry SDK and websockets. `tests/run` installs them before; without that, it is done here.
pub async fn python() -> PathBuf {
    static PYTHON: OnceCell<PathBuf> = OnceCell::const_new();
    PYTHON.get_or_init(installed).await.clone()
}

async fn installed() -> PathBuf {
    if let Some(python) = std::env::var_os("CONSCIOUSNESS_TEST_PYTHON") {
        return python.into();
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = root.join("target/python");
    let python = folder.join("bin/python");
    let works = |python: &Path| {
        let mut command = Command::new(python);
        command.args(["-c", "import opentelemetry.exporter.otlp.proto.http, websockets"]).stderr(Stdio::null());
        async move { command.status().await.is_ok_and(|status| status.success()) }
    };
    if !works(&python).await {
        let made = Command::new("python3").args(["-m", "venv"]).arg(&folder).status().await;
        assert!(
            made.is_ok_and(|status| status.success()),
            "python3 with venv is needed: use tests/run, which installs it"
        );
        let mut pip = Command::new(folder.join("bin/pip"));
        pip.args(["install", "--quiet", "--disable-pip-version-check", "-r"]);
        pip.arg(root.join("tests/python/requirements.txt"));
        assert!(pip.status().await.is_ok_and(|status| status.success()), "the packages cannot be installed");
    }
    python
}

#[tokio::test]
async fn the_real_sdk_is_understood() {
    let python = python().await;
    let daemon = Daemon::start(&[("log__filter", "trace")]).await;
    let clients = ["gzip", "deflate", "none"].map(|compression| {
        let mut client = Command::new(&python);
        client.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/python/otel_client.py"));
        client.env("OTEL_CLIENT_ENDPOINT", daemon.url("")).env("OTEL_CLIENT_TOKEN", token("sdk", "metacog.observe"));
        client.env("OTEL_CLIENT_COMPRESSION", compression).env("OTEL_CLIENT_AGENT", format!("sdk-{compression}"));
        client.env("OTEL_CLIENT_ROUNDS", "6").env("OTEL_CLIENT_NOBODY", "1").kill_on_drop(true);
        client.output()
    });
    for output in futures_util::future::join_all(clients).await {
        let output = output.expect("python runs");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{errors}");
        let sent: Value = serde_json::from_slice(&output.stdout).expect("it says what it sent");
        assert_eq!(sent, json!({"chats": 6, "tools": 12, "failures": 6, "claims": 6, "verdicts": 6}));
    }
    let state = daemon.settled().await;
    for compression in ["gzip", "deflate", "none"] {
        let agent = &state["agents"][format!("sdk-{compression}")];
        assert_eq!(agent["observations"], 6 * 8 + 2, "{agent}");
        assert_eq!(
            agent["loop"],
            json!({"pattern": "no_progress", "repeats": 6}),
            "bash fails in the same way each time"
        );
        assert_eq!((&agent["status"], &agent["advice"]), (&json!("stuck"), &json!("escalate")));
    }
    let text = daemon.metrics().await;
    assert!(text.contains("\nobservations_rejected_total{reason=\"invalid_field\"} 3\n"), "one span of each: {text}");
    assert!(!format!("{state}{text}{:?}", daemon.log()).contains("CANARY"));
    daemon.assert_well().await;
}
