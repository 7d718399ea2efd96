//! Floor 5: the HTTP side: one route table, and the listener. Handlers translate; they decide nothing.
//!
//! ```text
//! serve ─▶ router ─▶ gate ─▶ observations ─▶ intake ─▶ the heart's queue
//!                         ├▶ reading (state, advice, metrics, probes, page)
//!                         └▶ upgrade ─▶ a stream, in a task of its own
//! ```

mod address;
mod body;
mod config;
mod gate;
mod intake;
mod memory;
mod observations;
mod problem;
mod reading;
mod router;
mod serve;
mod services;
#[cfg(test)]
mod tests;
mod upgrade;

pub use address::{ClientAddress, ForwardedHeader};
pub use config::Config;
pub use gate::Gate;
pub use router::router;
pub use serve::{listen, serve};
pub use services::{Clock, Parts, Pulse, Readiness, Services};
pub use upgrade::OUTCOMES;
