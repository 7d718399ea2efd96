//! Floor 6: composition. Puts the rooms together, spawns all tasks, and ends them in order.

mod heart;
mod pod;
mod relay;
mod role;
mod series;
mod signals;

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::mpsc as std_mpsc;
use std::thread;
use std::time::{Duration, Instant};

use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use signals::{Signals, Wish};

use self::heart::{Beating, HeartPulse, Inlet, Order};
use self::pod::{Links, Pod};
use self::relay::{Relay, Wants};
use self::role::{Duty, Role};
use crate::auth::{Authenticator, Keys, KeysError, ReplayGuard, Tickets};
use crate::cluster::{Courier, FrameReader, FrameWriter, Keeper, Lease, Registrar, Spool, Tenure, Wishes};
use crate::config::{Config, Shutdown};
use crate::engine::Engine;
use crate::heartbeat::Lead;
use crate::http::{self, Gate, Parts, Readiness, Services, Way};
use crate::ingest::queue;
use crate::link::{Endpoint, Link};
use crate::store::Store;
use crate::stream::Hub;
use crate::telemetry::{Logs, Metrics};
use crate::{clock, cluster, heartbeat, link};

/// Names of changed agents and insights kept to tell streams the difference to an earlier beat.
const HISTORY: usize = 262_144;
/// How often the ages of keys are told anew.
const KEY_AGES: Duration = Duration::from_secs(15);

/// Reads the configuration and the keys again, or says what is wrong with them.
pub type Reload = Box<dyn Fn() -> Result<(Config, Keys), String> + Send>;

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
    /// The heart stopped by itself.
    #[error("the heart stopped")]
    HeartStopped,
}

/// The daemon, put together and not yet running.
pub struct App {
    shutdown: Shutdown,
    listener: TcpListener,
    server: http::Config,
    services: Arc<Services>,
    readiness: Arc<Readiness>,
    authenticator: Arc<Authenticator>,
    hub: Arc<Hub>,
    beats: mpsc::Receiver<heart::FromHeart>,
    beating: Beating,
    orders: (std_mpsc::Sender<Order>, std_mpsc::Receiver<Order>),
    metrics: Metrics,
    /// What makes it one pod among several; `None`: it is the only one.
    company: Option<Company>,
    /// One task for each connection and each stream.
    connections: TaskTracker,
    logs: Logs,
    reload: Reload,
}

/// What makes a pod one among several.
struct Company {
    pod: Pod,
    keeper: Keeper,
    spool: Spool,
    tenure: Tenure,
    links: Links,
    role: watch::Receiver<Role>,
}

impl App {
    /// Puts the daemon together on a listener.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn build(config: Config, keys: Keys, listener: TcpListener, logs: Logs, reload: Reload) -> Result<Self, Error> {
        let metrics = Metrics::new()?;
        let commit = option_env!("CONSCIOUSNESS_COMMIT").unwrap_or("unknown");
        metrics.build_info.with_label_values(&[env!("CARGO_PKG_VERSION"), commit]).set(1);
        series::declare(&metrics);
        if config.redis.url.is_empty() {
            tracing::warn!("no redis.url is configured: nothing outlives the process");
        }

        let authenticator = Arc::new(Authenticator::new(&config.auth, keys));
        let guard = Arc::new(ReplayGuard::new(config.auth.replay_capacity, config.auth.leeway));
        let gate = Gate {
            authenticator: Arc::clone(&authenticator),
            guard: Arc::clone(&guard),
            tickets: Tickets::new(Arc::clone(&authenticator), guard)?,
            allowed_origins: config.auth.allowed_origins.clone(),
            metrics: metrics.clone(),
        };
        let (outbox, beats) = mpsc::channel(relay::BEATS_AHEAD);
        let orders = std_mpsc::channel();
        let store = Store::new(&config.redis, &config.snapshot, metrics.clone(), clock::now, rand::random())?;
        let facts = store.facts();
        let hub = Arc::new(Hub::new(HISTORY));
        let (way, company) = if config.redis.url.is_empty() {
            let (queue, inbox) = queue::bounded(config.limits.queue);
            let epoch = u64::try_from(clock::now().as_nanos() / 1_000_000_000).unwrap_or(1).max(1);
            let engine = Engine::new(config.engine(), epoch);
            let lead = Lead { engine, inbox: Inlet::Direct(inbox), after: Box::new(|_, _| {}) };
            // The other end is right here.
            let _ = orders.0.send(Order::Lead(Box::new(lead)));
            metrics.leader.set(1);
            (Way::Direct(queue), None)
        } else {
            let company = Company::new(&config, store, &hub, orders.0.clone(), &metrics)?;
            (Way::Shared(company.spool.clone()), Some(company))
        };
        let readiness = Arc::new(Readiness::default());
        let connections = TaskTracker::new();
        let (pulse, wiring) = heartbeat::PulseWatch::new(Instant::now(), config.heart.interval);
        let services = Services::new(Parts {
            config: config.server.clone(),
            limits: config.limits.clone(),
            stream: config.stream.clone(),
            interval: config.heart.interval,
            hub: Arc::clone(&hub),
            gate: Arc::new(gate),
            way,
            pulse: Arc::new(HeartPulse::new(pulse, config.heart.interval)),
            readiness: Arc::clone(&readiness),
            metrics: metrics.clone(),
            clock: Arc::new(clock::now),
            tasks: connections.clone(),
        });
        let beating = Beating { config: config.heart, outbox, wiring, metrics: metrics.clone(), store: facts };
        Ok(Self {
            shutdown: config.shutdown,
            listener,
            server: config.server,
            services,
            readiness,
            authenticator,
            hub,
            beats,
            beating,
            orders,
            metrics,
            company,
            connections,
            logs,
            reload,
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
            server,
            services,
            hub,
            beats,
            beating,
            orders: (orders, given),
            company,
            connections,
            readiness,
            ..
        } = self;
        tracing::info!(address = %listener.local_addr()?, "listening");
        let registry = Arc::clone(&services.streams().registry);
        let (heart_ended, mut ended) = oneshot::channel();
        thread::Builder::new().name("heart".into()).spawn(move || {
            beating.run(&given);
            // Whoever waited for it may be gone.
            let _ = heart_ended.send(());
        })?;

        let closing = CancellationToken::new();
        let tasks = TaskTracker::new();
        let last_steps = shutdown.grace / 5;
        let (retiring, settling) = (CancellationToken::new(), CancellationToken::new());
        let mut spool = None;
        let (retired, settled, shown) = match company {
            Some(company) => {
                spool = Some(company.spool.clone());
                let ends = (retiring.clone(), settling.clone());
                company.start(&hub, beats, &self.metrics, &tasks, ends, last_steps)
            }
            None => (tasks.spawn(async {}), tasks.spawn(async {}), tasks.spawn(relay::show(Arc::clone(&hub), beats))),
        };
        let (router, accepting, served) = (http::router(services), closing.clone(), connections.clone());
        tasks.spawn(async move { http::serve(listener, router, &server, accepting, &served).await });
        tasks.spawn(
            closing
                .clone()
                .run_until_cancelled_owned(tell_key_ages(Arc::clone(&self.authenticator), self.metrics.clone())),
        );
        let getting_ready = Arc::clone(&readiness);
        tasks.spawn(closing.clone().run_until_cancelled_owned(async move {
            // An error means that the hub is gone, and the daemon with it.
            let _ = hub.subscribe().wait_for(|news| news.serial > 0).await;
            getting_ready.set_ready();
            tracing::info!("ready");
        }));

        loop {
            tokio::select! {
                wish = signals.next() => match wish {
                    Wish::Reload => reload(&self.reload, &self.authenticator, &self.logs),
                    Wish::End => break,
                },
                _ = &mut ended => return Err(Error::HeartStopped),
            }
        }

        tracing::info!(grace_ms = shutdown.grace.as_millis() as u64, "draining");
        readiness.set_draining();
        let drain = async {
            retiring.cancel();
            let window = shutdown.drain.min(shutdown.grace - last_steps * 3);
            registry.drain(window, last_steps, rand::random::<f64>).await;
            let _ = retired.await;
            closing.cancel();
            // The heart goes on while requests are answered, and stops when there is nobody left to fold for.
            connections.close();
            let _ = tokio::time::timeout(last_steps, connections.wait()).await;
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

impl Company {
    fn new(
        config: &Config,
        store: Store,
        hub: &Arc<Hub>,
        orders: std_mpsc::Sender<Order>,
        metrics: &Metrics,
    ) -> Result<Self, link::Error> {
        let (endpoint, patience) = (Endpoint::new(&config.redis)?, config.redis.response_timeout);
        let life = config.cluster.lease;
        let link = Link::new(endpoint.clone(), patience.min(life / 3));
        let links: Links = Arc::new(move |more| Link::new(endpoint.clone(), patience + more));
        let host = gethostname::gethostname();
        let instance = config.cluster.instance(&host.to_string_lossy(), std::process::id());
        let lease = Lease::new(cluster::Settings::of_life(life));
        let (tenure, keeper) = Tenure::new(lease, Registrar::new(link, instance.as_str(), rand::random(), life));
        let spool = Spool::new(rand::random::<u64>() >> 1, config.limits.queue, config.cluster.spool_bytes);
        let (role, seen) = watch::channel(Role { duty: Duty::Starting, leader: None });
        let pod = Pod {
            instance,
            engine: config.engine(),
            interval: config.heart.interval,
            lease: life,
            boot_timeout: config.redis.boot_timeout,
            links: Arc::clone(&links),
            spool: spool.clone(),
            tenure: tenure.clone(),
            hub: Arc::clone(hub),
            orders,
            role,
            metrics: metrics.clone(),
            tasks: TaskTracker::new(),
            store: Some(store),
            time: None,
            led_at: tokio::time::Instant::now(),
        };
        Ok(Self { pod, keeper, spool, tenure, links, role: seen })
    }

    /// Starts all tasks. Returns what ends when the pod has handed over, when all that was accepted is in Redis, and when
    /// nothing is shown any more. The first two end after the tokens are cancelled.
    fn start(
        self,
        hub: &Arc<Hub>,
        heart: mpsc::Receiver<heart::FromHeart>,
        metrics: &Metrics,
        tasks: &TaskTracker,
        (retiring, settling): (CancellationToken, CancellationToken),
        last_steps: Duration,
    ) -> (JoinHandle<()>, JoinHandle<()>, JoinHandle<()>) {
        let Self { mut pod, keeper, spool, tenure, links, role } = self;
        let (noticed, notices) = mpsc::channel(relay::BEATS_AHEAD);
        let (telling, told) = mpsc::channel(relay::BEATS_AHEAD);
        let wants = Wants::default();
        let link = |more| links(more);
        pod.tasks = tasks.clone();
        tasks.spawn(keeper.run());
        tasks.spawn(relay::read(FrameReader::new(link(FrameReader::BLOCK)), noticed, role.clone(), tenure.clone()));
        tasks.spawn(relay::tell(FrameWriter::new(link(Duration::ZERO)), told, wants.clone(), tenure.clone()));
        tasks.spawn(relay::ask(Wishes::new(link(Duration::ZERO)), wants.clone()));
        let courier = Courier::new(spool, link(Duration::ZERO), metrics.clone());
        let relay = Relay {
            hub: Arc::clone(hub),
            heart,
            notices,
            role,
            telling,
            wants,
            tenure,
            metrics: metrics.clone(),
            synced: None,
            made_up: false,
            held: None,
        };
        let retired = tasks.spawn(pod.run(retiring, last_steps));
        let settled = tasks.spawn(courier.run(settling));
        (retired, settled, tasks.spawn(relay.run()))
    }
}

/// Takes over keys and log filter from the configuration as it is now; all of it, or nothing.
fn reload(read: &Reload, authenticator: &Authenticator, logs: &Logs) {
    let outcome = read().and_then(|(config, keys)| {
        logs.set_filter(&config.log.filter).map_err(|error| error.to_string())?;
        authenticator.replace(keys);
        Ok(())
    });
    match outcome {
        Ok(()) => tracing::info!(keys = authenticator.keys().iter().count(), "reloaded"),
        Err(problem) => tracing::error!(problem, "not reloaded: all stays as it was"),
    }
}

async fn tell_key_ages(authenticator: Arc<Authenticator>, metrics: Metrics) {
    let started = clock::now();
    let mut tick = tokio::time::interval(KEY_AGES);
    let mut told: HashSet<String> = HashSet::new();
    loop {
        tick.tick().await;
        let now = clock::now();
        let mut known = HashSet::with_capacity(told.len());
        for key in authenticator.keys().iter() {
            let age = now.since(key.since().unwrap_or(started));
            metrics.auth_key_age_seconds.with_label_values(&[key.kid()]).set(age.as_secs_f64());
            known.insert(key.kid().to_owned());
        }
        for gone in told.difference(&known) {
            // An error means that it is gone already.
            let _ = metrics.auth_key_age_seconds.remove_label_values(&[gone]);
        }
        told = known;
    }
}
