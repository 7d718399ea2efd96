use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashSet};
use std::fmt;
use std::time::Duration;

use parking_lot::Mutex;
use xxhash_rust::xxh3::xxh3_128_with_seed;

use super::{Identity, Refusal};
use crate::domain::Timestamp;

/// Expired names that one call forgets at most: it makes more room than the call takes, while a call after a long quiet
/// does not hold up the others.
const FORGET_AT_ONCE: usize = 32;

/// Lets a token open one stream, and a ticket reopen one, until it expires.
///
/// What is still valid is never forgotten: when the guard is full of it, nothing further is let in. Names are kept as
/// 128-bit hashes under a random seed, so that memory is bounded by the capacity alone; two names with the same hash
/// would refuse one good token, never admit a bad one.
pub struct ReplayGuard {
    capacity: usize,
    leeway: Duration,
    seed: u64,
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    names: HashSet<u128>,
    /// The same names by the time from which they need not be remembered.
    by_end: BinaryHeap<Reverse<(Timestamp, u128)>>,
    /// The latest time that was handed in. What was forgotten by then stays refused even if the clock is set back.
    latest: Timestamp,
}

/// What a name names; a token's cannot pass for a ticket's.
#[derive(Clone, Copy)]
pub(super) enum Sort {
    Token,
    Ticket,
}

impl ReplayGuard {
    /// A guard for so many names at a time; tokens are remembered for `leeway` beyond their expiry, as long as they
    /// might be accepted.
    pub fn new(capacity: usize, leeway: Duration) -> Self {
        Self { capacity, leeway, seed: rand::random(), seen: Mutex::default() }
    }

    /// Lets a token in, once.
    ///
    /// # Errors
    /// [`Refusal::Replayed`] the second time, [`Refusal::Expired`], [`Refusal::GuardFull`].
    pub fn consume(&self, jti: &str, expires: Timestamp, now: Timestamp) -> Result<(), Refusal> {
        self.consume_once(Sort::Token, jti, expires, now)
    }

    /// Lets the token of an identity in, once.
    ///
    /// # Errors
    /// As [`Self::consume`], and [`Refusal::MissingTokenId`] when it has no `jti`.
    pub fn admit(&self, identity: &Identity, now: Timestamp) -> Result<(), Refusal> {
        let jti = identity.jti.as_deref().ok_or(Refusal::MissingTokenId)?;
        self.consume(jti, identity.expires, now)
    }

    /// How many names are remembered, some expired ones perhaps among them.
    pub fn len(&self) -> usize {
        self.seen.lock().names.len()
    }

    /// Whether no name is remembered.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(super) fn consume_once(
        &self,
        sort: Sort,
        name: &str,
        expires: Timestamp,
        now: Timestamp,
    ) -> Result<(), Refusal> {
        let key = xxh3_128_with_seed(name.as_bytes(), self.seed.wrapping_add(sort as u64));
        let end = expires.plus(self.leeway);
        let mut seen = self.seen.lock();
        seen.forget_until(now);
        if end <= seen.latest {
            return Err(Refusal::Expired);
        }
        if seen.names.contains(&key) {
            return Err(Refusal::Replayed);
        }
        if seen.names.len() >= self.capacity {
            return Err(Refusal::GuardFull);
        }
        seen.names.insert(key);
        seen.by_end.push(Reverse((end, key)));
        Ok(())
    }
}

impl Seen {
    fn forget_until(&mut self, now: Timestamp) {
        self.latest = self.latest.max(now);
        for _ in 0..FORGET_AT_ONCE {
            let Some(&Reverse((end, key))) = self.by_end.peek() else { break };
            if end > self.latest {
                break;
            }
            self.by_end.pop();
            self.names.remove(&key);
        }
    }
}

impl fmt::Debug for ReplayGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReplayGuard")
            .field("capacity", &self.capacity)
            .field("len", &self.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::sync::Barrier;

    use proptest::prelude::*;

    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_nanos(seconds * 1_000_000_000)
    }

    fn guard(capacity: usize) -> ReplayGuard {
        ReplayGuard::new(capacity, Duration::from_secs(30))
    }

    #[test]
    fn a_name_is_good_once_until_it_expires() {
        let guard = guard(8);
        assert_eq!(guard.consume("a", at(100), at(0)), Ok(()));
        assert_eq!(guard.consume("a", at(100), at(129)), Err(Refusal::Replayed));
        assert_eq!(guard.consume("b", at(100), at(129)), Ok(()));
        assert_eq!(guard.consume("a", at(100), at(130)), Err(Refusal::Expired));
        assert!(guard.is_empty());
    }

    #[test]
    fn a_clock_set_back_reopens_nothing() {
        let guard = guard(8);
        assert_eq!(guard.consume("a", at(100), at(0)), Ok(()));
        assert_eq!(guard.consume("b", at(900), at(500)), Ok(()));
        assert_eq!(guard.consume("a", at(100), at(1)), Err(Refusal::Expired));
    }

    #[test]
    fn when_full_the_living_are_kept_and_the_new_refused() {
        let guard = guard(2);
        assert_eq!(guard.consume("a", at(100), at(0)), Ok(()));
        assert_eq!(guard.consume("b", at(200), at(0)), Ok(()));
        assert_eq!(guard.consume("c", at(100), at(0)), Err(Refusal::GuardFull));
        assert_eq!(guard.consume("a", at(100), at(0)), Err(Refusal::Replayed));
        assert_eq!(guard.consume("c", at(300), at(130)), Ok(()));
        assert_eq!(guard.consume("b", at(200), at(130)), Err(Refusal::Replayed));
    }

    #[test]
    fn tokens_and_tickets_have_names_of_their_own() {
        let guard = guard(8);
        assert_eq!(guard.consume_once(Sort::Token, "a", at(100), at(0)), Ok(()));
        assert_eq!(guard.consume_once(Sort::Ticket, "a", at(100), at(0)), Ok(()));
        assert_eq!(guard.consume_once(Sort::Ticket, "a", at(100), at(0)), Err(Refusal::Replayed));
    }

    #[test]
    fn of_many_at_once_one_wins() {
        let guard = guard(8);
        let start = Barrier::new(16);
        let admitted = std::thread::scope(|scope| {
            let race = || {
                start.wait();
                guard.consume("a", at(100), at(0)).is_ok()
            };
            let runners: Vec<_> = (0..16).map(|_| scope.spawn(race)).collect();
            runners.into_iter().map(|runner| usize::from(runner.join().unwrap())).sum::<usize>()
        });
        assert_eq!(admitted, 1);
    }

    proptest! {
        #[test]
        fn agrees_with_a_guard_that_forgets_nothing(uses in prop::collection::vec((0u8..12, 0i64..400, 0i64..20), 1..200)) {
            let guard = guard(6);
            let mut ends: HashMap<u8, i64> = HashMap::new();
            let mut now = 0;
            for (name, lifetime, step) in uses {
                now += step;
                // The same token always has the same expiry.
                let end = *ends.entry(name).or_insert(now + lifetime);
                let first = guard.consume(&name.to_string(), at(end), at(now));
                let second = guard.consume(&name.to_string(), at(end), at(now));
                prop_assert!(second.is_err());
                if first.is_ok() {
                    prop_assert_eq!(second, Err(Refusal::Replayed));
                }
                prop_assert!(guard.len() <= 6);
                prop_assert_eq!(now >= end + 30, first == Err(Refusal::Expired));
            }
        }
    }
}
