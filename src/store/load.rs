//! What a start finds in the store.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::backend::{Backend, Held, Over};
use super::{Store, keys};
use crate::domain::Timestamp;
use crate::engine::{Document, DocumentError};
use crate::link::Fault;

/// What a start begins with.
#[derive(Debug)]
pub struct Loaded {
    /// The state to go on from; `None`: a fresh one.
    pub document: Option<Document>,
    /// Where it is from.
    pub source: Source,
    /// Time since its last beat.
    pub age: Duration,
    /// The epoch to lead.
    pub epoch: u64,
    /// Keys that did not validate, by the names under which they are kept now.
    pub quarantined: Vec<String>,
}

/// Where a state is from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A key in Redis.
    Key(String),
    /// Redis holds none.
    Fresh,
    /// Redis is configured and cannot be read.
    Unavailable(Fault),
    /// No Redis is configured.
    Memory,
}

/// Why what a key holds is no state to go on from.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unfit {
    #[error(transparent)]
    Document(#[from] DocumentError),
    #[error("it is not a string")]
    Type,
    #[error("the reader stopped")]
    Reader,
}

impl Store {
    /// Pause between two tries of a start.
    const RETRY: Duration = Duration::from_millis(100);
    /// Snapshots that a start looks at, at most.
    const LOOKED_AT: usize = 64;

    /// Loads the state: `meta:latest`; where that is missing or does not validate, the newest snapshot that does; else
    /// none. What did not validate is moved aside. Waits for a Redis that is away no longer than the configured time;
    /// one that answers is given the time that the size of the state takes. Takes the epoch to lead.
    pub async fn load(&mut self, now: Timestamp) -> Loaded {
        let mut loaded = Loaded {
            document: None,
            source: Source::Memory,
            age: Duration::ZERO,
            epoch: u64::try_from(now.as_nanos() / 1_000_000_000).unwrap_or(1).max(1),
            quarantined: Vec::new(),
        };
        if !self.facts.now().configured {
            self.epoch = loaded.epoch;
            return loaded;
        }
        let deadline = Instant::now() + self.boot_timeout;
        let fault = loop {
            match self.try_load(now, &mut loaded).await {
                Ok(()) => break None,
                // Neither heals by itself in the time that a start has.
                Err(fault @ (Fault::Denied | Fault::TooLarge)) => break Some(fault),
                Err(fault) if Instant::now() + Self::RETRY >= deadline => break Some(fault),
                Err(_) => sleep(Self::RETRY).await,
            }
        };
        match fault {
            None => self.facts.kept(true),
            Some(fault) => {
                (loaded.document, loaded.source) = (None, Source::Unavailable(fault));
                self.away = Some((fault, Instant::now()));
            }
        }
        self.epoch = loaded.epoch;
        tell(&loaded);
        loaded
    }

    async fn try_load(&mut self, now: Timestamp, loaded: &mut Loaded) -> Result<(), Fault> {
        let found = match self.take(keys::LATEST, now, loaded).await? {
            Some(document) => {
                self.over = Over::OwnOr(document.meta.epoch);
                Some((keys::LATEST.to_owned(), document))
            }
            None => self.newest_snapshot(now, loaded).await?,
        };
        let known = found.as_ref().map_or(0, |(_, document)| document.meta.epoch);
        let epoch = match self.backend.next_epoch(known).await {
            // What can be read but not written can still be gone on from; the counter is raised with the first write.
            Err(Fault::ReadOnly | Fault::OutOfMemory | Fault::Disk) => self.backend.counter().await?.max(known) + 1,
            taken => taken?,
        };
        loaded.epoch = epoch;
        match found {
            Some((key, document)) => {
                loaded.age = now.since(document.meta.at);
                (loaded.source, loaded.document) = (Source::Key(key), Some(document));
            }
            None => loaded.source = Source::Fresh,
        }
        Ok(())
    }

    async fn newest_snapshot(
        &mut self,
        now: Timestamp,
        loaded: &mut Loaded,
    ) -> Result<Option<(String, Document)>, Fault> {
        for key in self.backend.snapshots().await?.into_iter().take(Self::LOOKED_AT) {
            if let Some(document) = self.take(&key, now, loaded).await? {
                return Ok(Some((key, document)));
            }
        }
        Ok(None)
    }

    /// The state that a key holds. What is no state is moved aside.
    async fn take(&mut self, key: &str, now: Timestamp, loaded: &mut Loaded) -> Result<Option<Document>, Fault> {
        let unfit = match self.backend.look(key).await? {
            Held::Nothing => return Ok(None),
            Held::Other => Unfit::Type,
            Held::Text(text) => match parse(text).await {
                Ok(document) => return Ok(Some(document)),
                Err(unfit) => unfit,
            },
        };
        match self.backend.quarantine(key, now, &unfit).await {
            Ok(kept) => loaded.quarantined.extend(kept),
            // It stays where it is, and is kept aside before anything is written there.
            Err(Fault::ReadOnly | Fault::OutOfMemory | Fault::Disk) => {}
            Err(fault) => return Err(fault),
        }
        Ok(None)
    }
}

impl Backend {
    /// Snapshots, the newest first.
    pub(super) async fn snapshots(&mut self) -> Result<Vec<String>, Fault> {
        let mut names = self.names(keys::SNAPSHOTS).await?;
        names.retain(|name| keys::moment(name).is_some());
        names.sort_unstable_by(|a, b| b.cmp(a));
        Ok(names)
    }

    /// Moves aside what is no state, and says so. The name under which it is kept.
    pub(super) async fn quarantine(
        &mut self,
        key: &str,
        now: Timestamp,
        unfit: &Unfit,
    ) -> Result<Option<String>, Fault> {
        let kept = keys::quarantine(key, now);
        let moved = self.set_aside(key, &kept).await;
        match &moved {
            Ok(true) => tracing::error!(key, kept, reason = %unfit, "not a state to go on from: kept aside"),
            Ok(false) => tracing::warn!(key, reason = %unfit, "not a state to go on from, and gone meanwhile"),
            Err(fault) => {
                tracing::error!(key, reason = %unfit, fault = fault.as_str(), "not a state to go on from: left there");
            }
        }
        Ok(moved?.then_some(kept))
    }

    /// Copies what `meta:latest` holds, whatever that is, to where it is never overwritten or pruned. `None`: nothing is
    /// there any more.
    pub(super) async fn keep_latest(&mut self, now: Timestamp) -> Result<Option<String>, Fault> {
        let kept = keys::quarantine(keys::LATEST, now);
        let copied = self.copy(keys::LATEST, &kept).await?;
        Ok(copied.then_some(kept))
    }
}

/// Reads a document beside the tasks, since a large one takes a while.
pub(super) async fn parse(text: Vec<u8>) -> Result<Document, Unfit> {
    let reading = tokio::task::spawn_blocking(move || Document::parse(&text));
    Ok(reading.await.map_err(|_| Unfit::Reader)??)
}

fn tell(loaded: &Loaded) {
    let epoch = loaded.epoch;
    match (&loaded.source, &loaded.document) {
        (Source::Key(key), Some(Document { meta, agents })) => {
            let (age_ms, agents) = (loaded.age.as_millis() as u64, agents.len());
            tracing::info!(key, age_ms, epoch, stored_epoch = meta.epoch, beat = meta.beat, agents, "state loaded");
        }
        (Source::Unavailable(fault), _) => {
            let fault = fault.as_str();
            tracing::error!(fault, epoch, "redis cannot be read: beginning with a fresh state");
        }
        _ => tracing::info!(epoch, "redis holds no state: beginning with a fresh one"),
    }
}
