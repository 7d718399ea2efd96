//! States that are stored in parts.

use std::process::Output;

use serde_json::{Value, json};
use tokio::process::Command;

use crate::support::{Daemon, Redis, eventually};

const AGENTS: usize = 300;

/// Whether there are the parts that `meta:latest` and the snapshots name, and others of no more than half of that.
const FEW_MORE: &str = r"
local heads = redis.call('KEYS', 'meta:snapshot:*')
heads[#heads + 1] = 'meta:latest'
local named, named_bytes = {}, 0
for _, head in ipairs(heads) do
    for id, bytes in pairs(cjson.decode(redis.call('GET', head)).parts or {}) do
        local key = 'meta:part:' .. id
        if redis.call('PTTL', key) ~= -1 or redis.call('STRLEN', key) ~= bytes then
            return false
        end
        if not named[key] then
            named[key], named_bytes = true, named_bytes + bytes
        end
    end
end
local others = 0
for _, key in ipairs(redis.call('KEYS', 'meta:part:*')) do
    if not named[key] then
        others = others + redis.call('STRLEN', key)
    end
end
return others <= named_bytes / 2 + 65536
";

/// Settings of a daemon that stores states in parts from 64 KiB on.
fn settings<'a>(url: &'a str, more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let mut settings = vec![("redis__url", url), ("redis__value_bytes", "65536"), ("snapshot__interval", "1h")];
    settings.extend(more);
    settings
}

async fn feed(daemon: &Daemon, round: usize) {
    let observations: Vec<_> = (0..AGENTS)
        .map(|agent| json!({"agent": format!("a-{agent}"), "kind": "thought", "text": format!("{round}")}))
        .collect();
    let (status, answer) = daemon.observe(&Value::from(observations)).await;
    assert_eq!(status, 202, "{answer}");
}

fn observations(state: &Value) -> u64 {
    let agents = state["agents"].as_object().expect("agents");
    agents.values().map(|agent| agent["observations"].as_u64().expect("a count")).sum()
}

/// The keys of the parts that a head names.
fn parts(head: &Value) -> Vec<String> {
    head["parts"].as_object().expect("parts").keys().map(|id| format!("meta:part:{id}")).collect()
}

/// Waits until a state with so many observations is stored in parts; its head.
async fn stored(redis: &Redis, observations: usize) -> Value {
    eventually("the state to be stored in parts", || async {
        let head = redis.latest().await;
        (head["parts"].is_object() && head["meta"]["observations"] == observations).then_some(head)
    })
    .await
}

async fn run(redis: &Redis, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_consciousness-system"));
    command.args(arguments).env("CONSCIOUSNESS__REDIS__URL", redis.url()).output().await.expect("the command runs")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[tokio::test]
async fn a_crash_loses_nothing_and_parts_do_not_pile_up() {
    let redis = Redis::start().await;
    let url = redis.url();
    let daemon = Daemon::start(&settings(&url, &[])).await;
    for round in 1..=5 {
        feed(&daemon, round).await;
        let head = stored(&redis, round * AGENTS).await;
        assert!(head["agents"].is_null() && head["schema"] == 1, "{head}");
        eventually("the parts before to be gone", || async {
            redis.command::<bool>(&["EVAL", FEW_MORE, "0"]).await.then_some(())
        })
        .await;
    }
    daemon.signal("KILL").await;
    drop(daemon);

    let listed = text(&run(&redis, &["restore", "--list"]).await.stdout);
    let latest = listed.lines().find(|line| line.starts_with("meta:latest ")).expect("it is listed");
    let columns: Vec<_> = latest.split_whitespace().collect();
    assert_eq!(columns[columns.len() - 2], AGENTS.to_string(), "{listed}");
    assert!(columns[columns.len() - 1].parse::<usize>().unwrap() > 65536, "{listed}");
    let reflected = run(&redis, &["reflect", "--agent", "a-7", "--json"]).await;
    let reflected: Value = serde_json::from_slice(&reflected.stdout).expect("JSON");
    assert_eq!(reflected["agent"], "a-7");

    let again = Daemon::start(&settings(&url, &[])).await;
    let state = again.state_when("the store", |state| state["store"]["mode"] == "redis").await;
    assert_eq!(observations(&state["state"]), 5 * AGENTS as u64);
}

#[tokio::test]
async fn another_pod_takes_over_a_split_state() {
    let redis = Redis::start().await;
    let url = redis.url();
    let first = Daemon::start(&settings(&url, &[("cluster__lease", "500ms")])).await;
    feed(&first, 1).await;
    stored(&redis, AGENTS).await;
    let second = Daemon::start(&settings(&url, &[("cluster__lease", "500ms")])).await;
    second.state_when("all agents", |state| observations(state) == AGENTS as u64).await;
    feed(&second, 2).await;
    stored(&redis, 2 * AGENTS).await;
    first.signal("KILL").await;
    feed(&second, 3).await;
    let head = stored(&redis, 3 * AGENTS).await;
    assert_eq!(head["epoch"], 2);
    second.state_when("all observations", |state| observations(state) == 3 * AGENTS as u64).await;
}

#[tokio::test]
async fn a_part_that_is_gone_costs_no_more_than_the_last_minute() {
    let redis = Redis::start().await;
    let url = redis.url();
    let mut daemon = Daemon::start(&settings(&url, &[])).await;
    feed(&daemon, 1).await;
    stored(&redis, AGENTS).await;
    // The last state is a snapshot, too.
    daemon.signal("TERM").await;
    assert_eq!(daemon.exit().await, Some(0));
    let again = Daemon::start(&settings(&url, &[])).await;
    feed(&again, 2).await;
    let head = stored(&redis, 2 * AGENTS).await;
    again.signal("KILL").await;
    drop(again);
    assert!(!redis.keys("meta:snapshot:*").await.is_empty());
    let (lost, rest) = parts(&head).split_first().map(|(lost, rest)| (lost.clone(), rest.to_vec())).expect("parts");
    redis.command::<()>(&["UNLINK", &lost]).await;
    let listed = text(&run(&redis, &["restore", "--list"]).await.stdout);
    assert!(listed.contains(&format!("not valid: {lost}, a part of it, is missing or not valid")), "{listed}");

    let third = Daemon::start(&settings(&url, &[])).await;
    let state = third.state_when("the store", |state| state["store"]["mode"] == "redis").await;
    // What is in the stream of observations still is folded again.
    assert!(observations(&state["state"]) >= AGENTS as u64, "{state}");
    let aside = redis.keys("meta:quarantine:meta:latest:*").await;
    assert_eq!(aside.len(), 1, "{aside:?}");
    // The rest of its parts stay with it.
    feed(&third, 3).await;
    eventually("a newer state", || async {
        let head = redis.latest().await;
        (head["parts"].is_object() && head["epoch"].as_u64() > Some(2)).then_some(())
    })
    .await;
    let kept = redis.keys("meta:part:*").await;
    assert!(rest.iter().all(|part| kept.contains(part)), "{rest:?}");
}

#[tokio::test]
async fn a_state_may_outgrow_a_value_and_shrink_again() {
    let redis = Redis::start().await;
    let url = redis.url();
    let daemon = Daemon::start(&settings(&url, &[])).await;
    feed(&daemon, 1).await;
    stored(&redis, AGENTS).await;
    drop(daemon);
    // Now a value may be larger.
    let whole = [("redis__url", url.as_str()), ("snapshot__interval", "1s"), ("snapshot__keep_count", "1")];
    let daemon = Daemon::start(&whole).await;
    let state = daemon.state_when("the store", |state| state["store"]["mode"] == "redis").await;
    assert_eq!(observations(&state["state"]), AGENTS as u64);
    feed(&daemon, 2).await;
    eventually("a state in one piece", || async {
        let latest = redis.latest().await;
        (latest["agents"].is_object() && latest["meta"]["observations"] == 2 * AGENTS).then_some(())
    })
    .await;
    eventually("the parts to be gone", || async { redis.keys("meta:part:*").await.is_empty().then_some(()) }).await;
}
