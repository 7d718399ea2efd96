//! What an alert's steps show of a daemon that is well, and of one that is not.

use super::drill::Drill;
use crate::support::Redis;

pub async fn run(section: &'static str) {
    let redis = Redis::start().await;
    let outcome = Drill::new(section, &redis).run().await;
    outcome.says(&["heartbeat_skew_ms ", "ws_backpressure_drops_total 0", "breaker_state{breaker=\"redis\"} 0"]);
}
