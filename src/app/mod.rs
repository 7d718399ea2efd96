//! Floor 6: composition. Puts the rooms together, spawns all tasks, and ends them in order.

mod access;
mod company;
mod heart;
mod manager;
mod offenders;
mod pod;
mod relay;
mod reload;
mod role;
mod series;
mod signals;

use std::sync::Arc;
use std::sync::mpsc as std_mpsc;
use std::thread;
use std::time::Instant;

use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use reload::Reload;
pub use signals::{Signals, Wish};

use self::access::Access;
use self::company::Company;
use self::heart::{Beating, HeartPulse, Inlet, Order};
use self::reload::Reloader;
use crate::auth::{Keys, KeysError};
use crate::config::{Config, Shutdown};
use crate::engine::Engine;
use crate::heartbeat::{Lead, SpareMemory};
use crate::http::{self, Edge, Parts, Pulse as _, Readiness, Services, Way};
use crate::ingest::queue;
use crate::link::Endpoint;
use crate::store::Store;
use crate::stream::Hub;
use crate::telemetry::{COMMIT, Logs, Metrics};
use crate::{clock, heartbeat, link};

/// Names of changed agents and insights kept to tell streams the difference to an earlier beat.
const HISTORY: usize = 262_144;

/// Why the daemon cannot run, or not go on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The metrics are declared wrongly.
    #[error("the metrics cannot be registered: {0}")]
    Metrics(#[from] prometheus::Error),
    /// The keys cannot be used.
    #[error(transparent)]
    Keys(#[from] KeysError),
    /// The operating system gives no thread, address or signal.
    #[error("the operating system refuses: {0}")]
    System(#[from] std::io::Error),
    /// The settings of Redis cannot be used.
    #[error(transparent)]
    Redis(#[from] link::Error),
    /// A file of section `server` cannot be used.
    #[error(transparent)]
    File(#[from] http::FileError),
    /// The heart stopped by itself.
    #[error("the heart stopped")]
    HeartStopped,
}

/// The daemon, put together and not yet running.
pub struct App {
    shutdown: Shutdown,
    listener: TcpListener,
    edge: Arc<Edge>,
    services: Arc<Services>,
    readiness: Arc<Readiness>,
    access: Access,
    hub: Arc<Hub>,
    beats: mpsc::Receiver<heart::FromHeart>,
    beating: Beating,
    orders: (std_mpsc::Sender<Order>, std_mpsc::Receiver<Order>),
    pulse: Arc<HeartPulse>,
    metrics: Metrics,
    /// What makes it one pod among several; `None`: it is the only one.
    company: Option<Company>,
    /// One task for each connection and each stream.
    connections: TaskTracker,
    reloader: Reloader,
}

impl App {
    /// Puts the daemon together on a listener.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn build(config: Config, keys: Keys, listener: TcpListener, logs: Logs, reload: Reload) -> Result<Self, Error> {
        let metrics = Metrics::new()?;
        metrics.build_info.with_label_values(&[env!("CARGO_PKG_VERSION"), COMMIT]).set(1);
        series::declare(&metrics);
        if config.redis.url.is_empty() {
            tracing::warn!("no redis.url is configured: nothing outlives the process");
        }

        let redis = (!config.redis.url.is_empty()).then(|| Endpoint::new(&config.redis)).transpose()?;
        let redis = redis.as_ref();
        let (gate, pool, access) = Access::build(&config, redis, keys, &metrics)?;
        let authenticator = Arc::clone(&gate.authenticator);
        let per_address = config.limits.connections_per_address;
        let edge = Arc::new(Edge::load(config.server.clone(), per_address, metrics.clone())?);
        let (outbox, beats) = mpsc::channel(relay::BEATS_AHEAD);
        let orders = std_mpsc::channel();
        let store = Store::new(redis, &config.snapshot, metrics.clone(), clock::now, rand::random());
        let facts = store.facts();
        let hub = Arc::new(Hub::new(HISTORY));
        let (way, company) = if let Some(redis) = redis {
            let company = Company::new(&config, redis, store, &hub, orders.0.clone(), &metrics);
            (Way::Shared(company.spool()), Some(company))
        } else {
            let (queue, inbox) = queue::bounded(config.limits.queue);
            // In milliseconds: a process may end and another begin within a second.
            let epoch = u64::try_from(clock::now().as_nanos() / 1_000_000).unwrap_or(1).max(1);
            let engine = Engine::new(config.engine(), epoch);
            let lead = Lead { engine, inbox: Inlet::Direct(inbox), after: Box::new(|_, _| {}) };
            // The other end is right here.
            let _ = orders.0.send(Order::Lead(Box::new(lead)));
            metrics.leader.set(1);
            (Way::Direct(queue), None)
        };
        let readiness = Arc::new(Readiness::default());
        let connections = TaskTracker::new();
        let (pulse, wiring) = heartbeat::PulseWatch::new(Instant::now(), config.heart.interval);
        let pulse = Arc::new(HeartPulse::new(pulse, config.heart.interval));
        let services = Services::new(Parts {
            config: config.server.clone(),
            edge: Arc::clone(&edge),
            limits: config.limits.clone(),
            stream: config.stream.clone(),
            interval: config.heart.interval,
            hub: Arc::clone(&hub),
            gate: Arc::new(gate),
            pool,
            way,
            pulse: Arc::clone(&pulse) as Arc<dyn http::Pulse>,
            readiness: Arc::clone(&readiness),
            metrics: metrics.clone(),
            clock: Arc::new(clock::now),
            tasks: connections.clone(),
        });
        let registry = Arc::clone(&services.streams().registry);
        let (watched, metered) = (Arc::clone(&edge), metrics.clone());
        let reloader = Reloader::new(reload, config.clone(), authenticator, logs, watched, registry, metered);
        let beating = Beating { config: config.heart, outbox, wiring, metrics: metrics.clone(), store: facts };
        Ok(Self {
            shutdown: config.shutdown,
            listener,
            edge,
            services,
            readiness,
            access,
            hub,
            beats,
            beating,
            orders,
            pulse,
            metrics,
            company,
            connections,
            reloader,
        })
    }

    /// Whether the daemon came so far as to take traffic, once that is known.
    pub fn ready(&self) -> impl Future<Output = bool> + use<> {
        let mut news = self.hub.subscribe();
        async move { news.wait_for(|news| news.serial > 0).await.is_ok() }
    }

    /// Runs until a signal asks to end, then drains: not ready; leadership handed over; streams told and closed; listener
    /// closed and requests answered; what was accepted folded by a last beat, or in Redis for another pod to fold.
    ///
    /// # Errors
    /// When the heart cannot be started, or stops by itself.
    pub async fn run(self, mut signals: Signals) -> Result<(), Error> {
        let Self {
            shutdown,
            listener,
            edge,
            services,
            access,
            hub,
            beats,
            beating,
            orders: (orders, given),
            pulse,
            metrics,
            company,
            connections,
            readiness,
            mut reloader,
        } = self;
        tracing::info!(address = %listener.local_addr()?, "listening");
        let registry = Arc::clone(&services.streams().registry);
        let last_steps = shutdown.grace / 5;
        let access = access.start(&registry, last_steps).await;
        let fan_out: Vec<_> = services.streams().fanout.loops(&hub).collect();
        let (heart_ended, mut ended) = oneshot::channel();
        let spare = SpareMemory::keep()?;
        thread::Builder::new().name("heart".into()).spawn(move || {
            beating.run(&given);
            drop(spare);
            // Whoever waited for it may be gone.
            let _ = heart_ended.send(());
        })?;

        let closing = CancellationToken::new();
        let tasks = TaskTracker::new();
        let (retiring, settling) = (CancellationToken::new(), CancellationToken::new());
        let mut spool = None;
        let (retired, settled, shown) = match company {
            Some(company) => {
                spool = Some(company.spool());
                let ends = (retiring.clone(), settling.clone());
                company.start(&hub, beats, &metrics, &tasks, ends, last_steps)
            }
            None => (tasks.spawn(async {}), tasks.spawn(async {}), tasks.spawn(relay::show(Arc::clone(&hub), beats))),
        };
        for telling in fan_out {
            tasks.spawn(closing.clone().run_until_cancelled_owned(telling));
        }
        let (router, accepting, served) = (http::router(Arc::clone(&services)), closing.clone(), connections.clone());
        tasks.spawn(async move { http::serve(listener, router, edge, accepting, &served).await });
        let every = services.streams().settings.config.report_interval;
        tasks.spawn(closing.clone().run_until_cancelled_owned(offenders::report(Arc::clone(&registry), every)));
        if let Some(pace) = manager::watchdog() {
            let watching = manager::watch(pace, move || pulse.has_stopped(), manager::alive);
            tasks.spawn(closing.clone().run_until_cancelled_owned(watching));
        }
        let getting_ready = Arc::clone(&readiness);
        tasks.spawn(closing.clone().run_until_cancelled_owned(async move {
            // An error means that the hub is gone, and the daemon with it.
            let _ = hub.subscribe().wait_for(|news| news.serial > 0).await;
            getting_ready.set_ready();
            manager::ready();
            tracing::info!("ready");
        }));

        loop {
            tokio::select! {
                wish = signals.next() => match wish {
                    Wish::Reload => {
                        manager::reloading();
                        reloader.all();
                        manager::ready();
                    }
                    Wish::End => break,
                },
                never = reloader.watch() => match never {},
                _ = &mut ended => return Err(Error::HeartStopped),
            }
        }

        tracing::info!(grace_ms = shutdown.grace.as_millis() as u64, "draining");
        readiness.set_draining();
        manager::stopping();
        let drain = async {
            retiring.cancel();
            let window = shutdown.drain.min(shutdown.grace - last_steps * 3);
            registry.drain(window, last_steps, rand::random::<f64>).await;
            let _ = retired.await;
            closing.cancel();
            // The heart goes on while requests are answered, and stops when there is nobody left to fold for.
            connections.close();
            let _ = tokio::time::timeout(last_steps, connections.wait()).await;
            access.end();
            settling.cancel();
            if let Some(spool) = spool {
                spool.close();
                let settled = tokio::time::timeout(last_steps, settled).await.is_ok();
                if !settled {
                    tracing::error!(observations = spool.only_here(), "redis is away: what was accepted is lost");
                }
            }
            drop(orders);
            // It ends the hub's task, too: nobody is left to send beats.
            let stopped = ended.await.is_ok();
            let _ = shown.await;
            access.ended().await;
            stopped
        };
        tokio::select! {
            drained = tokio::time::timeout(shutdown.grace, drain) => match drained {
                Ok(true) => tracing::info!("drained"),
                Ok(false) => return Err(Error::HeartStopped),
                Err(_) => tracing::warn!("the grace is over"),
            },
            () = signals.end() => {
                tracing::warn!("a second signal: ending at once");
                std::process::exit(1);
            }
        }
        Ok(())
    }
}
