//! The JSON encoding of OTLP, as exporters send it: ids in hex, 64-bit numbers as strings or numbers, enumerations as
//! numbers or names, anything missing or null, unknown fields skipped.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::wire::{Attributes, Event, Log, MOST, Span, Status, Value};
use crate::ingest::scalar::{Scalar, Str};

/// An export request of traces or of logs.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Request<'a> {
    #[serde(borrow)]
    pub(super) resource_spans: Option<Vec<&'a RawValue>>,
    #[serde(borrow)]
    pub(super) resource_logs: Option<Vec<&'a RawValue>>,
}

/// Spans or log records of one resource.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Group<'a> {
    #[serde(borrow)]
    resource: Option<Resource<'a>>,
    #[serde(borrow, alias = "scopeLogs")]
    scope_spans: Option<Vec<Scope<'a>>>,
}

#[derive(Deserialize)]
struct Resource<'a> {
    #[serde(borrow)]
    attributes: Option<KeyValues<'a>>,
}

/// Spans or log records of one scope, each still to be read: a broken one costs itself only.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Scope<'a> {
    #[serde(borrow, alias = "logRecords")]
    spans: Option<Vec<&'a RawValue>>,
}

/// Calls `each` with every record of the groups and its resource, until that says to stop.
pub(super) fn records<'a>(
    groups: &[&'a RawValue],
    mut each: impl FnMut(&Attributes<'a>, &'a str) -> bool,
) -> Result<(), serde_json::Error> {
    for group in groups {
        let group: Group<'a> = serde_json::from_str(group.get())?;
        let resource = group.resource.and_then(|resource| resource.attributes).unwrap_or_default().0;
        for record in group.scope_spans.into_iter().flatten().flat_map(|scope| scope.spans.unwrap_or_default()) {
            if !each(&resource, record.get()) {
                return Ok(());
            }
        }
    }
    Ok(())
}

/// Reads a `Span`.
pub(super) fn span(json: &str) -> Result<Span<'_>, serde_json::Error> {
    let read: JsonSpan<'_> = serde_json::from_str(json)?;
    let status = read.status.unwrap_or_default();
    Ok(Span {
        trace: id(read.trace_id),
        id: id(read.span_id),
        parent: id(read.parent_span_id),
        name: read.name.0,
        start: nanos(&read.start_time_unix_nano)?,
        end: nanos(&read.end_time_unix_nano)?,
        attributes: read.attributes.unwrap_or_default().0,
        events: read
            .events
            .unwrap_or_default()
            .0
            .into_iter()
            .map(|event| {
                Ok(Event {
                    at: nanos(&event.time_unix_nano)?,
                    name: event.name.0,
                    attributes: event.attributes.unwrap_or_default().0,
                })
            })
            .collect::<Result<_, serde_json::Error>>()?,
        status: Status {
            failed: match status.code {
                Scalar::Text(name) => name == "STATUS_CODE_ERROR" || name == "2",
                code => code.whole() == Some(2),
            },
            message: status.message.0,
        },
    })
}

/// Reads a `LogRecord`.
pub(super) fn log(json: &str) -> Result<Log<'_>, serde_json::Error> {
    let read: JsonLog<'_> = serde_json::from_str(json)?;
    Ok(Log {
        trace: id(read.trace_id),
        span: id(read.span_id),
        event: read.event_name.0,
        at: nanos(&read.time_unix_nano)?,
        observed: nanos(&read.observed_time_unix_nano)?,
        attributes: read.attributes.unwrap_or_default().0,
        body: read.body.unwrap_or_default(),
    })
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", bound(deserialize = "'de: 'a"))]
#[serde(default)]
#[derive(Default)]
struct JsonSpan<'a> {
    trace_id: Str<'a>,
    span_id: Str<'a>,
    parent_span_id: Str<'a>,
    name: Str<'a>,
    start_time_unix_nano: Scalar<'a>,
    end_time_unix_nano: Scalar<'a>,
    attributes: Option<KeyValues<'a>>,
    events: Option<Bounded<JsonEvent<'a>>>,
    status: Option<JsonStatus<'a>>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default, bound(deserialize = "'de: 'a"))]
struct JsonEvent<'a> {
    time_unix_nano: Scalar<'a>,
    name: Str<'a>,
    attributes: Option<KeyValues<'a>>,
}

#[derive(Deserialize, Default)]
#[serde(default, bound(deserialize = "'de: 'a"))]
struct JsonStatus<'a> {
    code: Scalar<'a>,
    message: Str<'a>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default, bound(deserialize = "'de: 'a"))]
struct JsonLog<'a> {
    trace_id: Str<'a>,
    span_id: Str<'a>,
    event_name: Str<'a>,
    time_unix_nano: Scalar<'a>,
    observed_time_unix_nano: Scalar<'a>,
    attributes: Option<KeyValues<'a>>,
    body: Option<Value<'a>>,
}

fn id(text: Str<'_>) -> Cow<'_, str> {
    if text.0.bytes().any(|byte| byte.is_ascii_uppercase()) { text.0.to_ascii_lowercase().into() } else { text.0 }
}

fn nanos(value: &Scalar<'_>) -> Result<u64, serde_json::Error> {
    match value {
        Scalar::Absent => Some(0),
        Scalar::Text(text) => text.parse().ok(),
        number => number.whole(),
    }
    .ok_or_else(|| serde_json::Error::custom("not a time"))
}

/// A list of `{"key": …, "value": …}`.
#[derive(Default)]
struct KeyValues<'a>(Attributes<'a>);

impl<'de: 'a, 'a> Deserialize<'de> for KeyValues<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let list = Bounded::<KeyValue<'de>>::deserialize(deserializer)?;
        Ok(Self(Attributes(list.0.into_iter().map(|entry| (entry.key.0, entry.value.unwrap_or_default())).collect())))
    }
}

#[derive(Deserialize, Default)]
#[serde(default, bound(deserialize = "'de: 'a"))]
struct KeyValue<'a> {
    key: Str<'a>,
    value: Option<Value<'a>>,
}

/// The first [`MOST`] elements of a list.
struct Bounded<T>(Vec<T>);

impl<T> Default for Bounded<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Bounded<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct List<T>(std::marker::PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for List<T> {
            type Value = Vec<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Vec<T>, A::Error> {
                let mut list = Vec::new();
                while list.len() < MOST
                    && let Some(item) = seq.next_element()?
                {
                    list.push(item);
                }
                while seq.next_element::<IgnoredAny>()?.is_some() {}
                Ok(list)
            }
        }

        deserializer.deserialize_seq(List(std::marker::PhantomData)).map(Self)
    }
}

/// An object with at most one of the fields of `AnyValue`; its nesting is bounded by the JSON reader.
impl<'de: 'a, 'a> Deserialize<'de> for Value<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct AnyValue;

        impl<'de> Visitor<'de> for AnyValue {
            type Value = Value<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a value")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value<'de>, A::Error> {
                let mut value = Value::Empty;
                while let Some(Str(key)) = map.next_key()? {
                    match key.as_ref() {
                        "arrayValue" => {
                            if let Some(list) = map.next_value::<Option<ArrayValue<'de>>>()? {
                                value = Value::Array(list.values.unwrap_or_default().0);
                            }
                        }
                        "kvlistValue" => {
                            if let Some(list) = map.next_value::<Option<KeyValueList<'de>>>()? {
                                value = Value::Map(list.values.unwrap_or_default().0);
                            }
                        }
                        "stringValue" | "boolValue" | "intValue" | "doubleValue" | "bytesValue" => {
                            let scalar: Scalar<'de> = map.next_value()?;
                            if !scalar.is_absent() {
                                value = of_type(&key, scalar).ok_or_else(|| A::Error::custom("wrong type"))?;
                            }
                        }
                        _ => drop(map.next_value::<IgnoredAny>()?),
                    }
                }
                Ok(value)
            }
        }

        deserializer.deserialize_map(AnyValue)
    }
}

#[derive(Deserialize, Default)]
#[serde(default, bound(deserialize = "'de: 'a"))]
struct ArrayValue<'a> {
    values: Option<Bounded<Value<'a>>>,
}

#[derive(Deserialize, Default)]
#[serde(default, bound(deserialize = "'de: 'a"))]
struct KeyValueList<'a> {
    values: Option<KeyValues<'a>>,
}

fn of_type<'a>(name: &str, value: Scalar<'a>) -> Option<Value<'a>> {
    match (name, value) {
        ("stringValue", Scalar::Text(text)) => Some(Value::Text(text)),
        ("bytesValue", Scalar::Text(_)) => Some(Value::Bytes),
        ("boolValue", Scalar::Bool(value)) => Some(Value::Bool(value)),
        ("intValue", Scalar::Text(text)) => text.parse().ok().map(Value::Int),
        ("intValue", Scalar::Negative(value)) => Some(Value::Int(value)),
        ("intValue", number) => number.whole().and_then(|value| i64::try_from(value).ok()).map(Value::Int),
        // "NaN", "Infinity" and "-Infinity" are how these are written; Rust reads them so.
        ("doubleValue", Scalar::Text(text)) => text.parse().ok().map(Value::Double),
        ("doubleValue", number) => number.number().map(Value::Double),
        _ => None,
    }
}
