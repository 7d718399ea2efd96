//! What each stream is given and costs, for those who ask which client it is.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU8, AtomicU64, AtomicUsize, Ordering};

use serde::{Serialize, Serializer};

use super::registry::Holder;
use crate::domain::Timestamp;

/// Kept by a stream, and looked at by others.
#[derive(Debug, Default)]
pub(super) struct Tally {
    begun: OnceLock<(String, Timestamp)>,
    expires: AtomicU64,
    sent: AtomicU64,
    merged: AtomicU64,
    given_up: AtomicU64,
    limited: AtomicU64,
    /// Of the drops, those that were told of already.
    told: AtomicU64,
    patterns: AtomicUsize,
    waits: AtomicU8,
}

/// What a stream waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Waits {
    /// For something to tell.
    News,
    /// For its client to take what it was sent.
    Client,
    /// For the time at which its client wants the next frame.
    Pace,
}

/// One stream, for people. Holds the `sub` and the address of a client: it is shown to those who may administer.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Row {
    /// Its name, the `session` that its client was told.
    pub id: String,
    /// The token's `sub`.
    pub sub: Arc<str>,
    /// Where it was opened from.
    pub address: IpAddr,
    /// When it was opened.
    #[serde(serialize_with = "shown")]
    pub opened: Timestamp,
    /// When its token's time is over.
    #[serde(serialize_with = "shown")]
    pub expires: Timestamp,
    /// Frames sent, as of at most a second ago.
    pub frames_sent: u64,
    /// Beats merged into a later frame.
    pub frames_merged: u64,
    /// Frames given up because the client was slow.
    pub backpressure_drops: u64,
    /// Messages dropped because the client sent too many.
    pub rate_limit_drops: u64,
    /// Patterns of its subscription; 0: everything.
    pub patterns: usize,
    /// What it waits for.
    pub waits_for: Waits,
}

fn shown<S: Serializer>(time: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(time)
}

impl Tally {
    /// The stream begins, under its name.
    pub(super) fn begin(&self, id: &str, now: Timestamp, expires: Timestamp) {
        // A stream begins once.
        let _ = self.begun.set((id.to_owned(), now));
        self.expires_at(expires);
    }

    pub(super) fn expires_at(&self, expires: Timestamp) {
        self.expires.store(u64::try_from(expires.as_nanos()).unwrap_or_default(), Ordering::Relaxed);
    }

    pub(super) fn sent(&self, frames: u64) {
        self.sent.fetch_add(frames, Ordering::Relaxed);
    }

    pub(super) fn merged(&self, beats: u64) {
        self.merged.fetch_add(beats, Ordering::Relaxed);
    }

    pub(super) fn given_up(&self, frames: u64) {
        self.given_up.fetch_add(frames, Ordering::Relaxed);
    }

    pub(super) fn limited(&self, messages: u64) {
        self.limited.fetch_add(messages, Ordering::Relaxed);
    }

    pub(super) fn subscribed(&self, patterns: usize) {
        self.patterns.store(patterns, Ordering::Relaxed);
    }

    pub(super) fn waits_for(&self, what: Waits) {
        self.waits.store(what as u8, Ordering::Relaxed);
    }

    /// Whether the stream goes by this name.
    pub(super) fn is(&self, id: &str) -> bool {
        self.begun.get().is_some_and(|(own, _)| own == id)
    }

    /// What it was given and costs so far; `None` before it begins.
    pub(super) fn row(&self, holder: &Holder) -> Option<Row> {
        let (id, opened) = self.begun.get()?;
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Some(Row {
            id: id.clone(),
            sub: Arc::clone(&holder.subject),
            address: holder.address,
            opened: *opened,
            expires: Timestamp::from_nanos(i64::try_from(count(&self.expires)).unwrap_or(i64::MAX)),
            frames_sent: count(&self.sent),
            frames_merged: count(&self.merged),
            backpressure_drops: count(&self.given_up),
            rate_limit_drops: count(&self.limited),
            patterns: self.patterns.load(Ordering::Relaxed),
            waits_for: match self.waits.load(Ordering::Relaxed) {
                1 => Waits::Client,
                2 => Waits::Pace,
                _ => Waits::News,
            },
        })
    }

    /// The drops since they were last asked for here.
    pub(super) fn drops_since_told(&self) -> u64 {
        let drops = self.given_up.load(Ordering::Relaxed) + self.limited.load(Ordering::Relaxed);
        drops.saturating_sub(self.told.swap(drops, Ordering::Relaxed))
    }
}
