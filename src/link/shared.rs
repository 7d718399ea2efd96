//! One connection to Redis that many tasks use at once, behind a breaker.

use std::fmt;
use std::time::Duration;

use parking_lot::Mutex;
use redis::RedisError;
use redis::aio::MultiplexedConnection;
use tokio::time::{Instant, timeout_at};

use super::endpoint::{Connected, Endpoint};
use super::fault::Fault;
use crate::breaker::{Breaker, Outcome, Permit, Settings};
use crate::telemetry::Metrics;

/// Clients wait for these calls, so a Redis that does not answer is left alone after the second call in vain.
const SETTINGS: Settings = Settings {
    window_calls: 8,
    window_time: Duration::from_secs(10),
    minimum_calls: 2,
    failure_rate: 0.25,
    slow_rate: 1.0,
    trial_calls: 2,
    trial_deadline: Duration::from_secs(2),
    open_for: Duration::from_millis(250),
    open_at_most: Duration::from_secs(1),
};

/// A connection that is shared: calls go out at once, one after another on the wire, and are answered in that order. It
/// is made by the first call that needs it, and each call is over within a limit of time, connecting included. While the
/// breaker is open, calls fail at once.
pub struct Shared {
    endpoint: Endpoint,
    label: &'static str,
    metrics: Metrics,
    origin: Instant,
    judge: Mutex<Judge>,
    connection: tokio::sync::Mutex<Current>,
}

struct Judge {
    breaker: Breaker,
    /// Openings that were told already.
    openings: u64,
    /// What the last call that failed failed with.
    last: Fault,
}

#[derive(Default)]
struct Current {
    connected: Option<Connected>,
    /// Counts connections, so that one that replaced a broken one is not given up for it.
    number: u64,
}

impl Shared {
    /// A connection whose breaker has this label in the metrics. The seed is for the breaker's jitter.
    pub fn new(endpoint: Endpoint, label: &'static str, metrics: Metrics, seed: u64) -> Self {
        metrics.circuit_breaker_open_total.with_label_values(&[label]);
        let shared = Self {
            endpoint,
            label,
            metrics,
            origin: Instant::now(),
            judge: Mutex::new(Judge { breaker: Breaker::new(SETTINGS, seed), openings: 0, last: Fault::Unreachable }),
            connection: tokio::sync::Mutex::default(),
        };
        shared.tell(&mut shared.judge.lock());
        shared
    }

    /// Makes a call.
    ///
    /// # Errors
    /// Why it failed; while the breaker is open, why the last one did. After [`Fault::Timeout`] and [`Fault::Lost`] it
    /// may have been carried out all the same.
    pub async fn call<T, F>(&self, call: impl FnOnce(MultiplexedConnection) -> F) -> Result<T, Fault>
    where
        F: Future<Output = Result<T, RedisError>>,
    {
        let permit = self.permit()?;
        let outcome = self.attempt(call).await;
        self.record(permit, outcome.as_ref().err().copied());
        outcome
    }

    async fn attempt<T, F>(&self, call: impl FnOnce(MultiplexedConnection) -> F) -> Result<T, Fault>
    where
        F: Future<Output = Result<T, RedisError>>,
    {
        let deadline = Instant::now() + self.endpoint.patience();
        let (connection, number) = timeout_at(deadline, self.connection()).await.map_err(|_| Fault::Timeout)??;
        // The driver's own limit is off: this one covers connecting and answering together.
        let outcome = match timeout_at(deadline, call(connection)).await {
            Ok(answered) => answered.map_err(|error| {
                let fault = Fault::from(&error);
                tracing::debug!(link = self.label, fault = fault.as_str(), code = error.code(), "a call failed");
                fault
            }),
            Err(_) => Err(Fault::Timeout),
        };
        if outcome.as_ref().err().is_some_and(|fault| fault.ends_connection()) {
            self.give_up(number);
        }
        outcome
    }

    /// The connection and its number. Those who come while it is being made wait, each no longer than its own limit.
    async fn connection(&self) -> Result<(MultiplexedConnection, u64), Fault> {
        let mut current = self.connection.lock().await;
        let connected = match &current.connected {
            Some(connected) if !self.endpoint.left(connected) => connected.clone(),
            _ => {
                let made = self.endpoint.connect().await?;
                current.number += 1;
                current.connected.insert(made).clone()
            }
        };
        Ok((connected.connection, current.number))
    }

    /// Gives up a connection that may be out of step, unless it was replaced already.
    fn give_up(&self, number: u64) {
        // The lock is held only while there is no connection and one is being made.
        if let Ok(mut current) = self.connection.try_lock()
            && number == current.number
        {
            current.connected = None;
        }
    }

    fn permit(&self) -> Result<Permit, Fault> {
        let mut judge = self.judge.lock();
        let permit = judge.breaker.permit(self.origin.elapsed());
        self.tell(&mut judge);
        permit.map_err(|_| judge.last)
    }

    fn record(&self, permit: Permit, fault: Option<Fault>) {
        let mut judge = self.judge.lock();
        let outcome = if fault.is_none() { Outcome::Success } else { Outcome::Failure };
        judge.breaker.record(self.origin.elapsed(), permit, outcome);
        judge.last = fault.unwrap_or(judge.last);
        self.tell(&mut judge);
    }

    fn tell(&self, judge: &mut Judge) {
        self.metrics.breaker_state.with_label_values(&[self.label]).set(judge.breaker.state() as i64);
        let opened = judge.breaker.opened();
        self.metrics.circuit_breaker_open_total.with_label_values(&[self.label]).inc_by(opened - judge.openings);
        judge.openings = opened;
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("label", &self.label).finish_non_exhaustive()
    }
}
