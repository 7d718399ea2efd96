//! What the handlers need, handed in by whoever composes the daemon.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;

use super::config::Config;
use super::edge::Edge;
use super::gate::Gate;
use super::memory::Memory;
use super::opening::Opening;
use crate::domain::Timestamp;
use crate::ingest;
use crate::setting::Limits;
use crate::stream;
use crate::telemetry::Metrics;

/// Bytes of bodies held at a time, over all requests.
const BODIES: usize = 256 * 1024 * 1024;
/// How long a closed stream may take to hang up.
const LINGER: Duration = Duration::from_secs(2);

/// The heart, as probes and scrapers see it.
pub trait Pulse: Send + Sync {
    /// How late it is now, in milliseconds: the last beat's lateness or how overdue the next one is, whichever is more.
    fn skew_ms(&self) -> f64;
    /// Whether it has stopped: far more overdue than load explains.
    fn has_stopped(&self) -> bool;
}

/// Tells the time.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// Where the daemon is in its life.
#[derive(Debug, Default)]
pub struct Readiness(AtomicU8);

impl Readiness {
    /// It takes traffic from now on.
    pub fn set_ready(&self) {
        self.0.store(1, Ordering::Release);
    }

    /// It takes no new traffic from now on.
    pub fn set_draining(&self) {
        self.0.store(2, Ordering::Release);
    }

    /// `starting`, `ready` or `draining`.
    pub fn as_str(&self) -> &'static str {
        match self.0.load(Ordering::Acquire) {
            0 => "starting",
            1 => "ready",
            _ => "draining",
        }
    }

    /// Whether it takes traffic.
    pub fn is_ready(&self) -> bool {
        self.0.load(Ordering::Acquire) == 1
    }
}

/// The parts that [`Services`] is made of.
pub struct Parts {
    /// Section `server`.
    pub config: Config,
    /// Section `limits`.
    pub limits: Limits,
    /// Section `stream`.
    pub stream: stream::Config,
    /// Time between beats.
    pub interval: Duration,
    /// The public state.
    pub hub: Arc<stream::Hub>,
    /// Who may connect.
    pub edge: Arc<Edge>,
    /// Who is let in.
    pub gate: Arc<Gate>,
    /// What pods share of subjects' limits, where there are several.
    pub pool: Option<stream::Pool>,
    /// To the heart.
    pub way: super::intake::Way,
    /// The heart.
    pub pulse: Arc<dyn Pulse>,
    /// Where the daemon is in its life.
    pub readiness: Arc<Readiness>,
    /// Where all count.
    pub metrics: Metrics,
    /// The time.
    pub clock: Clock,
    /// Has one task for each connection and each stream.
    pub tasks: TaskTracker,
}

/// What the handlers share.
pub struct Services {
    pub(super) config: Config,
    pub(super) limits: Limits,
    pub(super) edge: Arc<Edge>,
    pub(super) gate: Arc<Gate>,
    pub(super) opening: Opening,
    pub(super) intake: Arc<super::intake::Intake>,
    pub(super) streams: Arc<stream::Streams>,
    pub(super) pulse: Arc<dyn Pulse>,
    pub(super) readiness: Arc<Readiness>,
    pub(super) metrics: Metrics,
    pub(super) clock: Clock,
    pub(super) tasks: TaskTracker,
    pub(super) bodies: Memory,
    /// Large bodies are decoded by so many threads at a time.
    pub(super) decoders: Arc<Semaphore>,
}

impl Services {
    /// Puts the parts together.
    pub fn new(parts: Parts) -> Arc<Self> {
        let Parts {
            config,
            limits,
            stream,
            interval,
            hub,
            edge,
            gate,
            pool,
            way,
            pulse,
            readiness,
            metrics,
            clock,
            tasks,
        } = parts;
        let cores = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
        let ahead = ingest::Limits::default().ahead;
        let intake = Arc::new(super::intake::Intake {
            way,
            limits: ingest::Limits { items: limits.batch, ahead },
            metrics: metrics.clone(),
        });
        let backend = super::gate::StreamBackend {
            gate: Arc::clone(&gate),
            intake: Arc::clone(&intake),
            clock: Arc::clone(&clock),
        };
        let streams = Arc::new(stream::Streams {
            hub,
            registry: Arc::new(stream::Registry::new(&limits, pool, metrics.clone())),
            backend: Arc::new(backend),
            fanout: Arc::new(stream::Fanout::new(cores)),
            settings: stream::Settings { config: stream, limits: limits.clone(), interval, linger: LINGER },
            metrics: metrics.clone(),
        });
        Arc::new(Self {
            config,
            limits,
            edge,
            gate,
            opening: Opening::default(),
            intake,
            streams,
            pulse,
            readiness,
            metrics,
            clock,
            tasks,
            bodies: Memory::new(BODIES),
            decoders: Arc::new(Semaphore::new(cores)),
        })
    }

    /// The streams, for draining and revocation.
    pub fn streams(&self) -> &Arc<stream::Streams> {
        &self.streams
    }

    pub(super) fn now(&self) -> Timestamp {
        (self.clock)()
    }
}
