//! Memory that is there before the heart needs it.
//!
//! Who touches a page of memory first waits until the kernel has found and zeroed it, with huge pages two megabytes at a
//! time: on a virtual machine that is milliseconds, a whole beat's worth of analysis, each time that the state has grown by
//! so much. So another thread does the waiting: it takes some memory from the allocator, touches it and gives it back,
//! again and again, so that what the heart is given next has been touched. Where nothing was used meanwhile it finds the
//! same memory again, which costs some ten microseconds; but once a second the allocator gives back to the kernel what it
//! finds unused, and then all of it is zeroed again, half a millisecond for two megabytes. So a small state has a small
//! spare.

use std::convert::Infallible;
use std::hint::black_box;
use std::io;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread;
use std::time::Duration;

/// How much is kept ready at most: more than a large state grows by in [`PAUSE`].
const MOST: usize = 16 << 20;
/// The same as a part of the memory in use.
const PART: usize = 8;
/// It is taken in blocks of this size, which the allocator cuts up for small ones once they are given back.
const BLOCK: usize = 1 << 20;
/// Smallest page that there is.
const PAGE: usize = 4096;
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
    let spare = (in_use().unwrap_or(usize::MAX) / PART).clamp(BLOCK, MOST);
    let mut blocks: Vec<Vec<u8>> = (0..spare / BLOCK).map(|_| Vec::with_capacity(BLOCK)).collect();
    for block in &mut blocks {
        for byte in black_box(block).spare_capacity_mut().iter_mut().step_by(PAGE) {
            byte.write(0);
        }
    }
    black_box(&blocks);
}

/// Bytes of memory that the process has for itself; `None` where the system does not tell.
fn in_use() -> Option<usize> {
    let pages = std::fs::read_to_string("/proc/self/statm").ok()?;
    let mut pages = pages.split(' ').skip(1).map_while(|pages| pages.parse::<usize>().ok());
    let (resident, shared) = (pages.next()?, pages.next()?);
    Some(resident.saturating_sub(shared) * PAGE)
}
