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
    /// How many bits positions take, 16 at most.
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
        let (grow, bits) = (self.is_full(), u16::BITS - position.leading_zeros());
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

    /// Whether the next key makes it grow.
    pub fn is_full(&self) -> bool {
        4 * (self.len + 1) > 3 * self.slots.len()
    }

    /// Starts afresh with these keys, at the positions from 0 on. Half as many more fit in before it is full, at least.
    pub fn rebuild(&mut self, keys: &[u64]) {
        let size = (2 * keys.len()).next_power_of_two().max(8);
        self.slots.clear();
        self.slots.resize(size, EMPTY);
        (self.bits, self.len) = (size.trailing_zeros().min(u16::BITS), keys.len());
        for (position, key) in (0..).zip(keys) {
            self.place(*key, position);
        }
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

    #[inline]
    fn find_slot(&self, key: u64, key_at: impl Fn(u16) -> u64) -> Option<usize> {
        let (mark, mut slot) = (self.mark(key), self.home(key));
        // Some slot is empty, always.
        loop {
            let at = *self.slots.get(slot)?;
            if at == EMPTY {
                return None;
            }
            if u32::from(at) >> self.bits == mark && key_at(self.position(at)) == key {
                return Some(slot);
            }
            slot = (slot + 1) & (self.slots.len() - 1);
        }
    }

    fn place(&mut self, key: u64, position: u16) {
        let marked = (self.mark(key) << self.bits) as u16 | position;
        let (mut slot, mask) = (self.home(key), self.slots.len().wrapping_sub(1));
        while let Some(at) = self.slots.get_mut(slot) {
            if *at == EMPTY {
                *at = marked;
                return;
            }
            slot = (slot + 1) & mask;
        }
    }

    fn position(&self, at: u16) -> u16 {
        at & ((1u32 << self.bits) - 1) as u16
    }

    /// What stands above a key's position: never all ones, which together with such a position would look empty.
    fn mark(&self, key: u64) -> u32 {
        let most = (u32::from(u16::MAX) >> self.bits).saturating_sub(1);
        (mixed(key) >> 16 >> self.bits).min(most)
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
