//! Reading ahead: what an observation will need of its agent's memory, fetched all at once.
//!
//! An agent's state lies in some forty pieces, and with many agents none of them is in a cache when its turn comes. The
//! analysis needs one piece after the other, and would wait for each. So the processor is told beforehand which cache
//! lines are about to be needed, and fetches them while other agents are folded. It waits for none of them, which is why
//! this goes in steps: `ahead` of each analyzer names what its state points to, `ahead_further`, some agents later, what
//! those pieces point to, which are near by then, and `ahead_last` what is behind these.
//!
//! It changes nothing, and to leave something out, or to fetch too much, is no error.

/// Has the cache line fetched in which a value begins, if it is there. The value itself is not looked at.
#[inline(always)]
pub(crate) fn fetch<T>(value: Option<&T>) {
    if let Some(value) = value {
        prefetch_index::prefetch_index(std::slice::from_ref(value), 0);
    }
}

const LINE: usize = 64;

/// The same for all cache lines of a thing, known by one of its fields: one of eight bytes, and where it stands in it.
#[inline(always)]
pub(crate) fn fetch_whole<T, F>(field: &F, offset: usize) {
    const { assert!(size_of::<F>() == 8 && size_of::<T>().is_multiple_of(8)) };
    let (field, size) = (std::slice::from_ref(field), size_of::<T>());
    // The thing need not begin with a line, so its end may be in one more.
    for at in (0..size).step_by(LINE).chain([size - 8]) {
        prefetch_index::prefetch_index(field, (at / 8).wrapping_sub(offset / 8));
    }
}

/// The same for all cache lines of a list.
#[inline(always)]
pub(crate) fn fetch_all<T>(list: &[T]) {
    list.iter().step_by((LINE / size_of::<T>().max(1)).max(1)).for_each(|value| fetch(Some(value)));
}

/// Has the counts fetched that an [`Arc`](std::sync::Arc) keeps right before its text: what is needed to share or drop it.
#[inline(always)]
pub(crate) fn fetch_counts(text: &str) {
    prefetch_index::prefetch_index(text.as_bytes(), (2 * size_of::<usize>()).wrapping_neg());
}
