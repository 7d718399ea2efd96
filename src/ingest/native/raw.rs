//! One native observation as it came: every known field of any type, unknown ones skipped.

use std::fmt;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::ingest::scalar::{Scalar, Str};

macro_rules! fields {
    ($($field:ident: $type:ty,)*) => {
        /// The known fields.
        #[derive(Default)]
        pub(super) struct Raw<'a> {
            $(pub(super) $field: $type,)*
            /// A known field that was there more than once: which of its values is meant, nobody can know.
            pub(super) twice: Option<&'static str>,
        }

        impl<'a> Raw<'a> {
            fn read<A: MapAccess<'a>>(mut map: A) -> Result<Self, A::Error> {
                let mut raw = Self::default();
                while let Some(Str(key)) = map.next_key()? {
                    match key.as_ref() {
                        $(stringify!($field) => {
                            if raw.$field.is_given() {
                                raw.twice = Some(stringify!($field));
                            }
                            raw.$field = map.next_value()?;
                        })*
                        _ => drop(map.next_value::<IgnoredAny>()?),
                    }
                }
                Ok(raw)
            }
        }
    };
}

fields! {
    agent: Scalar<'a>,
    session: Scalar<'a>,
    id: Scalar<'a>,
    at: Scalar<'a>,
    kind: Scalar<'a>,
    text: Scalar<'a>,
    role: Scalar<'a>,
    tool: Scalar<'a>,
    arguments: Option<&'a RawValue>,
    call_id: Scalar<'a>,
    ok: Scalar<'a>,
    error: Option<&'a RawValue>,
    duration_ms: Scalar<'a>,
    claim_id: Scalar<'a>,
    confidence: Scalar<'a>,
    correct: Scalar<'a>,
    task: Scalar<'a>,
    done: Scalar<'a>,
    total: Scalar<'a>,
    input_tokens: Scalar<'a>,
    output_tokens: Scalar<'a>,
    cost: Scalar<'a>,
    context_window: Scalar<'a>,
}

trait Given {
    fn is_given(&self) -> bool;
}

impl Given for Scalar<'_> {
    fn is_given(&self) -> bool {
        !self.is_absent()
    }
}

impl Given for Option<&RawValue> {
    fn is_given(&self) -> bool {
        self.is_some()
    }
}

/// An item of a body.
#[expect(
    clippy::large_enum_variant,
    reason = "lives for the moment between reading and checking; a box would cost more"
)]
pub(super) enum Item<'a> {
    Object(Raw<'a>),
    /// Valid JSON, but no object.
    Other,
}

impl<'de: 'a, 'a> Deserialize<'de> for Item<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct AnyItem;

        impl<'de> Visitor<'de> for AnyItem {
            type Value = Item<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an observation")
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
                Raw::read(map).map(Item::Object)
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
                while seq.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Item::Other)
            }
            fn visit_unit<E>(self) -> Result<Self::Value, E> {
                Ok(Item::Other)
            }
            fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
                Ok(Item::Other)
            }
            fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
                Ok(Item::Other)
            }
            fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
                Ok(Item::Other)
            }
            fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
                Ok(Item::Other)
            }
            fn visit_str<E>(self, _: &str) -> Result<Self::Value, E> {
                Ok(Item::Other)
            }
        }

        deserializer.deserialize_any(AnyItem)
    }
}
