//! A small hash index from 64-bit keys to positions in somebody else's store.

use super::ahead::fetch;

const EMPTY: u16 = u16::MAX;

/// Open addressing with linear probing: two bytes a slot, at most three quarters full. The keys themselves stay in the
/// store that the positions point into; each call is told how to read them there. Positions are below 65,535.
#[derive(Clone, Debug, Default)]
pub(crate) struct Index {
    slots: Vec<u16>,
    len: usize,
}

impl Index {
    /// The position of a key.
    pub fn find(&self, key: u64, key_at: impl Fn(u16) -> u64) -> Option<u16> {
        self.probe(key).map(|slot| self.slots[slot]).take_while(|&at| at != EMPTY).find(|&at| key_at(at) == key)
    }

    /// See [`super::ahead`].
    #[inline]
    pub fn ahead(&self, key: u64) {
        fetch(self.slots.get(self.home(key)));
    }

    /// Adds a key that is not in yet, at a position that `key_at` need not know yet.
    pub fn insert(&mut self, key: u64, position: u16, key_at: impl Fn(u16) -> u64) {
        if 4 * (self.len + 1) > 3 * self.slots.len() {
            let size = (2 * self.slots.len()).max(8);
            let old = std::mem::replace(&mut self.slots, vec![EMPTY; size]);
            for at in old.into_iter().filter(|&at| at != EMPTY) {
                self.place(key_at(at), at);
            }
        }
        self.place(key, position);
        self.len += 1;
    }

    /// Removes a key; `key_at` must still know its position.
    pub fn remove(&mut self, key: u64, key_at: impl Fn(u16) -> u64) {
        let found =
            self.probe(key).take_while(|&slot| self.slots[slot] != EMPTY).find(|&s| key_at(self.slots[s]) == key);
        let Some(mut hole) = found else { return };
        // Move later entries of the run back over the hole, so that no probe ends too soon.
        let mask = self.slots.len() - 1;
        let mut slot = hole;
        loop {
            slot = (slot + 1) & mask;
            let at = self.slots[slot];
            if at == EMPTY {
                break;
            }
            let home = self.home(key_at(at));
            if slot.wrapping_sub(home) & mask >= slot.wrapping_sub(hole) & mask {
                self.slots[hole] = at;
                hole = slot;
            }
        }
        self.slots[hole] = EMPTY;
        self.len -= 1;
    }

    fn place(&mut self, key: u64, position: u16) {
        let free = self.probe(key).find(|&slot| self.slots[slot] == EMPTY);
        if let Some(slot) = free {
            self.slots[slot] = position;
        }
    }

    /// The slots where a key may be, in the order of the search.
    fn probe(&self, key: u64) -> impl Iterator<Item = usize> + use<> {
        let (home, size) = (self.home(key), self.slots.len());
        (0..size).map(move |i| (home + i) & (size - 1))
    }

    fn home(&self, key: u64) -> usize {
        // Keys are hashes already; the multiplication keeps a patterned set of them from clustering.
        let mixed = key.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
        mixed as usize & self.slots.len().wrapping_sub(1)
    }

    /// Bytes on the heap.
    pub fn heap_bytes(&self) -> usize {
        self.slots.capacity() * size_of::<u16>()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Behaves as a map does, also with many keys of one home.
        #[test]
        fn is_a_map(steps in prop::collection::vec((0..40u64, any::<bool>()), 0..300)) {
            let keys: Vec<u64> = (0..40).map(|i| i * if i % 2 == 0 { 1 << 40 } else { 1 }).collect();
            let key_at = |at: u16| keys[usize::from(at)];
            let (mut index, mut model) = (Index::default(), std::collections::BTreeSet::new());
            for (i, add) in steps {
                let (at, key) = (i as u16, keys[i as usize]);
                if add && model.insert(at) {
                    index.insert(key, at, key_at);
                } else if !add {
                    index.remove(key, key_at);
                    model.remove(&at);
                }
                for at in 0..40u16 {
                    prop_assert_eq!(index.find(key_at(at), key_at), model.contains(&at).then_some(at));
                }
            }
        }
    }
}
