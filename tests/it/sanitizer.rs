//! Nothing private leaves: secrets are planted wherever a client can put a text, on every way in, and looked for in
//! every byte that comes out: frames, answers, metrics, errors, logs at every level.

mod plants;
mod secret;

use std::sync::{Arc, Mutex};

use reqwest::header::{HeaderName, HeaderValue};
use serde_json::json;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, frame::coding::CloseCode};

use self::secret::Secret;
use crate::support::{Answer, Daemon, Stream, connect, rest, token, try_connect, within};
use futures_util::{SinkExt, StreamExt};

const JSON: &str = "application/json";

/// All that came out.
#[derive(Default, Clone)]
struct Sink(Arc<Mutex<Vec<(String, String)>>>);

impl Sink {
    fn add(&self, from: impl Into<String>, text: impl Into<String>) {
        self.0.lock().unwrap().push((from.into(), text.into()));
    }

    async fn answer(&self, from: &str, request: reqwest::RequestBuilder) -> u16 {
        let answer = Answer::to(request).await;
        let headers: Vec<_> =
            answer.headers.iter().map(|(name, value)| (name, String::from_utf8_lossy(value.as_bytes()))).collect();
        self.add(from, format!("{headers:?} {}", String::from_utf8_lossy(&answer.body)));
        answer.status
    }
}

#[test]
fn a_secret_is_found_in_each_of_its_forms() {
    let secret = Secret::random();
    for form in secret.forms() {
        assert!(secret.is_in(&format!("before{form}after")), "{form}");
        assert!(secret.is_in(&json!({"a": form}).to_string()), "{form}");
        let escaped: String = form.encode_utf16().map(|unit| format!("\\u{unit:04x}")).collect();
        assert!(secret.is_in(&escaped), "{escaped}");
    }
    assert!(!secret.is_in(&Secret::random().forms().concat()));
}

#[tokio::test]
async fn planted_secrets_never_leave() {
    let settings = [
        ("log__filter", "trace"),
        ("server__header_timeout", "2s"),
        ("shutdown__drain", "100ms"),
        ("limits__frames_per_second", "1000"),
        ("limits__messages_per_second", "10000"),
        ("limits__burst", "10000"),
        ("limits__streams_per_sub", "1000"),
    ];
    let daemon = Daemon::start(&settings).await;
    let sink = Sink::default();
    let mut dashboard = connect(&daemon, &token("dashboard", "metacog.stream")).await;
    sink.add("hello", dashboard.hello.to_string());
    let frames = sink.clone();
    let reading = tokio::spawn(async move {
        while let Some(Ok(message)) = dashboard.socket.next().await {
            frames.add("frame", message.to_string());
        }
    });

    let secrets: Vec<Secret> = (0..10).map(|_| Secret::random()).collect();
    for (round, secret) in secrets.iter().enumerate() {
        let agent = format!("agent-{round}");
        let mut texts = secret.forms().into_iter().cycle().skip(round);
        let mut text = || texts.next().expect("it goes on for ever");
        native(&daemon, &sink, &agent, &mut text).await;
        otlp(&daemon, &sink, &agent, &mut text).await;
        stream(&daemon, &sink, &agent, &mut text).await;
        requests(&daemon, &sink, &mut text).await;
        let state = daemon.settled().await;
        let shown = &state["agents"][&agent];
        assert_eq!(shown["status"], "stuck", "{shown}");
        let tool = state["insights"].as_object().unwrap().values().find_map(|insight| {
            (insight["agent"] == *agent).then(|| insight["evidence"]["tool"].as_str().map(str::to_owned)).flatten()
        });
        // What does not fit a name is shown as its hash.
        assert!(tool.as_ref().is_some_and(|tool| tool.starts_with("tool-") && tool.len() == 21), "{tool:?}");
    }
    let state = daemon.state().await["state"].clone();
    let hashed =
        state["agents"].as_object().unwrap().keys().filter(|agent| agent.starts_with("agent-") && agent.len() == 22);
    assert!(hashed.count() >= secrets.len(), "{state}");
    sink.add("state", state.to_string());
    sink.add("metrics", daemon.metrics().await);
    let open_metrics = daemon.http.get(daemon.url("/metrics")).bearer_auth(token("p", "metrics.read"));
    sink.answer("metrics", open_metrics.header("accept", "application/openmetrics-text")).await;
    for agent in state["agents"].as_object().unwrap().keys() {
        let (_, advice) = daemon.get_as("metacog.stream", &format!("/v1/agents/{agent}/advice")).await;
        sink.add("advice", advice.to_string());
    }
    daemon.assert_well().await;
    daemon.signal("TERM").await;
    within("the dashboard's stream to end", reading).await.unwrap();

    let log = daemon.log();
    assert!(
        log.iter().any(|line| line.contains("insight opened")) && log.iter().any(|line| line.contains("\"DEBUG\""))
    );
    log.into_iter().for_each(|line| sink.add("log", line));
    let sink = sink.0.lock().unwrap();
    assert!(sink.iter().filter(|(from, _)| from == "frame").count() > secrets.len());
    for (from, text) in sink.iter() {
        for secret in &secrets {
            assert!(!secret.is_in(text), "{secret:?} came out: {from}: {text}");
        }
    }
}

async fn native(daemon: &Daemon, sink: &Sink, agent: &str, text: &mut impl FnMut() -> String) {
    let good = plants::observations(agent, text);
    let count = good.len();
    let lines: String = good.iter().map(|item| format!("{item}\n")).collect();
    for (content_type, body) in [(JSON, json!(good).to_string()), ("application/x-ndjson", lines)] {
        let answer = Answer::to(daemon.post("/v1/observations", content_type, body)).await;
        assert_eq!(answer.json(), json!({"accepted": count, "rejected": []}));
    }
    for bad in plants::wrong_observations(agent, text) {
        for content_type in [JSON, "application/x-ndjson"] {
            let answer = Answer::to(daemon.post("/v1/observations", content_type, bad.clone())).await;
            let refused = answer.status == 400 || answer.json()["rejected"][0]["error"].is_string();
            assert!(refused, "{bad}");
            sink.add("rejection", String::from_utf8_lossy(&answer.body));
        }
    }
}

async fn otlp(daemon: &Daemon, sink: &Sink, agent: &str, text: &mut impl FnMut() -> String) {
    use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
    use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
    use prost::Message as _;
    let protobuf = |path: &str, body: Vec<u8>| daemon.post(path, "application/x-protobuf", body);
    let traces = plants::traces(agent, text);
    let logs = plants::logs(agent, text);
    let encoded =
        serde_json::from_value::<ExportTraceServiceRequest>(traces.clone()).expect("it is OTLP").encode_to_vec();
    assert_eq!(sink.answer("traces", protobuf("/v1/traces", encoded.clone())).await, 200);
    assert_eq!(sink.answer("traces", daemon.post("/v1/traces", JSON, traces.to_string())).await, 200);
    let broken = [&encoded[..encoded.len() - 1], b"\xff\xff"].concat();
    assert_eq!(sink.answer("broken traces", protobuf("/v1/traces", broken)).await, 400);
    let encoded = serde_json::from_value::<ExportLogsServiceRequest>(logs.clone()).expect("it is OTLP").encode_to_vec();
    assert_eq!(sink.answer("logs", protobuf("/v1/logs", encoded)).await, 200);
    assert_eq!(sink.answer("logs", daemon.post("/v1/logs", JSON, logs.to_string())).await, 200);
    for (path, wrong) in plants::wrong_otlp(agent, text) {
        let status = sink.answer("wrong OTLP", daemon.post(path, JSON, wrong)).await;
        assert!([200, 400].contains(&status));
    }
}

async fn stream(daemon: &Daemon, sink: &Sink, agent: &str, text: &mut impl FnMut() -> String) {
    let mut client = connect(daemon, &token("attacker", "metacog.stream metacog.observe")).await;
    for observation in plants::observations(agent, text) {
        client.send(json!({"type": "observe", "observation": observation})).await;
    }
    for bad in plants::wrong_observations(agent, text).into_iter().filter(|bad| bad.starts_with('{')) {
        if serde_json::from_str::<&serde_json::value::RawValue>(&bad).is_ok() {
            client.send_text(format!("{{\"type\":\"observe\",\"observation\":{bad}}}")).await;
        }
    }
    client.send(json!({"type": "auth", "token": text()})).await;
    client.send(json!({"type": "subscribe", "agents": [format!("{}*", text()), "*"]})).await;
    for malformed in [
        text(),
        json!({"type": text()}).to_string(),
        json!({text(): text()}).to_string(),
        json!({"type": "subscribe", "agents": text(), "max_hz": text()}).to_string(),
        json!({"type": "observe", "observation": text()}).to_string(),
        format!("{{\"type\":\"observe\",\"observation\":{{\"text\":\"{}", text()),
    ] {
        client.send_text(malformed).await;
    }
    client.send(json!({"type": "ping"})).await;
    read_to(&mut client, sink, "pong").await;
    client.socket.send(Message::binary(text().into_bytes())).await.unwrap();
    sink.add("close", format!("{:?}", client.closed().await));
    let mut client = connect(daemon, &token("attacker", "metacog.stream")).await;
    let mut reason = text();
    while reason.len() > 120 {
        reason.pop();
    }
    let close = CloseFrame { code: CloseCode::Library(4999), reason: reason.into() };
    client.socket.send(Message::Close(Some(close))).await.unwrap();
}

async fn read_to(client: &mut Stream, sink: &Sink, kind: &str) {
    within(kind, async {
        loop {
            let frame = client.next().await.expect("the stream stays open");
            sink.add("frame", frame.to_string());
            if frame["type"] == kind {
                return;
            }
        }
    })
    .await;
}

/// Everything around the body.
async fn requests(daemon: &Daemon, sink: &Sink, text: &mut impl FnMut() -> String) {
    let names = [
        "accept",
        "authorization",
        "content-encoding",
        "content-type",
        "cookie",
        "if-none-match",
        "origin",
        "referer",
        "sec-websocket-key",
        "sec-websocket-protocol",
        "traceparent",
        "user-agent",
        "x-forwarded-for",
        "x-secret",
    ];
    for path in ["/v1/state", "/v1/observations", "/v1/traces", "/v1/stream", "/metrics", "/", "/livez"] {
        for name in names {
            let method =
                if path.ends_with('s') && path != "/metrics" { reqwest::Method::POST } else { reqwest::Method::GET };
            let mut request = daemon.http.request(method, daemon.url(path)).body("{}");
            if name != "authorization" {
                request = request.bearer_auth(token("a", "metacog.stream metacog.observe metrics.read"));
            }
            if path == "/v1/stream" {
                request = request
                    .header("connection", "upgrade")
                    .header("upgrade", "websocket")
                    .header("sec-websocket-version", "13");
            }
            let value = if name == "authorization" { format!("Bearer {}", text()) } else { text() };
            let value = HeaderValue::from_bytes(value.replace(['\n', '\r'], " ").as_bytes()).expect("a header value");
            let name: HeaderName = name.parse().expect("a header name");
            sink.answer(&format!("{path} {name}"), request.header(name, value)).await;
        }
    }
    let encoded = |text: String| -> String { text.bytes().map(|byte| format!("%{byte:02x}")).collect() };
    let good = token("a", "metacog.stream metacog.observe metrics.read");
    for path in [
        format!("/v1/state?{}={}", encoded(text()), encoded(text())),
        format!("/v1/state?access_token={}", encoded(text())),
        format!("/v1/stream?since={}", encoded(text())),
        format!("/v1/agents/{}/advice", encoded(text())),
        format!("/{}", encoded(text())),
    ] {
        sink.answer(
            &path.replace(|c: char| !c.is_ascii_alphabetic(), ""),
            daemon.http.get(daemon.url(&path)).bearer_auth(&good),
        )
        .await;
    }
    for forged in plants::tokens(text) {
        let bearer = HeaderValue::from_bytes(format!("Bearer {forged}").as_bytes()).expect("a header value");
        for path in ["/v1/state", "/metrics"] {
            sink.answer("token", daemon.http.get(daemon.url(path)).header("authorization", bearer.clone())).await;
        }
        if forged.is_ascii() {
            let offer = format!("metacog.v1, bearer.{forged}");
            let refused = try_connect(daemon, "/v1/stream", &[("sec-websocket-protocol", &offer)]).await.err();
            assert!(refused.is_some_and(|status| (400..404).contains(&status)));
        }
    }
    for bytes in [
        format!("{} / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", text()),
        format!("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{}\r\n\r\n", text()),
        format!("GET /{} HTTP/7.1\r\n\r\n", text()),
        format!("POST /v1/observations HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n", text()),
        format!("BREW /livez?{} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", text().replace(' ', "")),
    ] {
        sink.add("broken request", rest(&mut daemon.raw(bytes.as_bytes()).await).await);
    }
}
