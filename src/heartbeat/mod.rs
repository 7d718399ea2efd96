//! The heart: a thread of its own that beats at absolute deadlines and waits for nobody.
//!
//! Where it leads, it takes observations from an [`Inbox`], has the engine fold and analyse them, has the result
//! sanitized, and hands that to an [`Outbox`]. Neither may block: what the outbox does not take is merged into the next
//! beat. Where another pod leads, it beats without an engine, and is ready to be given one.

mod config;
mod guard;
mod heart;
mod pace;
mod pulse;
mod realtime;
mod spare;

pub use config::Config;
pub use heart::{After, Heart, Inbox, Lead, Order, Outbox};
pub use pace::Pace;
pub use pulse::{PulseWatch, Wiring};
pub use realtime::prefer_this_thread;
pub use spare::SpareMemory;
