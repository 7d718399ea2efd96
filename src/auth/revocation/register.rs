use std::collections::HashMap;
use std::sync::LazyLock;
use std::time::Duration;

use redis::Script;

use super::{Book, Entry, Target};
use crate::domain::Timestamp;
use crate::link::{Endpoint, Fault, Link};

/// The revocations, a hash.
const ENTRIES: &str = "meta:revoked:entries";
/// A text that changes with them.
const VERSION: &str = "meta:revoked:version";

/// What an entry weighs at most, as a generous estimate for how long reading them may take.
const WEIGHT: usize = 512;

static PUT: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("put.lua")));

/// The revocations in Redis, on a connection of its own.
#[derive(Debug)]
pub struct Register {
    link: Link,
}

/// What was read, and how each entry was written.
#[derive(Debug, Default)]
pub(super) struct Reading {
    pub(super) book: Book,
    raw: HashMap<String, String>,
}

impl Register {
    /// Most entries that are kept, those that undo among them. Beyond that, revoking by time is the way.
    pub const MOST: usize = 65_536;

    /// The register in this Redis; it connects when it is first used.
    pub fn new(redis: &Endpoint) -> Self {
        Self { link: redis.link() }
    }

    /// All entries.
    ///
    /// # Errors
    /// Why Redis could not be asked.
    pub async fn read(&mut self) -> Result<Book, Fault> {
        Ok(self.look().await?.book)
    }

    /// Puts an entry on a target, which is made to be the last on it. `false`: there are too many.
    ///
    /// # Errors
    /// Why Redis could not be asked.
    pub async fn enter(&mut self, target: &Target, entry: Entry) -> Result<bool, Fault> {
        loop {
            let reading = self.look().await?;
            let known = reading.book.get(target);
            if known.is_none() && reading.raw.len() >= Self::MOST {
                return Ok(false);
            }
            let next = known.map_or(Timestamp::EPOCH, |known| known.at.plus(Duration::from_nanos(1)));
            let last = Entry { at: entry.at.max(next), ..entry.clone() };
            // Whoever comes in between is seen at the next turn.
            if self.put(&reading, &[(target, Some(&last))], entry.at).await? > 0 {
                return Ok(true);
            }
        }
    }

    /// Something that changes when the entries do; `None` where there are none.
    pub(super) async fn version(&mut self) -> Result<Option<String>, Fault> {
        self.link.command(redis::cmd("GET").arg(VERSION), 0).await
    }

    pub(super) async fn look(&mut self) -> Result<Reading, Fault> {
        let count: usize = self.link.command(redis::cmd("HLEN").arg(ENTRIES), 0).await?;
        let raw: HashMap<String, String> =
            self.link.command(redis::cmd("HGETALL").arg(ENTRIES), count.saturating_mul(WEIGHT)).await?;
        let mut book = Book::default();
        for (field, value) in &raw {
            match (Target::of(field), serde_json::from_str(value)) {
                (Some(target), Ok(entry)) => {
                    book.enter(target, entry);
                }
                // Of a newer version, perhaps.
                _ => tracing::warn!("a revocation in redis cannot be read: passed over"),
            }
        }
        Ok(Reading { book, raw })
    }

    /// Puts entries in the place of what was read, or removes what was read there, each where it is still so. Returns how
    /// many that changed.
    pub(super) async fn put(
        &mut self,
        reading: &Reading,
        changes: &[(&Target, Option<&Entry>)],
        now: Timestamp,
    ) -> Result<u64, Fault> {
        if changes.is_empty() {
            return Ok(0);
        }
        let all = changes.iter().filter_map(|(_, entry)| *entry).chain(reading.book.iter().map(|(_, entry)| entry));
        let lifetime = all.map(|entry| entry.until.since(now)).max().unwrap_or_default() + Duration::from_hours(1);
        let version = format!("{:032x}", rand::random::<u128>());
        let mut invocation = PUT.key(ENTRIES);
        invocation.key(VERSION).arg(version).arg(u64::try_from(lifetime.as_millis()).unwrap_or(u64::MAX));
        for (target, entry) in changes {
            let field = target.field();
            let expected = reading.raw.get(&field).map(String::as_str).unwrap_or_default();
            let value = entry.map(|entry| serde_json::to_string(entry).unwrap_or_default()).unwrap_or_default();
            invocation.arg(&field).arg(expected).arg(value);
        }
        let bytes = changes.len() * WEIGHT;
        self.link.call(bytes, async |connection| invocation.invoke_async(connection).await).await
    }
}
