//! Reads a stored state on all cores: with many agents, reading them is most of what a start takes.

use std::num::NonZero;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use crate::domain::AgentId;
use crate::engine::{AgentState, Document, DocumentError, agents_of_lines};

/// Smaller documents are read sooner than a thread has started.
const LARGE: usize = 1 << 20;
/// Threads that read, at most.
const MOST: usize = 8;
/// Bytes of lines that a thread reads at a time, about.
const SHARE: usize = 256 << 10;

/// Reads a document, on several threads where it is large.
///
/// # Errors
/// See [`Document::parse`].
pub fn read(bytes: &[u8]) -> Result<Document, DocumentError> {
    let threads = thread::available_parallelism().map_or(1, NonZero::get).min(MOST);
    let read = if bytes.len() >= LARGE { read_on(threads, bytes) } else { None };
    // What is wrong, if something is, is told as one thread finds it.
    read.map_or_else(|| Document::parse(bytes), Ok)
}

/// Reads on so many threads, one of which is this; `None` if something is wrong, or the document has no lines.
fn read_on(threads: usize, bytes: &[u8]) -> Option<Document> {
    let (meta, lines) = Document::lines(bytes)?;
    let (shares, next) = (shares(lines), AtomicUsize::new(0));
    let read = || -> Option<Agents> {
        let mut agents = Agents::new();
        while let Some(share) = shares.get(next.fetch_add(1, Ordering::Relaxed)) {
            agents.extend(agents_of_lines(share)?);
        }
        Some(agents)
    };
    thread::scope(|scope| {
        let reader = || thread::Builder::new().name("reader".into()).spawn_scoped(scope, read);
        let readers: Vec<_> = (1..threads).map_while(|_| reader().ok()).collect();
        let mut agents = read()?;
        for reader in readers {
            agents.extend(reader.join().ok()??);
        }
        Some(Document { meta, agents })
    })
}

pub(super) type Agents = Vec<(AgentId, Arc<AgentState>)>;

/// Cuts lines into parts of about [`SHARE`] bytes, between lines.
fn shares(mut lines: &[u8]) -> Vec<&[u8]> {
    let mut shares = Vec::new();
    while !lines.is_empty() {
        let end =
            lines.get(SHARE..).and_then(|rest| memchr::memchr(b'\n', rest)).map_or(lines.len(), |at| SHARE + at + 1);
        let share;
        (share, lines) = lines.split_at(end);
        shares.push(share);
    }
    shares
}

#[cfg(test)]
mod tests {
    use super::super::tests::{at, thought};
    use super::*;
    use crate::engine::{Config, Engine};

    fn json() -> String {
        let mut engine = Engine::new(Config::default(), 7);
        let observations: Vec<_> = (0..=u8::MAX).map(|agent| thought(agent, "some")).collect();
        (0..3).for_each(|_| engine.fold(at(1), &observations));
        String::from_utf8(Document::of(&engine).to_json()).unwrap()
    }

    #[test]
    fn many_threads_read_what_one_does() {
        let json = json();
        let sorted = |mut document: Document| {
            document.agents.sort_by(|(a, _), (b, _)| a.cmp(b));
            document
        };
        let expected = sorted(Document::parse(json.as_bytes()).unwrap());
        assert_eq!(expected.agents.len(), 256);
        for threads in [1, 3] {
            assert_eq!(sorted(read_on(threads, format!("{json}\n").as_bytes()).unwrap()), expected);
        }
        assert_eq!(sorted(read(json.as_bytes()).unwrap()), expected);
        // As other tools write it, and as this program once did.
        let one_line = serde_json::to_vec(&expected).unwrap();
        assert!(!one_line.contains(&b'\n') && read_on(2, &one_line).is_none());
        assert_eq!(read(&one_line).unwrap(), expected);
    }

    #[test]
    fn what_is_wrong_is_left_to_one_to_tell() {
        let json = json();
        let broken = [
            json.replacen("\"observations\":3,", "\"observations\":-3,", 1),
            json.replacen("\"schema\":1", "\"schema\":9", 1),
            json.replacen("\"meta\":", "\"mata\":", 1),
            json.replacen("\"agents\":", "\"agints\":", 1),
            json[..json.len() - 1].to_owned(),
            format!("{},\n}}}}", &json[..json.len() - 2]),
            json.replacen(",\n\"agent-", "\n\"agent-", 1),
            format!("{json} x"),
        ];
        for text in broken {
            assert_ne!(text, json);
            assert!(Document::parse(text.as_bytes()).is_err() && read_on(2, text.as_bytes()).is_none());
            assert!(read(text.as_bytes()).is_err());
        }
    }
}
