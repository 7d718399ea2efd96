//! A budget of memory that requests share.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// So many bytes, to be held by requests while they are worked on.
#[derive(Debug, Clone)]
pub(super) struct Memory {
    left: Arc<AtomicUsize>,
}

/// A part of the budget; given back when dropped.
#[derive(Debug)]
pub(super) struct Held {
    left: Arc<AtomicUsize>,
    bytes: usize,
}

impl Memory {
    pub(super) fn new(bytes: usize) -> Self {
        Self { left: Arc::new(AtomicUsize::new(bytes)) }
    }

    /// Nothing yet.
    pub(super) fn hold(&self) -> Held {
        Held { left: Arc::clone(&self.left), bytes: 0 }
    }
}

impl Held {
    /// Takes more of the budget. Whether there was as much.
    pub(super) fn more(&mut self, bytes: usize) -> bool {
        let taken = self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(bytes));
        self.bytes += if taken.is_ok() { bytes } else { 0 };
        taken.is_ok()
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.left.fetch_add(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_held_comes_back() {
        let memory = Memory::new(100);
        let mut one = memory.hold();
        assert!(one.more(60) && !one.more(50) && one.more(40));
        assert!(!memory.hold().more(1));
        drop(one);
        assert!(memory.hold().more(100));
    }
}
