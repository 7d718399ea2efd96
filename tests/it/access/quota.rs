//! What a subject may send, and how many streams it may have, over all pods.

use std::collections::HashMap;

use serde_json::json;

use super::{STREAM, named, open, pod};
use crate::support::{Daemon, Redis, Stream, eventually, within};

/// Sends pings at once; how many were answered.
async fn burst(pod: &Daemon, stream: &mut Stream, pings: u32) -> u32 {
    let dropped = async || pod.metric("ws_rate_limit_drops_total").await as u32;
    let before = dropped().await;
    for _ in 0..pings {
        stream.send(json!({"type": "ping"})).await;
    }
    // All came when the last was answered or dropped; a token that is none is neither.
    within("the pings to be looked at", async {
        let mut passed = 0;
        loop {
            if stream.next().await.expect("the stream stays open")["type"] == "pong" {
                passed += 1;
            }
            if dropped().await - before + passed >= pings {
                return passed;
            }
        }
    })
    .await
}

/// What each pod holds of the one subject: streams, messages asked for, share.
async fn shares(redis: &Redis) -> Vec<[u64; 3]> {
    let Some(key) = redis.keys("meta:quota:sub:*").await.pop() else { return Vec::new() };
    let entries: HashMap<String, String> = redis.command(&["HGETALL", &key]).await;
    let numbers = |text: &String| {
        let mut numbers = text.split(' ').map(|number| number.parse().unwrap());
        [(); 3].map(|()| numbers.next().unwrap())
    };
    let mut shares: Vec<_> = entries.values().map(numbers).collect();
    shares.sort_by_key(|[_, _, share]| *share);
    shares
}

async fn shares_are(redis: &Redis, what: &str, wanted: impl Fn(&[[u64; 3]]) -> bool) {
    eventually(what, || async { wanted(&shares(redis).await).then_some(()) }).await;
}

#[tokio::test]
async fn pods_divide_the_rate_of_a_subject_by_what_comes() {
    let redis = Redis::start().await;
    let (a, b) = (pod(&redis, &[]).await, pod(&redis, &[]).await);
    let mut first = open(&a, &named("alice", "1", STREAM)).await.unwrap();
    shares_are(&redis, "the whole for one pod", |shares| shares == [[1, 0, 20_000]]).await;
    assert!((20..25).contains(&burst(&a, &mut first, 40).await));
    let mut second = open(&b, &named("alice", "2", STREAM)).await.unwrap();
    shares_are(&redis, "equal parts", |shares| shares == [[1, 0, 10_000], [1, 0, 10_000]]).await;
    // Two seconds fill both buckets, and by then each pod has heard.
    tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    for (pod, stream) in [(&a, &mut first), (&b, &mut second)] {
        let passed = burst(pod, stream, 25).await;
        assert!((10..15).contains(&passed), "{passed}");
    }
    // Where more comes more is given, and never more than there is.
    let sending = async {
        loop {
            for _ in 0..3 {
                first.send(json!({"type": "ping"})).await;
            }
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
    };
    let given = shares_are(&redis, "most for who sends most", |shares| {
        assert!(shares.iter().map(|[_, _, share]| share).sum::<u64>() <= 20_000, "{shares:?}");
        shares.len() == 2 && shares[1][2] >= 15_000 && shares[0][2] >= 2_000
    });
    tokio::select! {
        () = given => {}
        () = sending => {}
    }
    drop(second);
    shares_are(&redis, "the whole for who is left", |shares| shares.len() == 1 && shares[0][2] == 20_000).await;
    drop(first);
    shares_are(&redis, "nothing to be left", <[_]>::is_empty).await;
}

#[tokio::test]
async fn streams_of_a_subject_are_counted_on_all_pods_and_forgotten_with_theirs() {
    let redis = Redis::start().await;
    let settings = [("limits__streams_per_sub", "3")];
    let (a, b) = (pod(&redis, &settings).await, pod(&redis, &settings).await);
    let mut number = 0;
    let mut token = || {
        number += 1;
        named("alice", &number.to_string(), STREAM)
    };
    let mut streams = Vec::new();
    for pod in [&a, &a, &b] {
        streams.push(open(pod, &token()).await.unwrap());
    }
    let turned_away = token();
    for pod in [&a, &b, &b] {
        assert_eq!(open(pod, &turned_away).await.err(), Some(4429));
    }
    assert!(open(&b, &named("bob", "b", STREAM)).await.is_ok(), "others are others");
    // What was closed on one pod makes room on another, with the token that was not used up.
    streams.remove(0);
    let again = eventually("a place", || async { open(&b, &turned_away).await.ok() }).await;
    assert_eq!(open(&a, &token()).await.err(), Some(4429));
    drop((again, streams));
    // Those of a pod that is killed are forgotten.
    let mut lost = Vec::new();
    for _ in 0..3 {
        let token = token();
        lost.push(eventually("a place", || async { open(&a, &token).await.ok() }).await);
    }
    let last = token();
    assert_eq!(open(&b, &last).await.err(), Some(4429));
    a.signal("KILL").await;
    eventually("the dead pod's streams to be forgotten", || async { open(&b, &last).await.ok() }).await;
}

#[tokio::test]
async fn while_redis_is_away_each_pod_grants_the_whole() {
    let mut redis = Redis::start().await;
    let settings = [("limits__streams_per_sub", "2")];
    let (a, b) = (pod(&redis, &settings).await, pod(&redis, &settings).await);
    let mut first = open(&a, &named("alice", "1", STREAM)).await.unwrap();
    let mut second = open(&b, &named("alice", "2", STREAM)).await.unwrap();
    assert_eq!(open(&b, &named("alice", "3", STREAM)).await.err(), Some(4429));
    redis.kill().await;
    for pod in [&a, &b] {
        eventually("the pod to notice", || async { (pod.metric("ws_quota_outage").await == 1.0).then_some(()) }).await;
    }
    let third = open(&b, &named("alice", "3", STREAM)).await.expect("a pod that is alone counts its own");
    assert_eq!(open(&b, &named("alice", "4", STREAM)).await.err(), Some(4429));
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    for (pod, stream) in [(&a, &mut first), (&b, &mut second)] {
        let passed = burst(pod, stream, 40).await;
        assert!((20..25).contains(&passed), "{passed}");
    }
    redis.run().await;
    shares_are(&redis, "equal parts again", |shares| {
        shares.len() == 2 && shares.iter().all(|[_, _, share]| *share <= 10_000 && *share >= 8_000)
    })
    .await;
    for pod in [&a, &b] {
        eventually("the pod to notice", || async { (pod.metric("ws_quota_outage").await == 0.0).then_some(()) }).await;
    }
    drop(third);
    assert_eq!(open(&a, &named("alice", "5", STREAM)).await.err(), Some(4429), "two are open elsewhere, or three");
}
