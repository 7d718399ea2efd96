//! Keeps insights that come back again and again from flapping.
//!
//! Each analyzer has a hysteresis of its own. What still opens, resolves and opens again soon (an outage that lets one
//! call in ten through) is one trouble, not many: the more often an insight came back, the longer it stays open after
//! its analyzer has called it over. The first time, it resolves at once.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::domain::{InsightKind, Timestamp};

/// An insight that opens this soon after it resolved has come back.
const SOON: Duration = Duration::from_secs(600);
/// How long one that came back once stays open after it is over; it doubles each time...
const FIRST_HOLD: Duration = Duration::from_secs(15);
/// ...up to two minutes.
const MOST_DOUBLINGS: u32 = 3;

/// What is remembered of an agent's insights that resolved lately.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Damper(Vec<Flap>);

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Flap {
    kind: InsightKind,
    /// How often it came back soon.
    returns: u32,
    resolved: Timestamp,
    /// Since when it has been over, while it is held open.
    over_since: Option<Timestamp>,
}

impl Damper {
    /// Takes in that an insight opened.
    pub(super) fn opened(&mut self, kind: InsightKind, now: Timestamp) {
        // What holds an insight open stays until that resolves.
        self.0.retain(|flap| flap.over_since.is_some() || now.since(flap.resolved) < SOON);
        if let Some(flap) = self.find(kind) {
            flap.returns = flap.returns.saturating_add(1);
            flap.over_since = None;
        }
    }

    /// Takes in that an open insight is so.
    pub(super) fn holds(&mut self, kind: InsightKind) {
        if let Some(flap) = self.find(kind) {
            flap.over_since = None;
        }
    }

    /// Whether an open insight that is over resolves now.
    pub(super) fn resolves(&mut self, kind: InsightKind, now: Timestamp) -> bool {
        match self.find(kind) {
            Some(flap) => {
                let over_since = *flap.over_since.get_or_insert(now);
                let over = now.since(over_since) >= flap.hold();
                if over {
                    (flap.resolved, flap.over_since) = (now, None);
                }
                over
            }
            None => {
                self.0.push(Flap { kind, returns: 0, resolved: now, over_since: None });
                true
            }
        }
    }

    /// Whether an open insight is over, and held open.
    pub(super) fn is_held(&self, kind: InsightKind) -> bool {
        self.0.iter().any(|flap| flap.kind == kind && flap.over_since.is_some())
    }

    /// When an insight that is held open resolves.
    pub(super) fn next_due(&self) -> Option<Timestamp> {
        self.0.iter().filter_map(|flap| Some(flap.over_since?.plus(flap.hold()))).min()
    }

    fn find(&mut self, kind: InsightKind) -> Option<&mut Flap> {
        self.0.iter_mut().find(|flap| flap.kind == kind)
    }
}

impl Flap {
    fn hold(&self) -> Duration {
        match self.returns {
            0 => Duration::ZERO,
            returns => FIRST_HOLD.saturating_mul(1 << (returns - 1).min(MOST_DOUBLINGS)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KIND: InsightKind = InsightKind::Blocked;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::EPOCH.plus(Duration::from_secs(seconds))
    }

    #[test]
    fn what_comes_back_stays_longer_each_time() {
        let mut damper = Damper::default();
        let (mut now, mut held) = (1000, Vec::new());
        for _ in 0..9 {
            damper.opened(KIND, at(now));
            now += 5;
            let over = now;
            while !damper.resolves(KIND, at(now)) {
                assert_eq!(damper.next_due(), Some(at(over).plus(damper.0[0].hold())));
                now += 1;
            }
            held.push(now - over);
            assert_eq!(damper.next_due(), None);
            now += 20;
        }
        assert_eq!(held, [0, 15, 30, 60, 120, 120, 120, 120, 120]);
    }

    #[test]
    fn to_be_so_again_starts_the_wait_anew() {
        let mut damper = Damper::default();
        damper.opened(KIND, at(0));
        assert!(damper.resolves(KIND, at(1)));
        damper.opened(KIND, at(2));
        assert!(!damper.resolves(KIND, at(10)));
        damper.holds(KIND);
        assert!(!damper.resolves(KIND, at(25)));
        assert!(damper.resolves(KIND, at(40)));
    }

    #[test]
    fn what_is_held_is_not_forgotten() {
        let mut damper = Damper::default();
        damper.opened(KIND, at(0));
        assert!(damper.resolves(KIND, at(1)));
        damper.opened(KIND, at(2));
        assert!(!damper.resolves(KIND, at(700)));
        damper.opened(InsightKind::Stalled, at(705));
        assert!(damper.is_held(KIND) && !damper.resolves(KIND, at(710)));
        assert!(damper.resolves(KIND, at(715)) && !damper.is_held(KIND));
    }

    #[test]
    fn after_a_while_all_is_forgotten() {
        let mut damper = Damper::default();
        for start in [0, 10_000] {
            damper.opened(KIND, at(start));
            assert!(damper.resolves(KIND, at(start + 5)));
        }
        assert_eq!(damper.0.len(), 1);
    }
}
