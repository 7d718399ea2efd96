//! The beating itself.

use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use super::config::Config;
use super::guard::Guard;
use super::pulse::Wiring;
use crate::analyze::vitals::{ClientFacts, Pulse, StoreFacts};
use crate::domain::{InsightKind, Observation, Severity, Timestamp};
use crate::engine::{Beat, Engine, InsightChange, Laps, Stopwatch, Watch};
use crate::sanitize::{PublicBeat, Sanitizer};
use crate::telemetry::Metrics;

/// Where accepted observations wait. Must not block.
pub trait Inbox: Send {
    /// Moves up to `max` observations, oldest first, to the end of `into`. May move a few more to keep together what
    /// came together. Returns how many.
    fn drain(&mut self, max: usize, into: &mut Vec<Observation>) -> usize;

    /// How many wait.
    fn waiting(&self) -> usize;

    /// Takes no more from now on; what waits can still be drained.
    fn close(&mut self);
}

/// Where sanitized beats go. Must not block.
pub trait Outbox: Send {
    /// Takes a beat, or gives it back.
    ///
    /// # Errors
    /// The beat itself, when there is no room for it now.
    fn offer(&mut self, beat: PublicBeat) -> Result<(), Box<PublicBeat>>;
}

/// Called after each beat, on the heart's thread; must not block.
pub type After = Box<dyn FnMut(&mut Engine, &Beat) + Send>;

/// The heart and all it works on.
pub struct Heart<I, O, F> {
    /// How it beats.
    pub config: Config,
    /// What it beats on.
    pub engine: Engine,
    /// What makes its beats presentable.
    pub sanitizer: Sanitizer,
    /// Where observations come from.
    pub inbox: I,
    /// Where beats go to.
    pub outbox: O,
    /// Tells how store and streams do; must not block.
    pub facts: F,
    /// What it counts in.
    pub metrics: Metrics,
    /// Told what each beat changed.
    pub after: After,
}

impl<I, O, F> Heart<I, O, F>
where
    I: Inbox,
    O: Outbox,
    F: FnMut() -> (StoreFacts, ClientFacts) + Send,
{
    /// Observations folded between two looks at the clock: some milliseconds' work. The more at once, the more of one
    /// agent come together, and its state is fetched from memory once for all of them.
    const CHUNK: usize = 8192;
    /// The same where an analyzer may be slow.
    const CHUNK_WATCHED: usize = 64;

    /// Beats until `stop` is told or its sender is gone; then folds all that waits in a last beat and gives the engine
    /// back. The first beat is one interval after `start`. `clock` tells the time of day.
    pub fn run(
        mut self,
        start: Instant,
        wiring: &Wiring,
        stop: &Receiver<()>,
        clock: impl Fn() -> Timestamp,
    ) -> Engine {
        let interval = self.config.interval;
        let mut chunk = Vec::with_capacity(Self::CHUNK);
        let mut held_back: Option<Box<PublicBeat>> = None;
        let mut deadline = start + interval;
        let mut analysis = None;
        let mut guard = Guard::new(self.metrics.clone());
        // Those of a state that was loaded.
        self.count_insights();
        loop {
            let stopping = match stop.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Err(RecvTimeoutError::Timeout) => false,
                Ok(()) | Err(RecvTimeoutError::Disconnected) => true,
            };
            let began = Instant::now();
            let lateness = began.saturating_duration_since(deadline);
            // Deadlines that went by are missed, not made up for in a burst.
            let missed = u32::try_from(lateness.as_nanos() / interval.as_nanos().max(1)).unwrap_or(u32::MAX);
            let next = deadline + interval * missed.saturating_add(1);
            wiring.beat(lateness, next);

            if stopping {
                self.inbox.close();
            }
            let now = clock();
            let budget = if stopping { Duration::MAX } else { interval.mul_f64(self.config.budget) };
            self.fold_guarded(now, began.duration_since(start), began, budget, &mut guard, &mut chunk);
            let (store, clients) = (self.facts)();
            let backlog = self.inbox.waiting() as u64;
            let pulse = Pulse { interval, lateness, missed: u64::from(missed), analysis, backlog, store, clients };
            let beat = self.engine.finish(now, &pulse);
            let took = began.elapsed();
            analysis = Some(took);
            self.count(&beat, &pulse, took);

            let mut public = Box::new(self.sanitizer.beat(&self.engine, &beat));
            if let Some(mut earlier) = held_back.take() {
                earlier.absorb(*public);
                public = earlier;
            }
            held_back = self.outbox.offer(*public).err();
            (self.after)(&mut self.engine, &beat);
            if stopping {
                return self.engine;
            }
            deadline = next;
        }
    }

    /// Folds with the analyzers that the guard lets through, and tells it what they took where it wants to know.
    fn fold_guarded(
        &mut self,
        now: Timestamp,
        elapsed: Duration,
        began: Instant,
        budget: Duration,
        guard: &mut Guard,
        chunk: &mut Vec<Observation>,
    ) {
        if self.inbox.waiting() == 0 {
            return;
        }
        let resting = guard.begin(elapsed);
        self.engine.rest(resting);
        if guard.is_watching() {
            let mut stopwatch = Stopwatch::new(resting, || began.elapsed());
            self.fold(now, began, budget, Self::CHUNK_WATCHED, &mut stopwatch, chunk);
            guard.end(elapsed, began.elapsed(), budget, |part| stopwatch.laps(part));
        } else {
            self.fold(now, began, budget, Self::CHUNK, &mut (), chunk);
            guard.end(elapsed, began.elapsed(), budget, |_| Laps::default());
        }
    }

    /// Folds what waits, oldest first, until nothing does or the budget is spent; the rest is for the next beat.
    fn fold(
        &mut self,
        now: Timestamp,
        began: Instant,
        budget: Duration,
        at_a_time: usize,
        watch: &mut impl Watch,
        chunk: &mut Vec<Observation>,
    ) {
        while self.inbox.drain(at_a_time, chunk) > 0 {
            self.engine.fold_watched(now, chunk, watch);
            chunk.clear();
            if began.elapsed() > budget {
                break;
            }
        }
    }

    fn count_insights(&self) {
        // A series at a time, so that no scrape sees them gone.
        let mut open = [[0; Severity::ALL.len()]; InsightKind::ALL.len()];
        for insight in self.engine.insights() {
            let counts = open.get_mut(insight.kind as usize);
            if let Some(count) = counts.and_then(|counts| counts.get_mut(insight.severity as usize)) {
                *count += 1;
            }
        }
        for (kind, counts) in InsightKind::ALL.iter().zip(open) {
            for (severity, count) in Severity::ALL.iter().zip(counts) {
                self.metrics.insights_open.with_label_values(&[kind.as_str(), severity.as_str()]).set(count);
            }
        }
    }

    fn count(&self, beat: &Beat, pulse: &Pulse, took: Duration) {
        let metrics = &self.metrics;
        metrics.heartbeat_beats_total.inc();
        metrics.heartbeat_missed_total.inc_by(pulse.missed);
        let (due, made) = self.engine.meta().vitals.beats();
        for (counter, total) in [(&metrics.heartbeat_state_due_total, due), (&metrics.heartbeat_state_made_total, made)]
        {
            counter.inc_by(total.saturating_sub(counter.get()));
        }
        metrics.heartbeat_skew_seconds.observe(pulse.lateness.as_secs_f64());
        metrics.metacog_analysis_latency_ms.observe(took.as_secs_f64() * 1e3);
        metrics.agents.set(i64::try_from(self.engine.agents()).unwrap_or(i64::MAX));
        metrics.agents_evicted_total.inc_by(beat.evicted);
        metrics.observations_queued.set(i64::try_from(pulse.backlog).unwrap_or(i64::MAX));
        if pulse.missed > 0 {
            tracing::warn!(missed = pulse.missed, lateness_ms = pulse.lateness.as_secs_f64() * 1e3, "beats missed");
        }
        if !beat.insights.is_empty() {
            self.count_insights();
        }
        for change in &beat.insights {
            if let InsightChange::Resolved(insight) = change {
                let (kind, agent) = (insight.kind.as_str(), insight.agent.as_ref().map(|agent| agent.as_str()));
                tracing::info!(kind, agent, id = %insight.id, "insight resolved");
            }
        }
        for id in &beat.opened {
            if let Some(insight) = self.engine.insight(*id) {
                let (kind, agent) = (insight.kind.as_str(), insight.agent.as_ref().map(|agent| agent.as_str()));
                tracing::info!(kind, agent, severity = insight.severity.as_str(), %id, "insight opened");
            }
        }
    }
}
