//! What the daemon says on a stream.

use serde::Deserialize;
use serde_json::Value;

use crate::domain::Timestamp;
use crate::sanitize::Position;

/// One frame, read.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Frame {
    /// The stream is open, or its token was renewed.
    Hello {
        /// Frames a second at most.
        #[serde(default)]
        max_hz: Option<f64>,
        /// Reopens the stream, once.
        #[serde(default)]
        resume: Option<String>,
    },
    /// The whole public state.
    State {
        /// Which beat it is of.
        #[serde(flatten)]
        at: Position,
        /// When that was.
        ts_ns: Timestamp,
        /// The state.
        state: Value,
    },
    /// What changed.
    Delta {
        /// Which beat it leads to.
        #[serde(flatten)]
        at: Position,
        /// The beat it applies to.
        base: u64,
        /// When the beat was.
        ts_ns: Timestamp,
        /// A merge patch (RFC 7396).
        patch: Value,
    },
    /// Something is wrong, or about to be.
    Error {
        /// What.
        #[serde(default)]
        code: String,
        /// The same for people.
        #[serde(default)]
        message: String,
    },
    /// Anything else: what later daemons may say.
    #[serde(other)]
    Other,
}

impl Frame {
    /// Reads a frame; `None` when it is none.
    pub fn read(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }
}

/// The frame as a line that may be kept: without the ticket, which opens a stream.
pub fn line(text: &str, frame: &Frame) -> String {
    if matches!(frame, Frame::Hello { .. })
        && let Ok(Value::Object(mut hello)) = serde_json::from_str(text)
    {
        hello.remove("resume");
        return Value::Object(hello).to_string();
    }
    // JSON has line ends between its tokens alone.
    if text.contains(['\n', '\r']) { text.replace(['\n', '\r'], " ") } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_of_the_contract_are_read() {
        let hello = r#"{"type":"hello","protocol":1,"session":"s","interval_ms":100,"max_hz":20,"resume":"TICKET"}"#;
        let read = Frame::read(hello).unwrap();
        assert_eq!(read, Frame::Hello { max_hz: Some(20.0), resume: Some("TICKET".into()) });
        assert_eq!(line(hello, &read), r#"{"interval_ms":100,"max_hz":20,"protocol":1,"session":"s","type":"hello"}"#);
        let delta =
            r#"{"type":"delta","epoch":3,"beat":1202,"base":1201,"ts_ns":1763942048123456789,"patch":{"a":1.5}}"#;
        let Some(Frame::Delta { at, base, ts_ns, patch }) = Frame::read(delta) else { panic!() };
        assert_eq!((at.epoch, at.beat, base, ts_ns.as_nanos()), (3, 1202, 1201, 1_763_942_048_123_456_789));
        assert_eq!(patch["a"], 1.5);
        assert_eq!(line(delta, &Frame::Other), delta);
        assert_eq!(Frame::read(r#"{"type":"news of tomorrow","x":[1]}"#), Some(Frame::Other));
        assert_eq!(Frame::read("nonsense"), None);
    }
}
