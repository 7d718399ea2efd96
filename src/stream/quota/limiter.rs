use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use governor::clock::Clock;
use governor::middleware::NoOpMiddleware;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};
use tokio::time::Instant;

/// Cells of the bucket that a message costs where a pod has the whole of a subject's rate. With a share of it, a message
/// costs as much more.
const SCALE: u32 = 100;

/// The rate of a subject's messages on this pod: so many a second and so many at once, or a share of both.
#[derive(Debug)]
pub(in crate::stream) struct Limiter {
    bucket: RateLimiter<NotKeyed, InMemoryState, TokioClock, NoOpMiddleware<Duration>>,
    /// Cells that a message costs.
    cost: AtomicU32,
    /// The most that it may cost, or none would ever pass.
    dearest: u32,
    /// Messages that came since this was last asked for.
    asked: AtomicU32,
    /// Pods that hold streams of the subject, as far as is known.
    pods: AtomicU32,
}

/// The runtime's clock, which tests can pause.
#[derive(Debug, Clone, Copy)]
struct TokioClock(Instant);

impl Clock for TokioClock {
    type Instant = Duration;

    fn now(&self) -> Duration {
        self.0.elapsed()
    }
}

impl Limiter {
    /// The whole rate, and a full bucket.
    pub(in crate::stream) fn new(per_second: u32, burst: u32) -> Self {
        let cells = |n: u32| NonZeroU32::new(n.saturating_mul(SCALE)).unwrap_or(NonZeroU32::MIN);
        let quota = Quota::per_second(cells(per_second)).allow_burst(cells(burst));
        Self {
            bucket: RateLimiter::direct_with_clock(quota, TokioClock(Instant::now())),
            cost: AtomicU32::new(SCALE),
            dearest: cells(burst).get(),
            asked: AtomicU32::new(0),
            pods: AtomicU32::new(1),
        }
    }

    /// Whether a message that comes now may pass.
    pub(in crate::stream) fn admits(&self) -> bool {
        self.asked.fetch_add(1, Ordering::Relaxed);
        let cost = NonZeroU32::new(self.cost.load(Ordering::Relaxed)).unwrap_or(NonZeroU32::MIN);
        matches!(self.bucket.check_n(cost), Ok(Ok(())))
    }

    /// Messages that came since this was last asked for.
    pub(super) fn take_asked(&self) -> u32 {
        self.asked.swap(0, Ordering::Relaxed)
    }

    /// Grants a share of the rate from now on, which so many pods divide among themselves.
    pub(super) fn grant(&self, share: f64, pods: u32) {
        let cost = (f64::from(SCALE) / share.clamp(1e-6, 1.0)).ceil().min(f64::from(self.dearest));
        self.cost.store(cost as u32, Ordering::Relaxed);
        self.pods.store(pods, Ordering::Relaxed);
    }

    /// Whether other pods hold streams of the subject, too.
    pub(super) fn is_shared(&self) -> bool {
        self.pods.load(Ordering::Relaxed) > 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passed(limiter: &Limiter, messages: u32) -> u32 {
        (0..messages).map(|_| u32::from(limiter.admits())).sum()
    }

    #[tokio::test(start_paused = true)]
    async fn the_whole_rate_is_as_configured() {
        let limiter = Limiter::new(20, 20);
        assert_eq!(passed(&limiter, 30), 20);
        tokio::time::advance(Duration::from_millis(500)).await;
        assert_eq!(passed(&limiter, 30), 10);
        assert_eq!((limiter.take_asked(), limiter.take_asked()), (60, 0));
        assert!(!limiter.is_shared());
    }

    #[tokio::test(start_paused = true)]
    async fn a_share_is_that_part_of_rate_and_burst() {
        let limiter = Limiter::new(20, 20);
        limiter.grant(0.25, 3);
        assert!(limiter.is_shared());
        assert_eq!(passed(&limiter, 30), 5);
        tokio::time::advance(Duration::from_secs(2)).await;
        assert_eq!(passed(&limiter, 30), 5, "the bucket holds no more");
        for _ in 0..10 {
            tokio::time::advance(Duration::from_millis(200)).await;
            assert_eq!(passed(&limiter, 30), 1);
        }
        limiter.grant(1.0, 1);
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(passed(&limiter, 30), 20);
        // Next to nothing is still one at a time.
        let small = Limiter::new(1, 1);
        small.grant(0.0, 9);
        assert_eq!(passed(&small, 3), 1);
    }
}
