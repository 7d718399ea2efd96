//! The idempotency window: which observations of an agent were counted already.

use serde::{Deserialize, Serialize};

use crate::analyze::ahead::fetch;
use crate::analyze::index::Index;
use crate::domain::ObservationKey;

/// The last keys of an agent, in order: a ring of 8 bytes a key, and an index of 4 more at most. O(1) a key.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(from = "Vec<u64>", into = "Vec<u64>")]
pub struct IdWindow {
    ring: Vec<u64>,
    /// Where the oldest stands once the ring is full.
    oldest: usize,
    index: Index,
}

impl IdWindow {
    /// Most keys that can be remembered.
    pub const MAX: usize = 65_000;

    /// Whether the key is new; from now on it is not, until `size` others came.
    pub fn admit(&mut self, key: ObservationKey, size: usize) -> bool {
        let (key, size) = (key.get(), size.clamp(1, Self::MAX));
        if self.index.find(key, |at| self.key_at(at)).is_some() {
            return false;
        }
        if self.ring.len() > size {
            // The window was larger before a restart.
            let keys = Vec::from(std::mem::take(self));
            *self = Self::from(keys.into_iter().rev().take(size).rev().collect::<Vec<_>>());
        }
        if self.ring.len() < size {
            // What has turned is laid straight, so that the new one comes last.
            self.ring.rotate_left(self.oldest);
            if self.oldest > 0 {
                *self = Self::from(std::mem::take(&mut self.ring));
            }
            self.ring.push(key);
            self.remember(self.ring.len() - 1);
            return true;
        }
        let at = self.oldest;
        self.oldest = if at + 1 < size { at + 1 } else { 0 };
        // The index goes on to lead to where the key was: what stands there is looked at in any case.
        if let Some(place) = self.ring.get_mut(at) {
            *place = key;
        }
        self.remember(at);
        true
    }

    /// See [`crate::analyze::ahead`].
    #[inline]
    pub(super) fn ahead(&self, key: ObservationKey) {
        self.index.ahead(key.get());
        fetch(self.ring.get(self.oldest));
        fetch(self.ring.last());
    }

    /// Bytes on the heap.
    pub fn heap_bytes(&self) -> usize {
        self.ring.capacity() * size_of::<u64>() + self.index.heap_bytes()
    }

    fn key_at(&self, at: u16) -> u64 {
        self.ring.get(usize::from(at)).copied().unwrap_or_default()
    }

    fn remember(&mut self, at: usize) {
        let Self { ring, index, .. } = self;
        if let (Some(&key), Ok(position)) = (ring.get(at), u16::try_from(at)) {
            if index.is_full() {
                // With this key, but without those that are gone.
                index.rebuild(ring);
            } else {
                index.insert(key, position, |at| ring.get(usize::from(at)).copied().unwrap_or_default());
            }
        }
    }
}

/// Keys from the oldest to the newest; of too many, the newest.
impl From<Vec<u64>> for IdWindow {
    fn from(mut keys: Vec<u64>) -> Self {
        keys.drain(..keys.len().saturating_sub(Self::MAX));
        let mut window = Self { ring: keys, ..Self::default() };
        (0..window.ring.len()).for_each(|at| window.remember(at));
        window
    }
}

impl From<IdWindow> for Vec<u64> {
    fn from(mut window: IdWindow) -> Self {
        window.ring.rotate_left(window.oldest);
        window.ring
    }
}

impl PartialEq for IdWindow {
    /// Equal when the same keys are in it, in the same order.
    fn eq(&self, other: &Self) -> bool {
        let keys = |window: &Self| Vec::from(window.clone());
        keys(self) == keys(other)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

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
        assert!(window.heap_bytes() <= size * 12, "{}", window.heap_bytes());
        assert!(window.admit(key(0), size), "what is long gone is forgotten");
    }

    proptest! {
        /// Exactly the last ones are known, also when the size changes and after a restart.
        #[test]
        fn is_the_last_keys(keys in prop::collection::vec(0..40u64, 1..300), cut in 0..300usize, sizes in (1..30usize, 1..30usize)) {
            let (mut window, mut known) = (IdWindow::default(), Vec::new());
            for (i, n) in keys.into_iter().enumerate() {
                let size = if i < cut { sizes.0 } else { sizes.1 };
                if i == cut {
                    let restored: IdWindow = serde_json::from_str(&serde_json::to_string(&window).unwrap()).unwrap();
                    prop_assert_eq!(&restored, &window);
                    window = restored;
                }
                let new = !known.contains(&n);
                prop_assert_eq!(window.admit(key(n), size), new);
                if new {
                    known.push(n);
                    known.drain(..known.len().saturating_sub(size));
                }
            }
        }
    }
}
