//! What a subject may send, and how many streams it may have, over all pods.
//!
//! Each frame is held against a bucket of the pod alone ([`Limiter`]). Where several pods hold streams of a subject, they
//! divide its rate among themselves: once a second each tells Redis what came, and is told its share for the next
//! ([`Pool`]). No frame waits for that. A pod that is not heard of for some seconds counts no more, neither its share nor
//! its streams; while Redis is away each pod grants the whole.

mod limiter;
mod pool;

pub(super) use limiter::Limiter;
pub use pool::Pool;
pub(super) use pool::{Ledger, Told};
