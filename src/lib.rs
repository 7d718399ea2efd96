//! A live self-model for AI agents: a guided tour.
//!
//! Observations come in through [`ingest`], which turns bytes into checked [`domain::Observation`]s and puts them into a
//! bounded queue. At a fixed cadence the heart ([`heartbeat`]), a thread of its own, takes what waits and gives it to the
//! [`engine`]: a pure function from a meta-state and observations to the next meta-state, which asks the analyzers of
//! [`analyze`] what they make of it and opens, updates and resolves insights. [`sanitize`] makes the public view of each
//! beat: numbers, words of closed sets and checked names, nothing else. The [`stream`] room keeps that view and sends
//! each client the difference to what it was given last; [`http`] is the front door, where [`auth`] decides who is let in.
//! [`store`] keeps the private state for the next start. [`app`] puts all of it together; [`cli`] has the commands.
//!
//! Data goes one way and never turns back. Each room uses the rooms below it and nothing else:
//!
//! | floor | rooms |
//! | --- | --- |
//! | 6 | [`config`], [`app`], [`cli`] |
//! | 5 | [`http`] |
//! | 4 | [`ingest`], [`heartbeat`], [`auth`], [`store`], [`stream`], [`cluster`] |
//! | 3 | [`sanitize`] |
//! | 2 | [`engine`] |
//! | 1 | [`analyze`] |
//! | 0 | [`domain`] |
//! | leaves | [`link`], [`telemetry`], [`setting`], [`clock`] |
//!
//! The floors up to `sanitize` are pure: they know no I/O, no clock and no randomness, and cannot fail.

#![cfg_attr(test, allow(clippy::disallowed_methods, reason = "tests spawn tasks and read the clock as they like"))]

pub mod analyze;
pub mod app;
pub mod auth;
pub mod breaker;
pub mod cli;
pub mod clock;
pub mod cluster;
pub mod config;
pub mod domain;
pub mod engine;
pub mod heartbeat;
pub mod http;
pub mod ingest;
pub mod link;
pub mod sanitize;
pub mod setting;
pub mod store;
pub mod stream;
pub mod telemetry;
