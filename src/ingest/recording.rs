//! Recordings: files of observations, one a line.

use std::io::{self, BufRead, Read};
use std::time::Duration;

use super::{Error, Refusal, RejectReason, native, otlp};
use crate::domain::{Observation, Timestamp};

/// Longest line that is read, in bytes; a longer one is rejected and skipped.
pub const LONGEST_LINE: usize = 64 << 20;

/// One line of a recording that is not blank.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// Its number, from 1, blank lines counted.
    pub line: usize,
    /// The line as it is, without its end: private text, for sending on.
    pub raw: Raw,
    /// What it holds; in the order of time, where it is an OTLP request.
    pub accepted: Vec<Observation>,
    /// What is wrong with it, or with records of its request; quotes nothing of it.
    pub rejected: Vec<Refusal>,
}

/// The bytes of a line; `Debug` shows their number alone.
#[derive(Clone, PartialEq, Eq)]
pub struct Raw(pub Vec<u8>);

impl std::fmt::Debug for Raw {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Raw({} bytes)", self.0.len())
    }
}

/// Reads a recording: each line is a native observation, or an OTLP/JSON request of traces or logs (as the OpenTelemetry
/// collector's file exporter writes them).
///
/// An observation without a time gets the one before it plus a millisecond; the first one, a millisecond after the Unix
/// epoch. Nothing is too far ahead: recordings run on their own time.
#[derive(Debug)]
pub struct Recording<R> {
    reader: R,
    line: usize,
    previous: Timestamp,
}

impl<R: BufRead> Recording<R> {
    /// Starts at the reader's place.
    pub fn new(reader: R) -> Self {
        Self { reader, line: 0, previous: Timestamp::EPOCH }
    }

    /// The next line without its end, and whether it was too long to be kept whole; `None` at the end.
    fn read_line(&mut self) -> io::Result<Option<(Vec<u8>, bool)>> {
        let mut line = Vec::new();
        let most = LONGEST_LINE as u64 + 1;
        if self.reader.by_ref().take(most).read_until(b'\n', &mut line)? == 0 {
            return Ok(None);
        }
        self.line += 1;
        let too_long = line.len() > LONGEST_LINE && line.last() != Some(&b'\n');
        if too_long {
            line.clear();
            self.reader.skip_until(b'\n')?;
        }
        line.truncate(line.trim_ascii_end().len());
        if self.line == 1 && line.starts_with("\u{feff}".as_bytes()) {
            line.drain(..3);
        }
        Ok(Some((line, too_long)))
    }

    fn entry(&mut self, raw: Vec<u8>) -> Entry {
        let missing = self.previous.plus(Duration::from_millis(1));
        let request = std::str::from_utf8(&raw).ok().and_then(|line| otlp::decode_line(line, missing));
        let (accepted, rejected) = match request {
            Some(Ok(batch)) => {
                let refusals = batch.rejected.into_iter().map(|it| Refusal { error: it.error, reason: it.reason });
                (batch.accepted, refusals.collect())
            }
            Some(Err(error)) => (Vec::new(), vec![refusal(&error)]),
            None => match native::decode_line(&raw, missing) {
                Ok((observation, _)) => (vec![observation], Vec::new()),
                Err(refusal) => (Vec::new(), vec![refusal]),
            },
        };
        if let Some(last) = accepted.last() {
            self.previous = last.at;
        }
        Entry { line: self.line, raw: Raw(raw), accepted, rejected }
    }
}

fn refusal(error: &Error) -> Refusal {
    Refusal { error: error.to_string(), reason: error.reason() }
}

impl<R: BufRead> Iterator for Recording<R> {
    type Item = io::Result<Entry>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            match self.read_line() {
                Ok(None) => return None,
                Ok(Some((_, true))) => {
                    let error = format!("longer than {LONGEST_LINE} bytes");
                    let rejected = vec![Refusal { error, reason: RejectReason::TooLarge }];
                    let raw = Raw(Vec::new());
                    return Some(Ok(Entry { line: self.line, raw, accepted: Vec::new(), rejected }));
                }
                Ok(Some((line, false))) if line.trim_ascii().is_empty() => {}
                Ok(Some((line, false))) => return Some(Ok(self.entry(line))),
                Err(error) => return Some(Err(error)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::Source;

    fn entries(text: &str) -> Vec<Entry> {
        Recording::new(text.as_bytes()).map(Result::unwrap).collect()
    }

    #[test]
    fn lines_of_either_format_are_read_and_dated() {
        let chat = r#"{"key":"gen_ai.operation.name","value":{"stringValue":"chat"}},{"key":"service.name","value":{"stringValue":"s"}}"#;
        let span = |times: &str| {
            format!(
                r#"{{"resourceSpans":[{{"resource":{{"attributes":[{chat}]}},"scopeSpans":[{{"spans":[{{{times}"attributes":[{chat}]}}]}}]}}]}}"#
            )
        };
        let text = [
            r#"{"agent":"a","kind":"thought"}"#,
            r#"{"agent":"a","kind":"thought","text":"\"resourceSpans\""}"#,
            "",
            r#"{"agent":"a","kind":"thought","at":5000000000000000000,"resourceLogs":null,"note":"resourceLogs"}"#,
            &span(""),
            "{broken",
            &span(r#""endTimeUnixNano":"6000000000000000000","#),
            r#"{"agent":"a","kind":"claim"}"#,
            "{\"agent\":\"a\",\"kind\":\"thought\"}\r",
        ]
        .join("\n");
        let read = entries(&format!("\u{feff}{text}"));
        let lines: Vec<_> = read.iter().map(|entry| entry.line).collect();
        assert_eq!(lines, [1, 2, 4, 5, 6, 7, 8, 9]);
        let times: Vec<Vec<i64>> =
            read.iter().map(|entry| entry.accepted.iter().map(|it| it.at.as_nanos()).collect()).collect();
        assert_eq!(
            times,
            [
                vec![1_000_000],
                vec![2_000_000],
                vec![5_000_000_000_000_000_000],
                vec![5_000_000_000_001_000_000],
                vec![],
                vec![6_000_000_000_000_000_000],
                vec![],
                vec![6_000_000_000_001_000_000],
            ]
        );
        assert_eq!(read[3].accepted[0].source, Source::OtlpTraces);
        assert_eq!(read[4].rejected[0].error, "not valid JSON (column 2)");
        assert_eq!(read[6].rejected[0].error, "`claim_id` is missing");
        assert_eq!(read[7].raw.0, br#"{"agent":"a","kind":"thought"}"#);
    }

    #[test]
    fn faults_of_requests_are_lines_faults() {
        let read = entries(r#"{"resourceSpans":[7]}"#);
        assert_eq!(read[0].rejected[0].reason, RejectReason::Malformed);
        let read = entries(r#"{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"eventName":"gen_ai.choice"}]}]}]}"#);
        assert_eq!((read[0].accepted.len(), read[0].rejected[0].reason), (0, RejectReason::Missing));
        assert_eq!(entries(""), []);
    }

    #[test]
    fn lines_without_end_are_skipped() {
        let long = std::io::repeat(b'x').take(LONGEST_LINE as u64 + 10);
        let end = b"\n{\"agent\":\"a\",\"kind\":\"thought\"}".as_slice();
        let read: Vec<_> = Recording::new(io::BufReader::new(long.chain(end))).map(Result::unwrap).collect();
        assert_eq!(read[0].rejected[0].reason, RejectReason::TooLarge);
        assert_eq!((read[1].line, read[1].accepted.len()), (2, 1));
        assert_eq!(read.len(), 2);
    }

    proptest! {
        #[test]
        fn total_and_silent_about_content(text in "(\\{?\"?(resourceSpans|agent|SECRET|kind)\"?[:\\[{}\\],\n]{0,3}){0,9}") {
            for entry in entries(&text) {
                let shown = format!("{entry:?}");
                prop_assert!(!shown.contains("SECRET"));
            }
        }
    }
}
