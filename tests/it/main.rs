//! The daemon as a black box: real processes, real sockets.

mod auth;
mod first;
mod hostile_http;
mod hostile_stream;
mod ingest;
mod otel;
mod sanitizer;
mod store;
mod structure;
mod support;
