//! The store in Redis.

use std::io::Write as _;
use std::sync::LazyLock;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{ErrorKind, FromRedisValue, RedisWrite, Script, ServerErrorKind, Value};

use super::backend::{Head, Held, LARGEST, Over, Write, Written, length};
use super::keys;
use crate::engine::Split;
use crate::link::{Fault, Link};

static WRITE: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("write.lua")));
static HEADS: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("heads.lua")));
static NEXT_EPOCH: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("epoch.lua")));

/// The keys in Redis.
#[derive(Debug)]
pub(super) struct Remote {
    link: Link,
    /// The last write.
    command: redis::Cmd,
}

impl Remote {
    /// Keys asked for at a time when names are looked through; removed at a time.
    const BATCH: usize = 512;
    /// Heads that are looked at at a time: each may be long.
    const HEADS: usize = 64;
    /// Life of a part that no document names yet: more than the writing of all parts takes.
    const UNNAMED: Duration = Duration::from_mins(10);

    pub(super) fn new(link: Link) -> Self {
        Self { link, command: redis::Cmd::new() }
    }

    /// See [`Link::patience`].
    pub(super) fn patience(&self, bytes: usize) -> Duration {
        self.link.patience(bytes)
    }

    pub(super) async fn look(&mut self, key: &str) -> Result<Held, Fault> {
        let kind: String = self.link.command(redis::cmd("TYPE").arg(key), 0).await?;
        match kind.as_str() {
            "none" => return Ok(Held::Nothing),
            "string" => {}
            _ => return Ok(Held::Other),
        }
        let bytes: usize = self.link.command(redis::cmd("STRLEN").arg(key), 0).await?;
        let value: Option<Vec<u8>> = self.link.command(redis::cmd("GET").arg(key), bytes).await?;
        Ok(value.map_or(Held::Nothing, Held::Text))
    }

    pub(super) async fn get(&mut self, key: &str, bytes: u64) -> Result<Option<Vec<u8>>, Fault> {
        let bytes = usize::try_from(bytes).unwrap_or(LARGEST).min(LARGEST);
        match self.link.command(redis::cmd("GET").arg(key), bytes).await {
            // It is of another type.
            Err(Fault::Other) => Ok(None),
            answer => answer,
        }
    }

    pub(super) async fn write(&mut self, write: Write<'_>) -> Result<Written, Fault> {
        let over = match write.over {
            Over::Own => String::new(),
            Over::OwnOr(epoch) => epoch.to_string(),
            Over::All => "*".to_owned(),
        };
        // As the driver does it, with copies of the document less, and into memory that is there already: the kernel takes
        // longer to find some for a large document than all else takes.
        let Self { link, command } = self;
        command.clear();
        let keys = 4 + write.parts.len() + write.snapshot.iter().len();
        command.arg("EVALSHA").arg(WRITE.get_hash()).arg(keys).arg(keys::LATEST);
        command.arg(keys::EPOCH).arg(keys::READING).arg(keys::OBSERVATIONS).arg(write.parts).arg(write.snapshot);
        command.arg(write.epoch);
        add(command, write.document);
        command.arg(over).arg(write.parts.len()).arg(write.reading.position.to_string());
        for (producer, serial) in write.reading.producers() {
            command.arg(producer).arg(serial);
        }
        let sending = async |connection: &mut MultiplexedConnection| match command.query_async(connection).await {
            Err(error) if error.kind() == ErrorKind::Server(ServerErrorKind::NoScript) => {
                WRITE.load_async(connection).await?;
                command.query_async(connection).await
            }
            answer => answer,
        };
        let answer: String = link.call(write.bytes(), sending).await?;
        match answer.as_str() {
            "replaced" => Ok(Written::Replaced),
            "created" => Ok(Written::Created),
            "occupied" => Ok(Written::Occupied),
            "fenced" => Ok(Written::Fenced),
            "torn" => Ok(Written::Torn),
            _ => Err(Fault::Other),
        }
    }

    pub(super) async fn put_down(&mut self, key: &str, part: &[&[u8]]) -> Result<(), Fault> {
        let Self { link, command } = self;
        command.clear();
        command.arg("SET").arg(key);
        add(command, part);
        command.arg("PX").arg(Self::UNNAMED.as_millis() as u64);
        link.command(command, length(part)).await
    }

    pub(super) async fn heads(&mut self, keys: &[String]) -> Result<Vec<Head>, Fault> {
        let mut heads = Vec::with_capacity(keys.len());
        for batch in keys.chunks(Self::HEADS) {
            let mut invocation = HEADS.prepare_invoke();
            batch.iter().for_each(|key| {
                invocation.key(key);
            });
            let some: Vec<(u64, String)> =
                self.link.call(0, async |connection| invocation.invoke_async(connection).await).await?;
            heads.extend(some.into_iter().map(|(bytes, parts)| Head { bytes, parts: named(&parts) }));
        }
        Ok(heads)
    }

    pub(super) async fn set_aside(&mut self, key: &str, to: &str) -> Result<bool, Fault> {
        let there: bool = self.link.command(redis::cmd("EXISTS").arg(key), 0).await?;
        if !there {
            return Ok(false);
        }
        self.link.command(redis::cmd("RENAMENX").arg(key).arg(to), 0).await
    }

    pub(super) async fn copy(&mut self, key: &str, to: &str) -> Result<bool, Fault> {
        self.link.command(redis::cmd("COPY").arg(key).arg(to), 0).await
    }

    pub(super) async fn replace(&mut self, key: &str, by: &str) -> Result<bool, Fault> {
        self.link.command(redis::cmd("COPY").arg(by).arg(key).arg("REPLACE"), 0).await
    }

    pub(super) async fn names(&mut self, prefix: &str) -> Result<Vec<String>, Fault> {
        let mut names = Vec::new();
        let mut cursor = 0u64;
        loop {
            let mut scan = redis::cmd("SCAN");
            scan.arg(cursor).arg("MATCH").arg(format!("{prefix}*")).arg("COUNT").arg(Self::BATCH);
            let (next, some): (u64, Vec<Value>) = self.link.command(&scan, 0).await?;
            // A name that is not UTF-8 is none of ours.
            names.extend(some.into_iter().filter_map(|name| String::from_redis_value(name).ok()));
            cursor = next;
            if cursor == 0 {
                // SCAN may tell a name twice.
                names.sort_unstable();
                names.dedup();
                return Ok(names);
            }
        }
    }

    pub(super) async fn remove(&mut self, keys: &[String]) -> Result<(), Fault> {
        for batch in keys.chunks(Self::BATCH) {
            let _: u64 = self.link.command(redis::cmd("UNLINK").arg(batch), 0).await?;
        }
        Ok(())
    }

    pub(super) async fn next_epoch(&mut self, known: u64) -> Result<u64, Fault> {
        let mut invocation = NEXT_EPOCH.key(keys::EPOCH);
        invocation.arg(known);
        self.link.call(0, async |connection| invocation.invoke_async(connection).await).await
    }

    #[cfg(test)]
    pub(super) async fn counter(&mut self) -> Result<u64, Fault> {
        match self.look(keys::EPOCH).await? {
            Held::Text(text) => Ok(std::str::from_utf8(&text).ok().and_then(|text| text.parse().ok()).unwrap_or(0)),
            Held::Nothing | Held::Other => Ok(0),
        }
    }
}

/// The parts that a head names: as it tells them, or, where somebody changed it, whatever may be the name of one.
fn named(parts: &str) -> Split {
    serde_json::from_str(parts).unwrap_or_else(|_| {
        let ids = parts.split('"').filter(|text| Split::epoch(text).is_some());
        Split { parts: ids.map(|id| (id.to_owned(), 0)).collect() }
    })
}

/// Adds an argument that is in pieces.
fn add(command: &mut redis::Cmd, pieces: &[&[u8]]) {
    let mut argument = command.writer_for_next_arg();
    // What is written to memory is taken.
    pieces.iter().for_each(|piece| drop(argument.write_all(piece)));
}
