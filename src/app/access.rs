//! Who may do what: the rooms of it put together, and their tasks.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::Error;
use crate::auth::audit::{Audit, Trail, Writer};
use crate::auth::revocation::{Register, Revocations, Watch};
use crate::auth::{Authenticator, Keys, ReplayGuard, Tickets};
use crate::clock;
use crate::config::Config;
use crate::http::Gate;
use crate::link::{Endpoint, Shared};
use crate::stream::{Pool, Registry};
use crate::telemetry::Metrics;

/// The label of the breaker in front of Redis that clients wait behind.
const BREAKER: &str = "auth";
/// The same for what pods share of subjects' limits.
const QUOTA: &str = "quota";

/// What keeps the gate up to date, and its trail written, while the daemon runs.
pub(super) struct Access {
    guard: Arc<ReplayGuard>,
    watch: Option<Watch>,
    writer: Option<Writer>,
    tasks: TaskTracker,
    ending: CancellationToken,
}

impl Access {
    /// Puts the gate together.
    pub(super) fn build(
        config: &Config,
        redis: Option<&Endpoint>,
        keys: Keys,
        metrics: &Metrics,
    ) -> Result<(Gate, Option<Pool>, Self), Error> {
        let link = |label| redis.map(|redis| Shared::new(redis.clone(), label, metrics.clone(), rand::random()));
        let pool = link(QUOTA).map(|link| Pool::new(link, &config.limits, metrics.clone()));
        let guard = Arc::new(ReplayGuard::new(&config.auth, link(BREAKER), metrics.clone()));
        let authenticator = Arc::new(Authenticator::new(&config.auth, keys));
        let revocations = Revocations::default();
        let (audit, watch, writer) = if let Some(redis) = redis {
            let watch = Watch::new(Register::new(redis), revocations.clone(), metrics.clone(), clock::now);
            let (audit, writer) = Writer::new(Trail::new(redis), &config.audit, metrics.clone(), clock::now);
            (audit, Some(watch), Some(writer))
        } else {
            (Audit::off(), None, None)
        };
        let gate = Gate {
            authenticator: Arc::clone(&authenticator),
            guard: Arc::clone(&guard),
            tickets: Tickets::new(authenticator, Arc::clone(&guard))?,
            revocations,
            audit,
            allowed_origins: config.auth.allowed_origins.clone(),
            metrics: metrics.clone(),
        };
        let access = Self { guard, watch, writer, tasks: TaskTracker::new(), ending: CancellationToken::new() };
        Ok((gate, pool, access))
    }

    /// Learns what is revoked, and starts the tasks; streams are closed at this registry when they are revoked. Writing the last rows of the trail may
    /// take so long.
    pub(super) async fn start(self, registry: &Arc<Registry>, at_most: Duration) -> Running {
        let Self { guard, watch, writer, tasks, ending } = self;
        tasks.spawn(ending.clone().run_until_cancelled_owned(async move { guard.keep(clock::now).await }));
        let sharing = Arc::clone(registry);
        tasks.spawn(ending.clone().run_until_cancelled_owned(async move { sharing.share().await }));
        if let Some(mut watch) = watch {
            // Before the first request is let in.
            watch.look().await;
            let registry = Arc::clone(registry);
            tasks.spawn(ending.clone().run_until_cancelled_owned(watch.run(move |list| {
                registry.revoke(|holder| list.covers(&holder.subject, Some(&holder.token), holder.issued))
            })));
        }
        if let Some(writer) = writer {
            tasks.spawn(writer.run(ending.clone(), at_most));
        }
        Running { tasks, ending }
    }
}

/// The tasks.
pub(super) struct Running {
    tasks: TaskTracker,
    ending: CancellationToken,
}

impl Running {
    /// Has the tasks end, the last rows of the trail written where Redis takes them.
    pub(super) fn end(&self) {
        self.ending.cancel();
        self.tasks.close();
    }

    /// Waits until they have.
    pub(super) async fn ended(self) {
        self.tasks.wait().await;
    }
}
