//! Dumps that can be gone back to.

use super::drill::Drill;
use crate::support::Redis;

pub async fn run(section: &'static str) {
    let redis = Redis::start().await;
    let drill = Drill::new(section, &redis).before("", "export BACKUP_DIR=\"$PWD\"");
    let outcome = drill.run().await;
    outcome.says(&["/meta-", "it is what a start loads"]);
    assert_eq!(redis.latest().await["epoch"], 2, "{outcome}");
    let kept = redis.keys("meta:quarantine:*").await;
    assert!(kept.len() == 1 && kept[0].contains("before-backup"), "{kept:?}");
}
