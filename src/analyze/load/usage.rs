//! What one agent's model calls consume: tokens, cost, and room in the context window.

use std::mem::offset_of;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::analyze::ahead::{fetch, fetch_whole};
use crate::domain::{SessionKey, Timestamp};

/// Sessions followed at once; the one that was quiet for longest makes room.
const MAX_SESSIONS: usize = 16;
/// Sessions count while they are at most this much older than the newest.
const CONCURRENT: Duration = Duration::from_secs(600);
/// An agent that consumed nothing for this long is no longer loaded.
const ACTIVE: Duration = Duration::from_secs(1800);
/// Larger costs are taken for errors of the sender; sums stay finite.
const MAX_COST: f64 = 1e15;

#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(super) struct Usage {
    pub(super) input_tokens: u64,
    pub(super) output_tokens: u64,
    minute: Sliding<5>,
    spent: Option<Spent>,
    sessions: Vec<Session>,
    last: Timestamp,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Spent {
    cost: f64,
    hour: Sliding<300>,
    since: Timestamp,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Session {
    key: SessionKey,
    last: Timestamp,
    cost: f64,
    /// Size of the context window as last told; 0 while not known.
    window: u64,
    fill: Option<f64>,
}

impl Usage {
    pub(super) fn observe(&mut self, call: &Call, session: SessionKey, at: Timestamp) {
        self.input_tokens = self.input_tokens.saturating_add(call.input_tokens);
        self.output_tokens = self.output_tokens.saturating_add(call.output_tokens);
        self.minute.add(call.input_tokens.saturating_add(call.output_tokens) as f64, at);
        self.last = self.last.max(at);
        let cost = call.cost.filter(|cost| (0.0..=MAX_COST).contains(cost));
        if let Some(cost) = cost {
            let spent = self.spent.get_or_insert_with(|| Spent { cost: 0.0, hour: Sliding::default(), since: at });
            spent.cost += cost;
            spent.hour.add(cost, at);
        }
        let session = self.session(session);
        session.last = session.last.max(at);
        session.cost += cost.unwrap_or(0.0);
        session.window = call.context_window.unwrap_or(session.window);
        if session.window > 0 {
            session.fill = Some((call.input_tokens as f64 / session.window as f64).min(1.0));
        }
    }

    /// See [`crate::analyze::ahead`].
    pub(super) fn ahead(&self) {
        fetch_whole::<Self, _>(&self.last, offset_of!(Self, last));
    }

    /// The same for what that points to.
    pub(super) fn ahead_further(&self) {
        fetch(self.sessions.first());
        fetch(self.sessions.last().map(|session| &session.fill));
    }

    fn session(&mut self, key: SessionKey) -> &mut Session {
        let place = self.sessions.iter().position(|session| session.key == key).unwrap_or_else(|| {
            let quietest = || self.sessions.iter().enumerate().min_by_key(|(_, session)| session.last);
            let fresh = Session { key, last: Timestamp::EPOCH, cost: 0.0, window: 0, fill: None };
            match quietest().map(|(place, _)| place).filter(|_| self.sessions.len() >= MAX_SESSIONS) {
                Some(place) => {
                    self.sessions[place] = fresh;
                    place
                }
                None => {
                    self.sessions.push(fresh);
                    self.sessions.len() - 1
                }
            }
        });
        &mut self.sessions[place]
    }

    /// Tokens in the last minute, in steps of five seconds.
    pub(super) fn tokens_per_minute(&self, now: Timestamp) -> f64 {
        self.minute.sum(now)
    }

    /// The fullest context window of the sessions that run now.
    pub(super) fn context_fill(&self) -> Option<f64> {
        self.concurrent().filter_map(|session| session.fill).reduce(f64::max)
    }

    pub(super) fn cost(&self) -> Option<f64> {
        self.spent.as_ref().map(|spent| spent.cost)
    }

    /// Cost of the last hour; in the first hour, what it would be at the pace so far (over at least five minutes).
    pub(super) fn cost_per_hour(&self, now: Timestamp) -> Option<f64> {
        let spent = self.spent.as_ref()?;
        Some(spent.hour.sum(now) / spent.hour.share_of_window(spent.since, now))
    }

    /// Cost an hour, once a quarter of an hour has shown it.
    pub(super) fn pace(&self, now: Timestamp) -> Option<f64> {
        let spent = self.spent.as_ref()?;
        let shown = spent.hour.share_of_window(spent.since, now) >= 0.25;
        self.cost_per_hour(now).filter(|_| shown)
    }

    /// The dearest of the sessions that run now.
    pub(super) fn session_cost(&self) -> Option<f64> {
        self.spent.as_ref()?;
        self.concurrent().map(|session| session.cost).reduce(f64::max)
    }

    pub(super) fn is_active(&self, now: Timestamp) -> bool {
        now.since(self.last) < ACTIVE
    }

    pub(super) fn next_due(&self, now: Timestamp) -> Option<Timestamp> {
        let minute = self.minute.next_due(now);
        let hour = self.spent.as_ref().and_then(|spent| {
            let warming = spent.hour.share_of_window(spent.since, now) < 1.0 && spent.hour.sum(now) > 0.0;
            if warming { Some(Sliding::<300>::next_step(now)) } else { spent.hour.next_due(now) }
        });
        let idle = Some(self.last.plus(ACTIVE)).filter(|due| *due > now);
        [minute, hour, idle].into_iter().flatten().min()
    }

    fn concurrent(&self) -> impl Iterator<Item = &Session> {
        self.sessions.iter().filter(|session| self.last.since(session.last) < CONCURRENT)
    }
}

/// What one model call consumed, as [`crate::domain::Kind::Usage`] says it.
pub(super) struct Call {
    pub(super) input_tokens: u64,
    pub(super) output_tokens: u64,
    pub(super) cost: Option<f64>,
    pub(super) context_window: Option<u64>,
}

const STEPS: i64 = 12;

/// A sum over the last twelve steps of `SECONDS` each, the step that runs now included.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
struct Sliding<const SECONDS: i64> {
    /// The newest step that anything came in, counted from the epoch.
    newest: i64,
    sums: [f64; STEPS as usize],
}

impl<const SECONDS: i64> Sliding<SECONDS> {
    const NANOS: i64 = SECONDS * 1_000_000_000;

    fn step(at: Timestamp) -> i64 {
        at.as_nanos() / Self::NANOS
    }

    fn start(step: i64) -> Timestamp {
        Timestamp::from_nanos(step.saturating_mul(Self::NANOS))
    }

    fn next_step(now: Timestamp) -> Timestamp {
        Self::start(Self::step(now) + 1)
    }

    fn add(&mut self, amount: f64, at: Timestamp) {
        let step = Self::step(at);
        if step > self.newest {
            for passed in (self.newest + 1).max(step - STEPS + 1)..=step {
                self.sums[passed.rem_euclid(STEPS) as usize] = 0.0;
            }
            self.newest = step;
        }
        if step > self.newest - STEPS {
            self.sums[step.rem_euclid(STEPS) as usize] += amount;
        }
    }

    /// Steps in the window that ends now, with what came in them. A sender whose clock is ahead sets its own now.
    fn steps(&self, now: Timestamp) -> impl Iterator<Item = (i64, f64)> {
        let first = Self::step(now).max(self.newest) - STEPS + 1;
        (first..=self.newest).map(|step| (step, self.sums[step.rem_euclid(STEPS) as usize]))
    }

    fn sum(&self, now: Timestamp) -> f64 {
        self.steps(now).map(|(_, sum)| sum).sum()
    }

    /// How much of the window has passed since the first amount, from 1/12 to 1.
    fn share_of_window(&self, since: Timestamp, now: Timestamp) -> f64 {
        let passed = Self::step(now).max(self.newest) - Self::step(since) + 1;
        passed.clamp(1, STEPS) as f64 / STEPS as f64
    }

    /// When the sum next changes by time alone.
    fn next_due(&self, now: Timestamp) -> Option<Timestamp> {
        self.steps(now).find(|(_, sum)| *sum > 0.0).map(|(step, _)| Self::start(step + STEPS)).filter(|due| *due > now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::EPOCH.plus(Duration::from_secs(seconds))
    }

    #[test]
    fn a_minute_slides_in_steps() {
        let mut minute = Sliding::<5>::default();
        minute.add(100.0, at(1000));
        minute.add(50.0, at(1031));
        assert_eq!(minute.sum(at(1031)), 150.0);
        assert_eq!(minute.next_due(at(1031)), Some(at(1060)));
        assert_eq!(minute.sum(at(1059)), 150.0);
        assert_eq!(minute.sum(at(1060)), 50.0);
        assert_eq!(minute.sum(at(1090)), 0.0);
        assert_eq!(minute.next_due(at(1090)), None);
    }

    #[test]
    fn what_comes_late_counts_where_it_belongs_or_not_at_all() {
        let mut minute = Sliding::<5>::default();
        minute.add(1.0, at(1000));
        minute.add(2.0, at(960));
        minute.add(4.0, at(100));
        assert_eq!(minute.sum(at(1000)), 3.0);
        assert_eq!(minute.sum(at(1015)), 3.0);
        assert_eq!(minute.sum(at(1020)), 1.0);
        minute.add(8.0, at(9000));
        assert_eq!(minute.sum(at(9000)), 8.0);
    }
}
