//! Floor 5: the HTTP side.

mod config;

pub use config::Config;
