//! Redis goes, comes back, and its states are restored.

use super::drill::Drill;
use crate::support::{Daemon, Redis, project};

pub async fn run(section: &'static str) {
    for large in [false, true] {
        recover(section, large).await;
    }
}

/// With a state in one piece, or in parts.
async fn recover(section: &'static str, large: bool) {
    let file = project("config/redis.conf");
    let redis = Redis::start_with(&[file.to_str().unwrap()]).await;
    let drill = Drill::new(section, &redis);
    let outcome = if large { drill.large() } else { drill }.run().await;
    outcome.says(&[
        "\"mode\":\"redis\"",
        "store_writes_total{outcome=\"ok\"}",
        "role:master",
        "maxmemory_policy:noeviction",
        "{\"schema\":1,\"epoch\":",
        "nothing was changed",
        "is now a copy of meta:snapshot:",
        "it is what a start loads",
        "meta:quarantine:meta:latest:by-hand",
        "=== end",
    ]);
    assert_eq!(redis.keys("meta:quarantine:*").await, [""; 0]);
    // Three starts went on from one another, and a restore takes an epoch as well. A large state takes another start.
    let more = u64::from(large);
    let epoch: u64 = redis.command(&["GET", "meta:epoch"]).await;
    assert_eq!(epoch, 4 + more);
    assert_eq!(outcome.log.matches("\"message\":\"state loaded\"").count(), if large { 3 } else { 2 }, "{outcome}");
    let again = Daemon::start(&[("redis__url", &redis.url())]).await;
    let state = again.state().await;
    assert_eq!(state["epoch"], 5 + more);
    assert_eq!(state["state"]["agents"].as_object().unwrap().len(), if large { 200 } else { 0 });
    assert_eq!(redis.keys("meta:part:*").await.is_empty(), !large);
}
