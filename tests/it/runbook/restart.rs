//! A restart goes on where the daemon ended.

use super::drill::Drill;
use crate::support::Redis;

pub async fn run(section: &'static str) {
    let redis = Redis::start().await;
    let outcome = Drill::new(section, &redis).run().await;
    assert_eq!(redis.latest().await["epoch"], 2, "{outcome}");
    assert_eq!(outcome.log.matches("\"message\":\"drained\"").count(), 2, "{outcome}");
}
