//! The last durations, in order of arrival and of size, so that quantiles cost nothing at the beat.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

/// The last so many durations, milliseconds.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(from = "Vec<f64>", into = "Vec<f64>")]
pub(super) struct Recent {
    arrived: VecDeque<f64>,
    sorted: Vec<f64>,
}

impl From<Vec<f64>> for Recent {
    fn from(arrived: Vec<f64>) -> Self {
        let mut sorted = arrived.clone();
        sorted.sort_by(f64::total_cmp);
        Self { arrived: arrived.into(), sorted }
    }
}

impl From<Recent> for Vec<f64> {
    fn from(recent: Recent) -> Self {
        recent.arrived.into()
    }
}

impl Recent {
    /// Adds a duration; of more than `most`, the oldest goes.
    pub(super) fn push(&mut self, ms: f64, most: usize) {
        while self.arrived.len() >= most.max(1) {
            let Some(oldest) = self.arrived.pop_front() else { break };
            if let Ok(place) = self.sorted.binary_search_by(|known| known.total_cmp(&oldest)) {
                self.sorted.remove(place);
            }
        }
        self.arrived.push_back(ms);
        self.sorted.insert(self.sorted.partition_point(|known| known.total_cmp(&ms).is_lt()), ms);
    }

    /// The duration at rank floor(q (n - 1)); `None` while there are none.
    pub(super) fn quantile(&self, q: f64) -> Option<f64> {
        self.sorted.get((q * self.sorted.len().saturating_sub(1) as f64) as usize).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_those_of_the_last_ones() {
        let mut recent = Recent::default();
        assert_eq!(recent.quantile(0.5), None);
        for i in 0..1000u32 {
            recent.push(f64::from(i * 7919 % 1000), 101);
        }
        let mut last: Vec<f64> = (899..1000u32).map(|i| f64::from(i * 7919 % 1000)).collect();
        last.sort_by(f64::total_cmp);
        for q in [0.0, 0.5, 0.95, 1.0] {
            assert_eq!(recent.quantile(q), Some(last[(q * 100.0) as usize]));
        }
        let restored: Recent = serde_json::from_str(&serde_json::to_string(&recent).unwrap()).unwrap();
        assert_eq!(restored, recent);
    }
}
