//! `consciousness-system restore`.

use serde_json::Value;
use tokio::process::Command;

use super::document;
use crate::support::{Daemon, Redis, eventually};

const OLD: &str = "meta:snapshot:2025-11-23T23:50:00.000Z";
const NEW: &str = "meta:snapshot:2025-11-23T23:53:00.000Z";

async fn restore(redis: &Redis, arguments: &[&str]) -> (i32, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_consciousness-system"));
    command.arg("restore").args(arguments).env("CONSCIOUSNESS__REDIS__URL", redis.url());
    let output = command.output().await.expect("the command runs");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
    (output.status.code().expect("an exit code"), text(output.stdout), text(output.stderr))
}

async fn holding(values: &[(&str, &[u8])]) -> Redis {
    let redis = Redis::start().await;
    for (key, value) in values {
        let mut set = redis::cmd("SET");
        set.arg(*key).arg(*value).query_async::<()>(&mut redis.connection().await).await.unwrap();
    }
    redis
}

fn states() -> [Vec<u8>; 3] {
    [
        document(2, 100, "2025-11-23T23:50:00Z"),
        document(2, 200, "2025-11-23T23:53:00Z"),
        document(3, 300, "2025-11-23T23:54:00Z"),
    ]
}

#[tokio::test]
async fn lists_what_is_stored() {
    let [old, new, latest] = states();
    let redis =
        holding(&[(OLD, &old), (NEW, &new), ("meta:latest", &latest), ("meta:quarantine:x:y", b"nothing")]).await;
    let (code, out, _) = restore(&redis, &["--list"]).await;
    assert_eq!(code, 0);
    let rows: Vec<Vec<&str>> = out.lines().map(|line| line.split_whitespace().collect()).collect();
    let keys: Vec<_> = rows.iter().map(|row| row[0]).collect();
    assert_eq!(keys, ["KEY", "meta:latest", NEW, OLD, "meta:quarantine:x:y"], "{out}");
    let end = |row: usize| rows[row][rows[row].len() - 4..].join(" ");
    assert_eq!(end(1), format!("3 300 0 {}", latest.len()));
    assert_eq!(end(3), format!("2 100 0 {}", old.len()));
    assert!(out.lines().last().unwrap().contains("not valid: it is not a meta-state"), "{out}");
}

#[tokio::test]
async fn an_older_state_is_restored_by_force_alone() {
    let [old, new, latest] = states();
    let redis = holding(&[(OLD, &old), (NEW, &new), ("meta:latest", &latest)]).await;
    let (code, out, error) = restore(&redis, &["--from", OLD]).await;
    assert_eq!(code, 1);
    assert!(out.contains("epoch 2, beat 100, 0 agents"), "{out}");
    assert!(error.contains("meta:latest is valid and newer: --force"), "{error}");
    let (code, out, _) = restore(&redis, &["--from", OLD, "--force", "--dry-run"]).await;
    assert!(code == 0 && out.contains("nothing was changed"), "{out}");
    assert_eq!(redis.latest().await["beat"], 300);

    let (code, out, error) = restore(&redis, &["--from", OLD, "--force"]).await;
    assert_eq!(code, 0, "{error}");
    assert_eq!(redis.latest().await["beat"], 100);
    let aside = redis.keys("meta:quarantine:meta:latest:*").await;
    assert!(out.contains(&aside[0]), "{out}");
    let kept: Vec<u8> = redis.command(&["GET", &aside[0]]).await;
    assert!(kept == latest);

    // The daemon goes on from there.
    let daemon = Daemon::start(&[("redis__url", &redis.url())]).await;
    let body = daemon.state_when("the store", |state| state["store"]["mode"] == "redis").await;
    assert!((100..300).contains(&body["beat"].as_u64().unwrap()), "{}", body["beat"]);
    assert!(body["epoch"].as_u64().unwrap() > 3, "an epoch is never used twice");
    eventually("its state to be stored", || async { (redis.latest().await["epoch"].as_u64() > Some(3)).then_some(()) })
        .await;
    let (code, out, _) = restore(&redis, &["--from", &aside[0]]).await;
    assert!(code == 1 && out.contains("a daemon seems to be running"), "{out}");

    // Should it run nevertheless, it is fenced off, and takes up what was restored.
    let before = body["epoch"].as_u64().unwrap();
    assert_eq!(restore(&redis, &["--from", &aside[0], "--force"]).await.0, 0);
    eventually("the restored state to go on", || async {
        let latest = redis.latest().await;
        (latest["epoch"].as_u64() > Some(before + 1) && latest["beat"].as_u64() > Some(300)).then_some(())
    })
    .await;
    assert!(daemon.state().await["epoch"].as_u64().unwrap() > before + 1);
}

#[tokio::test]
async fn the_latest_is_what_a_start_would_load() {
    let [old, new, latest] = states();
    let redis = holding(&[(OLD, &old), (NEW, &new), ("meta:latest", &latest)]).await;
    let (code, out, _) = restore(&redis, &["--from", "latest"]).await;
    assert!(code == 0 && out.contains("nothing to restore"), "{out}");

    // A torn state is no state: the newest snapshot takes its place, and it is kept.
    redis.command::<()>(&["SET", "meta:latest", "{\"schema\":1,"]).await;
    let (code, _, error) = restore(&redis, &["--from", "latest"]).await;
    assert_eq!(code, 0, "{error}");
    assert_eq!(redis.latest().await["beat"], 200);
    let aside = redis.keys("meta:quarantine:meta:latest:*").await;
    let kept: Value = redis.command::<String>(&["GET", &aside[0]]).await.into();
    assert_eq!(kept, "{\"schema\":1,");
}

#[tokio::test]
async fn nothing_that_is_not_valid_is_restored() {
    let [_, _, latest] = states();
    let redis = holding(&[(NEW, b"{\"schema\":7}"), ("meta:latest", &latest)]).await;
    let (code, _, error) = restore(&redis, &["--from", NEW, "--force"]).await;
    assert!(code == 1 && error.contains("not valid: its schema is 7, newer than 1"), "{error}");
    let (code, _, error) = restore(&redis, &["--from", OLD]).await;
    assert!(code == 1 && error.contains("does not exist"), "{error}");
    assert_eq!(redis.latest().await["beat"], 300);
}

#[tokio::test]
async fn wrong_usage_is_told() {
    let mut redis = Redis::start().await;
    for arguments in [&[] as &[&str], &["--list", "--from", "latest"], &["--dry-run"], &["--list", "--force"]] {
        assert_eq!(restore(&redis, arguments).await.0, 2, "{arguments:?}");
    }
    let mut command = Command::new(env!("CARGO_BIN_EXE_consciousness-system"));
    let output = command.args(["restore", "--list"]).output().await.expect("the command runs");
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("redis.url"));
    redis.kill().await;
    let (code, _, error) = restore(&redis, &["--list"]).await;
    assert!(code == 1 && error.contains("cannot be reached"), "{error}");
}
