//! What happens to Redis while observations flow.

use std::time::Duration;

use serde_json::Value;

use super::{Fault, Told, Trial, stored};
use crate::support::{Daemon, Proxy, Redis, eventually};

/// The truth is told within about a second, and the state is back within two seconds of the breaker's next probe, which
/// comes within two seconds.
fn in_time(what: &str, told: &Told) {
    println!("{what}: told after {:?}, back after {:?}", told.lost, told.back);
    assert!(told.lost < Duration::from_millis(2500), "{:?}", told.lost);
    assert!(told.back < Duration::from_secs(5), "{:?}", told.back);
}

/// A fault that commands bring about and end.
async fn survives_commands(outcome: &str, comes: &'static [&[&str]], goes: &'static [&[&str]]) {
    let mut redis = Redis::start().await;
    let trial = Trial::start(&[("redis__url", &redis.url())]).await;
    let fault =
        Fault { outcome, comes: &|redis| Box::pin(run(redis, comes)), goes: &|redis| Box::pin(run(redis, goes)) };
    in_time(outcome, &trial.survives(&mut redis, fault).await);
    trial.ends_well(&redis).await;
}

async fn run(redis: &mut Redis, commands: &[&[&str]]) {
    for words in commands {
        redis.command::<()>(words).await;
    }
}

#[tokio::test]
async fn killed_and_restarted() {
    let mut redis = Redis::start().await;
    let trial = Trial::start(&[("redis__url", &redis.url())]).await;
    let fault =
        Fault { outcome: "unreachable", comes: &|redis| Box::pin(redis.kill()), goes: &|redis| Box::pin(redis.run()) };
    in_time("killed", &trial.survives(&mut redis, fault).await);
    let daemon = trial.ends_well(&redis).await;
    let told = daemon.log().iter().filter(|line| line.contains("kept in memory alone")).count();
    assert!((1..=3).contains(&told), "told once for each change, not for each try: {told}");
}

/// A black hole: the kernel accepts, nobody answers. `CONSCIOUSNESS_TEST_PAUSE=30` makes it as long as seconds.
#[tokio::test]
async fn stopped() {
    let seconds = std::env::var("CONSCIOUSNESS_TEST_PAUSE").ok().and_then(|text| text.parse().ok()).unwrap_or(3);
    let mut redis = Redis::start().await;
    let trial = Trial::start(&[("redis__url", &redis.url())]).await;
    let fault = Fault {
        outcome: "timeout",
        comes: &|redis| Box::pin(redis.signal("STOP")),
        goes: &|redis| {
            Box::pin(async move {
                tokio::time::sleep(Duration::from_secs(seconds)).await;
                redis.signal("CONT").await;
            })
        },
    };
    in_time("stopped", &trial.survives(&mut redis, fault).await);
    trial.ends_well(&redis).await;
}

#[tokio::test]
async fn read_only() {
    let master = &[&["REPLICAOF", "127.0.0.1", "1"] as &[&str]];
    survives_commands("read_only", master, &[&["REPLICAOF", "NO", "ONE"]]).await;
}

#[tokio::test]
async fn full() {
    survives_commands(
        "out_of_memory",
        &[&["CONFIG", "SET", "maxmemory", "1"]],
        &[&["CONFIG", "SET", "maxmemory", "0"]],
    )
    .await;
}

/// What another pod sent before Redis was full is counted while it is: here by a script that may write all the same, in the
/// form of before there were packs.
#[tokio::test]
async fn full_and_read_all_the_same() {
    const SENT: &str = r#"#!lua flags=allow-oom
redis.call('XADD', 'meta:observations', '*', 'producer', '77', 'serial', ARGV[1], 'first', '1', 'lines',
    '{"agent":"sent-before","session":1,"id":null,"at":1763942048000000000,"source":"native","kind":{"thought":{"text":null}}}')
"#;
    let redis = Redis::start().await;
    let daemon = Daemon::start(&[("redis__url", &redis.url())]).await;
    daemon.state_when("the store", |state| state["store"]["mode"] == "redis").await;
    redis.command::<()>(&["CONFIG", "SET", "maxmemory", "1"]).await;
    // The first one is told to whoever waits for it since before.
    for serial in 1..=3 {
        redis.command::<()>(&["EVAL", SENT, "0", &serial.to_string()]).await;
        let counted = |state: &Value| state["agents"]["sent-before"]["observations"] == serial;
        daemon.state_when("what was sent to be counted", counted).await;
    }
    assert!(redis.try_command::<()>(&["SET", "meta:probe", "x"]).await.is_err(), "it is full all the while");
}

#[tokio::test]
async fn unable_to_write_to_its_disk() {
    let mut redis = Redis::start_with(&["--save", "3600 1", "--enable-protected-configs", "yes"]).await;
    let gone = redis.directory.path().join("gone");
    let trial = Trial::start(&[("redis__url", &redis.url())]).await;
    let fault = Fault {
        outcome: "disk",
        comes: &|redis| {
            let gone = gone.clone();
            Box::pin(async move {
                std::fs::create_dir(&gone).unwrap();
                redis.command::<()>(&["CONFIG", "SET", "dir", gone.to_str().unwrap()]).await;
                std::fs::remove_dir(&gone).unwrap();
                let _: Result<redis::Value, _> = redis.try_command(&["BGSAVE"]).await;
            })
        },
        goes: &|redis| {
            Box::pin(async move {
                let directory = redis.directory.path().to_str().unwrap().to_owned();
                redis.command::<()>(&["CONFIG", "SET", "dir", &directory]).await;
                eventually("a dump to be written", || async {
                    let _: Result<redis::Value, _> = redis.try_command(&["BGSAVE"]).await;
                    let persistence: String = redis.command(&["INFO", "persistence"]).await;
                    persistence.contains("rdb_last_bgsave_status:ok").then_some(())
                })
                .await;
            })
        },
    };
    in_time("disk", &trial.survives(&mut redis, fault).await);
    trial.ends_well(&redis).await;
}

#[tokio::test]
async fn flushed() {
    let redis = Redis::start().await;
    let trial = Trial::start(&[("redis__url", &redis.url())]).await;
    trial.is_stored().await;
    eventually("a snapshot", || async { (!redis.keys("meta:snapshot:*").await.is_empty()).then_some(()) }).await;
    redis.command::<()>(&["FLUSHALL"]).await;
    let back = eventually("the state to be written back", || async {
        Some(redis.latest().await).filter(|latest| stored(latest) > 0)
    });
    back.await;
    eventually("a snapshot of it", || async { (!redis.keys("meta:snapshot:*").await.is_empty()).then_some(()) }).await;
    let daemon = trial.ends_well(&redis).await;
    // The lease is gone as well, and what was written back may be of before the daemon found that.
    eventually("the counter to be of the epoch that is told", || async {
        let epoch: Option<u64> = redis.command(&["GET", "meta:epoch"]).await;
        (epoch.is_some() && epoch == daemon.state().await["epoch"].as_u64()).then_some(())
    })
    .await;
    assert!(daemon.log().iter().any(|line| line.contains("meta:latest was gone: written back")));
}

#[tokio::test]
async fn cut_off_in_mid_command() {
    let redis = Redis::start().await;
    let proxy = Proxy::before(redis.port).await;
    let trial = Trial::start(&[("redis__url", &format!("redis://{}", proxy.address))]).await;
    trial.is_stored().await;
    // Somewhere within a write of the state, which is longer.
    proxy.cut_after(1500);
    eventually("connections to be reset", || async { (proxy.resets() > 1).then_some(()) }).await;
    trial.store_is("memory", "open").await;
    assert!(trial.counts("connection_lost").await > 0.0);
    proxy.heal();
    trial.is_stored().await;
    trial.ends_well(&redis).await;
}

#[tokio::test]
async fn the_password_is_wrong_and_then_right() {
    let mut redis = Redis::start().await;
    redis.command::<()>(&["CONFIG", "SET", "requirepass", "another"]).await;
    let secret = "hunter2-of-the-test";
    let trial = Trial::start(&[("redis__url", &redis.url()), ("redis__password", secret)]).await;
    trial.store_is("memory", "open").await;
    assert!(trial.counts("denied").await > 0.0);
    let mut connection = redis::Client::open(format!("redis://:another@127.0.0.1:{}", redis.port))
        .unwrap()
        .get_multiplexed_async_connection()
        .await
        .unwrap();
    let mut set = redis::cmd("CONFIG");
    set.arg("SET").arg("requirepass").arg(secret).query_async::<()>(&mut connection).await.unwrap();
    trial.is_stored().await;
    set = redis::cmd("CONFIG");
    set.arg("SET").arg("requirepass").arg("").query_async::<()>(&mut connection).await.unwrap();
    let daemon = trial.ends_well(&redis).await;
    assert!(!daemon.log().iter().any(|line| line.contains(secret)), "a password is never logged");
    redis.kill().await;
}

#[tokio::test]
async fn absent_at_boot() {
    let mut redis = Redis::prepare(&["--save", ""]);
    let trial = Trial::start(&[("redis__url", &redis.url())]).await;
    trial.store_is("memory", "open").await;
    redis.run().await;
    trial.is_stored().await;
    trial.ends_well(&redis).await;
}

#[tokio::test]
async fn a_state_found_late_is_taken_up() {
    let mut redis = Redis::prepare(&["--save", ""]);
    // The state of an earlier life comes with Redis, as after an outage of both.
    let earlier = super::document(4, 77, "2025-11-23T23:54:08.123Z");
    redis.run().await;
    let text = String::from_utf8(earlier.clone()).unwrap();
    redis.command::<()>(&["SET", "meta:latest", &text]).await;
    redis.command::<()>(&["SET", "meta:epoch", "4"]).await;
    redis.signal("STOP").await;
    let trial = Trial::start(&[("redis__url", &redis.url())]).await;
    trial.store_is("memory", "open").await;
    redis.signal("CONT").await;
    trial.is_stored().await;
    let daemon = trial.ends_well(&redis).await;
    let state = daemon.state().await;
    assert!(state["epoch"].as_u64().unwrap() > 4 && state["beat"].as_u64().unwrap() > 77, "{state}");
    let latest = redis.latest().await;
    assert_eq!(latest["epoch"], state["epoch"]);
    assert_ne!(latest["meta"], Value::Null);
    assert_eq!(redis.keys("meta:quarantine:*").await, [""; 0]);
}
