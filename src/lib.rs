//! A live self-model for AI agents.

pub mod analyze;
pub mod app;
pub mod auth;
pub mod breaker;
pub mod cli;
pub mod clock;
pub mod config;
pub mod domain;
pub mod engine;
pub mod heartbeat;
pub mod http;
pub mod ingest;
pub mod sanitize;
pub mod setting;
pub mod store;
pub mod stream;
pub mod telemetry;
