//! What whoever begins to lead finds in the store.

use std::time::Duration;

use tokio::task::JoinSet;

use super::backend::{Backend, Held, Over};
use super::read::Agents;
use super::{Store, keys, read};
use crate::domain::Timestamp;
use crate::engine::{Document, DocumentError, MetaState, Split};
use crate::link::Fault;

/// What there is to go on from.
#[derive(Debug)]
pub struct Loaded {
    /// The state to go on from; `None`: a fresh one.
    pub document: Option<Document>,
    /// The key that holds it.
    pub source: Option<String>,
    /// Time since its last beat.
    pub age: Duration,
    /// Keys that did not validate, by the names under which they are kept now.
    pub quarantined: Vec<String>,
}

/// Why what a key holds is no state to go on from.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unfit {
    #[error(transparent)]
    Document(#[from] DocumentError),
    #[error("it is not a string")]
    Type,
    #[error("{0}, a part of it, is missing or not valid")]
    Part(String),
    #[error("the reader stopped")]
    Reader,
}

impl Store {
    /// Snapshots that are looked at, at most.
    const LOOKED_AT: usize = 64;

    /// Loads the state: `meta:latest`; where that is missing or does not validate, the newest snapshot that does; else
    /// none. What did not validate is moved aside. One that is loaded is given the time that its size takes.
    ///
    /// # Errors
    /// When Redis cannot be read.
    pub async fn load(&mut self, now: Timestamp) -> Result<Loaded, Fault> {
        let mut loaded = Loaded { document: None, source: None, age: Duration::ZERO, quarantined: Vec::new() };
        if !self.facts.now().configured {
            return Ok(loaded);
        }
        self.over = Over::Own;
        self.epoch = 0;
        let found = match self.take(keys::LATEST, now, &mut loaded).await? {
            Some(document) => {
                self.over = Over::OwnOr(document.meta.epoch);
                Some((keys::LATEST.to_owned(), document))
            }
            None => self.newest_snapshot(now, &mut loaded).await?,
        };
        if let Some((key, document)) = found {
            loaded.age = now.since(document.meta.at);
            (loaded.source, loaded.document) = (Some(key), Some(document));
        }
        tell(&loaded);
        Ok(loaded)
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
        let unfit = match self.backend.state(key).await? {
            Found::Nothing => return Ok(None),
            Found::State(document, _) => return Ok(Some(*document)),
            Found::Unfit(unfit, _) => unfit,
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

/// What stands under a key.
#[derive(Debug)]
pub(super) enum Found<T> {
    /// Nothing.
    Nothing,
    /// A state; how long it is in bytes, its parts included.
    State(T, u64),
    /// Something else; how long it is, where it is a string.
    Unfit(Unfit, Option<u64>),
}

impl Backend {
    /// Times that a state is looked at which is replaced meanwhile.
    const LOOKS: usize = 5;
    /// Parts that are read at a time, at most: while one comes, others are read.
    const AT_A_TIME: usize = 4;

    /// The state that a key holds, with its parts where it has any.
    pub(super) async fn state(&mut self, key: &str) -> Result<Found<Box<Document>>, Fault> {
        let in_parts = async |backend: &mut Self, meta: &MetaState, split: &Split| {
            let parts = backend.parts(split.parts.iter(), |agents| agents).await?;
            Ok(parts.map(|parts| {
                let agents = parts.into_iter().flat_map(|(_, agents)| agents).collect();
                Box::new(Document { meta: meta.clone(), agents })
            }))
        };
        self.find(key, Box::new, in_parts).await
    }

    /// What is made of a state that a key holds, by one of two ways: of a whole one, and of one in parts.
    pub(super) async fn find<T>(
        &mut self,
        key: &str,
        whole: impl FnOnce(Document) -> T,
        mut in_parts: impl AsyncFnMut(&mut Self, &MetaState, &Split) -> Result<Result<T, Unfit>, Fault>,
    ) -> Result<Found<T>, Fault> {
        let mut held = self.look(key).await?;
        for _ in 0..Self::LOOKS {
            let head = match held {
                Held::Nothing => return Ok(Found::Nothing),
                Held::Other => return Ok(Found::Unfit(Unfit::Type, None)),
                Held::Text(text) => text,
            };
            let bytes = head.len() as u64;
            let Ok(Some((meta, split))) = Split::read(&head) else {
                return Ok(match parse(head).await {
                    Ok(document) => Found::State(whole(document), bytes),
                    Err(unfit) => Found::Unfit(unfit, Some(bytes)),
                });
            };
            let unfit = match in_parts(self, &meta, &split).await? {
                Ok(state) => return Ok(Found::State(state, bytes + split.bytes())),
                Err(unfit) => unfit,
            };
            // A daemon that runs removes the parts of the state that it has replaced.
            held = self.look(key).await?;
            if matches!(&held, Held::Text(text) if *text == head) {
                return Ok(Found::Unfit(unfit, Some(bytes)));
            }
        }
        Err(Fault::Other)
    }

    /// Reads parts, of these ids and lengths; what is made of the agents in each.
    pub(super) async fn parts<T: Send + 'static>(
        &mut self,
        mut parts: impl Iterator<Item = (&String, &u64)>,
        make: fn(Agents) -> T,
    ) -> Result<Result<Vec<(String, T)>, Unfit>, Fault> {
        let mut reading = JoinSet::new();
        let mut made = Vec::new();
        loop {
            if reading.len() < Self::AT_A_TIME
                && let Some((id, bytes)) = parts.next()
            {
                let (id, key) = (id.clone(), keys::part(id));
                let Some(text) = self.get(&key, *bytes).await? else { return Ok(Err(Unfit::Part(key))) };
                reading.spawn_blocking(move || match Split::agents(&id, &text) {
                    Some(agents) => Ok((id, make(agents))),
                    None => Err(Unfit::Part(key)),
                });
                continue;
            }
            let Some(read) = reading.join_next().await else { return Ok(Ok(made)) };
            match read.unwrap_or(Err(Unfit::Reader)) {
                Ok(some) => made.push(some),
                Err(unfit) => return Ok(Err(unfit)),
            }
        }
    }

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
async fn parse(text: Vec<u8>) -> Result<Document, Unfit> {
    let reading = tokio::task::spawn_blocking(move || read(&text));
    Ok(reading.await.map_err(|_| Unfit::Reader)??)
}

fn tell(loaded: &Loaded) {
    match (&loaded.source, &loaded.document) {
        (Some(key), Some(Document { meta, agents })) => {
            let (age_ms, agents) = (loaded.age.as_millis() as u64, agents.len());
            tracing::info!(key, age_ms, stored_epoch = meta.epoch, beat = meta.beat, agents, "state loaded");
        }
        _ => tracing::info!("redis holds no state: beginning with a fresh one"),
    }
}
