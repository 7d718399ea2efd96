//! Canonical JSON: one text for equal values, so that tool calls can be compared by their arguments.
//!
//! No white space, object keys sorted by their UTF-8 bytes, the last of equal keys kept, strings escaped in one way. Numbers
//! keep their type: `1` and `1.0` differ, `1.50` and `1.5` do not.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

use super::scalar::Str;

/// Longest text that is brought into canonical form, in bytes. A longer one stands for itself: equal texts are still
/// equal, and a hostile one costs no tree.
const LONGEST: usize = 256 * 1024;

/// The canonical form of a valid JSON text. Where that would take too much (too long, nested too deeply, a number no
/// float can hold), the text itself.
pub(super) fn canonical(json: &str) -> Cow<'_, str> {
    if json.len() > LONGEST || is_canonical_scalar(json) {
        return Cow::Borrowed(json);
    }
    let Ok(node) = serde_json::from_str::<Node<'_>>(json) else { return Cow::Borrowed(json) };
    let mut out = Vec::with_capacity(json.len());
    node.write(&mut out);
    String::from_utf8(out).map_or(Cow::Borrowed(json), Cow::Owned)
}

/// The canonical form of a string.
pub(super) fn quoted(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len() + 2);
    write_string(&mut out, text);
    String::from_utf8(out).unwrap_or_default()
}

/// Strings without escapes, plain digits and the three words need no second look.
fn is_canonical_scalar(json: &str) -> bool {
    match json.as_bytes() {
        [b'"', inner @ .., b'"'] => !inner.contains(&b'\\'),
        bytes => bytes.len() < 19 && bytes.iter().all(u8::is_ascii_alphanumeric),
    }
}

fn write_string(out: &mut Vec<u8>, text: &str) {
    // Writing a string to a vector cannot fail.
    let _ = serde_json::to_writer(out, text);
}

/// A JSON value whose objects are sorted.
enum Node<'a> {
    Null,
    Bool(bool),
    Whole(u64),
    Negative(i64),
    Float(f64),
    Text(Cow<'a, str>),
    Array(Vec<Node<'a>>),
    Object(Vec<(Cow<'a, str>, Node<'a>)>),
}

impl Node<'_> {
    fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Null => out.extend_from_slice(b"null"),
            Self::Bool(value) => out.extend_from_slice(if *value { b"true" } else { b"false" }),
            Self::Whole(value) => drop(serde_json::to_writer(out, value)),
            Self::Negative(value) => drop(serde_json::to_writer(out, value)),
            Self::Float(value) => drop(serde_json::to_writer(out, value)),
            Self::Text(text) => write_string(out, text),
            Self::Array(items) => {
                out.push(b'[');
                for (i, item) in items.iter().enumerate() {
                    if i > 0 {
                        out.push(b',');
                    }
                    item.write(out);
                }
                out.push(b']');
            }
            Self::Object(entries) => {
                out.push(b'{');
                for (i, (key, value)) in entries.iter().enumerate() {
                    if i > 0 {
                        out.push(b',');
                    }
                    write_string(out, key);
                    out.push(b':');
                    value.write(out);
                }
                out.push(b'}');
            }
        }
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Node<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct AnyNode;

        impl<'de> Visitor<'de> for AnyNode {
            type Value = Node<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("any value")
            }
            fn visit_unit<E>(self) -> Result<Self::Value, E> {
                Ok(Node::Null)
            }
            fn visit_bool<E>(self, value: bool) -> Result<Self::Value, E> {
                Ok(Node::Bool(value))
            }
            fn visit_u64<E>(self, value: u64) -> Result<Self::Value, E> {
                Ok(Node::Whole(value))
            }
            fn visit_i64<E>(self, value: i64) -> Result<Self::Value, E> {
                Ok(Node::Negative(value))
            }
            fn visit_f64<E>(self, value: f64) -> Result<Self::Value, E> {
                Ok(Node::Float(value))
            }
            fn visit_borrowed_str<E>(self, value: &'de str) -> Result<Self::Value, E> {
                Ok(Node::Text(Cow::Borrowed(value)))
            }
            fn visit_str<E>(self, value: &str) -> Result<Self::Value, E> {
                Ok(Node::Text(Cow::Owned(value.to_owned())))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
                let mut items = Vec::new();
                while let Some(item) = seq.next_element()? {
                    items.push(item);
                }
                Ok(Node::Array(items))
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut entries: Vec<(Cow<'de, str>, Node<'de>)> = Vec::new();
                while let Some((Str(key), value)) = map.next_entry()? {
                    entries.push((key, value));
                }
                if !entries.is_sorted_by(|(a, _), (b, _)| a < b) {
                    // Reversed before the stable sort, the last of equal keys comes first, and `dedup` keeps it.
                    entries.reverse();
                    entries.sort_by(|(a, _), (b, _)| a.cmp(b));
                    entries.dedup_by(|(later, _), (kept, _)| later == kept);
                }
                Ok(Node::Object(entries))
            }
        }

        deserializer.deserialize_any(AnyNode)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn keys_are_sorted_and_white_space_goes() {
        assert_eq!(canonical(r#"{ "b": [1, 2.50, {"d": null, "c": true}], "a": "x" }"#), {
            r#"{"a":"x","b":[1,2.5,{"c":true,"d":null}]}"#
        });
        assert_eq!(canonical(r#"{"a":1,"b":2,"a":3}"#), r#"{"a":3,"b":2}"#);
    }

    #[test]
    fn strings_have_one_form() {
        assert_eq!(canonical(r#""\u0041\/é""#), r#""A/é""#);
        assert_eq!(canonical(r#""plain""#), r#""plain""#);
        assert_eq!(quoted("a\"b\n"), r#""a\"b\n""#);
    }

    #[test]
    fn numbers_keep_their_type() {
        assert_eq!(canonical("[1, 1.0, -0, 1e2, 18446744073709551615]"), "[1,1.0,-0.0,100.0,18446744073709551615]");
        assert_ne!(canonical("1"), canonical("1.0"));
    }

    #[test]
    fn what_is_too_much_stands_for_itself() {
        let deep = "[".repeat(200) + &"]".repeat(200);
        assert_eq!(canonical(&deep), deep);
        assert_eq!(canonical("[1e999 ]"), "[1e999 ]");
        let long = format!("[ \"{}\"]", "x".repeat(LONGEST));
        assert_eq!(canonical(&long), long);
    }

    proptest! {
        #[test]
        fn canonical_texts_stay_and_mean_the_same(text in proptest::string::string_regex(r#"\{"[abé]":(1|-2|0\.5|null|"x\\n"|\[ ?true, ?\{\} ?\])( ?, ?"[cdb]" ?: ?("y"|7|\{"z":1,"a":2\}))*\}"#).unwrap()) {
            let once = canonical(&text);
            prop_assert_eq!(canonical(&once), once.as_ref());
            let (a, b): (serde_json::Value, serde_json::Value) =
                (serde_json::from_str(&text).unwrap(), serde_json::from_str(&once).unwrap());
            prop_assert_eq!(a, b);
        }
    }
}
