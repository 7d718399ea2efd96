//! The daemon as a black box: real processes, real sockets.

mod first;
mod structure;
mod support;
