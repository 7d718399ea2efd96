//! What the tests share: a daemon of their own, its clients, and waiting with a limit.

mod daemon;
mod stream;
mod wait;

pub use daemon::{Daemon, SECRET, Set, answer, sign, token, unix_now};
pub use stream::{Closed, Stream, connect, try_connect};
pub use wait::{LIMIT, eventually, within};
