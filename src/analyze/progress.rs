//! Progress: how far an agent says it has come, how long the rest will take, and whether it stands still while the agent
//! goes on acting.
//!
//! Each session's progress is followed by itself. A session that never reported progress, or has finished, never stalls.
//!
//! | figure | formula | window | when it moves |
//! | --- | --- | --- | --- |
//! | `done`, `total`, `fraction` | as reported; done / total | the session that reported last | |
//! | `per_minute` | Σ units / Σ time of steps, both fading with e^(−t/T), T = 60 s or ten of the longest steps | last steps | falling: the rest is harder, or it is distracted |
//! | `eta_s` | (total − done) / rate, as of the last step | the same | growing: see the rate |
//!
//! A stall is four times the longest step lately, at least 5 minutes (15 before three steps are known), during which
//! the agent acted ten times or more. It is *wedged*: look what it is busy with; often it is stuck or blocked too, and
//! then the insight says so.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::ahead::fetch;
use crate::domain::{
    Assessment, Evidence, EvidenceKey, InsightKind, Kind, Observation, Role, SessionKey, Severity, Timestamp, Word,
};

/// Sessions followed at once; the one that was quiet for longest makes room.
const MAX_TASKS: usize = 4;
/// Larger numbers are taken for errors of the sender; sums stay finite.
const MAX_UNITS: f64 = 1e15;
/// The rate forgets what is older than this, or than ten steps where steps take longer.
const RATE_MEMORY_S: f64 = 60.0;
/// See [`Config::inactive`].
const OPEN_WAITS: u32 = 3;

/// When standing still is a stall.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Shortest stall.
    #[serde(with = "jiff::fmt::serde::unsigned_duration::friendly::compact::required")]
    pub min_stall: Duration,
    /// Shortest stall of an agent whose pace is not known yet, since it moved fewer than three times.
    #[serde(with = "jiff::fmt::serde::unsigned_duration::friendly::compact::required")]
    pub min_stall_unpaced: Duration,
    /// A stall is so many times the longest step that the agent took lately.
    pub patience: f64,
    /// Least number of acts (thoughts, messages, actions, results) since progress last moved.
    pub min_acts: u32,
    /// A stall is critical at so many times the time at which it opened.
    pub critical_factor: f64,
    /// An agent that did nothing for this long is not stalled but silent, or finished. An open insight waits three times
    /// as long, so that rare acts do not open and close it in turn.
    #[serde(with = "jiff::fmt::serde::unsigned_duration::friendly::compact::required")]
    pub inactive: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            min_stall: Duration::from_secs(300),
            min_stall_unpaced: Duration::from_secs(900),
            patience: 4.0,
            min_acts: 10,
            critical_factor: 4.0,
            inactive: Duration::from_secs(600),
        }
    }
}

/// One agent's progress. Without a report it costs an empty list.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Progress {
    tasks: Vec<Task>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Task {
    session: SessionKey,
    done: f64,
    total: Option<f64>,
    /// When `done` last grew, or the task began.
    moved: Timestamp,
    /// Last report or act.
    seen: Timestamp,
    /// Acts since `moved`.
    acts: u32,
    /// Steps of the session so far, this task's and earlier ones'.
    steps: u32,
    /// Longest step lately, seconds; fades by a twentieth a step.
    longest_step: f64,
    /// Units and seconds of steps, both fading: their quotient is the rate.
    units: f64,
    seconds: f64,
}

/// How far the agent is, in the session that reported last.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Figures {
    /// Units done.
    pub done: f64,
    /// Units in all, where known.
    pub total: Option<f64>,
    /// Share done, 0 to 1.
    pub fraction: Option<f64>,
    /// Units a second, over the last steps.
    pub rate: Option<f64>,
    /// Seconds that the rest takes at this rate, as of the last step. 0 when all is done.
    pub eta_s: Option<f64>,
}

impl Progress {
    /// Takes what an observation says of progress: a report, or that the agent acts.
    pub fn observe(&mut self, observation: &Observation) {
        let (session, at) = (observation.session, observation.at);
        match observation.kind {
            Kind::Progress { done, total } => self.report(session, done, total, at),
            Kind::Thought { .. }
            | Kind::Message { role: Role::Agent, .. }
            | Kind::Action { .. }
            | Kind::Result { .. } => {
                if let Some(task) = self.tasks.iter_mut().find(|task| task.session == session) {
                    task.acts = task.acts.saturating_add(1);
                    task.seen = task.seen.max(at);
                }
            }
            _ => {}
        }
    }

    /// See [`super::ahead`].
    pub(crate) fn ahead(&self) {
        for task in self.tasks.iter().take(4) {
            fetch(Some(&task.session));
            fetch(Some(&task.acts));
        }
    }

    /// The figures; `None` while no progress was reported.
    pub fn figures(&self) -> Option<Figures> {
        let task = self.tasks.last()?;
        let rate = (task.seconds > 0.0 && task.units > 0.0).then(|| task.units / task.seconds);
        let rest = task.total.map(|total| (total - task.done).max(0.0));
        Some(Figures {
            done: task.done,
            total: task.total,
            fraction: task.total.map(|total| (task.done / total).clamp(0.0, 1.0)),
            rate,
            eta_s: match (rest, rate) {
                (Some(0.0), _) => Some(0.0),
                (Some(rest), Some(rate)) => Some(rest / rate).filter(|eta| eta.is_finite()),
                _ => None,
            },
        })
    }

    /// Judges [`InsightKind::Stalled`], by the task that has stood still for longest compared with its pace. Moving and
    /// finishing clear it; so does doing nothing for long, which is silence.
    pub fn assess(&self, kind: InsightKind, open: bool, now: Timestamp, config: &Config) -> Assessment {
        if kind != InsightKind::Stalled {
            return Assessment::Hold;
        }
        let overdue = |task: &Task| now.since(task.moved).as_secs_f64() / task.patience_s(config);
        let inactive = config.inactive.saturating_mul(if open { OPEN_WAITS } else { 1 });
        let stalled = self.tasks.iter().filter(|task| task.stalls(now, config, inactive) && overdue(task) >= 1.0);
        let Some(task) = stalled.max_by(|a, b| overdue(a).total_cmp(&overdue(b))) else { return Assessment::Clear };
        let mut evidence = Evidence::new().number(EvidenceKey::Done, task.done);
        if let Some(total) = task.total {
            evidence = evidence.number(EvidenceKey::Total, total);
        }
        let evidence = evidence
            .number(EvidenceKey::StalledSeconds, now.since(task.moved).as_secs_f64().floor())
            .number(EvidenceKey::ExpectedSeconds, task.patience_s(config))
            .count(EvidenceKey::N, u64::from(task.acts))
            .word(EvidenceKey::State, Word::Wedged);
        let severe = overdue(task) >= config.critical_factor;
        Assessment::Raise(if severe { Severity::Critical } else { Severity::Warning }, evidence)
    }

    /// When the assessment next changes by time alone: a stall opens, becomes critical, or is over since nothing is done.
    pub fn next_due(&self, now: Timestamp, config: &Config) -> Option<Timestamp> {
        let longest = config.inactive.saturating_mul(OPEN_WAITS);
        let moments = self.tasks.iter().filter(|task| task.stalls(now, config, longest)).flat_map(|task| {
            let patience = task.patience_s(config);
            let after = |seconds: f64| {
                // A nanosecond more than the rounded time, so that the comparison in `assess` is then met.
                let span = Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX);
                task.moved.plus(span.saturating_add(Duration::from_nanos(1)))
            };
            [
                after(patience),
                after(patience * config.critical_factor),
                task.seen.plus(config.inactive),
                task.seen.plus(longest),
            ]
        });
        moments.filter(|moment| *moment > now).min()
    }

    fn report(&mut self, session: SessionKey, done: f64, total: Option<f64>, at: Timestamp) {
        if !(0.0..=MAX_UNITS).contains(&done) {
            return;
        }
        let total = total.filter(|total| *total > 0.0 && *total <= MAX_UNITS);
        let mut task = match self.tasks.iter().position(|task| task.session == session) {
            Some(place) => self.tasks.remove(place),
            None => Task::new(session, done, at),
        };
        task.report(done, total, at);
        if self.tasks.len() >= MAX_TASKS {
            self.tasks.remove(0);
        }
        // The last one is the one that reported last.
        self.tasks.push(task);
    }
}

impl Task {
    fn new(session: SessionKey, done: f64, at: Timestamp) -> Self {
        Self {
            session,
            done,
            total: None,
            moved: at,
            seen: at,
            acts: 0,
            steps: 0,
            longest_step: 0.0,
            units: 0.0,
            seconds: 0.0,
        }
    }

    fn report(&mut self, done: f64, total: Option<f64>, at: Timestamp) {
        let at = at.max(self.seen);
        let was_finished = self.is_finished();
        self.seen = at;
        self.total = total.or(self.total);
        if done < self.done {
            // A new task: the session's pace is still a guide, the rate is not.
            (self.units, self.seconds) = (0.0, 0.0);
            self.total = total;
        } else if done > self.done {
            // What passed between the end of a task and more of it was no step.
            if !was_finished {
                self.step(done - self.done, at.since(self.moved).as_secs_f64());
            }
        } else {
            return;
        }
        (self.done, self.moved, self.acts) = (done, at, 0);
    }

    fn step(&mut self, units: f64, seconds: f64) {
        self.steps = self.steps.saturating_add(1);
        self.longest_step = seconds.max(self.longest_step * 0.95);
        let memory = RATE_MEMORY_S.max(10.0 * self.longest_step);
        let fade = (-seconds / memory).exp();
        self.units = self.units * fade + units;
        self.seconds = self.seconds * fade + seconds;
    }

    fn is_finished(&self) -> bool {
        self.total.is_some_and(|total| self.done >= total)
    }

    /// Whether this task stalls once its patience is over.
    fn stalls(&self, now: Timestamp, config: &Config, inactive: Duration) -> bool {
        !self.is_finished() && self.acts >= config.min_acts && now.since(self.seen) < inactive
    }

    fn patience_s(&self, config: &Config) -> f64 {
        let min = if self.steps < 3 { config.min_stall_unpaced } else { config.min_stall };
        (self.longest_step * config.patience).max(min.as_secs_f64()).max(1e-3)
    }
}

#[cfg(test)]
mod tests;
