//! The heart among its neighbours.

use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use tokio::sync::mpsc::{Sender, error::TrySendError};

use crate::analyze::vitals::{ClientFacts, StoreFacts};
use crate::clock;
use crate::domain::Observation;
use crate::engine::Engine;
use crate::heartbeat::{self, Heart, Inbox, Outbox, PulseWatch, Wiring};
use crate::ingest::queue;
use crate::sanitize::{PublicBeat, Sanitizer};
use crate::{http, telemetry::Metrics};

/// All that the heart's thread needs.
pub(super) struct Beating {
    pub(super) config: heartbeat::Config,
    pub(super) engine: Engine,
    pub(super) inbox: queue::Receiver,
    pub(super) outbox: Sender<PublicBeat>,
    pub(super) wiring: Wiring,
    pub(super) metrics: Metrics,
}

impl Beating {
    /// Beats until `stop` is told, on the calling thread.
    pub(super) fn run(self, stop: &Receiver<()>) -> Engine {
        let Self { config, engine, inbox, outbox, wiring, metrics } = self;
        let realtime = config.realtime && heartbeat::prefer_this_thread();
        tracing::info!(realtime, interval_ms = config.interval.as_secs_f64() * 1e3, "the heart starts");
        let dropped = metrics.ws_backpressure_drops_total.clone();
        let facts = move || (StoreFacts::MEMORY_ONLY, ClientFacts { dropped: dropped.get() });
        let heart = Heart {
            config,
            engine,
            sanitizer: Sanitizer::default(),
            inbox: Queue(inbox),
            outbox: ToHub(outbox),
            facts,
            metrics,
            after: Box::new(|_, _| {}),
        };
        heart.run(Instant::now(), &wiring, stop, clock::now)
    }
}

struct Queue(queue::Receiver);

impl Inbox for Queue {
    fn drain(&mut self, max: usize, into: &mut Vec<Observation>) -> usize {
        self.0.drain(max, into)
    }

    fn waiting(&self) -> usize {
        self.0.len()
    }

    fn close(&mut self) {
        self.0.close();
    }
}

struct ToHub(Sender<PublicBeat>);

impl Outbox for ToHub {
    fn offer(&mut self, beat: PublicBeat) -> Result<(), Box<PublicBeat>> {
        match self.0.try_send(beat) {
            // Nobody listens any more: there is nothing to keep it for.
            Ok(()) | Err(TrySendError::Closed(_)) => Ok(()),
            Err(TrySendError::Full(beat)) => Err(Box::new(beat)),
        }
    }
}

/// The heart as probes and scrapers see it.
#[derive(Debug)]
pub(super) struct HeartPulse {
    watch: PulseWatch,
    stopped_after: Duration,
}

impl HeartPulse {
    /// Overdue by less is load; by more, it is taken to have stopped.
    const STOPPED_AFTER: Duration = Duration::from_secs(5);
    const STOPPED_AFTER_BEATS: u32 = 10;

    pub(super) fn new(watch: PulseWatch, interval: Duration) -> Self {
        Self { watch, stopped_after: Self::STOPPED_AFTER.max(interval * Self::STOPPED_AFTER_BEATS) }
    }
}

impl http::Pulse for HeartPulse {
    fn skew_ms(&self) -> f64 {
        self.watch.skew(Instant::now()).as_secs_f64() * 1e3
    }

    fn has_stopped(&self) -> bool {
        self.watch.stopped() || self.watch.overdue(Instant::now()) > self.stopped_after
    }
}
