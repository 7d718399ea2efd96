//! Redis goes away, and comes back.

use super::*;

#[tokio::test]
async fn all_go_on_and_nothing_is_lost() {
    let mut redis = Redis::start().await;
    let pods = Pods::start(&redis, 2, &[]).await;
    assert_eq!(pods.leader(&[0, 1]).await, 0);
    let stop = CancellationToken::new();
    let watched = [watch(&pods.pods[0], &stop), watch(&pods.pods[1], &stop)];
    let flows = [Flow::to(&pods.pods[0], "a"), Flow::to(&pods.pods[1], "b")];
    for flow in &flows {
        flow.goes_on(20).await;
    }
    redis.kill().await;
    for pod in [0, 1] {
        pods.is(pod, "degraded", "memory").await;
        let state = pods.pods[pod].state().await;
        assert_eq!(state["state"]["cluster"]["leader"], "pod-1", "who led last");
        assert_eq!(pods.pods[pod].get("/readyz").await.0, 200);
    }
    assert_eq!(pods.pods[0].metric("leader").await, 0.0);
    // The one that led folds what it accepts; the other beats on.
    let folded = pods.pods[0].state().await["state"]["agents"]["a"]["observations"].as_u64().unwrap();
    let folds = |state: &Value| state["agents"]["a"]["observations"].as_u64() > Some(folded + 20);
    pods.pods[0].state_when("observations to be folded", folds).await;
    let beat = pods.pods[1].state().await["beat"].as_u64().unwrap();
    eventually("the other to beat", || async {
        (pods.pods[1].state().await["beat"].as_u64() > Some(beat + 5)).then_some(())
    })
    .await;

    // It comes back empty.
    redis.run().await;
    pods.leader(&[0, 1]).await;
    for flow in &flows {
        flow.goes_on(20).await;
    }
    let [a, b] = flows.map(Flow::ends);
    let (a, b) = (a.await, b.await);
    pods.count(&[0, 1], "a", a).await;
    pods.count(&[0, 1], "b", b).await;
    stop.cancel();
    for watched in watched {
        assert!(within("the stream", watched).await.expect("epochs and beats rise") > 0);
    }
}

#[tokio::test]
async fn pods_that_never_saw_redis_find_each_other() {
    let mut redis = Redis::prepare(&["--save", ""]);
    let pods = Pods::start(&redis, 2, &[]).await;
    let flows = [Flow::to(&pods.pods[0], "a"), Flow::to(&pods.pods[1], "b")];
    for (pod, flow) in flows.iter().enumerate() {
        flow.goes_on(20).await;
        pods.is(pod, "degraded", "memory").await;
    }
    redis.run().await;
    pods.leader(&[0, 1]).await;
    let [a, b] = flows.map(Flow::ends);
    let (a, b) = (a.await, b.await);
    pods.count(&[0, 1], "a", a).await;
    pods.count(&[0, 1], "b", b).await;
}

#[tokio::test]
async fn one_pod_is_cut_off_from_redis() {
    let redis = Redis::start().await;
    let proxy = crate::support::Proxy::before(redis.port).await;
    let (near, far) =
        (Arc::new(pod(&redis.url(), 1, &[]).await), Arc::new(pod(&format!("redis://{}", proxy.address), 2, &[]).await));
    let pods = Pods { pods: vec![near, far] };
    assert_eq!(pods.leader(&[0, 1]).await, 0);
    let flow = Flow::to(&pods.pods[1], "b");
    flow.goes_on(20).await;
    proxy.cut_after(0);
    pods.is(1, "degraded", "memory").await;
    pods.is(0, "led", "redis").await;
    flow.goes_on(20).await;
    proxy.heal();
    let sent = flow.ends().await;
    pods.count(&[0, 1], "b", sent).await;
}

#[tokio::test]
async fn what_does_not_fit_is_refused() {
    let mut redis = Redis::start().await;
    let pods = Pods::start(&redis, 1, &[("limits__queue", "1024"), ("limits__batch", "1024")]).await;
    redis.kill().await;
    let many: Value = (0..300).map(|_| json!({"agent": "a", "kind": "thought"})).collect();
    for _ in 0..3 {
        assert_eq!(pods.pods[0].observe(&many).await.0, 202);
    }
    let answer = pods.pods[0].observe(&many).await;
    assert_eq!(answer.0, 503, "{}", answer.1);
    redis.run().await;
    eventually("room again", || async { (pods.pods[0].observe(&many).await.0 == 202).then_some(()) }).await;
    pods.count(&[0], "a", 1200).await;
}
