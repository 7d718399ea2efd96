//! A leaf: the way to Redis. Where it is, how a connection is made, and what can go wrong, for all rooms that keep things
//! there.

mod config;
mod endpoint;
mod fault;
#[expect(clippy::module_inception, reason = "the room is named for what it makes")]
mod link;
mod sentinels;
mod shared;

pub use config::Config;
pub use endpoint::{Endpoint, Error};
pub use fault::Fault;
pub use link::Link;
pub use shared::Shared;
