//! One token, one stream: on all pods, at once, across restarts, and with Redis gone.

use futures_util::future::join_all;

use super::{STREAM, get, logged, named, open, pod, resume};
use crate::support::{Daemon, Redis, Stream, eventually, token};

const AWAY: &str = "auth_replay_outage";

#[tokio::test]
async fn of_a_hundred_at_once_on_two_pods_one_opens() {
    let redis = Redis::start().await;
    let pods = [pod(&redis, &[]).await, pod(&redis, &[]).await];
    let once = token("a", STREAM);
    let opened = join_all((0..100).map(|i| open(&pods[i % 2], &once))).await;
    assert_eq!(opened.iter().filter(|opened| opened.is_ok()).count(), 1);
    assert!(opened.iter().all(|opened| opened.as_ref().err().is_none_or(|status| *status == 401)));
    let keys = redis.keys("meta:jti:*").await;
    assert_eq!(keys.len(), 1, "{keys:?}");
    // As long as it might be accepted: ten minutes, and what clocks may be apart.
    let left: u64 = redis.command(&["PTTL", &keys[0]]).await;
    assert!((600_000..=700_000).contains(&left), "{left}");
    assert!(!keys[0].contains(&once), "a hash, not what the token says");
    // Elsewhere it is as good as before.
    assert_eq!(get(&pods[0], "/v1/state", &once).await, 200);

    // The same for tickets, of which each stream has another.
    let winner = opened.into_iter().find_map(Result::ok).unwrap();
    let resumed = join_all((0..20).map(|i| resume(&pods[i % 2], &winner.hello))).await;
    assert_eq!(resumed.iter().filter(|resumed| resumed.is_ok()).count(), 1);
    assert!(resumed.iter().all(|resumed| resumed.as_ref().err().is_none_or(|status| *status == 401)));
    let next = resumed.into_iter().find_map(Result::ok).unwrap();
    let third = resume(&pods[1], &next.hello).await.expect("each stream has a ticket of its own");
    assert_eq!(resume(&pods[0], &next.hello).await.err(), Some(401));

    // A pod that is killed and starts anew has forgotten nothing, nor has one that joins.
    let [first, second] = pods;
    first.signal("KILL").await;
    drop(first);
    let newborn = pod(&redis, &[]).await;
    assert_eq!(open(&newborn, &once).await.err(), Some(401));
    assert_eq!(resume(&newborn, &next.hello).await.err(), Some(401));
    assert!(resume(&newborn, &third.hello).await.is_ok());
    assert_eq!(newborn.metric("auth_failures_total{reason=\"replayed\"}").await, 2.0);
    for pod in [&newborn, &second] {
        assert_eq!(pod.metric(AWAY).await, 0.0);
        assert_eq!(pod.metric("breaker_state{breaker=\"auth\"}").await, 0.0);
    }
}

#[tokio::test]
async fn while_redis_is_away_each_pod_looks_alone_and_afterwards_all_know() {
    let mut redis = Redis::start().await;
    let (a, b) = (pod(&redis, &[]).await, pod(&redis, &[]).await);
    let before = token("before", STREAM);
    assert!(open(&a, &before).await.is_ok());
    redis.kill().await;
    let (here, twice) = (token("here", STREAM), token("twice", STREAM));
    assert!(open(&a, &here).await.is_ok());
    assert_eq!(open(&a, &here).await.err(), Some(401), "what a pod let in itself it knows");
    assert_eq!(open(&a, &before).await.err(), Some(401));
    assert!(open(&a, &twice).await.is_ok() && open(&b, &twice).await.is_ok(), "the price of the policy");
    for pod in [&a, &b] {
        assert_eq!(pod.metric(AWAY).await, 1.0);
        assert_eq!(logged(pod, "replay is guarded by this pod alone"), 1, "once for each change");
        assert_eq!(pod.get("/readyz").await.0, 200);
    }
    // It comes back, and has lost everything.
    redis.run().await;
    for pod in [&a, &b] {
        eventually("the pod to see redis", || async { (pod.metric(AWAY).await == 0.0).then_some(()) }).await;
        assert_eq!(logged(pod, "replay is guarded across pods"), 1);
    }
    eventually("redis to know all tokens in use", || async {
        (redis.keys("meta:jti:*").await.len() == 3).then_some(())
    })
    .await;
    let newborn = pod(&redis, &[]).await;
    for used in [&before, &here, &twice] {
        assert_eq!(open(&newborn, used).await.err(), Some(401));
        assert_eq!(open(&b, used).await.err(), Some(401));
    }
    let double = "auth_replays_in_outage_total";
    eventually("the second use to be noticed", || async {
        (a.metric(double).await + b.metric(double).await == 1.0).then_some(())
    })
    .await;
    assert_eq!(logged(&a, "used on more than one pod") + logged(&b, "used on more than one pod"), 1);
}

#[tokio::test]
async fn a_redis_that_does_not_answer_holds_nobody_up() {
    let redis = Redis::start().await;
    let local = pod(&redis, &[]).await;
    let deny = pod(&redis, &[("auth__replay_on_outage", "deny")]).await;
    // One that has let nobody in.
    let idle = pod(&redis, &[]).await;
    let first = open(&deny, &token("a", STREAM)).await.expect("all is well");
    redis.signal("STOP").await;
    // All of it is answered while Redis stands still.
    let opened = join_all((0..20).map(|i| open_named(&local, format!("local-{i}")))).await;
    assert!(opened.iter().all(Result::is_ok));
    let late = named("a", "late", STREAM);
    for _ in 0..3 {
        assert_eq!(open(&deny, &late).await.err(), Some(503));
        assert_eq!(resume(&deny, &first.hello).await.err(), Some(503));
    }
    assert_eq!(get(&deny, "/v1/state", &late).await, 200, "only streams are denied");
    assert_eq!(deny.metric(AWAY).await, 1.0);
    assert!(deny.metric("auth_failures_total{reason=\"guard_away\"}").await >= 6.0);
    assert_eq!(logged(&deny, "no stream is opened"), 1);
    let tried = "circuit_breaker_open_total{breaker=\"auth\"}";
    eventually("the idle one to have tried again", || async { (idle.metric(tried).await >= 2.0).then_some(()) }).await;
    assert_eq!((idle.metric(AWAY).await, logged(&idle, "replay is guarded")), (1.0, 1), "nobody said that it is back");
    redis.signal("CONT").await;
    // Neither was used up by that, although Redis may have carried out what it was asked.
    eventually("the token to be taken", || async { open(&deny, &late).await.ok().map(|_| ()) }).await;
    eventually("the ticket to be taken", || async { resume(&deny, &first.hello).await.ok().map(|_| ()) }).await;
    assert_eq!(open(&deny, &late).await.err(), Some(401));
    assert_eq!(resume(&deny, &first.hello).await.err(), Some(401));
    eventually("the pods to see redis", || async {
        (local.metric(AWAY).await + deny.metric(AWAY).await == 0.0).then_some(())
    })
    .await;
    eventually("redis to be given what was used meanwhile", || async {
        (open(&deny, &named("a", "local-7", STREAM)).await.err() == Some(401)).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_full_guard_refuses_and_forgets_nothing() {
    let redis = Redis::start().await;
    let pod = pod(&redis, &[("auth__replay_capacity", "1024"), ("limits__streams_per_sub", "2000")]).await;
    let first = named("a", "0", STREAM);
    let mut streams = vec![open(&pod, &first).await.unwrap()];
    for batch in 0..16 {
        let names = (1..=64).map(|i| named("a", &format!("{batch}-{i}"), STREAM)).collect::<Vec<_>>();
        let opened = join_all(names.iter().map(|token| open(&pod, token))).await;
        streams.extend(opened.into_iter().filter_map(Result::ok));
    }
    assert_eq!(streams.len(), 1024);
    assert_eq!(open(&pod, &named("a", "another", STREAM)).await.err(), Some(503));
    assert_eq!(open(&pod, &first).await.err(), Some(401), "the oldest is known as ever");
    assert!(pod.metric("auth_failures_total{reason=\"guard_full\"}").await >= 1.0);
}

async fn open_named(pod: &Daemon, jti: String) -> Result<Stream, u16> {
    open(pod, &named("a", &jti, STREAM)).await
}
