//! Redis goes, comes back, and its states are restored.

use super::drill::Drill;
use crate::support::{Daemon, Redis, project};

pub async fn run(section: &'static str) {
    let file = project("config/redis.conf");
    let redis = Redis::start_with(&[file.to_str().unwrap()]).await;
    let outcome = Drill::new(section, &redis).run().await;
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
    // Three starts went on from one another, and a restore takes an epoch as well.
    let epoch: u64 = redis.command(&["GET", "meta:epoch"]).await;
    assert_eq!(epoch, 4);
    assert_eq!(outcome.log.matches("\"message\":\"state loaded\"").count(), 2, "{outcome}");
    let again = Daemon::start(&[("redis__url", &redis.url())]).await;
    assert_eq!(again.state().await["epoch"], 5);
}
