//! The one writer.

use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

use super::backend::{Backend, Over, Write, Written};
use super::handoff::{Ask, Inlet};
use super::scroll::Scroll;
use super::{Store, keys};
use crate::breaker::{Outcome, Permit};
use crate::engine::Document;
use crate::link::Fault;

impl Store {
    /// A call that takes more than this share of the time it is given is slow.
    const SLOW: f64 = 0.8;
    /// Rest after each write, as a multiple of what it cost: so the writer takes at most a twentieth of a core.
    const REST: u32 = 19;
    /// What sending a byte is taken to cost in processor time, copies and the socket together: somewhat more than was
    /// measured (`benches/README.md`).
    const SENDING: Duration = Duration::from_nanos(3);
    /// Rest after a write that is refused for what it is.
    const REST_IN_VAIN: Duration = Duration::from_secs(1);
    /// Pause between two tries of the last write.
    const RETRY_LAST: Duration = Duration::from_millis(50);

    /// Writes what the heart hands over, until the heart has stopped.
    ///
    /// Of the state only what changed is serialised anew; a small one is sent whole, of a large one the parts that
    /// changed. After each write the writer rests for [`Self::REST`] times what it cost, so that much is written less
    /// often than each beat: some 2 MB still go out each beat of 100 ms, 40 MB about every three seconds.
    pub async fn run(mut self, mut inlet: Inlet) -> Self {
        if !self.facts.now().configured {
            inlet.ended().await;
            return self;
        }
        let mut scroll = Scroll::default();
        let mut ask = Ask::Now;
        loop {
            let permit = self.breaker.permit(self.elapsed());
            self.tell_breaker();
            let permit = match permit {
                Ok(permit) => permit,
                Err(wait) => {
                    if rest(wait, &mut inlet).await.is_break() {
                        return self;
                    }
                    continue;
                }
            };
            let Some(parcel) = inlet.next(ask).await else { return self };
            let began = Instant::now();
            let value_bytes = self.parts.value_bytes;
            let composing = tokio::task::spawn_blocking(move || {
                scroll.absorb(parcel);
                scroll.fit(value_bytes);
                scroll
            });
            let Ok(composed) = composing.await else {
                tracing::error!("the state could not be serialised");
                (scroll, ask) = (Scroll::default(), Ask::Everything);
                continue;
            };
            scroll = composed;
            let composed_in = began.elapsed();
            let written = self.put(&mut scroll, Some(permit)).await;
            let cost = composed_in + Self::SENDING * u32::try_from(self.parts.sent).unwrap_or(u32::MAX);
            ask = if written.is_ok() { Ask::Change } else { Ask::Now };
            let least = match written {
                // No next beat changes that.
                Err(Fault::Fenced | Fault::TooLarge) => Self::REST_IN_VAIN,
                _ => Duration::ZERO,
            };
            if rest(least.max(cost * Self::REST), &mut inlet).await.is_break() {
                return self;
            }
        }
    }

    /// Writes the last state and a snapshot of it, trying for so long, whatever the breaker says.
    ///
    /// # Errors
    /// What the last try failed with.
    pub async fn finish(&mut self, document: Document, within: Duration) -> Result<(), Fault> {
        if !self.facts.now().configured {
            return Ok(());
        }
        let beat = document.meta.beat;
        let value_bytes = self.parts.value_bytes;
        let composing = tokio::task::spawn_blocking(move || Scroll::of(document, value_bytes));
        let mut scroll = composing.await.map_err(|_| Fault::Other)?;
        self.last_snapshot = None;
        let mut last = Fault::Timeout;
        let trying = async {
            loop {
                match self.put(&mut scroll, None).await {
                    Ok(()) => return Ok(()),
                    Err(fault @ (Fault::Fenced | Fault::TooLarge)) => return Err(fault),
                    Err(fault) => last = fault,
                }
                sleep(Self::RETRY_LAST).await;
            }
        };
        let outcome = timeout(within, trying).await.unwrap_or(Err(last));
        match &outcome {
            Ok(()) => tracing::info!(beat, "last state stored"),
            Err(fault) => tracing::error!(beat, fault = fault.as_str(), "the last state could not be stored"),
        }
        outcome
    }

    /// Writes a state once, with a snapshot where one is due, and takes in how that went.
    pub(super) async fn put(&mut self, scroll: &mut Scroll, permit: Option<Permit>) -> Result<(), Fault> {
        let began = Instant::now();
        let (at, beat) = (scroll.meta.at, scroll.meta.beat);
        let due = self.last_snapshot.is_none_or(|last| last.elapsed() >= self.snapshots.interval);
        let snapshot = due.then(|| keys::snapshot(at));
        self.reading.clone_from(&scroll.meta.reading);
        let written = self.write(scroll, snapshot.as_deref()).await;
        let slow = match &self.backend {
            Backend::Redis(link) => began.elapsed() > link.patience(self.parts.sent).mul_f64(Self::SLOW),
            Backend::Memory(_) => false,
        };
        let outcome = match written {
            // That another process leads is no fault of Redis'.
            Ok(_) | Err(Fault::Fenced | Fault::TooLarge) if slow => Outcome::Slow,
            Ok(_) | Err(Fault::Fenced | Fault::TooLarge) => Outcome::Success,
            Err(_) => Outcome::Failure,
        };
        if let Some(permit) = permit {
            self.breaker.record(self.elapsed(), permit, outcome);
            self.tell_breaker();
        }
        let label = written.as_ref().err().map_or("ok", |fault| fault.as_str());
        self.metrics.store_writes_total.with_label_values(&[label]).inc();
        match written {
            Ok(created) => self.succeeded(beat, created).await,
            Err(fault) => self.failed(fault),
        }
        if written.is_ok() && due {
            self.last_snapshot = Some(Instant::now());
            self.prune().await;
        }
        written.map(|_| ())
    }

    /// Puts a document, or the head of one in parts, in the place of what is there; what is not this process' is kept
    /// aside.
    pub(super) async fn replace(
        &mut self,
        document: &[&[u8]],
        parts: &[String],
        snapshot: Option<&str>,
    ) -> Result<Written, Fault> {
        let mut write = Write { epoch: self.epoch, document, parts, over: self.over, snapshot, reading: &self.reading };
        let mut written = self.backend.write(write).await?;
        if written == Written::Occupied {
            if let Some(kept) = self.backend.keep_latest((self.clock)()).await? {
                tracing::warn!(kept, "meta:latest held what this process neither wrote nor loaded: kept aside");
                write.over = Over::All;
            }
            written = self.backend.write(write).await?;
        }
        if written == Written::Fenced { Err(Fault::Fenced) } else { Ok(written) }
    }

    async fn succeeded(&mut self, beat: u64, created: bool) {
        self.facts.kept(true);
        self.facts.stored(beat);
        // What was loaded is replaced now; whatever else comes to stand there is somebody else's.
        self.over = Over::Own;
        if let Some((fault, since)) = self.away.take() {
            let away_ms = since.elapsed().as_millis() as u64;
            tracing::info!(after = fault.as_str(), away_ms, beat, "redis is back: the state is stored");
        } else if created && self.wrote {
            tracing::warn!(beat, "meta:latest was gone: written back");
        }
        if created && self.wrote {
            // The snapshots went with it.
            self.last_snapshot = None;
        }
        self.wrote = true;
    }

    fn failed(&mut self, fault: Fault) {
        self.facts.kept(false);
        let since = self.away.map_or_else(Instant::now, |(_, since)| since);
        // Once for each change, not for each try.
        if self.away.is_none_or(|(before, _)| before != fault) {
            let lag_beats = self.facts.now().lag_beats;
            let word = fault.as_str();
            tracing::error!(fault = word, reason = %fault, lag_beats, "the state is kept in memory alone");
        }
        self.away = Some((fault, since));
    }

    fn tell_breaker(&mut self) {
        let opened = self.breaker.opened();
        self.facts.breaker(self.breaker.state(), opened - self.openings);
        self.openings = opened;
    }
}

/// Waits, or breaks off when the heart has stopped.
async fn rest(wait: Duration, inlet: &mut Inlet) -> std::ops::ControlFlow<()> {
    tokio::select! {
        () = sleep(wait) => std::ops::ControlFlow::Continue(()),
        () = inlet.ended() => std::ops::ControlFlow::Break(()),
    }
}
