//! The daemon as a black box: real processes, real sockets.

mod structure;
mod support;
