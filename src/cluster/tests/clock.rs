//! Clocks that go wrong.

use std::time::Duration;

/// A clock of its own: ahead by something, and fast or slow.
#[derive(Debug, Clone, Copy)]
pub(super) struct Clock {
    pub(super) ahead: Duration,
    pub(super) rate: f64,
}

impl Clock {
    pub(super) fn shows(&self, now: Duration) -> Duration {
        self.ahead + now.mul_f64(self.rate)
    }

    /// When it will show that.
    pub(super) fn when(&self, shown: Duration) -> Duration {
        // Rounded up, so that it does show it then.
        shown.saturating_sub(self.ahead).div_f64(self.rate) + Duration::from_nanos(100)
    }
}
