use std::collections::HashSet;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use parking_lot::Mutex;
use redis::Script;
use sha2::{Digest, Sha256};
use tokio::sync::Notify;
use tokio::time::{MissedTickBehavior, interval, sleep};

use super::Limiter;
use crate::link::{Fault, Shared};
use crate::setting::Limits;
use crate::telemetry::Metrics;

/// How long a share is good for.
const TERM: Duration = Duration::from_secs(1);
/// A pod that was not heard of for so long is taken for dead.
const DEAD: Duration = Duration::from_secs(5);
/// How soon others learn that a stream ended.
const SOON: Duration = Duration::from_millis(50);
/// Subjects in one call.
const BATCH: usize = 256;
/// Every subject is told of at least once in so many terms, so that what Redis forgot is not forgotten for long.
const ROUNDS: u64 = 15;

/// The pods, by when they were last heard of.
const PODS: &str = "meta:quota:pods";
/// What the names of subjects' hashes begin with.
const SUBJECT: &str = "meta:quota:sub:";
/// What the names of sets begin with in which a pod is told whose shares to ask for anew.
const WAKE: &str = "meta:quota:wake:";

static LEASE: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("lease.lua")));
static WAKEN: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("wake.lua")));

/// What pods share of a subject's limits.
pub struct Pool {
    link: Shared,
    /// What this pod is called, for as long as it lives.
    pod: String,
    /// Messages a second.
    rate: u32,
    /// Streams of a subject on all pods together.
    streams: usize,
    /// Subjects of which a stream ended, and others do not know yet.
    ended: Mutex<HashSet<Arc<str>>>,
    news: Notify,
    away: AtomicBool,
    metrics: Metrics,
}

/// A subject as a pod tells of it.
pub(in crate::stream) struct Told {
    pub(in crate::stream) subject: Arc<str>,
    /// Its streams on this pod.
    pub(in crate::stream) streams: usize,
    /// Its limiter; `None` when it has no streams here.
    pub(in crate::stream) limiter: Option<Arc<Limiter>>,
}

/// A subject's streams and messages, as far as a pod knows.
pub(in crate::stream) trait Ledger {
    /// All subjects that have streams here.
    fn all(&self) -> Vec<Told>;
    /// One of them, or one that has none any more.
    fn one(&self, subject: &Arc<str>) -> Told;
}

impl Pool {
    /// Shares these limits over this way to Redis.
    pub fn new(link: Shared, limits: &Limits, metrics: Metrics) -> Self {
        Self {
            link,
            pod: format!("{:032x}", rand::random::<u128>()),
            rate: limits.messages_per_second,
            streams: limits.streams_per_sub,
            ended: Mutex::default(),
            news: Notify::new(),
            away: AtomicBool::new(false),
            metrics,
        }
    }

    /// Tells of a stream that is to be opened. `false`: the subject has too many of them on all pods together.
    pub(in crate::stream) async fn join(&self, told: &Told) -> bool {
        match self.lease(&[(told, -1)], self.streams).await {
            Ok(shares) => {
                self.told(None);
                !shares.iter().any(|(_, pods)| *pods == 0)
            }
            Err(fault) => {
                self.told(Some(fault));
                true
            }
        }
    }

    /// Takes note of a stream that ended.
    pub(in crate::stream) fn left(&self, subject: &Arc<str>) {
        self.ended.lock().insert(Arc::clone(subject));
        self.news.notify_one();
    }

    /// Divides the limits with other pods, for ever.
    pub(in crate::stream) async fn run(&self, ledger: &impl Ledger) {
        let mut ticks = interval(TERM);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // Whether Redis may know nothing of this pod's streams.
        let mut anew = true;
        for round in 0.. {
            let outcome = tokio::select! {
                _ = ticks.tick() => self.turn(ledger, round, &mut anew).await,
                () = self.news.notified() => {
                    // Those that end together are told of together.
                    sleep(SOON).await;
                    self.tell_ended(ledger).await
                }
            };
            if outcome.is_err() {
                anew = true;
                // Each for itself.
                ledger.all().iter().filter_map(|told| told.limiter.as_ref()).for_each(|limiter| limiter.grant(1.0, 1));
            }
            self.told(outcome.err());
        }
    }

    /// Tells that this pod lives, and of every subject that sends something, that other pods hold streams of, or whose
    /// turn it is.
    async fn turn(&self, ledger: &impl Ledger, round: u64, anew: &mut bool) -> Result<(), Fault> {
        let mut waken = WAKEN.key(PODS);
        waken.key(format!("{WAKE}{}", self.pod)).arg(&self.pod);
        let (known, woken): (bool, HashSet<String>) =
            self.link.call(async |mut connection| waken.invoke_async(&mut connection).await).await?;
        self.tell_ended(ledger).await?;
        let everything = std::mem::take(anew) || !known;
        let subjects = ledger.all();
        let due = subjects.iter().zip(0u64..).filter_map(|(told, number)| {
            let limiter = told.limiter.as_ref()?;
            let asked = limiter.take_asked();
            let concerned = everything
                || asked > 0
                || limiter.is_shared()
                || number % ROUNDS == round % ROUNDS
                || (!woken.is_empty() && woken.contains(&key(&told.subject)));
            concerned.then(|| (told, i64::from(asked)))
        });
        let due: Vec<_> = due.collect();
        for batch in due.chunks(BATCH) {
            self.lease(batch, 0).await?;
        }
        Ok(())
    }

    async fn tell_ended(&self, ledger: &impl Ledger) -> Result<(), Fault> {
        let ended = std::mem::take(&mut *self.ended.lock());
        let told: Vec<_> = ended.iter().map(|subject| ledger.one(subject)).collect();
        let told: Vec<_> = told.iter().map(|told| (told, -1)).collect();
        for batch in told.chunks(BATCH) {
            if let Err(fault) = self.lease(batch, 0).await {
                // Others would count them for as long as this pod lives.
                self.ended.lock().extend(ended);
                return Err(fault);
            }
        }
        Ok(())
    }

    /// Tells of subjects and of what came for them, and grants what is answered. Returns that: shares, and how many pods
    /// each is divided among.
    async fn lease(&self, subjects: &[(&Told, i64)], most: usize) -> Result<Vec<(f64, u32)>, Fault> {
        let quota = f64::from(self.rate) * 1e3;
        let mut lease = LEASE.key(PODS);
        lease.arg(&self.pod).arg(quota as u64).arg(DEAD.as_millis() as u64).arg(most);
        for (told, asked) in subjects {
            lease.key(key(&told.subject)).arg(told.streams).arg(*asked);
        }
        let answers: Vec<u64> =
            self.link.call(async |mut connection| lease.invoke_async(&mut connection).await).await?;
        let shares: Vec<_> = answers
            .chunks_exact(2)
            .map(|answer| (answer[0] as f64 / quota, u32::try_from(answer[1]).unwrap_or(u32::MAX)))
            .collect();
        for ((told, _), (share, pods)) in subjects.iter().zip(&shares) {
            if let Some(limiter) = told.limiter.as_ref().filter(|_| *pods > 0) {
                limiter.grant(*share, *pods);
            }
        }
        Ok(shares)
    }

    /// Tells of a change, once.
    fn told(&self, fault: Option<Fault>) {
        if self.away.swap(fault.is_some(), Ordering::AcqRel) == fault.is_some() {
            return;
        }
        self.metrics.ws_quota_outage.set(i64::from(fault.is_some()));
        match fault {
            Some(fault) => {
                tracing::warn!(fault = fault.as_str(), "redis is away: limits of subjects are this pod's alone");
            }
            None => tracing::info!("limits of subjects are shared with other pods"),
        }
    }
}

fn key(subject: &str) -> String {
    let digest = Sha256::digest(subject);
    let name = digest.iter().take(16).fold(0u128, |name, byte| name << 8 | u128::from(*byte));
    format!("{SUBJECT}{name:032x}")
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").field("away", &self.away).finish_non_exhaustive()
    }
}
