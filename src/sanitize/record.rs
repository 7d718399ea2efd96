//! Records: what the public view is made of.
//!
//! A record is a fixed list of leaves, each a number, a fixed word, a checked name or a time; its layout says where
//! each stands in the JSON. There is no variant for a text, so none can get out.

use std::marker::PhantomData;
use std::ops::RangeInclusive;

use serde::ser::{Serialize, SerializeMap, Serializer};

use crate::analyze::ahead::{fetch, fetch_all};
use crate::domain::{
    Advice, AgentId, BreakerState, ClusterStatus, InsightKind, InstanceName, Severity, Status, StoreMode, Timestamp,
    ToolName, Word,
};

/// One public value. Names are boxed, for a leaf of 16 bytes: there are some thousands of others for one of them.
#[derive(Debug, Clone, PartialEq)]
pub enum Leaf {
    /// A count.
    Count(u64),
    /// A finite measure.
    Number(f64),
    /// A word of a closed set.
    Word(Shown),
    /// An agent's checked name.
    Agent(Box<AgentId>),
    /// A tool's checked name.
    Tool(Box<ToolName>),
    /// A pod's checked name.
    Instance(Box<InstanceName>),
    /// A moment, shown as RFC 3339 in UTC.
    Time(Timestamp),
}

const _: () = assert!(size_of::<Option<Leaf>>() == 16, "see the leaf");

/// Declares the closed sets whose words may be shown.
macro_rules! closed {
    ($($set:ident),*) => {
        /// A word of a closed set.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Shown {
            $(#[doc = concat!("Of [`", stringify!($set), "`].")] $set($set),)*
        }

        impl Shown {
            /// The word.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$set(word) => word.as_str(),)* }
            }
        }

        $(impl From<$set> for Shown {
            fn from(word: $set) -> Self { Self::$set(word) }
        })*
    };
}
closed!(Status, Advice, InsightKind, Severity, Word, StoreMode, BreakerState, ClusterStatus);

impl Leaf {
    /// A word.
    pub(super) fn word(word: impl Into<Shown>) -> Self {
        Self::Word(word.into())
    }

    /// A measure; `None` when there is none or it is not finite, since there is then nothing true to show.
    pub(super) fn number(value: impl Into<Option<f64>>) -> Option<Self> {
        value.into().filter(|value| value.is_finite()).map(|value| Self::Number(value + 0.0))
    }
}

impl Serialize for Leaf {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Count(count) => serializer.serialize_u64(*count),
            Self::Number(number) => serializer.serialize_f64(*number),
            Self::Word(word) => serializer.serialize_str(word.as_str()),
            Self::Agent(agent) => serializer.serialize_str(agent.as_str()),
            Self::Tool(tool) => serializer.serialize_str(tool.as_str()),
            Self::Instance(instance) => serializer.serialize_str(instance.as_str()),
            Self::Time(time) => serializer.collect_str(time),
        }
    }
}

/// Where a leaf stands: directly in the record's object, or in a group within it.
#[derive(Debug, Clone, Copy)]
pub struct Place {
    /// The group's key, if it is in one. The leaves of a group stand together.
    pub group: Option<&'static str>,
    /// The leaf's key.
    pub name: &'static str,
}

/// A kind of record.
pub trait Layout: Sized + 'static {
    /// How many leaves there are.
    const LEAVES: usize;

    /// The leaves' places, in the order of the JSON.
    fn places() -> &'static [Place];
}

/// Declares a layout and the positions of its leaves: `"status"` stands in the object itself,
/// `"results" in "load"` in a group.
macro_rules! layout {
    ($(#[$doc:meta])* $layout:ident / $field:ident {
        $($(#[$fdoc:meta])* $variant:ident = $name:literal $(in $group:literal)?,)*
    }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub struct $layout;

        #[doc = concat!("Positions of the leaves of a [`", stringify!($layout), "`] record.")]
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(super) enum $field { $($(#[$fdoc])* $variant,)* }

        impl $crate::sanitize::record::Layout for $layout {
            const LEAVES: usize = [$($field::$variant as usize,)*].len();

            fn places() -> &'static [$crate::sanitize::record::Place] {
                &[$($crate::sanitize::record::Place {
                    group: $crate::sanitize::record::layout!(@group $($group)?),
                    name: $name,
                },)*]
            }
        }

        impl From<$field> for usize {
            fn from(field: $field) -> usize { field as usize }
        }
    };
    (@group $group:literal) => { Some($group) };
    (@group) => { None };
}
pub(super) use layout;

/// The leaves of one thing, those that are known. A record may be about some leaves only; it then says nothing of the
/// others, and has no room for them: with many agents a beat is as fast as what it writes is small.
#[derive(Debug, PartialEq)]
pub struct Record<L> {
    /// Those that it is about, in the order of their positions.
    leaves: Box<[Option<Leaf>]>,
    /// The leaves that it is about, by the bits of their positions.
    about: u64,
    layout: PhantomData<L>,
}

impl<L> Clone for Record<L> {
    fn clone(&self) -> Self {
        Self { leaves: self.leaves.clone(), about: self.about, layout: PhantomData }
    }
}

/// The bits of positions next to each other, from the first to the last.
pub(super) fn bits<F: Into<usize>>(leaves: RangeInclusive<F>) -> u64 {
    let (first, last) = leaves.into_inner();
    let (first, last) = (first.into(), last.into());
    u64::MAX >> (63 - last.min(63)) & u64::MAX << first.min(63)
}

/// The positions of bits, ascending.
fn positions(bits: u64) -> impl Iterator<Item = usize> {
    std::iter::successors(Some(bits), |bits| Some(bits & bits.wrapping_sub(1)))
        .take_while(|bits| *bits != 0)
        .map(|bits| bits.trailing_zeros() as usize)
}

impl<L: Layout> Record<L> {
    /// The bits of all positions there are.
    const ALL: u64 = {
        assert!(0 < L::LEAVES && L::LEAVES <= 64, "a bit for each leaf");
        u64::MAX >> (64 - L::LEAVES)
    };

    /// A record that is about all leaves, and knows none yet.
    pub(super) fn new() -> Self {
        Self { leaves: vec![None; L::LEAVES].into(), about: u64::MAX, layout: PhantomData }
    }

    /// A record that is about the leaves at the positions of these bits, and knows none of them yet.
    pub(super) fn about_some(about: u64) -> Self {
        let about = about & Self::ALL;
        Self { leaves: vec![None; about.count_ones() as usize].into(), about, layout: PhantomData }
    }

    /// Takes over what an earlier record says of leaves that this one is not about.
    pub(super) fn complete(&mut self, earlier: Self) {
        let about = self.about | earlier.about;
        if about != self.about {
            let both = if about == u64::MAX { Self::new() } else { Self::about_some(about) };
            let mine = std::mem::replace(self, both);
            self.take_over(earlier);
            self.take_over(mine);
        }
    }

    /// The same, about all leaves: what it says nothing of is not known.
    fn whole(self) -> Self {
        if self.about == u64::MAX {
            return self;
        }
        let mut whole = Self::new();
        whole.take_over(self);
        whole
    }

    fn take_over(&mut self, other: Self) {
        let Self { leaves, about, layout: _ } = other;
        positions(about).zip(leaves).for_each(|(position, leaf)| self.set(position, leaf));
    }

    /// Sets a leaf that the record is about; `None` leaves it out.
    pub(super) fn set(&mut self, position: impl Into<usize>, leaf: impl Into<Option<Leaf>>) {
        if let Some(slot) = self.index(position.into()).and_then(|index| self.leaves.get_mut(index)) {
            *slot = leaf.into();
        }
    }

    /// Fetches it; see [`crate::analyze::ahead`].
    pub(super) fn ahead(&self) {
        fetch_all(&self.leaves);
    }

    /// The positions that it is about, as bits.
    pub(super) fn about(&self) -> u64 {
        self.about
    }

    /// The leaves that it is about: all, or these.
    pub(super) fn scope(&self) -> Option<u64> {
        (self.about != u64::MAX).then_some(self.about)
    }

    /// The leaf at a position.
    pub(super) fn get(&self, position: impl Into<usize>) -> Option<&Leaf> {
        self.leaves.get(self.index(position.into())?).and_then(Option::as_ref)
    }

    /// Where the leaf of a position stands.
    fn index(&self, position: usize) -> Option<usize> {
        let bit = 1u64.checked_shl(position as u32)?;
        (self.about & bit != 0).then(|| (self.about & (bit - 1)).count_ones() as usize)
    }
}

impl<L: Layout> Serialize for Record<L> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        self.write_into(&mut map)?;
        map.end()
    }
}

impl<L: Layout> Record<L> {
    /// Writes all known leaves into an open object.
    pub(super) fn write_into<M: SerializeMap>(&self, map: &mut M) -> Result<(), M::Error> {
        let selected: Vec<bool> = self.leaves.iter().map(Option::is_some).collect();
        write_leaves(L::places(), &self.leaves, &selected, map)
    }
}

/// A record that remembers at which beat each leaf last changed, so that the difference to any earlier beat can be
/// told without keeping that beat.
#[derive(Debug, Clone)]
pub(super) struct Versioned<L> {
    record: Record<L>,
    versions: Box<[u64]>,
    /// The beat at which it came to be.
    created: u64,
    /// The beat at which an earlier thing of this name was removed: from then until `created` there was none.
    absent_from: Option<u64>,
}

impl<L: Layout> Versioned<L> {
    /// A record that appears at `beat`; `absent_from` is when the last one of this name went, if there was one.
    pub(super) fn new(record: Record<L>, beat: u64, absent_from: Option<u64>) -> Self {
        let record = record.whole();
        let touched = |leaf: &Option<Leaf>| if leaf.is_some() || absent_from.is_some() { beat } else { 0 };
        let versions = record.leaves.iter().map(touched).collect();
        Self { record, versions, created: beat, absent_from }
    }

    pub(super) fn record(&self) -> &Record<L> {
        &self.record
    }

    /// Fetches the leaves at the positions of these bits; see [`crate::analyze::ahead`].
    pub(super) fn ahead(&self, about: u64) {
        // Four leaves share a cache line, or two lines where they don't begin with one; so do eight versions.
        for position in (0..L::LEAVES).step_by(4).filter(|position| about >> position & 0xf != 0) {
            fetch(self.record.leaves.get(position));
            fetch(self.record.leaves.get(position + 3));
        }
        for position in (0..L::LEAVES).step_by(8).filter(|position| about >> position & 0xff != 0) {
            fetch(self.versions.get(position));
        }
    }

    /// Takes over the leaves that differ. Returns whether any did.
    pub(super) fn update(&mut self, record: Record<L>, beat: u64) -> bool {
        let mut changed = false;
        let Record { leaves, about, layout: _ } = record;
        for (position, new) in positions(about).zip(leaves) {
            let (Some(old), Some(version)) = (self.record.leaves.get_mut(position), self.versions.get_mut(position))
            else {
                continue;
            };
            if *old != new {
                *old = new;
                *version = beat;
                changed = true;
            }
        }
        changed
    }

    /// Whether a leaf changed after `base`.
    pub(super) fn changed_since(&self, base: u64) -> bool {
        self.versions.iter().any(|version| *version > base)
    }

    /// Writes into an open object the merge patch (RFC 7396) from what the record was at `base` to what it is.
    pub(super) fn write_patch<M: SerializeMap>(&self, base: u64, map: &mut M) -> Result<(), M::Error> {
        // Where nothing of this name was there at `base`, there is nothing to take away either.
        let was_absent = base < self.created && self.absent_from.is_none_or(|gone| base >= gone);
        let leaves = self.record.leaves.iter().zip(self.versions.iter());
        let selected: Vec<bool> =
            leaves.map(|(leaf, version)| *version > base && (leaf.is_some() || !was_absent)).collect();
        write_leaves(L::places(), &self.record.leaves, &selected, map)
    }

    /// The patch as a value of its own.
    pub(super) fn patch(&self, base: u64) -> Patch<'_, L> {
        Patch { versioned: self, base }
    }
}

/// The merge patch of one record since a beat.
pub(super) struct Patch<'a, L> {
    versioned: &'a Versioned<L>,
    base: u64,
}

impl<L: Layout> Serialize for Patch<'_, L> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        self.versioned.write_patch(self.base, &mut map)?;
        map.end()
    }
}

/// Writes the selected leaves, each group as one object; what is selected and not there becomes `null`, and so does a
/// group of which nothing is there any more.
fn write_leaves<M: SerializeMap>(
    places: &'static [Place],
    leaves: &[Option<Leaf>],
    selected: &[bool],
    map: &mut M,
) -> Result<(), M::Error> {
    let mut start = 0;
    for run in places.chunk_by(|a, b| a.group.is_some() && a.group == b.group) {
        let range = start..start + run.len();
        start = range.end;
        let (Some(leaves), Some(selected)) = (leaves.get(range.clone()), selected.get(range)) else { continue };
        if !selected.contains(&true) {
            continue;
        }
        match run {
            [Place { group: Some(group), .. }, ..] if leaves.iter().all(Option::is_none) => {
                map.serialize_entry(group, &None::<()>)?;
            }
            [Place { group: Some(group), .. }, ..] => map.serialize_entry(group, &Group { run, leaves, selected })?,
            _ => Group { run, leaves, selected }.write_into(map)?,
        }
    }
    Ok(())
}

struct Group<'a> {
    run: &'static [Place],
    leaves: &'a [Option<Leaf>],
    selected: &'a [bool],
}

impl Group<'_> {
    fn write_into<M: SerializeMap>(&self, map: &mut M) -> Result<(), M::Error> {
        for ((place, leaf), selected) in self.run.iter().zip(self.leaves).zip(self.selected) {
            if *selected {
                map.serialize_entry(place.name, leaf)?;
            }
        }
        Ok(())
    }
}

impl Serialize for Group<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        self.write_into(&mut map)?;
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use super::super::view::{AgentField, AgentLayout};
    use super::*;

    #[test]
    fn a_record_has_room_for_what_it_is_about() {
        assert_eq!(bits(0usize..=2), 0b111);
        assert_eq!((bits(3usize..=3), bits(0usize..=63)), (0b1000, u64::MAX));
        assert_eq!(positions(0b1001_0001).collect::<Vec<_>>(), [0, 4, 7]);
        let about = bits(AgentField::Status..=AgentField::Advice) | bits(AgentField::Done..=AgentField::Eta);
        let mut record = Record::<AgentLayout>::about_some(about);
        assert_eq!(record.leaves.len(), 8);
        record.set(AgentField::Total, Leaf::Count(7));
        record.set(AgentField::Cost, Leaf::Count(8));
        assert_eq!((record.get(AgentField::Total), record.get(AgentField::Cost)), (Some(&Leaf::Count(7)), None));
        let mut later = Record::about_some(bits(AgentField::Cost..=AgentField::Done));
        later.set(AgentField::Cost, Leaf::Count(9));
        later.complete(record);
        assert_eq!(later.scope(), Some(about | bits(AgentField::Cost..=AgentField::Done)));
        assert_eq!(
            (later.get(AgentField::Total), later.get(AgentField::Cost)),
            (Some(&Leaf::Count(7)), Some(&Leaf::Count(9)))
        );
        let whole = later.whole();
        assert_eq!((whole.scope(), whole.leaves.len()), (None, AgentLayout::LEAVES));
        assert_eq!(whole.get(AgentField::Cost), Some(&Leaf::Count(9)));
    }
}
