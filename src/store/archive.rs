//! The stored states as an operator sees them: listed, examined, restored.

use std::collections::HashMap;
use std::time::Duration;

use super::backend::Backend;
use super::keys;
use super::load::Found;
use super::remote::Remote;
use crate::domain::Timestamp;
use crate::engine::{Document, MetaState, Split};
use crate::link::{Endpoint, Fault};

/// All states that Redis holds.
#[derive(Debug)]
pub struct Archive {
    backend: Backend,
    /// Parts that were read already, and the agents in each: states share most of them.
    known: HashMap<String, usize>,
}

/// A key, and what it holds.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// Its name.
    pub key: String,
    /// Length of its value in bytes, with that of its parts; `None` where it is no string.
    pub bytes: Option<u64>,
    /// The state's figures, or why it is no state to go on from.
    pub state: Result<Summary, String>,
}

/// The figures of a stored state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Summary {
    /// Epoch of the process that wrote it.
    pub epoch: u64,
    /// Its beat.
    pub beat: u64,
    /// When that was.
    pub at: Timestamp,
    /// Agents in it.
    pub agents: usize,
}

impl Summary {
    fn of(meta: &MetaState, agents: usize) -> Self {
        Self { epoch: meta.epoch, beat: meta.beat, at: meta.at, agents }
    }

    /// Time since its beat.
    pub fn age(&self, now: Timestamp) -> Duration {
        now.since(self.at)
    }
}

impl Archive {
    /// The key of the state that a start loads first.
    pub const LATEST: &str = keys::LATEST;

    /// The archive in this Redis.
    pub fn new(redis: &Endpoint) -> Self {
        Self { backend: Backend::Redis(Box::new(Remote::new(redis.link()))), known: HashMap::new() }
    }

    /// Names of `meta:latest`, where it exists, of the snapshots, the newest first, and of what was kept aside.
    ///
    /// # Errors
    /// When Redis cannot be asked.
    pub async fn keys(&mut self) -> Result<Vec<String>, Fault> {
        let mut keys = self.backend.names(keys::LATEST).await?;
        keys.retain(|key| key == keys::LATEST);
        keys.extend(self.backend.snapshots().await?);
        let mut aside = self.backend.names(keys::QUARANTINE).await?;
        aside.sort_unstable();
        keys.extend(aside);
        Ok(keys)
    }

    /// What a key holds; `None` where it does not exist.
    ///
    /// # Errors
    /// When Redis cannot be asked.
    pub async fn examine(&mut self, key: &str) -> Result<Option<Entry>, Fault> {
        let known = &mut self.known;
        let in_parts = async |backend: &mut Backend, meta: &MetaState, split: &Split| {
            let unknown: Vec<_> = split.parts.iter().filter(|(id, _)| !known.contains_key(*id)).collect();
            let read = backend.parts(unknown.into_iter(), |agents| agents.len()).await?;
            Ok(read.map(|read| {
                known.extend(read);
                Summary::of(meta, split.parts.keys().filter_map(|id| known.get(id)).sum())
            }))
        };
        let whole = |document: Document| Summary::of(&document.meta, document.agents.len());
        let (bytes, state) = match self.backend.find(key, whole, in_parts).await? {
            Found::Nothing => return Ok(None),
            Found::State(summary, bytes) => (Some(bytes), Ok(summary)),
            Found::Unfit(unfit, bytes) => (bytes, Err(unfit.to_string())),
        };
        Ok(Some(Entry { key: key.to_owned(), bytes, state }))
    }

    /// The state that a key holds, whole; `None` where it holds none.
    ///
    /// # Errors
    /// When Redis cannot be asked.
    pub async fn state(&mut self, key: &str) -> Result<Option<Document>, Fault> {
        match self.backend.state(key).await? {
            Found::State(document, _) => Ok(Some(*document)),
            Found::Nothing | Found::Unfit(..) => Ok(None),
        }
    }

    /// The state that a start would load: `meta:latest`, else the newest snapshot that validates.
    ///
    /// # Errors
    /// When Redis cannot be asked.
    pub async fn newest(&mut self) -> Result<Option<Entry>, Fault> {
        let snapshots = self.backend.snapshots().await?;
        for key in std::iter::once(keys::LATEST.to_owned()).chain(snapshots) {
            if let Some(entry) = self.examine(&key).await?.filter(|entry| entry.state.is_ok()) {
                return Ok(Some(entry));
            }
        }
        Ok(None)
    }

    /// Puts a copy of this key in the place of `meta:latest`, once what stood there is kept aside: the name under which
    /// it is, if there was anything. Before that it takes an epoch past `epoch`, the highest of the states concerned: a
    /// daemon that still runs is fenced off, and the next start takes an epoch that was never used.
    ///
    /// # Errors
    /// When Redis cannot be asked, or the key is gone.
    pub async fn restore(&mut self, key: &str, epoch: u64, now: Timestamp) -> Result<Option<String>, Fault> {
        self.backend.next_epoch(epoch).await?;
        let kept = self.backend.keep_latest(now).await?;
        let replaced = self.backend.replace(keys::LATEST, key).await?;
        if replaced { Ok(kept) } else { Err(Fault::Other) }
    }
}
