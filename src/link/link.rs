//! One connection to Redis, made again when it broke, and every command under a limit of time.

use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{Cmd, FromRedisValue, RedisError};
use tokio::time::timeout;

use super::endpoint::{Connected, Endpoint};
use super::fault::Fault;

/// A connection to Redis.
#[derive(Debug)]
pub struct Link {
    endpoint: Endpoint,
    response_timeout: Duration,
    connected: Option<Connected>,
}

impl Link {
    pub(super) fn new(endpoint: Endpoint, response_timeout: Duration) -> Self {
        Self { endpoint, response_timeout, connected: None }
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
        let mut connected = match self.connected.take().filter(|connected| !self.endpoint.left(connected)) {
            Some(connected) => connected,
            None => self.endpoint.connect().await?,
        };
        let outcome = match timeout(self.patience(bytes), call(&mut connected.connection)).await {
            Ok(outcome) => outcome.map_err(|error| {
                let fault = Fault::from(&error);
                tracing::debug!(fault = fault.as_str(), code = error.code(), "a command failed");
                fault
            }),
            Err(_) => Err(Fault::Timeout),
        };
        if outcome.as_ref().err().is_none_or(|fault| !fault.ends_connection()) {
            self.connected = Some(connected);
        }
        outcome
    }

    /// Makes sure that the server is the one that leads, where sentinels tell that: most of them have to say so. Without
    /// that a server that was cut off, and was replaced meanwhile, would be believed for as long as it takes commands.
    ///
    /// # Errors
    /// [`Fault::Unreachable`] when not so many answer, [`Fault::Lost`] when it is another server: it is connected to next.
    pub async fn confirm(&mut self) -> Result<(), Fault> {
        self.endpoint.confirm(self.response_timeout).await?;
        match self.connected.take_if(|connected| self.endpoint.left(connected)) {
            Some(_) => Err(Fault::Lost),
            None => Ok(()),
        }
    }

    /// Sends one command; see [`Self::call`].
    ///
    /// # Errors
    /// As [`Self::call`].
    pub async fn command<T: FromRedisValue>(&mut self, command: &Cmd, bytes: usize) -> Result<T, Fault> {
        self.call(bytes, async |connection| command.query_async(connection).await).await
    }
}
