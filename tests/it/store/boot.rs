//! What a start finds, and what an end leaves.

use std::time::Duration;

use serde_json::{Value, json};

use super::{Trial, document, stored};
use crate::support::{Daemon, Redis, eventually, project, unix_now};

fn moment(seconds_ago: u64) -> String {
    jiff::Timestamp::from_second(i64::try_from(unix_now() - seconds_ago).unwrap()).unwrap().to_string()
}

fn snapshot_key(seconds_ago: u64) -> String {
    format!("meta:snapshot:{}", moment(seconds_ago).replace('Z', ".000Z"))
}

async fn set(redis: &Redis, key: &str, value: &[u8]) {
    let mut command = redis::cmd("SET");
    command.arg(key).arg(value).query_async::<()>(&mut redis.connection().await).await.unwrap();
}

/// Starts with something in `meta:latest` that is no state, and a snapshot that is one.
async fn starts_from_the_snapshot(spoil: impl AsyncFn(&Redis), reason: &str) {
    let redis = Redis::start().await;
    let key = snapshot_key(60);
    set(&redis, &key, &document(6, 500, &moment(60))).await;
    spoil(&redis).await;
    let daemon = Daemon::start(&[("redis__url", &redis.url())]).await;
    let state = daemon.state_when("the store", |state| state["store"]["mode"] == "redis").await;
    assert!(state["epoch"].as_u64().unwrap() >= 7, "past what was loaded: {}", state["epoch"]);
    assert!(state["beat"].as_u64().unwrap() > 500);
    // The minute without a beat counts.
    assert!(state["state"]["heart"]["missed"].as_u64().unwrap() > 500);
    let aside = redis.keys("meta:quarantine:meta:latest:*").await;
    assert_eq!(aside.len(), 1, "{aside:?}");
    let log = daemon.log();
    let told = |what: &str| log.iter().any(|line| line.contains(what));
    assert!(told("kept aside") && told(reason), "{log:?}");
    let loaded = log.iter().find(|line| line.contains("state loaded")).expect("it is told what was loaded");
    let loaded: Value = serde_json::from_str(loaded).unwrap();
    assert_eq!((&loaded["key"], &loaded["beat"], &loaded["stored_epoch"]), (&json!(key), &json!(500), &json!(6)));
    let age = loaded["age_ms"].as_u64().unwrap();
    assert!((59_000..90_000).contains(&age), "{age}");
}

#[tokio::test]
async fn truncated() {
    let whole = document(6, 600, &moment(10));
    starts_from_the_snapshot(
        async |redis| set(redis, "meta:latest", &whole[..whole.len() - 7]).await,
        "it is not a meta-state: at line 1",
    )
    .await;
}

#[tokio::test]
async fn a_list() {
    starts_from_the_snapshot(async |redis| redis.command(&["RPUSH", "meta:latest", "a"]).await, "it is not a string")
        .await;
}

#[tokio::test]
async fn of_a_newer_schema() {
    starts_from_the_snapshot(
        async |redis| set(redis, "meta:latest", b"{\"schema\":2,\"epoch\":9,\"beat\":9}").await,
        "its schema is 2, newer than 1",
    )
    .await;
}

#[tokio::test]
async fn fifty_megabytes_of_garbage() {
    let garbage: Vec<u8> = (0..50 << 20).map(|i: u32| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    starts_from_the_snapshot(async |redis| set(redis, "meta:latest", &garbage).await, "it is not a meta-state").await;
}

#[tokio::test]
async fn goes_on_as_if_it_had_blinked() {
    let redis = Redis::start().await;
    let trial = Trial::start(&[("redis__url", &redis.url())]).await;
    trial.is_stored().await;
    let looped: Value = (0..4)
        .flat_map(|n| {
            let call = n.to_string();
            [
                json!({"agent": "looper", "session": "s", "id": format!("a{n}"), "kind": "action", "tool": "ls", "arguments": "a", "call_id": call}),
                json!({"agent": "looper", "session": "s", "id": format!("r{n}"), "kind": "result", "call_id": call, "ok": true, "text": "same"}),
            ]
        })
        .collect();
    trial.daemon.observe(&looped).await;
    trial.daemon.state_when("the loop", |state| state["agents"]["looper"]["status"] == "stuck").await;
    let daemon = trial.ends_well(&redis).await;
    let before = daemon.state().await;
    eventually("the loop in redis", || async {
        (redis.latest().await["agents"]["looper"]["observations"] == 8).then_some(())
    })
    .await;
    // Like a crash of the machine: no last word.
    daemon.signal("KILL").await;

    let settings = [("redis__url", redis.url())];
    let settings: Vec<_> = settings.iter().map(|(key, value)| (*key, value.as_str())).collect();
    let mut again = Daemon::start(&settings).await;
    let after = again.state().await;
    assert_eq!(after["epoch"].as_u64(), before["epoch"].as_u64().map(|epoch| epoch + 1));
    assert!(after["beat"].as_u64() > Some(1));
    assert_eq!(after["state"]["insights"], before["state"]["insights"], "open insights stay what they are");
    for agent in ["worker", "looper"] {
        let figures = |body: &Value| body["state"]["agents"][agent]["observations"].clone();
        assert_eq!(figures(&after), figures(&before));
    }
    // What was counted before counts no more.
    let again_seen =
        json!([{"agent": "looper", "id": "a1", "kind": "thought"}, {"agent": "looper", "kind": "thought"}]);
    again.observe(&again_seen).await;
    again.state_when("one more", |state| state["agents"]["looper"]["observations"] == 9).await;
    assert!(again.metrics().await.contains("\ninsights_open{kind=\"stuck\",severity=\"warning\"} 1\n"));

    again.signal("TERM").await;
    assert_eq!(again.exit().await, Some(0));
    let latest = redis.latest().await;
    assert_eq!(latest["agents"]["looper"]["observations"], 9);
    let snapshots = redis.keys("meta:snapshot:*").await;
    let newest: String = redis.command(&["GET", snapshots.last().unwrap()]).await;
    assert!(serde_json::from_str::<Value>(&newest).unwrap() == latest, "the last state is a snapshot, too");
}

#[tokio::test]
async fn snapshots_are_kept_by_count_and_age() {
    let redis = Redis::start().await;
    let (old, spared) = (snapshot_key(3600), "meta:snapshot:mine");
    set(&redis, &old, &document(1, 1, &moment(3600))).await;
    set(&redis, spared, b"kept by hand").await;
    let daemon = Daemon::start(&[
        ("redis__url", &redis.url()),
        ("snapshot__interval", "1s"),
        ("snapshot__keep_count", "2"),
        ("snapshot__keep_for", "10m"),
    ])
    .await;
    let first =
        eventually("a snapshot", || async { redis.keys("meta:snapshot:2*").await.into_iter().find(|key| *key != old) });
    let first = first.await;
    eventually("the first to make room", || async {
        let keys = redis.keys("meta:snapshot:2*").await;
        (!keys.contains(&first) && keys.len() == 2).then_some(())
    })
    .await;
    let keys = redis.keys("meta:snapshot:*").await;
    assert!(!keys.contains(&old) && keys.contains(&spared.to_owned()), "{keys:?}");
    drop(daemon);
}

#[tokio::test]
async fn redis_itself_comes_back_with_the_state() {
    let file = project("config/redis.conf");
    let mut redis = Redis::start_with(&[file.to_str().unwrap()]).await;
    let appending: Vec<String> = redis.command(&["CONFIG", "GET", "appendfsync"]).await;
    assert_eq!(appending, ["appendfsync", "everysec"]);
    let trial = Trial::start(&[("redis__url", &redis.url())]).await;
    trial.is_stored().await;
    let daemon = trial.ends_well(&redis).await;
    let count = stored(&redis.latest().await);
    daemon.signal("KILL").await;
    redis.kill().await;
    redis.run().await;
    assert_eq!(stored(&redis.latest().await), count);
    let again = Daemon::start(&[("redis__url", &redis.url())]).await;
    assert_eq!(again.state().await["state"]["agents"]["worker"]["observations"], count);
}

#[tokio::test]
async fn an_idle_daemon_writes_a_sign_of_life() {
    let redis = Redis::start().await;
    let _daemon = Daemon::start(&[("redis__url", &redis.url())]).await;
    let beat = || async { redis.latest().await["beat"].as_u64() };
    let first = eventually("a state", beat).await;
    let began = std::time::Instant::now();
    eventually("a later state", || async { beat().await.filter(|beat| *beat > first) }).await;
    assert!(began.elapsed() < Duration::from_secs(3));
}
