//! Revoked tokens are refused on every pod, within a second or so.

use serde_json::json;

use super::{ALL, STREAM, claims, get, ingest, logged, named, open, pod, resume, run, told};
use crate::support::{Daemon, Redis, Stream, binary, eventually, sign, unix_now};

/// Waits until a token is refused.
async fn refused(pod: &Daemon, token: &str) {
    eventually("the token to be refused", || async { (get(pod, "/v1/state", token).await == 401).then_some(()) }).await;
}

/// Reads on until some more beats came.
async fn goes_on(stream: &mut Stream) {
    let beat = stream.beat;
    while stream.beat <= beat + 12 {
        stream.next().await.expect("the stream goes on");
    }
}

#[tokio::test]
async fn a_revoked_token_is_good_for_nothing_on_any_pod() {
    let redis = Redis::start().await;
    let pods = [pod(&redis, &[]).await, pod(&redis, &[]).await];
    let bad = named("alice", "bad", ALL);
    let good = named("alice", "good", ALL);
    let mut stream = open(&pods[0], &bad).await.unwrap();
    let mut other = open(&pods[0], &good).await.unwrap();
    // One whose token was exchanged for the bad one, and one whose bad token was exchanged.
    let mut exchanged = open(&pods[1], &named("alice", "first", ALL)).await.unwrap();
    exchanged.send(json!({"type": "auth", "token": named("alice", "bad", ALL)})).await;
    exchanged.frame_of_type("hello").await;
    for pod in &pods {
        assert_eq!((get(pod, "/v1/state", &bad).await, ingest(pod, &bad).await), (200, 202));
    }
    let ticket = stream.hello.clone();
    let said = told(&redis, &["revoke", "--jti", "bad"]).await;
    assert!(said.starts_with("revoked until ") && said.contains("the token with jti bad"), "{said}");
    assert_eq!(stream.closed().await.0, 4403);
    assert_eq!(exchanged.closed().await.0, 4403);
    for pod in &pods {
        refused(pod, &bad).await;
        assert_eq!(ingest(pod, &bad).await, 401);
        for path in ["/v1/state", "/metrics", "/v1/agents/a/advice"] {
            assert_eq!(get(pod, path, &bad).await, 401, "{path}");
        }
        assert_eq!(resume(pod, &ticket).await.err(), Some(401));
        assert_eq!(open(pod, &named("alice", "bad", STREAM)).await.err(), Some(401), "whatever it says besides");
        assert_eq!(get(pod, "/v1/state", &good).await, 200);
        assert!(pod.metric("auth_failures_total{reason=\"revoked\"}").await >= 6.0);
        assert_eq!(pod.metric("auth_revocations").await, 1.0);
        assert_eq!(pod.metric("auth_revoked_streams_total").await, 1.0);
    }
    goes_on(&mut other).await;
    other.send(json!({"type": "auth", "token": named("alice", "bad", ALL)})).await;
    assert_eq!(other.frame_of_type("error").await["code"], "auth_failed");
    let answer = pods[0].http.get(pods[0].url("/v1/state")).bearer_auth(&bad).send().await.unwrap();
    let header = answer.headers()["www-authenticate"].to_str().unwrap();
    assert!(header.contains("error=\"invalid_token\"") && header.contains("revoked"), "{header}");
    // It outlives the longest accepted token.
    let left: u64 = redis.command(&["PTTL", "meta:revoked:entries"]).await;
    assert!(left > 366 * 86_400_000, "{left}");

    // A pod that starts knows it at once, and so does one that starts to undo it.
    let newborn = pod(&redis, &[]).await;
    assert_eq!(get(&newborn, "/v1/state", &bad).await, 401);
    let listed = told(&redis, &["revoke", "--list"]).await;
    assert!(listed.lines().count() == 2 && listed.contains("the token with jti bad"), "{listed}");
    told(&redis, &["revoke", "--undo", "--jti", "bad"]).await;
    eventually("the token to be taken", || async { (get(&newborn, "/v1/state", &bad).await == 200).then_some(()) })
        .await;
    assert_eq!(told(&redis, &["revoke", "--list"]).await, "nothing is revoked\n");
}

#[tokio::test]
async fn subjects_and_times_are_revoked_whole() {
    let redis = Redis::start().await;
    let pod = pod(&redis, &[]).await;
    let mut alice = open(&pod, &named("alice", "1", ALL)).await.unwrap();
    let mut bob = open(&pod, &named("bob", "2", ALL)).await.unwrap();
    told(&redis, &["revoke", "--sub", "alice"]).await;
    assert_eq!(alice.closed().await.0, 4403);
    refused(&pod, &named("alice", "3", STREAM)).await;
    assert_eq!(get(&pod, "/v1/state", &named("bob", "3", STREAM)).await, 200);
    goes_on(&mut bob).await;

    // All that was issued before now, or that does not say when.
    let aged = |sub: &str, seconds: u64| {
        let mut claims = claims(sub, &format!("{sub}-{seconds}"), ALL);
        claims["iat"] = json!(unix_now() - seconds);
        sign(&claims)
    };
    let mut silent = claims("carol", "silent", ALL);
    silent.as_object_mut().unwrap().remove("iat");
    let silent = sign(&silent);
    told(&redis, &["revoke", "--sub", "carol", "--before", "1m"]).await;
    refused(&pod, &aged("carol", 90)).await;
    assert_eq!(get(&pod, "/v1/state", &silent).await, 401);
    assert_eq!(get(&pod, "/v1/state", &aged("carol", 30)).await, 200);
    assert_eq!(get(&pod, "/v1/state", &aged("bob", 90)).await, 200);
    let mut old = open(&pod, &aged("dave", 90)).await.unwrap();
    let mut new = open(&pod, &aged("dave", 30)).await.unwrap();
    told(&redis, &["revoke", "--before", "1m"]).await;
    assert_eq!(old.closed().await.0, 4403);
    refused(&pod, &aged("bob", 90)).await;
    goes_on(&mut new).await;
    // An earlier moment lets nobody in again.
    let said = told(&redis, &["revoke", "--before", "1h"]).await;
    assert!(said.contains("tokens of everybody, issued before"), "{said}");
    goes_on(&mut new).await;
    assert_eq!(get(&pod, "/v1/state", &aged("bob", 90)).await, 401);
    let listed = told(&redis, &["revoke", "--list"]).await;
    assert_eq!(listed.lines().count(), 4, "{listed}");
    told(&redis, &["revoke", "--undo", "--before", "now"]).await;
    eventually("old tokens to be taken", || async {
        (get(&pod, "/v1/state", &aged("bob", 90)).await == 200).then_some(())
    })
    .await;
}

#[tokio::test]
async fn what_was_known_stays_in_force_while_redis_is_away_and_is_given_back() {
    let mut redis = Redis::start().await;
    let pod = pod(&redis, &[]).await;
    let (bad, good) = (named("alice", "bad", ALL), named("alice", "good", ALL));
    told(&redis, &["revoke", "--jti", "bad"]).await;
    refused(&pod, &bad).await;
    redis.kill().await;
    eventually("the pod to notice", || async { (pod.metric("auth_revocations_stale").await == 1.0).then_some(()) })
        .await;
    assert_eq!((get(&pod, "/v1/state", &bad).await, get(&pod, "/v1/state", &good).await), (401, 200));
    let failed = run(&redis, &["revoke", "--jti", "good"]).await;
    assert_eq!(failed.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&failed.stderr).contains("redis: it cannot be reached"));
    // It comes back without them.
    redis.run().await;
    eventually("the revocations to be given back", || async {
        told(&redis, &["revoke", "--list"]).await.contains("jti bad").then_some(())
    })
    .await;
    eventually("the pod to notice", || async { (pod.metric("auth_revocations_stale").await == 0.0).then_some(()) })
        .await;
    assert_eq!(get(&pod, "/v1/state", &bad).await, 401);
    assert_eq!(logged(&pod, "only the revocations known so far"), 1);
    told(&redis, &["revoke", "--jti", "good"]).await;
    refused(&pod, &good).await;
    // What cannot be read is passed over, and nothing breaks.
    redis.command::<()>(&["HSET", "meta:revoked:entries", "jti:odd", "not JSON", "else", "{}"]).await;
    redis.command::<()>(&["SET", "meta:revoked:version", "another"]).await;
    eventually("it to be read", || async { (logged(&pod, "cannot be read") > 0).then_some(()) }).await;
    assert_eq!(get(&pod, "/v1/state", &bad).await, 401);
}

#[tokio::test]
async fn the_command_says_what_is_wrong() {
    let redis = Redis::start().await;
    for (arguments, problem) in [
        (&["revoke"] as &[&str], "--jti"),
        (&["revoke", "--jti", "a", "--sub", "b"], "cannot be used with"),
        (&["revoke", "--jti", ""], "must be 1 to 256 bytes"),
        (&["revoke", "--sub", "a\nb"], "without control characters"),
        (&["revoke", "--before", "soon"], "a moment such as"),
        (&["revoke", "--before", "2099-01-01"], "in the future"),
        (&["audit", "--since", "x"], "a moment such as"),
        (&["audit", "--since", "1d", "--until", "2d"], "must lie before"),
    ] {
        let output = run(&redis, arguments).await;
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {error}");
        assert!(error.contains(problem), "{arguments:?}: {error}");
    }
    let output = run(&redis, &["revoke", "--undo", "--sub", "nobody"]).await;
    assert_eq!(output.status.code(), Some(1));
    for arguments in [&["revoke", "--jti", "a"] as &[&str], &["audit"]] {
        let output = binary().args(arguments).output().await.unwrap();
        assert_eq!(output.status.code(), Some(2));
        assert!(String::from_utf8_lossy(&output.stderr).contains("there is no Redis"), "{arguments:?}");
    }
}
