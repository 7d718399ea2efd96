//! What an alert's steps show of a daemon that is well, and of one that is not.

use super::drill::Drill;
use crate::support::Redis;

pub async fn run(section: &'static str) {
    let redis = Redis::start().await;
    let drill = Drill::new(section, &redis)
        // Most of the time stopped: what is asked meanwhile is answered late, and tells it.
        .before("HeartbeatSkew", "(for _ in 1 2 3; do kill -STOP $PID; sleep 0.8; kill -CONT $PID; sleep 0.02; done) &")
        .before("BreakerOpen", &format!("kill -STOP {}; sleep 3; (sleep 1; kill -CONT {}) &", redis.pid(), redis.pid()))
        .before("RedisBackupStale", "export BACKUP_DIR=\"$PWD\"")
        .before("TargetDown", "TOKEN_FILE=\"$PWD/scrape.token\"; echo not-a-token >\"$TOKEN_FILE\"");
    let outcome = drill.run().await;
    outcome.says(&[
        "ws_backpressure_drops_total 0",
        "0 frames given up in 5 s",
        // Open, or half-open for a trial.
        "circuit_breaker_open_total{breaker=\"redis\"}",
        "store_lag_beats ",
        "store_writes_total{outcome=\"timeout\"}",
        "auth_key_age_seconds{kid=\"default\"}",
        "leader 1",
        "the token is refused: 401",
        "the token is good: 200",
    ]);
    let backups = std::fs::read_dir(outcome.folder.path()).unwrap();
    let dumps = backups.filter(|file| file.as_ref().unwrap().path().extension().is_some_and(|e| e == "rdb"));
    assert_eq!(dumps.count(), 1);
}
