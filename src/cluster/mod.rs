//! Floor 4: one heart among many pods.
//!
//! One pod at a time leads: [`Lease`] is the protocol: pure, told the time and what Redis answered, and simulated over
//! thousands of schedules of faults beside it. A [`Registrar`] carries its requests out, [`Tenure`] keeps it. What any pod accepts lies in its [`Spool`]
//! until a stored state holds it; a [`Courier`] carries it through a Redis stream to the [`Reader`] of the pod that leads.
//! A [`FrameWriter`] tells that pod's beats, sanitized, to the [`FrameReader`]s of all others.

mod config;
mod courier;
mod entry;
mod frames;
mod lease;
mod pack;
mod reader;
mod registrar;
mod spool;
mod tenure;
#[cfg(test)]
mod tests;

pub use config::Config;
pub use courier::Courier;
pub use entry::Pack;
pub use frames::{FrameReader, FrameWriter, Notice, Sent, Wish, Wishes};
pub use lease::{Answer, Ask, Lease, Loss, Next, Request, Settings, Term};
pub use reader::{Arrivals, Reader, Source};
pub use registrar::Registrar;
pub use spool::{Batch, Refused, Safe, Spool};
pub use tenure::{Keeper, Tenure, View};
