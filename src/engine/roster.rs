//! All agents, found by name and ordered by when they were last seen, both in constant time.

use std::sync::Arc;

use super::agent::AgentState;
use super::deal::Hand;
use super::due::Spread;
use super::touched::Touched;
use crate::analyze::ahead::fetch;
use crate::analyze::names::{Directory, NameHash, Named, Place};
use crate::domain::AgentId;

#[derive(Debug, Default)]
pub(super) struct Roster {
    slots: Directory<Slot>,
    /// By the numbers of the places. Apart from the slots, so that to move one touches no other's slot.
    links: Vec<Links>,
    oldest: Option<Place>,
    newest: Option<Place>,
}

/// Who was seen before and after.
#[derive(Debug, Clone, Copy, Default)]
struct Links {
    older: Option<Place>,
    newer: Option<Place>,
}

/// One cache line.
#[derive(Debug)]
#[repr(align(64))]
pub(super) struct Slot {
    pub(super) agent: AgentId,
    /// Shared with whoever stores it; copied on the next change if it still is.
    pub(super) state: Arc<AgentState>,
    /// Whether it is on the list of those to be assessed at the end of the beat.
    pub(super) dirty: bool,
    /// What has changed of it since.
    pub(super) touched: Touched,
    /// Observations dealt to it that are not folded yet.
    pub(super) hand: Hand,
    /// Whether it is on the list of those whose metacognitive sensitivity wants fitting.
    pub(super) unfitted: bool,
    /// How long after its load changed by time alone it is judged.
    pub(super) spread: Spread,
}

impl Named for Slot {
    fn name(&self) -> &str {
        self.agent.as_str()
    }
}

impl Roster {
    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }

    pub(super) fn find(&self, agent: &str) -> Option<Place> {
        self.find_hashed(agent, self.slots.hash(agent))
    }

    /// The hash by which [`Self::find_hashed`] finds a name.
    pub(super) fn hash(&self, agent: &str) -> NameHash {
        self.slots.hash(agent)
    }

    pub(super) fn find_hashed(&self, agent: &str, hash: NameHash) -> Option<Place> {
        self.slots.find(agent, hash)
    }

    /// Fetches what leads to a name; see [`crate::analyze::ahead`].
    pub(super) fn ahead_of_name(&self, hash: NameHash) {
        self.slots.ahead_of_name(hash);
    }

    /// Fetches the place where a name is most likely found.
    pub(super) fn ahead_of_place(&self, hash: NameHash) {
        if let Some(place) = self.slots.likely(hash) {
            self.ahead(place);
        }
    }

    pub(super) fn slot(&self, place: Place) -> Option<&Slot> {
        self.slots.get(place)
    }

    pub(super) fn slot_mut(&mut self, place: Place) -> Option<&mut Slot> {
        self.slots.get_mut(place)
    }

    /// See [`crate::analyze::ahead`].
    pub(super) fn ahead(&self, place: Place) {
        self.slots.ahead(place);
    }

    /// The same for what [`Self::touch`] needs.
    pub(super) fn ahead_of_touching(&self, place: Place) {
        fetch(self.links.get(place.index()));
    }

    /// The same for what that points to.
    pub(super) fn ahead_further_of_touching(&self, place: Place) {
        let Some(Links { older, newer }) = self.links.get(place.index()) else { return };
        [older, newer].into_iter().flatten().for_each(|place| self.ahead_of_touching(*place));
    }

    /// Adds an agent as the one seen last.
    pub(super) fn insert(&mut self, agent: AgentId, state: Arc<AgentState>) -> Place {
        let place = self.slots.insert(Slot {
            spread: Spread::of(&agent),
            agent,
            state,
            dirty: false,
            touched: Touched::default(),
            hand: Hand::default(),
            unfitted: false,
        });
        self.links.resize(self.links.len().max(place.index() + 1), Links::default());
        self.link_newest(place);
        place
    }

    /// Makes it the one seen last.
    pub(super) fn touch(&mut self, place: Place) {
        if self.newest != Some(place) {
            self.unlink(place);
            self.link_newest(place);
        }
    }

    /// The one not seen for the longest time.
    pub(super) fn oldest(&self) -> Option<Place> {
        self.oldest
    }

    pub(super) fn remove(&mut self, place: Place) -> Option<Slot> {
        let slot = self.slots.remove(place)?;
        self.unlink(place);
        Some(slot)
    }

    /// All agents, the one not seen for the longest time first.
    pub(super) fn iter(&self) -> impl Iterator<Item = (Place, &Slot)> {
        let follow = |place: &Place| self.links.get(place.index()).and_then(|links| links.newer);
        std::iter::successors(self.oldest, follow).filter_map(|place| Some((place, self.slot(place)?)))
    }

    fn unlink(&mut self, place: Place) {
        let Some(Links { older, newer }) = self.links.get_mut(place.index()).map(std::mem::take) else { return };
        match older.and_then(|older| self.links.get_mut(older.index())) {
            Some(older) => older.newer = newer,
            None => self.oldest = newer,
        }
        match newer.and_then(|newer| self.links.get_mut(newer.index())) {
            Some(newer) => newer.older = older,
            None => self.newest = older,
        }
    }

    fn link_newest(&mut self, place: Place) {
        let last = self.newest.replace(place);
        if let Some(links) = self.links.get_mut(place.index()) {
            links.older = last;
        }
        match last.and_then(|last| self.links.get_mut(last.index())) {
            Some(last) => last.newer = Some(place),
            None => self.oldest = Some(place),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::domain::Timestamp;

    fn names(roster: &Roster) -> Vec<&str> {
        roster.iter().map(|(_, slot)| slot.agent.as_str()).collect()
    }

    proptest! {
        /// Finds those that are there, and no others, whatever came and went.
        #[test]
        fn finds_by_name(steps in prop::collection::vec((0..60u32, any::<bool>()), 0..400)) {
            let (mut roster, mut model) = (Roster::default(), BTreeMap::new());
            for (i, add) in steps {
                let name = format!("agent-{i}");
                match model.remove(&name) {
                    Some(place) => prop_assert_eq!(roster.remove(place).map(|slot| slot.agent.to_string()), Some(name)),
                    None if add => {
                        let state = Arc::new(AgentState::new(Timestamp::EPOCH));
                        model.insert(name.clone(), roster.insert(AgentId::fitted(&name), state));
                    }
                    None => {}
                }
                for i in 0..60 {
                    let name = format!("agent-{i}");
                    prop_assert_eq!(roster.find(&name), model.get(&name).copied());
                }
                prop_assert_eq!(roster.len(), model.len());
            }
        }
    }

    #[test]
    fn keeps_the_order_in_which_agents_were_seen() {
        let mut roster = Roster::default();
        let add = |roster: &mut Roster, name: &str| {
            roster.insert(AgentId::fitted(name), Arc::new(AgentState::new(Timestamp::EPOCH)))
        };
        let (a, b, c) = (add(&mut roster, "a"), add(&mut roster, "b"), add(&mut roster, "c"));
        roster.touch(a);
        assert_eq!(names(&roster), ["b", "c", "a"]);
        roster.touch(c);
        roster.touch(c);
        assert_eq!(names(&roster), ["b", "a", "c"]);
        assert_eq!(roster.oldest(), Some(b));
        assert!(roster.remove(a).is_some());
        assert!(roster.remove(a).is_none());
        assert_eq!(names(&roster), ["b", "c"]);
        assert_eq!(roster.find("a"), None);
        let d = add(&mut roster, "d");
        assert_eq!(d, a, "places are used again");
        assert_eq!(names(&roster), ["b", "c", "d"]);
        for place in [c, b, d] {
            roster.remove(place);
        }
        assert_eq!((roster.len(), roster.oldest()), (0, None));
    }
}
