//! How often an agent shows life, learned from its last pauses.

use serde::{Deserialize, Serialize};

use crate::analyze::ahead::fetch;
use crate::domain::Timestamp;

/// Pauses that are remembered.
const REMEMBERED: usize = 64;
/// Half-life of the slowest pause, seconds.
const HALF_LIFE_S: f64 = 3600.0;

/// The last pauses of at least a second, in tenths of a second (up to 1.8 hours). 256 bytes when full.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(from = "Vec<u16>", into = "Vec<u16>")]
pub(super) struct Cadence {
    /// From the oldest to the newest.
    pauses: Vec<u16>,
    /// The same from the shortest to the longest.
    sorted: Vec<u16>,
}

impl From<Vec<u16>> for Cadence {
    fn from(mut pauses: Vec<u16>) -> Self {
        pauses.truncate(REMEMBERED);
        let mut sorted = pauses.clone();
        sorted.sort_unstable();
        Self { pauses, sorted }
    }
}

impl From<Cadence> for Vec<u16> {
    fn from(cadence: Cadence) -> Self {
        cadence.pauses
    }
}

impl Cadence {
    pub(super) fn push(&mut self, seconds: f64) {
        let pause = (seconds * 10.0) as u16;
        if self.pauses.len() >= REMEMBERED {
            let oldest = self.pauses.remove(0);
            if let Ok(place) = self.sorted.binary_search(&oldest) {
                self.sorted.remove(place);
            }
        }
        self.pauses.push(pause);
        self.sorted.insert(self.sorted.partition_point(|known| *known < pause), pause);
    }

    /// See [`crate::analyze::ahead`].
    pub(super) fn ahead(&self) {
        fetch(self.sorted.first());
        fetch(self.sorted.last());
    }

    pub(super) fn len(&self) -> usize {
        self.sorted.len()
    }

    /// Median pause, seconds.
    pub(super) fn median(&self) -> Option<f64> {
        self.sorted.get(self.sorted.len() / 2).map(|pause| f64::from(*pause) / 10.0)
    }

    /// The longest pause but one, seconds: a single odd one does not count.
    pub(super) fn long(&self) -> Option<f64> {
        let place = self.sorted.len().checked_sub(2)?;
        self.sorted.get(place).map(|pause| f64::from(*pause) / 10.0)
    }
}

/// The longest of many durations, older ones counting less: it halves in an hour.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub(super) struct Slowest {
    seconds: f64,
    faded: Timestamp,
}

impl Slowest {
    pub(super) fn push(&mut self, seconds: f64, at: Timestamp) {
        let passed = at.since(self.faded).as_secs_f64();
        if passed >= 1.0 {
            self.seconds *= (-passed / HALF_LIFE_S).exp2();
            self.faded = at;
        }
        self.seconds = self.seconds.max(seconds);
    }

    /// As of the last push, so that waiting alone changes nothing.
    pub(super) fn get(self) -> f64 {
        self.seconds
    }
}
