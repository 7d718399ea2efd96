//! Floor 5: the HTTP side: one route table, and the listener. Handlers translate; they decide nothing.
//!
//! ```text
//! edge ─▶ serve ─▶ router ─▶ gate ─▶ observations ─▶ intake ─▶ the heart's queue
//!                                ├▶ reading (state, advice, calibration, metrics, probes)
//!                                ├▶ page (the dashboard and the client library)
//!                                ├▶ streams (which client is it?)
//!                                └▶ upgrade ─▶ a stream, in a task of its own
//! ```

mod address;
mod body;
mod config;
mod crowd;
mod deny;
mod edge;
mod gate;
mod head;
mod intake;
mod memory;
mod observations;
mod opening;
mod page;
mod problem;
mod proxy;
mod reading;
mod router;
mod serve;
mod services;
mod socket;
mod streams;
#[cfg(test)]
mod tests;
mod tls;
mod upgrade;

pub use address::{ClientAddress, ForwardedHeader};
pub use config::Config;
pub use edge::{Edge, FileError, REFUSALS};
pub use gate::Gate;
pub use intake::Way;
pub use router::router;
pub use serve::{listen, serve};
pub use services::{Clock, Parts, Pulse, Readiness, Services};
pub use upgrade::OUTCOMES;
