//! Frames to clients: encoded once, header and all, and shared by everyone they go to.

use bytes::Bytes;
use serde::Serialize;

use crate::domain::Timestamp;
use crate::sanitize::Position;

/// Header of an unmasked text frame at its longest.
const MAX_HEADER: usize = 10;

/// One WebSocket text message, ready for the wire. Cloning it shares its bytes.
///
/// The ways to make one are in this room, and what they put in is the public state, numbers, and fixed texts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    bytes: Bytes,
}

/// What an `error` frame is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum ErrorCode {
    /// The message is malformed.
    BadMessage,
    /// The `sub` sends too much.
    RateLimited,
    /// The token lacks the scope.
    Forbidden,
    /// The new token was not accepted; the old one still counts.
    AuthFailed,
    /// The observation was not accepted.
    Rejected,
    /// The daemon will close the stream soon.
    Draining,
}

/// What a client is told first.
#[derive(Debug)]
pub(super) struct Hello<'a> {
    pub session: &'a str,
    pub interval_ms: f64,
    pub max_hz: u32,
    pub resume: &'a str,
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Content<'a, T> {
    Hello {
        protocol: u8,
        session: &'a str,
        interval_ms: Figure,
        max_hz: u32,
        #[serde(skip_serializing_if = "str::is_empty")]
        resume: &'a str,
    },
    State {
        epoch: u64,
        beat: u64,
        ts_ns: i64,
        state: T,
    },
    Delta {
        epoch: u64,
        beat: u64,
        base: u64,
        ts_ns: i64,
        patch: T,
    },
    Error {
        code: ErrorCode,
        message: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        retry_ms: Option<u64>,
    },
    Pong,
}

/// A whole number where it is one.
struct Figure(f64);

impl Serialize for Figure {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.0.fract() == 0.0 && (0.0..1e15).contains(&self.0) {
            serializer.serialize_u64(self.0 as u64)
        } else {
            serializer.serialize_f64(self.0)
        }
    }
}

/// An empty merge patch: nothing changed but the clock.
#[derive(Serialize)]
pub(super) struct Unchanged {}

impl Frame {
    /// The frame's bytes on the wire.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The same, without the frame.
    pub(super) fn into_bytes(self) -> Bytes {
        self.bytes
    }

    pub(super) fn hello(hello: &Hello<'_>) -> Self {
        let Hello { session, interval_ms, max_hz, resume } = *hello;
        Self::encode::<()>(&Content::Hello { protocol: 1, session, interval_ms: Figure(interval_ms), max_hz, resume })
    }

    /// Callers pass what [`crate::sanitize::PublicState`] serialises of itself.
    pub(super) fn state(position: Position, at: Timestamp, state: impl Serialize) -> Self {
        let Position { epoch, beat } = position;
        Self::encode(&Content::State { epoch, beat, ts_ns: at.as_nanos(), state })
    }

    /// See [`Self::state`].
    pub(super) fn delta(position: Position, at: Timestamp, base: u64, patch: impl Serialize) -> Self {
        let Position { epoch, beat } = position;
        Self::encode(&Content::Delta { epoch, beat, base, ts_ns: at.as_nanos(), patch })
    }

    /// Messages are fixed texts, or name a field and what is wrong with it; they quote nothing.
    pub(super) fn error(code: ErrorCode, message: &str) -> Self {
        Self::encode::<()>(&Content::Error { code, message, retry_ms: None })
    }

    pub(super) fn draining(retry_ms: u64) -> Self {
        let message = "the daemon is draining: reconnect when the stream closes";
        Self::encode::<()>(&Content::Error { code: ErrorCode::Draining, message, retry_ms: Some(retry_ms) })
    }

    pub(super) fn pong() -> Self {
        Self::encode::<()>(&Content::Pong)
    }

    fn encode<T: Serialize>(content: &Content<'_, T>) -> Self {
        let mut bytes = vec![0; MAX_HEADER];
        // Numbers, texts and maps with texts as keys, written to memory: this does not fail.
        if serde_json::to_writer(&mut bytes, content).is_err() {
            bytes.truncate(MAX_HEADER);
        }
        let payload = bytes.len() - MAX_HEADER;
        let mut header = [0x81, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        let length = match payload {
            0..126 => {
                header[1] = payload as u8;
                2
            }
            126..65_536 => {
                header[1] = 126;
                header[2..4].copy_from_slice(&(payload as u16).to_be_bytes());
                4
            }
            _ => {
                header[1] = 127;
                header[2..10].copy_from_slice(&(payload as u64).to_be_bytes());
                10
            }
        };
        let start = MAX_HEADER - length;
        bytes[start..MAX_HEADER].copy_from_slice(&header[..length]);
        bytes.shrink_to_fit();
        Self { bytes: Bytes::from(bytes).slice(start..) }
    }

    /// The JSON within.
    #[cfg(test)]
    pub(super) fn json(&self) -> serde_json::Value {
        let header = match self.bytes[1] {
            126 => 4,
            127 => 10,
            _ => 2,
        };
        serde_json::from_slice(&self.bytes[header..]).unwrap()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn frames_are_as_the_protocol_has_them() {
        let hello = Hello { session: "s", interval_ms: 100.0, max_hz: 20, resume: "r" };
        assert_eq!(
            Frame::hello(&hello).json(),
            json!({"type":"hello","protocol":1,"session":"s","interval_ms":100,"max_hz":20,"resume":"r"})
        );
        let position = Position { epoch: 3, beat: 1202 };
        let at = Timestamp::from_nanos(1_763_942_048_123_456_789);
        assert_eq!(
            Frame::delta(position, at, 1201, Unchanged {}).json(),
            json!({"type":"delta","epoch":3,"beat":1202,"base":1201,"ts_ns":1_763_942_048_123_456_789u64,"patch":{}})
        );
        assert_eq!(
            Frame::error(ErrorCode::RateLimited, "too fast").json(),
            json!({"type":"error","code":"rate_limited","message":"too fast"})
        );
        assert_eq!(Frame::pong().json(), json!({"type":"pong"}));
    }

    #[test]
    fn lengths_are_encoded_as_rfc_6455_says() {
        let overhead = Frame::state(Position::default(), Timestamp::EPOCH, "").json().to_string().len();
        for payload in [125, 126, 127, 65_535, 65_536, 100_000] {
            let frame = Frame::state(Position::default(), Timestamp::EPOCH, "x".repeat(payload - overhead));
            let bytes = frame.bytes();
            assert_eq!(bytes[0], 0x81);
            let (length, header) = match bytes[1] {
                126 => (usize::from(u16::from_be_bytes([bytes[2], bytes[3]])), 4),
                127 => (u64::from_be_bytes(bytes[2..10].try_into().unwrap()) as usize, 10),
                short => (usize::from(short), 2),
            };
            assert_eq!((length, bytes.len()), (payload, payload + header));
        }
    }
}
