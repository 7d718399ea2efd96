//! The audit trail: who held which scope, what was done with it, when, from where, and how that went.
//!
//! Rows go into a bounded buffer and from there, by a task of their own ([`Writer`]), to the stream `meta:audit` in
//! Redis, which only grows at its end and is cut off at an age. No request waits for that: what the buffer has no room
//! for is dropped and counted. What happens often is told once an interval, with a count ([`Audit::count`]).
//!
//! A row holds names that tokens are known by, never a token, and nothing of an observation.

mod config;
mod report;
mod row;
mod tally;
mod trail;
mod writer;

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::mpsc;

pub use config::Config;
pub use report::{Held, Report, Span};
pub use row::{Act, OK, Row};
pub use trail::Trail;
pub use writer::Writer;

use self::tally::Tally;
use crate::telemetry::Metrics;

/// Rows that wait to be written; more are dropped.
const BUFFER: usize = 8_192;

/// Takes rows. Where no Redis is configured there is no trail, and it takes nothing.
#[derive(Debug, Clone)]
pub struct Audit(Option<Arc<Desk>>);

#[derive(Debug)]
struct Desk {
    rows: mpsc::Sender<Row>,
    tally: Mutex<Tally>,
    metrics: Metrics,
}

impl Audit {
    /// Takes nothing.
    pub fn off() -> Self {
        Self(None)
    }

    fn new(metrics: Metrics) -> (Self, mpsc::Receiver<Row>) {
        let (rows, waiting) = mpsc::channel(BUFFER);
        (Self(Some(Arc::new(Desk { rows, tally: Mutex::default(), metrics }))), waiting)
    }

    /// Takes in what happened once.
    pub fn tell(&self, row: Row) {
        if let Some(desk) = &self.0
            && desk.rows.try_send(row).is_err()
        {
            desk.count("dropped", 1);
        }
    }

    /// Takes in what happens often: told once an interval, with how often it was.
    pub fn count(&self, row: Row) {
        if let Some(desk) = &self.0 {
            desk.tally.lock().add(row);
        }
    }
}

impl Desk {
    fn count(&self, outcome: &str, rows: usize) {
        self.metrics.audit_rows_total.with_label_values(&[outcome]).inc_by(rows as u64);
    }
}

/// What becomes of rows, as `audit_rows_total` counts it.
pub const OUTCOMES: [&str; 2] = ["written", "dropped"];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Timestamp;

    #[test]
    fn what_there_is_no_room_for_is_counted() {
        let metrics = Metrics::new().unwrap();
        let (audit, mut waiting) = Audit::new(metrics.clone());
        for _ in 0..BUFFER + 3 {
            audit.tell(Row::new(Act::Open, Timestamp::EPOCH));
        }
        assert_eq!(metrics.audit_rows_total.with_label_values(&["dropped"]).get(), 3);
        assert!(waiting.try_recv().is_ok());
        Audit::off().tell(Row::new(Act::Open, Timestamp::EPOCH));
        assert_eq!(metrics.audit_rows_total.with_label_values(&["dropped"]).get(), 3);
    }
}
