//! Silence: an agent that showed life regularly no longer does, and it had not finished.
//!
//! Whatever an agent sends is a sign of life, when it arrives (spans come in batches, long after they began). From its
//! pauses the agent's cadence is learned, and from that its *patience*, the silence that would be odd:
//!
//! - Let `m` be the median of the last 64 pauses and `g` the longest but one. On a logarithmic scale `g` lies `ln(g/m)`
//!   above the middle; a pause that lies as far again above `g`, thus `g * g/m`, is one in 100,000 where pauses are
//!   log-normal, and rarer where their tail is lighter. Patience is `g * max(3, 1 + g/m)`, and at least a configured
//!   minimum. Where `g/m` is too large, the agent is not regular, and nothing is concluded from its silence.
//! - 1.5 times the slowest pause that the agent came back from, which fades with a half-life of an hour.
//! - While a call is open, while an answer to a user is awaited, and for agents whose spans arrive only at their end,
//!   a longer minimum, and three times the slowest call.
//!
//! Figures: `cadence_s` is `m`, `expected_s` the patience, from 16 pauses on. An agent that is overdue is `dead` when
//! nothing is open, and `waiting` when a call is: look at the agent's process, or at the call. One that acts but does
//! not get on is wedged, which is [`super::progress`]'s to tell. One that has finished is quiet, and nothing is told.
//!
//! Pauses while the agent has finished (its last word was a message, or its progress is complete) or while a call is
//! open are not the agent's own and are not learned from.

mod cadence;

use std::time::Duration;

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use super::ahead::fetch;
use crate::domain::{
    Assessment, Evidence, EvidenceKey, InsightKind, Kind, Observation, Role, SessionKey, Severity, Source, Timestamp,
    Word,
};
use cadence::{Cadence, Slowest};

/// Open calls that are remembered; the oldest makes room.
const MAX_CALLS: usize = 16;
/// A call whose result has not come for this long is given up.
const LOST_CALL: Duration = Duration::from_secs(3600);
/// Pauses shorter than this are part of a burst.
const BURST: Duration = Duration::from_secs(1);
/// After a longer pause the agent was away: that is not its cadence.
const AWAY: Duration = Duration::from_secs(3600);
/// What is older than this on arrival is told afterwards, and no sign that the agent lives now.
const STALE: Duration = Duration::from_secs(300);
/// An agent that went on by itself after this share of its messages does not finish with a message.
const GOES_ON: f32 = 0.9;

/// When silence is worth telling.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Shortest silence.
    #[serde(with = "jiff::fmt::serde::unsigned_duration::friendly::compact::required")]
    pub min_silence: Duration,
    /// Shortest silence while a call is open or may be.
    #[serde(with = "jiff::fmt::serde::unsigned_duration::friendly::compact::required")]
    pub min_silence_in_call: Duration,
    /// Pauses from which a cadence is concluded, at least; at most 64.
    pub min_pauses: usize,
    /// Longest pause but one over median pause up to which an agent is regular.
    pub max_spread: f64,
    /// Silence is critical at so many times the patience, unless a call is open.
    pub critical_factor: u32,
    /// An agent, or a session, that was silent for so long is taken to have ended, and with it its loops and failures.
    #[serde(with = "jiff::fmt::serde::unsigned_duration::friendly::compact::required")]
    pub ended_after: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            min_silence: Duration::from_secs(60),
            min_silence_in_call: Duration::from_secs(600),
            min_pauses: 16,
            max_spread: 60.0,
            critical_factor: 4,
            ended_after: Duration::from_secs(3600),
        }
    }
}

/// One agent's signs of life.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Silence {
    /// The last sign of life; the epoch before the first.
    life: Timestamp,
    /// Where the pause began that is measured now: bursts are looked at once a second.
    mark: Timestamp,
    turn: Turn,
    /// What came last was told long after it happened.
    stale: bool,
    /// What came last was a span, which arrives when it ends: a call may be open unseen.
    blind: bool,
    /// Results come at all, so a call without one is open.
    closes: bool,
    /// Fading share of the agent's messages after which it went on by itself.
    goes_on: f32,
    pauses: Cadence,
    slowest: Slowest,
    slowest_call: Slowest,
    calls: Vec<Call>,
}

/// Whose turn it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Turn {
    /// The agent is at work.
    #[default]
    Working,
    /// A user asked, and the agent has not begun to work on it.
    Asked,
    /// The agent had the last word.
    Spoken,
    /// The agent has completed its progress.
    Complete,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Call {
    session: SessionKey,
    key: Option<u64>,
    tool: u64,
    at: Timestamp,
}

/// What is known of an agent's cadence.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Figures {
    /// When it last showed life.
    pub last_seen: Option<Timestamp>,
    /// Median pause, seconds; absent while too few are known.
    pub cadence_s: Option<f64>,
    /// Silence from which on it is overdue, seconds; absent while it is not regular.
    pub expected_s: Option<f64>,
    /// Calls whose result is awaited.
    pub open_calls: usize,
    /// It has finished: nothing is due.
    pub finished: bool,
}

impl Silence {
    /// Takes an observation that arrived (was folded) at `arrived`. Verdicts come from others and show no life.
    pub fn observe(&mut self, observation: &Observation, arrived: Timestamp) {
        if let Kind::Verdict { .. } = observation.kind {
            return;
        }
        self.stale = arrived.since(observation.at) > STALE;
        self.blind = observation.source == Source::OtlpTraces;
        let returns = matches!(observation.kind, Kind::Result { .. });
        self.learn_pause(arrived, returns);
        self.life = self.life.max(arrived);
        self.take(observation);
    }

    /// See [`super::ahead`].
    pub(crate) fn ahead(&self) {
        self.pauses.ahead();
        fetch(self.calls.first());
    }

    /// What is known now.
    pub fn figures(&self, config: &Config) -> Figures {
        Figures {
            last_seen: (self.life > Timestamp::EPOCH).then_some(self.life),
            cadence_s: self.pauses.median().filter(|_| self.pauses.len() >= config.min_pauses),
            expected_s: self.patience(config).map(|patience| patience.as_secs_f64()),
            open_calls: if self.closes { self.calls.len() } else { 0 },
            finished: self.has_finished(),
        }
    }

    /// Judges [`InsightKind::Silent`]. Any sign of life clears it, and so does a silence so long that the agent has ended.
    /// Its state is `waiting` while a call is open, else `dead`.
    pub fn assess(&self, kind: InsightKind, _open: bool, now: Timestamp, config: &Config) -> Assessment {
        if kind != InsightKind::Silent {
            return Assessment::Hold;
        }
        let quiet = now.since(self.life);
        let Some(patience) = self.overdue_after(config).filter(|patience| quiet >= *patience) else {
            return Assessment::Clear;
        };
        if quiet >= config.ended_after {
            return Assessment::Clear;
        }
        let mut evidence = Evidence::new()
            .number(EvidenceKey::QuietSeconds, quiet.as_secs_f64().floor())
            .number(EvidenceKey::ExpectedSeconds, patience.as_secs_f64());
        if self.waits() {
            evidence =
                evidence.count(EvidenceKey::OpenCalls, self.calls.len() as u64).word(EvidenceKey::State, Word::Waiting);
        } else {
            evidence = evidence.word(EvidenceKey::State, Word::Dead);
        }
        let severe = !self.waits() && quiet >= patience.saturating_mul(config.critical_factor);
        Assessment::Raise(if severe { Severity::Critical } else { Severity::Warning }, evidence)
    }

    /// Whether a sign of life is due: the agent is regular, has not finished, and its patience is not over.
    pub fn is_awaited(&self, now: Timestamp, config: &Config) -> bool {
        self.overdue_after(config).is_some_and(|patience| now.since(self.life) < patience)
    }

    /// When the assessment next changes by time alone: the agent becomes silent, critically so, or has ended. `None` for
    /// one that has finished or is not regular: it costs nothing until it shows life.
    pub fn next_due(&self, now: Timestamp, config: &Config) -> Option<Timestamp> {
        let patience = self.overdue_after(config)?;
        let critical = patience.saturating_mul(config.critical_factor);
        let moments = [patience, critical, config.ended_after].map(|quiet| self.life.plus(quiet));
        moments.into_iter().filter(|moment| *moment > now).min()
    }

    /// The patience of an agent whose silence would be odd.
    fn overdue_after(&self, config: &Config) -> Option<Duration> {
        let expected = !self.stale && !self.has_finished();
        self.patience(config).filter(|patience| expected && *patience < config.ended_after)
    }

    fn patience(&self, config: &Config) -> Option<Duration> {
        let (median, long) = (self.pauses.median()?, self.pauses.long()?);
        let spread = long / median;
        if self.pauses.len() < config.min_pauses || spread > config.max_spread {
            return None;
        }
        let seconds = (long * (1.0 + spread).max(3.0)).max(1.5 * self.slowest.get());
        let may_be_in_call = self.waits() || self.blind || self.turn == Turn::Asked;
        let (seconds, least) = if may_be_in_call {
            (seconds.max(3.0 * self.slowest_call.get()), config.min_silence_in_call)
        } else {
            (seconds, config.min_silence)
        };
        Some(Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX).max(least))
    }

    /// A call is open.
    fn waits(&self) -> bool {
        self.closes && !self.calls.is_empty()
    }

    fn has_finished(&self) -> bool {
        let over = match self.turn {
            Turn::Working | Turn::Asked => false,
            Turn::Spoken => self.goes_on <= GOES_ON,
            Turn::Complete => true,
        };
        over && !self.waits()
    }

    /// Learns from the pause that an observation ends, unless it was not the agent's own: a user's, or a call's.
    fn learn_pause(&mut self, arrived: Timestamp, returns: bool) {
        let (pause, burst) = (arrived.since(self.life), arrived.since(self.mark));
        if burst < BURST {
            return;
        }
        self.mark = arrived;
        let others = self.has_finished() || (returns && self.waits());
        if self.life == Timestamp::EPOCH || self.stale || pause > AWAY || others {
            return;
        }
        self.pauses.push(burst.as_secs_f64().min(AWAY.as_secs_f64()));
        self.slowest.push(pause.as_secs_f64(), arrived);
    }

    fn take(&mut self, observation: &Observation) {
        let at = observation.at;
        match &observation.kind {
            Kind::Message { role: Role::Agent, .. } => {
                self.note_going_on(true);
                if self.turn != Turn::Complete {
                    self.turn = Turn::Spoken;
                }
                // Whoever has the last word no longer waits for a result.
                self.calls.retain(|call| call.session != observation.session);
            }
            Kind::Message { role: Role::User, .. } => {
                self.note_going_on(false);
                self.turn = Turn::Asked;
            }
            Kind::Progress { done, total } => {
                let complete = total.is_some_and(|total| *done >= total);
                self.turn = if complete { Turn::Complete } else { Turn::Working };
            }
            Kind::Thought { .. } => self.work(),
            Kind::Action { tool, call, .. } => {
                self.work();
                self.calls.retain(|call| at.since(call.at) < LOST_CALL);
                if self.calls.len() >= MAX_CALLS {
                    self.calls.remove(0);
                }
                let (key, tool) = (call.map(|call| call.get()), xxh3_64(tool.as_str().as_bytes()));
                self.calls.push(Call { session: observation.session, key, tool, at });
            }
            Kind::Result { call, tool, duration_ms, .. } => {
                self.work();
                let tool = tool.as_ref().map(|tool| xxh3_64(tool.as_str().as_bytes()));
                let started = self.close_call(observation.session, call.map(|call| call.get()), tool);
                let told = duration_ms.unwrap_or(0.0) / 1000.0;
                let seconds = started.map_or(0.0, |started| at.since(started).as_secs_f64()).max(told);
                self.slowest_call.push(seconds.min(LOST_CALL.as_secs_f64()), at);
            }
            Kind::Message { role: Role::Other, .. }
            | Kind::Claim { .. }
            | Kind::Verdict { .. }
            | Kind::Usage { .. } => {}
        }
    }

    fn work(&mut self) {
        self.note_going_on(true);
        self.turn = Turn::Working;
    }

    /// Learns who speaks after the agent had the last word.
    fn note_going_on(&mut self, by_itself: bool) {
        if self.turn == Turn::Spoken {
            self.goes_on += 0.1 * (f32::from(u8::from(by_itself)) - self.goes_on);
        }
    }

    /// Removes the call that a result belongs to, and says when it began.
    fn close_call(&mut self, session: SessionKey, key: Option<u64>, tool: Option<u64>) -> Option<Timestamp> {
        let by =
            |test: &dyn Fn(&Call) -> bool| self.calls.iter().position(|call| call.session == session && test(call));
        let place = match (key, tool) {
            (Some(key), Some(tool)) => {
                by(&|call| call.key == Some(key)).or_else(|| by(&|call| call.key.is_none() && call.tool == tool))
            }
            (Some(key), None) => by(&|call| call.key == Some(key)),
            (None, Some(tool)) => by(&|call| call.tool == tool),
            (None, None) => by(&|_| true),
        }?;
        self.closes = true;
        Some(self.calls.remove(place).at)
    }
}

#[cfg(test)]
mod tests;
