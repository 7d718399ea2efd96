//! Leaf: what configuration values are made of.
//!
//! Every room has a `Config` of its own; the types and checks that several of them need live here, so that rooms need
//! not know each other.

pub mod duration;
mod limits;
mod list;
pub mod networks;
mod problems;
mod secret;

pub use limits::Limits;
pub use list::list;
pub use networks::Networks;
pub use problems::Problems;
pub use secret::{Secret, SecretUrl};
