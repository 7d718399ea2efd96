//! From the spool to the stream: what this process accepted goes to Redis, as often as it takes.

use std::time::Duration;

use redis::Value;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::entry::{Body, POSITION, READ, READING, STREAM};
use super::spool::Spool;
use crate::engine::StreamId;
use crate::link::{Fault, Link};
use crate::telemetry::Metrics;

/// Carries what is taken in to the stream of observations, and looks what of it is part of a stored state.
#[derive(Debug)]
pub struct Courier {
    spool: Spool,
    link: Link,
    metrics: Metrics,
    /// What it cannot reach Redis for, and since when.
    away: Option<(Fault, Instant)>,
}

impl Courier {
    /// Bytes sent at a time, in one round trip.
    const AT_A_TIME: usize = 4 << 20;
    /// Between two looks at how far the stored state is.
    const LOOK: Duration = Duration::from_millis(200);
    /// Between two tries to reach Redis.
    const RETRY: Duration = Duration::from_millis(250);

    /// A courier with a link of its own.
    pub fn new(spool: Spool, link: Link, metrics: Metrics) -> Self {
        Self { spool, link, metrics, away: None }
    }

    /// Carries until `closing` is cancelled and all that was taken in is in the stream.
    pub async fn run(mut self, closing: CancellationToken) {
        let mut news = self.spool.news();
        let (mut retry, mut look) = (Instant::now(), Instant::now());
        loop {
            news.mark_unchanged();
            self.metrics.spool_observations.set(gauge(self.spool.len()));
            self.metrics.spool_unsent_observations.set(gauge(self.spool.only_here()));
            let now = Instant::now();
            let may = now >= retry;
            let outcome = if may && now >= look {
                look = now + Self::LOOK;
                Some(self.look().await)
            } else if may {
                self.send().await.transpose()
            } else {
                None
            };
            match outcome {
                Some(Ok(())) => {
                    self.reached();
                    continue;
                }
                Some(Err(fault)) => {
                    retry = Instant::now() + Self::RETRY;
                    self.failed(fault);
                    continue;
                }
                None => {}
            }
            if closing.is_cancelled() && self.spool.only_here() == 0 {
                return;
            }
            let wake = if may { look } else { retry };
            tokio::select! {
                Ok(()) = news.changed(), if may => {}
                () = sleep_until(wake) => {}
                () = closing.cancelled(), if !closing.is_cancelled() => {}
            }
        }
    }

    /// Sends what the stream does not have yet; `None`: there is nothing.
    async fn send(&mut self) -> Result<Option<()>, Fault> {
        let batches = self.spool.unsent(Self::AT_A_TIME);
        if batches.is_empty() {
            return Ok(None);
        }
        let mut pipe = redis::pipe();
        let mut bytes = 0;
        for batch in &batches {
            let origin = batch.origin;
            let entry = pipe.cmd("XADD").arg(STREAM).arg("*");
            entry.arg("producer").arg(field(origin.producer)).arg("serial").arg(origin.serial);
            entry.arg("first").arg(origin.first).arg("count").arg(batch.count).arg(Body::PACK).arg(&batch.packed[..]);
            bytes += batch.packed.len();
        }
        let ids: Vec<String> = self.link.call(bytes, async |connection| pipe.query_async(connection).await).await?;
        for (batch, id) in batches.iter().zip(ids) {
            self.spool.sent(batch.origin.serial, id.parse().map_err(|_| Fault::Other)?);
        }
        Ok(Some(()))
    }

    /// Looks how far the stored state is, and whether the stream still has what it was given.
    ///
    /// The order of the two questions matters: what is trimmed between them is seen to be part of the stored state.
    async fn look(&mut self) -> Result<(), Fault> {
        let oldest = self.spool.oldest();
        let id = oldest.map_or_else(|| "0-1".to_owned(), |(_, id)| id.to_string());
        let mut pipe = redis::pipe();
        pipe.cmd("XRANGE").arg(STREAM).arg(&id).arg(&id).arg("COUNT").arg(1);
        pipe.cmd("HMGET").arg(READING).arg(POSITION).arg(field(self.spool.producer()));
        pipe.cmd("XLEN").arg(STREAM);
        pipe.cmd("GET").arg(READ);
        let told: (Value, Stored, i64, Option<String>) =
            self.link.call(0, async |connection| pipe.query_async(connection).await).await?;
        let (found, (position, serial), length, read) = told;
        self.metrics.observations_stream_length.set(length);
        let there = matches!(&found, Value::Array(entries) if !entries.is_empty());
        let stored = serial.unwrap_or(0);
        self.spool.stored(stored);
        self.spool.read(read.and_then(|text| text.parse().ok()).unwrap_or_default());
        let position: StreamId = position.and_then(|text| text.parse().ok()).unwrap_or_default();
        // Either the stream lost it, or it was passed over, since one before it was lost.
        if oldest.is_some_and(|(serial, id)| serial > stored && (!there || position >= id)) {
            tracing::warn!(held = self.spool.len(), "the stream of observations lost some: sending them again");
            self.spool.send_again();
        }
        Ok(())
    }

    fn reached(&mut self) {
        self.spool.came_back();
        if let Some((fault, since)) = self.away.take() {
            let away_ms = since.elapsed().as_millis() as u64;
            tracing::info!(after = fault.as_str(), away_ms, held = self.spool.len(), "observations go to redis again");
        }
    }

    fn failed(&mut self, fault: Fault) {
        self.spool.went_away();
        if self.away.is_none_or(|(before, _)| before != fault) {
            let word = fault.as_str();
            tracing::warn!(fault = word, held = self.spool.len(), "observations are held in memory alone");
        }
        let since = self.away.map_or_else(Instant::now, |(_, since)| since);
        self.away = Some((fault, since));
    }
}

/// What a stored state holds: all up to this entry, and up to this batch of this process.
type Stored = (Option<String>, Option<u64>);

fn gauge(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// A producer's name in Redis.
fn field(producer: u64) -> String {
    producer.to_string()
}
