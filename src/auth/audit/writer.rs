use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::row::Row;
use super::{Audit, Config, Trail};
use crate::domain::Timestamp;
use crate::link::Fault;
use crate::telemetry::Metrics;

/// Rows written in one go.
const BATCH: usize = 256;
/// Pause before what failed is tried again.
const RETRY: Duration = Duration::from_millis(500);
/// How often the old is cut off.
const TRIM: Duration = Duration::from_mins(1);

/// Writes the rows that an [`Audit`] takes in.
#[derive(Debug)]
pub struct Writer {
    trail: Trail,
    audit: Audit,
    waiting: mpsc::Receiver<Row>,
    config: Config,
    clock: fn() -> Timestamp,
    /// Rows on their way, and the number of the first.
    batch: Vec<Row>,
    number: u64,
    trimmed: Option<Instant>,
    away: bool,
}

impl Writer {
    /// A writer, and what takes in rows for it.
    pub fn new(trail: Trail, config: &Config, metrics: Metrics, clock: fn() -> Timestamp) -> (Audit, Self) {
        let (audit, waiting) = Audit::new(metrics);
        let writer = Self {
            trail,
            audit: audit.clone(),
            waiting,
            config: config.clone(),
            clock,
            batch: Vec::new(),
            number: 1,
            trimmed: None,
            away: false,
        };
        (audit, writer)
    }

    /// Writes until it is cancelled, and then what is left, for so long at most.
    pub async fn run(mut self, ending: CancellationToken, at_most: Duration) {
        let mut ticks = interval(self.config.interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = ending.cancelled() => break,
                _ = ticks.tick() => self.gather(),
                _ = self.waiting.recv_many(&mut self.batch, BATCH) => {}
            }
            while let Err(fault) = self.write().await {
                self.told(Some(fault));
                if ending.run_until_cancelled(sleep(RETRY)).await.is_none() {
                    break;
                }
            }
        }
        let last = async {
            self.gather();
            loop {
                while let Ok(row) = self.waiting.try_recv() {
                    self.batch.push(row);
                }
                match self.write().await {
                    Ok(()) if self.waiting.is_empty() => return,
                    Ok(()) => {}
                    Err(_) => sleep(RETRY / 5).await,
                }
            }
        };
        if timeout(at_most, last).await.is_err() {
            let rows = self.batch.len() + self.waiting.len();
            tracing::warn!(rows, "the last rows of the audit trail could not be written");
        }
    }

    /// Takes over what was counted since the last time.
    fn gather(&mut self) {
        if let Some(desk) = &self.audit.0 {
            self.batch.extend(desk.tally.lock().take());
        }
    }

    /// Writes all rows of the batch, and cuts off the old where that is due.
    async fn write(&mut self) -> Result<(), Fault> {
        while !self.batch.is_empty() {
            let rows = self.batch.len().min(BATCH);
            self.trail.append(&self.batch[..rows], self.number).await?;
            self.batch.drain(..rows);
            self.number += rows as u64;
            if let Some(desk) = &self.audit.0 {
                desk.count("written", rows);
            }
        }
        if self.trimmed.is_none_or(|at| at.elapsed() >= TRIM) {
            let before = (self.clock)().minus(self.config.keep_for);
            let rows = self.trail.trim(before, self.config.keep_rows).await?;
            self.trimmed = Some(Instant::now());
            if rows > 0 {
                tracing::info!(rows, "old rows of the audit trail were cut off");
            }
        }
        self.told(None);
        Ok(())
    }

    /// Tells of a change, once.
    fn told(&mut self, fault: Option<Fault>) {
        if fault.is_some() == self.away {
            return;
        }
        self.away = fault.is_some();
        match fault {
            Some(fault) => {
                let word = fault.as_str();
                tracing::error!(fault = word, "the audit trail cannot be written: rows wait, and too many are dropped");
            }
            None => tracing::info!("the audit trail is written again"),
        }
    }
}
