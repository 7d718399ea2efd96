//! A live self-model for AI agents.

pub mod analyze;
pub mod auth;
pub mod domain;
pub mod setting;
