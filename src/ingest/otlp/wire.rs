//! What the mapping needs of spans and log records, borrowed from the body, whichever encoding it came in.
//!
//! These are not `opentelemetry-proto`'s types: its tree of owned values takes a hundred bytes for each two of a hostile
//! body, and its JSON reader refuses some of what exporters send. That both readers here agree with it on what it does
//! read is tested.

use std::borrow::Cow;
use std::fmt;

use crate::ingest::canonical::quoted;

/// Most attributes, events or array elements that are looked at in one place; the rest is skipped. The SDKs' default
/// limit is 128.
pub(super) const MOST: usize = 1024;

/// Deepest nesting of values that is looked at; deeper ones count as empty.
pub(super) const DEEPEST: usize = 16;

/// Attributes in the order they came in.
#[derive(Clone, PartialEq, Default)]
pub(super) struct Attributes<'a>(pub(super) Vec<(Cow<'a, str>, Value<'a>)>);

impl<'a> Attributes<'a> {
    /// The value of the first of these names that has one.
    pub(super) fn get(&self, names: &[&str]) -> Option<&Value<'a>> {
        names.iter().find_map(|name| {
            self.0.iter().find_map(|(key, value)| (key == name && *value != Value::Empty).then_some(value))
        })
    }

    /// The value as text that is not empty: of a string, a number or a truth value.
    pub(super) fn text(&self, names: &[&str]) -> Option<Cow<'_, str>> {
        names.iter().find_map(|name| self.get(&[name])?.scalar_text())
    }

    /// The value as a number that is whole and not negative.
    pub(super) fn whole(&self, names: &[&str]) -> Option<u64> {
        match self.get(names)? {
            Value::Int(value) => u64::try_from(*value).ok(),
            Value::Double(value) if value.fract() == 0.0 && (0.0..1.8e19).contains(value) => Some(*value as u64),
            Value::Text(text) => text.parse().ok(),
            _ => None,
        }
    }

    /// Whether any name starts like this.
    pub(super) fn any_starts_with(&self, prefix: &str) -> bool {
        self.0.iter().any(|(key, _)| key.starts_with(prefix))
    }
}

/// An attribute's value.
#[derive(Clone, PartialEq, Default)]
pub(super) enum Value<'a> {
    #[default]
    Empty,
    Text(Cow<'a, str>),
    Bool(bool),
    Int(i64),
    Double(f64),
    Array(Vec<Value<'a>>),
    Map(Attributes<'a>),
    /// Bytes, which the conventions have no use for.
    Bytes,
}

impl Value<'_> {
    pub(super) fn number(&self) -> Option<f64> {
        match self {
            Self::Int(value) => Some(*value as f64),
            Self::Double(value) => Some(*value),
            Self::Text(text) => text.parse().ok(),
            _ => None,
        }
    }

    fn scalar_text(&self) -> Option<Cow<'_, str>> {
        match self {
            Self::Text(text) if text.is_empty() => None,
            Self::Text(text) => Some(Cow::Borrowed(text)),
            Self::Bool(value) => Some(value.to_string().into()),
            Self::Int(value) => Some(value.to_string().into()),
            Self::Double(value) => Some(value.to_string().into()),
            _ => None,
        }
    }

    /// The value as JSON; a string is taken for JSON where it is that.
    pub(super) fn json(&self) -> Cow<'_, str> {
        match self {
            Self::Text(text) if serde_json::from_str::<&serde_json::value::RawValue>(text).is_ok() => {
                Cow::Borrowed(text)
            }
            value => {
                let mut out = String::new();
                value.write(&mut out);
                Cow::Owned(out)
            }
        }
    }

    fn write(&self, out: &mut String) {
        match self {
            Self::Empty | Self::Bytes => out.push_str("null"),
            Self::Text(text) => out.push_str(&quoted(text)),
            Self::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
            Self::Int(value) => out.push_str(&value.to_string()),
            Self::Double(value) => out.push_str(&serde_json::to_string(value).unwrap_or_default()),
            Self::Array(items) => {
                out.push('[');
                for (i, item) in items.iter().enumerate() {
                    if i > 0 {
                        out.push(',');
                    }
                    item.write(out);
                }
                out.push(']');
            }
            Self::Map(Attributes(entries)) => {
                out.push('{');
                for (i, (key, value)) in entries.iter().enumerate() {
                    if i > 0 {
                        out.push(',');
                    }
                    out.push_str(&quoted(key));
                    out.push(':');
                    value.write(out);
                }
                out.push('}');
            }
        }
    }
}

impl fmt::Debug for Value<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Value(private)")
    }
}

impl fmt::Debug for Attributes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|(key, _)| key)).finish()
    }
}

/// A span. Ids are lower-case hex, empty when missing; times are nanoseconds since the Unix epoch, 0 when missing.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Span<'a> {
    pub(super) trace: Cow<'a, str>,
    pub(super) id: Cow<'a, str>,
    pub(super) parent: Cow<'a, str>,
    pub(super) name: Cow<'a, str>,
    pub(super) start: u64,
    pub(super) end: u64,
    pub(super) attributes: Attributes<'a>,
    pub(super) events: Vec<Event<'a>>,
    pub(super) status: Status<'a>,
}

/// Something that happened in a span.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Event<'a> {
    pub(super) at: u64,
    pub(super) name: Cow<'a, str>,
    pub(super) attributes: Attributes<'a>,
}

/// How a span ended.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Status<'a> {
    pub(super) failed: bool,
    pub(super) message: Cow<'a, str>,
}

/// A log record. Ids and times as in [`Span`].
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Log<'a> {
    pub(super) trace: Cow<'a, str>,
    pub(super) span: Cow<'a, str>,
    pub(super) event: Cow<'a, str>,
    pub(super) at: u64,
    pub(super) observed: u64,
    pub(super) attributes: Attributes<'a>,
    pub(super) body: Value<'a>,
}

/// An id as it is kept: bytes as hex.
pub(super) fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut hex = String::with_capacity(2 * bytes.len());
    for digit in bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]) {
        hex.push(char::from(DIGITS[usize::from(digit)]));
    }
    hex
}
