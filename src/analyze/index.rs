//! A small hash index from 64-bit keys to positions in somebody else's store.

use super::ahead::fetch;

const EMPTY: u16 = u16::MAX;

/// Open addressing with linear probing: two bytes a slot, at most three quarters full. The keys themselves stay in the
/// store that the positions point into; each call is told how to read them there. Positions are below 65,535.
///
/// A slot holds a position in its lower bits, as many as the positions so far need. The upper ones hold some of the
/// key's hash: a search asks the store only where these agree, and the store is far away more often than not.
#[derive(Clone, Debug, Default)]
pub(crate) struct Index {
    slots: Vec<u16>,
    len: usize,
    /// How many bits positions take.
    bits: u32,
}

impl Index {
    /// The position of a key.
    pub fn find(&self, key: u64, key_at: impl Fn(u16) -> u64) -> Option<u16> {
        self.find_slot(key, key_at).map(|slot| self.position(self.slots[slot]))
    }

    /// See [`super::ahead`].
    #[inline]
    pub fn ahead(&self, key: u64) {
        fetch(self.slots.get(self.home(key)));
    }

    /// The position at which a search for the key looks first, whoever's it is.
    #[inline]
    pub fn first(&self, key: u64) -> Option<u16> {
        self.slots.get(self.home(key)).copied().filter(|&at| at != EMPTY).map(|at| self.position(at))
    }

    /// Adds a key that is not in yet, at a position that `key_at` need not know yet.
    pub fn insert(&mut self, key: u64, position: u16, key_at: impl Fn(u16) -> u64) {
        let (grow, bits) = (4 * (self.len + 1) > 3 * self.slots.len(), u16::BITS - position.leading_zeros());
        if grow || bits > self.bits {
            let size = if grow { (2 * self.slots.len()).max(8) } else { self.slots.len() };
            let old = std::mem::replace(&mut self.slots, vec![EMPTY; size]);
            let positions: Vec<u16> = old.into_iter().filter(|&at| at != EMPTY).map(|at| self.position(at)).collect();
            // Positions grow with their number, so that this comes up seldom.
            self.bits = self.bits.max(bits).max(size.trailing_zeros()).min(u16::BITS);
            for at in positions {
                self.place(key_at(at), at);
            }
        }
        self.place(key, position);
        self.len += 1;
    }

    /// Removes a key; `key_at` must still know its position.
    pub fn remove(&mut self, key: u64, key_at: impl Fn(u16) -> u64) {
        let Some(mut hole) = self.find_slot(key, &key_at) else { return };
        // Move later entries of the run back over the hole, so that no probe ends too soon.
        let mask = self.slots.len() - 1;
        let mut slot = hole;
        loop {
            slot = (slot + 1) & mask;
            let at = self.slots[slot];
            if at == EMPTY {
                break;
            }
            let home = self.home(key_at(self.position(at)));
            if slot.wrapping_sub(home) & mask >= slot.wrapping_sub(hole) & mask {
                self.slots[hole] = at;
                hole = slot;
            }
        }
        self.slots[hole] = EMPTY;
        self.len -= 1;
    }

    fn find_slot(&self, key: u64, key_at: impl Fn(u16) -> u64) -> Option<usize> {
        let mark = self.mark(key);
        let here = |at: u16| mark.is_none_or(|mark| at >> self.bits == mark) && key_at(self.position(at)) == key;
        self.probe(key).take_while(|&slot| self.slots[slot] != EMPTY).find(|&slot| here(self.slots[slot]))
    }

    fn place(&mut self, key: u64, position: u16) {
        let free = self.probe(key).find(|&slot| self.slots[slot] == EMPTY);
        if let Some(slot) = free {
            self.slots[slot] = self.mark(key).map_or(position, |mark| mark << self.bits | position);
        }
    }

    fn position(&self, at: u16) -> u16 {
        1u16.checked_shl(self.bits).map_or(at, |beyond| at & (beyond - 1))
    }

    /// What stands above a key's position, if there is room: never all ones, which together with such a position would
    /// look empty.
    fn mark(&self, key: u64) -> Option<u16> {
        let most = (u16::MAX.checked_shr(self.bits)?).checked_sub(1)?;
        Some(((mixed(key) >> 16) as u16 >> self.bits).min(most))
    }

    /// The slots where a key may be, in the order of the search.
    fn probe(&self, key: u64) -> impl Iterator<Item = usize> + use<> {
        let (home, size) = (self.home(key), self.slots.len());
        (0..size).map(move |i| (home + i) & (size - 1))
    }

    fn home(&self, key: u64) -> usize {
        mixed(key) as usize & self.slots.len().wrapping_sub(1)
    }

    /// Bytes on the heap.
    pub fn heap_bytes(&self) -> usize {
        self.slots.capacity() * size_of::<u16>()
    }
}

/// Keys are hashes already; the multiplication keeps a patterned set of them from clustering.
fn mixed(key: u64) -> u32 {
    (key.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as u32
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Behaves as a map does, also with many keys of one home.
        #[test]
        fn is_a_map(
            steps in prop::collection::vec((0..40u64, any::<bool>()), 0..300),
            stride in prop::sample::select(vec![1u16, 7, 800, 1638]),
        ) {
            let keys: Vec<u64> = (0..40).map(|i| i * if i % 2 == 0 { 1 << 40 } else { 1 }).collect();
            // Positions that take up to all the bits there are.
            let key_at = |at: u16| keys[usize::from(at / stride)];
            let (mut index, mut model) = (Index::default(), std::collections::BTreeSet::new());
            for (i, add) in steps {
                let (at, key) = (i as u16 * stride, keys[i as usize]);
                if add && model.insert(at) {
                    index.insert(key, at, key_at);
                } else if !add {
                    index.remove(key, key_at);
                    model.remove(&at);
                }
                for at in (0..40u16).map(|i| i * stride) {
                    prop_assert_eq!(index.find(key_at(at), key_at), model.contains(&at).then_some(at));
                }
            }
        }
    }
}
