//! Deals observations out to their agents: a linked list an agent, through one array, with no allocation of its own.

use crate::analyze::names::{NameHash, Place};

const NONE: u32 = u32::MAX;

/// The deal of one batch.
#[derive(Debug, Default)]
pub(super) struct Deal {
    /// Agents that were dealt something, in order of the first.
    pub(super) places: Vec<Place>,
    /// For each observation from the first dealt on, the next one of the same agent.
    pub(super) next: Vec<u32>,
    /// The hashes of the names of the next observations, by their numbers modulo the length.
    hashes: [NameHash; 16],
}

/// What was dealt to one agent: its first and last observation.
#[derive(Debug, Clone, Copy)]
pub(super) struct Hand {
    first: u32,
    last: u32,
    len: u32,
}

impl Hand {
    /// How many observations.
    pub(super) fn len(self) -> usize {
        self.len as usize
    }
}

impl Default for Hand {
    fn default() -> Self {
        Self { first: NONE, last: NONE, len: 0 }
    }
}

impl Deal {
    /// Most observations in a deal.
    pub(super) const MOST: usize = 1 << 16;

    /// Deals the observation `i`, later than all before, to the agent at a place.
    pub(super) fn add(&mut self, hand: &mut Hand, place: Place, i: usize) {
        let card = u32::try_from(i).unwrap_or(NONE);
        self.next.resize(i + 1, NONE);
        match self.next.get_mut(hand.last as usize) {
            Some(next) if hand.first != NONE => *next = card,
            _ => {
                hand.first = card;
                self.places.push(place);
            }
        }
        hand.last = card;
        hand.len += 1;
    }

    /// Notes the hash of the `i`-th observation's agent's name.
    pub(super) fn note_hash(&mut self, i: usize, hash: NameHash) {
        let at = i % self.hashes.len();
        self.hashes[at] = hash;
    }

    /// The hash noted for the `i`-th observation. That of one more than 15 later takes its place.
    pub(super) fn hash(&self, i: usize) -> NameHash {
        self.hashes[i % self.hashes.len()]
    }

    /// The observations of a hand, in order.
    pub(super) fn cards(&self, hand: Hand) -> impl Iterator<Item = usize> + Clone {
        let known = |card: &u32| *card != NONE;
        let after = move |card: &u32| self.next.get(*card as usize).copied().filter(known);
        std::iter::successors(Some(hand.first).filter(known), after).map(|card| card as usize)
    }
}
