//! A list of counts, each as small as the largest allows.

use std::fmt;
use std::ops::AddAssign;

use serde::de::{Error, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::analyze::ahead::{fetch, fetch_all};

/// Room is made for so many counts at a time: a list that grew by doubling would be half empty.
const STEP: usize = 64;
/// Longest list that is read: far more than any has.
const MOST: usize = 4096;
/// Counts that a look for a rank passes over at once.
const BLOCK: usize = 16;

/// Counts up to `u32::MAX`, where they stay: one byte each, or two, or four, once one of them needs that.
#[derive(Clone)]
pub(super) enum Counts {
    Small(Vec<u8>),
    Medium(Vec<u16>),
    Large(Vec<u32>),
}

/// The same with a list, whatever it is a list of.
macro_rules! with {
    ($counts:expr, $list:ident => $do:expr) => {
        match $counts {
            Counts::Small($list) => $do,
            Counts::Medium($list) => $do,
            Counts::Large($list) => $do,
        }
    };
}

impl Default for Counts {
    fn default() -> Self {
        Self::Small(Vec::new())
    }
}

impl Counts {
    /// How many counts there are.
    pub(super) fn len(&self) -> usize {
        with!(self, list => list.len())
    }

    /// All counts.
    pub(super) fn iter(&self) -> impl Iterator<Item = u32> {
        (0..self.len()).map(|at| self.get(at))
    }

    /// The count at a place; 0 where there is none.
    pub(super) fn get(&self, at: usize) -> u32 {
        with!(self, list => get(list, at))
    }

    /// Adds to the count at a place, if there is one. Returns by how much it grew.
    pub(super) fn add(&mut self, at: usize, more: u32) -> u32 {
        if at >= self.len() {
            return 0;
        }
        let added = with!(self, list => grow(&mut list[at], more));
        match added {
            Some(()) => more,
            None => {
                let room = u32::MAX - self.get(at);
                self.widen();
                self.add(at, more.min(room))
            }
        }
    }

    /// Appends zeros up to a length.
    pub(super) fn extend(&mut self, len: usize) {
        with!(self, list => {
            reserve(list, len);
            list.resize(len, 0);
        });
    }

    /// Puts so many zeros before the others.
    pub(super) fn put_before(&mut self, zeros: usize) {
        with!(self, list => {
            reserve(list, list.len() + zeros);
            list.splice(0..0, std::iter::repeat_n(0, zeros));
        });
    }

    /// Takes away so many of the first ones, or all. Returns their sum.
    pub(super) fn drop_first(&mut self, counts: usize) -> u32 {
        with!(self, list => drop_first(list, counts))
    }

    /// Takes all away, and keeps the memory for the next ones.
    pub(super) fn clear(&mut self) {
        with!(self, list => list.clear());
    }

    /// Where the sums of the counts up to there first exceed the `ranks`, which ascend. For one that they never exceed, the
    /// length.
    pub(super) fn ranks<const N: usize>(&self, ranks: [u64; N]) -> [usize; N] {
        with!(self, list => find_ranks(list, ranks))
    }

    /// See [`crate::analyze::ahead`].
    pub(super) fn ahead(&self, at: usize) {
        with!(self, list => fetch(list.get(at)));
    }

    /// The same for all counts.
    pub(super) fn ahead_of_all(&self) {
        with!(self, list => fetch_all(list));
    }

    /// Gives the counts more bytes each.
    fn widen(&mut self) {
        *self = match self {
            Self::Small(list) => Self::Medium(copy(list)),
            Self::Medium(list) => Self::Large(copy(list)),
            Self::Large(list) => Self::Large(std::mem::take(list)),
        };
    }

    fn push(&mut self, count: u32) {
        let pushed = with!(self, list => push(list, count));
        if pushed.is_none() {
            self.widen();
            self.push(count);
        }
    }
}

/// Appends a count that is not too large.
fn push<T: TryFrom<u32>>(list: &mut Vec<T>, count: u32) -> Option<()> {
    let count = T::try_from(count).ok()?;
    reserve(list, list.len() + 1);
    list.push(count);
    Some(())
}

fn get<T: Copy + Into<u32>>(list: &[T], at: usize) -> u32 {
    list.get(at).map_or(0, |&count| count.into())
}

fn drop_first<T: Into<u32>>(list: &mut Vec<T>, counts: usize) -> u32 {
    let counts = counts.min(list.len());
    list.drain(..counts).fold(0, |sum: u32, count| sum.saturating_add(count.into()))
}

/// Adds where there is room for it.
fn grow<T: Copy + TryFrom<u32> + AddAssign + Into<u32>>(count: &mut T, more: u32) -> Option<()> {
    let sum = (*count).into().checked_add(more)?;
    *count = T::try_from(sum).ok()?;
    Some(())
}

fn copy<T: Copy, U: From<T>>(list: &[T]) -> Vec<U> {
    let mut wide = Vec::new();
    reserve(&mut wide, list.len());
    wide.extend(list.iter().map(|&count| U::from(count)));
    wide
}

fn reserve<T>(list: &mut Vec<T>, len: usize) {
    if len > list.capacity() {
        list.reserve_exact(len.next_multiple_of(STEP) - list.len());
    }
}

fn find_ranks<T: Copy + Into<u32>, const N: usize>(list: &[T], ranks: [u64; N]) -> [usize; N] {
    // The block that is looked at, and the sum of those before it.
    let (mut block, mut before) = (0, 0);
    ranks.map(|rank| {
        while let Some(counts) = list.chunks(BLOCK).nth(block) {
            let inside: u64 = counts.iter().map(|&count| u64::from(count.into())).sum();
            if rank < before + inside {
                break;
            }
            before += inside;
            block += 1;
        }
        let mut seen = before;
        let counts = list.iter().skip(block * BLOCK);
        let passed = counts.take_while(|&&count| {
            seen += u64::from(count.into());
            seen <= rank
        });
        block * BLOCK + passed.count()
    })
}

impl fmt::Debug for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl PartialEq for Counts {
    /// Equal when the counts are, however many bytes they take.
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

/// As a list in which a negative number stands for so many zeros: most counts are 0.
impl Serialize for Counts {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        with!(self, list => serializer.collect_seq(runs(list)))
    }
}

/// The counts, and the lengths of runs of several zeros as negative numbers.
fn runs<T: Copy + PartialEq + Default + Into<i64>>(list: &[T]) -> impl Iterator<Item = i64> {
    let zero = T::default();
    let runs = list.chunk_by(move |a, b| *a == zero && *b == zero);
    runs.map(|run| if let [count] = run { (*count).into() } else { -(run.len() as i64) })
}

impl<'de> Deserialize<'de> for Counts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct List;
        impl<'de> Visitor<'de> for List {
            type Value = Counts;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of counts")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Counts, A::Error> {
                let mut counts = Counts::default();
                while let Some(number) = list.next_element::<i64>()? {
                    match (u32::try_from(number), usize::try_from(number.unsigned_abs())) {
                        (Ok(count), _) if counts.len() < MOST => counts.push(count),
                        (Err(_), Ok(zeros)) if number < 0 && zeros <= MOST - counts.len() => {
                            counts.extend(counts.len() + zeros);
                        }
                        _ => return Err(A::Error::custom("a count is too large, or there are too many")),
                    }
                }
                Ok(counts)
            }
        }
        deserializer.deserialize_seq(List)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn bytes(counts: &Counts) -> usize {
        with!(counts, list => list.capacity() * size_of_val(&list[..1]))
    }

    #[test]
    fn counts_take_as_little_as_the_largest_allows() {
        let mut counts = Counts::default();
        counts.extend(300);
        (0..255).for_each(|_| assert_eq!(counts.add(7, 1), 1));
        assert_eq!(bytes(&counts), 320);
        counts.add(7, 1);
        assert_eq!((bytes(&counts), counts.get(7)), (640, 256));
        assert_eq!(counts.add(7, u32::MAX), u32::MAX - 256, "it stays at the most");
        assert_eq!((bytes(&counts), counts.get(7), counts.add(7, 1)), (1280, u32::MAX, 0));
        assert_eq!(counts.add(300, 1), 0, "there is no such place");
    }

    #[test]
    fn runs_of_zeros_are_told_in_short() {
        let counts: Counts = serde_json::from_str("[3,0,0,0,0,700,0,1,0,0]").unwrap();
        let text = serde_json::to_string(&counts).unwrap();
        assert_eq!(text, "[3,-4,700,0,1,-2]");
        assert_eq!(serde_json::from_str::<Counts>(&text).unwrap(), counts);
        for wrong in ["[4294967296]", "[-9223372036854775808]", "[-4097]", "[-4096,1]", "[0.5]"] {
            assert!(serde_json::from_str::<Counts>(wrong).is_err(), "{wrong}");
        }
    }

    proptest! {
        /// As a plain list, of whatever width, and read back the same.
        #[test]
        fn is_a_list_of_counts(steps in prop::collection::vec((0..6u8, 0..80usize, prop_oneof![0..4u32, 0..400u32, 0..u32::MAX]), 1..40)) {
            let (mut counts, mut model) = (Counts::default(), Vec::<u32>::new());
            for (what, at, number) in steps {
                match what {
                    0 => {
                        let len = model.len().max(at);
                        counts.extend(len);
                        model.resize(len, 0);
                    }
                    1 if model.len() < 500 => {
                        counts.put_before(at);
                        model.splice(0..0, vec![0; at]);
                    }
                    2 => {
                        let sum = model.drain(..at.min(model.len())).fold(0, u32::saturating_add);
                        prop_assert_eq!(counts.drop_first(at), sum);
                    }
                    _ => {
                        let before = model.get(at).copied();
                        if let Some(count) = model.get_mut(at) {
                            *count = count.saturating_add(number);
                        }
                        let grown = before.map_or(0, |before| model[at] - before);
                        prop_assert_eq!(counts.add(at, number), grown);
                    }
                }
                prop_assert_eq!(counts.iter().collect::<Vec<_>>(), model.clone());
            }
            let text = serde_json::to_string(&counts).unwrap();
            prop_assert_eq!(&serde_json::from_str::<Counts>(&text).unwrap(), &counts);
            prop_assert_eq!(serde_json::from_str::<Counts>(&serde_json::to_string(&model).unwrap()).unwrap(), counts);
        }
    }
}
