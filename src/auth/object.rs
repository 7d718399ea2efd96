//! JSON objects in which no name stands twice (RFC 7519, section 4; RFC 7515, section 4).

use std::collections::BTreeSet;
use std::fmt;

use serde::de::{DeserializeSeed, Error as _, IgnoredAny, MapAccess, Visitor};
use serde_json::Value;

use super::Refusal;

/// Reads one object: the values of `names`, in their order. Other names are passed over, but may not stand twice either.
pub(super) fn read<const N: usize>(json: &[u8], names: [&str; N]) -> Result<[Option<Value>; N], Refusal> {
    let mut duplicate = false;
    let mut deserializer = serde_json::Deserializer::from_slice(json);
    let values = Object { names, duplicate: &mut duplicate }.deserialize(&mut deserializer);
    match (values, duplicate) {
        (_, true) => Err(Refusal::Duplicate),
        (Ok(values), false) if deserializer.end().is_ok() => Ok(values),
        _ => Err(Refusal::Malformed),
    }
}

struct Object<'a, const N: usize> {
    names: [&'a str; N],
    duplicate: &'a mut bool,
}

impl<'de, const N: usize> DeserializeSeed<'de> for Object<'_, N> {
    type Value = [Option<Value>; N];

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de, const N: usize> Visitor<'de> for Object<'_, N> {
    type Value = [Option<Value>; N];

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut values = [const { None }; N];
        let mut seen = BTreeSet::new();
        while let Some(name) = map.next_key::<String>()? {
            match self.names.iter().zip(values.iter_mut()).find(|(known, _)| **known == name) {
                Some((_, value)) => *value = Some(map.next_value()?),
                None => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
            if !seen.insert(name) {
                *self.duplicate = true;
                return Err(A::Error::custom("duplicate name"));
            }
        }
        Ok(values)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn named_values_are_read_and_others_passed_over() {
        let [a, b] = read(br#"{"x":{"a":1,"a":2},"a":"one"}"#, ["a", "b"]).unwrap();
        assert_eq!((a, b), (Some(Value::from("one")), None));
    }

    #[test]
    fn names_that_stand_twice_are_noticed_however_they_are_written() {
        for json in [r#"{"a":1,"a":1}"#, r#"{"x":1,"x":1}"#, r#"{"a":1,"\u0061":1}"#, r#"{"x":1,"a":2,"x":3}"#] {
            assert_eq!(read(json.as_bytes(), ["a"]), Err(Refusal::Duplicate), "{json}");
        }
    }

    #[test]
    fn what_is_not_one_object_is_malformed() {
        let deep = format!("{{\"a\":{}", "[".repeat(4000));
        for json in ["", "[]", "1", "{", "{}{}", "{} x", r#"{"a":NaN}"#, r#"{"a":1e999}"#, "{'a':1}", &deep] {
            assert_eq!(read(json.as_bytes(), ["a"]), Err(Refusal::Malformed), "{json}");
        }
        assert_eq!(read(b"{\"a\":\"\xff\"}", ["a"]), Err(Refusal::Malformed));
    }
}
