//! The heart among its neighbours.

use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use tokio::sync::mpsc::{Sender, error::TrySendError};

use crate::analyze::vitals::ClientFacts;
use crate::clock;
use crate::cluster::Arrivals;
use crate::domain::{Observation, Timestamp};
use crate::engine::{Engine, Reading};
use crate::heartbeat::{self, Heart, Inbox, Outbox, PulseWatch, Wiring};
use crate::ingest::queue;
use crate::sanitize::Relayed;
use crate::{http, store, telemetry::Metrics};

/// An order to the heart.
pub(super) type Order = heartbeat::Order<Inlet>;

/// All that the heart's thread needs.
pub(super) struct Beating {
    pub(super) config: heartbeat::Config,
    pub(super) outbox: Sender<FromHeart>,
    pub(super) wiring: Wiring,
    pub(super) metrics: Metrics,
    pub(super) store: store::Facts,
}

/// What the heart tells.
#[derive(Debug)]
pub(super) enum FromHeart {
    /// A beat.
    Beat(Relayed),
    /// That it beats, and leads nothing.
    Idle(Timestamp),
}

impl Beating {
    /// Beats until nobody gives orders any more, on the calling thread.
    pub(super) fn run(self, orders: &Receiver<Order>) -> Option<Engine> {
        let Self { config, outbox, wiring, metrics, store } = self;
        let realtime = config.realtime && heartbeat::prefer_this_thread();
        tracing::info!(realtime, interval_ms = config.interval.as_secs_f64() * 1e3, "the heart starts");
        let dropped = metrics.ws_backpressure_drops_total.clone();
        let facts = move || (store.now(), ClientFacts { dropped: dropped.get() });
        let heart = Heart { config, outbox: ToHub(outbox), facts, metrics };
        heart.run(Instant::now(), &wiring, orders, clock::now)
    }
}

/// Where the heart's observations come from.
pub(super) enum Inlet {
    /// From this process alone.
    Direct(queue::Receiver),
    /// From all pods.
    Shared(Arrivals),
}

impl Inbox for Inlet {
    fn drain(&mut self, max: usize, into: &mut Vec<Observation>) -> usize {
        match self {
            Self::Direct(queue) => queue.drain(max, into),
            Self::Shared(arrivals) => arrivals.drain(max, into),
        }
    }

    fn waiting(&self) -> usize {
        match self {
            Self::Direct(queue) => queue.len(),
            Self::Shared(arrivals) => arrivals.waiting(),
        }
    }

    fn close(&mut self) {
        match self {
            Self::Direct(queue) => queue.close(),
            // What arrives later is for whoever leads next.
            Self::Shared(_) => {}
        }
    }

    fn reading(&self) -> Option<&Reading> {
        match self {
            Self::Direct(_) => None,
            Self::Shared(arrivals) => Some(arrivals.reading()),
        }
    }
}

struct ToHub(Sender<FromHeart>);

impl Outbox for ToHub {
    fn offer(&mut self, beat: Relayed) -> Result<(), Box<Relayed>> {
        match self.0.try_send(FromHeart::Beat(beat)) {
            Err(TrySendError::Full(FromHeart::Beat(beat))) => Err(Box::new(beat)),
            // Nobody listens any more: there is nothing to keep it for.
            Ok(()) | Err(_) => Ok(()),
        }
    }

    fn idle(&mut self, now: Timestamp) {
        // Where there is no room, another beat says as much.
        let _ = self.0.try_send(FromHeart::Idle(now));
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
