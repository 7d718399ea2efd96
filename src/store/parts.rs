//! States that are larger than one value should be: in parts, each a value of its own.
//!
//! Redis serves nobody else while it takes, copies or writes to its files one large value, and takes none over 512 MB.
//! The parts go first, one after the other, under names that nothing else has, and would go by themselves; the head that
//! names them follows in the same step as everything that a write changes, and from then on they stay. A snapshot is
//! another head that names the same parts, and so is a state of which no agent changed. What no head names any more is removed.

use std::collections::HashSet;

use super::backend::{Written, length};
use super::scroll::{Part, Scroll, Stored};
use super::{Store, keys};
use crate::engine::Split;
use crate::link::Fault;

/// What is known of the parts in the store.
#[derive(Debug)]
pub(super) struct Parts {
    /// Size over which a state is split, in bytes.
    value_bytes: usize,
    /// The last write, as a number.
    write: u64,
    /// Whether some were put down for a write that failed.
    stray: bool,
    /// Whether there may be any.
    some: bool,
}

impl Parts {
    /// Parts of which so many make a value of the largest size.
    const A_VALUE: usize = 8;

    pub(super) fn new(value_bytes: usize) -> Self {
        Self { value_bytes, write: 0, stray: false, some: true }
    }
}

impl Store {
    /// Writes a state once, with a snapshot where one is named. Whether there was nothing where it was written.
    pub(super) async fn write(&mut self, scroll: &mut Scroll, snapshot: Option<&str>) -> Result<bool, Fault> {
        let whole = scroll.pieces();
        if length(&whole) <= self.parts.value_bytes {
            return done(self.replace(&whole, &[], snapshot).await?);
        }
        if let Some(Stored { split, parts }) = scroll.stored.take() {
            let head = split.head(&scroll.meta);
            let written = self.replace(&[&head], &parts, snapshot).await?;
            if written != Written::Torn {
                scroll.stored = Some(Stored { split, parts });
                return done(written);
            }
        }
        let (written, stored) = self.write_in_parts(scroll, snapshot).await?;
        scroll.stored = Some(stored);
        if let Err(fault) = self.sweep().await {
            tracing::debug!(fault = fault.as_str(), "parts of the state before are left to the next round");
        }
        done(written)
    }

    async fn write_in_parts(&mut self, scroll: &Scroll, snapshot: Option<&str>) -> Result<(Written, Stored), Fault> {
        if std::mem::replace(&mut self.parts.stray, true) {
            // Before there are more of them. Where that write was carried out after all, a head names them.
            self.sweep().await?;
        }
        self.parts.some = true;
        self.parts.write += 1;
        let id = format!("{}-{}", self.epoch, self.parts.write);
        // Who leads nobody is told so whatever it sends.
        let parts =
            if self.epoch == 0 { Vec::new() } else { scroll.parts(&id, self.parts.value_bytes / Parts::A_VALUE) };
        let (mut names, mut bytes) = (Vec::new(), 0);
        for (part, number) in parts.iter().map(Part::pieces).zip(0..) {
            let key = keys::part(&id, number);
            self.backend.put_down(&key, &part).await?;
            bytes += length(&part) as u64;
            names.push(key);
        }
        let count = u32::try_from(names.len()).unwrap_or(u32::MAX);
        let split = Split { id, count, bytes };
        let written = self.replace(&[&split.head(&scroll.meta)], &names, snapshot).await?;
        self.parts.stray = written == Written::Torn;
        Ok((written, Stored { split, parts: names }))
    }

    /// Removes the parts that no state and no snapshot names, nor what was kept aside. How many there were.
    ///
    /// Parts of newer epochs are left alone: they may be on their way. None of this process' own are, since it is busy here.
    pub(super) async fn sweep(&mut self) -> Result<usize, Fault> {
        if !self.parts.some {
            return Ok(0);
        }
        let mut parts = self.backend.names(keys::PARTS).await?;
        self.parts.some = !parts.is_empty();
        // Heads are looked at after the parts: what is named meanwhile is seen.
        let mut heads = vec![keys::LATEST.to_owned()];
        for prefix in [keys::SNAPSHOTS, keys::QUARANTINE] {
            heads.extend(self.backend.names(prefix).await?);
        }
        let heads = self.backend.heads(&heads).await?;
        let named: HashSet<String> = heads.into_iter().filter_map(|head| Some(head.parts?.0)).collect();
        parts.retain(|key| {
            let id = keys::id_of_part(key).filter(|id| !named.contains(*id));
            id.and_then(Split::epoch).is_some_and(|epoch| epoch <= self.epoch)
        });
        self.backend.remove(&parts).await?;
        Ok(parts.len())
    }
}

/// Whether there was nothing where a state was written.
fn done(written: Written) -> Result<bool, Fault> {
    match written {
        Written::Replaced => Ok(false),
        Written::Created => Ok(true),
        Written::Fenced => Err(Fault::Fenced),
        Written::Occupied | Written::Torn => Err(Fault::Other),
    }
}
