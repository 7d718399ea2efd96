//! The protobuf encoding of OTLP: a reader of the wire format that borrows from the body.
//!
//! Field numbers are those of `opentelemetry/proto` 1.x, which are stable. Unknown fields are skipped; of a repeated
//! singular field the last one counts.

use std::borrow::Cow;

use super::wire::{Attributes, DEEPEST, Event, Log, MOST, Span, Status, Value, hex};

/// A message that is cut short, or a field of a type it should not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Broken;

/// The records of a request, each with its resource: both are read when they are asked for.
///
/// Traces and logs are laid out alike: request → 1 resource group → (1 resource, 2 scope group → 2 record).
pub(super) fn records<'a>(
    request: &'a [u8],
    mut each: impl FnMut(&Attributes<'a>, &'a [u8]) -> bool,
) -> Result<(), Broken> {
    for group in messages(request, 1) {
        let group = group?;
        let mut resource = Attributes::default();
        for message in messages(group, 1) {
            resource = attributes(message?, 1)?;
        }
        for scope in messages(group, 2) {
            for record in messages(scope?, 2) {
                if !each(&resource, record?) {
                    return Ok(());
                }
            }
        }
    }
    Ok(())
}

/// Reads a `Span`.
pub(super) fn span(message: &[u8]) -> Result<Span<'_>, Broken> {
    let mut span = Span::default();
    for field in Fields(message) {
        match field? {
            (1, Field::Bytes(bytes)) => span.trace = hex(bytes).into(),
            (2, Field::Bytes(bytes)) => span.id = hex(bytes).into(),
            (4, Field::Bytes(bytes)) => span.parent = hex(bytes).into(),
            (5, field) => span.name = field.text()?,
            (7, Field::Fixed64(at)) => span.start = at,
            (8, Field::Fixed64(at)) => span.end = at,
            (9, field) => push(&mut span.attributes.0, key_value(field.message()?, 0)?),
            (11, field) => push(&mut span.events, event(field.message()?)?),
            (15, field) => span.status = status(field.message()?)?,
            (1 | 2 | 4 | 7 | 8, _) => return Err(Broken),
            _ => {}
        }
    }
    Ok(span)
}

/// Reads a `LogRecord`.
pub(super) fn log(message: &[u8]) -> Result<Log<'_>, Broken> {
    let mut log = Log::default();
    for field in Fields(message) {
        match field? {
            (1, Field::Fixed64(at)) => log.at = at,
            (5, field) => log.body = value(field.message()?, 0)?,
            (6, field) => push(&mut log.attributes.0, key_value(field.message()?, 0)?),
            (9, Field::Bytes(bytes)) => log.trace = hex(bytes).into(),
            (10, Field::Bytes(bytes)) => log.span = hex(bytes).into(),
            (11, Field::Fixed64(at)) => log.observed = at,
            (12, field) => log.event = field.text()?,
            (1 | 9 | 10 | 11, _) => return Err(Broken),
            _ => {}
        }
    }
    Ok(log)
}

fn event(message: &[u8]) -> Result<Event<'_>, Broken> {
    let mut event = Event::default();
    for field in Fields(message) {
        match field? {
            (1, Field::Fixed64(at)) => event.at = at,
            (2, field) => event.name = field.text()?,
            (3, field) => push(&mut event.attributes.0, key_value(field.message()?, 0)?),
            (1, _) => return Err(Broken),
            _ => {}
        }
    }
    Ok(event)
}

fn status(message: &[u8]) -> Result<Status<'_>, Broken> {
    let mut status = Status::default();
    for field in Fields(message) {
        match field? {
            (2, field) => status.message = field.text()?,
            (3, Field::Varint(code)) => status.failed = code == 2,
            (3, _) => return Err(Broken),
            _ => {}
        }
    }
    Ok(status)
}

/// The attributes in one field of a message.
fn attributes(message: &[u8], number: u32) -> Result<Attributes<'_>, Broken> {
    nested_attributes(message, number, 0)
}

fn nested_attributes(message: &[u8], number: u32, depth: usize) -> Result<Attributes<'_>, Broken> {
    let mut attributes = Attributes::default();
    for entry in messages(message, number) {
        push(&mut attributes.0, key_value(entry?, depth)?);
    }
    Ok(attributes)
}

fn key_value(message: &[u8], depth: usize) -> Result<(Cow<'_, str>, Value<'_>), Broken> {
    let mut entry = (Cow::default(), Value::Empty);
    for field in Fields(message) {
        match field? {
            (1, field) => entry.0 = field.text()?,
            (2, field) => entry.1 = value(field.message()?, depth)?,
            _ => {}
        }
    }
    Ok(entry)
}

fn value(message: &[u8], depth: usize) -> Result<Value<'_>, Broken> {
    let mut read = Value::Empty;
    if depth > DEEPEST {
        return Ok(read);
    }
    for field in Fields(message) {
        read = match field? {
            (1, field) => Value::Text(field.text()?),
            (2, Field::Varint(bits)) => Value::Bool(bits != 0),
            (3, Field::Varint(bits)) => Value::Int(bits.cast_signed()),
            (4, Field::Fixed64(bits)) => Value::Double(f64::from_bits(bits)),
            (5, field) => {
                let mut items = Vec::new();
                for item in messages(field.message()?, 1) {
                    push(&mut items, value(item?, depth + 1)?);
                }
                Value::Array(items)
            }
            (6, field) => Value::Map(nested_attributes(field.message()?, 1, depth + 1)?),
            (7, field) => field.message().map(|_| Value::Bytes)?,
            (2..=4, _) => return Err(Broken),
            _ => read,
        };
    }
    Ok(read)
}

fn push<T>(list: &mut Vec<T>, item: T) {
    if list.len() < MOST {
        list.push(item);
    }
}

/// The messages in one field of a message.
fn messages(message: &[u8], number: u32) -> impl Iterator<Item = Result<&[u8], Broken>> {
    Fields(message).filter_map(move |field| match field {
        Ok((found, field)) => (found == number).then(|| field.message()),
        Err(broken) => Some(Err(broken)),
    })
}

/// The fields of a message, in order. Ends after the first fault.
struct Fields<'a>(&'a [u8]);

enum Field<'a> {
    Varint(u64),
    Fixed64(u64),
    Fixed32,
    Bytes(&'a [u8]),
}

impl<'a> Field<'a> {
    fn message(self) -> Result<&'a [u8], Broken> {
        if let Self::Bytes(bytes) = self { Ok(bytes) } else { Err(Broken) }
    }

    fn text(self) -> Result<Cow<'a, str>, Broken> {
        std::str::from_utf8(self.message()?).map(Cow::Borrowed).map_err(|_| Broken)
    }
}

impl<'a> Fields<'a> {
    fn read(&mut self) -> Result<(u32, Field<'a>), Broken> {
        let key = u32::try_from(self.varint()?).map_err(|_| Broken)?;
        let field = match key & 7 {
            0 => Field::Varint(self.varint()?),
            1 => Field::Fixed64(u64::from_le_bytes(self.array()?)),
            2 => {
                let length = usize::try_from(self.varint()?).map_err(|_| Broken)?;
                Field::Bytes(self.take(length)?)
            }
            5 => {
                self.array::<4>()?;
                Field::Fixed32
            }
            // Groups, which OTLP never had, and types that do not exist.
            _ => return Err(Broken),
        };
        if key >> 3 == 0 { Err(Broken) } else { Ok((key >> 3, field)) }
    }

    fn varint(&mut self) -> Result<u64, Broken> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let [byte] = self.array()?;
            if shift == 63 && byte > 1 {
                return Err(Broken);
            }
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(Broken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Broken> {
        let (array, rest) = self.0.split_first_chunk::<N>().ok_or(Broken)?;
        self.0 = rest;
        Ok(*array)
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], Broken> {
        let (bytes, rest) = self.0.split_at_checked(length).ok_or(Broken)?;
        self.0 = rest;
        Ok(bytes)
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<(u32, Field<'a>), Broken>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let read = self.read();
        if read.is_err() {
            self.0 = &[];
        }
        Some(read)
    }
}
