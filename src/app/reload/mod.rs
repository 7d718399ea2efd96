//! What is taken over while the daemon runs: keys, denied addresses and the certificate; on SIGHUP the log filter, too.
//!
//! Files are looked at twice a second. That follows whatever a mount does with its links, costs some calls, and needs
//! nothing of the operating system that a container may be short of, as watches by inotify are.

mod ages;
mod watched;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use self::ages::Ages;
use self::watched::Watched;
use crate::auth::{Authenticator, Keys};
use crate::clock;
use crate::config::Config;
use crate::http::Edge;
use crate::stream::Registry;
use crate::telemetry::{Logs, Metrics};

/// How often files are looked at. What changed is taken over when it looks the same twice.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Reads the configuration and the keys again, or says what is wrong with them.
pub type Reload = Box<dyn Fn() -> Result<(Config, Keys), String> + Send>;

/// What can be taken over while the daemon runs, as `reloads_total` counts it.
pub(super) const PARTS: [&str; 4] = ["configuration", "keys", "deny", "tls"];
pub(super) const OUTCOMES: [&str; 2] = ["ok", "failed"];

/// Takes over what changed. What is wrong changes nothing: it is logged and counted.
pub(super) struct Reloader {
    read: Reload,
    config: Config,
    authenticator: Arc<Authenticator>,
    logs: Logs,
    edge: Arc<Edge>,
    registry: Arc<Registry>,
    metrics: Metrics,
    ages: Ages,
    keys: Watched,
    deny: Watched,
    tls: Watched,
}

impl Reloader {
    /// From this configuration on.
    pub(super) fn new(
        read: Reload,
        config: Config,
        authenticator: Arc<Authenticator>,
        logs: Logs,
        edge: Arc<Edge>,
        registry: Arc<Registry>,
        metrics: Metrics,
    ) -> Self {
        let keys = Watched::new(config.auth.key_files());
        let (deny, tls) = (Watched::new(edge.deny_files()), Watched::new(edge.tls_files()));
        let mut ages = Ages::new(clock::now(), metrics.clone());
        // The first who asks is told.
        ages.tell(&authenticator, clock::now());
        Self { read, config, authenticator, logs, edge, registry, metrics, ages, keys, deny, tls }
    }

    /// Takes over keys and log filter from the configuration as it is now, all of it or nothing; then what stands in files.
    pub(super) fn all(&mut self) {
        let outcome = (self.read)().and_then(|(config, keys)| {
            self.logs.set_filter(&config.log.filter).map_err(|error| error.to_string())?;
            self.authenticator.replace(keys);
            Ok(config)
        });
        self.count("configuration", outcome.is_ok());
        match outcome {
            Ok(config) => {
                self.keys = Watched::new(config.auth.key_files());
                self.config = config;
                tracing::info!(keys = self.authenticator.keys().iter().count(), "reloaded");
            }
            Err(problem) => tracing::error!(problem, "not reloaded: all stays as it was"),
        }
        if !self.edge.deny_files().is_empty() {
            self.deny();
        }
        if !self.edge.tls_files().is_empty() {
            self.tls();
        }
        self.ages.tell(&self.authenticator, clock::now());
    }

    /// Takes over what changes in files, for ever.
    pub(super) async fn watch(&mut self) -> Infallible {
        let mut tick = tokio::time::interval(LOOK_EVERY);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tick.tick().await;
            if news(&mut self.keys).await {
                self.keys();
            }
            if news(&mut self.deny).await {
                self.deny();
            }
            if news(&mut self.tls).await {
                self.tls();
            }
            self.ages.tell(&self.authenticator, clock::now());
        }
    }

    fn keys(&mut self) {
        let outcome = Keys::load(&self.config.auth);
        self.count("keys", outcome.is_ok());
        match outcome {
            Ok(keys) => {
                self.authenticator.replace(keys);
                let keys = self.authenticator.keys();
                let kids: Vec<&str> = keys.iter().map(|key| key.kid()).collect();
                tracing::info!(?kids, "keys taken over");
            }
            Err(problem) => {
                tracing::error!(problem = problem.to_string(), "keys not taken over: the earlier ones stay in force");
            }
        }
    }

    fn deny(&self) {
        let outcome = self.edge.reload_deny();
        self.count("deny", outcome.is_ok());
        match outcome {
            Ok(networks) => {
                let closed = self.registry.deny(|address| self.edge.denies(address));
                tracing::info!(networks, closed, "denied addresses taken over");
            }
            Err(problem) => {
                tracing::error!(%problem, "denied addresses not taken over: the earlier ones stay in force");
            }
        }
    }

    fn tls(&self) {
        let outcome = self.edge.reload_tls();
        self.count("tls", outcome.is_ok());
        match outcome {
            Ok(()) => tracing::info!("certificate taken over"),
            Err(problem) => tracing::error!(%problem, "certificate not taken over: the earlier one stays in use"),
        }
    }

    fn count(&self, part: &str, ok: bool) {
        self.metrics.reloads_total.with_label_values(&[part, OUTCOMES[usize::from(!ok)]]).inc();
    }
}

/// Looks, on a thread that may wait: a file system may be slow.
async fn news(watched: &mut Watched) -> bool {
    let mut looking = watched.clone();
    let looked = tokio::task::spawn_blocking(move || {
        let news = looking.has_news();
        (looking, news)
    });
    match looked.await {
        Ok((looked, news)) => {
            *watched = looked;
            news
        }
        // The runtime ends.
        Err(_) => false,
    }
}
