//! What this process has accepted and no stored state holds yet.
//!
//! Batches of observations are numbered in the order in which they were taken in, and their numbers never change what
//! they stand for. Each is held until a stored state covers it, whatever became of it on the way: so it can be sent
//! again, once or ten times, to a Redis that lost it, and is folded once all the same ([`crate::engine::Reading`]).

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use parking_lot::Mutex;
use tokio::sync::{oneshot, watch};

use super::entry::{Pack, fit};
use crate::engine::{Origin, StreamId};

/// Why observations were not taken. None of them was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// No room now.
    #[error("too much is held that the leader has not read, or that no stored state holds yet")]
    Full,
    /// More than there ever is room for.
    #[error("more than {capacity} observations")]
    TooLarge {
        /// The most there is room for.
        capacity: usize,
    },
    /// Nothing is taken in any more.
    #[error("the daemon is stopping")]
    Closed,
}

/// A batch on its way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// Its place among this process's.
    pub origin: Origin,
    /// Its observations, as a [`Pack`]'s.
    pub packed: Bytes,
    /// How many they are.
    pub count: usize,
}

/// The spool; clones are the same one.
#[derive(Debug, Clone)]
pub struct Spool(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    producer: u64,
    capacity: usize,
    most_bytes: usize,
    state: Mutex<State>,
    /// Counts what was taken in, for those who wait for something to do.
    taken: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct State {
    /// Taken in and not numbered yet: what comes at about the same time shares a batch.
    waiting: VecDeque<(Pack, Option<oneshot::Sender<()>>)>,
    held: VecDeque<Held>,
    /// The last number given.
    last: u64,
    /// Observations in all that were ever numbered.
    numbered: u64,
    /// The first batch that is not known to be in the stream.
    unsent: u64,
    /// Whether Redis cannot be reached: what is taken in is then safe nowhere else.
    away: bool,
    /// Observations taken in so far, all told.
    taken: u64,
    /// How many of those the leader has read.
    read: u64,
    observations: usize,
    bytes: usize,
    closed: bool,
}

#[derive(Debug)]
struct Held {
    packed: Bytes,
    count: usize,
    /// Observations taken in up to its end, all told.
    until: u64,
    /// What it counts for among the bytes held.
    weight: usize,
    /// The stream's name for it, once that is known.
    id: Option<StreamId>,
    /// Those who wait for it to be safe.
    waiting: Vec<oneshot::Sender<()>>,
}

/// Ready once what was taken in is safe: in Redis, or, while that is away, here.
#[derive(Debug)]
pub struct Safe(Option<oneshot::Receiver<()>>);

impl Safe {
    /// Waits for it.
    pub async fn wait(self) {
        if let Some(safe) = self.0 {
            // The spool is gone: so is the process.
            let _ = safe.await;
        }
    }
}

impl Spool {
    /// A spool of a process with this number. It holds so many observations that the leader has not read, and so many
    /// bytes in all.
    pub fn new(producer: u64, capacity: usize, most_bytes: usize) -> Self {
        let state = State { unsent: 1, away: true, ..State::default() };
        let taken = watch::Sender::new(0);
        Self(Arc::new(Shared { producer, capacity, most_bytes, state: Mutex::new(state), taken }))
    }

    /// Takes observations in, all or none.
    ///
    /// # Errors
    /// See [`Refused`].
    pub fn offer(&self, packs: Vec<Pack>) -> Result<Safe, Refused> {
        let Shared { capacity, most_bytes, .. } = *self.0;
        let count: usize = packs.iter().map(|pack| pack.count).sum();
        let bytes: usize = packs.iter().map(Pack::weight).sum();
        if count > capacity || bytes > most_bytes {
            return Err(Refused::TooLarge { capacity });
        }
        let mut state = self.0.state.lock();
        if state.closed {
            return Err(Refused::Closed);
        }
        if count > capacity.saturating_sub(state.unread()) || bytes > most_bytes - state.bytes {
            return Err(Refused::Full);
        }
        state.taken += count as u64;
        state.observations += count;
        state.bytes += bytes;
        let (done, safe) = oneshot::channel();
        let mut done = (count > 0 && !state.away).then_some(done);
        let waits = done.is_some();
        let last = packs.len().saturating_sub(1);
        let packs = packs.into_iter().enumerate();
        state.waiting.extend(packs.map(|(i, pack)| (pack, if i == last { done.take() } else { None })));
        drop(state);
        self.0.taken.send_modify(|taken| *taken += 1);
        Ok(Safe(waits.then_some(safe)))
    }

    /// Tells when something was taken in.
    pub fn news(&self) -> watch::Receiver<u64> {
        self.0.taken.subscribe()
    }

    /// Takes nothing in any more.
    pub fn close(&self) {
        self.0.state.lock().closed = true;
    }

    /// The process's number.
    pub fn producer(&self) -> u64 {
        self.0.producer
    }

    /// Observations held.
    pub fn len(&self) -> usize {
        self.0.state.lock().observations
    }

    /// Observations held that the leader has not read, as far as is known.
    pub fn unread(&self) -> usize {
        self.0.state.lock().unread()
    }

    /// Whether it holds nothing.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Observations that are not known to be in Redis.
    pub fn only_here(&self) -> usize {
        let mut state = self.0.state.lock();
        state.number();
        let skipped = state.index(state.unsent);
        state.held.iter().skip(skipped).map(|held| held.count).sum()
    }

    /// The batches that are not known to be in the stream, in order, up to about so many bytes.
    pub(super) fn unsent(&self, most_bytes: usize) -> Vec<Batch> {
        let mut state = self.0.state.lock();
        state.number();
        let from = state.unsent;
        self.batches(&state, from, most_bytes)
    }

    /// The batches after this one, in order, up to about so many bytes.
    pub(super) fn after(&self, serial: u64, most_bytes: usize) -> Vec<Batch> {
        let mut state = self.0.state.lock();
        state.number();
        let from = (serial + 1).max(state.first());
        self.batches(&state, from, most_bytes)
    }

    fn batches(&self, state: &State, from: u64, most_bytes: usize) -> Vec<Batch> {
        let (producer, first) = (self.0.producer, state.first());
        let mut bytes = 0;
        let held = state.held.iter().skip(state.index(from)).zip(from..);
        let some = held.take_while(|(held, _)| {
            let room = bytes < most_bytes;
            bytes += held.packed.len();
            room
        });
        some.map(|(held, serial)| Batch {
            origin: Origin { producer, serial, first },
            packed: held.packed.clone(),
            count: held.count,
        })
        .collect()
    }

    /// The stream has a batch: whoever waits for it, or for one before it, is told.
    pub(super) fn sent(&self, serial: u64, id: StreamId) {
        let mut state = self.0.state.lock();
        state.away = false;
        let index = state.index(serial);
        if let Some(held) = state.held.get_mut(index) {
            held.id = Some(id);
            held.waiting.drain(..).for_each(tell);
        }
        state.unsent = state.unsent.max(serial + 1);
    }

    /// Redis cannot be reached: what was taken in is safe here, as far as it can be.
    pub(super) fn went_away(&self) {
        let mut state = self.0.state.lock();
        state.away = true;
        state.number();
        for held in &mut state.held {
            held.waiting.drain(..).for_each(tell);
        }
    }

    /// Redis is back.
    pub(super) fn came_back(&self) {
        self.0.state.lock().away = false;
    }

    /// A stored state holds all up to this batch.
    pub(super) fn stored(&self, serial: u64) {
        let mut state = self.0.state.lock();
        while state.first() <= serial
            && let Some(held) = state.held.pop_front()
        {
            state.observations -= held.count;
            state.bytes -= held.weight;
            state.read = state.read.max(held.until);
            held.waiting.into_iter().for_each(tell);
        }
        state.unsent = state.unsent.max(state.first());
    }

    /// The leader has read the stream so far. One who leads next may have read less.
    pub(super) fn read(&self, position: StreamId) {
        let mut state = self.0.state.lock();
        let read = state.held.partition_point(|held| held.id.is_some_and(|id| id <= position));
        let stored = state.taken - state.observations as u64;
        state.read = read.checked_sub(1).and_then(|last| state.held.get(last)).map_or(stored, |held| held.until);
    }

    /// The oldest batch held that the stream was said to have, and its name there.
    pub(super) fn oldest(&self) -> Option<(u64, StreamId)> {
        let state = self.0.state.lock();
        state.held.front().and_then(|held| Some((state.first(), held.id?)))
    }

    /// The stream lost something: all that is held is to be sent again.
    pub(super) fn send_again(&self) {
        let mut state = self.0.state.lock();
        state.held.iter_mut().for_each(|held| held.id = None);
        state.unsent = state.first();
        drop(state);
        self.0.taken.send_modify(|taken| *taken += 1);
    }
}

/// Whoever waited may be gone.
fn tell(waiting: oneshot::Sender<()>) {
    let _ = waiting.send(());
}

impl State {
    /// The first batch held, or the one that is held next.
    fn first(&self) -> u64 {
        self.last + 1 - self.held.len() as u64
    }

    fn index(&self, serial: u64) -> usize {
        usize::try_from(serial.saturating_sub(self.first())).unwrap_or(usize::MAX)
    }

    /// See [`Spool::unread`].
    fn unread(&self) -> usize {
        usize::try_from(self.taken - self.read).unwrap_or(usize::MAX)
    }

    /// Makes numbered batches of what waits.
    fn number(&mut self) {
        while let Some((first, done)) = self.waiting.pop_front() {
            let mut waiting: Vec<_> = done.into_iter().collect();
            let (mut count, mut weight, mut bytes) = (first.count, first.weight(), BytesMut::new());
            while let Some((next, _)) = self.waiting.front()
                && fit(count + next.count, first.bytes.len().max(bytes.len()) + next.bytes.len())
                && let Some((next, done)) = self.waiting.pop_front()
            {
                if bytes.is_empty() {
                    bytes.extend_from_slice(&first.bytes);
                }
                bytes.extend_from_slice(&next.bytes);
                count += next.count;
                weight += next.weight();
                waiting.extend(done);
            }
            let packed = if bytes.is_empty() { first.bytes } else { bytes.freeze() };
            if self.away {
                waiting.drain(..).for_each(tell);
            }
            self.last += 1;
            self.numbered += count as u64;
            self.held.push_back(Held { packed, count, until: self.numbered, weight, id: None, waiting });
        }
    }
}

#[cfg(test)]
mod tests;
