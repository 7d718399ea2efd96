//! Floor 4: the store.

mod config;

pub use config::{Config, SnapshotConfig};
