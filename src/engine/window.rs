//! The idempotency window: which observations of an agent were counted already.

use serde::{Deserialize, Serialize};

use crate::domain::ObservationKey;

/// Remembers at least the last `size` keys of an agent, and at most twice as many, in eight bytes each.
///
/// Keys gather in `recent`, are merged into the sorted `current` a few dozen at a time, and when `current` is full it
/// becomes `previous`, whose keys are forgotten as a whole.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct IdWindow {
    recent: Vec<u64>,
    current: Vec<u64>,
    previous: Vec<u64>,
}

impl IdWindow {
    const MERGE_AT: usize = 64;

    /// Whether the key is new; from now on it is not.
    pub fn admit(&mut self, key: ObservationKey, size: usize) -> bool {
        let key = key.get();
        let known = self.recent.contains(&key)
            || self.current.binary_search(&key).is_ok()
            || self.previous.binary_search(&key).is_ok();
        if known {
            return false;
        }
        self.recent.push(key);
        if self.recent.len() >= Self::MERGE_AT {
            // Sorting an almost sorted list is a merge.
            self.current.append(&mut self.recent);
            self.current.sort();
            if self.current.len() >= size {
                self.previous = std::mem::take(&mut self.current);
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(n: u64) -> ObservationKey {
        ObservationKey::of(&n.to_string())
    }

    #[test]
    fn the_last_ones_count_once_and_memory_is_bounded() {
        let (mut window, size) = (IdWindow::default(), 256);
        for n in 0..10_000 {
            assert!(window.admit(key(n), size));
            assert!(!window.admit(key(n), size));
            assert!(!window.admit(key(n.saturating_sub(size as u64 - 1)), size));
        }
        assert!(window.recent.len() + window.current.len() + window.previous.len() <= 2 * size + IdWindow::MERGE_AT);
        assert!(window.admit(key(0), size), "what is long gone is forgotten");
    }
}
