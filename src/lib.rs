//! A live self-model for AI agents.

pub mod analyze;
pub mod domain;
pub mod sanitize;
pub mod setting;
pub mod stream;
pub mod telemetry;
