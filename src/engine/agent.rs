//! What is remembered of one agent, and what is concluded from it.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::advice;
use super::config::Config;
use super::damping::Damper;
use super::insights::{InsightBook, InsightChange, Occasion, OpenKinds};
use super::links;
use super::part::{Part, Watch};
use super::reflection::{self, Quote};
use super::sessions::Sessions;
use super::touched::Touched;
use super::window::IdWindow;
use crate::analyze::calibration::Calibration;
use crate::analyze::drift::{self, Change, Drift, Series};
use crate::analyze::errors::Errors;
use crate::analyze::load::Load;
use crate::analyze::progress::Progress;
use crate::analyze::silence::Silence;
use crate::analyze::stuck::{Detection, Event, Stuck};
use crate::domain::{Advice, Assessment, InsightKind, Kind, Observation, SessionKey, Status, Timestamp};

/// One agent's part of the meta-state: private, and serialised whole.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AgentState {
    /// When it was first seen.
    pub first_seen: Timestamp,
    /// When its last observation was folded.
    pub last_seen: Timestamp,
    /// The engine's count of observations when this agent was last seen: the order in which agents are forgotten.
    pub touched: u64,
    /// Observations counted.
    pub observations: u64,
    /// Observations that were counted already.
    pub duplicates: u64,
    /// Its sessions.
    pub sessions: Sessions,
    /// Those of them that are in a loop.
    pub looping: Vec<SessionKey>,
    /// Its claims and how they turned out.
    pub calibration: Calibration,
    /// Its failures.
    pub errors: Errors,
    /// The levels of its figures.
    pub drift: Drift,
    /// Its latency, tokens and cost.
    pub load: Load,
    /// How far it has come.
    pub progress: Progress,
    /// Its cadence.
    pub silence: Silence,
    /// What it said and did lately.
    pub quotes: VecDeque<Quote>,
    /// Its open insights.
    pub open: OpenKinds,
    /// What keeps them from flapping.
    pub damper: Damper,
    /// What it is doing.
    pub status: Status,
    /// What it should do.
    pub advice: Advice,
    /// Which of its observations were counted already.
    pub ids: IdWindow,
    /// When it is judged again although nothing came in.
    pub due: Option<Timestamp>,
}

/// One conversation or task run of an agent.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Session {
    /// The agent's count of observations when the session was last seen: the order in which sessions are forgotten.
    pub touched: u64,
    /// When it was last seen.
    pub last_seen: Timestamp,
    /// Its steps.
    pub stuck: Stuck,
}

/// What folding an observation did.
pub(super) struct Folded {
    /// Whether it counted, or was known already.
    pub(super) counted: bool,
    /// Kinds of insights to be judged at once: what begins and ends within one beat would else never be told.
    pub(super) turned: [Option<InsightKind>; 2],
    /// What it changed.
    pub(super) touched: Touched,
}

/// Something that an observation brought to light, for reports.
#[derive(Debug, Clone, PartialEq)]
pub enum Note {
    /// A loop was detected.
    Stuck(SessionKey, Detection),
    /// A series changed its level.
    Drift(Change),
}

impl AgentState {
    /// An agent that is seen for the first time.
    pub fn new(now: Timestamp) -> Self {
        Self {
            first_seen: now,
            last_seen: now,
            touched: 0,
            observations: 0,
            duplicates: 0,
            sessions: Sessions::default(),
            looping: Vec::new(),
            calibration: Calibration::default(),
            errors: Errors::default(),
            drift: Drift::default(),
            load: Load::default(),
            progress: Progress::default(),
            silence: Silence::default(),
            quotes: VecDeque::new(),
            open: OpenKinds::new(),
            damper: Damper::default(),
            status: Status::Idle,
            advice: Advice::Continue,
            ids: IdWindow::default(),
            due: None,
        }
    }

    /// Folds one observation. To quote it is the caller's part.
    pub(super) fn fold(
        &mut self,
        observation: &Observation,
        now: Timestamp,
        config: &Config,
        watch: &mut impl Watch,
        mut note: impl FnMut(Note),
    ) -> Folded {
        if observation.id.is_some_and(|id| !self.ids.admit(id, config.ids_per_agent)) {
            self.duplicates += 1;
            return Folded { counted: false, turned: [None; 2], touched: Touched::default() };
        }
        self.observations += 1;
        self.last_seen = now;
        let mut touched = Touched::by(observation);
        let stuck = watch.call(Part::Stuck, || self.fold_steps(observation, now, config, &mut touched, &mut note));
        let errors = watch.call(Part::Errors, || self.errors.observe(observation, &config.errors));
        watch.call(Part::Load, || self.load.observe(observation));
        watch.call(Part::Progress, || self.progress.observe(observation));
        watch.call(Part::Silence, || self.silence.observe(observation, now));
        if self.fold_claims(observation, config, watch, &mut note) {
            touched.add(Touched::CLAIMS);
        }
        if let Kind::Result { ok, error, duration_ms, .. } = &observation.kind {
            if let Some(ms) = duration_ms {
                self.series(Series::Latency, drift::latency_value(*ms), observation.at, watch, &mut note);
            }
            let infrastructure = !ok && error.as_ref().is_some_and(|error| error.infrastructure);
            let change = watch.call(Part::Drift, || self.drift.observe_result(!ok, infrastructure, observation.at));
            change.map(Note::Drift).map(&mut note);
        }
        Folded { counted: true, turned: [stuck, errors], touched }
    }

    /// Looks for loops in the observation's session.
    fn fold_steps(
        &mut self,
        observation: &Observation,
        now: Timestamp,
        config: &Config,
        touched: &mut Touched,
        note: &mut impl FnMut(Note),
    ) -> Option<InsightKind> {
        let (key, looping) = (observation.session, self.looping.len());
        let session = self.session(key, config.sessions_per_agent);
        session.last_seen = now;
        let event = session.stuck.observe(observation, &config.stuck);
        if event.is_some() || self.looping.len() != looping {
            touched.add(Touched::STEPS);
        }
        let event = event?;
        match event {
            Event::Detected(detection) => {
                note(Note::Stuck(key, detection));
                self.looping.push(key);
            }
            // It goes on although it was taken to have ended.
            Event::Continued(_) if !self.looping.contains(&key) => self.looping.push(key),
            Event::Continued(_) => return None,
            Event::Broken => self.looping.retain(|looping| *looping != key),
        }
        Some(InsightKind::Stuck)
    }

    /// Joins claims and verdicts; whether one was resolved.
    fn fold_claims(
        &mut self,
        observation: &Observation,
        config: &Config,
        watch: &mut impl Watch,
        note: &mut impl FnMut(Note),
    ) -> bool {
        let at = observation.at;
        let (joined, correct) = match &observation.kind {
            Kind::Claim { claim, confidence, correct, task } => {
                let joined = watch.call(Part::Calibration, || {
                    self.calibration.claim(at, *claim, *confidence, *correct, *task, &config.calibration)
                });
                if joined.claim {
                    self.series(Series::Confidence, confidence.get(), at, watch, note);
                }
                (joined, *correct)
            }
            Kind::Verdict { claim, correct } => {
                let joined = watch
                    .call(Part::Calibration, || self.calibration.verdict(at, *claim, *correct, &config.calibration));
                (joined, Some(*correct))
            }
            _ => return false,
        };
        if let (true, Some(correct)) = (joined.verdict, correct) {
            self.series(Series::Accuracy, if correct { 1.0 } else { 0.0 }, at, watch, note);
        }
        joined.resolved
    }

    fn series(
        &mut self,
        series: Series,
        value: f64,
        at: Timestamp,
        watch: &mut impl Watch,
        note: &mut impl FnMut(Note),
    ) {
        if let Some(change) = watch.call(Part::Drift, || self.drift.observe(series, value, at)) {
            note(Note::Drift(change));
        }
    }

    /// The session of this key; for a new one, the one not seen for the longest time makes room.
    fn session(&mut self, key: SessionKey, limit: usize) -> &mut Session {
        if self.sessions.len() >= limit.max(1) && self.sessions.get(key).is_none() {
            let oldest = self.sessions.iter().min_by_key(|(_, session)| session.touched).map(|(key, _)| key);
            if let Some(oldest) = oldest {
                self.sessions.remove(oldest);
                self.looping.retain(|looping| *looping != oldest);
            }
        }
        let session = self.sessions.enter(key);
        session.touched = self.observations;
        session
    }

    /// The loop it is in, the longest where there are several.
    pub fn loop_now(&self) -> Option<&Detection> {
        let sessions = self.looping.iter().filter_map(|key| self.sessions.get(*key));
        sessions.filter_map(|session| session.stuck.current()).max_by_key(|detection| detection.repeats)
    }

    /// Lets go of what time alone has ended: a session or an agent that was not seen for so long goes on no more, so
    /// neither do its loops and failures.
    fn lapse(&mut self, now: Timestamp, config: &Config) {
        let ended = |seen: Timestamp| now.since(seen) >= config.silence.ended_after;
        self.looping.retain(|key| self.sessions.get(*key).is_some_and(|session| !ended(session.last_seen)));
        if ended(self.last_seen) {
            self.errors.end();
        }
    }

    /// Judges the kinds of insights that rest on what was touched, carries out what follows, and concludes its status
    /// and advice.
    pub(super) fn assess(
        &mut self,
        occasion: &Occasion<'_>,
        touched: Touched,
        config: &Config,
        book: &mut InsightBook,
        changes: &mut Vec<InsightChange>,
    ) {
        if touched == Touched::ALL {
            self.calibration.expire(occasion.now, &config.calibration);
            self.lapse(occasion.now, config);
        }
        let (before, causes) = (changes.len(), touched.has(Touched::CAUSES));
        for kind in KINDS {
            let open = self.is_open(kind);
            // An overload shows more figures once it is open, and one that is held open may be over.
            let unsettled = open && (kind == InsightKind::Overloaded || self.damper.is_held(kind));
            if touched.concerns(kind) || unsettled {
                self.assess_kind(kind, occasion, config, book, changes);
            } else if open && (causes || changes.len() > before) && !occasion.rests(kind) {
                // What it rests on is as it was, but what explains it may have opened or resolved just now.
                self.carry_out(kind, Assessment::Hold, occasion, book, changes);
            }
        }
        let active = occasion.now.since(self.last_seen) < config.idle_after
            || self.silence.is_awaited(occasion.now, &config.silence);
        // An active agent whose insights are as they were is in the state in which it was.
        if causes || changes.len() > before || !active || self.status == Status::Idle {
            let insights: Vec<_> = self.open.iter().filter_map(|(_, id)| book.get(*id)).collect();
            let insights = insights.iter().copied();
            self.status = advice::status(insights.clone(), active);
            self.advice = insights.map(advice::advice).max().unwrap_or(Advice::Continue);
        }
    }

    /// Judges one kind and carries out what follows.
    pub(super) fn assess_kind(
        &mut self,
        kind: InsightKind,
        occasion: &Occasion<'_>,
        config: &Config,
        book: &mut InsightBook,
        changes: &mut Vec<InsightChange>,
    ) {
        // What an analyzer that rests was not told of, it cannot judge.
        if !occasion.rests(kind) {
            let assessment = self.judge(kind, occasion.now, config);
            self.carry_out(kind, assessment, occasion, book, changes);
        }
    }

    fn carry_out(
        &mut self,
        kind: InsightKind,
        assessment: Assessment,
        occasion: &Occasion<'_>,
        book: &mut InsightBook,
        changes: &mut Vec<InsightChange>,
    ) {
        let assessment = links::linked(kind, assessment, &self.open, book);
        let words = |evidence: &_| reflection::content(kind, evidence, self.quotes.iter());
        // A loop has ended when it has: the definition says so.
        let damper = if kind == InsightKind::Stuck { None } else { Some(&mut self.damper) };
        changes.extend(book.carry_out(occasion, &mut self.open, damper, kind, assessment, words));
    }

    fn is_open(&self, kind: InsightKind) -> bool {
        self.open.iter().any(|(known, _)| *known == kind)
    }

    fn judge(&self, kind: InsightKind, now: Timestamp, config: &Config) -> Assessment {
        let open = self.is_open(kind);
        match kind {
            InsightKind::Stuck => match self.loop_now() {
                Some(detection) => Assessment::Raise(detection.severity(&config.stuck), detection.evidence()),
                None => Assessment::Clear,
            },
            InsightKind::Blocked | InsightKind::ErrorStreak => self.errors.assess(kind, &config.errors),
            InsightKind::Overconfident | InsightKind::Underconfident | InsightKind::Unreliable => {
                self.calibration.assess(kind, open, &config.calibration)
            }
            InsightKind::Drift => self.drift.assess(kind, open, now, &config.drift),
            InsightKind::Overloaded => self.load.assess(kind, open, now, &config.load),
            InsightKind::Stalled => self.progress.assess(kind, open, now, &config.progress),
            InsightKind::Silent => self.silence.assess(kind, open, now, &config.silence),
            // The daemon's own.
            InsightKind::HeartSkewed
            | InsightKind::StoreDegraded
            | InsightKind::AnalysisOverrun
            | InsightKind::ClientsSlow => Assessment::Hold,
        }
    }
}

/// Kinds of insights about agents, causes before what they explain.
const KINDS: [InsightKind; 10] = [
    InsightKind::Stuck,
    InsightKind::Blocked,
    InsightKind::ErrorStreak,
    InsightKind::Overloaded,
    InsightKind::Drift,
    InsightKind::Overconfident,
    InsightKind::Underconfident,
    InsightKind::Unreliable,
    InsightKind::Stalled,
    InsightKind::Silent,
];
