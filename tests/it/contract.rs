//! What the daemon promises to scrapers, dashboards and shells, looked at from outside.

use std::collections::{BTreeMap, HashSet};
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use crate::support::{Daemon, answer, connect, eventually, token, within};

fn step(agent: &str, number: usize, text: &str) -> [Value; 2] {
    let call = number.to_string();
    [
        json!({"agent": agent, "session": "s", "kind": "action", "tool": "ls", "arguments": {"p": "."}, "call_id": call}),
        json!({"agent": agent, "session": "s", "kind": "result", "call_id": call, "ok": true, "text": text}),
    ]
}

#[tokio::test]
async fn every_metric_is_there_from_the_start() {
    let daemon = Daemon::start(&[]).await;
    let text = daemon.metrics().await;
    for family in [
        "metacog_analysis_latency_ms histogram",
        "heartbeat_skew_ms gauge",
        "heartbeat_skew_seconds histogram",
        "heartbeat_beats_total counter",
        "heartbeat_missed_total counter",
        "heartbeat_state_due_total counter",
        "heartbeat_state_made_total counter",
        "ws_backpressure_drops_total counter",
        "ws_rate_limit_drops_total counter",
        "ws_scope_reject_total counter",
        "ws_frames_sent_total counter",
        "ws_frames_merged_total counter",
        "ws_connections gauge",
        "ws_connections_total counter",
        "circuit_breaker_open_total counter",
        "breaker_state gauge",
        "observations_total counter",
        "observations_rejected_total counter",
        "insights_open gauge",
        "agents gauge",
        "store_writes_total counter",
        "store_lag_beats gauge",
        "leader gauge",
        "auth_failures_total counter",
        "auth_key_age_seconds gauge",
        "build_info gauge",
        "process_resident_memory_bytes gauge",
    ] {
        assert!(text.contains(&format!("# TYPE {family}\n")), "{family}: {text}");
        let (name, _) = family.split_once(' ').unwrap();
        assert!(text.contains(&format!("# HELP {name} ")), "{name} has a help text");
    }
    for series in [
        "ws_connections_total{outcome=\"accepted\"} 0",
        "observations_total{kind=\"verdict\",source=\"otlp_logs\"} 0",
        "observations_rejected_total{reason=\"queue_full\"} 0",
        "insights_open{kind=\"heart_skewed\",severity=\"critical\"} 0",
        "auth_failures_total{reason=\"replayed\"} 0",
        "breaker_state{breaker=\"redis\"} 0",
        "circuit_breaker_open_total{breaker=\"redis\"} 0",
    ] {
        assert!(text.contains(&format!("\n{series}\n")), "{series}: {text}");
    }
    assert!(text.contains("auth_key_age_seconds{kid=\"default\"} "), "{text}");
}

#[tokio::test]
async fn open_metrics_has_each_family_once() {
    let daemon = Daemon::start(&[]).await;
    let scrape = daemon.http.get(daemon.url("/metrics")).bearer_auth(token("prometheus", "metrics.read"));
    let answer = scrape.header("accept", "application/openmetrics-text; version=1.0.0").send().await.unwrap();
    let kind = answer.headers()["content-type"].to_str().unwrap().to_owned();
    assert!(kind.starts_with("application/openmetrics-text"), "{kind}");
    let text = answer.text().await.unwrap();
    let mut seen = HashSet::new();
    for family in text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()) {
        assert!(seen.insert(family), "{family} twice");
    }
    assert!(text.ends_with("# EOF\n"));
}

#[tokio::test]
async fn patches_make_what_the_state_route_answers() {
    let daemon = Daemon::start(&[("heart__interval", "10ms")]).await;
    let mut stream = connect(&daemon, &token("dashboard", "metacog.stream")).await;
    let mut answers: BTreeMap<u64, String> = BTreeMap::new();
    let mut frames: BTreeMap<u64, String> = BTreeMap::new();
    let began = Instant::now();
    // The route is asked between frames, so that some beats are seen on both ways.
    for round in 0.. {
        let agents = (0..20).filter(|agent| (round * 7 + agent * 3) % 4 == 0);
        let batch: Vec<Value> = agents
            .flat_map(|agent| {
                let name = format!("agent-{agent}");
                let [action, result] = step(&name, round, if round % 9 < 6 { "same" } else { "other" });
                let claim =
                    json!({"agent": name, "kind": "claim", "claim_id": round.to_string(), "confidence": 0.9, "correct": agent % 3 == 0});
                [action, result, claim]
            })
            .collect();
        assert_eq!(daemon.observe(&batch.into()).await.0, 202);
        stream.next().await.unwrap();
        frames.insert(stream.beat, stream.state.to_string());
        while answers.last_key_value().is_none_or(|(beat, _)| *beat < stream.beat + 5) {
            let document = daemon.state().await;
            answers.insert(document["beat"].as_u64().unwrap(), document["state"].to_string());
        }
        if round >= 60 {
            break;
        }
    }
    let common: Vec<_> = frames.iter().filter_map(|(beat, frame)| Some((beat, frame, answers.get(beat)?))).collect();
    assert!(common.len() >= 10, "{} beats were seen on both ways", common.len());
    for (beat, frame, answer) in &common {
        assert_eq!(frame, answer, "beat {beat}");
    }
    let most = 20.0 * (began.elapsed().as_secs_f64() + 1.0);
    assert!((frames.len() as f64) <= most, "{} frames", frames.len());
    assert!(stream.state["insights"].as_object().is_some_and(|insights| !insights.is_empty()));
}

#[tokio::test]
async fn an_insight_opens_grows_and_goes() {
    let daemon = Daemon::start(&[]).await;
    let mut stream = connect(&daemon, &token("dashboard", "metacog.stream")).await;
    let mut ids = HashSet::new();
    for number in 0..6 {
        daemon.observe(&step("looper", number, "same").into_iter().collect()).await;
        let folded = 2 * (number + 1);
        stream.until("the step", |state| state["agents"]["looper"]["observations"] == folded).await;
        let insights = stream.state["insights"].as_object().unwrap();
        assert_eq!(insights.len(), usize::from(number >= 3), "{insights:?}");
        for (id, insight) in insights {
            ids.insert(id.clone());
            assert_eq!(insight["evidence"]["repeats"], number + 1);
        }
    }
    assert_eq!(ids.len(), 1, "it is one insight all along");
    daemon.observe(&step("looper", 6, "different").into_iter().collect()).await;
    stream.until("the end of it", |state| state["insights"] == json!({})).await;
    assert_eq!(stream.state["agents"]["looper"]["loop"], json!({"repeats": 0}));
}

#[tokio::test]
async fn a_stopped_heart_shows_at_the_next_scrape() {
    let daemon = Daemon::start(&[]).await;
    daemon.signal("STOP").await;
    let stopped = Instant::now();
    eventually("some beats to be missed", || async { (stopped.elapsed() > Duration::from_millis(900)).then_some(()) })
        .await;
    let (text, ()) = tokio::join!(daemon.metrics(), daemon.signal("CONT"));
    let skew = text.lines().find_map(|line| line.strip_prefix("heartbeat_skew_ms ")?.parse::<f64>().ok()).unwrap();
    assert!(skew > 500.0, "{skew}");
    let body = daemon.state_when("the missed beats", |state| state["heart"]["missed"].as_u64() >= Some(5)).await;
    assert!(body["state"]["heart"]["continuity"].as_f64().unwrap() < 1.0);
    assert!(daemon.metric("heartbeat_missed_total").await >= 5.0);
}

#[tokio::test]
async fn a_client_that_took_nothing_learns_why() {
    let daemon = Daemon::start(&[("stream__stall_timeout", "4s"), ("stream__merge_for", "500ms")]).await;
    let mut stream = connect(&daemon, &token("sleeper", "metacog.stream")).await;
    let batch = |round: u32| -> Value {
        let claim = |agent| json!({"agent": format!("a-{agent}"), "kind": "claim", "claim_id": round.to_string(), "confidence": 0.5, "correct": true});
        (0..5000).map(claim).collect()
    };
    let mut rounds = 0..;
    eventually("the stream to be given up", || {
        let batch = batch(rounds.next().unwrap());
        let daemon = &daemon;
        async move {
            daemon.observe(&batch).await;
            (daemon.metric("ws_connections").await == 0.0).then_some(())
        }
    })
    .await;
    let code = within("the close", async {
        loop {
            match stream.socket.next().await {
                Some(Ok(Message::Close(frame))) => return frame.map(|frame| u16::from(frame.code)),
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return None,
            }
        }
    });
    assert_eq!(code.await, Some(4408));
    assert!(daemon.metric("ws_backpressure_drops_total").await > 0.0);
}

#[tokio::test]
async fn lines_are_understood_whatever_json_they_are_called() {
    let daemon = Daemon::start(&[]).await;
    let lines = "{\"agent\":\"a\",\"kind\":\"thought\"}\n{\"agent\":\"a\"}\n{\"agent\":\"a\",\"kind\":\"thought\"}\n";
    for kind in [Some("application/x-ndjson"), Some("application/json"), None] {
        let request = daemon.http.post(daemon.url("/v1/observations")).bearer_auth(token("a", "metacog.observe"));
        let request = kind.into_iter().fold(request.body(lines), |request, kind| request.header("content-type", kind));
        let (status, body) = answer(request).await;
        assert_eq!((status, &body["accepted"], &body["rejected"][0]["index"]), (202, &json!(2), &json!(1)), "{kind:?}");
    }
}

#[tokio::test]
async fn the_page_runs_nothing_but_its_own_scripts() {
    let daemon = Daemon::start(&[]).await;
    let page = daemon.http.get(daemon.url("/")).send().await.unwrap();
    let policy = page.headers()["content-security-policy"].to_str().unwrap().to_owned();
    assert!(policy.starts_with("default-src 'none'; script-src 'self'; ") && !policy.contains("unsafe"), "{policy}");
    let text = page.text().await.unwrap();
    for forbidden in ["innerHTML", "eval(", "document.write", "http://localhost", "https://", " style=", " onclick="] {
        assert!(!text.contains(forbidden), "{forbidden}");
    }
}
