use std::io::Write;

use serde_json::json;

use super::*;
use crate::domain::{Advice, InsightId, InsightKind, Source};

#[tokio::test]
async fn the_state_is_for_those_who_may_see_it() {
    let server = Server::start().await;
    let answer = server.get("/v1/state", &token("metacog.stream")).await;
    answer.is_problem(503, "unavailable");
    assert!(answer.head.contains("retry-after: 1"));
    server.publish(1, 5);
    let answer = server.get("/v1/state", &token("metacog.stream")).await;
    assert_eq!(answer.status, 200);
    assert!(answer.head.contains("cache-control: no-store") && answer.head.contains("nosniff"), "{}", answer.head);
    let state = json!({"agents": {"a/1": {"observations": 5}}, "insights": {}});
    assert_eq!(answer.json(), json!({"epoch": 1, "beat": 1, "ts_ns": 10_100_000_000u64, "state": state}));
    let etag = answer.head.lines().find_map(|line| line.strip_prefix("etag: ")).unwrap().to_uppercase();
    let authorization = format!("Bearer {}", token("metacog.stream"));
    let again = [("Authorization", &*authorization), ("If-None-Match", &*etag)];
    server.hub.publish(testing::beat(1, 2, 10_200));
    let answer = server.request("GET", "/v1/state", &again, b"").await;
    assert_eq!((answer.status, answer.body.len()), (304, 0));
    server.publish(3, 6);
    assert_eq!(server.request("GET", "/v1/state", &again, b"").await.status, 200);

    let answer = server.request("GET", "/v1/state", &[], b"").await;
    answer.is_problem(401, "unauthorized");
    assert!(answer.head.contains("www-authenticate: bearer realm="));
    let answer = server.get("/v1/state", "SECRET.SECRET.SECRET").await;
    answer.is_problem(401, "unauthorized");
    assert!(answer.head.contains("error=\"invalid_token\""));
    assert!(!String::from_utf8_lossy(&answer.body).contains("SECRET"));
    let answer = server.get("/v1/state", &token("metacog.streams xmetacog.stream metacog.observe")).await;
    answer.is_problem(403, "forbidden");
    assert!(answer.head.contains("error=\"insufficient_scope\"") && answer.head.contains("scope=\"metacog.stream\""));
    let path = format!("/v1/state?access_token={}", token("metacog.stream"));
    server.request("GET", &path, &[], b"").await.is_problem(400, "bad-credentials");
    assert_eq!(server.metrics.ws_scope_reject_total.get(), 1);
    let missing = server.metrics.auth_failures_total.with_label_values(&["missing"]).get();
    assert_eq!(missing, 1);
}

#[tokio::test]
async fn advice_is_for_agents_and_dashboards() {
    let server = Server::start().await;
    let beat = testing::beat(1, 9, 0).advised("a/1", Advice::Verify);
    server.hub.publish(beat.insight(InsightId::new(1, 1, 1), "a/1", InsightKind::Overconfident, Some(1)));
    for (scope, path) in [("metacog.observe", "/v1/agents/a%2F1/advice"), ("metacog.stream", "/v1/agents/a/1/advice")] {
        let answer = server.get(path, &token(scope)).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_eq!(answer.json(), json!({"advice": "verify", "because": ["overconfident"], "beat": 9}));
    }
    server.get("/v1/agents/nobody/advice", &token("metacog.stream")).await.is_problem(404, "unknown-agent");
    server.get("/v1/agents/%FF%00/advice", &token("metacog.stream")).await.is_problem(404, "not-found");
    server.get("/v1/agents/a/advices", &token("metacog.stream")).await.is_problem(404, "not-found");
    server.get("/v1/agents/a%2F1/advice", &token("metrics.read")).await.is_problem(403, "forbidden");
    let answer = server.request("DELETE", "/v1/agents/a/advice", &[], b"").await;
    answer.is_problem(405, "method-not-allowed");
    assert!(answer.head.contains("allow: get,head"));
}

#[tokio::test]
async fn observations_come_in() {
    let server = Server::start().await;
    let body = br#"[{"agent":"a","kind":"thought","text":"x"},{"agent":"SECRET STUFF","kind":"thought"},{"agent":"a","kind":"message","role":"user"}]"#;
    let answer = server.post("/v1/observations", "application/json; charset=utf-8", body).await;
    assert_eq!(answer.status, 202, "{answer:?}");
    let told = answer.json();
    assert_eq!((&told["accepted"], &told["rejected"][0]["index"]), (&json!(2), &json!(1)));
    assert!(told["rejected"][0]["error"].is_string() && !told.to_string().contains("SECRET"));
    let lines = b"{\"agent\":\"a\",\"kind\":\"thought\"}\n\nbroken\n{\"agent\":\"b\",\"kind\":\"thought\"}\n";
    let answer = server.post("/v1/observations", "application/x-ndjson", lines).await;
    assert_eq!((answer.status, &answer.json()["accepted"]), (202, &json!(2)));
    let answer = server.post("/v1/observations", "application/json", b"[{\"agent\":7}]").await;
    assert_eq!((answer.status, &answer.json()["accepted"]), (202, &json!(0)));
    let mut queued = Vec::new();
    server.queue.lock().drain(100, &mut queued);
    assert_eq!(queued.len(), 4);
    assert!(queued.iter().all(|observation| observation.source == Source::Native));
    assert_eq!(server.metrics.observations_total.with_label_values(&["native", "thought"]).get(), 3);
    assert_eq!(server.metrics.observations_rejected_total.with_label_values(&["malformed"]).get(), 1);

    server.post("/v1/observations", "application/json", b"{\"agent\":").await.is_problem(400, "malformed");
    server.post("/v1/observations", "text/csv", b"a,b").await.is_problem(415, "unsupported-media-type");
    server.get("/v1/observations", &token("metacog.observe")).await.is_problem(405, "method-not-allowed");
    server.request("POST", "/v1/observations", &[], b"{}").await.is_problem(401, "unauthorized");
    let authorization = format!("Bearer {}", token("metacog.observe"));
    let answer = server.request("POST", "/v1/observations", &[("Authorization", &authorization)], body).await;
    assert_eq!(answer.status, 202, "no Content-Type is JSON");
}

#[tokio::test]
async fn compressed_bodies_are_inflated_up_to_a_limit() {
    let limits = Limits { body_bytes: 100_000, inflated_bytes: 1_000_000, ..Limits::default() };
    let server = Server::with(Config::default(), limits, room::Config::default()).await;
    let authorization = format!("Bearer {}", token("metacog.observe"));
    let zipped = |bytes: &[u8]| {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    };
    let headers = |encoding| [("Authorization", &*authorization), ("Content-Encoding", encoding)];
    let body = zipped(b"{\"agent\":\"a\",\"kind\":\"thought\"}");
    let answer = server.request("POST", "/v1/observations", &headers("gzip"), &body).await;
    assert_eq!((answer.status, &answer.json()["accepted"]), (202, &json!(1)));
    let bomb = zipped(&vec![b' '; 50_000_000]);
    server.request("POST", "/v1/observations", &headers("gzip"), &bomb).await.is_problem(413, "too-large");
    server.request("POST", "/v1/observations", &headers("gzip"), b"nonsense").await.is_problem(400, "malformed");
    let answer = server.request("POST", "/v1/observations", &headers("br"), &body).await;
    answer.is_problem(415, "unsupported-encoding");
    assert!(answer.head.contains("accept-encoding: gzip"));
}

#[tokio::test]
async fn a_full_queue_is_told_and_nothing_of_it_is_taken() {
    let limits = Limits { queue: 2, ..Limits::default() };
    let server = Server::with(Config::default(), limits, room::Config::default()).await;
    let two = br#"[{"agent":"a","kind":"thought"},{"agent":"a","kind":"thought"}]"#;
    assert_eq!(server.post("/v1/observations", "application/json", two).await.status, 202);
    let answer = server.post("/v1/observations", "application/json", &two[1..31]).await;
    answer.is_problem(503, "queue-full");
    assert!(answer.head.contains("retry-after: 1"));
    let three = [b"[{\"agent\":\"a\",\"kind\":\"thought\"},", &two[1..]].concat();
    server.post("/v1/observations", "application/json", &three).await.is_problem(413, "too-large");
    assert_eq!(server.services.intake.way.len(), 2);
    server.queue.lock().close();
    server.post("/v1/observations", "application/json", two).await.is_problem(503, "unavailable");
    assert_eq!(server.queue.lock().len(), 2);
    assert_eq!(server.metrics.observations_rejected_total.with_label_values(&["queue_full"]).get(), 3);
}

#[tokio::test]
async fn otlp_is_answered_in_its_own_words() {
    let server = Server::start().await;
    let answer = server.post("/v1/traces", "application/json", b"{\"resourceSpans\":[]}").await;
    assert_eq!((answer.status, answer.json()), (200, json!({})));
    let answer = server.post("/v1/logs", "application/x-protobuf", b"").await;
    assert_eq!((answer.status, answer.body.len()), (200, 0));
    assert!(answer.head.contains("content-type: application/x-protobuf"));
    let answer = server.post("/v1/traces", "application/x-protobuf", b"\xff\xff\xff").await;
    assert_eq!(answer.status, 400);
    assert!(answer.head.contains("content-type: application/x-protobuf"), "a google.rpc.Status: {answer:?}");
    assert_eq!(answer.body[..2], [0x08, 3], "code: invalid argument");
    let answer = server.post("/v1/traces", "application/json", b"{").await;
    answer.is_problem(400, "malformed");
    assert_eq!(answer.json()["code"], 3);
    server.post("/v1/logs", "text/plain", b"x").await.is_problem(415, "unsupported-media-type");
    let answer = server.request("POST", "/v1/traces", &[("Content-Type", "application/json")], b"{}").await;
    answer.is_problem(401, "unauthorized");
    assert!(answer.head.contains("www-authenticate"));
}

#[tokio::test]
async fn metrics_are_for_scrapers_again_and_again() {
    let server = Server::start().await;
    let scraper = token("metrics.read");
    for _ in 0..2 {
        let answer = server.get("/metrics", &scraper).await;
        assert_eq!(answer.status, 200);
        let text = String::from_utf8(answer.body).unwrap();
        assert!(answer.head.contains("text/plain") && text.contains("\nheartbeat_skew_ms 1.25\n"), "{text}");
    }
    let authorization = format!("Bearer {scraper}");
    let headers = [("Authorization", &*authorization), ("Accept", "application/openmetrics-text;version=1.0.0")];
    let answer = server.request("GET", "/metrics", &headers, b"").await;
    assert!(answer.head.contains("application/openmetrics-text") && answer.body.ends_with(b"# EOF\n"));
    server.get("/metrics", &token("metacog.stream")).await.is_problem(403, "forbidden");
}

#[tokio::test]
async fn probes_tell_why() {
    let server = Server::start().await;
    let answer = server.request("GET", "/readyz", &[], b"").await;
    assert_eq!((answer.status, &answer.json()["checks"]["phase"]["reason"]), (503, &json!("starting")));
    assert_eq!(server.request("GET", "/livez", &[], b"").await.status, 200);
    server.readiness.set_ready();
    assert_eq!(server.request("GET", "/readyz", &[], b"").await.status, 200);
    server.heart.stopped.store(true, Ordering::Relaxed);
    let answer = server.request("GET", "/livez", &[], b"").await;
    assert_eq!(
        (answer.status, answer.json()),
        (
            503,
            json!({
                "status": "failing", "checks": {"heart": {"ok": false, "reason": "stopped"}}
            })
        )
    );
    assert_eq!(server.request("GET", "/readyz", &[], b"").await.status, 503);
    server.heart.stopped.store(false, Ordering::Relaxed);
    server.readiness.set_draining();
    let answer = server.request("GET", "/readyz", &[], b"").await;
    assert_eq!((answer.status, &answer.json()["checks"]["phase"]["reason"]), (503, &json!("draining")));
}

#[tokio::test]
async fn the_page_runs_its_own_files_alone() {
    let server = Server::start().await;
    let answer = server.request("GET", "/", &[], b"").await;
    assert_eq!(answer.status, 200);
    assert!(answer.head.contains("default-src 'none'") && !answer.head.contains("unsafe"));
    let page = String::from_utf8(answer.body).unwrap();
    assert!(
        !page.contains("<style") && !page.contains("style=") && !page.contains("<script>") && !page.contains("onclick")
    );
    // Whatever it names is there, and so is whatever that imports.
    let named = page.split('"').filter(|word| word.starts_with("/assets/") || word.starts_with("/client"));
    let mut wanted: Vec<String> = named.map(str::to_owned).collect();
    let mut seen = Vec::new();
    while let Some(path) = wanted.pop() {
        if seen.contains(&path) {
            continue;
        }
        let answer = server.request("GET", &path, &[], b"").await;
        assert_eq!(answer.status, 200, "{path}");
        assert!(answer.head.contains("cache-control: no-cache") && answer.head.contains("nosniff"), "{}", answer.head);
        let body = String::from_utf8(answer.body).unwrap();
        assert!(!body.contains("innerHTML") || path.contains("uPlot"), "{path}");
        let imports = body.lines().filter_map(|line| line.strip_prefix("import ")?.split('"').nth(1));
        wanted.extend(imports.map(|name| match name.strip_prefix("./") {
            Some(name) => format!("/assets/{name}"),
            None => name.trim_start_matches("..").to_owned(),
        }));
        seen.push(path);
    }
    assert!(seen.len() > 12 && seen.contains(&"/client.js".to_owned()), "{seen:?}");
    server.request("GET", "/assets/nothing.js", &[], b"").await.is_problem(404, "not-found");
    server.request("GET", "/assets/..%2Fclient.js", &[], b"").await.is_problem(404, "not-found");
}

#[tokio::test]
async fn files_are_packed_and_not_sent_twice() {
    let server = Server::start().await;
    let plain = server.request("GET", "/client.js", &[], b"").await;
    let packed = server.request("GET", "/client.js", &[("accept-encoding", "br, gzip")], b"").await;
    assert!(packed.head.contains("content-encoding: gzip") && !plain.head.contains("content-encoding"));
    let mut unpacked = Vec::new();
    std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(packed.body.as_slice()), &mut unpacked).unwrap();
    assert!(!plain.body.is_empty() && unpacked == plain.body);
    // Others' pages may load the library, and nothing else.
    assert!(plain.head.contains("access-control-allow-origin: *"));
    let app = server.request("GET", "/assets/app.js", &[], b"").await;
    assert!(!app.head.contains("access-control") && app.head.contains("cross-origin-resource-policy: same-origin"));
    let tag = plain.head.split("etag: ").nth(1).unwrap().lines().next().unwrap().replace("w/", "W/");
    let again = server.request("GET", "/client.js", &[("if-none-match", &tag)], b"").await;
    assert_eq!((again.status, again.body.len()), (304, 0));
    assert_ne!(server.request("GET", "/", &[("if-none-match", &tag)], b"").await.status, 304);
}

#[tokio::test]
async fn unknown_paths_and_methods_are_problems() {
    let server = Server::start().await;
    server.request("GET", "/v2", &[], b"").await.is_problem(404, "not-found");
    let answer = server.request("DELETE", "/v1/state", &[], b"").await;
    answer.is_problem(405, "method-not-allowed");
    assert!(answer.head.contains("allow: get,head"), "{}", answer.head);
}

#[tokio::test]
async fn shutting_down_answers_what_was_asked() {
    let server = Server::start().await;
    let mut idle = TcpStream::connect(server.address).await.unwrap();
    idle.write_all(b"GET /livez HTTP/1.1\r\nHost: test\r\n\r\n").await.unwrap();
    let mut first = [0; 15];
    idle.read_exact(&mut first).await.unwrap();
    assert_eq!(&first, b"HTTP/1.1 200 OK");
    server.shutdown.cancel();
    server.tasks.close();
    tokio::time::timeout(Duration::from_secs(5), server.tasks.wait()).await.expect("idle connections are closed");
    assert!(TcpStream::connect(server.address).await.is_err());
}
