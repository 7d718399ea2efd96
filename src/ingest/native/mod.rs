//! The native format: one JSON object, an array of them, or one a line (NDJSON).
//!
//! Unknown fields are skipped, so that newer senders can talk to older daemons; a known field of the wrong type costs
//! the item and is named. `null` and an empty key or name count as missing. A field that is given twice costs the item:
//! which value is meant, nobody can know.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, SeqAccess, Visitor};
use serde_json::value::RawValue;

use self::check::Checker;
use self::raw::Item;
use super::{Batch, Error, Limits, Refusal, RejectReason, room, text};
use crate::domain::{Observation, Source, Timestamp};

mod check;
mod raw;
#[cfg(test)]
mod tests;

pub(super) use check::role;

/// How observations are laid out in a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// One object, or an array of objects. One object a line is understood, too.
    Json,
    /// One object a line; blank lines are skipped.
    Ndjson,
}

/// Reads a body. `now` stands in for a missing `at` and is what `limits` measure from.
///
/// # Errors
/// When the body is no JSON at all or holds too many items. Everything else is a [`super::Rejection`] of one item; a broken line
/// of NDJSON, too.
pub fn decode(format: Format, bytes: &[u8], now: Timestamp, limits: &Limits) -> Result<Batch, Error> {
    let decoder = Decoder { checker: Checker::new(Source::Native, now, limits), batch: Batch::default(), limits };
    match format {
        Format::Json if is_lines(bytes) => decoder.lines(bytes),
        Format::Json => decoder.json(text(bytes)?),
        Format::Ndjson => decoder.lines(bytes),
    }
}

/// Whether the first line is an object of its own and others follow: clients seldom name NDJSON by its type. An object
/// printed over several lines has no whole one in its first.
fn is_lines(bytes: &[u8]) -> bool {
    let bytes = bytes.trim_ascii();
    let Some(end) = bytes.iter().position(|&byte| byte == b'\n') else { return false };
    let line = bytes.get(..end).unwrap_or_default().trim_ascii_end();
    line.starts_with(b"{") && line.ends_with(b"}") && serde_json::from_slice::<&RawValue>(line).is_ok()
}

/// Reads one object, as in a stream's `observe` message.
///
/// # Errors
/// What is wrong with it.
pub fn decode_one(bytes: &[u8], source: Source, now: Timestamp, limits: &Limits) -> Result<Observation, Refusal> {
    decode_dated(bytes, &mut Checker::new(source, now, limits)).map(|(observation, _)| observation)
}

/// Reads one line of a recording; `missing` stands in for a missing `at`. The flag says whether `at` was given.
///
/// # Errors
/// What is wrong with it.
pub fn decode_line(bytes: &[u8], missing: Timestamp) -> Result<(Observation, bool), Refusal> {
    decode_dated(bytes, &mut Checker::new(Source::Native, missing, &Limits::RECORDED))
}

fn decode_dated(bytes: &[u8], checker: &mut Checker<'_>) -> Result<(Observation, bool), Refusal> {
    let malformed = |what: String| Refusal::new(RejectReason::Malformed, what);
    let text = text(bytes).map_err(|_| malformed("not valid UTF-8".into()))?;
    match serde_json::from_str::<Item<'_>>(text) {
        Ok(Item::Object(raw)) => checker.check(&raw),
        Ok(Item::Other) => Err(malformed("must be a JSON object".into())),
        Err(error) => Err(malformed(format!("{} (column {})", unreadable(text), error.column()))),
    }
}

/// What is wrong with a text that cannot be read as an item: JSON's grammar allows numbers that no float can hold and
/// halves of surrogate pairs.
fn unreadable(text: &str) -> &'static str {
    match serde_json::from_str::<&RawValue>(text) {
        Ok(_) => "holds a number out of range or a broken escape",
        Err(_) => "not valid JSON",
    }
}

struct Decoder<'l> {
    checker: Checker<'l>,
    batch: Batch,
    limits: &'l Limits,
}

impl Decoder<'_> {
    fn json(mut self, text: &str) -> Result<Batch, Error> {
        match text.bytes().find(|byte| !byte.is_ascii_whitespace()) {
            Some(b'[') => {}
            Some(b'{') => {
                let json: &RawValue = serde_json::from_str(text).map_err(|error| Error::json(&error))?;
                let checked = decode_dated(json.get().as_bytes(), &mut self.checker);
                self.push(checked);
                return Ok(self.batch);
            }
            _ => {
                serde_json::from_str::<&RawValue>(text).map_err(|error| Error::json(&error))?;
                return Err(Error::Shape { found: "a single value", wanted: "a JSON object or an array of them" });
            }
        }
        // In one go, unless an item cannot be read at all; then item by item, so that it costs that one only.
        let mut json = serde_json::Deserializer::from_str(text);
        let fast = (&mut json).deserialize_seq(Items { decoder: &mut self }).and_then(|()| json.end());
        if fast.is_err() && !self.is_over() {
            self.batch = Batch::default();
            let mut json = serde_json::Deserializer::from_str(text);
            let slow = (&mut json).deserialize_seq(RawItems { decoder: &mut self }).and_then(|()| json.end());
            if let Err(error) = slow
                && !self.is_over()
            {
                return Err(Error::json(&error));
            }
        }
        self.finish()
    }

    fn lines(mut self, bytes: &[u8]) -> Result<Batch, Error> {
        let bytes = bytes.strip_prefix("\u{feff}".as_bytes()).unwrap_or(bytes);
        self.batch.accepted.reserve(room(bytes.len()).min(self.limits.items));
        let mut rest = bytes;
        while !rest.is_empty() {
            let end = memchr::memchr(b'\n', rest).unwrap_or(rest.len());
            let line = rest[..end].trim_ascii();
            rest = rest.get(end + 1..).unwrap_or_default();
            if line.is_empty() {
                continue;
            }
            let checked = decode_dated(line, &mut self.checker);
            self.push(checked);
            if self.is_over() {
                break;
            }
        }
        self.finish()
    }

    fn push(&mut self, checked: Result<(Observation, bool), Refusal>) {
        match checked {
            Ok((observation, _)) => self.batch.accepted.push(observation),
            Err(refusal) => {
                let index = self.count();
                self.batch.rejected.push(refusal.at(index));
            }
        }
    }

    fn count(&self) -> usize {
        self.batch.accepted.len() + self.batch.rejected.len()
    }

    fn is_over(&self) -> bool {
        self.count() > self.limits.items
    }

    fn finish(self) -> Result<Batch, Error> {
        if self.is_over() { Err(Error::TooMany { limit: self.limits.items }) } else { Ok(self.batch) }
    }
}

/// Reads the items of an array as they come.
struct Items<'d, 'l> {
    decoder: &'d mut Decoder<'l>,
}

impl<'de> Visitor<'de> for Items<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        while let Some(checked) = seq.next_element_seed(Check(&mut self.decoder.checker))? {
            self.decoder.push(checked);
            if self.decoder.is_over() {
                return Err(A::Error::custom("too many items"));
            }
        }
        Ok(())
    }
}

/// Reads an item and checks it where it stands: it is large, and would be moved about otherwise.
struct Check<'c, 'l>(&'c mut Checker<'l>);

impl<'de> DeserializeSeed<'de> for Check<'_, '_> {
    type Value = Result<(Observation, bool), Refusal>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        Ok(match serde::Deserialize::deserialize(deserializer)? {
            Item::Object(raw) => self.0.check(&raw),
            Item::Other => Err(Refusal::new(RejectReason::Malformed, "must be a JSON object")),
        })
    }
}

/// Finds the items of an array first, then reads each on its own.
struct RawItems<'d, 'l> {
    decoder: &'d mut Decoder<'l>,
}

impl<'de> Visitor<'de> for RawItems<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        while let Some(item) = seq.next_element::<&RawValue>()? {
            let checked = decode_dated(item.get().as_bytes(), &mut self.decoder.checker);
            self.decoder.push(checked);
            if self.decoder.is_over() {
                return Err(A::Error::custom("too many items"));
            }
        }
        Ok(())
    }
}
