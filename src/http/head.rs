//! How long the head of a request may take, from its first byte on; idle time between two requests is another thing.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes};
use hyper::body::{Frame, SizeHint};
use parking_lot::Mutex;
use tokio::time::{Instant, sleep_until};

/// Follows one connection from request to request.
#[derive(Debug)]
pub(super) struct Head {
    at_most: Duration,
    stage: Mutex<Stage>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// The head of a request has to be there by then.
    Arriving { by: Instant },
    /// A request is being answered.
    Answering,
    /// Nothing came since the last answer.
    Idle,
}

impl Head {
    /// For a connection that was just made: its first request is waited for.
    pub(super) fn new(at_most: Duration) -> Self {
        Self { at_most, stage: Mutex::new(Stage::Arriving { by: Instant::now() + at_most }) }
    }

    /// Something came from the client.
    pub(super) fn came(&self) {
        let mut stage = self.stage.lock();
        if *stage == Stage::Idle {
            *stage = Stage::Arriving { by: Instant::now() + self.at_most };
        }
    }

    /// The head of a request is there. What answers it is given to [`Self::answering`].
    pub(super) fn complete(&self) {
        *self.stage.lock() = Stage::Answering;
    }

    /// A response, at the end of which the next request is waited for.
    pub(super) fn answering(self: Arc<Self>, response: axum::response::Response) -> axum::http::Response<Answer> {
        response.map(|body| Answer { body, head: self })
    }

    /// Ends when the head of a request is overdue.
    pub(super) async fn overdue(&self) {
        loop {
            let stage = *self.stage.lock();
            let look = match stage {
                Stage::Arriving { by } if by <= Instant::now() => return,
                Stage::Arriving { by } => by,
                // One that begins after this is due later than the next look, so nobody has to tell.
                Stage::Answering | Stage::Idle => Instant::now() + self.at_most,
            };
            sleep_until(look).await;
        }
    }
}

/// The body of a response. It is dropped when it is sent, and so tells its end.
#[derive(Debug)]
pub(super) struct Answer {
    body: Body,
    head: Arc<Head>,
}

impl Drop for Answer {
    fn drop(&mut self) {
        *self.head.stage.lock() = Stage::Idle;
    }
}

impl hyper::body::Body for Answer {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::{advance, timeout};

    use super::*;

    const AT_MOST: Duration = Duration::from_secs(10);

    async fn is_overdue(head: &Head) -> bool {
        timeout(Duration::from_millis(1), head.overdue()).await.is_ok()
    }

    #[tokio::test(start_paused = true)]
    async fn the_head_is_timed_and_neither_the_answer_nor_the_rest_after_it() {
        let head = Arc::new(Head::new(AT_MOST));
        advance(AT_MOST / 2).await;
        assert!(!is_overdue(&head).await, "it may still come");
        head.complete();
        advance(AT_MOST * 3).await;
        head.came();
        assert!(!is_overdue(&head).await, "it is being answered, and its body comes");
        drop(Arc::clone(&head).answering(axum::response::Response::default()));
        advance(AT_MOST * 3).await;
        assert!(!is_overdue(&head).await, "nothing is begun");
        head.came();
        advance(AT_MOST - Duration::from_millis(2)).await;
        head.came();
        assert!(!is_overdue(&head).await);
        advance(Duration::from_millis(1)).await;
        assert!(is_overdue(&head).await, "another byte wins no time");
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_begins_later_is_noticed_in_time() {
        let head = Arc::new(Head::new(AT_MOST));
        head.complete();
        let watched = Arc::clone(&head);
        let began = Instant::now();
        let noticed = async move {
            watched.overdue().await;
            began.elapsed()
        };
        let begins = async {
            tokio::time::sleep(AT_MOST * 7 / 2).await;
            drop(head.clone().answering(axum::response::Response::default()));
            head.came();
        };
        let (noticed, ()) = tokio::join!(noticed, begins);
        assert_eq!(noticed.as_millis(), (AT_MOST * 9 / 2).as_millis());
    }
}
