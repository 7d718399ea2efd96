//! Floor 4: one heart among many pods.

mod config;
mod entry;
mod spool;

pub use config::Config;
pub use entry::Lines;
pub use spool::{Batch, Refused, Safe, Spool};
