//! The room's service: what all streams share.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;

use super::backend::{Backend, Session};
use super::close::Close;
use super::config::Config;
use super::connection::Connection;
use super::fanout::{Fanout, Shared};
use super::hub::Hub;
use super::registry::{Place, Registry};
use super::wire::Wire;
use crate::sanitize::Position;
use crate::setting::Limits;
use crate::telemetry::Metrics;

/// How streams behave.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Section `stream`.
    pub config: Config,
    /// Section `limits`.
    pub limits: Limits,
    /// Time between beats, told to clients.
    pub interval: Duration,
    /// How long a closed connection may take to hang up.
    pub linger: Duration,
}

/// What all streams share.
pub struct Streams {
    /// The public state.
    pub hub: Arc<Hub>,
    /// The open streams.
    pub registry: Arc<Registry>,
    /// The rest of the house.
    pub backend: Arc<dyn Backend>,
    /// How streams behave.
    pub settings: Settings,
    /// Tells them the news; its loops have to be run.
    pub fanout: Arc<Fanout>,
    /// Where they count.
    pub metrics: Metrics,
}

impl Streams {
    /// Longest wait for a beat that a client knows already: that of a takeover after a crash, with the default lease.
    const CATCH_UP: Duration = Duration::from_secs(3);

    /// Runs a stream on an open WebSocket until it ends and the connection with it. The caller spawns this, one task
    /// each. Returns the code that the client was closed with; `None` when the client left.
    pub fn run<S>(
        self: Arc<Self>,
        wire: Wire<S>,
        session: Session,
        place: Place,
    ) -> impl Future<Output = Option<Close>> + use<S>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let fanout = Arc::clone(&self.fanout);
        // Made here, so that no future of the callers has to have room for all of it.
        let line = Arc::clone(&place.line);
        let shared = Shared::new(Connection::new(self, wire, session, place), line);
        async move { fanout.host(shared).await }
    }

    /// Waits until the hub has the beat that a client says it knows, or a later one, so that nobody is taken back: another
    /// pod may have told it a moment before this one hears of it, or before it crashed. But for [`Self::CATCH_UP`] at
    /// most: what it says may be from nowhere.
    pub async fn catch_up(&self, since: Option<Position>) {
        let Some(since) = since else { return };
        let mut news = self.hub.subscribe();
        let past = async {
            while self.hub.position().is_none_or(|position| position < since) && news.changed().await.is_ok() {}
        };
        // Whoever has waited in vain is told the whole state.
        let _ = timeout(Self::CATCH_UP, past).await;
    }

    /// Closes an open WebSocket that gets no stream.
    pub async fn refuse<S: AsyncRead + AsyncWrite + Unpin>(&self, wire: Wire<S>, close: Close) {
        wire.finish(Some(close), self.settings.linger).await;
    }
}
