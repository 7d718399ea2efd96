//! The pod that leads goes away, and another one leads.

use super::*;

/// Its last beat, or its last breath, on the way out.
async fn another_leads(lease: &str, leaves: &str) {
    let redis = Redis::start().await;
    let pods = Pods::start(&redis, 3, &[("cluster__lease", lease), ("shutdown__drain", "200ms")]).await;
    assert_eq!(pods.leader(&[0, 1, 2]).await, 0);
    let stop = CancellationToken::new();
    let watched = watch(&pods.pods[1], &stop);
    let flows = [Flow::to(&pods.pods[1], "b"), Flow::to(&pods.pods[2], "c")];
    for flow in &flows {
        flow.goes_on(20).await;
    }
    let epoch = pods.pods[1].state().await["epoch"].as_u64().unwrap();
    pods.pods[0].signal(leaves).await;
    let leader = pods.leader(&[1, 2]).await;
    for flow in &flows {
        flow.goes_on(20).await;
    }
    let [b, c] = flows.map(Flow::ends);
    let (b, c) = (b.await, c.await);
    pods.count(&[1, 2], "b", b).await;
    pods.count(&[1, 2], "c", c).await;
    let state = pods.pods[1].state().await;
    assert_eq!(state["state"]["cluster"]["leader"], format!("pod-{}", leader + 1));
    assert!(state["epoch"].as_u64().unwrap() > epoch);
    stop.cancel();
    assert!(within("the stream", watched).await.expect("epochs and beats rise") > 0);
    eventually("all of it in redis", || async {
        let latest = redis.latest().await;
        (latest["agents"]["b"]["observations"] == b && latest["agents"]["c"]["observations"] == c).then_some(())
    })
    .await;
}

#[tokio::test]
async fn after_a_crash() {
    another_leads("1s", "KILL").await;
}

#[tokio::test]
async fn at_once_after_an_orderly_end() {
    // Nobody waits for this one to end by itself.
    another_leads("1m", "TERM").await;
}

#[tokio::test]
async fn what_an_ending_pod_accepted_is_counted() {
    let redis = Redis::start().await;
    let mut pods = Pods::start(&redis, 2, &[("shutdown__drain", "200ms")]).await;
    for round in 0..20 {
        let (status, _) =
            pods.pods[0].observe(&json!({"agent": "a", "kind": "thought", "id": round.to_string()})).await;
        assert_eq!(status, 202);
    }
    pods.pods[0].signal("TERM").await;
    let ended = Arc::get_mut(&mut pods.pods[0]).unwrap();
    assert_eq!(ended.exit().await, Some(0));
    assert!(ended.log().iter().any(|line| line.contains("this pod leads no more")));
    pods.count(&[1], "a", 20).await;
}

#[tokio::test]
async fn one_that_slept_past_its_lease_follows() {
    let redis = Redis::start().await;
    let pods = Pods::start(&redis, 2, &[]).await;
    assert_eq!(pods.leader(&[0, 1]).await, 0);
    let flow = Flow::to(&pods.pods[1], "a");
    flow.goes_on(20).await;
    pods.pods[0].signal("STOP").await;
    assert_eq!(pods.leader(&[1]).await, 1);
    flow.goes_on(20).await;
    pods.pods[0].signal("CONT").await;
    eventually("the sleeper to follow", || async { (pods.pods[0].metric("leader").await == 0.0).then_some(()) }).await;
    let sent = flow.ends().await;
    pods.count(&[0, 1], "a", sent).await;
    for pod in &pods.pods {
        assert_eq!(pod.state().await["state"]["cluster"]["leader"], "pod-2");
    }
    let latest = redis.latest().await;
    assert_eq!(latest["epoch"], pods.pods[1].state().await["epoch"]);
}

#[tokio::test]
async fn a_restored_state_is_taken_up_by_those_who_run() {
    let redis = Redis::start().await;
    let pods = Pods::start(&redis, 2, &[("snapshot__interval", "1s")]).await;
    pods.pods[1].observe(&json!({"agent": "a", "kind": "thought"})).await;
    pods.count(&[0, 1], "a", 1).await;
    let snapshot = eventually("a snapshot with the agent", || async {
        for key in redis.keys("meta:snapshot:*").await.into_iter().rev() {
            let text: String = redis.command(&["GET", &key]).await;
            if text.contains("\"a\":{") {
                return Some(key);
            }
        }
        None
    });
    let snapshot = snapshot.await;
    pods.pods[1].observe(&json!({"agent": "b", "kind": "thought"})).await;
    pods.count(&[0, 1], "b", 1).await;
    let epoch = pods.pods[0].state().await["epoch"].as_u64().unwrap();
    let mut command = crate::support::binary();
    command.args(["restore", "--from", &snapshot, "--force"]).env("CONSCIOUSNESS__REDIS__URL", redis.url());
    assert!(command.output().await.unwrap().status.success());
    for pod in &pods.pods {
        let told = eventually("the restored state", || async {
            let told = pod.state().await;
            (told["epoch"].as_u64() > Some(epoch + 1) && told["state"]["cluster"]["status"] == "led").then_some(told)
        });
        let told = told.await;
        // What came after it is folded again as far as the stream still has it, and once.
        assert_eq!(told["state"]["agents"]["a"]["observations"], 1);
        assert!(told["state"]["agents"]["b"].is_null() || told["state"]["agents"]["b"]["observations"] == 1, "{told}");
    }
}
