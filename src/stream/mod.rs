//! Floor 4: the streams.

mod config;

pub use config::Config;
