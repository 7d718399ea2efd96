//! Reading ahead: what an observation will need of its agent's memory, fetched all at once.
//!
//! An agent's state lies in some forty pieces, and with many agents none of them is in a cache when its turn comes. The
//! analysis needs one piece after the other, and would wait for each. Loads that don't depend on each other a processor
//! makes at the same time, so `ahead` of each analyzer reads a word of every piece and does nothing with it; the analysis
//! then finds all of them near. It changes nothing, and to leave something out, or to read too much, is no error.

use std::hint::black_box;

/// Has a value read, if it is there.
#[inline(always)]
pub(crate) fn fetch<T: Copy>(value: Option<&T>) {
    if let Some(value) = value {
        black_box(*value);
    }
}
