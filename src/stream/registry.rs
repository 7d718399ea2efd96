//! The open streams: how many, whose, and the way to reach each.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::close::Close;
use super::line::{Line, Signal};
use super::offenders::{Offender, Offenders};
use super::quota::{Ledger, Limiter, Pool, Told};
use super::tally::Row;
use crate::domain::Timestamp;
use crate::setting::Limits;
use crate::telemetry::Metrics;

/// Who holds a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// The token's `sub`.
    pub subject: Arc<str>,
    /// The token's `jti`; the newest one's after a refresh.
    pub token: Arc<str>,
    /// When that token was issued, where it says so.
    pub issued: Option<Timestamp>,
    /// Where the stream was opened from.
    pub address: IpAddr,
}

/// Why there is no place for another stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoPlace {
    /// The `sub` has as many streams as it may have: [`Close::TooMany`].
    #[error("too many streams for this subject")]
    Subject,
    /// The address has as many streams as it may have.
    #[error("too many streams from this address")]
    Address,
    /// The daemon has as many streams as it may have.
    #[error("too many streams")]
    Full,
    /// The daemon is draining.
    #[error("draining")]
    Draining,
}

/// All open streams of this process, and its share of what subjects may have on all pods together.
#[derive(Debug)]
pub struct Registry {
    open: Mutex<Open>,
    changed: Notify,
    streams: usize,
    streams_per_sub: usize,
    messages_per_second: u32,
    burst: u32,
    pool: Option<Pool>,
    streams_per_address: usize,
    metrics: Metrics,
}

#[derive(Debug, Default)]
struct Open {
    last: u64,
    draining: bool,
    streams: HashMap<u64, (Holder, Arc<Line>)>,
    addresses: HashMap<IpAddr, usize>,
    /// Of streams that ended: drops that nobody was told of yet.
    departed: Offenders,
    subjects: HashMap<Arc<str>, Subject>,
}

#[derive(Debug)]
struct Subject {
    streams: usize,
    limiter: Arc<Limiter>,
}

/// A stream's place among the open ones, until it is dropped.
#[derive(Debug)]
pub struct Place {
    registry: Arc<Registry>,
    id: u64,
    pub(super) holder: Holder,
    pub(super) limiter: Arc<Limiter>,
    pub(super) line: Arc<Line>,
}

impl Registry {
    /// No stream yet. With a pool the limits of subjects hold for all pods together.
    pub fn new(limits: &Limits, pool: Option<Pool>, metrics: Metrics) -> Self {
        Self {
            open: Mutex::default(),
            changed: Notify::new(),
            streams: limits.streams,
            streams_per_sub: limits.streams_per_sub,
            messages_per_second: limits.messages_per_second,
            burst: limits.burst,
            pool,
            streams_per_address: match limits.connections_per_address {
                0 => usize::MAX,
                limit => limit,
            },
            metrics,
        }
    }

    /// Takes a place for a stream. Other pods are asked, too, where there is a pool; that takes no longer than a call to
    /// Redis may take, and while Redis is away this pod counts alone.
    ///
    /// # Errors
    /// When there is none; see [`NoPlace`].
    pub async fn admit(self: &Arc<Self>, holder: Holder) -> Result<Place, NoPlace> {
        let place = self.take(holder)?;
        match &self.pool {
            Some(pool) if !pool.join(&self.one(&place.holder.subject)).await => Err(NoPlace::Subject),
            _ => Ok(place),
        }
    }

    /// Divides the limits of subjects with other pods, for ever; returns at once where there is no pool.
    pub async fn share(&self) {
        if let Some(pool) = &self.pool {
            pool.run(self).await;
        }
    }

    fn take(self: &Arc<Self>, holder: Holder) -> Result<Place, NoPlace> {
        let mut open = self.open.lock();
        if open.draining {
            return Err(NoPlace::Draining);
        }
        if open.streams.len() >= self.streams {
            return Err(NoPlace::Full);
        }
        if open.addresses.get(&holder.address).is_some_and(|&count| count >= self.streams_per_address) {
            return Err(NoPlace::Address);
        }
        let new = || Subject { streams: 0, limiter: Arc::new(Limiter::new(self.messages_per_second, self.burst)) };
        let subject = open.subjects.entry(Arc::clone(&holder.subject)).or_insert_with(new);
        if subject.streams >= self.streams_per_sub {
            return Err(NoPlace::Subject);
        }
        subject.streams += 1;
        let limiter = Arc::clone(&subject.limiter);
        open.last += 1;
        let id = open.last;
        let line = Arc::<Line>::default();
        *open.addresses.entry(holder.address).or_default() += 1;
        open.streams.insert(id, (holder.clone(), Arc::clone(&line)));
        self.metrics.ws_connections.inc();
        Ok(Place { registry: Arc::clone(self), id, holder, limiter, line })
    }

    /// How many streams are open.
    pub fn count(&self) -> usize {
        self.open.lock().streams.len()
    }

    /// Closes the streams whose holder matches, with [`Close::Revoked`]. Returns how many.
    pub fn revoke(&self, matches: impl Fn(&Holder) -> bool) -> usize {
        self.close(Close::Revoked, matches)
    }

    /// Closes the streams of addresses that match, with [`Close::CutOff`]. Returns how many.
    pub fn deny(&self, matches: impl Fn(IpAddr) -> bool) -> usize {
        self.close(Close::CutOff, |holder| matches(holder.address))
    }

    fn close(&self, close: Close, matches: impl Fn(&Holder) -> bool) -> usize {
        let open = self.open.lock();
        let mut closed = 0;
        for (_, line) in open.streams.values().filter(|(holder, _)| matches(holder)) {
            // Once: who asks again before it is gone is not told of it again.
            closed += usize::from(line.tell(Signal::Cut(close), |told| matches!(told, Signal::Cut(_))));
        }
        closed
    }

    /// Closes the stream of this name, with [`Close::CutOff`]. Whose it was; `None`: there is none.
    pub fn cut(&self, id: &str) -> Option<Holder> {
        let open = self.open.lock();
        let (holder, line) = open.streams.values().find(|(_, line)| line.tally.is(id))?;
        line.tell(Signal::Cut(Close::CutOff), |_| false);
        Some(holder.clone())
    }

    /// The open streams, in no order.
    pub fn list(&self) -> Vec<Row> {
        self.open.lock().streams.values().filter_map(|(holder, line)| line.tally.row(holder)).collect()
    }

    /// For whom frames were dropped since this was asked last: so many of them, the worst first.
    pub fn offenders(&self, most: usize) -> Vec<Offender> {
        let mut open = self.open.lock();
        let mut offenders = std::mem::take(&mut open.departed);
        open.streams.values().for_each(|(holder, line)| offenders.note(holder, &line.tally));
        drop(open);
        offenders.worst(most)
    }

    /// Tells every stream that it will be closed, closes each at a moment of its own within `window`, and waits until
    /// all are, but no longer than the window and `grace`. No new stream gets a place from now on. `random` gives
    /// numbers from 0 to 1.
    pub async fn drain(&self, window: Duration, grace: Duration, mut random: impl FnMut() -> f64) {
        let start = Instant::now();
        {
            let mut open = self.open.lock();
            open.draining = true;
            for (_, line) in open.streams.values() {
                let at = start + window.mul_f64(random().clamp(0.0, 1.0));
                line.tell(Signal::Drain { at }, |told| told != Signal::Run);
            }
        }
        let emptied = async {
            loop {
                let changed = self.changed.notified();
                if self.count() == 0 {
                    return;
                }
                changed.await;
            }
        };
        // Whoever is left then is dropped with the process.
        let _ = tokio::time::timeout(window + grace, emptied).await;
    }
}

impl Place {
    /// Where the stream was opened from.
    pub fn address(&self) -> IpAddr {
        self.holder.address
    }

    /// Takes note of a new token of the same holder.
    pub(super) fn renew(&mut self, token: Arc<str>, issued: Option<Timestamp>) {
        (self.holder.token, self.holder.issued) = (token, issued);
        if let Some((holder, ..)) = self.registry.open.lock().streams.get_mut(&self.id) {
            *holder = self.holder.clone();
        }
    }
}

impl Ledger for Registry {
    fn all(&self) -> Vec<Told> {
        let told = |(subject, known): (&Arc<str>, &Subject)| Told {
            subject: Arc::clone(subject),
            streams: known.streams,
            limiter: Some(Arc::clone(&known.limiter)),
        };
        self.open.lock().subjects.iter().map(told).collect()
    }

    fn one(&self, subject: &Arc<str>) -> Told {
        let open = self.open.lock();
        let known = open.subjects.get(subject);
        Told {
            subject: Arc::clone(subject),
            streams: known.map_or(0, |known| known.streams),
            limiter: known.map(|known| Arc::clone(&known.limiter)),
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.registry.open.lock();
        open.streams.remove(&self.id);
        open.departed.note(&self.holder, &self.line.tally);
        if let Some(count) = open.addresses.get_mut(&self.holder.address) {
            *count -= 1;
            if *count == 0 {
                open.addresses.remove(&self.holder.address);
            }
        }
        if let Some(subject) = open.subjects.get_mut(&self.holder.subject) {
            subject.streams -= 1;
            if subject.streams == 0 {
                open.subjects.remove(&self.holder.subject);
            }
        }
        drop(open);
        if let Some(pool) = &self.registry.pool {
            pool.left(&self.holder.subject);
        }
        self.registry.metrics.ws_connections.dec();
        self.registry.changed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    fn registry(streams: usize, streams_per_sub: usize) -> Arc<Registry> {
        let limits = Limits { streams, streams_per_sub, ..Limits::default() };
        Arc::new(Registry::new(&limits, None, Metrics::new().unwrap()))
    }

    fn holder(subject: &str, token: &str) -> Holder {
        Holder { subject: subject.into(), token: token.into(), issued: None, address: [192, 0, 2, 1].into() }
    }

    #[tokio::test(start_paused = true)]
    async fn places_are_bounded_and_come_back() {
        let registry = registry(3, 2);
        let a = registry.take(holder("a", "1")).unwrap();
        let _b = registry.take(holder("a", "2")).unwrap();
        assert_eq!(registry.take(holder("a", "3")).unwrap_err(), NoPlace::Subject);
        let _c = registry.take(holder("c", "4")).unwrap();
        assert_eq!(registry.take(holder("d", "5")).unwrap_err(), NoPlace::Full);
        assert_eq!(registry.metrics.ws_connections.get(), 3);
        drop(a);
        assert!(registry.take(holder("a", "6")).is_ok());
        assert_eq!(registry.metrics.ws_connections.get(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn streams_of_a_subject_share_their_rate_and_nothing_is_kept_after_the_last() {
        let registry = registry(10, 10);
        let a = registry.take(holder("a", "1")).unwrap();
        let b = registry.take(holder("a", "2")).unwrap();
        let passed = (0..30).filter(|i| if i % 2 == 0 { &a } else { &b }.limiter.admits()).count();
        assert_eq!(passed, 20);
        tokio::time::advance(Duration::from_millis(500)).await;
        assert_eq!((0..30).filter(|_| b.limiter.admits()).count(), 10);
        drop((a, b));
        assert!(registry.open.lock().subjects.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn revocation_reaches_the_newest_token() {
        let registry = registry(10, 10);
        let mut a = registry.take(holder("a", "old")).unwrap();
        a.renew("new".into(), None);
        assert_eq!(registry.revoke(|holder| &*holder.token == "old"), 0);
        assert_eq!(registry.revoke(|holder| &*holder.token == "new"), 1);
        assert_eq!(a.line.told(), Signal::Cut(Close::Revoked));
        assert_eq!(registry.revoke(|_| true), 0, "it is told once");
    }

    #[tokio::test(start_paused = true)]
    async fn draining_spreads_over_the_window_and_waits() {
        let registry = registry(10, 10);
        let places: Vec<_> = (0..4).map(|i| registry.take(holder(&i.to_string(), "t")).unwrap()).collect();
        let start = Instant::now();
        let mut moments = [0.0, 0.25, 0.5, 1.0].into_iter();
        let drained = registry.drain(Duration::from_secs(8), Duration::from_secs(2), || moments.next().unwrap());
        let closes = async {
            for place in places {
                let signal = poll_fn(|cx| place.line.listen(cx, &mut Signal::Run)).await;
                let Signal::Drain { at } = signal else { panic!("not told to drain") };
                assert!(at - start <= Duration::from_secs(8));
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        };
        tokio::join!(drained, closes);
        assert_eq!(start.elapsed(), Duration::from_secs(4), "no longer than it takes");
        assert_eq!(registry.take(holder("late", "t")).unwrap_err(), NoPlace::Draining);
        let other = Arc::new(Registry::new(&Limits::default(), None, Metrics::new().unwrap()));
        let _stays = other.take(holder("stays", "t")).unwrap();
        let start = Instant::now();
        other.drain(Duration::from_secs(8), Duration::from_secs(2), || 0.5).await;
        assert_eq!(start.elapsed(), Duration::from_secs(10), "bounded");
    }
}
