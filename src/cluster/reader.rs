//! From the stream to the heart that leads: what all pods accepted, in the order of the stream.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use parking_lot::Mutex;
use redis::aio::MultiplexedConnection;
use redis::streams::StreamReadReply;
use redis::{FromRedisValue, RedisResult, Script, Value};
use tokio::sync::{Notify, watch};
use tokio::time::sleep;

use super::entry::{Body, READ, STREAM};
use super::spool::{Batch, Spool};
use crate::clock;
use crate::domain::Observation;
use crate::engine::{Origin, Reading, StreamId, Verdict};
use crate::link::{Fault, Link};

static MEND: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("mend.lua")));

/// Where the heart's observations come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// The stream: this pod leads.
    Stream,
    /// The spool: this pod goes on by itself.
    Spool,
}

/// A batch that has arrived.
#[derive(Debug)]
struct Arrival {
    origin: Origin,
    /// The stream's name for it; `None`: it comes from the spool.
    id: Option<StreamId>,
    observations: Vec<Observation>,
}

/// A batch that is to be read.
#[derive(Debug)]
struct Told {
    origin: Origin,
    id: Option<StreamId>,
    body: Body,
}

/// An entry that is none of ours.
#[derive(Debug)]
enum Alien {
    /// It says nothing of a batch: what mends the stream, for one.
    Empty,
    /// It is a batch that cannot be read here. Folding what its producer sends next would pass over it; so that is passed
    /// over, too, and sent again, until somebody leads who can.
    Unknown,
}

#[derive(Debug)]
struct Shared {
    queue: Mutex<(VecDeque<Arrival>, usize)>,
    room: Notify,
}

/// The heart's end: batches that have arrived. Nothing here blocks.
#[derive(Debug)]
pub struct Arrivals {
    shared: Arc<Shared>,
    reading: Reading,
}

/// Reads the stream, or the spool, for one time of leading.
#[derive(Debug)]
pub struct Reader {
    link: Link,
    spool: Spool,
    shared: Arc<Shared>,
    source: watch::Receiver<Source>,
    position: StreamId,
    /// The last batch taken from the spool.
    own: u64,
    mended: bool,
}

impl Reader {
    /// How long the stream is waited for at a time.
    pub const BLOCK: Duration = Duration::from_millis(500);
    /// Entries read at a time.
    const COUNT: usize = 64;
    /// Bytes taken from the spool at a time.
    const AT_A_TIME: usize = 1 << 20;
    /// Observations that may wait for the heart.
    const AHEAD: usize = 65_536;
    /// Bytes from which on lines are read beside the runtime's threads.
    const LARGE: usize = 64 * 1024;
    /// Pause after few entries: called for each of them, this end and Redis would do little else under load.
    const GATHER: Duration = Duration::from_millis(5);
    /// Between two tries to reach Redis.
    const RETRY: Duration = Duration::from_millis(100);

    /// A reader that goes on where a state stands, and the heart's end of it. The link's answers may take
    /// [`Self::BLOCK`] more than others.
    pub fn new(link: Link, spool: Spool, reading: Reading, source: watch::Receiver<Source>) -> (Self, Arrivals) {
        let shared = Arc::new(Shared { queue: Mutex::default(), room: Notify::new() });
        let position = reading.position;
        let reader = Self { link, spool, shared: Arc::clone(&shared), source, position, own: 0, mended: false };
        (reader, Arrivals { shared, reading })
    }

    /// Reads until nobody says any more where from.
    pub async fn run(mut self) {
        let mut told = None;
        loop {
            let source = *self.source.borrow_and_update();
            let mut changed = self.source.clone();
            let outcome = tokio::select! {
                gone = changed.changed() => {
                    if gone.is_err() {
                        return;
                    }
                    continue;
                }
                outcome = self.step(source) => outcome,
            };
            match outcome {
                Ok(()) => told = None,
                Err(fault) => {
                    self.mended = false;
                    if told != Some(fault) {
                        tracing::warn!(fault = fault.as_str(), "the stream of observations cannot be read");
                    }
                    told = Some(fault);
                    sleep(Self::RETRY).await;
                }
            }
        }
    }

    async fn step(&mut self, source: Source) -> Result<(), Fault> {
        loop {
            let room = self.shared.room.notified();
            if self.shared.queue.lock().1 < Self::AHEAD {
                break;
            }
            room.await;
        }
        match source {
            Source::Stream => self.read().await,
            Source::Spool => {
                let mut news = self.spool.news();
                let batches = self.spool.after(self.own, Self::AT_A_TIME);
                if batches.is_empty() {
                    // The spool lives as long as the process.
                    let _ = news.changed().await;
                    return Ok(());
                }
                let last = batches.last().map_or(self.own, |batch| batch.origin.serial);
                let told =
                    |batch: Batch| Told { origin: batch.origin, id: None, body: Body::Pack(batch.packed, batch.count) };
                self.arrive(batches.into_iter().map(told).collect()).await;
                self.own = last;
                Ok(())
            }
        }
    }

    async fn read(&mut self) -> Result<(), Fault> {
        if !self.mended {
            let mut mend = MEND.key(STREAM);
            mend.arg(self.position.to_string());
            let _: i64 = self.link.call(0, async |connection| mend.invoke_async(connection).await).await?;
            self.mended = true;
        }
        let mut pipe = redis::pipe();
        // A Redis that is full or cannot write takes no word of how far this is, and can be read all the same.
        pipe.ignore_errors();
        let position = self.position.to_string();
        pipe.cmd("SET").arg(READ).arg(&position).ignore();
        pipe.cmd("XREAD").arg("COUNT").arg(Self::COUNT).arg("BLOCK").arg(Self::BLOCK.as_millis() as u64);
        pipe.arg("STREAMS").arg(STREAM).arg(&position);
        let reading = async |connection: &mut MultiplexedConnection| {
            let mut replies: Vec<RedisResult<Option<StreamReadReply>>> = pipe.query_async(connection).await?;
            replies.pop().unwrap_or(Ok(None))
        };
        let reply = self.link.call(0, reading).await?;
        let entries = reply.into_iter().flat_map(|reply| reply.keys).flat_map(|key| key.ids);
        let mut batches = Vec::new();
        let (mut position, mut count) = (self.position, 0);
        for entry in entries {
            count += 1;
            position = entry.id.parse().map_err(|_| Fault::Other)?;
            match told(position, entry.map) {
                Ok(told) => batches.push(told),
                Err(Alien::Empty) => tracing::debug!(%position, "an entry of the stream holds no observations"),
                Err(Alien::Unknown) => {
                    tracing::error!(%position, "an entry of the stream is in a format of another version: passed over")
                }
            }
        }
        self.arrive(batches).await;
        self.position = position;
        if (1..Self::COUNT).contains(&count) {
            sleep(Self::GATHER).await;
        }
        Ok(())
    }

    /// Hands batches to the heart.
    async fn arrive(&self, batches: Vec<Told>) {
        let bytes: usize = batches.iter().map(|told| told.body.len()).sum();
        let read = move || {
            let read = |Told { origin, id, body }: Told| {
                let (observations, whole) = body.read();
                if !whole {
                    tracing::error!(read = observations.len(), "not all observations of a batch can be read");
                }
                Arrival { origin, id, observations }
            };
            batches.into_iter().map(read).collect::<Vec<_>>()
        };
        let arrived = if bytes > Self::LARGE {
            // It fails when it panics alone, which it does not.
            tokio::task::spawn_blocking(read).await.unwrap_or_default()
        } else {
            read()
        };
        let mut queue = self.shared.queue.lock();
        queue.1 += arrived.iter().map(|arrival| arrival.observations.len()).sum::<usize>();
        queue.0.extend(arrived);
    }
}

/// Reads an entry's fields.
fn told(id: StreamId, mut fields: HashMap<String, Value>) -> Result<Told, Alien> {
    let mut number = |name| u64::from_redis_value(fields.remove(name)?).ok();
    let origin = number("producer").zip(number("serial")).zip(number("first"));
    let ((producer, serial), first) = origin.ok_or(Alien::Empty)?;
    let count = number("count").and_then(|count| usize::try_from(count).ok()).unwrap_or_default();
    let body = Body::of(count, |name| Vec::from_redis_value(fields.remove(name)?).ok()).ok_or(Alien::Unknown)?;
    Ok(Told { origin: Origin { producer, serial, first }, id: Some(id), body })
}

impl Arrivals {
    /// Moves what has arrived to the end of `into`, whole batches only, until that is `max` more or nothing is left.
    /// Returns how many that were.
    pub fn drain(&mut self, max: usize, into: &mut Vec<Observation>) -> usize {
        let before = into.len();
        while into.len() - before < max {
            let Some(Arrival { origin, id, observations }) = self.next() else { break };
            match self.reading.admit(origin, id, clock::now().as_millis()) {
                Verdict::Fold => into.extend(observations),
                Verdict::Known => {}
                Verdict::Gap => {
                    let Origin { serial, .. } = origin;
                    tracing::warn!(serial, "a batch of observations came before one that was lost: passed over");
                }
            }
        }
        into.len() - before
    }

    fn next(&self) -> Option<Arrival> {
        let mut queue = self.shared.queue.lock();
        let arrival = queue.0.pop_front()?;
        queue.1 -= arrival.observations.len();
        drop(queue);
        self.shared.room.notify_waiters();
        Some(arrival)
    }

    /// Observations that have arrived.
    pub fn waiting(&self) -> usize {
        let queue = self.shared.queue.lock();
        // A batch of none moves the reading on all the same.
        queue.1.max(queue.0.len())
    }

    /// How far all is read that was drained.
    pub fn reading(&self) -> &Reading {
        &self.reading
    }
}
