//! Which server leads, as sentinels tell.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use parking_lot::Mutex;
use redis::{
    AsyncConnectionConfig, Client, ConnectionAddr, ConnectionInfo, IntoConnectionInfo, RedisConnectionInfo, RedisError,
    TlsCertificates,
};
use tokio::time::{Instant, timeout_at};

use super::fault::Fault;
use crate::setting::Secret;

/// What sentinels ask for, where they do.
#[derive(Debug, Clone, Default)]
pub(super) struct Login {
    pub(super) user: Option<String>,
    pub(super) password: Option<Secret>,
}

/// Sentinels, and what they were last heard to say. Clones hear it too.
#[derive(Debug, Clone)]
pub(super) struct Sentinels {
    pub(super) addresses: Vec<ConnectionAddr>,
    pub(super) service: String,
    pub(super) tls: bool,
    pub(super) login: Login,
    pub(super) told: Arc<Mutex<Option<Leading>>>,
}

/// The server that leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Leading {
    /// The sentinels' configuration epoch, which each change of servers raises.
    term: u64,
    host: String,
    port: u16,
}

impl Leading {
    /// Where it is.
    pub(super) fn info(&self, tls: bool) -> Result<ConnectionInfo, RedisError> {
        let scheme = if tls { "rediss" } else { "redis" };
        let Self { host, port, .. } = self;
        let host = if host.contains(':') { format!("[{host}]") } else { host.clone() };
        format!("{scheme}://{host}:{port}").into_connection_info()
    }

    fn is_at(&self, other: &Self) -> bool {
        (&self.host, self.port) == (&other.host, other.port)
    }
}

impl Sentinels {
    /// The server that leads, as the newest word of those has it that answer in time: most of them, where most do. What
    /// was heard before counts too.
    ///
    /// # Errors
    /// When none knows.
    pub(super) async fn leading(
        &self,
        certificates: Option<&TlsCertificates>,
        within: Duration,
    ) -> Result<Leading, Fault> {
        let heard = self.ask(certificates, within).await;
        let mut told = self.told.lock();
        let newest = told.take().into_iter().chain(heard).max_by_key(|leading| leading.term);
        told.clone_from(&newest);
        newest.ok_or(Fault::Unreachable)
    }

    /// The same as most of them have it. One that is cut off from the others may not have heard of a change.
    ///
    /// # Errors
    /// When not so many answer.
    pub(super) async fn agree(
        &self,
        certificates: Option<&TlsCertificates>,
        within: Duration,
    ) -> Result<Leading, Fault> {
        let heard = self.ask(certificates, within).await;
        if heard.len() < self.most() {
            return Err(Fault::Unreachable);
        }
        let newest = heard.into_iter().max_by_key(|leading| leading.term).ok_or(Fault::Unreachable)?;
        *self.told.lock() = Some(newest.clone());
        Ok(newest)
    }

    /// Whether another server leads by now than this one.
    pub(super) fn left(&self, leading: &Leading) -> bool {
        self.told.lock().as_ref().is_some_and(|told| !told.is_at(leading))
    }

    /// More than half of them.
    fn most(&self) -> usize {
        self.addresses.len() / 2 + 1
    }

    /// Asks all at once, until most have answered.
    async fn ask(&self, certificates: Option<&TlsCertificates>, within: Duration) -> Vec<Leading> {
        let by = Instant::now() + within;
        let mut asked: FuturesUnordered<_> =
            self.addresses.iter().map(|address| timeout_at(by, self.ask_one(address, certificates))).collect();
        let mut heard = Vec::new();
        while heard.len() < self.most()
            && let Some(answer) = asked.next().await
        {
            match answer {
                Ok(Ok(leading)) => heard.extend(leading),
                Ok(Err(error)) => tracing::debug!(code = error.code(), "a sentinel does not tell who leads"),
                Err(_) => tracing::debug!("a sentinel does not answer in time"),
            }
        }
        heard
    }

    /// `None`: it does not know the service.
    async fn ask_one(
        &self,
        address: &ConnectionAddr,
        certificates: Option<&TlsCertificates>,
    ) -> Result<Option<Leading>, RedisError> {
        let mut login = RedisConnectionInfo::default();
        if let Some(user) = &self.login.user {
            login = login.set_username(user);
        }
        if let Some(password) = &self.login.password {
            login = login.set_password(password.expose());
        }
        let info = address.clone().into_connection_info()?.set_redis_settings(login);
        // The limit of time is the caller's.
        let options = AsyncConnectionConfig::new().set_connection_timeout(None).set_response_timeout(None);
        let mut connection = open(info, certificates)?.get_multiplexed_async_connection_with_config(&options).await?;
        // The first tells the new server as soon as it was promoted, the second from when the change is complete.
        let mut both = redis::pipe();
        both.cmd("SENTINEL").arg("GET-MASTER-ADDR-BY-NAME").arg(&self.service);
        both.cmd("SENTINEL").arg("MASTER").arg(&self.service);
        let (address, facts): (Option<(String, u16)>, HashMap<String, String>) =
            both.query_async(&mut connection).await?;
        let term = facts.get("config-epoch").and_then(|term| term.parse().ok()).unwrap_or_default();
        Ok(address.map(|(host, port)| Leading { term, host, port }))
    }
}

/// A client of a server, with the certificates where it is spoken to by TLS.
pub(super) fn open(info: ConnectionInfo, certificates: Option<&TlsCertificates>) -> Result<Client, RedisError> {
    match (certificates, info.addr()) {
        (Some(certificates), ConnectionAddr::TcpTls { .. }) => Client::build_with_tls(info, certificates.clone()),
        _ => Client::open(info),
    }
}
