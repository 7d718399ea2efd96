//! States that are larger than one value should be: in parts, each a value of its own.
//!
//! Redis serves nobody else while it takes, copies or writes to its files one large value, and takes none over 512 MB.
//! The parts go first, one after the other, under names that nothing else has, and would go by themselves; the head that
//! names them follows in the same step as everything that a write changes, and from then on they stay, and never change.
//! So a write sends the parts in which an agent changed, and names the others anew; a snapshot is another head, and
//! shares its parts with those before and after. What no head names any more is removed.

use std::collections::HashSet;

use super::backend::{Written, length};
use super::scroll::{Scroll, Sheet};
use super::{Store, keys};
use crate::engine::Split;
use crate::link::Fault;

/// What is known of the parts in the store.
#[derive(Debug)]
pub(super) struct Parts {
    /// Size over which a state is split, in bytes.
    pub(super) value_bytes: usize,
    /// The number of the last part.
    number: u64,
    /// Bytes that the last write sent.
    pub(super) sent: usize,
    /// Bytes that took the place of others since those were last removed.
    replaced: usize,
    /// Whether some were put down for a write that failed.
    stray: bool,
    /// Whether there may be any.
    some: bool,
}

impl Parts {
    pub(super) fn new(value_bytes: usize) -> Self {
        Self { value_bytes, number: 0, sent: 0, replaced: 0, stray: false, some: true }
    }
}

impl Store {
    /// Writes a state once, with a snapshot where one is named. Whether there was nothing where it was written.
    pub(super) async fn write(&mut self, scroll: &mut Scroll, snapshot: Option<&str>) -> Result<bool, Fault> {
        self.parts.sent = 0;
        if scroll.bytes() <= self.parts.value_bytes {
            self.parts.sent = scroll.bytes();
            return created(self.replace(&scroll.pieces(), &[], snapshot).await?);
        }
        let mut written = self.write_in_parts(scroll, snapshot).await?;
        if written == Written::Torn {
            // What was there is gone, as after FLUSHALL.
            scroll.sheets.iter_mut().for_each(|sheet| sheet.stored = None);
            written = self.write_in_parts(scroll, snapshot).await?;
        }
        self.parts.replaced += self.parts.sent;
        if self.parts.replaced > (scroll.bytes() / 2).max(self.parts.value_bytes)
            && let Err(fault) = self.sweep().await
        {
            tracing::debug!(fault = fault.as_str(), "parts that nothing names are left to the next round");
        }
        created(written)
    }

    async fn write_in_parts(&mut self, scroll: &mut Scroll, snapshot: Option<&str>) -> Result<Written, Fault> {
        if std::mem::replace(&mut self.parts.stray, true) {
            // Before there are more of them. Where that write was carried out after all, a head names them.
            self.sweep().await?;
        }
        self.parts.some = true;
        let mut parts = Vec::new();
        for sheet in scroll.sheets.iter().filter(|sheet| !sheet.is_empty()) {
            // Who leads nobody is told so whatever it sends.
            if self.epoch != 0 {
                parts.push(match &sheet.stored {
                    Some(part) => part.clone(),
                    None => self.put_down(sheet).await?,
                });
            }
        }
        let keys: Vec<_> = parts.iter().map(|(id, _)| keys::part(id)).collect();
        let head = Split { parts: parts.iter().cloned().collect() }.head(&scroll.meta);
        let written = self.replace(&[&head], &keys, snapshot).await?;
        self.parts.sent += head.len();
        if matches!(written, Written::Replaced | Written::Created) {
            self.parts.stray = false;
            let sheets = scroll.sheets.iter_mut().filter(|sheet| !sheet.is_empty());
            sheets.zip(parts).for_each(|(sheet, part)| sheet.stored = Some(part));
        }
        Ok(written)
    }

    /// Puts a part down; its id and length.
    async fn put_down(&mut self, sheet: &Sheet) -> Result<(String, u64), Fault> {
        self.parts.number += 1;
        let id = format!("{}-{}", self.epoch, self.parts.number);
        let opening = Split::opening(&id);
        let part = sheet.part(&opening);
        self.backend.put_down(&keys::part(&id), &part).await?;
        self.parts.sent += length(&part);
        Ok((id, length(&part) as u64))
    }

    /// Removes the parts that no state and no snapshot names, nor what was kept aside. How many there were.
    ///
    /// Parts of newer epochs are left alone: they may be on their way. None of this process' own are, since it is busy here.
    pub(super) async fn sweep(&mut self) -> Result<usize, Fault> {
        if !self.parts.some {
            return Ok(0);
        }
        self.parts.replaced = 0;
        let mut parts = self.backend.names(keys::PARTS).await?;
        self.parts.some = !parts.is_empty();
        // Heads are looked at after the parts: what is named meanwhile is seen.
        let mut heads = vec![keys::LATEST.to_owned()];
        for prefix in [keys::SNAPSHOTS, keys::QUARANTINE] {
            heads.extend(self.backend.names(prefix).await?);
        }
        let heads = self.backend.heads(&heads).await?;
        let named: HashSet<String> = heads.into_iter().flat_map(|head| head.parts.parts.into_keys()).collect();
        parts.retain(|key| {
            let id = keys::id_of_part(key).filter(|id| !named.contains(*id));
            id.and_then(Split::epoch).is_some_and(|epoch| epoch <= self.epoch)
        });
        self.backend.remove(&parts).await?;
        Ok(parts.len())
    }
}

/// Whether there was nothing where a state was written.
fn created(written: Written) -> Result<bool, Fault> {
    match written {
        Written::Replaced => Ok(false),
        Written::Created => Ok(true),
        Written::Fenced => Err(Fault::Fenced),
        Written::Occupied | Written::Torn => Err(Fault::Other),
    }
}
