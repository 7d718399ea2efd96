//! Claims that wait for their verdict, and verdicts that came before their claim.

use std::time::Duration;

use crate::analyze::ahead::fetch;
use crate::analyze::index::Index;
use crate::domain::Timestamp;

const NIL: u16 = u16::MAX;

/// Most that can wait at a time.
pub(super) const MAX: usize = 32_000;

/// One half of a pair, waiting for the other.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Waiting {
    /// The claim's key.
    pub claim: u64,
    /// When it came, by the sender's clock.
    pub at: Timestamp,
    /// What it is.
    pub half: Half,
}

/// Which half of a pair.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Half {
    /// A claim: its confidence and its stratum.
    Claim(f64, u8),
    /// A verdict: whether the claim was right.
    Verdict(bool),
}

/// [`Waiting`] laid flat, to 32 bytes with its neighbours in the queue.
#[derive(Clone, Copy, Debug)]
struct Entry {
    claim: u64,
    at: Timestamp,
    confidence: f64,
    half: Tag,
    stratum: u8,
    older: u16,
    newer: u16,
}

#[derive(Clone, Copy, Debug)]
enum Tag {
    Claim,
    Right,
    Wrong,
}

impl Entry {
    fn new(Waiting { claim, at, half }: Waiting, older: u16) -> Self {
        let (half, confidence, stratum) = match half {
            Half::Claim(confidence, stratum) => (Tag::Claim, confidence, stratum),
            Half::Verdict(true) => (Tag::Right, 0.0, 0),
            Half::Verdict(false) => (Tag::Wrong, 0.0, 0),
        };
        Self { claim, at, confidence, half, stratum, older, newer: NIL }
    }

    fn waiting(&self) -> Waiting {
        let half = match self.half {
            Tag::Claim => Half::Claim(self.confidence, self.stratum),
            Tag::Right => Half::Verdict(true),
            Tag::Wrong => Half::Verdict(false),
        };
        Waiting { claim: self.claim, at: self.at, half }
    }
}

/// A bounded queue by order of arrival, from whose middle anything can be taken by key. O(1) a call.
#[derive(Clone, Debug)]
pub(super) struct Pending {
    entries: Vec<Entry>,
    /// Head of the list of unused entries, linked by `newer`.
    free: u16,
    oldest: u16,
    newest: u16,
    len: usize,
    index: Index,
}

impl Default for Pending {
    fn default() -> Self {
        Self { entries: Vec::new(), free: NIL, oldest: NIL, newest: NIL, len: 0, index: Index::default() }
    }
}

impl Pending {
    /// How many wait.
    pub fn len(&self) -> usize {
        self.len
    }

    /// What waits under a key.
    pub fn get(&self, claim: u64) -> Option<Half> {
        self.find(claim).map(|at| self.entries[usize::from(at)].waiting().half)
    }

    /// Adds something under a key that is not in yet.
    pub fn push(&mut self, waiting: Waiting) {
        let entry = Entry::new(waiting, self.newest);
        let at = if self.free == NIL {
            self.entries.push(entry);
            (self.entries.len() - 1) as u16
        } else {
            let at = self.free;
            self.free = self.entries[usize::from(at)].newer;
            self.entries[usize::from(at)] = entry;
            at
        };
        match self.newest {
            NIL => self.oldest = at,
            newest => self.entries[usize::from(newest)].newer = at,
        }
        self.newest = at;
        self.len += 1;
        self.index.insert(waiting.claim, at, |at| self.entries[usize::from(at)].claim);
    }

    /// See [`crate::analyze::ahead`].
    pub fn ahead(&self) {
        fetch(Some(&self.entries));
        fetch(Some(&self.index));
        fetch(Some(&self.oldest));
    }

    /// The same for what that points to.
    pub fn ahead_further(&self, claim: u64) {
        self.index.ahead(claim);
        for at in [self.oldest, self.newest, self.free] {
            fetch(self.entries.get(usize::from(at)));
        }
    }

    /// The same for what is behind that.
    pub fn ahead_last(&self, claim: u64) {
        fetch(self.index.first(claim).and_then(|at| self.entries.get(usize::from(at))));
    }

    /// Takes what waits under a key.
    pub fn take(&mut self, claim: u64) -> Option<Waiting> {
        let at = self.find(claim)?;
        self.index.remove(claim, |at| self.entries[usize::from(at)].claim);
        let entry = self.entries[usize::from(at)];
        let Entry { older, newer, .. } = entry;
        match older {
            NIL => self.oldest = newer,
            older => self.entries[usize::from(older)].newer = newer,
        }
        match newer {
            NIL => self.newest = older,
            newer => self.entries[usize::from(newer)].older = older,
        }
        self.entries[usize::from(at)].newer = self.free;
        self.free = at;
        self.len -= 1;
        Some(entry.waiting())
    }

    /// Takes the oldest, if there are more than `most` or it came longer than `expiry` before `now`.
    pub fn take_overdue(&mut self, now: Timestamp, expiry: Duration, most: usize) -> Option<Waiting> {
        let oldest = self.entries.get(usize::from(self.oldest))?;
        let claim = oldest.claim;
        let overdue = self.len > most || now.since(oldest.at) > expiry;
        if overdue { self.take(claim) } else { None }
    }

    /// What waits, in order of arrival.
    pub fn iter(&self) -> impl Iterator<Item = Waiting> + '_ {
        let mut at = self.oldest;
        std::iter::from_fn(move || {
            let entry = self.entries.get(usize::from(at))?;
            at = entry.newer;
            Some(entry.waiting())
        })
    }

    /// Bytes on the heap.
    pub fn heap_bytes(&self) -> usize {
        self.entries.capacity() * size_of::<Entry>() + self.index.heap_bytes()
    }

    fn find(&self, claim: u64) -> Option<u16> {
        self.index.find(claim, |at| self.entries[usize::from(at)].claim)
    }
}
