//! What the tests share: a daemon of their own, its clients, and waiting with a limit.

#![allow(dead_code, unused_imports, reason = "each is here for whichever test needs it")]

mod daemon;
mod http;
mod proxy;
mod redis;
pub mod runbook;
mod sentinels;
mod stream;
mod wait;

pub use daemon::{Daemon, SECRET, Set, answer, binary, sign, token, unix_now};
pub use http::{Answer, gzip, rest};
pub use proxy::Proxy;
pub use redis::{Redis, free_port, project};
pub use sentinels::Sentinels;
pub use stream::{Closed, Stream, connect, try_connect};
pub use wait::{LIMIT, eventually, within};
