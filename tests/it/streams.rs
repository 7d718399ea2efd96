//! "Which client is it?"

use futures_util::SinkExt;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use crate::support::{Answer, Daemon, connect, eventually, runbook, token, within};

async fn list(daemon: &Daemon) -> Vec<Value> {
    let (status, body) = daemon.get_as("metacog.admin", "/v1/streams").await;
    assert_eq!(status, 200, "{body}");
    body["streams"].as_array().expect("a list").clone()
}

#[tokio::test]
async fn every_stream_is_told_of_and_can_be_cut_off() {
    let daemon = Daemon::start(&[]).await;
    assert!(list(&daemon).await.is_empty());
    let mut first = connect(&daemon, &token("first", "metacog.stream")).await;
    let mut second = connect(&daemon, &token("second", "metacog.stream")).await;
    first.subscribe(&["planner-*", "coder"]).await;
    let rows = eventually("the frames and the filter to be told", || async {
        let rows = list(&daemon).await;
        let done = rows.iter().all(|row| row["frames_sent"].as_u64() >= Some(2))
            && rows.iter().any(|row| row["patterns"] == 2);
        (rows.len() == 2 && done).then_some(rows)
    })
    .await;
    let row = |name: &str| rows.iter().find(|row| row["sub"] == name).expect("each has a row");
    let one = row("first");
    assert_eq!(
        (&one["id"], &one["address"], &one["patterns"]),
        (&first.hello["session"], &json!("127.0.0.1"), &json!(2))
    );
    assert_eq!((&one["backpressure_drops"], &one["rate_limit_drops"]), (&json!(0), &json!(0)));
    assert!(one["opened"].as_str() < one["expires"].as_str(), "{one}");
    assert!(["news", "client", "pace"].contains(&one["waits_for"].as_str().unwrap()));
    assert_eq!(row("second")["patterns"], 0);
    assert_eq!(one.as_object().unwrap().len(), 11, "no more than that is told: {one}");

    // Who may not administer is told nothing, and cuts nobody off.
    let path = format!("/v1/streams/{}", first.hello["session"].as_str().unwrap());
    let delete = |path: &str, scope: &str| daemon.http.delete(daemon.url(path)).bearer_auth(token("admin", scope));
    for scope in ["metacog.stream", "metacog.observe", "metrics.read"] {
        assert_eq!(daemon.get_as(scope, "/v1/streams").await.0, 403);
        Answer::to(delete(&path, scope)).await.problem(403, "forbidden");
    }
    for wrong in ["/v1/streams/none", "/v1/streams/%ff"] {
        Answer::to(delete(wrong, "metacog.admin")).await.problem(404, "unknown-stream");
    }
    assert_eq!(Answer::to(delete(&path, "metacog.admin")).await.status, 204);
    let (code, reason) = first.closed().await;
    assert_eq!((code, &*reason), (4403, "cut off"));
    second.next().await.expect("the other goes on");
    eventually("it to be gone", || async { (list(&daemon).await.len() == 1).then_some(()) }).await;
    Answer::to(delete(&path, "metacog.admin")).await.problem(404, "unknown-stream");
    assert!(daemon.log().iter().any(|line| line.contains("a stream is cut off") && line.contains("\"by\":\"admin\"")));
}

/// Sends far more than it may, and is closed for it.
async fn flood(daemon: &Daemon, sub: &str) {
    let mut abuser = connect(daemon, &token(sub, "metacog.stream")).await;
    let flood = async {
        for _ in 0..2_000 {
            if abuser.socket.feed(Message::text("{\"type\":\"ping\"}")).await.is_err() {
                break;
            }
        }
        let _ = abuser.socket.flush().await;
    };
    within("the flood to end", flood).await;
    abuser.closed().await;
}

#[tokio::test]
async fn the_log_names_who_frames_are_dropped_for() {
    let daemon = Daemon::start(&[("stream__report_interval", "1s")]).await;
    let mut calm = connect(&daemon, &token("calm", "metacog.stream")).await;
    let name = format!("abuser\u{202e}\"{}", "x".repeat(200));
    flood(&daemon, &name).await;
    let told = || {
        let lines = daemon.log().into_iter().filter(|line| line.contains("frames were dropped for these clients"));
        let clients = lines.map(|line| {
            let event: Value = serde_json::from_str(&line).unwrap();
            serde_json::from_str::<Value>(event["clients"].as_str().expect("clients are a text")).unwrap()
        });
        clients.collect::<Vec<_>>()
    };
    // A flood may last over a report.
    eventually("the reports", || async {
        let drops: u64 = told().iter().map(|clients| clients[0]["drops"].as_u64().expect("a number")).sum();
        (drops >= 200).then_some(())
    })
    .await;
    for clients in told() {
        assert_eq!(clients.as_array().map(Vec::len), Some(1), "{clients}");
        assert_eq!(clients[0]["address"], "127.0.0.1");
        let shown = clients[0]["sub"].as_str().unwrap();
        assert!(name.starts_with(shown) && shown.chars().count() == 64, "{shown}");
    }
    calm.next().await.expect("the other goes on");
}

#[tokio::test]
async fn the_runbook_finds_the_client_and_blocks_it() {
    let folder = tempfile::tempdir().unwrap();
    let deny = folder.path().join("deny");
    std::fs::write(&deny, "").unwrap();
    let deny = deny.to_str().unwrap();
    let settings = [("server__deny_file", deny), ("server__trusted_proxies", "127.0.0.1")];
    let daemon = Daemon::start(&settings).await;
    let bearer = |sub: &str| format!("Bearer {}", token(sub, "metacog.stream"));
    let open = |sub: &'static str, address: &'static str| {
        let (bearer, daemon) = (bearer(sub), &daemon);
        async move {
            let headers = [("authorization", &*bearer), ("x-forwarded-for", address)];
            crate::support::try_connect(daemon, "/v1/stream", &headers).await.unwrap()
        }
    };
    let mut abuser = open("abuser", "203.0.113.9").await;
    let mut other = open("other", "203.0.113.10").await;
    let mut honest = open("honest", "198.51.100.1").await;
    for _ in 0..60 {
        abuser.send(json!({"type": "ping"})).await;
    }
    eventually("the drops", || async { (daemon.metric("ws_rate_limit_drops_total").await >= 30.0).then_some(()) })
        .await;
    let blocks = [runbook::blocks("Which client is it?"), runbook::blocks("Blocking an address")].concat();
    assert!(blocks.len() >= 4, "{}", blocks.len());
    let url = daemon.url("");
    let variables = [
        ("DAEMON", &*url),
        ("DENY", deny),
        ("CONSCIOUSNESS__AUTH__SECRET", crate::support::SECRET),
        ("BAD", "203.0.113.0/24"),
    ];
    let out = runbook::run(&blocks, folder.path(), &variables).await;
    assert!(out.contains("abuser") && out.contains("203.0.113.9"), "{out}");
    assert_eq!(abuser.closed().await.0, 4403);
    assert_eq!(other.closed().await.0, 4403);
    honest.next().await.expect("the honest one goes on");
    assert_eq!(std::fs::read_to_string(deny).unwrap(), "", "and in the end nobody is denied");
}
