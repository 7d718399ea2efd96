//! The store in this process's memory.

use std::collections::BTreeMap;

use super::backend::{Head, Held, Over, Write, Written};
use super::keys;
use crate::engine::Split;
use crate::link::Fault;

/// Keys and what they hold.
#[derive(Debug, Default)]
pub(super) struct Shelf {
    held: BTreeMap<String, Held>,
    counter: u64,
    /// What every call fails with, to try that out.
    #[cfg(test)]
    pub(super) fault: Option<Fault>,
    /// Parts that there is memory for, likewise.
    #[cfg(test)]
    pub(super) parts_left: Option<usize>,
}

impl Shelf {
    #[cfg(test)]
    pub(super) fn hold(&mut self, key: &str, held: Held) {
        self.held.insert(key.to_owned(), held);
    }

    #[cfg(test)]
    pub(super) fn clear(&mut self) {
        self.held.clear();
        self.counter = 0;
    }

    fn available(&self) -> Result<(), Fault> {
        #[cfg(test)]
        if let Some(fault) = self.fault {
            return Err(fault);
        }
        Ok(())
    }

    pub(super) fn look(&self, key: &str) -> Result<Held, Fault> {
        self.available()?;
        Ok(self.held.get(key).cloned().unwrap_or(Held::Nothing))
    }

    pub(super) fn get(&self, key: &str, _bytes: u64) -> Result<Option<Vec<u8>>, Fault> {
        Ok(match self.look(key)? {
            Held::Text(text) => Some(text),
            Held::Nothing | Held::Other => None,
        })
    }

    pub(super) fn write(&mut self, write: Write<'_>) -> Result<Written, Fault> {
        self.available()?;
        if self.counter > write.epoch {
            return Ok(Written::Fenced);
        }
        let there = self.held.get(keys::LATEST);
        let epoch = there.and_then(|held| match held {
            Held::Text(document) => epoch_of(document),
            Held::Nothing | Held::Other => None,
        });
        let free = match (there, write.over) {
            (None, _) | (_, Over::All) => true,
            (Some(_), Over::Own) => epoch == Some(write.epoch),
            (Some(_), Over::OwnOr(other)) => epoch == Some(write.epoch) || epoch == Some(other),
        };
        let written = if there.is_none() { Written::Created } else { Written::Replaced };
        if !free {
            return Ok(Written::Occupied);
        }
        if !write.parts.iter().all(|part| self.held.contains_key(part)) {
            return Ok(Written::Torn);
        }
        self.counter = write.epoch;
        for key in std::iter::once(keys::LATEST).chain(write.snapshot) {
            self.held.insert(key.to_owned(), Held::Text(write.document.concat()));
        }
        Ok(written)
    }

    pub(super) fn put_down(&mut self, key: &str, part: &[&[u8]]) -> Result<(), Fault> {
        self.available()?;
        #[cfg(test)]
        if let Some(left) = &mut self.parts_left {
            *left = left.checked_sub(1).ok_or(Fault::OutOfMemory)?;
        }
        self.held.insert(key.to_owned(), Held::Text(part.concat()));
        Ok(())
    }

    pub(super) fn heads(&self, keys: &[String]) -> Result<Vec<Head>, Fault> {
        self.available()?;
        let head = |key: &String| match self.held.get(key) {
            Some(Held::Text(document)) => {
                let split = Split::read(document).ok().flatten();
                Head { bytes: document.len() as u64, parts: split.map(|(_, split)| split).unwrap_or_default() }
            }
            Some(Held::Nothing | Held::Other) | None => Head::default(),
        };
        Ok(keys.iter().map(head).collect())
    }

    pub(super) fn set_aside(&mut self, key: &str, to: &str) -> Result<bool, Fault> {
        self.available()?;
        if self.held.contains_key(to) {
            return Ok(false);
        }
        let moved = self.held.remove(key);
        Ok(moved.map(|held| self.held.insert(to.to_owned(), held)).is_some())
    }

    pub(super) fn copy(&mut self, key: &str, to: &str) -> Result<bool, Fault> {
        self.available()?;
        let held = self.held.get(key).cloned().filter(|_| !self.held.contains_key(to));
        Ok(held.map(|held| self.held.insert(to.to_owned(), held)).is_some())
    }

    pub(super) fn replace(&mut self, key: &str, by: &str) -> Result<bool, Fault> {
        self.available()?;
        let held = self.held.get(by).cloned();
        Ok(held.map(|held| self.held.insert(key.to_owned(), held)).is_some())
    }

    pub(super) fn names(&self, prefix: &str) -> Result<Vec<String>, Fault> {
        self.available()?;
        Ok(self.held.keys().filter(|key| key.starts_with(prefix)).cloned().collect())
    }

    pub(super) fn remove(&mut self, keys: &[String]) -> Result<(), Fault> {
        self.available()?;
        keys.iter().for_each(|key| {
            self.held.remove(key);
        });
        Ok(())
    }

    pub(super) fn next_epoch(&mut self, known: u64) -> Result<u64, Fault> {
        self.available()?;
        self.counter = self.counter.max(known) + 1;
        Ok(self.counter)
    }

    #[cfg(test)]
    pub(super) fn counter(&self) -> Result<u64, Fault> {
        self.available()?;
        Ok(self.counter)
    }
}

/// The epoch in plain sight at the beginning of a document.
fn epoch_of(document: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(document.get(..64.min(document.len()))?).ok()?;
    let digits = text.strip_prefix("{\"schema\":")?.split_once(",\"epoch\":")?.1.split_once(',')?.0;
    digits.parse().ok()
}
