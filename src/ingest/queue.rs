//! The bounded queue between those who accept observations and the heart that folds them.
//!
//! Many producers, one consumer. A producer hands over a whole batch by moving one pointer under a lock; the consumer
//! takes all batches by swapping two lists under it. So nobody holds the lock for longer than moments, and the heart is
//! never kept waiting by a producer's work. There is no waker: the heart looks at its beats.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use super::RejectReason;
use crate::domain::Observation;

/// When to try again after [`OfferError::Full`]: ten beats at the default interval, and the shortest time that an HTTP
/// `Retry-After` can say.
pub const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Batches for which room is made at once, so that the lists seldom grow under the lock.
const BATCHES: usize = 4096;

/// Makes a queue that holds at most `capacity` observations.
pub fn bounded(capacity: usize) -> (Sender, Receiver) {
    let batches = || VecDeque::with_capacity(capacity.min(BATCHES));
    let shared = Arc::new(Shared { capacity, state: Mutex::new(State { batches: batches(), len: 0, closed: false }) });
    let receiver = Receiver { shared: shared.clone(), taken: batches(), current: Vec::new().into_iter() };
    (Sender { shared }, receiver)
}

/// Why a batch was not taken. Nothing of it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OfferError {
    /// No room now.
    #[error("the queue to the heart is full")]
    Full {
        /// When to try again.
        retry_after: Duration,
    },
    /// The batch is larger than the whole queue: it will never fit.
    #[error("the batch holds more than {capacity} observations")]
    TooLarge {
        /// The most that fits.
        capacity: usize,
    },
    /// Nobody takes observations any more.
    #[error("the daemon is stopping")]
    Closed,
}

impl OfferError {
    /// The same in one word, for metrics.
    pub const fn reason(&self) -> RejectReason {
        match self {
            Self::Full { .. } | Self::Closed => RejectReason::QueueFull,
            Self::TooLarge { .. } => RejectReason::TooLarge,
        }
    }
}

/// The producers' end.
#[derive(Debug, Clone)]
pub struct Sender {
    shared: Arc<Shared>,
}

impl Sender {
    /// Hands over a batch, all or nothing; never blocks for longer than moments. The batches of one producer keep their
    /// order.
    ///
    /// # Errors
    /// See [`OfferError`].
    pub fn offer(&self, batch: Vec<Observation>) -> Result<(), OfferError> {
        let capacity = self.shared.capacity;
        if batch.len() > capacity {
            return Err(OfferError::TooLarge { capacity });
        }
        let mut state = self.shared.state.lock();
        if state.closed {
            return Err(OfferError::Closed);
        }
        if batch.len() > capacity - state.len {
            return Err(OfferError::Full { retry_after: RETRY_AFTER });
        }
        if !batch.is_empty() {
            state.len += batch.len();
            state.batches.push_back(batch);
        }
        Ok(())
    }

    /// Observations waiting.
    pub fn len(&self) -> usize {
        self.shared.state.lock().len
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The most that can wait.
    pub fn capacity(&self) -> usize {
        self.shared.capacity
    }
}

/// The heart's end.
#[derive(Debug)]
pub struct Receiver {
    shared: Arc<Shared>,
    /// Batches taken from the queue and not looked at yet.
    taken: VecDeque<Vec<Observation>>,
    /// What is left of the batch being drained.
    current: std::vec::IntoIter<Observation>,
}

impl Receiver {
    /// Moves up to `max` waiting observations to the end of `into` and says how many; never blocks. Room for new ones is
    /// made by what was drained.
    pub fn drain(&mut self, max: usize, into: &mut Vec<Observation>) -> usize {
        let before = into.len();
        loop {
            let wanted = max - (into.len() - before);
            into.extend(self.current.by_ref().take(wanted));
            if into.len() - before == max {
                break;
            }
            if self.taken.is_empty() {
                std::mem::swap(&mut self.shared.state.lock().batches, &mut self.taken);
            }
            match self.taken.pop_front() {
                Some(batch) => self.current = batch.into_iter(),
                None => break,
            }
        }
        let drained = into.len() - before;
        self.shared.state.lock().len -= drained;
        drained
    }

    /// Observations waiting.
    pub fn len(&self) -> usize {
        self.shared.state.lock().len
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Takes no more offers; what waits can still be drained.
    pub fn close(&self) {
        self.shared.state.lock().closed = true;
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.close();
    }
}

#[derive(Debug)]
struct Shared {
    capacity: usize,
    state: Mutex<State>,
}

struct State {
    batches: VecDeque<Vec<Observation>>,
    /// Observations offered and not drained, those the receiver has taken but not handed out included.
    len: usize,
    closed: bool,
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("State").field("len", &self.len).field("closed", &self.closed).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

    use proptest::prelude::*;

    use super::*;
    use crate::domain::{AgentId, Kind, SessionKey, Source, Timestamp};

    fn observation(serial: usize) -> Observation {
        Observation {
            agent: AgentId::fitted("a"),
            session: SessionKey::default(),
            id: None,
            at: Timestamp::from_nanos(serial as i64),
            source: Source::Native,
            kind: Kind::Thought { text: None },
        }
    }

    fn serials(observations: &[Observation]) -> Vec<usize> {
        observations.iter().map(|observation| observation.at.as_nanos() as usize).collect()
    }

    #[test]
    fn all_or_nothing_and_room_comes_back() {
        let (sender, mut receiver) = bounded(3);
        let mut out = Vec::new();
        assert_eq!(sender.offer(vec![observation(0), observation(1)]), Ok(()));
        let full = Err(OfferError::Full { retry_after: RETRY_AFTER });
        assert_eq!(sender.offer(vec![observation(2), observation(3)]), full);
        assert_eq!(sender.offer((0..4).map(observation).collect()), Err(OfferError::TooLarge { capacity: 3 }));
        assert_eq!(receiver.drain(1, &mut out), 1);
        assert_eq!((sender.len(), receiver.len()), (1, 1));
        assert_eq!(sender.offer(vec![observation(2), observation(3)]), Ok(()));
        assert_eq!(receiver.drain(100, &mut out), 3);
        assert_eq!(serials(&out), [0, 1, 2, 3]);
        assert_eq!(receiver.drain(100, &mut out), 0);
        assert!(sender.is_empty() && receiver.is_empty());
    }

    #[test]
    fn closed_queues_take_nothing_but_give_what_they_hold() {
        let (sender, mut receiver) = bounded(3);
        sender.offer(vec![observation(0)]).unwrap();
        receiver.close();
        assert_eq!(sender.offer(vec![observation(1)]), Err(OfferError::Closed));
        assert_eq!(receiver.drain(5, &mut Vec::new()), 1);
        drop(receiver);
        assert_eq!(sender.offer(Vec::new()), Err(OfferError::Closed));
    }

    #[test]
    fn nothing_is_lost_or_doubled_under_contention() {
        const PRODUCERS: usize = 4;
        const BATCHES_EACH: usize = 3000;
        let (sender, mut receiver) = bounded(64);
        let (running, refused) = (AtomicUsize::new(PRODUCERS), AtomicUsize::new(0));
        let over = AtomicBool::new(false);
        let mut out = Vec::new();
        let accepted: usize = std::thread::scope(|scope| {
            let producers: Vec<_> = (0..PRODUCERS)
                .map(|producer| {
                    let (sender, running, refused, over) = (sender.clone(), &running, &refused, &over);
                    scope.spawn(move || {
                        let mut accepted = 0;
                        for round in 0..BATCHES_EACH {
                            let size = 1 + (round * 7 + producer) % 9;
                            let first = accepted;
                            let batch = (first..first + size).map(|i| observation(i * PRODUCERS + producer)).collect();
                            if sender.offer(batch).is_ok() {
                                accepted += size;
                            } else {
                                refused.fetch_add(1, Ordering::Relaxed);
                                std::thread::yield_now();
                            }
                            over.fetch_or(sender.len() > sender.capacity(), Ordering::Relaxed);
                        }
                        running.fetch_sub(1, Ordering::Release);
                        accepted
                    })
                })
                .collect();
            while running.load(Ordering::Acquire) > 0 {
                receiver.drain(5, &mut out);
            }
            producers.into_iter().map(|producer| producer.join().unwrap()).sum()
        });
        receiver.drain(usize::MAX, &mut out);
        assert_eq!(out.len(), accepted);
        assert!(!over.load(Ordering::Relaxed));
        for producer in 0..PRODUCERS {
            let own: Vec<_> = serials(&out).into_iter().filter(|serial| serial % PRODUCERS == producer).collect();
            assert!(own.iter().enumerate().all(|(i, serial)| serial / PRODUCERS == i));
        }
    }

    proptest! {
        /// Against a plain list: same answers, same order, same length, whatever the sequence of calls.
        #[test]
        fn behaves_like_a_list(calls in proptest::collection::vec((any::<bool>(), 0..9usize), 0..60), capacity in 0..20usize) {
            let (sender, mut receiver) = bounded(capacity);
            let (mut model, mut next) = (VecDeque::new(), 0);
            for (offers, n) in calls {
                if offers {
                    let answer = sender.offer((next..next + n).map(observation).collect());
                    let fits = model.len() + n <= capacity;
                    prop_assert_eq!(answer.is_ok(), fits);
                    prop_assert_eq!(matches!(answer, Err(OfferError::TooLarge { .. })), n > capacity);
                    if fits {
                        model.extend(next..next + n);
                        next += n;
                    }
                } else {
                    let mut out = Vec::new();
                    let drained = receiver.drain(n, &mut out);
                    prop_assert_eq!(drained, out.len());
                    prop_assert_eq!(serials(&out), model.drain(..n.min(model.len())).collect::<Vec<_>>());
                }
                prop_assert_eq!(sender.len(), model.len());
            }
        }
    }
}
