//! The audit trail, and what is told from it.

use serde_json::{Value, json};

use super::{ALL, STREAM, claims, get, ingest, logged, named, open, pod, resume, told};
use crate::support::{Redis, eventually, sign, unix_now};

/// The trail as JSON lines.
async fn trail(redis: &Redis) -> Vec<Value> {
    let lines = told(redis, &["audit", "--json"]).await;
    lines.lines().map(|line| serde_json::from_str(line).expect("each line is JSON")).collect()
}

/// Waits for so many rows of a kind; them.
async fn rows(redis: &Redis, what: &str, outcome: &str, count: u64) -> Vec<Value> {
    eventually(&format!("{count} of {what}, {outcome}"), || async {
        let rows: Vec<_> =
            trail(redis).await.into_iter().filter(|row| row["what"] == what && row["outcome"] == outcome).collect();
        let sum: u64 = rows.iter().map(|row| row["count"].as_u64().unwrap()).sum();
        (sum >= count).then_some(rows)
    })
    .await
}

#[tokio::test]
async fn the_trail_tells_who_did_what() {
    let redis = Redis::start().await;
    let mut pod = pod(&redis, &[]).await;
    let mut tokens = vec![named("alice", "a-1", ALL), named("alice", "a-2", STREAM), named("bob", "b-1", ALL)];
    let stream = open(&pod, &tokens[0]).await.unwrap();
    assert_eq!(open(&pod, &tokens[0]).await.err(), Some(401));
    let hello = stream.hello.clone();
    drop(stream);
    let mut stream = resume(&pod, &hello).await.unwrap();
    stream.send(json!({"type": "auth", "token": tokens[1]})).await;
    stream.frame_of_type("hello").await;
    for _ in 0..5 {
        assert_eq!(ingest(&pod, &tokens[2]).await, 202);
        assert_eq!(get(&pod, "/metrics", &tokens[2]).await, 200);
    }
    assert_eq!(get(&pod, "/v1/state", "not.a.token").await, 401);
    tokens.push(named("carol", "c-1", "metrics.read"));
    assert_eq!(get(&pod, "/v1/state", &tokens[3]).await, 403);
    told(&redis, &["revoke", "--jti", "a-2"]).await;
    assert_eq!(stream.closed().await.0, 4403);

    let opened = &rows(&redis, "open", "ok", 1).await[0];
    let expected =
        json!({"sub": "alice", "jti": "a-1", "kid": "default", "used": STREAM, "from": "127.0.0.1", "count": 1});
    for (name, value) in expected.as_object().unwrap() {
        assert_eq!(&opened[name], value, "{opened}");
    }
    assert_eq!(opened["scope"], "metacog.stream metacog.observe metrics.read");
    assert!(opened["expires"].as_str().is_some_and(|at| at.ends_with('Z')) && opened["at"].is_string());
    assert_eq!(rows(&redis, "open", "replayed", 1).await[0]["jti"], "a-1");
    assert_eq!(rows(&redis, "resume", "ok", 1).await[0]["jti"], "a-1");
    assert_eq!(rows(&redis, "refresh", "ok", 1).await[0]["jti"], "a-2");
    let closed = rows(&redis, "close", "ok", 2).await;
    assert!(closed.iter().any(|row| row["code"] == 4403) && closed.iter().any(|row| row["code"].is_null()));
    let ingested = rows(&redis, "ingest", "ok", 5).await;
    assert!(ingested.len() < 5 && ingested[0]["sub"] == "bob", "not a row for each request: {ingested:?}");
    rows(&redis, "scrape", "ok", 5).await;
    assert_eq!(rows(&redis, "state", "malformed", 1).await[0]["sub"], Value::Null);
    assert_eq!(rows(&redis, "state", "insufficient_scope", 1).await[0]["sub"], "carol");
    assert_eq!(rows(&redis, "revoke", "ok", 1).await[0]["jti"], "a-2");

    // What came last is written when the daemon ends.
    assert_eq!(get(&pod, "/v1/state", &tokens[0]).await, 200);
    let last = open(&pod, &named("dave", "d-1", STREAM)).await.unwrap();
    pod.signal("TERM").await;
    assert_eq!(pod.exit().await, Some(0));
    drop(last);
    let all = trail(&redis).await;
    assert!(all.iter().any(|row| row["what"] == "state" && row["jti"] == "a-1"), "{all:?}");
    assert!(all.iter().any(|row| row["sub"] == "dave" && row["code"] == 1012), "{all:?}");

    // Nothing of a token, a ticket or an observation.
    let raw: Vec<redis::Value> = redis.command(&["XRANGE", "meta:audit", "-", "+"]).await;
    let raw = format!("{raw:?}");
    let ticket = hello["resume"].as_str().unwrap().to_owned();
    for token in tokens.iter().chain([&ticket]) {
        assert!(token.split('.').all(|part| !raw.contains(part)));
    }
    assert!(!raw.contains("nobody's business"));

    // The report.
    let report = told(&redis, &["audit", "--since", "90d"]).await;
    assert!(report.contains("metacog.stream: held by 4 tokens, used by 3"), "{report}");
    let line = |name: &str| report.lines().find(|line| line.contains(name)).unwrap_or_default().to_owned();
    assert!(line(" a-1 ").contains(" yes ") && line(" b-1 ").contains(" no "), "{report}");
    assert!(report.contains("subjects not seen for 90d: 0") && report.contains("insufficient_scope"), "{report}");
    assert_eq!(told(&redis, &["audit", "--until", "1h", "--json"]).await, "");
}

#[tokio::test]
async fn the_report_points_out_who_was_not_seen_and_what_expires() {
    let redis = Redis::start().await;
    let add = async |days: u64, fields: &[&str]| {
        let ms = (unix_now() - days * 86_400) * 1_000;
        let (id, at) = (format!("{ms}-1"), format!("{}", ms * 1_000_000));
        let mut words = vec!["XADD", "meta:audit", &id, "at", &at];
        words.extend_from_slice(fields);
        redis.command::<String>(&words).await
    };
    let expires = ((unix_now() + 5 * 86_400) * 1_000_000_000).to_string();
    add(500, &["what", "open", "outcome", "ok", "sub", "forgotten"]).await;
    let fields = ["what", "open", "outcome", "ok", "sub", "long-gone", "jti", "g", "scope", STREAM, "used", STREAM];
    add(120, &fields).await;
    add(
        30,
        &["what", "scrape", "outcome", "ok", "sub", "prom", "jti", "p", "scope", "metrics.read", "expires", &expires],
    )
    .await;
    add(20, &["what", "unheard-of", "outcome", "ok"]).await;
    // Names that mean mischief.
    let evil = "=HYPERLINK(\"http://evil\",\"x\")";
    add(10, &["what", "open", "outcome", "ok", "sub", evil, "jti", "\u{1b}[31m\u{202e}x", "scope", STREAM]).await;
    // Written twice, since no answer had come.
    for id in ["1", "2"] {
        let ms = unix_now() * 1_000;
        let (id, at) = (format!("{ms}-{id}"), format!("{}", ms * 1_000_000));
        let words =
            ["XADD", "meta:audit", &id, "n", "w-1", "at", &at, "what", "scrape", "outcome", "ok", "sub", "once"];
        redis.command::<String>(&words).await;
    }
    let output = super::run(&redis, &["audit"]).await;
    let (report, warning) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(warning.contains("1 entries of the trail cannot be read"), "{warning}");
    assert!(report.contains("subjects not seen for 90d: 2"), "{report}");
    assert!(report.contains("long-gone") && report.contains("forgotten"), "{report}");
    assert!(report.contains("tokens that expire within 14d: 1"), "{report}");
    assert!(report.contains("metacog.stream: held by 1 tokens, used by 0"), "{report}");
    assert!(!report.contains('\u{1b}') && !report.contains('\u{202e}'), "{report}");
    let output = super::run(&redis, &["audit", "--csv", "--since", "200d"]).await;
    let csv = String::from_utf8_lossy(&output.stdout);
    let mut lines = csv.split("\r\n");
    assert!(lines.next().unwrap().starts_with("sub,jti,kid,scope,used,held_metacog_stream,"));
    assert!(csv.contains("\"'=HYPERLINK(\"\"http://evil\"\",\"\"x\"\")\","), "{csv}");
    assert!(csv.lines().any(|line| line.starts_with("long-gone,g,") && line.ends_with(",true")), "{csv}");
    assert!(csv.lines().any(|line| line.starts_with("forgotten,,") && line.ends_with(",true")), "{csv}");
    assert!(csv.lines().any(|line| line.starts_with("prom,p,") && line.ends_with(",true,false")), "{csv}");
    assert_eq!(csv.lines().filter(|line| line.starts_with("once,")).count(), 1);
    assert!(csv.contains("once,,,,,false,false,0,1,0,"), "{csv}");

    // What is over 400 days old is cut off once a daemon runs.
    let _pod = pod(&redis, &[]).await;
    eventually("the oldest to be cut off", || async {
        let first: Vec<redis::Value> = redis.command(&["XRANGE", "meta:audit", "-", "+", "COUNT", "1"]).await;
        (!format!("{first:?}").contains("forgotten")).then_some(())
    })
    .await;
    let csv = String::from_utf8(super::run(&redis, &["audit", "--csv"]).await.stdout).unwrap();
    assert!(csv.contains("long-gone") && !csv.contains("forgotten"), "{csv}");
}

#[tokio::test]
async fn rows_wait_while_redis_is_away_and_hold_nobody_up() {
    let mut redis = Redis::start().await;
    let pod = pod(&redis, &[]).await;
    redis.kill().await;
    let mut waiting = claims("alice", "waiting", STREAM);
    waiting["exp"] = json!(unix_now() + 300);
    let _stream = open(&pod, &sign(&waiting)).await.unwrap();
    assert_eq!(ingest(&pod, &named("bob", "b", ALL)).await, 202);
    eventually("it to be told", || async { (logged(&pod, "the audit trail cannot be written") == 1).then_some(()) })
        .await;
    redis.run().await;
    let rows = rows(&redis, "open", "ok", 1).await;
    assert_eq!((&rows[0]["sub"], &rows[0]["jti"]), (&json!("alice"), &json!("waiting")));
    eventually("it to be told", || async { (logged(&pod, "the audit trail is written again") == 1).then_some(()) })
        .await;
    assert_eq!(pod.metric("audit_rows_total{outcome=\"dropped\"}").await, 0.0);
    assert!(pod.metric("audit_rows_total{outcome=\"written\"}").await >= 1.0);
}
