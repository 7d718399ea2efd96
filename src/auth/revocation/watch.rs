use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval};

use super::{Book, List, Register, Revocations};
use crate::domain::Timestamp;
use crate::link::Fault;
use crate::telemetry::Metrics;

/// How often Redis is asked whether something changed: twice, and a slow answer, fit in a second.
const POLL: Duration = Duration::from_millis(250);
/// How often all is read anew even so, for what no version tells: that Redis was set back.
const ANEW: Duration = Duration::from_secs(10);
/// Entries that are brought up to date in one turn; the rest is left to the next.
const BATCH: usize = 1_024;
/// How often the streams are looked through after a change: again at the next turn, for those that were about to open
/// or to be given another token.
const SWEEPS: u32 = 2;

/// Keeps the revocations up to date.
#[derive(Debug)]
pub struct Watch {
    register: Register,
    revocations: Revocations,
    metrics: Metrics,
    clock: fn() -> Timestamp,
    book: Book,
    /// The version that was read last; `None`: all is to be read, whatever it is.
    version: Option<Option<String>>,
    read_at: Instant,
    stale: bool,
    sweeps: u32,
}

impl Watch {
    /// Watches a register, and tells what it says to whoever asks these revocations.
    pub fn new(register: Register, revocations: Revocations, metrics: Metrics, clock: fn() -> Timestamp) -> Self {
        Self {
            register,
            revocations,
            metrics,
            clock,
            book: Book::default(),
            version: None,
            read_at: Instant::now(),
            stale: false,
            sweeps: 0,
        }
    }

    /// Looks once. Failing that, nothing is known to be revoked, as yet.
    pub async fn look(&mut self) {
        let outcome = self.turn().await;
        self.told(outcome.err());
    }

    /// Looks for ever. Whoever holds streams is handed the list after a change, closes those that it covers, and tells how
    /// many these are.
    pub async fn run(mut self, close: impl Fn(&List) -> usize) {
        let mut ticks = interval(POLL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            self.look().await;
            if self.sweeps > 0 {
                self.sweeps -= 1;
                let closed = close(&self.revocations.list());
                self.metrics.auth_revoked_streams_total.inc_by(closed as u64);
                if closed > 0 {
                    tracing::info!(streams = closed, "streams closed: revoked");
                }
            }
        }
    }

    async fn turn(&mut self) -> Result<(), Fault> {
        let version = self.register.version().await?;
        if self.version.as_ref() == Some(&version) && self.read_at.elapsed() < ANEW {
            return Ok(());
        }
        // The version was read first: what comes in between is another version, and read at the next turn.
        let reading = self.register.look().await?;
        let now = (self.clock)();
        for (target, entry) in reading.book.iter() {
            self.book.enter(target.clone(), entry.clone());
        }
        self.book.forget_until(now);
        self.publish();
        (self.version, self.read_at) = (Some(version), Instant::now());
        let missing = self.book.iter().filter(|(target, entry)| reading.book.get(target) != Some(*entry));
        let outdated = reading.book.iter().filter(|(_, entry)| entry.until <= now);
        let changes = missing.map(|(target, entry)| (target, Some(entry)));
        let changes: Vec<_> = changes.chain(outdated.map(|(target, _)| (target, None))).take(BATCH).collect();
        let written = self.register.put(&reading, &changes, now).await?;
        if written > 0 {
            tracing::info!(entries = written, "revocations in redis were brought up to date");
        }
        Ok(())
    }

    fn publish(&mut self) {
        let list = self.book.list();
        if list == *self.revocations.list() {
            return;
        }
        tracing::info!(revocations = list.len(), "revocations changed");
        self.metrics.auth_revocations.set(i64::try_from(list.len()).unwrap_or(i64::MAX));
        self.revocations.publish(list);
        self.sweeps = SWEEPS;
    }

    /// Takes in how a turn went.
    fn told(&mut self, fault: Option<Fault>) {
        if fault.is_some() {
            self.version = None;
        }
        if fault.is_some() == self.stale {
            return;
        }
        self.stale = fault.is_some();
        self.metrics.auth_revocations_stale.set(i64::from(self.stale));
        match fault {
            Some(fault) => tracing::error!(
                fault = fault.as_str(),
                revocations = self.revocations.list().len(),
                "redis is away: only the revocations known so far are in force"
            ),
            None => tracing::info!("revocations are read again"),
        }
    }
}
