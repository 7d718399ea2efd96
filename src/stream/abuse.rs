//! How much nonsense a client may send before it is closed.

use std::time::Duration;

use tokio::time::Instant;

/// More frames over the rate than this within [`DROPS_WITHIN`] are sustained abuse.
const MAX_DROPS: u32 = 200;
const DROPS_WITHIN: Duration = Duration::from_secs(10);
/// So many malformed messages within [`MALFORMED_WITHIN`] persist.
const MAX_MALFORMED: u32 = 10;
const MALFORMED_WITHIN: Duration = Duration::from_secs(60);
/// A client is told once in so long that it sends too much.
const COMPLAIN_EVERY: Duration = Duration::from_secs(1);

/// What a client did wrong lately.
#[derive(Debug, Default)]
pub(super) struct Abuse {
    drops: Count,
    malformed: Count,
    complained: Option<Instant>,
}

/// A count that starts again when its time is over.
#[derive(Debug, Default)]
struct Count {
    since: Option<Instant>,
    count: u32,
}

impl Abuse {
    /// A frame was dropped. Whether that is abuse by now.
    pub(super) fn dropped(&mut self, now: Instant) -> bool {
        self.drops.another(now, DROPS_WITHIN) > MAX_DROPS
    }

    /// A message was malformed. Whether that persists by now.
    pub(super) fn malformed(&mut self, now: Instant) -> bool {
        self.malformed.another(now, MALFORMED_WITHIN) >= MAX_MALFORMED
    }

    /// Whether to tell the client that it sends too much; takes note that it is told.
    pub(super) fn may_complain(&mut self, now: Instant) -> bool {
        let may = self.complained.is_none_or(|last| now >= last + COMPLAIN_EVERY);
        if may {
            self.complained = Some(now);
        }
        may
    }
}

impl Count {
    fn another(&mut self, now: Instant, within: Duration) -> u32 {
        if self.since.is_none_or(|since| now >= since + within) {
            *self = Self { since: Some(now), count: 0 };
        }
        self.count += 1;
        self.count
    }
}
