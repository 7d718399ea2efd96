//! Floor 6: the commands.

pub mod check_config;
pub mod token;
