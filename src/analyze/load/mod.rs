//! Load: how slow, how full and how dear an agent's work is.
//!
//! Latency is kept twice: *lately* (two windows of five minutes or more, what [`InsightKind::Overloaded`] looks at) and
//! *overall* (the agent's life, which is what a report on a recording wants). Both are sketches, see [`Sketch`].
//!
//! What passes by time alone (a window moves on while the agent does nothing) is shown up to five seconds later.
//!
//! | figure | formula | window | when it moves |
//! | --- | --- | --- | --- |
//! | `p50_ms`, `p95_ms`, `p99_ms` | value at rank floor(q (n − 1)) by DDSketch, within 1 % (Masson et al. 2019) | last 5 to 10 minutes, longer where there are fewer than 20 results; none without a result in 10 minutes | p95 alone: one tool or now and then; all: the service or the model |
//! | the usual p95 | mean of ln p95 of closed windows, newer ones weighing more | ten windows and more | moves by at most a factor e a window, so a sudden slowness is not at once usual |
//! | `tokens_per_minute` | sum of tokens in and out | last minute, in steps of 5 s | a burst: a loop, or a context that is sent again and again |
//! | `context_fill` | prompt tokens / context window, of the fullest session that runs | last model call of each | near 1: it will soon forget or fail; compact it |
//! | `cost`, `cost_per_hour` | sums; in the first hour at the pace so far | life; last hour in steps of 5 minutes | budgets warn at 80 %, and an hour ahead at the pace of the last hour |

mod counts;
mod latency;
mod sketch;
mod usage;

use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use latency::Quantiles;
use latency::{ENOUGH, Latency};
pub use sketch::{ALPHA, Sketch};
use usage::{Call, Usage};

use crate::domain::{Assessment, Evidence, EvidenceKey, InsightKind, Kind, Observation, Severity, Timestamp};

/// From where on an agent is overloaded. A limit of 0 is none.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The 95th percentile of latency is too high at so many times what is usual for the agent...
    pub p95_factor: f64,
    /// ...and at this many milliseconds at least.
    pub p95_floor_ms: f64,
    /// The 95th percentile of latency is too high at so many milliseconds, whatever is usual.
    pub p95_limit_ms: f64,
    /// Share of the context window in use that is too high, 0 to 1.
    pub context_fill: f64,
    /// Tokens a minute, in and out, that are too many.
    pub tokens_per_minute: f64,
    /// Cost an hour that is too much.
    pub cost_per_hour: f64,
    /// Cost that an agent may cause in all.
    pub agent_budget: f64,
    /// Cost that a session may cause.
    pub session_budget: f64,
    /// Share of a budget from which on its use is a warning, 0 to 1. All of it is critical.
    pub budget_warning: f64,
    /// So is a pace at which the agent's budget is used up within so long.
    #[serde(with = "jiff::fmt::serde::unsigned_duration::friendly::compact::required")]
    pub burn_horizon: Duration,
    /// An insight stays open until all figures are below this share of their limits, so that noise does not open and
    /// close it in turn. Below 1.
    pub release: f64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            p95_factor: 3.0,
            p95_floor_ms: 1000.0,
            p95_limit_ms: 0.0,
            context_fill: 0.9,
            tokens_per_minute: 0.0,
            cost_per_hour: 0.0,
            agent_budget: 0.0,
            session_budget: 0.0,
            budget_warning: 0.8,
            burn_horizon: Duration::from_hours(1),
            release: 0.8,
        }
    }
}

/// One agent's load. Without results and usage it costs two pointers.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Load {
    latency: Option<Box<Latency>>,
    usage: Option<Box<Usage>>,
}

/// The load at one moment; what is not known is absent.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Figures {
    /// Latency of the last five to ten minutes; longer where results are few.
    pub lately: Option<Quantiles>,
    /// The 95th percentile of latency that is usual for the agent, milliseconds.
    pub usual_p95_ms: Option<f64>,
    /// Tokens in and out in the last minute.
    pub tokens_per_minute: Option<f64>,
    /// Tokens of prompts so far.
    pub input_tokens: Option<u64>,
    /// Tokens generated so far.
    pub output_tokens: Option<u64>,
    /// The fullest context window of the sessions that run, 0 to 1.
    pub context_fill: Option<f64>,
    /// Cost so far.
    pub cost: Option<f64>,
    /// Cost of the last hour; in the first hour, at the pace so far.
    pub cost_per_hour: Option<f64>,
}

impl Load {
    /// Takes what an observation says of load: a result's duration, a model call's usage. Others cost nothing.
    pub fn observe(&mut self, observation: &Observation) {
        let at = observation.at;
        match observation.kind {
            Kind::Result { duration_ms: Some(ms), .. } if ms.is_finite() && ms >= 0.0 => {
                self.latency.get_or_insert_default().observe(ms, at);
            }
            Kind::Usage { input_tokens, output_tokens, cost, context_window } => {
                let call = Call { input_tokens, output_tokens, cost, context_window };
                self.usage.get_or_insert_default().observe(&call, observation.session, at);
            }
            _ => {}
        }
    }

    /// See [`super::ahead`].
    pub(crate) fn ahead(&self, observation: &Observation) {
        match (&observation.kind, &self.latency, &self.usage) {
            (Kind::Result { .. }, Some(latency), _) => latency.ahead(),
            (Kind::Usage { .. }, _, Some(usage)) => usage.ahead(),
            _ => {}
        }
    }

    /// The same for what that points to.
    pub(crate) fn ahead_further(&self, observation: &Observation) {
        match (&observation.kind, &self.latency, &self.usage) {
            (Kind::Result { duration_ms: Some(ms), .. }, Some(latency), _) => latency.ahead_further(*ms),
            (Kind::Usage { .. }, _, Some(usage)) => usage.ahead_further(),
            _ => {}
        }
    }

    /// The same for what is looked at when it is judged.
    pub(crate) fn ahead_of_judging(&self) {
        self.usage.iter().for_each(|usage| usage.ahead());
        self.latency.iter().for_each(|latency| latency.ahead());
    }

    /// The same for what that points to.
    pub(crate) fn ahead_further_of_judging(&self) {
        self.usage.iter().for_each(|usage| usage.ahead_further());
    }

    /// The same for what that points to and the figures need.
    pub(crate) fn ahead_of_figures(&self) {
        self.ahead_further_of_judging();
        self.latency.iter().for_each(|latency| latency.ahead_of_figures());
    }

    /// The figures at `now`.
    pub fn figures(&self, now: Timestamp) -> Figures {
        let (latency, usage) = (self.latency.as_deref(), self.usage.as_deref());
        Figures {
            lately: latency.and_then(|latency| latency.lately(now)),
            usual_p95_ms: latency.and_then(Latency::usual_p95_ms),
            tokens_per_minute: usage.map(|usage| usage.tokens_per_minute(now)),
            input_tokens: usage.map(|usage| usage.input_tokens),
            output_tokens: usage.map(|usage| usage.output_tokens),
            context_fill: usage.and_then(Usage::context_fill),
            cost: usage.and_then(Usage::cost),
            cost_per_hour: usage.and_then(|usage| usage.cost_per_hour(now)),
        }
    }

    /// Latency over the agent's life.
    pub fn overall(&self) -> Option<Quantiles> {
        self.latency.as_deref()?.overall()
    }

    /// Quantiles of latency over the agent's life, milliseconds; `qs` ascend, each from 0 to 1.
    pub fn overall_latency<const N: usize>(&self, qs: [f64; N]) -> Option<[f64; N]> {
        self.latency.as_deref()?.overall_at(qs)
    }

    /// Judges [`InsightKind::Overloaded`]. Of each figure over its limit the evidence holds the figure; the severity is
    /// that of the worst.
    pub fn assess(&self, kind: InsightKind, open: bool, now: Timestamp, config: &Config) -> Assessment {
        if kind != InsightKind::Overloaded {
            return Assessment::Hold;
        }
        let mut verdict = Verdict { release: if open { config.release } else { 1.0 }, ..Verdict::default() };
        self.judge_latency(now, config, &mut verdict);
        self.judge_usage(now, config, &mut verdict);
        match verdict.severity {
            Some(severity) => Assessment::Raise(severity, verdict.evidence),
            None => Assessment::Clear,
        }
    }

    /// When figures or assessment next change by time alone.
    pub fn next_due(&self, now: Timestamp) -> Option<Timestamp> {
        let latency = self.latency.as_ref().and_then(|latency| latency.next_due(now));
        let usage = self.usage.as_ref().and_then(|usage| usage.next_due(now));
        [latency, usage].into_iter().flatten().min()
    }

    fn judge_latency(&self, now: Timestamp, config: &Config, verdict: &mut Verdict) {
        let Some(latency) = &self.latency else { return };
        let usual = latency.usual_p95_ms();
        if usual.is_none() && config.p95_limit_ms <= 0.0 {
            return;
        }
        let Some((n, p95_ms)) = latency.p95_lately(now).filter(|(n, _)| *n >= ENOUGH) else { return };
        let show = |evidence: Evidence| evidence.number(EvidenceKey::P95Ms, p95_ms).count(EvidenceKey::N, n);
        verdict.weigh(p95_ms, config.p95_limit_ms, 3.0, show);
        if let Some(usual) = usual {
            let limit = (config.p95_factor * usual).max(config.p95_floor_ms);
            verdict.weigh(p95_ms, limit, 3.0, |evidence| show(evidence).number(EvidenceKey::Before, usual));
        }
    }

    fn judge_usage(&self, now: Timestamp, config: &Config, verdict: &mut Verdict) {
        let Some(usage) = self.usage.as_ref().filter(|usage| usage.is_active(now)) else { return };
        if let Some(fill) = usage.context_fill() {
            let show = |evidence: Evidence| evidence.number(EvidenceKey::ContextFill, fill);
            // Critical where next to nothing is left of what the limit leaves.
            let critical = (1.0 - 0.2 * (1.0 - config.context_fill)) / config.context_fill;
            verdict.weigh(fill, config.context_fill, critical, show);
        }
        let tokens = usage.tokens_per_minute(now);
        verdict.weigh(tokens, config.tokens_per_minute, 2.0, |e| e.number(EvidenceKey::TokensPerMinute, tokens));
        if let Some(rate) = usage.cost_per_hour(now) {
            verdict.weigh(rate, config.cost_per_hour, 2.0, |e| e.number(EvidenceKey::CostPerHour, rate));
        }
        let session = (usage.session_cost(), config.session_budget, 0.0);
        let agent = (usage.cost(), config.agent_budget, usage.pace(now).unwrap_or(0.0));
        for (cost, budget, pace) in [session, agent] {
            let (cost, hours) = (cost.unwrap_or(0.0), config.burn_horizon.as_secs_f64() / 3600.0);
            let show = |e: Evidence| e.number(EvidenceKey::Cost, cost).number(EvidenceKey::Budget, budget);
            let burn = |e: Evidence| show(e).number(EvidenceKey::CostPerHour, pace);
            if cost > 0.0 && cost + pace * hours >= budget * verdict.release {
                verdict.weigh(budget, budget, f64::INFINITY, burn);
            }
            if config.budget_warning > 0.0 {
                verdict.weigh(cost, budget * config.budget_warning, 1.0 / config.budget_warning, show);
            }
        }
    }
}

#[derive(Default)]
struct Verdict {
    release: f64,
    severity: Option<Severity>,
    evidence: Evidence,
}

impl Verdict {
    /// Counts a figure that has reached its limit (or that share of it at which an open insight is released); it is
    /// critical at so many times the limit.
    fn weigh(&mut self, value: f64, limit: f64, critical: f64, show: impl FnOnce(Evidence) -> Evidence) {
        if limit <= 0.0 || value < limit * self.release {
            return;
        }
        let severity = if value >= limit * critical { Severity::Critical } else { Severity::Warning };
        self.severity = self.severity.max(Some(severity));
        self.evidence = show(std::mem::take(&mut self.evidence));
    }
}

#[cfg(test)]
mod tests;
