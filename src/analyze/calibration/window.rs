//! The last resolved claims, with everything that slides along.

use std::collections::VecDeque;

use super::ranks::Ranks;
use super::sums::Sums;
use crate::analyze::ahead::fetch;
use crate::analyze::index::Index;

/// Positions are 15-bit sequence numbers.
const POSITIONS: u16 = 0x7fff;

/// Most claims that a window holds.
pub(super) const MAX: usize = 32_000;

/// A resolved claim.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Resolved {
    /// Its key.
    pub claim: u64,
    /// How sure the agent was.
    pub confidence: f64,
    /// Whether it was right.
    pub correct: bool,
    /// Its stratum.
    pub stratum: u8,
}

#[derive(Clone, Copy, Debug)]
struct Tag {
    node: u16,
    stratum: u8,
    correct: bool,
}

/// A sliding window: 12 bytes a claim, 2 to 5 for the index by key, and 17 for each distinct confidence.
#[derive(Clone, Debug, Default)]
pub(super) struct Window {
    claims: VecDeque<u64>,
    tags: VecDeque<Tag>,
    /// Sequence number of the oldest claim, modulo 2¹⁵.
    first: u16,
    index: Index,
    ranks: Ranks,
    sums: Sums,
}

impl Window {
    /// How many claims.
    pub fn len(&self) -> usize {
        self.claims.len()
    }

    /// Whether a claim is in the window.
    pub fn contains(&self, claim: u64) -> bool {
        self.index.find(claim, |position| key_at(&self.claims, self.first, position)).is_some()
    }

    /// See [`crate::analyze::ahead`].
    pub fn ahead(&self) {
        fetch(Some(&self.claims));
        fetch(Some(&self.tags));
        fetch(Some(&self.index));
        fetch(Some(&self.ranks));
        self.sums.ahead();
    }

    /// The same for what that points to.
    pub fn ahead_further(&self, claim: u64) {
        self.index.ahead(claim);
        fetch(self.claims.back());
        fetch(self.claims.front());
        fetch(self.tags.back());
        fetch(self.tags.front());
        self.ranks.ahead();
    }

    /// The same for what is behind that.
    pub fn ahead_last(&self, claim: u64) {
        let claims = |position| self.claims.get(usize::from(position_of(self.first, position)));
        fetch(self.index.first(claim).and_then(claims));
    }

    /// The same for what is looked at when it is judged.
    pub fn ahead_of_judging(&self) {
        self.ranks.ahead();
    }

    /// Adds a claim that is not in the window. There is room below [`MAX`].
    pub fn push(&mut self, claim: Resolved) {
        let position = (self.first + self.len() as u16) & POSITIONS;
        self.index.insert(claim.claim, position, |position| key_at(&self.claims, self.first, position));
        self.sums.add(claim.confidence, claim.correct);
        let node = self.ranks.add(claim.confidence, claim.correct);
        self.claims.push_back(claim.claim);
        self.tags.push_back(Tag { node, stratum: claim.stratum, correct: claim.correct });
    }

    /// Removes the oldest claim.
    pub fn pop(&mut self) -> Option<Resolved> {
        let (&claim, &tag) = (self.claims.front()?, self.tags.front()?);
        let resolved = self.resolved(claim, tag);
        self.index.remove(claim, |position| key_at(&self.claims, self.first, position));
        self.sums.remove(resolved.confidence, resolved.correct);
        self.ranks.remove(tag.node, resolved.correct);
        self.claims.pop_front();
        self.tags.pop_front();
        self.first = (self.first + 1) & POSITIONS;
        Some(resolved)
    }

    /// The claims, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = Resolved> + '_ {
        self.claims.iter().zip(&self.tags).map(|(&claim, &tag)| self.resolved(claim, tag))
    }

    /// Sums over the claims.
    pub fn sums(&self) -> &Sums {
        &self.sums
    }

    /// The claims in order of confidence.
    pub fn ranks(&self) -> &Ranks {
        &self.ranks
    }

    /// Bytes on the heap.
    pub fn heap_bytes(&self) -> usize {
        self.claims.capacity() * size_of::<u64>()
            + self.tags.capacity() * size_of::<Tag>()
            + self.index.heap_bytes()
            + self.ranks.heap_bytes()
    }

    fn resolved(&self, claim: u64, tag: Tag) -> Resolved {
        let confidence = self.ranks.confidence(tag.node);
        Resolved { claim, confidence, correct: tag.correct, stratum: tag.stratum }
    }
}

/// The key at a position; the index asks only for positions that are in the window.
fn key_at(claims: &VecDeque<u64>, first: u16, position: u16) -> u64 {
    claims.get(usize::from(position_of(first, position))).copied().unwrap_or_default()
}

/// How far behind the oldest claim a position is.
fn position_of(first: u16, position: u16) -> u16 {
    position.wrapping_sub(first) & POSITIONS
}
