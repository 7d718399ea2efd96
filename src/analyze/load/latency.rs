//! Durations of one agent's results: lately, over its life, and what is usual for it.

use std::mem::offset_of;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::sketch::{Place, Sketch};
use crate::analyze::ahead::fetch_whole;
use crate::domain::Timestamp;

/// A window is closed when it is this old and holds enough durations. Lately is the window that is being filled and the
/// one before.
const WINDOW: Duration = Duration::from_secs(300);
/// Durations that a 95th percentile is judged from, at least.
pub(super) const ENOUGH: u64 = 20;
/// With no new duration for this long, there is no "lately".
const FRESH: Duration = Duration::from_secs(600);
/// A closed window moves the usual level by this share, once ten have been seen.
const LEARNING: f64 = 0.1;

/// Quantiles of durations, in milliseconds, within 1 % of the exact ones.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Quantiles {
    /// Number of durations.
    pub n: u64,
    /// Median.
    pub p50_ms: f64,
    /// 95th percentile.
    pub p95_ms: f64,
    /// 99th percentile.
    pub p99_ms: f64,
}

impl Quantiles {
    fn of(sketch: &Sketch) -> Option<Self> {
        let [p50_ms, p95_ms, p99_ms] = sketch.quantiles([0.5, 0.95, 0.99])?;
        Some(Self { n: sketch.count(), p50_ms, p95_ms, p99_ms })
    }
}

#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(super) struct Latency {
    /// The window that is being filled.
    current: Sketch,
    /// That window and the one before.
    lately: Sketch,
    /// All.
    overall: Sketch,
    /// When the current window began, and when the last duration came.
    began: Timestamp,
    last: Timestamp,
    usual: Option<Usual>,
}

/// The usual 95th percentile: a mean of the logarithms of those of closed windows, newer ones weighing more.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Usual {
    ln_p95: f64,
    windows: u32,
}

impl Latency {
    pub(super) fn observe(&mut self, milliseconds: f64, at: Timestamp) {
        if self.last == Timestamp::EPOCH {
            self.began = at;
        }
        // One that comes late belongs to the current window: it was learned of now.
        let at = at.max(self.last);
        if at.since(self.last) >= FRESH {
            self.close(at);
            self.close(at);
        } else if at.since(self.began) >= WINDOW && self.current.count() >= ENOUGH {
            self.close(at);
        }
        self.last = at;
        if let Some(place) = Place::of(milliseconds) {
            self.current.count_at(place);
            self.lately.count_at(place);
            self.overall.count_at(place);
        }
    }

    /// See [`crate::analyze::ahead`].
    pub(super) fn ahead(&self) {
        fetch_whole::<Self, _>(&self.last, offset_of!(Self, last));
    }

    /// The same for what that points to.
    pub(super) fn ahead_further(&self, milliseconds: f64) {
        if let Some(place) = Place::of(milliseconds) {
            [&self.current, &self.lately, &self.overall].iter().for_each(|sketch| sketch.ahead(place));
        }
    }

    /// The same for what the figures of lately need.
    pub(super) fn ahead_of_figures(&self) {
        self.lately.ahead_of_quantiles();
    }

    fn close(&mut self, at: Timestamp) {
        if let Some(p95) = self.current.quantile(0.95).filter(|_| self.current.count() >= ENOUGH) {
            let ln_p95 = p95.max(1e-3).ln();
            self.usual = Some(match self.usual {
                None => Usual { ln_p95, windows: 1 },
                Some(Usual { ln_p95: usual, windows }) => {
                    let share = (1.0 / f64::from(windows.saturating_add(1))).max(LEARNING);
                    // A sudden slowness becomes usual only slowly, however bad it is.
                    let step = (ln_p95 - usual).min(1.0);
                    Usual { ln_p95: usual + share * step, windows: windows.saturating_add(1) }
                }
            });
        }
        std::mem::swap(&mut self.current, &mut self.lately);
        self.current.clear();
        self.began = at;
    }

    pub(super) fn lately(&self, now: Timestamp) -> Option<Quantiles> {
        if now.since(self.last) < FRESH { Quantiles::of(&self.lately) } else { None }
    }

    /// How many durations came lately, and their 95th percentile.
    pub(super) fn p95_lately(&self, now: Timestamp) -> Option<(u64, f64)> {
        let fresh = now.since(self.last) < FRESH;
        fresh.then(|| self.lately.quantile(0.95)).flatten().map(|p95_ms| (self.lately.count(), p95_ms))
    }

    pub(super) fn overall(&self) -> Option<Quantiles> {
        Quantiles::of(&self.overall)
    }

    pub(super) fn overall_at<const N: usize>(&self, qs: [f64; N]) -> Option<[f64; N]> {
        self.overall.quantiles(qs)
    }

    pub(super) fn usual_p95_ms(&self) -> Option<f64> {
        self.usual.map(|usual| usual.ln_p95.exp())
    }

    pub(super) fn next_due(&self, now: Timestamp) -> Option<Timestamp> {
        Some(self.last.plus(FRESH)).filter(|due| *due > now)
    }
}
