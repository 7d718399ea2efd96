//! What a client is to be told beside the public state, in the order in which it asked.

use std::collections::VecDeque;

use super::frame::Frame;

/// Answers that wait for their turn; more are not taken. Mostly there are none, and then they hold no memory.
#[derive(Debug, Default)]
pub(super) struct Answers(VecDeque<Frame>);

impl Answers {
    const MOST: usize = 32;

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Takes an answer, where there is room for it. Whether there was.
    pub(super) fn push(&mut self, answer: Frame) -> bool {
        let fits = self.0.len() < Self::MOST;
        if fits {
            self.0.push_back(answer);
        }
        fits
    }

    pub(super) fn pop(&mut self) -> Option<Frame> {
        let answer = self.0.pop_front();
        if self.is_empty() {
            self.0 = VecDeque::new();
        }
        answer
    }
}
