//! The daemon as a black box: real processes, real sockets.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::large_futures,
    clippy::disallowed_methods,
    clippy::print_stdout,
    missing_docs,
    reason = "a test that cannot go on panics; it prints, reads the clock and spawns as any program does"
)]

mod access;
mod analyze;
mod auth;
mod cluster;
mod commands;
mod contract;
mod contract_commands;
mod edge;
mod first;
mod grafana;
mod hostile_crowd;
mod hostile_http;
mod hostile_stream;
mod hostile_tokens;
mod ingest;
mod keys;
mod otel;
mod release;
mod runbook;
mod sanitizer;
mod store;
mod streams;
mod structure;
mod support;
mod watch;
mod web;
