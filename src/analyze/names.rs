//! Places by name.
//!
//! A hash table of its own: with many agents none of it is in a cache, and here can be told which line a look will need.

use std::hash::BuildHasher;
use std::num::NonZeroU32;

use foldhash::quality::RandomState;

use super::ahead::fetch;

/// A place in a list. Stays the same until what is there is removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Place(NonZeroU32);

impl Place {
    /// The place of this index.
    pub(crate) fn new(index: usize) -> Self {
        let number = u32::try_from(index).ok().and_then(|index| NonZeroU32::new(index.saturating_add(1)));
        Self(number.unwrap_or(NonZeroU32::MAX))
    }

    /// Its index.
    pub(crate) fn index(self) -> usize {
        self.0.get() as usize - 1
    }
}

/// The hash of a name, as this process makes it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct NameHash(u32);

/// Open addressing with linear probing, at most half full: eight bytes an entry. The names themselves are kept at their
/// places; each call is told how to look there.
#[derive(Debug, Default)]
pub(crate) struct Names {
    entries: Vec<(NameHash, Option<Place>)>,
    len: usize,
    /// Keyed anew in each process, so that nobody can choose names that meet.
    keys: RandomState,
}

impl Names {
    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// The hash of a name.
    pub(crate) fn hash(&self, name: &str) -> NameHash {
        // Half of it is as good as all: tables are far smaller.
        NameHash(self.keys.hash_one(name) as u32)
    }

    /// The place of a name of this hash, where `is_it` recognises it.
    pub(crate) fn find(&self, hash: NameHash, is_it: impl Fn(Place) -> bool) -> Option<Place> {
        self.probe(hash)
            .map_while(|at| self.place_at(at))
            .find(|(known, place)| *known == hash && is_it(*place))
            .map(|found| found.1)
    }

    /// See [`super::ahead`].
    pub(crate) fn ahead(&self, hash: NameHash) {
        fetch(self.entries.get(self.home(hash)));
    }

    /// Adds a name that is not in yet.
    pub(crate) fn insert(&mut self, hash: NameHash, place: Place) {
        if 2 * (self.len + 1) > self.entries.len() {
            let size = (2 * self.entries.len()).max(16);
            let old = std::mem::replace(&mut self.entries, vec![(NameHash::default(), None); size]);
            old.into_iter()
                .filter_map(|(hash, place)| Some((hash, place?)))
                .for_each(|(hash, place)| self.put(hash, place));
        }
        self.put(hash, place);
        self.len += 1;
    }

    /// Removes the name of a place.
    pub(crate) fn remove(&mut self, hash: NameHash, place: Place) {
        let found = self.probe(hash).find(|at| self.place_at(*at).is_none_or(|(_, known)| known == place));
        let Some(mut hole) = found.filter(|at| self.place_at(*at).is_some()) else { return };
        // Later entries of the run move back over the hole, so that no probe ends too soon.
        let mask = self.entries.len() - 1;
        let mut at = hole;
        loop {
            at = (at + 1) & mask;
            let Some((hash, place)) = self.place_at(at) else { break };
            if at.wrapping_sub(self.home(hash)) & mask >= at.wrapping_sub(hole) & mask {
                self.entries[hole] = (hash, Some(place));
                hole = at;
            }
        }
        self.entries[hole] = (NameHash::default(), None);
        self.len -= 1;
    }

    fn put(&mut self, hash: NameHash, place: Place) {
        if let Some(free) = self.probe(hash).find(|at| self.place_at(*at).is_none()) {
            self.entries[free] = (hash, Some(place));
        }
    }

    fn place_at(&self, at: usize) -> Option<(NameHash, Place)> {
        let (hash, place) = self.entries.get(at)?;
        place.map(|place| (*hash, place))
    }

    /// The entries where a name may be, in the order of the search.
    fn probe(&self, hash: NameHash) -> impl Iterator<Item = usize> + use<> {
        let (home, size) = (self.home(hash), self.entries.len());
        (0..size).map(move |i| (home + i) & (size - 1))
    }

    fn home(&self, hash: NameHash) -> usize {
        hash.0 as usize & self.entries.len().wrapping_sub(1)
    }
}
