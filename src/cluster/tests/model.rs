//! What the scripts do, in a few lines: Redis as the simulation has it. A test compares it with the real one.

use std::time::Duration;

use crate::cluster::{Answer, Ask};
use crate::sanitize::Position;

/// The keys that the protocol touches.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Model {
    lease: Option<Held>,
    counter: u64,
    pub(super) stored: Option<Position>,
}

#[derive(Debug, Clone, PartialEq)]
struct Held {
    process: String,
    attempt: u64,
    ends: Duration,
}

impl Model {
    pub(super) fn carry_out(&mut self, now: Duration, life: Duration, process: &str, ask: Ask) -> Answer {
        self.lease.take_if(|held| held.ends <= now);
        let held = |held: &Held| {
            let by = held.process.split(' ').next().unwrap_or_default().to_owned();
            Answer::Held { by, left: held.ends - now }
        };
        match ask {
            Ask::Look => match &self.lease {
                Some(lease) if lease.process == process => Answer::Own,
                Some(lease) => held(lease),
                None => Answer::Free { stored: self.stored },
            },
            Ask::Acquire { attempt, known } => match &self.lease {
                Some(lease) if lease.process != process => held(lease),
                Some(lease) if lease.attempt >= attempt => Answer::Own,
                _ => {
                    let stored = self.stored.map_or(0, |stored| stored.epoch);
                    self.counter = self.counter.max(known).max(stored) + 1;
                    self.lease = Some(Held { process: process.to_owned(), attempt, ends: now + life });
                    Answer::Granted { epoch: self.counter }
                }
            },
            Ask::Renew { attempt, epoch } => match &mut self.lease {
                Some(lease) if lease.process == process && lease.attempt == attempt => {
                    if self.counter > epoch {
                        return Answer::Fenced;
                    }
                    self.counter = epoch;
                    lease.ends = now + life;
                    Answer::Renewed
                }
                _ => Answer::Gone,
            },
            Ask::Release { attempt } => {
                self.lease.take_if(|lease| lease.process == process && lease.attempt <= attempt);
                Answer::Released
            }
        }
    }

    /// A fenced write of the state: whether it was taken.
    pub(super) fn write(&mut self, beat: Position) -> bool {
        let taken = self.counter <= beat.epoch;
        if taken {
            self.counter = beat.epoch;
            self.stored = Some(beat);
        }
        taken
    }

    pub(super) fn counter(&self) -> u64 {
        self.counter
    }

    pub(super) fn is_free(&self) -> bool {
        self.lease.is_none()
    }

    /// As if the lease had come to its end.
    pub(super) fn expire(&mut self) {
        self.lease = None;
    }
}
