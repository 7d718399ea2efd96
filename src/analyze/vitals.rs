//! The daemon's own condition: its heart, its analysis, its store, its slow clients.
//!
//! It is judged with the same machinery as the agents are. What it is told ([`Pulse`]) was measured by others.
//!
//! | figure | formula | window | when it moves |
//! | --- | --- | --- | --- |
//! | `skew_ms` | how late the last beat was | last beat | the machine is busy, or was paused |
//! | `continuity`, `missed` | beats on time / beats due, downtime included | life of the state | restarts and overload |
//! | `p50_ms`, `p95_ms` | analysis time of beats, exact | last 600 beats | more agents or observations than before |
//! | `per_second` | observations folded / whole seconds | last 10 s | load |
//! | `lag_beats` | beats not yet stored | now | Redis is slow or away |

mod recent;

use std::collections::VecDeque;
use std::time::Duration;

use recent::Recent;
use serde::{Deserialize, Serialize};

use crate::domain::{
    Assessment, BreakerState, Evidence, EvidenceKey, InsightKind, Severity, StoreMode, Timestamp, Word,
};

/// When the daemon's own condition deserves an insight.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// A beat is skewed when it is late by more than this share of the interval.
    pub skewed_share: f64,
    /// Lateness from which skew is critical.
    #[serde(with = "jiff::fmt::serde::unsigned_duration::friendly::compact::required")]
    pub critical_skew: Duration,
    /// The analysis overruns when it takes more than this share of the interval, or leaves observations behind.
    pub overrun_share: f64,
    /// Beats in a row that open an insight.
    pub open_after: u32,
    /// Beats in a row that resolve it.
    pub close_after: u32,
    /// Frames given up for slow clients within a minute, above which clients are slow.
    pub drops_per_minute: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            skewed_share: 0.5,
            critical_skew: Duration::from_millis(500),
            overrun_share: 0.5,
            open_after: 5,
            close_after: 50,
            drops_per_minute: 10,
        }
    }
}

/// What the heart measured around one beat.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pulse {
    /// Time between beats.
    pub interval: Duration,
    /// How late this beat is.
    pub lateness: Duration,
    /// Beats that were due since the last one and not made.
    pub missed: u64,
    /// How long the last beat's analysis took, if there was one.
    pub analysis: Option<Duration>,
    /// Observations that wait for a later beat.
    pub backlog: u64,
    /// The store as it stands.
    pub store: StoreFacts,
    /// The streams as they stand.
    pub clients: ClientFacts,
}

/// How the store does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoreFacts {
    /// Whether a Redis is configured.
    pub configured: bool,
    /// Where the state is kept now.
    pub mode: StoreMode,
    /// The breaker in front of Redis.
    pub breaker: BreakerState,
    /// Beats not yet stored.
    pub lag_beats: u64,
}

impl StoreFacts {
    /// A process with no Redis configured.
    pub const MEMORY_ONLY: Self =
        Self { configured: false, mode: StoreMode::Memory, breaker: BreakerState::Closed, lag_beats: 0 };
}

/// How the streams do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ClientFacts {
    /// Frames given up for slow clients since the process started.
    pub dropped: u64,
}

/// The daemon's condition over time.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Vitals {
    beats_due: u64,
    beats_on_time: u64,
    missed: u64,
    skew_ms: Option<f64>,
    interval_ms: f64,
    /// Analysis times of the last beats, milliseconds.
    analysis_ms: Recent,
    /// Observations folded in each of the last seconds, newest last, with the second they belong to.
    seconds: VecDeque<(u64, u64)>,
    store: Option<(StoreMode, BreakerState, u64)>,
    skewed: Run,
    overrun: Run,
    degraded: Run,
    backlog: u64,
    dropped_total: u64,
    /// Frames given up, by the second.
    drops: VecDeque<(u64, u64)>,
}

/// Counts beats in a row that were bad, or good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
struct Run {
    bad: u32,
    good: u32,
}

impl Run {
    fn step(&mut self, bad: bool) {
        *self = if bad {
            Self { bad: self.bad.saturating_add(1), good: 0 }
        } else {
            Self { bad: 0, good: self.good.saturating_add(1) }
        };
    }

    fn assess(self, open_after: u32, close_after: u32, raise: impl FnOnce() -> (Severity, Evidence)) -> Assessment {
        if self.bad >= open_after {
            let (severity, evidence) = raise();
            Assessment::Raise(severity, evidence)
        } else if self.good >= close_after {
            Assessment::Clear
        } else {
            Assessment::Hold
        }
    }
}

/// What is shown of the daemon; what is not known is `None`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Figures {
    /// Time between beats, milliseconds.
    pub interval_ms: Option<f64>,
    /// Lateness of the last beat, milliseconds.
    pub skew_ms: Option<f64>,
    /// Beats on time among beats due, downtime of a restart included, 0 to 1.
    pub continuity: Option<f64>,
    /// Beats that were due and not made.
    pub missed: u64,
    /// Median analysis time over the last minute of beats, milliseconds.
    pub p50_ms: Option<f64>,
    /// 95th percentile of the same.
    pub p95_ms: Option<f64>,
    /// Observations a second over the last ten seconds.
    pub per_second: Option<f64>,
    /// Where the state is kept, the breaker's state, and beats not yet stored.
    pub store: Option<(StoreMode, BreakerState, u64)>,
}

impl Vitals {
    /// Beats over which analysis times are summarised.
    const ANALYSIS_WINDOW: usize = 600;
    /// Seconds over which the rate of observations is taken.
    const RATE_WINDOW: u64 = 10;
    /// Kinds of insights about the daemon.
    pub const KINDS: [InsightKind; 4] =
        [InsightKind::HeartSkewed, InsightKind::AnalysisOverrun, InsightKind::StoreDegraded, InsightKind::ClientsSlow];

    /// Takes in one beat, in which `folded` observations were folded.
    pub fn beat(&mut self, now: Timestamp, folded: u64, pulse: &Pulse, config: &Config) {
        let interval = pulse.interval.as_secs_f64() * 1e3;
        let skew = pulse.lateness.as_secs_f64() * 1e3;
        self.interval_ms = interval;
        self.skew_ms = Some(skew);
        self.beats_due += 1 + pulse.missed;
        self.beats_on_time += 1;
        self.missed += pulse.missed;
        self.skewed.step(skew > interval * config.skewed_share);
        self.backlog = pulse.backlog;
        let analysis = pulse.analysis.map(|took| took.as_secs_f64() * 1e3);
        self.overrun.step(pulse.backlog > 0 || analysis.is_some_and(|ms| ms > interval * config.overrun_share));
        if let Some(ms) = analysis {
            self.analysis_ms.push(ms, Self::ANALYSIS_WINDOW);
        }
        let second = now.as_millis() / 1000;
        count(&mut self.seconds, second, folded, Self::RATE_WINDOW);
        // The total starts anew with the process; what it says then is all new.
        let fresh = pulse.clients.dropped.checked_sub(self.dropped_total).unwrap_or(pulse.clients.dropped);
        self.dropped_total = pulse.clients.dropped;
        count(&mut self.drops, second, fresh, 60);
        let StoreFacts { configured, mode, breaker, lag_beats } = pulse.store;
        self.store = Some((mode, breaker, lag_beats));
        self.degraded.step(configured && mode == StoreMode::Memory);
    }

    /// Takes in that the process was away for so long: beats were due all the while.
    pub fn absent(&mut self, duration: Duration, interval: Duration) {
        let due = duration.as_nanos().checked_div(interval.as_nanos()).unwrap_or(0);
        let due = u64::try_from(due).unwrap_or(u64::MAX);
        self.beats_due = self.beats_due.saturating_add(due);
        self.missed = self.missed.saturating_add(due);
    }

    /// Beats due over the life of the state, downtime included, and those of them that were made.
    pub fn beats(&self) -> (u64, u64) {
        (self.beats_due, self.beats_on_time)
    }

    /// Where the state is kept, the breaker's state, and beats not yet stored.
    pub fn store(&self) -> Option<(StoreMode, BreakerState, u64)> {
        self.store
    }

    /// What is shown.
    pub fn figures(&self) -> Figures {
        let span = match (self.seconds.front(), self.seconds.back()) {
            // The running second is not over, so it counts neither as time nor as observations.
            (Some((first, _)), Some((last, _))) if last > first => Some(last - first),
            _ => None,
        };
        let whole = |span: u64| {
            let counted: u64 = self.seconds.iter().take(self.seconds.len() - 1).map(|(_, count)| count).sum();
            counted as f64 / span as f64
        };
        Figures {
            interval_ms: (self.interval_ms > 0.0).then_some(self.interval_ms),
            skew_ms: self.skew_ms,
            continuity: (self.beats_due > 0).then(|| self.beats_on_time as f64 / self.beats_due as f64),
            missed: self.missed,
            p50_ms: self.analysis_ms.quantile(0.5),
            p95_ms: self.analysis_ms.quantile(0.95),
            per_second: span.map(whole),
            store: self.store,
        }
    }

    /// Judges one of [`Vitals::KINDS`].
    pub fn assess(&self, kind: InsightKind, config: &Config) -> Assessment {
        let (open_after, close_after) = (config.open_after, config.close_after);
        match kind {
            InsightKind::HeartSkewed => self.skewed.assess(open_after, close_after, || {
                let skew = self.skew_ms.unwrap_or(0.0);
                let critical = skew > config.critical_skew.as_secs_f64() * 1e3;
                let severity = if critical { Severity::Critical } else { Severity::Warning };
                let evidence =
                    Evidence::new().number(EvidenceKey::SkewMs, skew).count(EvidenceKey::Missed, self.missed);
                (severity, evidence)
            }),
            InsightKind::AnalysisOverrun => self.overrun.assess(open_after, close_after, || {
                let evidence = Evidence::new().count(EvidenceKey::Backlog, self.backlog);
                let p95 = self.figures().p95_ms;
                (Severity::Warning, p95.into_iter().fold(evidence, |e, ms| e.number(EvidenceKey::P95Ms, ms)))
            }),
            // A store that answers again is no longer degraded: nothing to wait for.
            InsightKind::StoreDegraded => self.degraded.assess(open_after, 1, || {
                let evidence = match self.store {
                    Some((_, BreakerState::Open, _)) => Evidence::new().word(EvidenceKey::Breaker, Word::Open),
                    Some((_, BreakerState::HalfOpen, _)) => Evidence::new().word(EvidenceKey::Breaker, Word::HalfOpen),
                    Some((_, BreakerState::Closed, _)) | None => Evidence::new(),
                };
                (Severity::Warning, evidence)
            }),
            InsightKind::ClientsSlow => match self.drops.iter().map(|(_, count)| count).sum::<u64>() {
                0 => Assessment::Clear,
                drops if drops > config.drops_per_minute => {
                    Assessment::Raise(Severity::Warning, Evidence::new().count(EvidenceKey::Drops, drops))
                }
                _ => Assessment::Hold,
            },
            _ => Assessment::Hold,
        }
    }
}

/// Adds to the count of a second, and forgets those out of the window.
fn count(seconds: &mut VecDeque<(u64, u64)>, second: u64, add: u64, window: u64) {
    match seconds.back_mut() {
        Some((last, count)) if *last >= second => *count += add,
        _ => seconds.push_back((second, add)),
    }
    while seconds.front().is_some_and(|(first, _)| first + window < second) {
        seconds.pop_front();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTERVAL: Duration = Duration::from_millis(100);

    fn pulse() -> Pulse {
        Pulse {
            interval: INTERVAL,
            lateness: Duration::from_micros(200),
            missed: 0,
            analysis: Some(Duration::from_micros(300)),
            backlog: 0,
            store: StoreFacts::MEMORY_ONLY,
            clients: ClientFacts::default(),
        }
    }

    fn beats(vitals: &mut Vitals, from: u64, count: u64, pulse: &Pulse) {
        for beat in from..from + count {
            let now = Timestamp::from_nanos((beat * 100_000_000) as i64);
            vitals.beat(now, 5, pulse, &Config::default());
        }
    }

    #[test]
    fn figures_of_a_healthy_heart() {
        let mut vitals = Vitals::default();
        assert_eq!(vitals.figures().continuity, None);
        beats(&mut vitals, 0, 100, &pulse());
        let figures = vitals.figures();
        assert_eq!(figures.continuity, Some(1.0));
        assert_eq!(figures.per_second, Some(50.0));
        assert_eq!(figures.p50_ms, Some(0.3));
        for kind in Vitals::KINDS {
            assert_eq!(vitals.assess(kind, &Config::default()), Assessment::Clear, "{kind}");
        }
    }

    #[test]
    fn skew_opens_after_some_beats_and_closes_after_many() {
        let mut vitals = Vitals::default();
        let late = Pulse { lateness: Duration::from_millis(80), ..pulse() };
        beats(&mut vitals, 0, 4, &late);
        assert_eq!(vitals.assess(InsightKind::HeartSkewed, &Config::default()), Assessment::Hold);
        beats(&mut vitals, 4, 1, &late);
        let raised = vitals.assess(InsightKind::HeartSkewed, &Config::default());
        assert!(matches!(raised, Assessment::Raise(Severity::Warning, _)), "{raised:?}");
        beats(&mut vitals, 5, 49, &pulse());
        assert_eq!(vitals.assess(InsightKind::HeartSkewed, &Config::default()), Assessment::Hold);
        beats(&mut vitals, 54, 1, &pulse());
        assert_eq!(vitals.assess(InsightKind::HeartSkewed, &Config::default()), Assessment::Clear);
    }

    #[test]
    fn downtime_counts_against_continuity() {
        let mut vitals = Vitals::default();
        beats(&mut vitals, 0, 90, &pulse());
        vitals.absent(Duration::from_secs(1), INTERVAL);
        assert_eq!(vitals.figures().continuity, Some(0.9));
        assert_eq!(vitals.figures().missed, 10);
    }

    #[test]
    fn drops_of_the_last_minute_make_clients_slow() {
        let mut vitals = Vitals::default();
        let dropping = Pulse { clients: ClientFacts { dropped: 11 }, ..pulse() };
        beats(&mut vitals, 0, 10, &dropping);
        assert!(matches!(vitals.assess(InsightKind::ClientsSlow, &Config::default()), Assessment::Raise(..)));
        beats(&mut vitals, 10, 620, &dropping);
        assert_eq!(vitals.assess(InsightKind::ClientsSlow, &Config::default()), Assessment::Clear);
    }
}
