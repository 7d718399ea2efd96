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
mod tests {
    use super::*;
    use crate::engine::{Reading, Verdict};

    fn part(text: &str) -> Vec<Pack> {
        vec![Pack { bytes: Bytes::copy_from_slice(text.as_bytes()), count: text.lines().count() }]
    }

    fn id(millis: u64) -> StreamId {
        StreamId { millis, number: 0 }
    }

    fn is_safe(safe: &mut Safe) -> bool {
        safe.0.as_mut().is_none_or(|safe| safe.try_recv().is_ok())
    }

    #[test]
    fn what_comes_together_goes_together_and_is_safe_once_redis_has_it() {
        let spool = Spool::new(7, 100, 1000);
        spool.came_back();
        let mut first = spool.offer(part("a\n")).unwrap();
        let mut second = spool.offer(part("b\nc\n")).unwrap();
        let batches = spool.unsent(1000);
        assert_eq!(batches.len(), 1);
        assert_eq!((&batches[0].packed[..], batches[0].count), (&b"a\nb\nc\n"[..], 3));
        assert_eq!(batches[0].origin, Origin { producer: 7, serial: 1, first: 1 });
        let mut third = spool.offer(part("d\n")).unwrap();
        assert!(!is_safe(&mut first));
        spool.sent(1, id(5));
        assert!(is_safe(&mut first) && is_safe(&mut second) && !is_safe(&mut third));
        assert_eq!(spool.unsent(1000)[0].origin.serial, 2);
        assert_eq!((spool.len(), spool.only_here(), spool.oldest()), (4, 1, Some((1, id(5)))));
        spool.stored(1);
        assert_eq!((spool.len(), spool.oldest()), (1, None));
        assert_eq!(spool.unsent(1000)[0].origin, Origin { producer: 7, serial: 2, first: 2 });
    }

    #[test]
    fn while_redis_is_away_it_is_safe_here() {
        let spool = Spool::new(7, 100, 1000);
        spool.came_back();
        let mut before = spool.offer(part("a\n")).unwrap();
        assert!(!is_safe(&mut before));
        spool.went_away();
        assert!(is_safe(&mut before) && is_safe(&mut spool.offer(part("b\n")).unwrap()));
        assert_eq!(spool.only_here(), 2);
        assert_eq!(spool.after(1, 1000).len(), 1);
    }

    #[test]
    fn it_is_bounded_and_room_comes_back() {
        let weight = part("01234567\n")[0].weight();
        let spool = Spool::new(7, 3, 2 * weight - 1);
        assert_eq!(spool.offer(part("a\nb\nc\nd\n")).unwrap_err(), Refused::TooLarge { capacity: 3 });
        assert_eq!(spool.offer(part(&"0".repeat(2 * weight))).unwrap_err(), Refused::TooLarge { capacity: 3 });
        spool.offer(part("a\nb\n")).unwrap();
        assert_eq!(spool.offer(part("a\nb\n")).unwrap_err(), Refused::Full);
        assert_eq!(spool.offer(part(&"0".repeat(weight))).unwrap_err(), Refused::Full);
        assert_eq!(spool.unsent(100).len(), 1);
        spool.stored(1);
        spool.offer(part("a\nb\n")).unwrap();
        spool.close();
        assert_eq!(spool.offer(part("a\n")).unwrap_err(), Refused::Closed);
    }

    #[test]
    fn what_the_leader_has_read_waits_for_nothing_but_a_stored_state() {
        let weight = part("a\nb\n")[0].weight();
        let spool = Spool::new(7, 4, 5 * weight);
        let send = |serial| {
            spool.offer(part("a\nb\n"))?;
            spool.unsent(1000);
            spool.sent(serial, id(serial));
            Ok(())
        };
        assert_eq!((send(1), send(2), send(3)), (Ok(()), Ok(()), Err(Refused::Full)));
        spool.read(id(1));
        assert_eq!((send(3), send(4)), (Ok(()), Err(Refused::Full)));
        assert_eq!((spool.len(), spool.unread()), (6, 4));
        // Another one leads, who goes on from an older state.
        spool.read(id(0));
        assert_eq!(send(4), Err(Refused::Full));
        spool.read(id(9));
        assert_eq!(
            (send(4), send(5), send(6)),
            (Ok(()), Ok(()), Err(Refused::Full)),
            "its bytes are bounded all the same"
        );
        spool.stored(1);
        spool.read(id(5));
        assert_eq!((send(6), spool.len()), (Ok(()), 10));
        spool.stored(6);
        spool.read(id(2));
        assert_eq!((send(7), send(8), send(9)), (Ok(()), Ok(()), Err(Refused::Full)), "what is stored was read");
    }

    #[test]
    fn what_is_sent_again_keeps_its_number() {
        let spool = Spool::new(7, 100, 1000);
        for (serial, text) in (1..).zip(["a\n", "b\n", "c\n"]) {
            spool.offer(part(text)).unwrap();
            spool.unsent(1000);
            spool.sent(serial, id(serial));
        }
        spool.stored(1);
        assert!(spool.unsent(1000).is_empty());
        spool.send_again();
        let again = spool.unsent(1);
        assert_eq!((again.len(), again[0].origin.serial, &again[0].packed[..]), (1, 2, &b"b\n"[..]));
        assert_eq!(spool.unsent(1000).len(), 2);
    }

    /// A stream that loses its end, sends that are repeated, leaders that start anew from an older state: whatever
    /// happens, each batch is folded once in the state that remains.
    #[test]
    fn each_batch_is_folded_once_whatever_is_lost_on_the_way() {
        use rand::rngs::StdRng;
        use rand::{RngExt as _, SeedableRng};
        for seed in 0..300 {
            let mut random = StdRng::seed_from_u64(seed);
            let spools: Vec<_> = (0..3).map(|producer| Spool::new(producer, 1 << 20, 1 << 30)).collect();
            let mut offered = [0usize; 3];
            let mut stream: Vec<(StreamId, Batch)> = Vec::new();
            let mut clock = 0;
            // The leader's memory and the stored state: how far it read, and what it counted.
            let (mut live, mut stored) = ((Reading::default(), [0usize; 3]), (Reading::default(), [0usize; 3]));
            let mut settle = 0;
            while settle < 40 {
                let calm = clock > 300;
                settle += usize::from(calm);
                clock += 1;
                let spool = &spools[random.random_range(0..3usize)];
                match random.random_range(0..if calm { 5 } else { 8 }) {
                    0 if !calm => {
                        spool.offer(part("x\ny\n")).unwrap();
                        offered[spool.producer() as usize] += 2;
                    }
                    0..=2 => {
                        for spool in &spools {
                            for batch in spool.unsent(10) {
                                let serial = batch.origin.serial;
                                clock += 1;
                                stream.push((id(clock), batch));
                                // The answer may be lost.
                                if calm || random.random_bool(0.8) {
                                    spool.sent(serial, id(clock));
                                } else {
                                    break;
                                }
                            }
                        }
                    }
                    3 => {
                        for (id, batch) in
                            stream.iter().filter(|(id, _)| *id > live.0.position).cloned().collect::<Vec<_>>()
                        {
                            if live.0.admit(batch.origin, Some(id), 0) == Verdict::Fold {
                                live.1[batch.origin.producer as usize] += batch.count;
                            }
                        }
                        if random.random_bool(0.7) {
                            stored = live.clone();
                            stream.retain(|(id, _)| *id >= stored.0.position);
                        }
                    }
                    4 => {
                        for spool in &spools {
                            spool.stored(stored.0.folded(spool.producer()));
                            if let Some((serial, id)) = spool.oldest() {
                                let passed = stored.0.position >= id && stored.0.folded(spool.producer()) < serial;
                                if passed || !stream.iter().any(|(known, _)| *known == id) {
                                    spool.send_again();
                                }
                            }
                        }
                    }
                    5 => live = stored.clone(),
                    6 => {
                        let keep = random.random_range(0..=stream.len());
                        stream.truncate(keep);
                    }
                    // The leader folds what it has itself accepted.
                    _ => {
                        for batch in spools[0].after(live.0.folded(0), 100) {
                            if live.0.admit(batch.origin, None, 0) == Verdict::Fold {
                                live.1[0] += batch.count;
                            }
                        }
                    }
                }
            }
            for _ in 0..6 {
                for spool in &spools {
                    for batch in spool.unsent(1 << 20) {
                        clock += 1;
                        let serial = batch.origin.serial;
                        stream.push((id(clock), batch));
                        spool.sent(serial, id(clock));
                    }
                }
                for (id, batch) in stream.iter().filter(|(id, _)| *id > live.0.position).cloned().collect::<Vec<_>>() {
                    if live.0.admit(batch.origin, Some(id), 0) == Verdict::Fold {
                        live.1[batch.origin.producer as usize] += batch.count;
                    }
                }
                stored = live.clone();
                for spool in &spools {
                    spool.stored(stored.0.folded(spool.producer()));
                    if spool.oldest().is_some() {
                        spool.send_again();
                    }
                }
            }
            assert_eq!(stored.1, offered, "seed {seed}");
            assert!(spools.iter().all(Spool::is_empty), "seed {seed}");
        }
    }
}
