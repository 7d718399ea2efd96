//! From the hub to all streams: a pass over them at each beat worth sending, a loop a core.
//!
//! To wake a task for each stream costs more than to write its frame. So the pass writes by itself what a stream can take
//! at once, and calls the stream's own task only where there is more to do: to wait for the socket, for the client's
//! rate, or for answers that go first.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use parking_lot::Mutex;
use prefetch_index::prefetch_index;
use slab::Slab;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;

use super::close::Close;
use super::connection::Connection;
use super::filter::Filter;
use super::frame::Frame;
use super::hub::{Given, Hub, News};
use super::line::{Line, Signal};
use super::wire::Fault;

/// Streams told between two turns that other tasks get: some hundred microseconds' work.
const AT_A_TIME: usize = 64;

/// Bytes that are fetched at once.
const CACHE_LINE: usize = 64;

/// The streams, dealt out to the loops that tell them the news.
pub struct Fanout {
    shares: Box<[Share]>,
    joined: AtomicUsize,
}

type Share = Mutex<Slab<Arc<dyn Listener>>>;

/// A stream, as the pass sees it.
trait Listener: Send + Sync {
    /// Has its memory fetched, to be there in a moment.
    fn fetch(&self);

    /// Tells it the news, or has its task do so.
    fn hear(&self, news: News, now: Instant, repeated: &mut Repeated);
}

/// A stream that its task and the pass over all streams share.
pub(super) struct Shared<S> {
    /// `None` once it is over.
    connection: Mutex<Option<Connection<S>>>,
    line: Arc<Line>,
}

/// The last frame that was made, and for whom: mostly the next stream is due the same.
#[derive(Debug, Default)]
pub(super) struct Repeated {
    last: Option<Made>,
}

#[derive(Debug)]
struct Made {
    filter: u64,
    from: Given,
    /// `None`: there was nothing to say.
    next: Option<(Frame, Given)>,
}

impl Fanout {
    /// So many loops, one at least.
    pub fn new(loops: usize) -> Self {
        Self { shares: (0..loops.max(1)).map(|_| Share::default()).collect(), joined: AtomicUsize::new(0) }
    }

    /// The loops, to be run as tasks of their own for as long as there are streams.
    pub fn loops(self: &Arc<Self>, hub: &Arc<Hub>) -> impl Iterator<Item = impl Future<Output = ()> + use<>> {
        let each = |share| {
            let (fanout, hub) = (Arc::clone(self), Arc::clone(hub));
            // It counts its own work, and gives way to others by itself.
            tokio::task::coop::unconstrained(async move { fanout.run(share, &hub).await })
        };
        (0..self.shares.len()).map(each)
    }

    async fn run(&self, share: usize, hub: &Hub) {
        let Some(share) = self.shares.get(share) else { return };
        let mut coming = hub.subscribe();
        let mut some = Vec::with_capacity(AT_A_TIME);
        while coming.changed().await.is_ok() {
            let news = *coming.borrow_and_update();
            let mut repeated = Repeated::default();
            let mut from = 0;
            loop {
                from = next(share, from, &mut some);
                if some.is_empty() {
                    break;
                }
                let now = Instant::now();
                for (at, stream) in some.iter().enumerate() {
                    if let Some(next) = some.get(at + 1) {
                        next.fetch();
                    }
                    stream.hear(news, now, &mut repeated);
                }
                some.clear();
                tokio::task::yield_now().await;
            }
        }
    }

    /// Runs a stream until it ends, then ends the connection. Returns why, where the client was told.
    pub(super) async fn host<S>(&self, shared: Arc<Shared<S>>) -> Option<Close>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let fault = {
            let _seat = self.join(Arc::clone(&shared) as Arc<dyn Listener>);
            let mut known = Signal::Run;
            let sleep = tokio::time::sleep(std::time::Duration::ZERO);
            tokio::pin!(sleep);
            loop {
                tokio::select! {
                    biased;
                    outcome = poll_fn(|cx| shared.poll(cx, &mut known)) => match outcome {
                        Ok(alarm) => sleep.as_mut().reset(alarm),
                        Err(fault) => break fault,
                    },
                    () = &mut sleep => {}
                }
            }
        };
        let connection = shared.connection.lock().take()?;
        // Boxed, so that the task has no room for it all its life.
        Box::pin(connection.end(fault)).await
    }

    fn join(&self, stream: Arc<dyn Listener>) -> Seat<'_> {
        let number = self.joined.fetch_add(1, Ordering::Relaxed);
        let share = &self.shares[number % self.shares.len()];
        Seat { share, key: share.lock().insert(stream) }
    }
}

impl std::fmt::Debug for Fanout {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Fanout").field("loops", &self.shares.len()).finish_non_exhaustive()
    }
}

/// The next streams from a place on; returns the place to go on from.
fn next(share: &Share, from: usize, into: &mut Vec<Arc<dyn Listener>>) -> usize {
    let streams = share.lock();
    let mut key = from;
    // Keys are places in a list, so the highest is at most what it ever had room for.
    while into.len() < AT_A_TIME && key < streams.capacity() {
        into.extend(streams.get(key).cloned());
        key += 1;
    }
    key
}

/// A stream's place in its share, until it is dropped.
struct Seat<'a> {
    share: &'a Share,
    key: usize,
}

impl Drop for Seat<'_> {
    fn drop(&mut self) {
        self.share.lock().try_remove(self.key);
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Shared<S> {
    pub(super) fn new(connection: Connection<S>, line: Arc<Line>) -> Arc<Self> {
        Arc::new(Self { connection: Mutex::new(Some(connection)), line })
    }

    fn poll(&self, cx: &mut Context<'_>, known: &mut Signal) -> Poll<Result<Instant, Fault>> {
        // First, so that whoever finds the lock taken can still call.
        let told = self.line.listen(cx, known);
        match &mut *self.connection.lock() {
            Some(connection) => {
                if let Poll::Ready(signal) = told {
                    connection.on_signal(signal);
                }
                connection.poll(cx)
            }
            None => Poll::Ready(Err(Fault::Gone)),
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Listener for Shared<S> {
    fn fetch(&self) {
        let place = std::slice::from_ref(&self.line);
        let unit = size_of_val(place);
        let before = (place.as_ptr().addr() - std::ptr::from_ref(self).addr()) / unit;
        for line in (0..size_of::<Self>() / unit).step_by(CACHE_LINE / unit) {
            prefetch_index(place, line.wrapping_sub(before));
        }
    }

    fn hear(&self, news: News, now: Instant, repeated: &mut Repeated) {
        // Where its task is at work, the pass does not wait: the task is called once more.
        let done = match self.connection.try_lock() {
            Some(mut connection) => match &mut *connection {
                Some(connection) => connection.hear(news, now, repeated),
                None => true,
            },
            None => false,
        };
        if !done {
            self.line.call();
        }
    }
}

impl Repeated {
    /// [`Hub::next`], asked once for all that ask the same one after the other.
    pub(super) fn next(&mut self, hub: &Hub, filter: &Filter, given: Option<Given>) -> Option<(Frame, Given)> {
        let Some(from) = given else { return hub.next(filter, None) };
        if let Some(made) = &self.last
            && (made.filter, made.from) == (filter.id(), from)
        {
            return made.next.clone();
        }
        let next = hub.next(filter, given);
        self.last = Some(Made { filter: filter.id(), from, next: next.clone() });
        next
    }
}
