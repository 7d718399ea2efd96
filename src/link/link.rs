//! One connection to Redis, made again when it broke, and every command under a limit of time.

use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{Cmd, FromRedisValue, RedisError};
use tokio::time::timeout;

use super::endpoint::Endpoint;
use super::fault::Fault;

/// A connection to Redis.
#[derive(Debug)]
pub struct Link {
    endpoint: Endpoint,
    response_timeout: Duration,
    connection: Option<MultiplexedConnection>,
}

impl Link {
    /// A link that connects when it is first used; answers may take so long.
    pub fn new(endpoint: Endpoint, response_timeout: Duration) -> Self {
        Self { endpoint, response_timeout, connection: None }
    }

    /// How long an answer may take when so many bytes go over the wire: a second more for each 16 MiB.
    pub fn patience(&self, bytes: usize) -> Duration {
        self.response_timeout + Duration::from_secs(1).mul_f64(bytes as f64 / f64::from(16u32 << 20))
    }

    /// Makes a call that sends or receives so many bytes, connecting first where need be. A connection that may be out of
    /// step is given up.
    ///
    /// # Errors
    /// Why it failed. After [`Fault::Timeout`] and [`Fault::Lost`] it may have been carried out all the same.
    pub async fn call<T>(
        &mut self,
        bytes: usize,
        call: impl AsyncFnOnce(&mut MultiplexedConnection) -> Result<T, RedisError>,
    ) -> Result<T, Fault> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => self.endpoint.connect().await?,
        };
        let outcome = match timeout(self.patience(bytes), call(&mut connection)).await {
            Ok(outcome) => outcome.map_err(|error| {
                let fault = Fault::from(&error);
                tracing::debug!(fault = fault.as_str(), code = error.code(), "a command failed");
                fault
            }),
            Err(_) => Err(Fault::Timeout),
        };
        if outcome.as_ref().err().is_none_or(|fault| !fault.ends_connection()) {
            self.connection = Some(connection);
        }
        outcome
    }

    /// Sends one command; see [`Self::call`].
    ///
    /// # Errors
    /// As [`Self::call`].
    pub async fn command<T: FromRedisValue>(&mut self, command: &Cmd, bytes: usize) -> Result<T, Fault> {
        self.call(bytes, async |connection| command.query_async(connection).await).await
    }
}
