//! The way to a stream from outside: what it is told, how it is called, and what it costs.

use std::task::{Context, Poll};

use futures_util::task::AtomicWaker;
use parking_lot::Mutex;
use tokio::time::Instant;

use super::close::Close;
use super::tally::Tally;

/// What a stream is told from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Signal {
    /// Go on.
    #[default]
    Run,
    /// Tell the client, and close at this moment.
    Drain { at: Instant },
    /// Close now.
    Cut(Close),
}

/// Shared by a stream, the registry, and the pass over all streams. One piece of memory for all three: there are many.
#[derive(Debug, Default)]
pub(super) struct Line {
    signal: Mutex<Signal>,
    caller: AtomicWaker,
    pub(super) tally: Tally,
}

impl Line {
    /// Tells the stream something, unless this says of what it was told last that it is not to be told. Whether it was.
    pub(super) fn tell(&self, signal: Signal, unless: impl FnOnce(Signal) -> bool) -> bool {
        {
            let mut told = self.signal.lock();
            if unless(*told) {
                return false;
            }
            *told = signal;
        }
        self.call();
        true
    }

    /// What it was told last.
    pub(super) fn told(&self) -> Signal {
        *self.signal.lock()
    }

    /// Has the stream's task take a turn.
    pub(super) fn call(&self) {
        self.caller.wake();
    }

    /// Has this task be called from now on. What it was told, if that is other than what it knows.
    pub(super) fn listen(&self, cx: &mut Context<'_>, known: &mut Signal) -> Poll<Signal> {
        // First, so that what is told after the look below is called for.
        self.caller.register(cx.waker());
        let told = self.told();
        if told == *known {
            return Poll::Pending;
        }
        *known = told;
        Poll::Ready(told)
    }
}
