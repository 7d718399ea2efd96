//! When an agent is judged although nothing came in.
//!
//! The engine notes the soonest moment of each agent. A later one than the one noted can wait until that has come: the
//! queue holds few entries an agent, and what is noted is often no longer due by then. So what has come due is asked
//! first, and no more than that is judged.

use std::time::Duration;

use xxhash_rust::xxh3::xxh3_64;

use super::agent::AgentState;
use super::config::Config;
use super::touched::Touched;
use crate::domain::{AgentId, InsightKind, Timestamp};

impl AgentState {
    /// What time alone has changed at `now`, since `noted` was the soonest moment at which it could.
    pub(super) fn come_due(&self, spread: Spread, noted: Timestamp, now: Timestamp, config: &Config) -> Touched {
        let (instant, spread) = (Duration::from_nanos(1), spread.get());
        let has_come = |due: Option<Timestamp>| due.is_some_and(|due| due <= now);
        let before = noted.minus(instant);
        if has_come(self.next_due_but_load(before, config)) || has_come(self.drift.next_due(before, &config.drift)) {
            return Touched::ALL;
        }
        let load = self.load.next_due(before.minus(spread)).map(|due| due.plus(spread));
        if has_come(load) { Touched::LOAD } else { Touched::default() }
    }

    /// When it has to be judged again although nothing came in, as far as that may be sooner than was noted: what was not
    /// touched is due when it was, and costs no look.
    pub(super) fn next_due(
        &self,
        spread: Spread,
        now: Timestamp,
        touched: Touched,
        config: &Config,
    ) -> Option<Timestamp> {
        let nothing_noted = self.due.is_none();
        let series = touched.has(Touched::SERIES) || nothing_noted;
        let load = touched.has(Touched::LOAD) || nothing_noted;
        let load = load.then(|| {
            let spread = spread.get();
            // What was looked at just now is next due after now; what was not, after when it was shown last.
            let shown = if touched.has(Touched::LOAD) { now } else { now.minus(spread) };
            self.load.next_due(shown).map(|due| due.plus(spread))
        });
        [
            self.next_due_but_load(now, config),
            series.then(|| self.drift.next_due(now, &config.drift)).flatten(),
            load.flatten(),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    fn next_due_but_load(&self, now: Timestamp, config: &Config) -> Option<Timestamp> {
        [
            Some(self.last_seen.plus(config.idle_after)),
            self.damper.next_due(),
            self.next_lapse(config),
            self.progress.next_due(now, &config.progress),
            self.silence.next_due(now, &config.silence),
        ]
        .into_iter()
        .flatten()
        .filter(|due| *due > now)
        .min()
    }

    /// When [`Self::lapse`] next has something to do.
    fn next_lapse(&self, config: &Config) -> Option<Timestamp> {
        let looping = self.looping.iter().filter_map(|key| Some(self.sessions.get(*key)?.last_seen));
        let failing = |kind: InsightKind| matches!(kind, InsightKind::Blocked | InsightKind::ErrorStreak);
        let failing = self.open.iter().any(|(kind, _)| failing(*kind)).then_some(self.last_seen);
        looping.chain(failing).min().map(|seen| seen.plus(config.silence.ended_after))
    }
}

/// How long after its load changed by time alone an agent is judged, in milliseconds. The windows of all agents move on
/// at the same moments, and ten thousand judged in one beat would take it whole.
#[derive(Debug, Clone, Copy)]
pub(super) struct Spread(u16);

impl Spread {
    const LONGEST_MS: u64 = 5000;

    /// That of an agent, by its name.
    pub(super) fn of(agent: &AgentId) -> Self {
        Self((xxh3_64(agent.as_str().as_bytes()) % Self::LONGEST_MS) as u16)
    }

    fn get(self) -> Duration {
        Duration::from_millis(u64::from(self.0))
    }
}
