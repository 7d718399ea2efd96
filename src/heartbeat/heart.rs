//! The beating itself.

use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender};
use std::time::{Duration, Instant};

use super::config::Config;
use super::guard::Guard;
use super::pace::Pace;
use super::pulse::Wiring;
use crate::analyze::vitals::{ClientFacts, Pulse, StoreFacts};
use crate::domain::{InsightKind, Observation, Severity, Timestamp};
use crate::engine::{Beat, Engine, InsightChange, Laps, Reading, Stopwatch, Watch};
use crate::sanitize::{Relayed, Sanitizer};
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

    /// How far the stream of observations is read by what was drained; `None` where there is no such stream.
    fn reading(&self) -> Option<&Reading>;
}

/// Where sanitized beats go. Must not block.
pub trait Outbox: Send {
    /// Takes a beat, or gives it back.
    ///
    /// # Errors
    /// The beat itself, when there is no room for it now.
    fn offer(&mut self, beat: Relayed) -> Result<(), Box<Relayed>>;

    /// A beat of a heart that leads nothing.
    fn idle(&mut self, now: Timestamp);
}

/// Called after each beat, on the heart's thread; must not block.
pub type After = Box<dyn FnMut(&mut Engine, &Beat) + Send>;

/// What the heart leads with.
pub struct Lead<I> {
    /// What it beats on.
    pub engine: Engine,
    /// Where observations come from.
    pub inbox: I,
    /// Told what each beat changed.
    pub after: After,
}

/// What the heart is to do.
pub enum Order<I> {
    /// Fold and analyse from the next beat on.
    Lead(Box<Lead<I>>),
    /// Fold what waits in a last beat at once, give the engine back where it leads, and beat on without one. Its inbox and
    /// [`Lead::after`] are dropped before.
    Rest(SyncSender<Option<Engine>>),
}

/// The heart and all it works on.
pub struct Heart<O, F> {
    /// How it beats.
    pub config: Config,
    /// Where beats go to.
    pub outbox: O,
    /// Tells how store and streams do; must not block.
    pub facts: F,
    /// What it counts in.
    pub metrics: Metrics,
}

/// What the heart keeps from beat to beat while it leads.
struct Leading<I> {
    engine: Engine,
    inbox: I,
    after: After,
    sanitizer: Sanitizer,
    held_back: Option<Box<Relayed>>,
    analysis: Option<Duration>,
    guard: Guard,
    pace: Pace,
    chunk: Vec<Observation>,
}

/// When a beat is.
struct Moment {
    now: Timestamp,
    /// Since the heart's start.
    elapsed: Duration,
    began: Instant,
    lateness: Duration,
    missed: u32,
}

impl<O, F> Heart<O, F>
where
    O: Outbox,
    F: FnMut() -> (StoreFacts, ClientFacts) + Send,
{
    /// Beats until nobody gives orders any more; then folds all that waits in a last beat and gives the engine back.
    /// The first beat is one interval after `start`, or as soon as it leads if that is sooner: a pod is ready with its first
    /// beat. `clock` tells the time of day.
    pub fn run<I: Inbox>(
        mut self,
        start: Instant,
        wiring: &Wiring,
        orders: &Receiver<Order<I>>,
        clock: impl Fn() -> Timestamp,
    ) -> Option<Engine> {
        let interval = self.config.interval;
        let mut deadline = start + interval;
        let mut leading: Option<Leading<I>> = None;
        let mut led = false;
        loop {
            let order = orders.recv_timeout(deadline.saturating_duration_since(Instant::now()));
            let began = Instant::now();
            let moment = |lateness, missed| {
                let elapsed = began.duration_since(start);
                Moment { now: clock(), elapsed, began, lateness, missed }
            };
            match order {
                Ok(Order::Lead(lead)) => {
                    leading = Some(Leading::new(*lead, self.metrics.clone()));
                    if !std::mem::replace(&mut led, true) {
                        deadline = began;
                    }
                    continue;
                }
                Ok(Order::Rest(reply)) => {
                    let last = leading.take().map(|leading| self.last_beat(leading, &moment(Duration::ZERO, 0)));
                    // Whoever asked may be gone.
                    let _ = reply.send(last);
                    continue;
                }
                Err(RecvTimeoutError::Disconnected) => {
                    return leading.map(|leading| self.last_beat(leading, &moment(Duration::ZERO, 0)));
                }
                Err(RecvTimeoutError::Timeout) => {}
            }
            let lateness = began.saturating_duration_since(deadline);
            // Deadlines that went by are missed, not made up for in a burst.
            let missed = u32::try_from(lateness.as_nanos() / interval.as_nanos().max(1)).unwrap_or(u32::MAX);
            deadline += interval * missed.saturating_add(1);
            wiring.beat(lateness, deadline);
            self.count_beat(lateness, missed);
            let moment = moment(lateness, missed);
            match &mut leading {
                Some(leading) => self.beat(leading, &moment, interval.mul_f64(self.config.budget)),
                None => self.outbox.idle(moment.now),
            }
        }
    }

    fn last_beat<I: Inbox>(&mut self, mut leading: Leading<I>, moment: &Moment) -> Engine {
        leading.inbox.close();
        self.beat(&mut leading, moment, Duration::MAX);
        let none = [[0; Severity::ALL.len()]; InsightKind::ALL.len()];
        tell_insights(&self.metrics, none);
        self.metrics.agents.set(0);
        self.metrics.observations_queued.set(0);
        leading.engine
    }

    fn beat<I: Inbox>(&mut self, leading: &mut Leading<I>, moment: &Moment, budget: Duration) {
        let Moment { now, began, lateness, missed, .. } = *moment;
        leading.fold_guarded(moment, budget);
        if let Some(reading) = leading.inbox.reading() {
            leading.engine.has_read(reading);
        }
        let (store, clients) = (self.facts)();
        let backlog = leading.inbox.waiting() as u64;
        let (interval, analysis) = (self.config.interval, leading.analysis);
        let pulse = Pulse { interval, lateness, missed: u64::from(missed), analysis, backlog, store, clients };
        let after = Some(leading.engine.meta().beat);
        let beat = leading.engine.finish(now, &pulse);
        let took = began.elapsed();
        leading.analysis = Some(took);
        self.count(&leading.engine, &beat, &pulse, took);

        let mut told = Box::new(Relayed { after, beat: leading.sanitizer.beat(&leading.engine, &beat) });
        if let Some(mut earlier) = leading.held_back.take() {
            earlier.beat.absorb(told.beat);
            told = earlier;
        }
        leading.held_back = self.outbox.offer(*told).err();
        (leading.after)(&mut leading.engine, &beat);
    }

    fn count_beat(&self, lateness: Duration, missed: u32) {
        let metrics = &self.metrics;
        metrics.heartbeat_beats_total.inc();
        metrics.heartbeat_missed_total.inc_by(u64::from(missed));
        metrics.heartbeat_skew_seconds.observe(lateness.as_secs_f64());
        if missed > 0 {
            tracing::warn!(missed, lateness_ms = lateness.as_secs_f64() * 1e3, "beats missed");
        }
    }

    fn count(&self, engine: &Engine, beat: &Beat, pulse: &Pulse, took: Duration) {
        let metrics = &self.metrics;
        let (due, made) = engine.meta().vitals.beats();
        for (counter, total) in [(&metrics.heartbeat_state_due_total, due), (&metrics.heartbeat_state_made_total, made)]
        {
            counter.inc_by(total.saturating_sub(counter.get()));
        }
        metrics.metacog_analysis_latency_ms.observe(took.as_secs_f64() * 1e3);
        metrics.agents.set(i64::try_from(engine.agents()).unwrap_or(i64::MAX));
        metrics.agents_evicted_total.inc_by(beat.evicted);
        metrics.observations_queued.set(i64::try_from(pulse.backlog).unwrap_or(i64::MAX));
        if !beat.insights.is_empty() {
            count_insights(metrics, engine);
        }
        for change in &beat.insights {
            if let InsightChange::Resolved(insight) = change {
                let (kind, agent) = (insight.kind.as_str(), insight.agent.as_ref().map(|agent| agent.as_str()));
                tracing::info!(kind, agent, id = %insight.id, "insight resolved");
            }
        }
        for id in &beat.opened {
            if let Some(insight) = engine.insight(*id) {
                let (kind, agent) = (insight.kind.as_str(), insight.agent.as_ref().map(|agent| agent.as_str()));
                tracing::info!(kind, agent, severity = insight.severity.as_str(), %id, "insight opened");
            }
        }
    }
}

impl<I: Inbox> Leading<I> {
    /// Observations folded between two looks at the clock where an analyzer may be slow.
    const CHUNK_WATCHED: usize = 64;

    fn new(lead: Lead<I>, metrics: Metrics) -> Self {
        let Lead { engine, inbox, after } = lead;
        // Those of a state that was loaded.
        count_insights(&metrics, &engine);
        // Beats tell what changed; whoever sees the first one is told the whole state.
        let held_back = Some(Box::new(Relayed { after: None, beat: Sanitizer::whole(&engine) }));
        Self {
            engine,
            inbox,
            after,
            sanitizer: Sanitizer::default(),
            held_back,
            analysis: None,
            guard: Guard::new(metrics),
            pace: Pace::default(),
            chunk: Vec::new(),
        }
    }

    /// Folds with the analyzers that the guard lets through, and tells it what they took where it wants to know.
    fn fold_guarded(&mut self, moment: &Moment, budget: Duration) {
        if self.inbox.waiting() == 0 {
            return;
        }
        let Moment { elapsed, began, .. } = *moment;
        let resting = self.guard.begin(elapsed);
        self.engine.rest(resting);
        if self.guard.is_watching() {
            let mut stopwatch = Stopwatch::new(resting, || began.elapsed());
            self.fold(moment, budget, Self::CHUNK_WATCHED, &mut stopwatch);
            self.guard.end(elapsed, began.elapsed(), budget, |part| stopwatch.laps(part));
        } else {
            self.fold(moment, budget, usize::MAX, &mut ());
            self.guard.end(elapsed, began.elapsed(), budget, |_| Laps::default());
        }
    }

    /// Folds what waits, oldest first, until nothing does or the budget is spent; the rest is for the next beat.
    fn fold(&mut self, moment: &Moment, budget: Duration, most: usize, watch: &mut impl Watch) {
        let mut spent = moment.began.elapsed();
        loop {
            let some = self.pace.next(budget.saturating_sub(spent)).min(most);
            let drained = self.inbox.drain(some, &mut self.chunk);
            if drained == 0 {
                break;
            }
            self.engine.fold_watched(moment.now, &self.chunk, watch);
            self.chunk.clear();
            let before = std::mem::replace(&mut spent, moment.began.elapsed());
            self.pace.took(drained, spent.saturating_sub(before));
            if spent > budget {
                break;
            }
        }
    }
}

fn count_insights(metrics: &Metrics, engine: &Engine) {
    let mut open = [[0; Severity::ALL.len()]; InsightKind::ALL.len()];
    for insight in engine.insights() {
        let counts = open.get_mut(insight.kind as usize);
        if let Some(count) = counts.and_then(|counts| counts.get_mut(insight.severity as usize)) {
            *count += 1;
        }
    }
    tell_insights(metrics, open);
}

/// A series at a time, so that no scrape sees them gone.
fn tell_insights(metrics: &Metrics, open: [[i64; Severity::ALL.len()]; InsightKind::ALL.len()]) {
    for (kind, counts) in InsightKind::ALL.iter().zip(open) {
        for (severity, count) in Severity::ALL.iter().zip(counts) {
            metrics.insights_open.with_label_values(&[kind.as_str(), severity.as_str()]).set(count);
        }
    }
}
