//! Things kept in a list, found by name.
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
    fn new(index: usize) -> Self {
        let number = u32::try_from(index).ok().and_then(|index| NonZeroU32::new(index.saturating_add(1)));
        Self(number.unwrap_or(NonZeroU32::MAX))
    }

    /// Its number: places are used again, so numbers are as many as there were things at once.
    pub(crate) fn index(self) -> usize {
        self.0.get() as usize - 1
    }
}

/// The hash of a name, as this process makes it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct NameHash(u32);

/// What has a name of its own.
pub(crate) trait Named {
    /// That name.
    fn name(&self) -> &str;
}

/// A list of things with names: no two of one name, in no order.
#[derive(Debug)]
pub(crate) struct Directory<T> {
    names: Names,
    slots: Vec<Option<T>>,
    free: Vec<Place>,
}

impl<T> Default for Directory<T> {
    fn default() -> Self {
        Self { names: Names::default(), slots: Vec::new(), free: Vec::new() }
    }
}

impl<T: Named> Directory<T> {
    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.names.len
    }

    /// The hash by which [`Self::find`] finds a name.
    pub(crate) fn hash(&self, name: &str) -> NameHash {
        self.names.hash(name)
    }

    /// The place of a name of this hash.
    pub(crate) fn find(&self, name: &str, hash: NameHash) -> Option<Place> {
        self.names.find(hash, |place| self.get(place).is_some_and(|thing| thing.name() == name))
    }

    /// What is at a place.
    pub(crate) fn get(&self, place: Place) -> Option<&T> {
        self.slots.get(place.index())?.as_ref()
    }

    /// The same, to be changed in all but its name.
    pub(crate) fn get_mut(&mut self, place: Place) -> Option<&mut T> {
        self.slots.get_mut(place.index())?.as_mut()
    }

    /// All.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.slots.iter().flatten()
    }

    /// Adds one whose name is not in yet.
    pub(crate) fn insert(&mut self, thing: T) -> Place {
        let place = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            Place::new(self.slots.len() - 1)
        });
        self.names.insert(self.names.hash(thing.name()), place);
        if let Some(empty) = self.slots.get_mut(place.index()) {
            *empty = Some(thing);
        }
        place
    }

    /// Takes one out.
    pub(crate) fn remove(&mut self, place: Place) -> Option<T> {
        let thing = self.slots.get_mut(place.index())?.take()?;
        self.names.remove(self.names.hash(thing.name()), place);
        self.free.push(place);
        Some(thing)
    }

    /// Fetches what leads to a name; see [`super::ahead`].
    pub(crate) fn ahead_of_name(&self, hash: NameHash) {
        fetch(self.names.entries.get(self.names.home(hash)));
    }

    /// The place where a name of this hash is most likely found.
    pub(crate) fn likely(&self, hash: NameHash) -> Option<Place> {
        self.names.find(hash, |_| true)
    }

    /// Fetches what is at a place.
    pub(crate) fn ahead(&self, place: Place) {
        let (at, large) = (place.index(), size_of::<Option<T>>() > 64);
        fetch(self.slots.get(at));
        // A larger one ends where the next one begins.
        fetch(self.slots.get(at + 1).filter(|_| large));
    }
}

/// Open addressing with linear probing, at most half full: eight bytes an entry. The names themselves are kept at their
/// places; each call is told how to look there.
#[derive(Debug, Default)]
struct Names {
    entries: Vec<(NameHash, Option<Place>)>,
    len: usize,
    /// Keyed anew in each process, so that nobody can choose names that meet.
    keys: RandomState,
}

impl Names {
    /// The hash of a name.
    fn hash(&self, name: &str) -> NameHash {
        // Half of it is as good as all: tables are far smaller.
        NameHash(self.keys.hash_one(name) as u32)
    }

    /// The place of a name of this hash, where `is_it` recognises it.
    fn find(&self, hash: NameHash, is_it: impl Fn(Place) -> bool) -> Option<Place> {
        self.probe(hash)
            .map_while(|at| self.place_at(at))
            .find(|(known, place)| *known == hash && is_it(*place))
            .map(|found| found.1)
    }

    /// Adds a name that is not in yet.
    fn insert(&mut self, hash: NameHash, place: Place) {
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
    fn remove(&mut self, hash: NameHash, place: Place) {
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
