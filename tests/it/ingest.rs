//! Native observations over HTTP.

use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

use crate::support::{Answer, Daemon, connect, gzip, token};

const JSON: &str = "application/json";
const NDJSON: &str = "application/x-ndjson";

fn lines(items: &[Value]) -> String {
    items.iter().map(|item| format!("{item}\n")).collect()
}

/// One of each kind, with all of its fields.
fn each_kind(agent: &str) -> Vec<Value> {
    let kinds = [
        json!({"kind": "thought", "text": "so"}),
        json!({"kind": "message", "role": "assistant", "text": "well"}),
        json!({"kind": "action", "tool": "ls", "arguments": {"path": "."}, "call_id": "c-1"}),
        json!({"kind": "result", "call_id": "c-1", "tool": "ls", "ok": true, "error": null, "text": "a b", "duration_ms": 1.5}),
        json!({"kind": "claim", "claim_id": "q-1", "confidence": 0.5, "correct": null}),
        json!({"kind": "verdict", "claim_id": "q-1", "correct": true}),
        json!({"kind": "progress", "done": 3, "total": 10}),
        json!({"kind": "usage", "input_tokens": 100, "output_tokens": 10, "cost": 0.001}),
    ];
    let shared = |mut item: Value| {
        item["agent"] = json!(agent);
        item["session"] = json!("s");
        item
    };
    kinds.into_iter().map(shared).collect()
}

#[tokio::test]
async fn bodies_of_every_form_are_taken() {
    let daemon = Daemon::start(&[]).await;
    let bodies = |agent: &str| {
        let items = each_kind(agent);
        [
            (JSON, items[0].to_string(), 1),
            ("application/json; charset=utf-8", json!(items).to_string(), 8),
            (NDJSON, lines(&items), 8),
            ("application/jsonl", lines(&items).replace('\n', "\r\n\r\n"), 8),
            (JSON, format!("\u{feff} \n{}", json!(items)), 8),
        ]
    };
    for (agent, zipped) in [("plain", false), ("zipped", true)] {
        for (content_type, body, count) in bodies(agent) {
            let body = if zipped { gzip(body.as_bytes()) } else { body.into_bytes() };
            let mut request = daemon.post("/v1/observations", content_type, body);
            if zipped {
                request = request.header("content-encoding", "gzip");
            }
            let answer = Answer::to(request).await;
            let expected = json!({"accepted": count, "rejected": []});
            assert_eq!((answer.status, answer.json()), (202, expected), "{agent} {content_type}");
            assert_eq!(answer.header("content-type"), "application/json");
        }
    }
    for (content_type, body) in [(JSON, "[]"), (NDJSON, ""), (NDJSON, "\n\n")] {
        let answer = Answer::to(daemon.post("/v1/observations", content_type, body)).await;
        assert_eq!((answer.status, answer.json()), (202, json!({"accepted": 0, "rejected": []})));
    }
    let state = daemon.settled().await;
    assert_eq!(state["agents"]["plain"]["observations"], 33);
    assert_eq!(state["agents"]["zipped"]["observations"], 33);
    let text = daemon.metrics().await;
    for kind in ["action", "result", "claim", "verdict", "progress", "usage", "message"] {
        let line = format!("\nobservations_total{{kind=\"{kind}\",source=\"native\"}} 8\n");
        assert!(text.contains(&line), "{kind}: {text}");
    }
    daemon.assert_well().await;
}

#[tokio::test]
async fn an_id_counts_once() {
    let daemon = Daemon::start(&[]).await;
    let thought = |agent: &str, id: &str| json!({"agent": agent, "id": id, "kind": "thought", "text": id});
    let (status, answer) = daemon.observe(&json!([thought("a", "1"), thought("a", "1"), thought("a", "2")])).await;
    // What was there already is no error of the sender's.
    assert_eq!((status, answer), (202, json!({"accepted": 3, "rejected": []})));
    let mut stream = connect(&daemon, &token("a", "metacog.stream metacog.observe")).await;
    stream.send(json!({"type": "observe", "observation": thought("a", "1")})).await;
    stream.send(json!({"type": "observe", "observation": thought("a", "3")})).await;
    stream.until("the one that is new", |state| state["agents"]["a"]["observations"] == 3).await;
    daemon.observe(&json!([thought("a", "3"), thought("b", "1"), {"agent": "a", "kind": "thought"}])).await;
    daemon.observe(&json!([{"agent": "a", "kind": "thought"}, {"agent": "a", "id": 1, "kind": "thought"}])).await;
    let state = daemon.settled().await;
    assert_eq!(state["agents"]["a"]["observations"], 5, "those without an id count, each");
    assert_eq!(state["agents"]["b"]["observations"], 1, "an id is its agent's own");
}

#[tokio::test]
async fn an_item_that_is_wrong_costs_that_item_only() {
    let daemon = Daemon::start(&[]).await;
    let long = "x".repeat(129);
    let items = json!([
        {"agent": "a", "kind": "thought"},
        {"kind": "thought"},
        {"agent": "", "kind": "thought"},
        {"agent": "a b", "kind": "thought"},
        {"agent": long, "kind": "thought"},
        {"agent": 7, "kind": "thought"},
        {"agent": "a"},
        {"agent": "a", "kind": "dream"},
        {"agent": "a", "kind": "thought", "text": 7},
        {"agent": "a", "kind": "action"},
        {"agent": "a", "kind": "result", "ok": true},
        {"agent": "a", "kind": "result", "tool": "ls", "ok": "yes"},
        {"agent": "a", "kind": "result", "tool": "ls", "duration_ms": -1},
        {"agent": "a", "kind": "claim", "confidence": 0.5},
        {"agent": "a", "kind": "claim", "claim_id": "q", "confidence": 1.5},
        {"agent": "a", "kind": "claim", "claim_id": "q", "confidence": -0.1},
        {"agent": "a", "kind": "claim", "claim_id": "q", "confidence": "high"},
        {"agent": "a", "kind": "verdict", "claim_id": "q"},
        {"agent": "a", "kind": "progress", "total": 5},
        {"agent": "a", "kind": "usage"},
        {"agent": "a", "kind": "usage", "input_tokens": -1},
        {"agent": "a", "kind": "usage", "input_tokens": 1.5},
        {"agent": "a", "session": {"x": 1}, "kind": "thought"},
        {"agent": "a", "at": "yesterday", "kind": "thought"},
        [1, 2],
        null,
        {"agent": "a", "kind": "thought", "whatever": [1, {"a": "b"}]},
    ]);
    let errors = [
        (1, "`agent` is missing"),
        (2, "`agent` is missing"),
        (3, "`agent` may only hold the characters A-Z a-z 0-9 . _ : / @ -"),
        (4, "`agent` must be 1 to 128 characters long"),
        (5, "`agent` must be a string"),
        (6, "`kind` is missing"),
        (7, "unknown `kind`"),
        (8, "`text` must be a string"),
        (9, "`tool` is missing"),
        (10, "`call_id` and `tool` are both missing"),
        (11, "`ok` must be true or false"),
        (12, "`duration_ms` must be a finite number, 0 or more"),
        (13, "`claim_id` is missing"),
        (14, "`confidence` must be from 0 to 1"),
        (15, "`confidence` must be from 0 to 1"),
        (16, "`confidence` must be a number"),
        (17, "`correct` is missing"),
        (18, "`done` is missing"),
        (19, "`input_tokens`, `output_tokens` and `cost` are all missing"),
        (20, "`input_tokens` must be a whole number, 0 or more"),
        (21, "`input_tokens` must be a whole number, 0 or more"),
        (22, "`session` must be a string or a number"),
        (23, "`at` must be RFC 3339 or Unix nanoseconds, 1970 or later"),
        (24, "must be a JSON object"),
        (25, "must be a JSON object"),
    ];
    let rejected: Vec<_> = errors.iter().map(|(index, error)| json!({"index": index, "error": error})).collect();
    let expected = json!({"accepted": 2, "rejected": rejected});
    assert_eq!(daemon.observe(&items).await, (202, expected.clone()));
    let body = lines(items.as_array().unwrap());
    let answer = Answer::to(daemon.post("/v1/observations", NDJSON, body)).await;
    assert_eq!((answer.status, answer.json()), (202, expected));
    // A single object is a batch of one.
    let single = json!({"accepted": 0, "rejected": [{"index": 0, "error": "unknown `kind`"}]});
    assert_eq!(daemon.observe(&json!({"agent": "a", "kind": "dream"})).await, (202, single));

    let broken =
        "{\"agent\":\"a\",\"kind\":\"thought\"}\n{\"agent\":\"a\",\n\u{0}\n{\"agent\":\"a\",\"kind\":\"thought\"}\n";
    let answer = Answer::to(daemon.post("/v1/observations", NDJSON, broken)).await;
    let indices: Vec<_> = answer.json()["rejected"].as_array().unwrap().iter().map(|r| r["index"].clone()).collect();
    assert_eq!((answer.status, &answer.json()["accepted"], indices), (202, &json!(2), vec![json!(1), json!(2)]));

    let state = daemon.settled().await;
    assert_eq!(state["agents"]["a"]["observations"], 6);
    let counted = |reason: &str| format!("observations_rejected_total{{reason=\"{reason}\"}}");
    assert_eq!(daemon.metric(&counted("missing_field")).await, 18.0);
    assert_eq!(daemon.metric(&counted("unknown_kind")).await, 3.0);
    assert_eq!(daemon.metric(&counted("malformed")).await, 6.0);
    assert_eq!(daemon.metric(&counted("invalid_field")).await, 26.0);
    daemon.assert_well().await;
}

#[tokio::test]
async fn times_come_in_several_forms_but_not_from_the_future() {
    let daemon = Daemon::start(&[]).await;
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    let nanos = |time: Duration| u64::try_from(time.as_nanos()).unwrap();
    let text = |time: Duration| {
        jiff::Timestamp::from_nanosecond(i128::try_from(time.as_nanos()).unwrap()).unwrap().to_string()
    };
    let (soon, late) = (now + Duration::from_secs(4 * 60), now + Duration::from_secs(7 * 60));
    let good = [
        json!(null),
        json!(nanos(now)),
        json!(nanos(now).to_string()),
        json!(nanos(soon)),
        json!(text(now)),
        json!(text(soon)),
        json!("1970-01-01T00:00:00Z"),
        json!("2025-11-24T03:04:05.123456789Z"),
        json!("2025-11-24t03:04:05+02:00"),
        json!("2025-11-24 03:04:05-08:00"),
        json!(0),
    ];
    let bad = [
        json!(nanos(late)),
        json!(text(late)),
        json!("9999-01-01T00:00:00Z"),
        json!(u64::MAX),
        json!("99999999999999999999999999"),
        json!(-1),
        json!("1969-12-31T23:59:59Z"),
        json!("2025-11-24"),
        json!("03:04"),
        json!(1.5),
        json!(true),
        json!({}),
    ];
    let observations = good.iter().chain(&bad).map(|at| json!({"agent": "a", "kind": "thought", "at": at}));
    let (status, answer) = daemon.observe(&observations.collect()).await;
    assert_eq!((status, &answer["accepted"]), (202, &json!(good.len())), "{answer}");
    let rejected = answer["rejected"].as_array().unwrap();
    assert_eq!(rejected.len(), bad.len());
    for (i, rejection) in rejected.iter().enumerate() {
        assert_eq!(rejection["index"], good.len() + i);
        let expected = if i < 5 {
            "`at` is more than 5 minutes ahead"
        } else {
            "`at` must be RFC 3339 or Unix nanoseconds, 1970 or later"
        };
        assert_eq!(rejection["error"], expected, "{}", bad[i]);
    }
    assert_eq!(daemon.settled().await["agents"]["a"]["observations"], good.len());
}

/// While the queue to the heart is full, batches are refused whole and may be sent again; what was accepted is counted,
/// each once.
#[tokio::test]
async fn a_full_queue_says_when_to_come_again_and_loses_nothing() {
    let settings = [("heart__interval", "2s"), ("limits__queue", "1024"), ("limits__batch", "1024")];
    let daemon = Daemon::start(&settings).await;
    let mut stream = connect(&daemon, &token("a", "metacog.stream metacog.observe")).await;
    let batch: Value = (0..600).map(|_| json!({"agent": "a", "kind": "thought", "text": "t"})).collect();
    let mut accepted = 0;
    let mut refused = 0;
    for _ in 0..200 {
        let answer = Answer::to(daemon.post("/v1/observations", JSON, batch.to_string())).await;
        if answer.status == 202 {
            assert_eq!(answer.json(), json!({"accepted": 600, "rejected": []}));
            accepted += 600;
            continue;
        }
        answer.problem(503, "queue-full");
        let seconds: u64 = answer.header("retry-after").parse().expect("whole seconds");
        assert!((1..=60).contains(&seconds));
        refused += 600;
        break;
    }
    assert_eq!(refused, 600, "the queue fills faster than the heart beats");

    // OTLP exporters retry on this status. The heart may beat in between, so both are sent until one is refused.
    let spans: Vec<_> = (0..600)
        .map(|i| {
            json!({"spanId": format!("{i:016x}"), "name": "n", "attributes": [
                {"key": "gen_ai.operation.name", "value": {"stringValue": "chat"}},
                {"key": "gen_ai.agent.name", "value": {"stringValue": "b"}},
            ]})
        })
        .collect();
    let request = json!({"resourceSpans": [{"scopeSpans": [{"spans": spans}]}]}).to_string();
    let mut otlp_refused = false;
    for _ in 0..200 {
        let answer = Answer::to(daemon.post("/v1/traces", JSON, request.clone())).await;
        if answer.status == 503 {
            assert_eq!((answer.header("retry-after"), &answer.json()["code"]), ("1", &json!(14)));
            otlp_refused = true;
            break;
        }
        assert_eq!(answer.status, 200);
        let answer = Answer::to(daemon.post("/v1/observations", JSON, batch.to_string())).await;
        accepted += if answer.status == 202 { 600 } else { 0 };
        refused += if answer.status == 503 { 600 } else { 0 };
    }
    assert!(otlp_refused);
    // On a stream there is an error frame for it; there may be room for a few single ones.
    let mut told = false;
    for n in 0..1024 {
        stream.send(json!({"type": "observe", "observation": {"agent": "c", "id": n, "kind": "thought"}})).await;
        stream.send(json!({"type": "ping"})).await;
        let answer = loop {
            let frame = stream.next().await.expect("the stream stays open");
            if ["pong", "error"].contains(&frame["type"].as_str().unwrap()) {
                break frame;
            }
        };
        if answer["type"] == "error" {
            assert!(["rejected", "rate_limited"].contains(&answer["code"].as_str().unwrap()), "{answer}");
            told = true;
            break;
        }
    }
    assert!(told);

    let state = daemon.state_when("all that was accepted", |state| state["agents"]["a"]["observations"] == accepted);
    state.await;
    let settled = loop {
        let answer = Answer::to(daemon.post("/v1/observations", JSON, batch.to_string())).await;
        if answer.status == 202 {
            break daemon
                .state_when("what was sent again", |state| state["agents"]["a"]["observations"] == accepted + 600)
                .await;
        }
    };
    assert_eq!(settled["state"]["agents"]["a"]["observations"], accepted + 600);
    assert!(daemon.metric("observations_rejected_total{reason=\"queue_full\"}").await >= f64::from(refused));
}
