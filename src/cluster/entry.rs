//! Observations on their way through Redis: lines of JSON, many to an entry of the stream.

use bytes::Bytes;

use crate::domain::Observation;

/// The stream of accepted observations.
pub(super) const STREAM: &str = "meta:observations";
/// How far it is folded, by producer, as of the stored state; and, as [`POSITION`], by entry.
pub(super) const READING: &str = "meta:reading";
/// The field of [`READING`] that holds the last entry folded.
pub(super) const POSITION: &str = "position";

/// Observations of an entry, at most.
const MOST: usize = 1000;
/// Bytes of an entry from which on nothing is added to it.
const FULL: usize = 256 * 1024;

/// Observations in their form on the wire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lines {
    /// A line each, with its newline.
    pub bytes: Bytes,
    /// How many.
    pub count: usize,
}

impl Lines {
    /// Writes observations down, no more to a part than an entry holds.
    pub fn write(observations: &[Observation]) -> Vec<Self> {
        let mut parts = Vec::new();
        let (mut bytes, mut count) = (Vec::new(), 0);
        for observation in observations {
            // Plain data with text keys always has a JSON form, and writing to memory does not fail.
            let _ = serde_json::to_writer(&mut bytes, observation);
            bytes.push(b'\n');
            count += 1;
            if count == MOST || bytes.len() >= FULL {
                parts.push(Self { bytes: std::mem::take(&mut bytes).into(), count: std::mem::take(&mut count) });
            }
        }
        if count > 0 {
            parts.push(Self { bytes: bytes.into(), count });
        }
        parts
    }

    /// Reads lines back. What is none, since another version wrote it, is left out and counted.
    pub fn read(bytes: &[u8]) -> (Vec<Observation>, usize) {
        let mut unread = 0;
        let lines = bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        let read = lines.filter_map(|line| serde_json::from_slice(line).inspect_err(|_| unread += 1).ok()).collect();
        (read, unread)
    }
}

/// Whether so many observations of so many bytes fit into one entry.
pub(super) fn fit(count: usize, bytes: usize) -> bool {
    count <= MOST && bytes <= FULL
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{
        AgentId, CallKey, Failure, Kind, ObservationKey, Probability, Role, SessionKey, Source, Text, Timestamp,
        ToolName,
    };

    #[test]
    fn observations_come_back_as_they_went() {
        let text = || Some(Text::new("line one\nline two \"quoted\" \u{1f600}"));
        let kinds = [
            Kind::Thought { text: text() },
            Kind::Message { role: Role::User, text: None },
            Kind::Action { tool: ToolName::fitted("ls"), arguments: text(), call: Some(CallKey::from_u64(u64::MAX)) },
            Kind::Result {
                call: None,
                tool: Some(ToolName::fitted("ls")),
                ok: false,
                error: Some(Failure::new("429")),
                text: text(),
                duration_ms: Some(0.1 + 0.2),
            },
            Kind::Claim {
                claim: crate::domain::ClaimKey::from_u64(1),
                confidence: Probability::new(1.0 / 3.0).unwrap(),
                correct: Some(true),
                task: None,
            },
            Kind::Verdict { claim: crate::domain::ClaimKey::from_u64(1), correct: false },
            Kind::Progress { done: 1e-300, total: None },
            Kind::Usage { input_tokens: u64::MAX, output_tokens: 0, cost: Some(0.25), context_window: None },
        ];
        let observations: Vec<_> = kinds
            .into_iter()
            .cycle()
            .take(2500)
            .enumerate()
            .map(|(i, kind)| Observation {
                agent: AgentId::fitted(&format!("a/{i}")),
                session: SessionKey::of("s"),
                id: (i % 2 == 0).then(|| ObservationKey::from_u64(i as u64)),
                at: Timestamp::from_nanos(1_763_942_048_123_456_789),
                source: Source::OtlpTraces,
                kind,
            })
            .collect();
        let parts = Lines::write(&observations);
        assert!(parts.len() >= 3 && parts.iter().all(|part| part.count <= MOST));
        let mut back = Vec::new();
        for part in parts {
            let (read, unread) = Lines::read(&part.bytes);
            assert_eq!((read.len(), unread), (part.count, 0));
            back.extend(read);
        }
        assert_eq!(back, observations);
        assert!(Lines::write(&[]).is_empty());
    }

    #[test]
    fn what_cannot_be_read_takes_nothing_with_it() {
        let line = r#"{"agent":"a","session":1,"id":null,"at":5,"source":"native","kind":{"thought":{"text":null}}}"#;
        let (read, unread) = Lines::read(format!("{{\"agent\":\n{line}\nnot JSON\n{line}").as_bytes());
        assert_eq!((read.len(), unread), (2, 2));
    }
}
