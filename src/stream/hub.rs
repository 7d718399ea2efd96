//! The hub: the public state in one place, and the frames made of it.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use parking_lot::{Mutex, RwLock};
use serde::Serialize;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::filter::{Filter, Filters};
use super::frame::{Frame, Unchanged};
use crate::domain::{AgentId, Timestamp};
use crate::sanitize::{Everything, Position, PublicBeat, PublicState, Standing};

/// How often a stream shows that the heart beats when nothing else changes.
const SIGN_OF_LIFE: Duration = Duration::from_secs(1);
/// State frames from this size on are given to all who come within [`LARGE_FOR`], and deltas after that: a client that
/// asks for one again and again, or takes it slowly, then costs neither CPU nor memory of its own.
const LARGE: usize = 64 * 1024;
const LARGE_FOR: Duration = Duration::from_secs(1);
/// Bytes of frames that are kept for sharing at one beat.
const CACHE_BYTES: usize = 32 * 1024 * 1024;

/// Holds the public state, tells streams when there is something to send, and makes what is sent.
///
/// One task feeds it ([`Hub::run`]); everybody else reads. Locks are held for moments and never across an await.
#[derive(Debug)]
pub struct Hub {
    state: RwLock<Option<Current>>,
    news: watch::Sender<News>,
    filters: Filters,
    cache: Mutex<Cache>,
    history_limit: usize,
    apart: AtomicBool,
}

#[derive(Debug)]
struct Current {
    state: PublicState,
    /// The last beat at which more than the clock changed.
    changed: Position,
    document: OnceLock<Document>,
}

/// The last beat worth sending.
#[derive(Debug, Clone, Copy, Default)]
pub struct News {
    /// When it was.
    pub at: Timestamp,
    /// How many there were so far.
    pub serial: u64,
}

/// What a client was given last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Given {
    /// The beat it knows the state of.
    pub position: Position,
    /// When that was.
    pub at: Timestamp,
}

/// The whole state as an answer to a request.
#[derive(Debug, Clone)]
pub struct Document {
    /// `{"epoch":…,"beat":…,"ts_ns":…,"state":{…}}`.
    pub body: Bytes,
    /// A weak entity tag: it stays while nothing but the clock changes.
    pub etag: String,
}

/// What an agent should do next, as an answer to a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AdviceDocument {
    /// The advice.
    pub advice: &'static str,
    /// Kinds of the agent's open insights.
    pub because: Vec<&'static str>,
    /// As of this beat.
    pub beat: u64,
}

/// Frames of the current beat, made once, and large states of a moment ago.
#[derive(Debug, Default)]
struct Cache {
    position: Position,
    bytes: usize,
    /// By filter and base; `None` as base: the whole state.
    frames: HashMap<(u64, Option<u64>), Arc<OnceLock<Made>>>,
    large: HashMap<u64, (Frame, Given)>,
}

#[derive(Debug, Clone)]
struct Made {
    frame: Frame,
    /// Whether it says more than the time.
    changed: bool,
}

impl Hub {
    /// A hub without a state. `history_limit` bounds the names of changed things that are kept to tell differences to
    /// earlier beats.
    pub fn new(history_limit: usize) -> Self {
        Self {
            state: RwLock::default(),
            news: watch::Sender::new(News::default()),
            filters: Filters::default(),
            cache: Mutex::default(),
            history_limit,
            apart: AtomicBool::new(false),
        }
    }

    /// Applies beats as they come, until there are no more or `shutdown` is cancelled and all that came before is
    /// applied.
    pub async fn run(&self, mut beats: mpsc::Receiver<PublicBeat>, shutdown: CancellationToken) {
        loop {
            tokio::select! {
                biased;
                beat = beats.recv() => match beat {
                    Some(beat) => self.publish(beat),
                    None => return,
                },
                () = shutdown.cancelled() => return,
            }
        }
    }

    /// Applies a beat and wakes the streams if it is worth sending.
    pub fn publish(&self, beat: PublicBeat) {
        self.take_over(beat, PublicState::apply);
    }

    /// The same with a beat that tells the whole state.
    pub fn publish_whole(&self, beat: PublicBeat) {
        self.take_over(beat, PublicState::replace);
    }

    /// Makes a beat although nobody tells what it changes; see [`PublicState::idle`]. Nothing before the first beat.
    pub fn publish_idle(&self, later: u64, at: Timestamp, standing: &Standing) {
        let idle = self.state.read().as_ref().map(|current| current.state.idle(later, at, standing));
        if let Some(idle) = idle {
            self.publish(idle);
        }
    }

    /// Whether its beats are its own, which other pods don't know, as it does not know theirs: no difference is then told
    /// to who comes with a beat.
    pub fn stand_apart(&self, apart: bool) {
        self.apart.store(apart, Ordering::Release);
    }

    /// The whole state as one beat; `None` before the first.
    pub fn whole_beat(&self) -> Option<PublicBeat> {
        self.state.read().as_ref().map(|current| current.state.whole())
    }

    fn take_over(&self, beat: PublicBeat, apply: impl FnOnce(&mut PublicState, PublicBeat) -> bool) {
        let (at, changed) = {
            let mut guard = self.state.write();
            let changed = match &mut *guard {
                Some(current) => {
                    let epoch = current.state.position().epoch;
                    let changed = apply(&mut current.state, beat);
                    let position = current.state.position();
                    if changed || position.epoch != epoch {
                        current.changed = position;
                    }
                    current.document = OnceLock::new();
                    changed || position.epoch != epoch
                }
                None => {
                    let state = PublicState::new(beat, self.history_limit);
                    let changed = state.position();
                    *guard = Some(Current { state, changed, document: OnceLock::new() });
                    true
                }
            };
            let at = guard.as_ref().map_or(Timestamp::EPOCH, |current| current.state.at());
            self.cache.lock().move_to(guard.as_ref().map(|current| current.state.position()).unwrap_or_default(), at);
            (at, changed)
        };
        self.news.send_if_modified(|news| {
            let worth = changed || at.since(news.at) >= SIGN_OF_LIFE || news.serial == 0;
            if worth {
                *news = News { at, serial: news.serial + 1 };
            }
            worth
        });
    }

    /// The last beat worth sending.
    pub fn news(&self) -> News {
        *self.news.borrow()
    }

    /// Tells when there is something to send.
    pub fn subscribe(&self) -> watch::Receiver<News> {
        self.news.subscribe()
    }

    /// The filters in use.
    pub fn filters(&self) -> &Filters {
        &self.filters
    }

    /// Epoch and beat of the last beat; `None` before the first.
    pub fn position(&self) -> Option<Position> {
        self.state.read().as_ref().map(|current| current.state.position())
    }

    /// What [`Given`] to start from when a client says that it knows the state of this beat; `None` when the
    /// difference from there cannot be told. It counts as long ago, so that the client is told the time at once.
    pub fn given(&self, known: Position) -> Option<Given> {
        if self.apart.load(Ordering::Acquire) {
            return None;
        }
        let guard = self.state.read();
        let state = &guard.as_ref()?.state;
        state.reaches_back_to(known).then_some(Given { position: known, at: Timestamp::EPOCH })
    }

    /// The next data frame for a client with this filter: the difference from what it was given, or the whole state
    /// where it was given nothing or too long ago. `None` when there is nothing to say, or nothing but the time and
    /// that was said within the last second.
    pub fn next(&self, filter: &Filter, given: Option<Given>) -> Option<(Frame, Given)> {
        let guard = self.state.read();
        let state = &guard.as_ref()?.state;
        let now = Given { position: state.position(), at: state.at() };
        let Some(given) = given.filter(|given| state.reaches_back_to(given.position)) else {
            return Some(self.whole(state, filter, now));
        };
        if given.position == now.position {
            return None;
        }
        let base = given.position.beat;
        let made = self.made(now.position, (filter.id(), Some(base)), || match state.patch(base, filter) {
            Some(patch) => Made { frame: Frame::delta(now.position, now.at, base, patch), changed: true },
            None => Made { frame: Frame::delta(now.position, now.at, base, Unchanged {}), changed: false },
        });
        (made.changed || now.at.since(given.at) >= SIGN_OF_LIFE).then_some((made.frame, now))
    }

    fn whole(&self, state: &PublicState, filter: &Filter, now: Given) -> (Frame, Given) {
        let large = self.cache.lock().large.get(&filter.id()).cloned();
        if let Some((frame, given)) = large
            && state.reaches_back_to(given.position)
        {
            return (frame, given);
        }
        let made = self.made(now.position, (filter.id(), None), || Made {
            frame: Frame::state(now.position, now.at, state.document(filter)),
            changed: true,
        });
        if made.frame.bytes().len() >= LARGE {
            self.cache.lock().large.insert(filter.id(), (made.frame.clone(), now));
        }
        (made.frame, now)
    }

    /// A frame of the current beat, made by whoever asks first.
    fn made(&self, position: Position, key: (u64, Option<u64>), make: impl FnOnce() -> Made) -> Made {
        let slot = {
            let mut cache = self.cache.lock();
            if cache.position != position || cache.bytes > CACHE_BYTES {
                drop(cache);
                return make();
            }
            Arc::clone(cache.frames.entry(key).or_default())
        };
        let mut bytes = 0;
        let made = slot.get_or_init(|| {
            let made = make();
            bytes = made.frame.bytes().len();
            made
        });
        if bytes > 0 {
            self.cache.lock().bytes += bytes;
        }
        made.clone()
    }

    /// The whole state for everybody who may see it; `None` before the first beat.
    pub fn document(&self) -> Option<Document> {
        #[derive(Serialize)]
        struct Body<T> {
            epoch: u64,
            beat: u64,
            ts_ns: i64,
            state: T,
        }
        let guard = self.state.read();
        let current = guard.as_ref()?;
        let document = current.document.get_or_init(|| {
            let Position { epoch, beat } = current.state.position();
            let ts_ns = current.state.at().as_nanos();
            let body = Body { epoch, beat, ts_ns, state: current.state.document(&Everything) };
            // Writing such a thing to memory does not fail.
            let body = serde_json::to_vec(&body).unwrap_or_default().into();
            let changed = current.changed;
            Document { body, etag: format!("W/\"{}-{}\"", changed.epoch, changed.beat) }
        });
        Some(document.clone())
    }

    /// What an agent should do next; `None` when it is not known.
    pub fn advice(&self, agent: &AgentId) -> Option<AdviceDocument> {
        let guard = self.state.read();
        let state = &guard.as_ref()?.state;
        let (advice, because) = state.advice(agent)?;
        Some(AdviceDocument { advice, because, beat: state.position().beat })
    }

    /// An agent's claims by bins of confidence, as a JSON object; `None` when the agent is not known.
    pub fn calibration(&self, agent: &AgentId) -> Option<Bytes> {
        #[derive(Serialize)]
        struct Body<T> {
            epoch: u64,
            beat: u64,
            #[serde(flatten)]
            curve: T,
        }
        let (position, curve) = {
            let guard = self.state.read();
            let state = &guard.as_ref()?.state;
            (state.position(), state.curve(agent)?)
        };
        let body = Body { epoch: position.epoch, beat: position.beat, curve: curve.document() };
        // Numbers, written to memory: this does not fail.
        Some(serde_json::to_vec(&body).unwrap_or_default().into())
    }
}

impl Cache {
    fn move_to(&mut self, position: Position, at: Timestamp) {
        self.position = position;
        self.bytes = 0;
        self.frames.clear();
        self.large.retain(|_, (_, given)| given.position.epoch == position.epoch && at.since(given.at) < LARGE_FOR);
    }
}

#[cfg(test)]
mod tests;
