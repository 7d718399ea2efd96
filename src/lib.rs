//! A live self-model for AI agents.

pub mod analyze;
pub mod domain;
pub mod ingest;
