//! Floor 4: the store, where the state outlives the process.
//!
//! One task writes the state to `meta:latest` in Redis, as fast as Redis and its own share of a core allow: what comes
//! in between is merged, the latest wins. No beat ever waits for it. A breaker stands in front; while Redis is away,
//! slow, read-only, full or flushed the state lives in this process, and it is written back when Redis is well again.
//!
//! What is found in `meta:latest` and was neither written by this process nor loaded by it is never lost: before it is
//! overwritten it is copied to `meta:quarantine:*`, which nothing here overwrites or prunes.
//!
//! A state that is too large for one value is stored in parts; see `parts.rs`.
//!
//! Writes carry the epoch of a leadership, and are refused once a newer one was taken. With each state Redis is told how
//! far the stream of observations is part of it, and the stream is trimmed up to there, in the same step.

mod archive;
mod backend;
mod config;
mod facts;
mod handoff;
mod keys;
mod load;
mod parts;
mod read;
mod remote;
mod scroll;
mod shelf;
mod snapshots;
#[cfg(test)]
mod tests;
mod writer;

use std::time::Duration;

pub use archive::{Archive, Entry, Summary};
pub use config::SnapshotConfig;
pub use facts::Facts;
pub use handoff::{Handoff, Inlet};
pub use load::Loaded;
pub use read::read;

use self::backend::{Backend, Over};
use self::parts::Parts;
use self::remote::Remote;
use self::shelf::Shelf;
use crate::breaker::{Breaker, Settings};
use crate::domain::Timestamp;
use crate::engine::Reading;
use crate::link::{Endpoint, Fault};
use crate::telemetry::Metrics;

/// The label of the breaker in front of Redis.
const BREAKER: &str = "redis";

/// One writer makes about one call a beat, and a call that is not made is merged into the next: to open costs little,
/// to notice late costs the truth. So a single failure among good calls opens it, as do slow calls alone, and two
/// failures where there was no good call yet.
const SETTINGS: Settings = Settings {
    window_calls: 4,
    window_time: Duration::from_secs(30),
    minimum_calls: 2,
    failure_rate: 0.25,
    slow_rate: 1.0,
    trial_calls: 2,
    trial_deadline: Duration::from_secs(10),
    open_for: Duration::from_millis(250),
    open_at_most: Duration::from_secs(2),
};

/// The store and its one writer.
#[derive(Debug)]
pub struct Store {
    backend: Backend,
    breaker: Breaker,
    /// Openings that were told already.
    openings: u64,
    facts: Facts,
    metrics: Metrics,
    snapshots: SnapshotConfig,
    clock: fn() -> Timestamp,
    origin: tokio::time::Instant,
    epoch: u64,
    over: Over,
    parts: Parts,
    /// How far the stream of observations is part of what is written next.
    reading: Reading,
    /// What the last write failed with, and since when none succeeded.
    away: Option<(Fault, tokio::time::Instant)>,
    /// Whether anything was written yet.
    wrote: bool,
    last_snapshot: Option<tokio::time::Instant>,
}

impl Store {
    /// The store in Redis, or in memory where there is none; it connects when it is first used. `clock` tells the time of
    /// day; the seed is for the jitter of the breaker.
    pub fn new(
        redis: Option<&Endpoint>,
        snapshots: &SnapshotConfig,
        metrics: Metrics,
        clock: fn() -> Timestamp,
        seed: u64,
    ) -> Self {
        let backend = match redis {
            Some(endpoint) => Backend::Redis(Box::new(Remote::new(endpoint.link()))),
            None => Backend::Memory(Shelf::default()),
        };
        Self {
            facts: Facts::new(redis.is_some(), metrics.clone()),
            backend,
            breaker: Breaker::new(SETTINGS, seed),
            openings: 0,
            metrics,
            snapshots: snapshots.clone(),
            clock,
            origin: tokio::time::Instant::now(),
            epoch: 0,
            over: Over::Own,
            parts: Parts::new(redis.map_or(usize::MAX, Endpoint::value_bytes)),
            reading: Reading::default(),
            away: None,
            wrote: false,
            last_snapshot: None,
        }
    }

    /// Writes in this epoch from now on; 0: writes nothing, and finds out when Redis can be reached. What was loaded, or written in the epoch before, may be replaced.
    pub fn lead(&mut self, epoch: u64) {
        if self.epoch != 0 && self.over == Over::Own {
            self.over = Over::OwnOr(self.epoch);
        }
        self.epoch = epoch;
        self.facts.kept(self.away.is_none() && epoch != 0);
    }

    /// Takes in that another pod writes from now on.
    pub fn stand_by(&self) {
        self.facts.stand_by();
    }

    /// How the store does, for whoever asks at any time.
    pub fn facts(&self) -> Facts {
        self.facts.clone()
    }

    /// The two ends between the heart, which beats at this interval, and [`Store::run`].
    pub fn handoff(&self, interval: Duration) -> (Handoff, Inlet) {
        handoff::pair(interval, self.facts.clone())
    }

    fn elapsed(&self) -> Duration {
        self.origin.elapsed()
    }
}
