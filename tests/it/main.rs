//! The daemon as a black box: real processes, real sockets.

mod auth;
mod commands;
mod first;
mod hostile_http;
mod hostile_stream;
mod ingest;
mod otel;
mod sanitizer;
mod structure;
mod support;
