//! What an alert's steps show of a daemon that is well, and of one that is not.

use super::drill::Drill;
use crate::support::Redis;

/// Redis stands still, and there is something to write, until the breaker opens; a second later it goes on.
const BREAKER_OPEN: &str = r#"
kill -STOP REDIS
OBSERVER="$(consciousness-system token --sub drill --scope metacog.observe)"
until metrics circuit_breaker_open_total | awk '/"redis"/ && $2 > 0 { open = 1 } END { exit !open }'; do
    curl -fsS -o /dev/null -H "Authorization: Bearer $OBSERVER" "$DAEMON/v1/observations" --json '{"agent": "drill", "kind": "thought"}'
    sleep 0.1
done
(sleep 1; kill -CONT REDIS) &
"#;

pub async fn run(section: &'static str) {
    let redis = Redis::start().await;
    let drill = Drill::new(section, &redis)
        // Most of the time stopped: what is asked meanwhile is answered late, and tells it.
        .before("HeartbeatSkew", "(for _ in 1 2 3; do kill -STOP $PID; sleep 0.8; kill -CONT $PID; sleep 0.02; done) &")
        .before("BreakerOpen", &BREAKER_OPEN.replace("REDIS", &redis.pid().to_string()))
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
