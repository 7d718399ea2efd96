//! Memory that is there before the heart needs it.
//!
//! Who touches a page of memory first waits until the kernel has found and zeroed it, with huge pages two megabytes at a
//! time: on a virtual machine that is milliseconds, a whole beat's worth of analysis, each time that the state has grown by
//! so much. So another thread does the waiting: it takes some memory from the allocator, touches it and gives it back,
//! again and again, so that what the heart is given next has been touched. Where nothing was used meanwhile it finds the
//! same memory again, which costs some ten microseconds.

use std::convert::Infallible;
use std::hint::black_box;
use std::io;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread;
use std::time::Duration;

/// How much is kept ready: more than a large state grows by in [`PAUSE`].
const SPARE: usize = 16 << 20;
/// It is taken in blocks of this size, which the allocator cuts up for small ones once they are given back.
const BLOCK: usize = 1 << 20;
/// Smallest page that there is.
const PAGE: usize = 4096;
/// Shorter than an allocator waits before it gives back to the kernel what is not in use.
const PAUSE: Duration = Duration::from_millis(300);

/// Keeps memory ready until it is dropped.
#[derive(Debug)]
pub struct SpareMemory {
    _end: Sender<Infallible>,
}

impl SpareMemory {
    /// Begins to.
    ///
    /// # Errors
    /// The operating system gives no thread.
    pub fn keep() -> io::Result<Self> {
        let (end, ended) = mpsc::channel();
        touch();
        thread::Builder::new().name("spare-memory".into()).spawn(move || {
            while ended.recv_timeout(PAUSE) == Err(RecvTimeoutError::Timeout) {
                touch();
            }
        })?;
        Ok(Self { _end: end })
    }
}

fn touch() {
    let mut blocks: Vec<Vec<u8>> = (0..SPARE / BLOCK).map(|_| Vec::with_capacity(BLOCK)).collect();
    for block in &mut blocks {
        for byte in black_box(block).spare_capacity_mut().iter_mut().step_by(PAGE) {
            byte.write(0);
        }
    }
    black_box(&blocks);
}
