//! Calibration: how an agent's confidence compares with how often it is right.
//!
//! Claims and verdicts join by the claim's id, in any order, and slide through a window of the last resolved claims.
//! Every figure is over that window and needs a minimum sample; below it the figure is absent.
//!
//! | figure | formula | when it moves |
//! | --- | --- | --- |
//! | Brier | mean (p − y)² | worse overall: see which of the others moved |
//! | bias | mean p − mean y | positive: discount what the agent says it is sure of |
//! | ECE, MCE | bins of confidence, mean and largest \|p̄ − ȳ\| | calibration is off somewhere, in whichever direction |
//! | type-2 AUROC | P(right surer than wrong) + ½ ties | near ½: its confidence cannot be used to choose what to check |
//! | meta-d′, M-ratio | see [`crate::analyze::metad`] | M-ratio below 1: it knows more than its confidence shows |
//!
//! Choices:
//! - The first of repeated claims, and of repeated verdicts, counts; the others are duplicates and change nothing. A
//!   repeated claim that brings the verdict for the first time resolves the first.
//! - An id is taken for as long as its claim waits or is in the window. Used again later, it names a new claim.
//! - The window is in the order of resolution.

mod assess;
mod config;
mod curve;
mod details;
mod figures;
mod pending;
mod ranks;
mod roc;
mod saved;
mod smooth;
mod strata;
mod sums;
#[cfg(test)]
mod tests;
mod window;

pub use config::Config;
pub use curve::{Curve, Tally};
pub use details::Details;
pub use figures::{Decomposition, Estimate, Figures, Levels};
pub use roc::RocPoint;
pub use strata::Sensitivity;

use pending::{Half, Pending, Waiting};
use strata::Strata;
use window::{Resolved, Window};

use super::ahead::fetch;
use crate::analyze::metad::Counts;
use crate::domain::{ClaimKey, Kind, Observation, Probability, TaskKey, Timestamp};

/// The calibration of one agent. Empty until its first claim or verdict.
#[derive(Clone, Debug, Default)]
pub struct Calibration(Option<Box<State>>);

#[derive(Clone, Debug, Default)]
struct State {
    window: Window,
    pending: Pending,
    strata: Strata,
    expired: u64,
    duplicates: u64,
    sensitivity: Option<Sensitivity>,
    /// Whether the counts changed since the last fit.
    stale: bool,
}

/// What an observation brought.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Joined {
    /// A claim that was not known: its confidence belongs to the series of confidences.
    pub claim: bool,
    /// A verdict that was not known: its outcome belongs to the series of verdicts.
    pub verdict: bool,
    /// Both halves are there now: the window moved.
    pub resolved: bool,
}

impl Calibration {
    /// Takes a claim, with its outcome where that is known at once. O(log window).
    pub fn claim(
        &mut self,
        at: Timestamp,
        claim: ClaimKey,
        confidence: Probability,
        correct: Option<bool>,
        task: Option<TaskKey>,
        config: &Config,
    ) -> Joined {
        let (state, claim, confidence) = (self.state(), claim.get(), confidence.get());
        state.expire(at, config);
        if state.window.contains(claim) {
            state.duplicates += 1;
            return Joined::default();
        }
        match (state.pending.get(claim), correct) {
            (None, None) => {
                let half = Half::Claim(confidence, state.strata.enter(task));
                state.wait(Waiting { claim, at, half }, config);
                Joined { claim: true, ..Joined::default() }
            }
            (None, Some(correct)) => {
                let stratum = state.strata.enter(task);
                state.resolve(Resolved { claim, confidence, correct, stratum }, config);
                Joined { claim: true, verdict: true, resolved: true }
            }
            (Some(Half::Verdict(correct)), again) => {
                state.duplicates += u64::from(again.is_some());
                state.pending.take(claim);
                let stratum = state.strata.enter(task);
                state.resolve(Resolved { claim, confidence, correct, stratum }, config);
                Joined { claim: true, verdict: false, resolved: true }
            }
            (Some(Half::Claim(..)), None) => {
                state.duplicates += 1;
                Joined::default()
            }
            (Some(Half::Claim(confidence, stratum)), Some(correct)) => {
                state.duplicates += 1;
                state.pending.take(claim);
                state.resolve(Resolved { claim, confidence, correct, stratum }, config);
                Joined { claim: false, verdict: true, resolved: true }
            }
        }
    }

    /// Takes a verdict. O(log window).
    pub fn verdict(&mut self, at: Timestamp, claim: ClaimKey, correct: bool, config: &Config) -> Joined {
        let (state, claim) = (self.state(), claim.get());
        state.expire(at, config);
        if state.window.contains(claim) {
            state.duplicates += 1;
            return Joined::default();
        }
        match state.pending.get(claim) {
            Some(Half::Claim(confidence, stratum)) => {
                state.pending.take(claim);
                state.resolve(Resolved { claim, confidence, correct, stratum }, config);
                Joined { claim: false, verdict: true, resolved: true }
            }
            Some(Half::Verdict(_)) => {
                state.duplicates += 1;
                Joined::default()
            }
            None => {
                state.wait(Waiting { claim, at, half: Half::Verdict(correct) }, config);
                Joined { verdict: true, ..Joined::default() }
            }
        }
    }

    /// See [`super::ahead`].
    pub(crate) fn ahead(&self, observation: &Observation) {
        if let Some((state, _)) = self.concerned(observation) {
            state.pending.ahead();
            state.window.ahead();
            fetch(Some(&state.strata));
            fetch(Some(&state.expired));
            fetch(Some(&state.stale));
        }
    }

    /// The same for what that points to.
    pub(crate) fn ahead_further(&self, observation: &Observation) {
        if let Some((state, claim)) = self.concerned(observation) {
            state.pending.ahead_further(claim);
            state.window.ahead_further(claim);
            state.strata.ahead();
        }
    }

    /// The same for what is behind that.
    pub(crate) fn ahead_last(&self, observation: &Observation) {
        if let Some((state, claim)) = self.concerned(observation) {
            state.pending.ahead_last(claim);
            state.window.ahead_last(claim);
        }
    }

    /// What there is, and the claim that an observation is about.
    fn concerned(&self, observation: &Observation) -> Option<(&State, u64)> {
        match &observation.kind {
            Kind::Claim { claim, .. } | Kind::Verdict { claim, .. } => Some((self.0.as_deref()?, claim.get())),
            _ => None,
        }
    }

    /// The same for what is looked at when time has passed.
    pub(crate) fn ahead_of_waking(&self) {
        if let Some(state) = &self.0 {
            state.pending.ahead();
        }
    }

    /// The same for what is looked at when it is judged.
    pub(crate) fn ahead_of_judging(&self) {
        if let Some(state) = &self.0 {
            state.window.ahead();
            fetch(Some(&state.stale));
        }
    }

    /// The same for what that points to.
    pub(crate) fn ahead_further_of_judging(&self) {
        if let Some(state) = &self.0 {
            state.window.ahead_of_judging();
        }
    }

    /// Lets go of what has waited too long by `now`. Claims and verdicts do so too; this is for an agent gone quiet.
    pub fn expire(&mut self, now: Timestamp, config: &Config) {
        if let Some(state) = &mut self.0 {
            state.expire(now, config);
        }
    }

    /// The figures of the window. Costs some hundred nanoseconds whatever its size; never fits.
    pub fn figures(&self, config: &Config) -> Figures {
        self.0.as_deref().map_or_else(Figures::default, |s| Figures::of(&s.window, s.sensitivity, config))
    }

    /// The figures of the window without intervals and parts: cheap enough for every beat.
    pub fn levels(&self, config: &Config) -> Levels {
        self.0.as_deref().map_or_else(Levels::default, |s| Levels::of(&s.window, s.sensitivity, config))
    }

    /// The dearer figures, for a report; absent below the minimum sample.
    pub fn details(&self, config: &Config) -> Option<Details> {
        Details::of(&self.0.as_deref()?.window, config)
    }

    /// Whether [`Self::fit`] has something to do: there are claims enough, and their counts changed since the last fit.
    pub fn needs_fit(&self, config: &Config) -> bool {
        self.0.as_deref().is_some_and(|state| state.stale && state.window.len() >= config.sensitivity_minimum)
    }

    /// Fits d′, meta-d′ and what follows to the claims in the window, if that is due. Costs some 20 to 100
    /// microseconds for each class of tasks; the same claims always give the same fit.
    pub fn fit(&mut self, config: &Config) {
        if self.needs_fit(config)
            && let Some(state) = &mut self.0
        {
            state.sensitivity = state.strata.fit(config);
            state.stale = false;
        }
    }

    /// Claims and verdicts that wait for their other half.
    pub fn pending(&self) -> usize {
        self.0.as_deref().map_or(0, |state| state.pending.len())
    }

    /// Claims and verdicts whose other half never came.
    pub fn expired(&self) -> u64 {
        self.0.as_deref().map_or(0, |state| state.expired)
    }

    /// Claims and verdicts that were known already.
    pub fn duplicates(&self) -> u64 {
        self.0.as_deref().map_or(0, |state| state.duplicates)
    }

    /// Bytes on the heap.
    pub fn heap_bytes(&self) -> usize {
        self.0.as_deref().map_or(0, |state| {
            size_of::<State>() + state.window.heap_bytes() + state.pending.heap_bytes() + state.strata.heap_bytes()
        })
    }

    fn state(&mut self) -> &mut State {
        self.0.get_or_insert_default()
    }
}

impl State {
    fn expire(&mut self, now: Timestamp, config: &Config) {
        self.make_room(now, config.pending.min(pending::MAX), config);
    }

    /// Lets go of what is overdue, and of the oldest while more than `most` wait.
    fn make_room(&mut self, now: Timestamp, most: usize, config: &Config) {
        while let Some(overdue) = self.pending.take_overdue(now, config.expiry, most) {
            self.expired += 1;
            if let Half::Claim(_, stratum) = overdue.half {
                self.strata.leave(stratum);
            }
        }
    }

    fn wait(&mut self, waiting: Waiting, config: &Config) {
        self.make_room(waiting.at, config.pending.clamp(1, pending::MAX) - 1, config);
        self.pending.push(waiting);
    }

    /// Moves the window on by a claim that its stratum has let in.
    fn resolve(&mut self, claim: Resolved, config: &Config) {
        let cell = |claim: &Resolved| (claim.stratum, claim.correct, Counts::bin(claim.confidence));
        let (before, mut replaced) = (self.window.len(), None);
        while self.window.len() >= config.window.clamp(1, window::MAX) {
            let Some(oldest) = self.window.pop() else { break };
            self.strata.remove(oldest.stratum, oldest.confidence, oldest.correct);
            self.strata.leave(oldest.stratum);
            replaced = Some(cell(&oldest));
        }
        self.add(claim);
        // One claim in the place of its like leaves the counts as they were.
        self.stale |= self.window.len() != before || replaced != Some(cell(&claim));
    }

    fn add(&mut self, claim: Resolved) {
        self.window.push(claim);
        self.strata.add(claim.stratum, claim.confidence, claim.correct);
    }
}
