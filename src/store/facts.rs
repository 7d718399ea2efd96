//! How the store does, told without a lock.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

use crate::analyze::vitals::StoreFacts;
use crate::domain::{BreakerState, StoreMode};
use crate::telemetry::Metrics;

/// The store's condition as the heart asks for it at each beat: a few atomics.
#[derive(Debug, Clone)]
pub struct Facts(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    configured: bool,
    /// Whether the last write went through.
    kept: AtomicU8,
    breaker: AtomicU8,
    /// Newest beat that changed something.
    changed: AtomicU64,
    /// Newest beat in the store.
    stored: AtomicU64,
    metrics: Metrics,
}

impl Facts {
    pub(super) fn new(configured: bool, metrics: Metrics) -> Self {
        metrics.breaker_state.with_label_values(&[super::BREAKER]).set(BreakerState::Closed as i64);
        metrics.circuit_breaker_open_total.with_label_values(&[super::BREAKER]);
        Self(Arc::new(Shared {
            configured,
            kept: AtomicU8::new(0),
            breaker: AtomicU8::new(BreakerState::Closed as u8),
            changed: AtomicU64::new(0),
            stored: AtomicU64::new(0),
            metrics,
        }))
    }

    /// The store as it stands.
    pub fn now(&self) -> StoreFacts {
        let kept = self.0.kept.load(Ordering::Acquire) != 0;
        let breaker = self.0.breaker.load(Ordering::Acquire);
        StoreFacts {
            configured: self.0.configured,
            mode: if kept { StoreMode::Redis } else { StoreMode::Memory },
            breaker: BreakerState::ALL.get(usize::from(breaker)).copied().unwrap_or(BreakerState::Open),
            lag_beats: self.lag(),
        }
    }

    fn lag(&self) -> u64 {
        self.0.changed.load(Ordering::Acquire).saturating_sub(self.0.stored.load(Ordering::Acquire))
    }

    fn tell_lag(&self) {
        self.0.metrics.store_lag_beats.set(i64::try_from(self.lag()).unwrap_or(i64::MAX));
    }

    /// A beat changed something.
    pub(super) fn changed(&self, beat: u64) {
        self.0.changed.store(beat, Ordering::Release);
        self.tell_lag();
    }

    /// A beat is in the store.
    pub(super) fn stored(&self, beat: u64) {
        self.0.stored.store(beat, Ordering::Release);
        self.tell_lag();
    }

    /// Whether the state is kept in Redis.
    pub(super) fn kept(&self, kept: bool) {
        self.0.kept.store(u8::from(kept), Ordering::Release);
    }

    /// This pod has nothing to write any more: what failed before says nothing of now.
    pub(super) fn stand_by(&self) {
        self.stored(self.0.changed.load(Ordering::Acquire));
        self.breaker(BreakerState::Closed, 0);
    }

    /// The breaker's state, and how often it opened since this was last told.
    pub(super) fn breaker(&self, state: BreakerState, opened: u64) {
        self.0.breaker.store(state as u8, Ordering::Release);
        self.0.metrics.breaker_state.with_label_values(&[super::BREAKER]).set(state as i64);
        self.0.metrics.circuit_breaker_open_total.with_label_values(&[super::BREAKER]).inc_by(opened);
    }
}
