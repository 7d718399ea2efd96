//! What this pod let in.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::fmt;
use std::time::Duration;

use parking_lot::Mutex;

use super::Name;
use crate::auth::Refusal;
use crate::domain::Timestamp;

/// Expired names that one call forgets at most: it makes more room than the call takes, while a call after a long quiet
/// does not hold up the others.
const FORGET_AT_ONCE: usize = 32;

/// Names that were used. What is still valid is never forgotten: when the guard is full of it, nothing further is let in.
pub(super) struct LocalGuard {
    capacity: usize,
    leeway: Duration,
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    names: HashMap<Name, Use>,
    /// The same names by the time from which they need not be remembered.
    by_end: BinaryHeap<Reverse<(Timestamp, Name)>>,
    /// The latest time that was handed in. What was forgotten by then stays refused even if the clock is set back.
    latest: Timestamp,
}

/// What became of a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Use {
    Used,
    /// It was given back, and keeps its place until it expires.
    Released,
}

impl LocalGuard {
    /// A guard for so many names at a time; they are remembered for `leeway` beyond their expiry, as long as they might
    /// be accepted.
    pub(super) fn new(capacity: usize, leeway: Duration) -> Self {
        Self { capacity, leeway, seen: Mutex::default() }
    }

    /// Uses a name up.
    pub(super) fn consume(&self, name: Name, expires: Timestamp, now: Timestamp) -> Result<(), Refusal> {
        let end = expires.plus(self.leeway);
        let mut seen = self.seen.lock();
        seen.forget_until(now);
        if end <= seen.latest {
            return Err(Refusal::Expired);
        }
        let full = seen.names.len() >= self.capacity;
        match seen.names.get_mut(&name) {
            Some(Use::Used) => Err(Refusal::Replayed),
            Some(released) => {
                *released = Use::Used;
                Ok(())
            }
            None if full => Err(Refusal::GuardFull),
            None => {
                seen.names.insert(name, Use::Used);
                seen.by_end.push(Reverse((end, name)));
                Ok(())
            }
        }
    }

    /// Gives a name back that was not used after all.
    pub(super) fn release(&self, name: Name) {
        if let Some(used) = self.seen.lock().names.get_mut(&name) {
            *used = Use::Released;
        }
    }

    /// The names in use that are still valid, with their expiry.
    pub(super) fn alive(&self, now: Timestamp) -> Vec<(Name, Timestamp)> {
        let seen = self.seen.lock();
        let used = |name: &Name| seen.names.get(name) == Some(&Use::Used);
        let alive = seen.by_end.iter().filter(|Reverse((end, name))| *end > now && used(name));
        alive.map(|Reverse((end, name))| (*name, end.minus(self.leeway))).collect()
    }

    fn len(&self) -> usize {
        self.seen.lock().names.len()
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

impl fmt::Debug for LocalGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalGuard").field("capacity", &self.capacity).field("len", &self.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;

    use proptest::prelude::*;

    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_nanos(seconds * 1_000_000_000)
    }

    const A: Name = 1;
    const B: Name = 2;
    const C: Name = 3;

    fn guard(capacity: usize) -> LocalGuard {
        LocalGuard::new(capacity, Duration::from_secs(30))
    }

    #[test]
    fn a_name_is_good_once_until_it_expires() {
        let guard = guard(8);
        assert_eq!(guard.consume(A, at(100), at(0)), Ok(()));
        assert_eq!(guard.consume(A, at(100), at(129)), Err(Refusal::Replayed));
        assert_eq!(guard.consume(B, at(100), at(129)), Ok(()));
        assert_eq!(guard.consume(A, at(100), at(130)), Err(Refusal::Expired));
        assert_eq!(guard.len(), 0);
    }

    #[test]
    fn a_clock_set_back_reopens_nothing() {
        let guard = guard(8);
        assert_eq!(guard.consume(A, at(100), at(0)), Ok(()));
        assert_eq!(guard.consume(B, at(900), at(500)), Ok(()));
        assert_eq!(guard.consume(A, at(100), at(1)), Err(Refusal::Expired));
    }

    #[test]
    fn when_full_the_living_are_kept_and_the_new_refused() {
        let guard = guard(2);
        assert_eq!(guard.consume(A, at(100), at(0)), Ok(()));
        assert_eq!(guard.consume(B, at(200), at(0)), Ok(()));
        assert_eq!(guard.consume(C, at(100), at(0)), Err(Refusal::GuardFull));
        assert_eq!(guard.consume(A, at(100), at(0)), Err(Refusal::Replayed));
        assert_eq!(guard.consume(C, at(300), at(130)), Ok(()));
        assert_eq!(guard.consume(B, at(200), at(130)), Err(Refusal::Replayed));
    }

    #[test]
    fn what_is_given_back_can_be_used_once_more_and_takes_no_second_place() {
        let guard = guard(2);
        for _ in 0..100 {
            assert_eq!(guard.consume(A, at(100), at(0)), Ok(()));
            assert_eq!(guard.consume(A, at(100), at(0)), Err(Refusal::Replayed));
            guard.release(A);
            assert_eq!(guard.alive(at(0)), []);
        }
        assert_eq!(guard.consume(A, at(100), at(0)), Ok(()));
        assert_eq!((guard.alive(at(0)), guard.seen.lock().by_end.len()), (vec![(A, at(100))], 1));
        assert_eq!(guard.consume(B, at(200), at(131)), Ok(()));
        assert_eq!((guard.alive(at(131)), guard.len()), (vec![(B, at(200))], 1));
    }

    #[test]
    fn of_many_at_once_one_wins() {
        let guard = guard(8);
        let start = Barrier::new(16);
        let admitted = std::thread::scope(|scope| {
            let race = || {
                start.wait();
                guard.consume(A, at(100), at(0)).is_ok()
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
                let first = guard.consume(u128::from(name), at(end), at(now));
                let second = guard.consume(u128::from(name), at(end), at(now));
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
