//! Moves the times of a recorded line.

use serde_json::{Map, Value};

use crate::domain::Timestamp;

/// A native observation, at another time.
pub fn native(mut observation: Map<String, Value>, at: Timestamp) -> Map<String, Value> {
    observation.insert("at".into(), at.as_nanos().into());
    observation
}

/// All times of an OTLP request, so many nanoseconds later (or earlier).
pub fn request(value: &mut Value, by: i64) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(|item| request(item, by)),
        Value::Object(object) => {
            for (key, value) in object {
                match value {
                    Value::String(_) | Value::Number(_) if key.ends_with("UnixNano") => shift(value, by),
                    value => request(value, by),
                }
            }
        }
        _ => {}
    }
}

/// OTLP/JSON writes 64-bit numbers as strings, or as numbers.
fn shift(value: &mut Value, by: i64) {
    let nanos: Option<i64> = match &*value {
        Value::String(text) => text.parse().ok(),
        other => other.as_i64(),
    };
    // Zero means that the time is not known.
    if let Some(nanos) = nanos.filter(|nanos| *nanos != 0) {
        *value = Value::String(nanos.saturating_add(by).max(0).to_string());
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn moves_every_time_of_a_request() {
        let mut body = json!({"resourceSpans": [{"scopeSpans": [{"spans": [
            {"startTimeUnixNano": "1000", "endTimeUnixNano": 2000, "name": "x", "events": [{"timeUnixNano": "0"}]},
        ]}]}]});
        request(&mut body, 500);
        let span = &body["resourceSpans"][0]["scopeSpans"][0]["spans"][0];
        assert_eq!((&span["startTimeUnixNano"], &span["endTimeUnixNano"]), (&json!("1500"), &json!("2500")));
        assert_eq!(span["events"][0]["timeUnixNano"], "0");
        assert_eq!(span["name"], "x");
    }
}
