//! What people look at in a browser: the page, the client library, and the curves of an agent's calibration.

use serde_json::{Value, json};

use crate::support::{Daemon, Stream, connect, token};

async fn curve(daemon: &Daemon, agent: &str) -> (u16, Value) {
    daemon.get_as("metacog.stream", &format!("/v1/agents/{agent}/calibration")).await
}

#[tokio::test]
async fn an_agents_claims_are_told_by_bins_of_confidence() {
    let daemon = Daemon::start(&[("analysis__calibration__window", "8")]).await;
    assert_eq!(
        curve(&daemon, "team/forecaster").await.1["type"].as_str().map(|t| t.contains("unknown-agent")),
        Some(true)
    );
    let claim = |id: u32, confidence: f64, correct: bool| json!({"agent": "team/forecaster", "kind": "claim", "claim_id": id.to_string(), "confidence": confidence, "correct": correct});
    // The first two slide out of the window of eight.
    let mut claims = vec![claim(1, 0.05, true), claim(2, 0.05, true)];
    claims.extend((3..7).map(|id| claim(id, 0.95, id != 3)));
    claims.extend((7..11).map(|id| claim(id, 0.3, id == 7)));
    claims.push(json!({"agent": "other", "kind": "thought", "text": "no claim at all"}));
    assert_eq!(daemon.observe(&Value::Array(claims)).await.0, 202);
    let mut stream: Stream = connect(&daemon, &token("dashboard", "metacog.stream")).await;
    stream.until("the claims", |state| state["agents"]["team/forecaster"]["calibration"]["n"] == 8).await;
    let (status, told) = curve(&daemon, "team/forecaster").await;
    assert_eq!((status, &told["n"], told["bins"].as_array().map(Vec::len)), (200, &json!(8), Some(10)), "{told}");
    assert!(told["beat"].as_u64() >= Some(stream.beat.min(1)) && told["epoch"] == stream.epoch);
    assert_eq!(
        told["bins"][3],
        json!({"low": 0.3, "high": 0.4, "n": 4, "right": 1, "confidence": 0.3, "accuracy": 0.25})
    );
    assert_eq!(
        told["bins"][9],
        json!({"low": 0.9, "high": 1.0, "n": 4, "right": 3, "confidence": 0.95, "accuracy": 0.75})
    );
    assert_eq!(told["bins"][0], json!({"low": 0.0, "high": 0.1, "n": 0, "right": 0}));
    assert_eq!(told["roc"][0], json!({"threshold": 0.9, "false_alarm_rate": 0.25, "hit_rate": 0.75}));
    assert_eq!(told["roc"][9], json!({"threshold": 0.0, "false_alarm_rate": 1.0, "hit_rate": 1.0}));
    // The encoded slash is the same agent; who made no claim has an empty curve.
    assert_eq!(curve(&daemon, "team%2Fforecaster").await.1["n"], 8);
    let (status, none) = curve(&daemon, "other").await;
    assert_eq!((status, &none["n"], &none["roc"]), (200, &json!(0), &json!([])));
    // Not in the streams, and for dashboards only.
    assert!(!stream.state.to_string().contains("bins"));
    assert_eq!(daemon.get("/v1/agents/other/calibration").await.0, 401);
    assert_eq!(daemon.get_as("metacog.observe", "/v1/agents/other/calibration").await.0, 403);
}
