//! What of an agent's memory is fetched before its turn comes; see [`crate::analyze::ahead`].

use std::mem::offset_of;

use super::agent::{AgentState, Session};
use super::deal::Deal;
use super::roster::Slot;
use super::touched::Touched;
use super::{Changed, Engine};
use crate::analyze::ahead::{fetch, fetch_counts, fetch_whole};
use crate::analyze::names::Place;
use crate::domain::{Observation, Timestamp};

impl Engine {
    /// How many agents before it is needed the first piece of an agent's memory is fetched, and each further one sooner.
    pub(super) const AHEAD: usize = 8;
    /// By how many agents.
    const STEP: usize = 2;

    /// Notes the hashes of the names of the first observations.
    pub(super) fn begin_dealing(&self, deal: &mut Deal, observations: &[Observation]) {
        for (i, observation) in observations.iter().take(Self::AHEAD).enumerate() {
            deal.note_hash(i, self.roster.hash(observation.agent.as_str()));
        }
    }

    /// Fetches what finding the agents of the observations after the `i`-th needs, and notes the hash of a name.
    pub(super) fn ahead_of_dealing(&self, deal: &mut Deal, observations: &[Observation], i: usize) {
        if let Some(observation) = observations.get(i + 4 * Self::AHEAD) {
            near(observation);
        }
        if let Some(observation) = observations.get(i + Self::AHEAD + Self::AHEAD / 2) {
            fetch(observation.agent.as_str().as_bytes().first());
        }
        let next = i + Self::AHEAD;
        if let (Some(before), Some(observation)) = (observations.get(next - 1), observations.get(next)) {
            // Observations of an agent tend to come together.
            let hash = match before.agent == observation.agent {
                true => deal.hash(next - 1),
                false => self.roster.hash(observation.agent.as_str()),
            };
            deal.note_hash(next, hash);
            self.roster.ahead_of_name(hash);
        }
        if i + Self::AHEAD / 2 < observations.len() {
            self.roster.ahead_of_place(deal.hash(i + Self::AHEAD / 2));
        }
    }

    /// Fetches what folding the observations of the agents after the `i`-th needs: of each of the next ones one piece
    /// more than at the last call.
    pub(super) fn ahead(&self, places: &[Place], i: usize, deal: &Deal, observations: &[Observation]) {
        let slot = |step: usize| places.get(i + Self::AHEAD - step * Self::STEP).and_then(|at| self.roster.slot(*at));
        let dealt = |slot: &Slot| deal.cards(slot.hand).filter_map(|card| observations.get(card)).take(Self::AHEAD);
        if let Some(place) = places.get(i + Self::AHEAD + Self::STEP) {
            self.roster.ahead(*place);
            self.roster.ahead_of_touching(*place);
        }
        if let Some(place) = places.get(i + Self::AHEAD / 2) {
            self.roster.ahead_further_of_touching(*place);
        }
        if let Some(slot) = slot(0) {
            slot.state.ahead();
            dealt(slot).for_each(near);
        }
        if let Some(slot) = slot(1) {
            slot.state.ahead_of_all();
            dealt(slot).for_each(|observation| slot.state.ahead_of(observation));
            if slot.hand.len() <= Self::AHEAD {
                dealt(slot).for_each(ahead_of_text);
            }
        }
        if let Some(slot) = slot(2) {
            slot.state.ahead_further_of_all(slot.hand.len());
            dealt(slot).for_each(|observation| slot.state.ahead_further(observation));
        }
        if let Some(slot) = slot(3) {
            dealt(slot).for_each(|observation| slot.state.ahead_last(observation));
        }
    }

    /// Fetches, at each call, what folding the observations of one agent needs some observations later: with those that
    /// [`Self::ahead`] saw, it begins behind them.
    pub(super) fn later<'a>(
        cards: impl Iterator<Item = &'a Observation> + Clone,
        mut left: usize,
    ) -> impl FnMut(&AgentState) {
        let (mut near_next, mut next) = (cards.clone().skip(2 * Self::AHEAD), cards.skip(Self::AHEAD));
        move |state| {
            left = left.saturating_sub(1);
            if let Some(observation) = next.next() {
                state.ahead_of(observation);
                state.ahead_further(observation);
                // No others are quoted.
                if left < 2 * Self::AHEAD {
                    ahead_of_text(observation);
                }
                near_next.next().into_iter().for_each(near);
            }
        }
    }

    /// Fetches what asking the next agents needs, likewise.
    pub(super) fn ahead_of_waking(&self, woken: &[(Timestamp, Place)], i: usize) {
        let place = |step: usize| woken.get(i + Self::AHEAD - step * Self::STEP).map(|(_, place)| *place);
        if let Some(place) = place(0) {
            self.roster.ahead(place);
        }
        if let Some(slot) = place(1).and_then(|place| self.roster.slot(place)) {
            slot.state.ahead();
        }
        if let Some(slot) = place(2).and_then(|place| self.roster.slot(place)) {
            slot.state.ahead_of_waking();
        }
    }

    /// Fetches what judging the next agents needs, likewise.
    pub(super) fn ahead_of_judging(&self, places: &[Place], i: usize) {
        if let Some(place) = places.get(i + Self::AHEAD + Self::STEP) {
            self.roster.ahead(*place);
        }
        let slot = |step: usize| places.get(i + Self::AHEAD - step * Self::STEP).and_then(|at| self.roster.slot(*at));
        if let Some(slot) = slot(0) {
            slot.state.ahead();
        }
        if let Some(slot) = slot(1) {
            fetch_counts(slot.agent.as_str());
            slot.state.ahead_of_judging(slot.touched);
        }
        if let Some(slot) = slot(2) {
            slot.state.ahead_further_of_judging(slot.touched);
        }
    }

    /// Fetches what showing the next agents of these needs, likewise.
    pub(crate) fn ahead_of_showing(&self, changes: &[Changed], i: usize) {
        if let Some(change) = changes.get(i + Self::AHEAD + Self::STEP) {
            self.roster.ahead(change.place);
        }
        let known = |change: &Changed| Some((&self.roster.slot(change.place)?.state, change.touched));
        let state = |step: usize| changes.get(i + Self::AHEAD - step * Self::STEP).and_then(known);
        if let Some((state, _)) = state(0) {
            state.ahead();
        }
        if let Some(change) = changes.get(i + Self::AHEAD) {
            fetch_counts(change.agent.as_str());
        }
        if let Some((state, touched)) = state(1) {
            state.ahead_of_showing(touched);
        }
        if let Some((state, touched)) = state(2) {
            state.ahead_further_of_showing(touched);
        }
    }
}

impl AgentState {
    /// Fetches the agent itself; see [`crate::analyze::ahead`].
    pub(super) fn ahead(&self) {
        fetch_whole::<Self, _>(&self.touched, offset_of!(Self, touched));
    }

    /// Fetches what asking what has come due needs.
    pub(super) fn ahead_of_waking(&self) {
        self.progress.ahead();
        self.silence.ahead();
        self.load.ahead_of_judging();
        self.calibration.ahead_of_waking();
    }

    /// Fetches what judging it needs where that was touched.
    pub(super) fn ahead_of_judging(&self, touched: Touched) {
        fetch(self.open.first());
        self.progress.ahead();
        self.silence.ahead();
        if touched.has(Touched::SERIES) {
            self.drift.ahead_of_judging();
        }
        if touched.has(Touched::LOAD) {
            self.load.ahead_of_judging();
        }
        if touched.has(Touched::CLAIMS) {
            self.calibration.ahead_of_judging();
        }
    }

    /// Fetches what these point to.
    pub(super) fn ahead_further_of_judging(&self, touched: Touched) {
        if touched.has(Touched::LOAD) {
            self.load.ahead_further_of_judging();
        }
        if touched.has(Touched::CLAIMS) {
            self.calibration.ahead_further_of_judging();
        }
    }

    /// Fetches what showing it needs where that was touched.
    pub(super) fn ahead_of_showing(&self, touched: Touched) {
        if touched.has(Touched::SERIES) {
            self.drift.ahead_of_showing();
        }
        if touched.has(Touched::LOAD) {
            self.load.ahead_of_judging();
        }
        if touched.has(Touched::CLAIMS) {
            self.calibration.ahead_of_judging();
        }
        if touched.has(Touched::PROGRESS) {
            self.progress.ahead();
        }
    }

    /// Fetches what these point to.
    pub(super) fn ahead_further_of_showing(&self, touched: Touched) {
        if touched.has(Touched::LOAD) {
            self.load.ahead_of_figures();
        }
        if touched.has(Touched::CLAIMS) {
            self.calibration.ahead_further_of_judging();
        }
    }

    /// Fetches what the agent points to and folding any observation needs.
    pub(super) fn ahead_of_all(&self) {
        self.progress.ahead();
        self.silence.ahead();
        self.sessions.ahead();
        self.quotes.iter().for_each(|quote| fetch(Some(quote)));
    }

    /// Fetches what these point to, for so many observations.
    pub(super) fn ahead_further_of_all(&self, observations: usize) {
        for quote in self.quotes.iter().take(observations) {
            fetch_counts(quote.text.excerpt());
        }
    }

    /// Fetches what the agent points to and folding an observation needs.
    pub(super) fn ahead_of(&self, observation: &Observation) {
        if let Some(id) = observation.id {
            self.ids.ahead(id);
        }
        self.load.ahead(observation);
        self.drift.ahead(observation);
        self.calibration.ahead(observation);
    }

    /// Fetches what these point to.
    pub(super) fn ahead_further(&self, observation: &Observation) {
        self.load.ahead_further(observation);
        self.drift.ahead_further(observation);
        self.calibration.ahead_further(observation);
        if let Some(session) = self.sessions.get(observation.session) {
            fetch_whole::<Session, _>(&session.touched, offset_of!(Session, touched));
        }
    }

    /// Fetches what these point to in turn.
    pub(super) fn ahead_last(&self, observation: &Observation) {
        self.calibration.ahead_last(observation);
        if let Some(session) = self.sessions.get(observation.session) {
            session.stuck.ahead_further(observation);
        }
    }
}

/// Fetches what quoting an observation needs.
fn ahead_of_text(observation: &Observation) {
    if let Some(text) = observation.kind.text() {
        fetch_counts(text.excerpt());
    }
}

/// Fetches an observation itself.
fn near(observation: &Observation) {
    fetch(Some(&observation.agent));
    fetch(Some(&observation.id));
    fetch(Some(&observation.kind));
    fetch(Some(&observation.source));
}
