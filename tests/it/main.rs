//! The daemon as a black box: real processes, real sockets.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::large_futures,
    reason = "a test that cannot go on panics"
)]

mod first;
mod structure;
mod support;
