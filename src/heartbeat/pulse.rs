//! What others may know of the heart without touching it: a few atomics.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// The heart's condition as seen from outside, at any moment.
#[derive(Debug, Clone)]
pub struct PulseWatch(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    origin: Instant,
    /// When the next beat is due, nanoseconds after `origin`.
    due: AtomicU64,
    /// How late the last beat was, nanoseconds.
    lateness: AtomicU64,
    beats: AtomicU64,
    stopped: AtomicBool,
}

/// The heart's end of a [`PulseWatch`].
#[derive(Debug)]
pub struct Wiring(Arc<Shared>);

impl PulseWatch {
    /// A watch and the end that the heart holds. The first beat is due `first` after `origin`.
    pub fn new(origin: Instant, first: Duration) -> (Self, Wiring) {
        let shared = Arc::new(Shared {
            origin,
            due: AtomicU64::new(nanos(first)),
            lateness: AtomicU64::new(0),
            beats: AtomicU64::new(0),
            stopped: AtomicBool::new(false),
        });
        (Self(Arc::clone(&shared)), Wiring(shared))
    }

    /// How late the heart is at `now`: the last beat's lateness, or how overdue the next one is, whichever is more.
    pub fn skew(&self, now: Instant) -> Duration {
        self.overdue(now).max(Duration::from_nanos(self.0.lateness.load(Ordering::Acquire)))
    }

    /// How overdue the next beat is at `now`.
    pub fn overdue(&self, now: Instant) -> Duration {
        let now = nanos(now.saturating_duration_since(self.0.origin));
        Duration::from_nanos(now.saturating_sub(self.0.due.load(Ordering::Acquire)))
    }

    /// Beats made by this process.
    pub fn beats(&self) -> u64 {
        self.0.beats.load(Ordering::Acquire)
    }

    /// Whether the heart's thread has ended, in whatever way.
    pub fn stopped(&self) -> bool {
        self.0.stopped.load(Ordering::Acquire)
    }
}

impl Wiring {
    /// A beat began, so late; the next is due at `next`.
    pub(super) fn beat(&self, lateness: Duration, next: Instant) {
        self.0.lateness.store(nanos(lateness), Ordering::Release);
        self.0.due.store(nanos(next.saturating_duration_since(self.0.origin)), Ordering::Release);
        self.0.beats.fetch_add(1, Ordering::AcqRel);
    }
}

impl Drop for Wiring {
    fn drop(&mut self) {
        self.0.stopped.store(true, Ordering::Release);
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_overdue_beat_shows_before_it_comes() {
        let origin = Instant::now();
        let at = |ms: u64| origin + Duration::from_millis(ms);
        let (watch, wiring) = PulseWatch::new(origin, Duration::from_millis(100));
        assert_eq!(watch.skew(at(50)), Duration::ZERO);
        assert_eq!(watch.skew(at(700)), Duration::from_millis(600));
        wiring.beat(Duration::from_millis(600), at(800));
        assert_eq!(watch.skew(at(701)), Duration::from_millis(600));
        wiring.beat(Duration::from_millis(1), at(900));
        assert_eq!(watch.skew(at(850)), Duration::from_millis(1));
        assert!(!watch.stopped());
        drop(wiring);
        assert!(watch.stopped());
        assert_eq!(watch.beats(), 2);
    }
}
