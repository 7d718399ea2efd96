//! Floor 4: the heart.

mod config;

pub use config::Config;
