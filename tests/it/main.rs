//! The daemon as a black box: real processes, real sockets.

mod analyze;
mod auth;
mod first;
mod hostile_http;
mod hostile_stream;
mod ingest;
mod otel;
mod structure;
mod support;
