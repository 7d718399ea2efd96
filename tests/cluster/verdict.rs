//! What has to be true when all is over.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::time::sleep;

use crate::history::difference;
use crate::producer::{Books, Sent};
use crate::world::{INTERVAL, PODS, World};

/// Longest time until what was accepted is counted everywhere.
const COUNTED: Duration = Duration::from_secs(20);
/// Longest time until a dashboard is told what a pod shows.
const TOLD: Duration = Duration::from_secs(5);
/// So many dashboards' positions are waited for.
const LOOKS: usize = 200;

/// Every acknowledged observation is counted once, at every pod and in what is stored.
pub async fn counts(world: &World, books: &Books) {
    let books = books.lock().unwrap().clone();
    let excused = !world.excused.is_empty();
    let began = Instant::now();
    let mut problems;
    loop {
        problems = Vec::new();
        for pod in 0..PODS {
            let body = world.look(pod).await;
            problems.extend(miscounted(&books, &body["state"]["agents"], &format!("pod-{pod}"), excused));
        }
        problems.extend(miscounted(&books, &stored(world).await, "meta:latest", excused));
        if problems.is_empty() || began.elapsed() > COUNTED {
            break;
        }
        sleep(Duration::from_millis(100)).await;
    }
    problems.into_iter().for_each(|problem| world.history.wrong(problem));
}

/// The agents in `meta:latest` and its parts.
async fn stored(world: &World) -> Value {
    let value = async |key: &str| -> Value {
        let text: Option<String> = world.servers.ask(&["GET", key]).await;
        serde_json::from_str(&text.unwrap_or_default()).unwrap_or_default()
    };
    let mut latest = value("meta:latest").await;
    let mut agents = latest["agents"].take();
    let Value::Object(split) = latest["parts"].take() else { return agents };
    agents = Value::Object(serde_json::Map::new());
    for id in split.keys() {
        let mut part = value(&format!("meta:part:{id}")).await;
        if let (Value::Object(agents), Value::Object(some)) = (&mut agents, part["agents"].take()) {
            agents.extend(some);
        }
    }
    agents
}

fn miscounted(books: &BTreeMap<String, Sent>, agents: &Value, place: &str, excused: bool) -> Vec<String> {
    let wrong = |(agent, sent): (&String, &Sent)| {
        let counted = agents[agent]["observations"].as_u64().unwrap_or_default();
        let least = if excused { 0 } else { sent.acknowledged };
        let may_be = least..=sent.acknowledged + sent.unknown;
        (!may_be.contains(&counted)).then(|| {
            let Sent { acknowledged, unknown } = sent;
            format!("{agent}: {acknowledged} acknowledged, {unknown} unknown, {counted} counted ({place})")
        })
    };
    books.iter().filter_map(wrong).collect()
}

/// What pods answer to `/v1/state` is what dashboards have at the same position.
pub async fn states(world: &World) {
    let mut met = [false; PODS];
    for _ in 0..LOOKS {
        for (pod, met) in met.iter_mut().enumerate() {
            let body = world.look(pod).await;
            let at = (body["epoch"].as_u64().unwrap_or_default(), body["beat"].as_u64().unwrap_or_default());
            // Dashboards are told it a moment later, or a newer one in its place.
            let asked = Instant::now();
            while world.history.newest() < at && asked.elapsed() < TOLD {
                sleep(Duration::from_millis(2)).await;
            }
            let Some(known) = world.history.state(at) else { continue };
            let own = body["state"].to_string();
            if known != own {
                world.history.wrong(format!("pod-{pod} and dashboards differ at {at:?}: {}", difference(&known, &own)));
            }
            *met = true;
        }
        if met == [true; PODS] {
            return;
        }
    }
    world.history.wrong(format!("pods and dashboards never stood at the same beat: {met:?}"));
}

/// The leader's continuity, as the objective has it, or nothing where it does not tell. It counts the whole life of the
/// state: no change of leaders makes it forget what was due meanwhile, or what was made.
pub async fn continuity(world: &World) -> Option<f64> {
    let mut totals = None;
    for pod in &world.pods {
        let daemon = pod.daemon.as_ref()?;
        if daemon.metric("leader").await == 1.0 {
            let due = daemon.metric("heartbeat_state_due_total").await;
            totals = Some((due, daemon.metric("heartbeat_state_made_total").await));
        }
    }
    let (due, made) = totals?;
    let seen = world.history.continuity(INTERVAL);
    // Dashboards came some seconds after the first beat, and a state that was stored a moment before is taken up.
    if !(seen.due - 30.0..=seen.due * 1.1 + 100.0).contains(&due) || made < seen.made as f64 * 0.9 - 30.0 || made > due
    {
        world.history.wrong(format!("{made} of {due} beats were made, says the leader; {seen:?} was seen"));
    }
    Some(made / due)
}

/// No epoch was led in by two, and nobody panicked. Adds to the history what became of whom.
pub fn logs(world: &World) -> Vec<String> {
    let mut leaders = BTreeMap::<u64, String>::new();
    let mut told = Vec::new();
    for (name, lines) in world.all_logs() {
        for line in lines {
            let Ok(event) = serde_json::from_str::<Value>(&line) else {
                world.history.wrong(format!("{name}: {line}"));
                continue;
            };
            let message = event["message"].as_str().unwrap_or_default();
            if message == "this pod leads"
                && let Some(epoch) = event["epoch"].as_u64()
                && let Some(other) = leaders.insert(epoch, name.clone())
            {
                world.history.wrong(format!("{name} and {other} both led in epoch {epoch}"));
            }
            let interesting = message.starts_with("this pod")
                || matches!(event["level"].as_str(), Some("WARN" | "ERROR"))
                || event["target"].as_str().is_some_and(|target| target.contains("::app::pod"));
            if interesting && !message.starts_with("beats missed") {
                told.push(format!("{} {name} {line}", event["timestamp"].as_str().unwrap_or_default()));
            }
        }
    }
    told.sort();
    told
}

/// The stream of observations is trimmed behind what is stored.
pub async fn trimmed(world: &World) {
    let began = Instant::now();
    let mut length = u64::MAX;
    while began.elapsed() < COUNTED {
        length = world.servers.ask(&["XLEN", "meta:observations"]).await.unwrap_or(length);
        if length < 200 {
            return;
        }
        sleep(Duration::from_millis(200)).await;
    }
    world.history.wrong(format!("{length} entries stay in meta:observations"));
}
