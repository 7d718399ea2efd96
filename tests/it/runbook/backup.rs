//! Dumps that can be gone back to.

use super::drill::Drill;
use crate::support::Redis;

pub async fn run(section: &'static str) {
    let redis = Redis::start().await;
    let outcome = Drill::new(section, &redis).before("", "BACKUP=\"$PWD\"").run().await;
    outcome.says(&["RDB looks OK"]);
}
