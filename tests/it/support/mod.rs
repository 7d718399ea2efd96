//! What the tests share: a daemon of their own, its clients, and waiting with a limit.

mod daemon;
mod proxy;
mod redis;
mod stream;
mod wait;

pub use daemon::{Daemon, SECRET, Set, answer, sign, token, unix_now};
pub use proxy::Proxy;
pub use redis::{Redis, free_port, project};
pub use stream::{Closed, Stream, connect, try_connect};
pub use wait::{LIMIT, eventually, within};
