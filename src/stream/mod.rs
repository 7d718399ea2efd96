//! Floor 4: the streams.
//!
//! Public beats go in at [`Hub::run`], which keeps the public state. Each stream is a task of its own that the caller
//! spawns ([`Streams::run`]), which reads, waits and closes; the news are written by a pass over all streams
//! ([`Fanout`]). A stream is due the difference from the beat that its client was given last. So a client that is slow,
//! or asked for few frames, costs one number and not a queue, and what many are told is encoded once and shared.

mod abuse;
mod answers;
mod backend;
mod close;
mod config;
mod connection;
mod fanout;
mod filter;
mod fragments;
mod frame;
mod hub;
mod line;
mod message;
mod offenders;
mod pace;
mod quota;
mod registry;
mod service;
mod tally;
mod wire;

pub use backend::{Backend, Refreshing, Renewal, Session};
pub use close::Close;
pub use config::Config;
pub use fanout::Fanout;
pub use filter::{Filter, Filters};
pub use frame::Frame;
pub use hub::{AdviceDocument, Document, Given, Hub, News};
pub use offenders::Offender;
pub use quota::Pool;
pub use registry::{Holder, NoPlace, Place, Registry};
pub use service::{Settings, Streams};
pub use tally::{Row, Waits};
pub use wire::Wire;
