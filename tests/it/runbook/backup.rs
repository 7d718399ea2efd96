//! Dumps that can be gone back to.

use super::drill::Drill;
use crate::support::Redis;

/// What is gone back for.
const LOSE_PARTS: &str = "redis-cli --scan --pattern 'meta:part:*' | xargs -r redis-cli UNLINK";

pub async fn run(section: &'static str) {
    for large in [false, true] {
        go_back(section, large).await;
    }
}

/// With a state in one piece, or in parts.
async fn go_back(section: &'static str, large: bool) {
    let redis = Redis::start().await;
    let drill = Drill::new(section, &redis)
        .before("", "export BACKUP_DIR=\"$PWD\"")
        .before("Going back to a backup", LOSE_PARTS);
    let outcome = if large { drill.large() } else { drill }.run().await;
    outcome.says(&["/meta-", "it is what a start loads"]);
    assert_eq!(redis.latest().await["epoch"], 2 + u64::from(large), "{outcome}");
    assert_eq!(redis.keys("meta:part:*").await.is_empty(), !large, "{outcome}");
    let kept = redis.keys("meta:quarantine:*").await;
    assert!(kept.len() == 1 && kept[0].contains("before-backup"), "{kept:?}");
}
