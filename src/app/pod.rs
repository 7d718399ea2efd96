//! One pod among several: begins to lead, follows, goes on alone, as the lease has it.

use std::sync::Arc;
use std::sync::mpsc as std_mpsc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::heart::{Inlet, Order};
use super::role::{Duty, Role};
use crate::clock;
use crate::cluster::{self, Reader, Source, Spool, Tenure};
use crate::domain::InstanceName;
use crate::engine::{self, Document, Engine};
use crate::heartbeat::Lead;
use crate::link::Endpoint;
use crate::sanitize::Position;
use crate::store::{Loaded, Store};
use crate::stream::Hub;
use crate::telemetry::Metrics;

/// The pod, and all that makes it lead.
pub(super) struct Pod {
    pub(super) instance: InstanceName,
    pub(super) engine: engine::Config,
    pub(super) interval: Duration,
    /// Life of the lease.
    pub(super) lease: Duration,
    /// How long a start waits for Redis.
    pub(super) boot_timeout: Duration,
    pub(super) links: Endpoint,
    pub(super) spool: Spool,
    pub(super) tenure: Tenure,
    pub(super) hub: Arc<Hub>,
    pub(super) orders: std_mpsc::Sender<Order>,
    pub(super) role: watch::Sender<Role>,
    pub(super) metrics: Metrics,
    pub(super) tasks: TaskTracker,
    /// The store, while it writes nothing.
    pub(super) store: Option<Store>,
    pub(super) time: Option<Time>,
    /// When it last had the lease.
    pub(super) led_at: Instant,
}

/// A time of the heart with an engine.
pub(super) struct Time {
    /// The epoch that its beats are of.
    epoch: u64,
    /// Whether its state comes from a time of leading. One that was begun without Redis gives way to what Redis holds.
    led: bool,
    source: watch::Sender<Source>,
    writing: JoinHandle<Store>,
}

impl Pod {
    /// How often it looks at the time.
    const LOOK: Duration = Duration::from_millis(50);
    /// Shortest time after which Redis is taken to be away.
    const QUIET: Duration = Duration::from_secs(1);
    /// Pause after a state could not be loaded.
    const RETRY: Duration = Duration::from_millis(100);

    /// Lives until `ending` is cancelled; then hands over what it leads. Storing the last state may take so long.
    pub(super) async fn run(mut self, ending: CancellationToken, last_steps: Duration) {
        let started = Instant::now();
        let mut view = self.tenure.view();
        while !ending.is_cancelled() {
            let seen = view.borrow_and_update().clone();
            let term = self.tenure.term();
            if term.is_some() {
                self.led_at = Instant::now();
            }
            match (&self.time, term) {
                (Some(time), Some(term)) if time.led && time.epoch == term.epoch => {}
                (_, Some(term)) => self.lead(term.epoch).await,
                (Some(_), None) if seen.holder.is_some() => self.step_down(&seen).await,
                // Its next term is already asked for.
                (Some(_), None) if seen.loss == Some(cluster::Loss::Resigned) && self.lost_lately() => {}
                (Some(_), None) => self.go_on_alone(seen.loss.map_or("no redis", cluster::Loss::as_str)),
                (None, None) => self.watch(&seen, started).await,
            }
            let look = Instant::now() + Self::LOOK;
            let wake = self.tenure.term().map_or(look, |term| look.min(self.tenure.instant(term.until)));
            tokio::select! {
                _ = view.changed() => {}
                () = sleep_until(wake) => {}
                () = ending.cancelled() => {}
            }
        }
        self.retire(last_steps).await;
    }

    fn lost_lately(&self) -> bool {
        self.led_at.elapsed() < Self::LOOK * 10
    }

    /// Begins to lead in an epoch.
    async fn lead(&mut self, epoch: u64) {
        let before = self.time.as_ref().map(|time| (time.epoch, time.led));
        let own = self.rest().await;
        // Where nobody led since this pod did, its own state is the newest there is.
        let newest = before.is_some_and(|(before, led)| led && epoch == before + 1);
        // Not past what the streams were shown, some of which may be made up.
        let past = self.tenure.last_heard().beat.max(own.as_ref().map_or(0, |own| own.meta().beat));
        let mut engine = match own {
            Some(own) if newest => own,
            own => match self.load().await {
                // The counter did not outlive the state: the next epoch is past it.
                Some(Loaded { document: Some(document), .. }) if document.meta.epoch >= epoch => {
                    let Document { meta, .. } = document;
                    self.tenure.hear(Position { epoch: meta.epoch, beat: meta.beat });
                    self.tenure.resign(epoch);
                    self.begin_again(own, before);
                    return;
                }
                Some(Loaded { document: Some(document), age, .. }) => {
                    let mut engine = Engine::restore(self.engine.clone(), document, epoch);
                    engine.was_absent(age, self.interval);
                    engine
                }
                Some(_) => own.unwrap_or_else(|| Engine::new(self.engine.clone(), epoch)),
                None => {
                    self.tenure.resign(epoch);
                    self.begin_again(own, before);
                    sleep(Self::RETRY).await;
                    return;
                }
            },
        };
        // Loading may have taken longer than the lease lasts.
        let lasts = self.tenure.term().is_some_and(|term| term.epoch == epoch);
        engine.lead(epoch, past);
        self.metrics.leader_changes_total.inc();
        let beat = engine.meta().beat;
        tracing::info!(epoch, beat, instance = %self.instance, reason = "lease taken", "this pod leads");
        self.begin(engine, if lasts { Duty::Leads(epoch) } else { Duty::Alone }, epoch, true);
    }

    /// Goes on with what it had.
    fn begin_again(&mut self, own: Option<Engine>, before: Option<(u64, bool)>) {
        if let (Some(own), Some((before, led))) = (own, before) {
            self.begin(own, Duty::Alone, before, led);
        }
    }

    async fn load(&mut self) -> Option<Loaded> {
        let store = self.store.as_mut()?;
        match store.load(clock::now()).await {
            Ok(loaded) => Some(loaded),
            Err(fault) => {
                tracing::warn!(fault = fault.as_str(), "the state cannot be loaded");
                None
            }
        }
    }

    /// Gives the heart an engine.
    fn begin(&mut self, engine: Engine, duty: Duty, epoch: u64, led: bool) {
        let Some(mut store) = self.store.take() else { return };
        store.lead(if led { epoch } else { 0 });
        let (mut handoff, inlet) = store.handoff(self.interval);
        let from = if duty == Duty::Alone { Source::Spool } else { Source::Stream };
        let (source, told) = watch::channel(from);
        let link = self.links.patient_link(Reader::BLOCK);
        let (reader, arrivals) = Reader::new(link, self.spool.clone(), engine.meta().reading.clone(), told);
        self.tasks.spawn(reader.run());
        let writing = self.tasks.spawn(store.run(inlet));
        self.time = Some(Time { epoch, led, source, writing });
        let leader = if led { Some(self.instance.clone()) } else { self.role.borrow().leader.clone() };
        self.turn(duty, leader);
        let after = Box::new(move |engine: &mut Engine, beat: &engine::Beat| handoff.offer(engine, beat));
        let lead = Lead { engine, inbox: Inlet::Shared(arrivals), after };
        // An error means that the heart stopped, which is noticed elsewhere.
        let _ = self.orders.send(Order::Lead(Box::new(lead)));
    }

    /// Takes the engine from the heart, with a last beat.
    async fn rest(&mut self) -> Option<Engine> {
        let Time { source, writing, .. } = self.time.take()?;
        drop(source);
        let (reply, given) = std_mpsc::sync_channel(1);
        let _ = self.orders.send(Order::Rest(reply));
        let engine = tokio::task::spawn_blocking(move || given.recv().ok().flatten()).await.ok().flatten();
        self.store = writing.await.ok();
        engine
    }

    /// Another pod leads.
    async fn step_down(&mut self, seen: &cluster::View) {
        let reason = seen.loss.map_or("found a leader", cluster::Loss::as_str);
        let leader = named(seen);
        let epoch = self.time.as_ref().map(|time| time.epoch);
        self.rest().await;
        if let Some(store) = &self.store {
            store.stand_by();
        }
        tracing::info!(epoch, instance = %self.instance, leader = leader.as_ref().map(InstanceName::as_str), reason, "this pod follows");
        self.turn(Duty::Follows, leader);
    }

    /// Nobody is known to lead, and this pod has a state.
    fn go_on_alone(&mut self, reason: &'static str) {
        let Some(time) = &self.time else { return };
        if self.role.borrow().duty != Duty::Alone {
            let epoch = time.epoch;
            tracing::warn!(epoch, instance = %self.instance, reason, "this pod goes on alone: it cannot be sure to lead");
            time.source.send_replace(Source::Spool);
            let leader = self.role.borrow().leader.clone();
            self.turn(Duty::Alone, leader);
        }
    }

    /// Looks how those do who lead nothing.
    async fn watch(&mut self, seen: &cluster::View, started: Instant) {
        let Role { duty, leader } = self.role.borrow().clone();
        let leader = named(seen).or(leader);
        // A takeover takes a lease and a little.
        let unheard = self.tenure.unheard() > self.lease * 2 + Duration::from_secs(2);
        // Whoever waits for beats is answered twice a second.
        let lost = self.tenure.silence() > self.lease.max(Self::QUIET) || unheard;
        let instance = &self.instance;
        match duty {
            Duty::Starting if seen.holder.is_some() => {
                tracing::info!(%instance, leader = leader.as_ref().map(InstanceName::as_str), reason = "found a leader", "this pod follows");
                self.turn(Duty::Follows, leader);
            }
            Duty::Starting if started.elapsed() >= self.boot_timeout => self.begin_alone().await,
            Duty::Follows if lost && self.hub.position().is_some() => {
                let reason = if unheard { "no beats" } else { "no redis" };
                tracing::warn!(%instance, reason, "this pod is degraded: it shows what it was told last");
                self.turn(Duty::Degraded, leader);
            }
            // It has never seen a leader's state.
            Duty::Follows if lost && started.elapsed() >= self.boot_timeout.max(self.lease * 2) => {
                self.begin_alone().await
            }
            Duty::Degraded if !lost => {
                tracing::info!(%instance, reason = "redis is back", "this pod follows");
                self.turn(Duty::Follows, leader);
            }
            _ => self.turn(duty, leader),
        }
    }

    /// Begins without a lease: with what Redis holds, if that can be read at least, or a fresh state.
    async fn begin_alone(&mut self) {
        let found = timeout(self.boot_timeout.max(Self::RETRY), self.load()).await.ok().flatten();
        if self.tenure.term().is_some() {
            return;
        }
        let past = self.hub.position();
        let mut engine = match found.and_then(|loaded| loaded.document.map(|document| (document, loaded.age))) {
            Some((document, age)) => {
                let epoch = document.meta.epoch;
                let mut engine = Engine::restore(self.engine.clone(), document, epoch);
                engine.was_absent(age, self.interval);
                engine
            }
            None => Engine::new(self.engine.clone(), 0),
        };
        if let Some(past) = past {
            let epoch = engine.meta().epoch.max(past.epoch);
            engine.lead(epoch, past.beat);
        }
        let epoch = engine.meta().epoch;
        let instance = &self.instance;
        tracing::warn!(epoch, %instance, reason = "no redis", "this pod goes on alone: redis cannot be reached");
        self.begin(engine, Duty::Alone, epoch, false);
    }

    /// Leads no more: the state is stored a last time, and the lease given back.
    async fn retire(&mut self, last_steps: Duration) {
        let leads =
            self.time.as_ref().is_some_and(|time| self.tenure.term().is_some_and(|term| term.epoch == time.epoch));
        if leads && let Some(engine) = self.rest().await {
            self.turn(Duty::Follows, None);
            if let Some(store) = &mut self.store {
                // An error was logged where it happened; there is nothing more to be done.
                let _ = store.finish(Document::of(&engine), last_steps).await;
            }
            let epoch = engine.meta().epoch;
            tracing::info!(epoch, instance = %self.instance, reason = "shutdown", "this pod leads no more");
        }
        let mut view = self.tenure.view();
        self.tenure.shut_down();
        // Where Redis is away the lease ends by itself.
        let _ = timeout(last_steps, view.wait_for(|view| view.ended)).await;
    }

    fn turn(&self, duty: Duty, leader: Option<InstanceName>) {
        let role = Role { duty, leader };
        self.metrics.leader.set(i64::from(matches!(duty, Duty::Leads(_))));
        self.role.send_if_modified(|now| {
            let modified = *now != role;
            if now.duty != role.duty {
                tracing::debug!(from = now.duty.as_str(), to = role.duty.as_str(), "another role");
            }
            *now = role;
            modified
        });
    }
}

fn named(seen: &cluster::View) -> Option<InstanceName> {
    seen.holder.as_deref().and_then(|name| InstanceName::new(name).ok())
}
