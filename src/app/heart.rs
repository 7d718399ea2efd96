//! The heart among its neighbours.

use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use tokio::sync::mpsc::{Sender, error::TrySendError};

use crate::analyze::vitals::ClientFacts;
use crate::clock;
use crate::domain::Observation;
use crate::engine::Engine;
use crate::heartbeat::{self, Heart, Inbox, Outbox, PulseWatch, Wiring};
use crate::ingest::queue;
use crate::sanitize::{PublicBeat, Sanitizer};
use crate::{http, store, telemetry::Metrics};

/// All that the heart's thread needs.
pub(super) struct Beating {
    pub(super) config: heartbeat::Config,
    pub(super) engine: Engine,
    pub(super) inbox: queue::Receiver,
    pub(super) outbox: Sender<PublicBeat>,
    pub(super) wiring: Wiring,
    pub(super) metrics: Metrics,
    pub(super) store: store::Facts,
    pub(super) handoff: store::Handoff,
}

impl Beating {
    /// Beats until `stop` is told, on the calling thread.
    pub(super) fn run(self, stop: &Receiver<()>) -> Engine {
        let Self { config, engine, inbox, outbox, wiring, metrics, store, mut handoff } = self;
        let realtime = config.realtime && heartbeat::prefer_this_thread();
        tracing::info!(realtime, interval_ms = config.interval.as_secs_f64() * 1e3, "the heart starts");
        let dropped = metrics.ws_backpressure_drops_total.clone();
        let facts = move || (store.now(), ClientFacts { dropped: dropped.get() });
        let mut outbox = ToHub(outbox);
        if engine.meta().beat > 0 {
            // Beats tell what changed; what was loaded is told first. There is room, since nothing was sent yet.
            let _ = outbox.offer(Sanitizer::whole(&engine));
        }
        let heart = Heart {
            config,
            engine,
            sanitizer: Sanitizer::default(),
            inbox: Queue(inbox),
            outbox,
            facts,
            metrics,
            after: Box::new(move |engine, beat| handoff.offer(engine, beat)),
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::Pulse as _;

    #[test]
    fn a_heart_has_stopped_when_it_is_far_overdue_or_gone() {
        let now = Instant::now();
        let pulse = |interval: Duration, ago: Duration| {
            let origin = now.checked_sub(ago).expect("the machine has been up for longer");
            let (watch, wiring) = PulseWatch::new(origin, interval);
            (HeartPulse::new(watch, interval), wiring)
        };
        let quick = Duration::from_millis(100);
        let (pulse_of_load, _wiring) = pulse(quick, Duration::from_secs(3));
        assert!(!pulse_of_load.has_stopped() && pulse_of_load.skew_ms() >= 2_900.0);
        let (overdue, _wiring) = pulse(quick, Duration::from_secs(6));
        assert!(overdue.has_stopped() && overdue.skew_ms() >= 5_900.0);
        let (slow, _wiring) = pulse(Duration::from_secs(10), Duration::from_secs(60));
        assert!(!slow.has_stopped(), "a slow heart is given more time");
        let (gone, wiring) = pulse(quick, Duration::ZERO);
        assert!(!gone.has_stopped());
        drop(wiring);
        assert!(gone.has_stopped(), "its thread has ended, by a panic perhaps");
    }
}
