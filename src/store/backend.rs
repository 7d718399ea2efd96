//! What the store needs of a place to keep things: Redis or this process's memory, with the same promises.

use super::remote::Remote;
use super::shelf::Shelf;
use crate::engine::{Reading, Split};
use crate::link::Fault;

/// Largest value that Redis takes (`proto-max-bulk-len`), in bytes.
pub(super) const LARGEST: usize = 512 * 1024 * 1024;

/// A place where keys are kept.
#[derive(Debug)]
pub(super) enum Backend {
    /// Redis.
    Redis(Box<Remote>),
    /// This process's memory.
    Memory(Shelf),
}

/// What a key holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Held {
    /// It does not exist.
    Nothing,
    /// A string.
    Text(Vec<u8>),
    /// A list, a hash or the like.
    Other,
}

/// What a key holds, from afar.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Head {
    /// Its length in bytes; 0 where it is no string, or gone.
    pub(super) bytes: u64,
    /// Its parts, where it is the head of a split document.
    pub(super) parts: Split,
}

/// The meta-state on its way to `meta:latest`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Write<'a> {
    /// The writer's fencing number. The write is refused when the counter is past it.
    pub(super) epoch: u64,
    /// The document, or its head where it is in parts; in pieces.
    pub(super) document: &'a [&'a [u8]],
    /// The keys of its parts. All of them have to be there, and stay from now on.
    pub(super) parts: &'a [String],
    /// What may be overwritten.
    pub(super) over: Over,
    /// Where a copy is kept beside, if one is due.
    pub(super) snapshot: Option<&'a str>,
    /// How far the stream of observations is part of it.
    pub(super) reading: &'a Reading,
}

impl Write<'_> {
    /// How long the document is.
    pub(super) fn bytes(&self) -> usize {
        length(self.document)
    }
}

/// How long pieces are together.
pub(super) fn length(pieces: &[&[u8]]) -> usize {
    pieces.iter().map(|piece| piece.len()).sum()
}

/// What a write may replace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Over {
    /// A document of the writer's own epoch.
    Own,
    /// That, or one of this epoch: what was loaded.
    OwnOr(u64),
    /// Anything.
    All,
}

/// What became of a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Written {
    /// It was carried out.
    Replaced,
    /// It was carried out where nothing was.
    Created,
    /// It was not: something stands there that may not be replaced.
    Occupied,
    /// It was not: the counter is past the writer's epoch.
    Fenced,
    /// It was not: a part of it is missing.
    Torn,
}

macro_rules! either {
    ($self:ident, $backend:ident => $call:expr) => {
        match $self {
            Self::Redis($backend) => $call.await,
            Self::Memory($backend) => $call,
        }
    };
}

impl Backend {
    /// What a key holds.
    pub(super) async fn look(&mut self, key: &str) -> Result<Held, Fault> {
        either!(self, backend => backend.look(key))
    }

    /// The text of a key that holds so many bytes, about; `None` where it holds none.
    pub(super) async fn get(&mut self, key: &str, bytes: u64) -> Result<Option<Vec<u8>>, Fault> {
        either!(self, backend => backend.get(key, bytes))
    }

    /// Writes the meta-state, and a snapshot where one is named: both or none.
    pub(super) async fn write(&mut self, write: Write<'_>) -> Result<Written, Fault> {
        if write.bytes() > LARGEST {
            return Err(Fault::TooLarge);
        }
        either!(self, backend => backend.write(write))
    }

    /// Puts down a part of a document that is written next. It goes by itself if that does not happen.
    pub(super) async fn put_down(&mut self, key: &str, part: &[&[u8]]) -> Result<(), Fault> {
        if length(part) > LARGEST {
            return Err(Fault::TooLarge);
        }
        either!(self, backend => backend.put_down(key, part))
    }

    /// How large what these keys hold is, key by key.
    pub(super) async fn heads(&mut self, keys: &[String]) -> Result<Vec<Head>, Fault> {
        either!(self, backend => backend.heads(keys))
    }

    /// Moves a key to a free name. `false`: there was nothing to move, or the name is taken.
    pub(super) async fn set_aside(&mut self, key: &str, to: &str) -> Result<bool, Fault> {
        either!(self, backend => backend.set_aside(key, to))
    }

    /// Copies a key to a free name. `false`: there was nothing to copy, or the name is taken.
    pub(super) async fn copy(&mut self, key: &str, to: &str) -> Result<bool, Fault> {
        either!(self, backend => backend.copy(key, to))
    }

    /// Overwrites a key by a copy of another. `false`: there was nothing to copy.
    pub(super) async fn replace(&mut self, key: &str, by: &str) -> Result<bool, Fault> {
        either!(self, backend => backend.replace(key, by))
    }

    /// Names that begin so, in no order.
    pub(super) async fn names(&mut self, prefix: &str) -> Result<Vec<String>, Fault> {
        either!(self, backend => backend.names(prefix))
    }

    /// Removes keys.
    pub(super) async fn remove(&mut self, keys: &[String]) -> Result<(), Fault> {
        either!(self, backend => backend.remove(keys))
    }

    /// The next fencing number, past the counter and past `known`.
    pub(super) async fn next_epoch(&mut self, known: u64) -> Result<u64, Fault> {
        either!(self, backend => backend.next_epoch(known))
    }

    /// The counter of fencing numbers, as far as it can be read.
    #[cfg(test)]
    pub(super) async fn counter(&mut self) -> Result<u64, Fault> {
        either!(self, backend => backend.counter())
    }
}
