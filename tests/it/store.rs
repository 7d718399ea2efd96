//! The state outlives the process, and the process outlives Redis.

mod boot;
mod connections;
mod faults;
mod restore;
mod split;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::support::{Daemon, Redis, Set, connect, eventually, token, within};

/// A daemon at work: observations flow and a stream is open the whole time.
struct Trial {
    daemon: Arc<Daemon>,
    accepted: Arc<AtomicU64>,
    stop: CancellationToken,
    flow: JoinHandle<()>,
    /// The longest time between two frames, or how the stream was closed.
    watch: JoinHandle<Result<Duration, String>>,
    missed: f64,
}

/// How long it took to be told.
struct Told {
    lost: Duration,
    back: Duration,
}

impl Trial {
    async fn start(settings: &[Set<'_>]) -> Self {
        let mut all = vec![("redis__boot_timeout", "200ms"), ("snapshot__interval", "1s")];
        all.extend_from_slice(settings);
        Self::of(Daemon::start(&all).await).await
    }

    async fn of(daemon: Daemon) -> Self {
        let daemon = Arc::new(daemon);
        let (stop, accepted) = (CancellationToken::new(), Arc::new(AtomicU64::new(0)));
        let mut stream = connect(&daemon, &token("dashboard", "metacog.stream")).await;
        let watching = stop.clone();
        let watch = tokio::spawn(async move {
            let (mut last, mut longest) = (Instant::now(), Duration::ZERO);
            loop {
                let frame = tokio::select! {
                    frame = stream.next() => frame,
                    () = watching.cancelled() => return Ok(longest),
                };
                if let Err(closed) = frame {
                    return Err(format!("the stream was closed: {closed:?}"));
                }
                longest = longest.max(last.elapsed());
                last = Instant::now();
            }
        });
        let (observing, counting, until) = (Arc::clone(&daemon), Arc::clone(&accepted), stop.clone());
        let flow = tokio::spawn(async move {
            let mut pace = tokio::time::interval(Duration::from_millis(20));
            while !until.is_cancelled() {
                pace.tick().await;
                let (status, answer) = observing.observe(&json!({"agent": "worker", "kind": "thought"})).await;
                assert_eq!(status, 202, "{answer}");
                counting.fetch_add(1, Ordering::SeqCst);
            }
        });
        let missed = daemon.metric("heartbeat_missed_total").await;
        Self { daemon, accepted, stop, flow, watch, missed }
    }

    /// Waits until the state says so; how long that took.
    async fn store_is(&self, mode: &str, breaker: &str) -> Duration {
        let began = Instant::now();
        let what = format!("mode {mode} and breaker {breaker}");
        let is = |state: &Value| state["store"]["mode"] == mode && state["store"]["breaker"] == breaker;
        self.daemon.state_when(&what, is).await;
        began.elapsed()
    }

    async fn is_stored(&self) {
        self.store_is("redis", "closed").await;
    }

    async fn counts(&self, outcome: &str) -> f64 {
        self.daemon.metric(&format!("store_writes_total{{outcome=\"{outcome}\"}}")).await
    }

    /// Has a fault come and go; what came in meanwhile has to be in the store soon after.
    async fn survives(&self, redis: &mut Redis, fault: Fault<'_>) -> Told {
        self.is_stored().await;
        (fault.comes)(redis).await;
        let lost = self.store_is("memory", "open").await;
        let outcome = fault.outcome;
        eventually(&format!("a failure counted as {outcome}"), || async {
            (self.counts(outcome).await > 0.0).then_some(())
        })
        .await;
        assert!(self.daemon.metric("circuit_breaker_open_total{breaker=\"redis\"}").await > 0.0);
        let accepted = self.accepted.load(Ordering::SeqCst);
        eventually("observations to flow on", || async {
            (self.accepted.load(Ordering::SeqCst) > accepted + 20).then_some(())
        })
        .await;
        (fault.goes)(redis).await;
        let began = Instant::now();
        let accepted = self.accepted.load(Ordering::SeqCst);
        eventually("the state to be back in redis", || async {
            (stored(&redis.latest().await) >= accepted).then_some(())
        })
        .await;
        let back = began.elapsed();
        self.is_stored().await;
        assert_eq!(self.daemon.metric("breaker_state{breaker=\"redis\"}").await, 0.0);
        Told { lost, back }
    }

    /// Ends the flow. Nothing that was accepted may be missing, in the daemon and in the store, the stream must have
    /// stayed open and alive, and the heart on time.
    async fn ends_well(self, redis: &Redis) -> Arc<Daemon> {
        self.stop.cancel();
        within("the flow to end", self.flow).await.expect("all was accepted");
        let longest = within("the stream", self.watch).await.unwrap().expect("the stream stays open");
        assert!(longest < Duration::from_secs(2), "no frame for {longest:?}");
        let accepted = self.accepted.load(Ordering::SeqCst);
        let all = |state: &Value| state["agents"]["worker"]["observations"] == accepted;
        self.daemon.state_when("all observations in the state", all).await;
        eventually("all observations in redis", || async { (stored(&redis.latest().await) == accepted).then_some(()) })
            .await;
        // One wait for Redis would be five beats; a busy machine may be late by one or two.
        let missed = self.daemon.metric("heartbeat_missed_total").await - self.missed;
        assert!(missed < 4.0, "{missed} beats were missed");
        self.daemon
    }
}

/// A fault of Redis.
struct Fault<'a> {
    outcome: &'a str,
    comes: &'a dyn for<'r> Fn(&'r mut Redis) -> Step<'r>,
    goes: &'a dyn for<'r> Fn(&'r mut Redis) -> Step<'r>,
}

type Step<'r> = std::pin::Pin<Box<dyn Future<Output = ()> + 'r>>;

/// Observations in a stored state.
fn stored(latest: &Value) -> u64 {
    latest["agents"]["worker"]["observations"].as_u64().unwrap_or(0)
}

/// A state that this program can go on from, of this epoch and beat, as an earlier process would have left it.
fn document(epoch: u64, beat: u64, at: &str) -> Vec<u8> {
    use consciousness_system::domain::Timestamp;
    use consciousness_system::engine::{Config, Document, Engine};
    let engine = Engine::new(Config::default(), epoch);
    let mut document = Document::of(&engine);
    let at: jiff::Timestamp = at.parse().expect("a moment");
    document.meta.beat = beat;
    document.meta.at = Timestamp::from_nanos(i64::try_from(at.as_nanosecond()).expect("a moment of now"));
    document.to_json()
}
